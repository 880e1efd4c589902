package runner

import (
	"math/rand/v2"
	"testing"
	"time"

	"bench/internal/load"
	"bench/internal/record"
)

// oneAtATime is what a server that takes one request at a time, each for as long as service says, makes of a schedule.
func oneAtATime(due []time.Duration, service func() time.Duration) []record.Request {
	free := time.Duration(0)
	out := make([]record.Request, len(due))
	for i, at := range due {
		begin := max(at, free)
		free = begin + service()
		out[i] = record.Request{Index: i, ScheduledNS: int64(at), SentNS: int64(at), FirstTokenNS: new(int64(begin)), LastTokenNS: new(int64(free)), EndNS: int64(free), Success: true}
	}
	return out
}

// stoppedAt is after how many requests the load is stopped, judged as it is while it runs; 0 for never.
func stoppedAt(requests []record.Request, variation float64) int {
	for n := minEnded; n <= len(requests); n += max(minEnded/4, n/10) {
		if waitingGrows(requests[:n], variation) != nil {
			return n
		}
	}
	return 0
}

// TestWaitingGrows against a queue whose load is known: no load of 90 % of what the server takes is stopped, however uneven, and
// one of 150 % always.
func TestWaitingGrows(t *testing.T) {
	const n, seeds = 2500, 100
	for _, c := range []struct {
		name       string
		burstiness *float64
		variation  float64
	}{{"even", nil, 1}, {"Poisson", new(1.0), 1}, {"bursty", new(0.25), 2}} {
		falsely, missed, at := 0, 0, 0
		for seed := range int64(seeds) {
			rng := rand.New(rand.NewPCG(uint64(seed), 1))
			service := func() time.Duration { return time.Duration((0.5 + rng.Float64()) * float64(100*time.Millisecond)) }
			for _, rate := range []float64{9, 15} {
				due := load.Schedule(record.Arrivals{RequestRate: rate, Burstiness: c.burstiness}, n, load.Stream(seed, "arrivals", c.name, 0))
				stop := stoppedAt(oneAtATime(due, service), c.variation)
				if rate < 10 && stop > 0 {
					falsely++
				}
				if rate > 10 && stop == 0 {
					missed++
				}
				at = max(at, stop)
			}
		}
		t.Logf("%s: %d of %d stable loads stopped, %d of %d missed, the latest stopped after %d requests", c.name, falsely, seeds, missed, seeds, at)
		if falsely > seeds/100 || missed > 0 {
			t.Errorf("%s: %d stable loads were stopped, %d unstable ones missed", c.name, falsely, missed)
		}
	}
}

// TestQueueGrows: a queue that rises and falls is none that grows, one that levels off neither.
func TestQueueGrows(t *testing.T) {
	at, rising, level, wave := make([]float64, 60), make([]float64, 60), make([]float64, 60), make([]float64, 60)
	for i := range at {
		at[i] = float64(i) / 2
		rising[i] = 1 + 6*at[i]
		level[i] = min(1+20*at[i], 60)
		wave[i] = 5 + float64(i%20)
	}
	if s := queueGrows(at, rising, 20, 1); s == nil || s.GrowthPerSec < 5.9 || s.GrowthPerSec > 6.1 {
		t.Errorf("six more a second: %+v", s)
	}
	for name, waiting := range map[string][]float64{"levels off": level, "wave": wave} {
		if s := queueGrows(at, waiting, 20, 1); s != nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s := queueGrows(at, rising, 2000, 1); s != nil {
		t.Errorf("six more a second of 2000 offered is chance: %+v", s)
	}
}
