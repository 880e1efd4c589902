package sim

import (
	"cmp"
	"slices"
	"time"

	"bench/internal/capacity"
)

// scheduler is vLLM's V1 scheduler without a clock: who calls it says what time it is and how long a step took. The
// server's engine and [Run] are two drivers of it.
type scheduler struct {
	limits  limits
	stepper capacity.Stepper
	pool    *pool
	watch   watcher

	arrivals []*request // not seen by a plan yet
	waiting  []*request // next to be admitted first
	running  []*request // in order of admission
	left     int        // requests whose client went away since the last plan

	prefixHits float64 // share of each prompt that counts as found in the prefix cache, on demand
}

// limits are the scheduler's settings.
type limits struct {
	maxSeqs          int
	maxBatchedTokens int
}

// watcher is told what the scheduler does.
type watcher interface {
	admitted(r *request)  // for the first time
	preempted(r *request) // it lost its blocks
	// sampled is told of one more token, made so long after the one before it; it says whether that was the last.
	sampled(r *request, gap time.Duration) (finished bool)
}

// receive takes what happened before now into the plan: clients that left, requests that arrived.
func (s *scheduler) receive(now time.Time) {
	if s.left > 0 {
		s.left = 0
		left := func(r *request) bool {
			if r.abortedAt.IsZero() {
				return false
			}
			if !r.abortedAt.Before(now) {
				s.left++
				return false
			}
			s.pool.release(r)
			return true
		}
		s.running = slices.DeleteFunc(s.running, left)
		s.waiting = slices.DeleteFunc(s.waiting, left)
		s.arrivals = slices.DeleteFunc(s.arrivals, left)
	}
	if len(s.arrivals) == 0 {
		return
	}
	slices.SortStableFunc(s.arrivals, func(a, b *request) int {
		return cmp.Or(a.queuedAt.Compare(b.queuedAt), cmp.Compare(a.order, b.order))
	})
	seen := 0
	for seen < len(s.arrivals) && s.arrivals[seen].queuedAt.Before(now) {
		seen++
	}
	s.waiting = append(s.waiting, s.arrivals[:seen]...)
	s.arrivals = slices.Delete(s.arrivals, 0, seen)
}

// inFlight counts the requests that are not over.
func (s *scheduler) inFlight() int { return len(s.running) + len(s.waiting) + len(s.arrivals) }

// clear drops all requests; f is called for each.
func (s *scheduler) clear(f func(r *request)) {
	for _, list := range [][]*request{s.running, s.waiting, s.arrivals} {
		for _, r := range list {
			s.pool.release(r)
			f(r)
		}
	}
	s.running, s.waiting, s.arrivals, s.left = nil, nil, nil, 0
}

// plan decides what the next step computes and takes the blocks for it: running requests first, then
// waiting ones in order of arrival, within the token budget. It leaves each request's share in its
// scheduled field.
func (s *scheduler) plan(now time.Time) capacity.Step {
	var step capacity.Step
	budget := s.limits.maxBatchedTokens
	preempted := false

	for i := 0; i < len(s.running) && budget > 0; i++ {
		r := s.running[i]
		count := min(r.known()-r.computed, budget)
		for !s.pool.grow(r, count) {
			last := len(s.running) - 1
			s.preempt(s.running[last])
			s.running = s.running[:last]
			preempted = true
			if last == i {
				r = nil
				break
			}
		}
		if r == nil {
			break
		}
		s.schedule(&step, r, count)
		budget -= count
	}

	for !preempted && len(s.waiting) > 0 && budget > 0 && len(s.running) < s.limits.maxSeqs {
		r := s.waiting[0]
		// The whole prompt must fit, not just its first chunk; a request that does not holds up those
		// behind it.
		if !s.pool.fits(r.known()) {
			break
		}
		r.computed = max(s.pool.cache.lookup(r), s.foundOnDemand(r))
		count := min(r.known()-r.computed, budget)
		if !s.pool.grow(r, count) {
			s.pool.release(r)
			r.computed = 0
			break
		}
		if r.scheduledAt.IsZero() {
			r.scheduledAt = now
			r.cached = r.computed
			s.watch.admitted(r)
		}
		s.waiting = slices.Delete(s.waiting, 0, 1)
		s.running = append(s.running, r)
		s.schedule(&step, r, count)
		budget -= count
	}
	return step
}

// foundOnDemand is how many of r's tokens count as found in the prefix cache: whole blocks, never all of a prompt.
func (s *scheduler) foundOnDemand(r *request) int {
	if s.prefixHits == 0 {
		return 0
	}
	tokens := min(int(s.prefixHits*float64(r.promptTokens)), r.promptTokens-1)
	return tokens - tokens%s.pool.blockTokens
}

// schedule puts count tokens of r into the step.
func (s *scheduler) schedule(step *capacity.Step, r *request, count int) {
	r.scheduled = count
	if r.computed >= r.promptTokens && count == 1 {
		s.stepper.AddDecodes(step, 1, r.known())
	} else {
		s.stepper.AddPrefill(step, count, r.computed)
	}
}

func busy(step capacity.Step) bool { return step.Decodes+step.PrefillTokens > 0 }

// preempt takes r's blocks away; it is recomputed later, before any other waiting request.
func (s *scheduler) preempt(r *request) {
	s.pool.release(r)
	r.computed = 0
	r.scheduled = 0
	r.preempted++
	s.watch.preempted(r)
	s.waiting = slices.Insert(s.waiting, 0, r)
}

// finish ends a step at now: every request whose known tokens are all computed yields one token. It says how many did.
func (s *scheduler) finish(now time.Time) (generated int) {
	keep := s.running[:0]
	for _, r := range s.running {
		if r.scheduled > 0 {
			r.computed += r.scheduled
			r.scheduled = 0
			s.pool.cache.publish(r)
			if r.computed == r.known() {
				r.made++
				generated++
				if r.made == 1 {
					r.firstAt = now
				}
				gap := now.Sub(r.lastAt)
				r.lastAt = now
				if s.watch.sampled(r, gap) {
					s.pool.release(r)
					continue
				}
			}
		}
		keep = append(keep, r)
	}
	clear(s.running[len(keep):])
	s.running = keep
	return generated
}
