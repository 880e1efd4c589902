package sim

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"bench/internal/capacity"
)

// engine is vLLM's V1 scheduler over a simulated forward pass: one goroutine plans a step, sleeps
// for as long as capacity says the step takes, and hands out its tokens.
//
// It is deterministic where time is virtual: a plan made at instant t sees only what arrived or left
// before t, in an order that the requests themselves decide, so it does not matter in which order
// goroutines run that wake in the same instant.
type engine struct {
	limits  limits
	stepper capacity.Stepper
	tokens  *tokenizer

	mu       sync.Mutex
	arrivals []*request // not seen by a plan yet
	waiting  []*request // next to be admitted first
	running  []*request // in order of admission
	pool     *pool
	stats    *stats
	worked   busyTime
	faults   Faults
	stopped  bool
	hot      bool // the cards are throttled in this step

	foreign     int // the other client's requests in flight
	foreignSent int // and ever sent

	maxModelLen int
	maxQueued   int             // requests in flight beyond which a further one is refused; 0 = no limit
	onDeath     func(dead bool) // told when the engine dies and when it is back

	wake chan struct{} // holds one token when something arrived
	stop chan struct{}
	done chan struct{} // closed when the goroutine has ended
}

// limits are the scheduler's settings.
type limits struct {
	maxSeqs          int
	maxBatchedTokens int
}

func newEngine(l limits, layout blockLayout, blockTokens int, stepper capacity.Stepper, tok *tokenizer, st *stats) *engine {
	return &engine{
		limits:  l,
		stepper: stepper,
		tokens:  tok,
		pool:    newPool(layout, blockTokens),
		stats:   st,
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
	}
}

// submit queues r; false where the queue is full. A stopped engine aborts it at once.
func (e *engine) submit(r *request) bool {
	r.naturally = naturalLength(r.seed)
	e.mu.Lock()
	if e.maxQueued > 0 && len(e.running)+len(e.waiting)+len(e.arrivals) >= e.maxQueued {
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
			e.finish(time.Now())
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

// receive takes what happened before now into the plan: clients that left, requests that arrived.
func (e *engine) receive(now time.Time) {
	left := func(r *request) bool {
		if r.abortedAt.IsZero() || !r.abortedAt.Before(now) {
			return false
		}
		e.pool.release(r)
		return true
	}
	e.running = slices.DeleteFunc(e.running, left)
	e.waiting = slices.DeleteFunc(e.waiting, left)
	e.arrivals = slices.DeleteFunc(e.arrivals, left)

	slices.SortStableFunc(e.arrivals, func(a, b *request) int {
		return cmp.Or(a.queuedAt.Compare(b.queuedAt), cmp.Compare(a.order, b.order))
	})
	seen := 0
	for seen < len(e.arrivals) && e.arrivals[seen].queuedAt.Before(now) {
		seen++
	}
	e.waiting = append(e.waiting, e.arrivals[:seen]...)
	e.arrivals = slices.Delete(e.arrivals, 0, seen)
}

// plan decides what the next step computes and takes the blocks for it: running requests first, then
// waiting ones in order of arrival, within the token budget. It leaves each request's share in its
// scheduled field.
func (e *engine) plan(now time.Time) capacity.Step {
	var step capacity.Step
	budget := e.limits.maxBatchedTokens
	preempted := false

	for i := 0; i < len(e.running) && budget > 0; i++ {
		r := e.running[i]
		count := min(r.known()-r.computed, budget)
		for !e.pool.grow(r, count) {
			last := len(e.running) - 1
			e.preempt(e.running[last])
			e.running = e.running[:last]
			preempted = true
			if last == i {
				r = nil
				break
			}
		}
		if r == nil {
			break
		}
		e.schedule(&step, r, count)
		budget -= count
	}

	for !preempted && len(e.waiting) > 0 && budget > 0 && len(e.running) < e.limits.maxSeqs {
		r := e.waiting[0]
		// The whole prompt must fit, not just its first chunk; a request that does not holds up those
		// behind it.
		if !e.pool.fits(r.known()) {
			break
		}
		r.computed = max(e.pool.lookup(r), e.foundOnDemand(r))
		count := min(r.known()-r.computed, budget)
		if !e.pool.grow(r, count) {
			e.pool.release(r)
			r.computed = 0
			break
		}
		if r.scheduledAt.IsZero() {
			r.scheduledAt = now
			r.cached = r.computed
			e.stats.admitted(r)
		}
		e.waiting = slices.Delete(e.waiting, 0, 1)
		e.running = append(e.running, r)
		e.schedule(&step, r, count)
		budget -= count
	}
	return step
}

// foundOnDemand is how many of r's tokens count as found in the prefix cache: whole blocks, never all of a prompt.
func (e *engine) foundOnDemand(r *request) int {
	tokens := min(int(e.faults.PrefixHits*float64(len(r.prompt))), len(r.prompt)-1)
	return tokens - tokens%e.pool.blockTokens
}

// schedule puts count tokens of r into the step.
func (e *engine) schedule(step *capacity.Step, r *request, count int) {
	r.scheduled = count
	if r.computed >= len(r.prompt) && count == 1 {
		e.stepper.AddDecodes(step, 1, r.known())
	} else {
		e.stepper.AddPrefill(step, count, r.computed)
	}
}

func busy(step capacity.Step) bool { return step.Decodes+step.PrefillTokens > 0 }

// preempt takes r's blocks away; it is recomputed later, before any other waiting request.
func (e *engine) preempt(r *request) {
	e.pool.release(r)
	r.computed = 0
	r.scheduled = 0
	r.preempted++
	e.stats.preemptions++
	e.waiting = slices.Insert(e.waiting, 0, r)
}

// finish ends a step at now: every request whose known tokens are all computed yields one token.
func (e *engine) finish(now time.Time) {
	e.worked.end()
	generated, prefilled := 0, 0
	e.running = slices.DeleteFunc(e.running, func(r *request) bool {
		if r.scheduled == 0 {
			return false
		}
		r.computed += r.scheduled
		r.scheduled = 0
		e.pool.publish(r)
		if r.computed < r.known() {
			return false
		}
		id := r.sample(e.tokens)
		r.output = append(r.output, id)
		generated++
		if len(r.output) == 1 {
			prefilled += len(r.prompt) - r.cached
			e.stats.firstToken(r, now)
			r.firstAt = now
		} else {
			e.stats.interToken.observe(now.Sub(r.lastAt).Seconds())
		}
		r.lastAt = now
		reason, stopID := r.ends(id)
		r.out.put(id, reason, stopID)
		if reason == "" {
			return false
		}
		e.stats.requestFinished(r, reason)
		e.pool.release(r)
		if r.foreign {
			e.foreign--
		}
		return true
	})
	if generated > 0 {
		e.stats.generationTokens += float64(generated)
		e.stats.iterationTokens.observe(float64(generated + prefilled))
	}
}

// ends says whether the token just sampled is r's last, and why.
func (r *request) ends(id int) (reason string, stopID int) {
	switch {
	case id == tokenTurnEnd && !r.ignoreEOS, r.stopIDs[id] && len(r.output) > r.minTokens:
		return finishStop, id
	case len(r.output) >= r.maxTokens:
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
	for _, list := range [][]*request{e.running, e.waiting, e.arrivals} {
		for _, r := range list {
			e.pool.release(r)
			r.out.end(finishAbort)
		}
	}
	e.running, e.waiting, e.arrivals = nil, nil, nil
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
