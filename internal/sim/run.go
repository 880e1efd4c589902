package sim

import (
	"fmt"
	"math"
	"slices"
	"time"

	"bench/internal/capacity"
)

// Load is what [Run] puts on an engine.
type Load struct {
	Requests []Ask
	// InFlight holds so many requests in flight: each that ends is followed by the next at once, and Arrival is not
	// looked at. 0 = each request arrives when it says.
	InFlight int
}

// Ask is one request of a load. Its prompt has nothing in common with any other's.
type Ask struct {
	Arrival      time.Duration // since the load's begin
	PromptTokens int           // template included
	OutputTokens int           // made whatever the model would say
}

// ClosedLoop is n requests of one shape, so many of them in flight.
func ClosedLoop(inFlight, n, promptTokens, outputTokens int) Load {
	return Load{Requests: slices.Repeat([]Ask{{PromptTokens: promptTokens, OutputTokens: outputTokens}}, n), InFlight: inFlight}
}

// Result is what a load met. It is simulated: times are those that package capacity computes.
type Result struct {
	Requests     []Timing      // in the load's order
	Duration     time.Duration // first arrival to last token
	OutputTokens int           // of all requests
	Steps        int           // of the engine
	Preemptions  int
	PeakRunning  int     // requests in one step
	PeakWaiting  int     // requests left waiting by a step's plan
	PeakKVUsage  float64 // share of the KV pool's blocks in use, 0 to 1
}

// TokensPerSecond is the output of all requests over the whole duration.
func (r Result) TokensPerSecond() float64 { return float64(r.OutputTokens) / r.Duration.Seconds() }

// Timing is how one request fared, as a client without a network sees it.
type Timing struct {
	Arrived    time.Duration // since the load's begin
	Scheduled  time.Duration // since then: first planned into a step
	FirstToken time.Duration
	LastToken  time.Duration
	Tokens     int // output
}

// TTFT is arrival to first token.
func (t Timing) TTFT() time.Duration { return t.FirstToken - t.Arrived }

// TPOT is the mean time from token to token after the first; ok is false for a single token.
func (t Timing) TPOT() (perToken time.Duration, ok bool) {
	if t.Tokens < 2 {
		return 0, false
	}
	return (t.LastToken - t.FirstToken) / time.Duration(t.Tokens-1), true
}

// Latency is arrival to last token.
func (t Timing) Latency() time.Duration { return t.LastToken - t.Arrived }

// Run puts a load on the engine that c describes and says how it went, without HTTP, texts or a clock: the same
// scheduler as a [Server]'s, with times that are equal to the nanosecond to those of a client of the server on virtual
// time. c's faults, API key and limit of queued requests belong to a server and are refused here.
//
// It fails where vLLM would not start with that configuration, or would refuse a request of the load.
func Run(c Config, l Load) (Result, error) {
	mem, err := c.plan()
	if err != nil {
		return Result{}, err
	}
	if c.Faults != (Faults{}) || c.APIKey != "" || c.MaxNumQueuedReqs != 0 {
		return Result{}, fmt.Errorf("a run without a server knows no faults, no API key and no limit of queued requests")
	}
	e := c.Engine.WithDefaults(c.Model, c.GPU)
	for i, ask := range l.Requests {
		if ask.PromptTokens < 1 || ask.OutputTokens < 1 || ask.PromptTokens+ask.OutputTokens > e.MaxModelLen {
			return Result{}, fmt.Errorf("request %d of the load has %d prompt tokens and %d output tokens; each is at least 1, and both fit the context of %d",
				i, ask.PromptTokens, ask.OutputTokens, e.MaxModelLen)
		}
		if ask.Arrival < 0 || l.InFlight < 0 {
			return Result{}, fmt.Errorf("request %d of the load arrives at %v with %d in flight; neither is below 0", i, ask.Arrival, l.InFlight)
		}
	}
	stepper := capacity.NewStepper(c.Model, c.GPU, e)
	r := newRun(limits{maxSeqs: e.MaxNumSeqs, maxBatchedTokens: e.MaxNumBatchedTokens}, mem, mem.BlockTokens, stepper, l)
	r.toEnd()
	return r.result(), nil
}

// run is a load on its way through a scheduler.
type run struct {
	scheduler
	window int // tokens that the model's windowed layers see; 0 = it has none
	asks   []Ask
	closed bool

	requests []request // by their index in asks
	byTime   []int     // indices in order of arrival; in a closed loop that of asks
	next     int       // of byTime
	over     int       // requests
	now      time.Time

	peakUsed int
	out      Result
}

// dawn is when a run's load begins: any instant will do.
var dawn = time.Unix(0, 0)

func newRun(lim limits, layout blockLayout, blockTokens int, stepper capacity.Stepper, l Load) *run {
	r := &run{
		scheduler: scheduler{limits: lim, stepper: stepper, pool: newPool(layout, blockTokens)},
		asks:      l.Requests,
		closed:    l.InFlight > 0,
		requests:  make([]request, len(l.Requests)),
		byTime:    make([]int, len(l.Requests)),
		now:       dawn,
	}
	r.pool.cache = &ownCache{blockTokens: blockTokens}
	r.watch = r
	var probe capacity.Step
	stepper.AddDecodes(&probe, 1, math.MaxInt32)
	r.window = probe.DecodeWindowTokens
	for i := range r.byTime {
		r.byTime[i] = i
	}
	if r.closed {
		for range min(l.InFlight, len(l.Requests)) {
			r.arrive(dawn)
		}
	} else {
		slices.SortStableFunc(r.byTime, func(a, b int) int { return int(r.asks[a].Arrival - r.asks[b].Arrival) })
	}
	return r
}

