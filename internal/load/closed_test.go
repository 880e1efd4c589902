package load

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// launch is what a Send was told, and when it ran.
type launch struct {
	index                   int
	scheduledNS, start, end int64
}

// recorder takes down launches and how many were in flight at once.
type recorder struct {
	start   time.Time
	mu      sync.Mutex
	all     []launch
	flying  int
	highest int
}

func (r *recorder) now() int64 { return int64(time.Since(r.start)) }

// send takes index-dependent time, or less if the context ends.
func (r *recorder) send(took func(index int) time.Duration) Send {
	return func(ctx context.Context, index int, scheduledNS int64) {
		start := r.now()
		r.mu.Lock()
		r.flying++
		r.highest = max(r.highest, r.flying)
		r.mu.Unlock()
		select {
		case <-time.After(took(index)):
		case <-ctx.Done():
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.flying--
		r.all = append(r.all, launch{index, scheduledNS, start, r.now()})
	}
}

func (r *recorder) byIndex() []launch {
	slices.SortFunc(r.all, func(a, b launch) int { return a.index - b.index })
	return r.all
}

const second = int64(time.Second)

// In a bubble time stands still while goroutines run, so that every instant is exact, and the bubble
// fails the test if a goroutine is left.
func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{start: time.Now()}
		// Request i takes i+1 seconds; two in flight.
		n := Closed(t.Context(), Plan{Requests: 5, InFlight: 2}, r.now, r.send(func(i int) time.Duration { return time.Duration(i+1) * time.Second }))
		want := []launch{
			{0, 0, 0, 1 * second},
			{1, 0, 0, 2 * second},
			{2, 1 * second, 1 * second, 4 * second}, // after request 0
			{3, 2 * second, 2 * second, 6 * second}, // after request 1
			{4, 4 * second, 4 * second, 9 * second}, // after request 2
		}
		if got := r.byIndex(); n != 5 || !reflect.DeepEqual(got, want) {
			t.Errorf("launched %d\n got %v\nwant %v", n, got, want)
		}
		if r.highest != 2 {
			t.Errorf("%d in flight", r.highest)
		}
	})
}

// The laws of a closed load: each index once, never more in flight than asked and as many while
// there is work, each scheduled for the release or for an end.
func TestClosedLaws(t *testing.T) {
	for _, plan := range []Plan{{Requests: 1, InFlight: 1}, {Requests: 10, InFlight: 1}, {Requests: 32, InFlight: 32}, {Requests: 3, InFlight: 8},
		{Requests: 500, InFlight: 7}} {
		t.Run(fmt.Sprintf("%d of %d", plan.InFlight, plan.Requests), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Minute) // the release instant is not the start of the clock
				r := &recorder{start: time.Now().Add(-time.Minute)}
				n := Closed(t.Context(), plan, r.now, r.send(func(i int) time.Duration { return time.Duration(1+hash(fmt.Sprint(i))%1000) * time.Millisecond }))
				if n != plan.Requests || len(r.all) != plan.Requests {
					t.Fatalf("launched %d, sent %d of %d", n, len(r.all), plan.Requests)
				}
				if r.highest != min(plan.InFlight, plan.Requests) {
					t.Errorf("%d in flight, asked for %d", r.highest, plan.InFlight)
				}
				ends := map[int64]bool{}
				for _, l := range r.all {
					ends[l.end] = true
				}
				for i, l := range r.byIndex() {
					release := i < plan.InFlight && l.scheduledNS == 60*second
					after := i >= plan.InFlight && ends[l.scheduledNS]
					if l.index != i || l.start != l.scheduledNS || !release && !after {
						t.Errorf("request %d: %+v", i, l)
					}
				}
			})
		})
	}
}

// Draining stops launches and lets those in flight run to their end.
func TestClosedDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{start: time.Now()}
		var draining atomic.Bool
		time.AfterFunc(2500*time.Millisecond, func() { draining.Store(true) })
		n := Closed(t.Context(), Plan{Requests: 100, InFlight: 2, Draining: draining.Load}, r.now, r.send(func(int) time.Duration { return time.Second }))
		if n != 6 || len(r.all) != 6 {
			t.Errorf("launched %d, sent %d", n, len(r.all))
		}
		for _, l := range r.all {
			if l.end-l.start != second {
				t.Errorf("cut short: %+v", l)
			}
		}
		if r.now() != 3*second {
			t.Errorf("returned at %v", time.Duration(r.now()))
		}
	})
}

// Cancelling ends those in flight at once and launches no more.
func TestClosedCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		r := &recorder{start: time.Now()}
		n := Closed(ctx, Plan{Requests: 100, InFlight: 2}, r.now, r.send(func(int) time.Duration { return time.Second }))
		if n != 6 || len(r.all) != 6 || r.now() != 2*second+second/2 {
			t.Errorf("launched %d, sent %d, returned at %v", n, len(r.all), time.Duration(r.now()))
		}
		if n := Closed(ctx, Plan{Requests: 100, InFlight: 2}, r.now, r.send(func(int) time.Duration { return time.Second })); n != 0 {
			t.Errorf("launched %d after the end", n)
		}
	})
}

func TestClosedNothingToDo(t *testing.T) {
	draining := func() bool { return true }
	for _, plan := range []Plan{{}, {Requests: 3}, {InFlight: 3}, {Requests: 3, InFlight: 3, Draining: draining}} {
		n := Closed(t.Context(), plan, func() int64 { return 0 }, func(context.Context, int, int64) { t.Errorf("%+v sent something", plan) })
		if n != 0 {
			t.Errorf("%+v launched %d", plan, n)
		}
	}
}

// BenchmarkClosed is the executor's own cost per request.
func BenchmarkClosed(b *testing.B) {
	for _, inFlight := range []int{1, 8, 32, 1024} {
		b.Run(fmt.Sprint(inFlight), func(b *testing.B) {
			start := time.Now()
			now := func() int64 { return int64(time.Since(start)) }
			Closed(b.Context(), Plan{Requests: b.N, InFlight: inFlight}, now, func(context.Context, int, int64) {})
		})
	}
}

// BenchmarkBurst measures how late the sends of a burst begin after their scheduled instant, where
// each takes the 20 µs of processor time that a write to a socket takes.
func BenchmarkBurst(b *testing.B) {
	for _, inFlight := range []int{8, 32, 256} {
		b.Run(fmt.Sprint(inFlight), func(b *testing.B) {
			start := time.Now()
			now := func() int64 { return int64(time.Since(start)) }
			late := make([]int64, inFlight)
			var first, last []int64
			for b.Loop() {
				Closed(b.Context(), Plan{Requests: inFlight, InFlight: inFlight}, now, func(_ context.Context, index int, scheduledNS int64) {
					late[index] = now() - scheduledNS
					for until := now() + 20_000; now() < until; {
					}
				})
				first, last = append(first, slices.Min(late)), append(last, slices.Max(late))
			}
			slices.Sort(first)
			slices.Sort(last)
			b.ReportMetric(float64(first[len(first)/2])/1e3, "first-µs")
			b.ReportMetric(float64(last[len(last)/2])/1e3, "last-µs")
		})
	}
}
