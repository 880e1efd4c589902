package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestTruncate: a series that approaches a level and then fluctuates about it, as the number of requests in flight does, is
// cut where it has arrived; one at rest is hardly cut, and one that grows to the end has no level.
func TestTruncate(t *testing.T) {
	const n, trials = 600, 200
	series := func(rng *rand.Rand, level func(i int) float64) []float64 {
		xs, noise := make([]float64, n), 0.0
		for i := range xs {
			noise = 0.8*noise + rng.NormFloat64() // neighbours are alike
			xs[i] = level(i) + noise
		}
		return xs
	}
	for _, c := range []struct {
		name           string
		level          func(i int) float64
		found          int // of the trials, at least
		notMore        int // likewise
		meanLow, upper float64
	}{
		{"rises for 100", func(i int) float64 { return 20 * min(1, float64(i)/100) }, trials * 9 / 10, trials, 60, 160},
		{"approaches exponentially", func(i int) float64 { return 20 * (1 - math.Exp(-float64(i)/40)) }, trials * 9 / 10, trials, 60, 240},
		{"at rest", func(int) float64 { return 20 }, trials * 3 / 5, trials, 0, 150},
		{"grows", func(i int) float64 { return 20 * float64(i) / n }, 0, trials / 50, 0, n},
	} {
		found, sum := 0, 0
		for seed := range uint64(trials) {
			if cut, ok := Truncate(series(rand.New(rand.NewPCG(seed, 1)), c.level)); ok {
				found, sum = found+1, sum+cut
			}
		}
		mean := float64(sum) / math.Max(1, float64(found))
		t.Logf("%s: found in %d of %d, %.0f observations cut on average", c.name, found, trials, mean)
		if found < c.found || found > c.notMore || mean < c.meanLow || mean > c.upper {
			t.Errorf("%s: found in %d of %d, %.0f observations cut on average", c.name, found, trials, mean)
		}
	}
	if _, ok := Truncate(make([]float64, MinSteady-1)); ok {
		t.Error("too few observations have a level")
	}
	if cut, ok := Truncate(make([]float64, MinSteady)); cut != 0 || !ok {
		t.Errorf("%d of a constant were cut (%v)", cut, ok)
	}
}