// arrive queues the next request at that instant.
func (r *run) arrive(at time.Time) {
	i := r.byTime[r.next]
	r.next++
	q := &r.requests[i]
	q.promptTokens, q.maxTokens, q.queuedAt = r.asks[i].PromptTokens, r.asks[i].OutputTokens, at
	r.arrivals = append(r.arrivals, q)
}

// nextArrival is when the next request arrives by itself.
func (r *run) nextArrival() (at time.Time, ok bool) {
	if r.closed || r.next == len(r.byTime) {
		return time.Time{}, false
	}
	return dawn.Add(r.asks[r.byTime[r.next]].Arrival), true
}

// toEnd makes steps until all requests are over. Instants are the engine's: a plan sees what arrived before it, and a
// step begins where the last one ended or, after idleness, when something arrived.
func (r *run) toEnd() {
	for r.over < len(r.requests) {
		for at, ok := r.nextArrival(); ok && !at.After(r.now); at, ok = r.nextArrival() {
			r.arrive(at)
		}
		began := r.now
		r.receive(r.now)
		step := r.plan(r.now)
		if !busy(step) && len(r.arrivals) > 0 { // they came in this very instant: see them in the next
			r.receive(r.now.Add(1))
			step = r.plan(r.now.Add(1))
		}
		if !busy(step) {
			at, ok := r.nextArrival()
			if !ok {
				panic("sim: a request waits that an empty pool has no room for")
			}
			r.now = at // nothing runs, so what is left is still to come
			continue
		}
		r.out.PeakRunning = max(r.out.PeakRunning, len(r.running))
		r.out.PeakWaiting = max(r.out.PeakWaiting, len(r.waiting))
		r.peakUsed = max(r.peakUsed, r.pool.used)
		r.now = began.Add(r.stepper.StepTime(step))
		r.out.Steps++
		r.skip(step)
		r.finish(r.now)
	}
}

// skip makes, after a step of decodes that ends now, all steps but the last of those that differ from it in nothing but
// how long the requests are: until one of them needs a block, leaves its window, ends, or another arrives. It leaves
// the last of them planned.
func (r *run) skip(step capacity.Step) {
	if step.PrefillTokens > 0 || step.Decodes != len(r.running) || len(r.arrivals) > 0 ||
		len(r.waiting) > 0 && len(r.running) < r.limits.maxSeqs {
		return
	}
	most, inWindow := math.MaxInt, 0
	for _, q := range r.running {
		// The step makes the token after known(), so the next one computes known()+1 and ends at the one after that.
		steps := q.maxTokens - q.made - 1
		if q.computed+1 < q.known() {
			return // one that was preempted and has its own tokens to compute again
		}
		for n := 0; n < steps; n++ {
			if n == most || r.pool.blocksLive(q.computed+2+n) != q.blocks {
				steps = n
			}
		}
		if r.window > 0 && q.known() < r.window {
			inWindow++
			steps = min(steps, r.window-q.known())
		}
		if most = min(most, steps); most == 0 {
			return
		}
	}
	alone := time.Duration(math.MaxInt64) // until another arrives
	if next, ok := r.nextArrival(); ok {
		alone = next.Sub(r.now)
	}
	made, took := 0, time.Duration(0)
	timer := r.stepper.Decodes(step.Decodes)
	for ; made < most && took < alone; made++ {
		step.DecodeContextTokens += step.Decodes
		step.DecodeWindowTokens += inWindow
		took += timer.StepTime(&step)
	}
	r.now = r.now.Add(took)
	if made == 0 {
		return
	}
	r.out.Steps += made
	for _, q := range r.running {
		q.made += made
		q.computed += made
	}
}

func (r *run) admitted(*request) {}

func (r *run) preempted(*request) { r.out.Preemptions++ }

func (r *run) sampled(q *request, _ time.Duration) (finished bool) {
	if q.made < q.maxTokens {
		return false
	}
	r.over++
	if r.closed && r.next < len(r.byTime) {
		r.arrive(r.now)
	}
	return true
}

func (r *run) result() Result {
	out := r.out
	out.PeakKVUsage = float64(r.peakUsed) / float64(r.pool.usable)
	out.Requests = make([]Timing, len(r.requests))
	first, last := time.Duration(math.MaxInt64), time.Duration(0)
	for i := range r.requests {
		q := &r.requests[i]
		out.Requests[i] = Timing{Arrived: q.queuedAt.Sub(dawn), Scheduled: q.scheduledAt.Sub(dawn), FirstToken: q.firstAt.Sub(dawn), LastToken: q.lastAt.Sub(dawn), Tokens: q.made}
		out.OutputTokens += q.made
		first, last = min(first, out.Requests[i].Arrived), max(last, out.Requests[i].LastToken)
	}
	out.Duration = max(0, last-first)
	return out
}
