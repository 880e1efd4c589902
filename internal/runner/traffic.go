package runner

import (
	"context"

	"bench/internal/load"
	"bench/internal/record"
)

// traffic is what a repeat sends, made and encoded before the first send.
type traffic struct {
	test  record.Test
	index []int     // which requests of the repeat
	sends []Send    // one each; nil where they are turns of conversations
	talks []*talk   // conversations
	open  *openLoad // nil where a number of requests is held in flight
}

func (r *run) traffic(ctx context.Context, t record.Test, n, attempt int) (*traffic, error) {
	f := &traffic{test: t, index: part(t)}
	if t.Arrivals != nil {
		f.open = r.openLoad(t, n, attempt)
	}
	w, err := r.work(t, n)
	if err != nil {
		return nil, err
	}
	if w.turns != nil {
		f.talks, err = r.talks(ctx, t, w, n, attempt)
		return f, err
	}
	f.sends = make([]Send, len(f.index))
	for i := range f.sends {
		if f.sends[i], err = r.prepare(ctx, t, w, load.Key{Test: t.ID, Run: n, Index: f.index[i], Attempt: attempt}); err != nil {
			return nil, err
		}
		if r.draining.Load() {
			return nil, ErrInterrupted
		}
	}
	return f, nil
}

// connections is how many are opened beforehand: as many as may be in flight, of an open load so many as are likely.
func (f *traffic) connections() int {
	most := f.test.Places()
	if f.open != nil {
		most = min(openConnections, or(f.open.atOnce, openConnections))
	}
	return min(most, max(len(f.sends), len(f.talks)))
}

// send sends it all from an instant on, gives each request to took when it has ended, and returns when all have.
func (f *traffic) send(ctx context.Context, r *run, startNS int64, took func(record.Request)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	one := func(ctx context.Context, i int, scheduledNS int64, heldNS *int64) {
		req := f.sends[i](ctx)
		req.Index, req.ScheduledNS, req.HeldNS = f.index[i], scheduledNS, heldNS
		if f.open != nil && f.test.Arrivals.Trace != nil {
			req.DueNS = new(int64(f.open.whole[req.Index]))
		}
		took(req)
	}
	plan := load.Plan{Requests: max(len(f.sends), len(f.talks)), InFlight: f.test.Places(), StartNS: startNS, Draining: r.draining.Load}
	switch {
	case f.talks != nil:
		broke := make(chan error, len(f.talks))
		load.Closed(ctx, plan, r.Clock.Now, func(ctx context.Context, i int, scheduledNS int64) {
			err := f.talks[i].hold(ctx, r, scheduledNS, func(index int, scheduledNS int64, req record.Request) {
				req.Index, req.ScheduledNS = index, scheduledNS
				took(req)
			})
			if err != nil {
				broke <- err
				cancel(err)
			}
		})
		close(broke)
		return <-broke
	case f.open != nil:
		f.open.send(ctx, r, startNS, func(ctx context.Context, i int, dueNS, heldNS int64) {
			var held *int64
			if heldNS > 0 {
				held = &heldNS
			}
			one(ctx, i, dueNS, held)
		})
	default:
		load.Closed(ctx, plan, r.Clock.Now, func(ctx context.Context, i int, scheduledNS int64) { one(ctx, i, scheduledNS, nil) })
	}
	return nil
}

// collector takes requests as they end, from any goroutine and without blocking it, and deals with one after the other.
type collector struct {
	ended    chan record.Request
	done     chan struct{}
	requests []record.Request
	err      error
}

// collect begins; at most room requests come. each is called with all that have ended after every one, until it fails.
func collect(room int, each func(all []record.Request) error) *collector {
	c := &collector{ended: make(chan record.Request, room), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		for req := range c.ended {
			c.requests = append(c.requests, req)
			if c.err == nil {
				c.err = each(c.requests)
			}
		}
	}()
	return c
}

// all is what came, after the last has ended.
func (c *collector) all() ([]record.Request, error) {
	close(c.ended)
	<-c.done
	return c.requests, c.err
}
