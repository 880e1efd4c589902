package load

import (
	"context"
	"sync"
	"sync/atomic"
)

// Plan is a closed load: as many requests in flight as asked for, until all were sent.
type Plan struct {
	Requests int // to send in all
	InFlight int // held in flight
	// StartNS is the instant, on the clock of now, at which the first of them are released; one that has passed, as 0, is
	// now.
	StartNS int64
	// Draining, if not nil, is asked before each launch; once it says true nothing more is launched
	// and those in flight end by themselves. It must be safe for concurrent use.
	Draining func() bool
}

// Send sends one request and returns when it has ended. index counts from 0; scheduledNS is the
// instant at which the load wanted it sent.
type Send func(ctx context.Context, index int, scheduledNS int64)

// Closed holds plan.InFlight requests in flight until plan.Requests were sent, waits for all, and
// returns how many it launched (indexes 0 to that number). now reads the clock that scheduledNS is on.
//
// The first InFlight are scheduled for one instant: their goroutines stand ready at a barrier before
// it falls. Each later one is scheduled for the instant its predecessor ended.
//
// There are two ways to end early, one inside the other: plan.Draining stops launching, and requests
// in flight run to their end; an ended ctx stops launching too, and requests in flight, which got
// the same ctx, are to end at once. Either way Closed returns only when none is left.
func Closed(ctx context.Context, plan Plan, now func() int64, send Send) (launched int) {
	stopped := func() bool {
		return ctx.Err() != nil || (plan.Draining != nil && plan.Draining())
	}
	first := min(plan.InFlight, plan.Requests)
	if first < 1 || stopped() {
		return 0
	}

	var (
		next      atomic.Int64 // index of the next request to launch
		count     atomic.Int64
		ready     sync.WaitGroup
		running   sync.WaitGroup
		barrier   = make(chan struct{})
		releaseNS int64 // written before the barrier falls
		released  bool  // likewise; false where the load was stopped before its start
	)
	next.Store(int64(first))
	ready.Add(first)
	for index := range first {
		running.Go(func() {
			ready.Done()
			<-barrier
			scheduledNS := releaseNS
			for released {
				count.Add(1)
				send(ctx, index, scheduledNS)
				scheduledNS = now()
				if stopped() {
					return
				}
				if index = int(next.Add(1) - 1); index >= plan.Requests {
					return
				}
			}
		})
	}
	ready.Wait()
	releaseNS = max(now(), plan.StartNS)
	released = WaitUntil(ctx, plan.StartNS, now, nil, stopped)
	close(barrier)
	running.Wait()
	return int(count.Load())
}
