package load

import (
	"context"
	"sync"
	"time"
)

// OpenPlan is an open load: requests are sent when they are due, whatever became of those before.
type OpenPlan struct {
	StartNS int64           // on the clock of now: what Due counts from
	Due     []time.Duration // after the start, ascending
	Most    int             // in flight; a request beyond it is held back until one has ended. 0 = no bound
	// Nap, if not nil, sleeps for a short time more exactly than a timer does, and may wake early. It must be nil on
	// virtual time.
	Nap func(time.Duration)
	// Stopped, if not nil, is asked before each launch and while waiting for one; once it says true nothing more is
	// launched and those in flight end by themselves. It must be safe for concurrent use.
	Stopped func() bool
}

// OpenSend sends one request and returns when it has ended. dueNS is when the schedule wanted it sent, heldNS for how long
// it was held back by the bound on requests in flight after that.
type OpenSend func(ctx context.Context, index int, dueNS, heldNS int64)

// stopPoll is how often a load that waits for its next request asks whether it is to stop.
const stopPoll = 100 * time.Millisecond

// napAhead is how long before its instant a request is waited for by naps: longer than a timer is late by itself.
const napAhead = 1500 * time.Microsecond

// Open sends each request of the plan at its instant, waits for all, and returns how many it launched (indexes 0 to that
// number). One goroutine keeps the schedule: each instant is the start's plus the index's own, so that a late request makes
// no other one late. It ends early as [Closed] does.
func Open(ctx context.Context, plan OpenPlan, now func() int64, send OpenSend) (launched int) {
	var running sync.WaitGroup
	defer running.Wait()
	o := opening{plan: plan, now: now}
	if plan.Most > 0 {
		o.places = make(chan struct{}, plan.Most)
	}
	for index, due := range plan.Due {
		dueNS := plan.StartNS + int64(due)
		if !WaitUntil(ctx, dueNS, now, plan.Nap, func() bool { return o.stopped(ctx) }) || !o.place(ctx) {
			return index
		}
		heldNS := max(0, o.freeNS-dueNS) // also of one that fell due while an earlier one was held back
		running.Go(func() {
			send(ctx, index, dueNS, heldNS)
			if o.places != nil {
				<-o.places
			}
		})
	}
	return len(plan.Due)
}

// opening is the state of one Open call, of the goroutine that keeps the schedule.
type opening struct {
	plan   OpenPlan
	now    func() int64
	places chan struct{} // one entry a request in flight; nil where there is no bound
	freeNS int64         // when the latest request that was held back got its place
}

func (o *opening) stopped(ctx context.Context) bool {
	return ctx.Err() != nil || o.plan.Stopped != nil && o.plan.Stopped()
}

// WaitUntil waits for an instant on the clock of now, its last stretch by nap where that is not nil; false when the load was
// stopped before.
func WaitUntil(ctx context.Context, atNS int64, now func() int64, nap func(time.Duration), stopped func() bool) bool {
	for {
		if stopped() {
			return false
		}
		wait := time.Duration(atNS - now())
		if wait <= 0 {
			return true
		}
		if nap != nil {
			if wait <= napAhead {
				nap(wait)
				continue
			}
			wait -= napAhead
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(min(wait, stopPoll)):
		}
	}
}

// place takes a place among the requests in flight, waiting for one if need be; false when the load was stopped before.
func (o *opening) place(ctx context.Context) bool {
	if o.places == nil {
		return true
	}
	select {
	case o.places <- struct{}{}:
		return true
	default:
	}
	for {
		select {
		case o.places <- struct{}{}:
			o.freeNS = o.now()
			return true
		case <-ctx.Done():
			return false
		case <-time.After(stopPoll):
			if o.stopped(ctx) {
				return false
			}
		}
	}
}
