package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestCoverage: the requests of a burst share its luck. The interval over repeats holds the true mean as often as it
// says; one over the requests, as if they were independent, does not come near.
func TestCoverage(t *testing.T) {
	const (
		tests    = 4000
		requests = 16
		truth    = 1000.0
	)
	for _, repeats := range []int{5, 10, 30} {
		rng := rand.New(rand.NewPCG(7, uint64(repeats)))
		overRepeats, overRequests := 0, 0
		for range tests {
			var means, all []float64
			for range repeats {
				shared := 50 * rng.NormFloat64() // what all requests of the burst have in common
				sum := 0.0
				for range requests {
					v := truth + shared + 20*rng.NormFloat64()
					all = append(all, v)
					sum += v
				}
				means = append(means, sum/requests)
			}
			if iv, ok := OverRepeats(means); ok && iv.Low <= truth && truth <= iv.High {
				overRepeats++
			}
			mean, _ := Mean(all)
			sd, _ := SD(all)
			if math.Abs(mean-truth) <= 1.96*sd/math.Sqrt(float64(len(all))) {
				overRequests++
			}
		}
		if share := float64(overRepeats) / tests; share < 0.94 || share > 0.96 {
			t.Errorf("%d repeats: the interval over repeats holds the mean in %.1f %% of %d tests, want 95", repeats, 100*share, tests)
		}
		if share := float64(overRequests) / tests; share > 0.7 {
			t.Errorf("%d repeats: an interval over requests holds the mean in %.1f %%: the requests are not correlated enough to tell", repeats, 100*share)
		}
	}
}
