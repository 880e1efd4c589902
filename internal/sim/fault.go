package sim

import (
	"fmt"
	"net/http"
	"time"
)

// Faults are what goes wrong on demand. The zero value is a server without them.
type Faults struct {
	DieAt int // the engine dies in the first step that so many requests run in; 0 = never
	OOMAt int // likewise, for want of GPU memory
	// Return is how long a dead server refuses connections before it is there again, with counters that begin
	// anew; 0 = for ever.
	Return time.Duration
}

// What clients are told: V1 names no cause to them, V0 passed on what the executor said.
const (
	deathText  = "EngineCore encountered an issue. See stack trace (above) for the root cause."
	memoryText = "CUDA out of memory. Tried to allocate 1.00 GiB. GPU 0 has a total capacity of which 0.21 GiB is free."
)

// due is what kills the engine when so many requests run; "" = nothing. A fault strikes once.
func (f *Faults) due(running int) string {
	switch {
	case f.OOMAt > 0 && running >= f.OOMAt:
		f.OOMAt = 0
		return memoryText
	case f.DieAt > 0 && running >= f.DieAt:
		f.DieAt = 0
		return deathText
	}
	return ""
}

// die ends everything in flight with an error, as when the engine's process is gone. The engine's mutex is held.
func (e *engine) die(why string) {
	e.worked.end()
	for _, list := range [][]*request{e.running, e.waiting, e.arrivals} {
		for _, r := range list {
			e.pool.release(r)
			r.failure = why
			r.out.put(finishError, 0)
		}
	}
	e.running, e.waiting, e.arrivals = nil, nil, nil
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
	return &apiError{status: http.StatusInternalServerError, kind: "InternalServerError", message: why}
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
