package sim

import (
	"sync"
	"time"

	"bench/internal/capacity"
)

// engine drives the scheduler over a simulated forward pass: one goroutine plans a step, sleeps for as
// long as capacity says the step takes, and hands out its tokens.
//
// It is deterministic where time is virtual: a plan made at instant t sees only what arrived or left
// before t, in an order that the requests themselves decide, so it does not matter in which order
// goroutines run that wake in the same instant.
type engine struct {
	mu sync.Mutex // guards what follows
	scheduler
	tokens    *tokenizer
	stats     *stats
	prefilled int // prompt tokens computed for the requests that got their first token in this step
	worked    busyTime
	faults    Faults
	stopped   bool
	hot       bool // the cards are throttled in this step

	foreign     int // the other client's requests in flight
	foreignSent int // and ever sent

	maxModelLen int
	maxQueued   int             // requests in flight beyond which a further one is refused; 0 = no limit
	onDeath     func(dead bool) // told when the engine dies and when it is back

	wake chan struct{} // holds one token when something arrived
	stop chan struct{}
	done chan struct{} // closed when the goroutine has ended
}

func newEngine(l limits, layout blockLayout, blockTokens int, stepper capacity.Stepper, tok *tokenizer, st *stats) *engine {
	e := &engine{
		scheduler: scheduler{limits: l, stepper: stepper, pool: newPool(layout, blockTokens)},
		tokens:    tok,
		stats:     st,
		wake:      make(chan struct{}, 1),
		stop:      make(chan struct{}),
		done:      make(chan struct{}),
	}
	e.pool.cache = newHashedCache(e.pool)
	e.watch = e
	return e
}

// submit queues r; false where the queue is full. A stopped engine aborts it at once.
func (e *engine) submit(r *request) bool {
	r.naturally = naturalLength(r.seed)
	e.mu.Lock()
	if e.maxQueued > 0 && e.inFlight() >= e.maxQueued {
		e.stats.rejections++
		e.mu.Unlock()
		return false
	}
	r.queuedAt = time.Now()
	if e.stopped {
		r.out.end(finishAbort)
	} else {
		e.arrivals = append(e.arrivals, r)
	}
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
	return true
}

// abort drops r, whose client went away; it is out of the next step but one at the latest. Such
// requests are not counted as finished, as in vLLM.
func (e *engine) abort(r *request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.abortedAt.IsZero() {
		r.abortedAt = time.Now()
		e.left++
	}
}

// run is the engine's goroutine. It ends when stop is closed; what is still in flight then ends with
// finish reason abort.
func (e *engine) run() {
	defer close(e.done)
	defer e.abortAll()
	timer := time.NewTimer(0)
	defer timer.Stop()
	if e.faults.StartAfter > 0 {
		if !e.sleep(timer, e.faults.StartAfter) {
			return
		}
		e.onDeath(false)
	}
	started := time.Now()
	var doom <-chan time.Time // wakes an idle engine that is to die now
	if d := e.faults.DieAfter; d > 0 {
		clock := time.NewTimer(d)
		defer clock.Stop()
		doom = clock.C
	}
	began := time.Now() // of the next step: the end of the last one, or the instant the engine woke
	for {
		e.mu.Lock()
		e.keepForeign(time.Now())
		e.receive(time.Now())
		step := e.plan(time.Now())
		settling := len(e.arrivals) > 0
		fault := e.faults.due(len(e.running), time.Since(started))
		e.hot = e.faults.ThrottleAt > 0 && len(e.running) >= e.faults.ThrottleAt
		if fault != "" {
			e.die(fault)
		}
		var length time.Duration
		if busy(step) {
			length = e.stepper.StepTime(step)
			if e.hot {
				length *= throttleSlowdown
			}
			e.worked.begin(began, began.Add(length))
		}
		e.mu.Unlock()

		switch {
		case fault != "":
			if !e.beDead(timer) {
				return
			}
			began = time.Now()
		case busy(step):
			began = began.Add(length)
			if !e.sleep(timer, time.Until(began)) {
				return
			}
			e.mu.Lock()
			e.endStep(time.Now())
			e.mu.Unlock()
			// In real time a timer is late by a little, which must not add up; but an engine that was
			// held up for long has lost that time.
			if now := time.Now(); now.Sub(began) > maxCatchUp {
				began = now
			}
		case settling:
			// All that arrives in this instant belongs into one plan: let it.
			if !e.sleep(timer, 1) {
				return
			}
		default:
			select {
			case <-e.wake:
				began = time.Now()
			case <-doom:
				began = time.Now()
			case <-e.stop:
				return
			}
		}
	}
}

// maxCatchUp bounds the lateness that following steps make up for.
const maxCatchUp = 5 * time.Millisecond

// sleep waits for d; false when the engine is to stop.
func (e *engine) sleep(timer *time.Timer, d time.Duration) bool {
	timer.Reset(d)
	select {
	case <-timer.C:
		return true
	case <-e.stop:
		return false
	}
}

// endStep ends a step at now.
func (e *engine) endStep(now time.Time) {
	e.worked.end()
	e.prefilled = 0
	if n := e.finish(now); n > 0 {
		e.stats.generationTokens += float64(n)
		e.stats.iterationTokens.observe(float64(n + e.prefilled))
	}
}

func (e *engine) admitted(r *request) { e.stats.admitted(r) }

func (e *engine) preempted(*request) {}

// sampled chooses r's next token and hands it out. vLLM tells of a request's preemptions with its next token, so that is
// when they are counted.
func (e *engine) sampled(r *request, gap time.Duration) (finished bool) {
	e.stats.preemptions += float64(r.preempted - r.told)
	r.told = r.preempted
	id := r.sample(e.tokens)
	r.output = append(r.output, id)
	if r.made == 1 {
		e.prefilled += r.promptTokens - r.cached
		e.stats.firstToken(r)
	} else {
		e.stats.interToken.observe(gap.Seconds())
	}
	reason, stopID := r.ends(id)
	r.out.put(id, reason, stopID)
	if reason == "" {
		return false
	}
	e.stats.requestFinished(r, reason)
	if r.foreign {
		e.foreign--
	}
	return true
}

// ends says whether the token just sampled is r's last, and why.
func (r *request) ends(id int) (reason string, stopID int) {
	switch {
	case id == tokenTurnEnd && !r.ignoreEOS, r.stopIDs[id] && r.made > r.minTokens:
		return finishStop, id
	case r.made >= r.maxTokens:
		return finishLength, 0
	}
	return "", 0
}

// abortAll ends what is in flight when the server is stopped.
func (e *engine) abortAll() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
	e.worked.end()
	e.clear(func(r *request) { r.out.end(finishAbort) })
}

// busyTime is how long the GPUs have computed.
type busyTime struct {
	total      time.Duration
	from, to   time.Time // of the step in progress
	inProgress bool
}

func (b *busyTime) begin(from, to time.Time) { b.from, b.to, b.inProgress = from, to, true }

func (b *busyTime) end() {
	if b.inProgress {
		b.total += b.to.Sub(b.from)
		b.inProgress = false
	}
}

// until is the busy time up to now.
func (b *busyTime) until(now time.Time) time.Duration {
	if !b.inProgress {
		return b.total
	}
	return b.total + max(0, min(now.Sub(b.from), b.to.Sub(b.from)))
}
