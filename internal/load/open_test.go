package load

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bench/internal/record"
)

// opened is what an open load did: for each index when it was due, sent, and for how long it was held back.
type opened struct {
	mu              sync.Mutex
	due, sent, held map[int]int64
	flying, most    int
}

// runOpen runs a plan on virtual time; each request takes as long as took says.
func runOpen(ctx context.Context, plan OpenPlan, took func(i int) time.Duration) (*opened, int) {
	o := &opened{due: map[int]int64{}, sent: map[int]int64{}, held: map[int]int64{}}
	start := time.Now()
	now := func() int64 { return plan.StartNS + int64(time.Since(start)) }
	n := Open(ctx, plan, now, func(ctx context.Context, i int, dueNS, heldNS int64) {
		o.mu.Lock()
		o.due[i], o.sent[i], o.held[i] = dueNS, now(), heldNS
		o.flying++
		o.most = max(o.most, o.flying)
		o.mu.Unlock()
		select {
		case <-time.After(took(i)):
		case <-ctx.Done():
		}
		o.mu.Lock()
		o.flying--
		o.mu.Unlock()
	})
	return o, n
}

// TestOpenKeepsItsSchedule: every request is sent at the instant it was due, to the nanosecond, however slow the answers.
func TestOpenKeepsItsSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := OpenPlan{StartNS: 1000, Due: Schedule(record.Arrivals{RequestRate: 50, Burstiness: new(1.0)}, 500, Stream(1, "arrivals", "t", 0))}
		o, n := runOpen(t.Context(), plan, func(i int) time.Duration { return time.Duration(i%7) * time.Second })
		if n != 500 || len(o.sent) != 500 {
			t.Fatalf("launched %d, sent %d", n, len(o.sent))
		}
		for i, due := range plan.Due {
			if want := plan.StartNS + int64(due); o.due[i] != want || o.sent[i] != want || o.held[i] != 0 {
				t.Fatalf("request %d was due at %d, sent at %d, held %d; want %d", i, o.due[i], o.sent[i], o.held[i], want)
			}
		}
	})
}

// TestOpenNaps: only the last stretch before an instant is napped through, and a nap that ends early makes nothing early.
func TestOpenNaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := OpenPlan{Due: Schedule(record.Arrivals{RequestRate: 300, Burstiness: new(1.0)}, 200, Stream(1, "arrivals", "t", 0))}
		naps := 0
		plan.Nap = func(d time.Duration) {
			if naps++; d <= 0 || d > napAhead {
				t.Errorf("a nap of %v", d)
			}
			time.Sleep((d + 1) / 2)
		}
		o, _ := runOpen(t.Context(), plan, func(int) time.Duration { return 0 })
		for i, due := range plan.Due {
			if o.sent[i] != int64(due) {
				t.Fatalf("request %d was sent at %d, due at %d", i, o.sent[i], due)
			}
		}
		if naps < 200 {
			t.Errorf("%d naps", naps)
		}
	})
}

// TestOpenHoldsBack: with a bound on those in flight a request waits for its place, keeps the instant it was due, and all
// of its lateness is told as being held back.
func TestOpenHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := OpenPlan{Most: 3}
		for i := range 120 {
			plan.Due = append(plan.Due, time.Duration(i)*100*time.Millisecond)
		}
		o, n := runOpen(t.Context(), plan, func(i int) time.Duration {
			if i < 20 {
				return time.Second // more than three of these are due at once; the later ones catch up
			}
			return 10 * time.Millisecond
		})
		if n != 120 || o.most != 3 {
			t.Errorf("launched %d, at most %d in flight", n, o.most)
		}
		held := 0
		for i, due := range plan.Due {
			if o.due[i] != int64(due) || o.sent[i]-o.due[i] != o.held[i] {
				t.Errorf("request %d was due at %d, sent at %d, held %d", i, o.due[i], o.sent[i], o.held[i])
			}
			if o.held[i] > 0 {
				held++
			}
		}
		if held == 0 || held == 120 || o.held[119] != 0 {
			t.Errorf("%d of 120 were held back, the last for %d", held, o.held[119])
		}
	})
}

// TestOpenStops: a load that is stopped launches nothing more, while it waits for an instant and while it waits for a
// place, and ends when the requests in flight have.
func TestOpenStops(t *testing.T) {
	for name, most := range map[string]int{"waiting for its instant": 0, "waiting for a place": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stop atomic.Bool
				plan := OpenPlan{Most: most, Due: []time.Duration{0, time.Second, time.Hour}, Stopped: stop.Load}
				time.AfterFunc(2*time.Second, func() { stop.Store(true) })
				start := time.Now()
				o, n := runOpen(t.Context(), plan, func(int) time.Duration { return 5 * time.Second })
				if want := 2 - most; n != want || len(o.sent) != want {
					t.Errorf("launched %d, sent %d, want %d", n, len(o.sent), want)
				}
				if took := time.Since(start); took < 5*time.Second || took > 6*time.Second {
					t.Errorf("it took %v", took)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				start := time.Now()
				plan := OpenPlan{Most: most, Due: []time.Duration{0, time.Second, time.Hour}}
				if _, n := runOpen(ctx, plan, func(int) time.Duration { return 5 * time.Second }); n != 2-most || time.Since(start) != 2*time.Second {
					t.Errorf("cancelled: launched %d, took %v", n, time.Since(start))
				}
			})
		})
	}
}
