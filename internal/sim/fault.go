package sim

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Faults are what goes wrong on demand. The zero value is a server without them.
type Faults struct {
	// StartAfter is how long a started server refuses connections, as one that loads its model.
	StartAfter time.Duration
	DieAt      int           // the engine dies in the first step that so many requests run in; 0 = never
	DieAfter   time.Duration // it dies so long after its start; 0 = never
	OOMAt      int           // it dies as with DieAt, for want of GPU memory
	// Return is how long a dead server refuses connections before it is there again, with counters that begin
	// anew; 0 = for ever.
	Return     time.Duration
	ThrottleAt int       // the cards are throttled in steps that so many requests run in; 0 = never
	Foreign    int       // requests that another client keeps in flight
	PrefixHits float64   // share of each prompt that counts as found in the prefix cache
	UsageOff   int       // prompt tokens that usage says too many
	Reply      *Recorded // what each request for text gets instead of an answer; nil = an answer
	HeedEOS    bool      // answers end by themselves whatever ignore_eos says
	// Struck is the share of the requests that each fault of a single request strikes.
	Struck [requestFaults]float64
}

// requestFault is what goes wrong with a single request.
type requestFault int

const (
	faultNone requestFault = iota
	faultStall
	faultReset
	faultError
	faultShort
	faultTooMany
	requestFaults // how many there are
)

// shareOf reads the share of the requests that a fault strikes.
func shareOf(kind requestFault) func(c *Config, v string) error {
	return func(c *Config, v string) error { return share(&c.Faults.Struck[kind], v) }
}

// struck is the share of the requests that any fault strikes.
func (f Faults) struck() (total float64) {
	for _, s := range f.Struck {
		total += s
	}
	return total
}

// strikes is the fault of a request. What it asked decides, and not when it came, so that it is the same in each run.
func (f Faults) strikes(seed uint64) requestFault {
	u := float64(mix(seed^hashText(0, "fault"))>>11) / (1 << 53)
	for kind, s := range f.Struck {
		if u < s {
			return requestFault(kind)
		}
		u -= s
	}
	return faultNone
}

// What clients are told: V1 names no cause to them, V0 passed on what the executor said.
const (
	deathText  = "EngineCore encountered an issue. See stack trace (above) for the root cause."
	memoryText = "CUDA out of memory. Tried to allocate 1.00 GiB. GPU 0 has a total capacity of which 0.21 GiB is free."
)

var (
	engineBusy = &apiError{http.StatusServiceUnavailable, "Service Unavailable", "",
		"The engine is currently busy and cannot accept new requests. Please try again later or on a different instance."}
	// tooMany is a gateway's: vLLM itself limits no rate.
	tooMany       = &apiError{http.StatusTooManyRequests, "Too Many Requests", "", "Rate limit exceeded."}
	internalError = &apiError{http.StatusInternalServerError, kindInternal, "", "Internal server error"}
)

// breaksOff says whether a fault ends the answer of g half-way, at so many tokens.
func (g *generation) breaksOff(tokens int) bool {
	switch g.fault {
	case faultStall, faultReset, faultError:
		return tokens > g.request.maxTokens/2
	}
	return false
}

// breakOff ends an answer as its fault says; begun says that its headers are sent.
func (s *Server) breakOff(x *exchange, g *generation, begun bool) {
	x.log.ends(OutcomeFault)
	switch {
	case g.fault == faultStall:
		select {
		case <-x.r.Context().Done():
		case <-s.core.done:
		}
	case g.fault == faultReset:
		defer x.reset()
	case begun:
		_, _ = x.w.Write(append(x.v.errorEvent(internalError), doneEvent...)) // a client that is gone needs no error
	default:
		x.fail(internalError)
	}
	s.core.abort(g.request)
}

// errReset ends a response whose connection is to be reset.
var errReset = errors.New("reset on demand")

// reset breaks the connection of an exchange off without an end.
func (x *exchange) reset() {
	x.status = http.StatusOK // as with any stream
	w, ours := x.w.(*response)
	if !ours {
		panic(http.ErrAbortHandler) // which is how net/http is told
	}
	if c, ok := w.conn.(interface{ SetLinger(sec int) error }); ok {
		_ = c.SetLinger(0) // the close that follows is then a reset
	}
	w.err = errReset
}

// due is what kills the engine when so many requests run so long after its start; "" = nothing. A fault strikes once.
func (f *Faults) due(running int, age time.Duration) string {
	switch {
	case f.OOMAt > 0 && running >= f.OOMAt:
		f.OOMAt = 0
		return memoryText
	case f.DieAt > 0 && running >= f.DieAt:
		f.DieAt = 0
		return deathText
	case f.DieAfter > 0 && age >= f.DieAfter:
		f.DieAfter = 0
		return deathText
	}
	return ""
}

// foreignTokens is the length of the other client's prompts and answers, as far as the context allows.
const foreignTokens = 200

// keepForeign sends the other client's requests, so many that all it wants are in flight.
func (e *engine) keepForeign(now time.Time) {
	n := min(foreignTokens, e.maxModelLen/2)
	for e.foreign < e.faults.Foreign {
		e.foreign++
		e.foreignSent++
		r := &request{foreign: true, maxTokens: n, ignoreEOS: true, arrived: now, queuedAt: now, out: newOutbox(),
			seed: mix(uint64(e.foreignSent)), order: fmt.Sprintf("foreign-%d", e.foreignSent)}
		for i := range n {
			r.prompt = append(r.prompt, firstPiece+int(mix(r.seed+uint64(i))%pieces1))
		}
		r.promptTokens = n
		e.arrivals = append(e.arrivals, r)
	}
}

// die ends everything in flight with an error, as when the engine's process is gone. The engine's mutex is held.
func (e *engine) die(why string) {
	e.worked.end()
	e.clear(func(r *request) {
		r.failure = why
		r.out.end(finishError)
	})
	e.foreign = 0
}

// beDead refuses clients for as long as the fault says; false when the server was stopped meanwhile.
func (e *engine) beDead(timer *time.Timer) bool {
	e.onDeath(true)
	if e.faults.Return == 0 {
		<-e.stop
		return false
	}
	if !e.sleep(timer, e.faults.Return) {
		return false
	}
	e.mu.Lock()
	e.die(deathText) // what slipped in while the door closed
	e.stats = newStats(e.maxModelLen)
	e.pool = newPool(e.pool.layout, e.pool.blockTokens)
	e.pool.cache = newHashedCache(e.pool)
	e.mu.Unlock()
	e.onDeath(false)
	return true
}

// setDead opens or closes the server's door. Idle connections are closed, busy ones after their answer.
func (s *Server) setDead(dead bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = dead
	if dead {
		for conn, state := range s.conns {
			state.closeWhenIdle(conn)
		}
	}
}

// engineError is the answer to a request whose engine died under it.
func engineError(why string) *apiError {
	return &apiError{status: http.StatusInternalServerError, kind: kindInternal, message: why}
}

// duration reads a length of time above zero.
func duration(dst *time.Duration, v string) error {
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is not a length of time such as 10s", v)
	}
	*dst = d
	return nil
}
