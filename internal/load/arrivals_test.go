package load

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"bench/internal/record"
)

// TestScheduleLaws: the gaps of a schedule have the mean 1/rate and the coefficient of variation 1/√burstiness, and are
// independent of each other.
func TestScheduleLaws(t *testing.T) {
	const n, rate = 200_000, 20.0
	for _, c := range []struct {
		name       string
		burstiness *float64
		cv         float64
	}{
		{"even", nil, 0},
		{"Poisson", new(1.0), 1},
		{"bursty", new(0.25), 2},
		{"very bursty", new(0.04), 5},
		{"smooth", new(16.0), 0.25},
	} {
		due := Schedule(record.Arrivals{RequestRate: rate, Burstiness: c.burstiness}, n, Stream(1, "arrivals", c.name, 0))
		if !slices.IsSorted(due) {
			t.Errorf("%s: not in order", c.name)
		}
		gaps := gapsOf(due)
		mean, sd := moments(gaps)
		// Five standard errors of the mean; the deviation's is larger for heavy tails, 10 % are far beyond it here.
		if bound := 5*c.cv/rate/math.Sqrt(n) + 1e-8; math.Abs(mean-1/rate) > bound {
			t.Errorf("%s: mean gap %v s, want %v ± %v", c.name, mean, 1/rate, bound)
		}
		if math.Abs(sd*rate-c.cv) > 0.1*c.cv+1e-6 {
			t.Errorf("%s: coefficient of variation %v, want %v", c.name, sd*rate, c.cv)
		}
		if c.cv == 0 {
			continue
		}
		lag := 0.0
		for i := 1; i < len(gaps); i++ {
			lag += (gaps[i] - mean) * (gaps[i-1] - mean)
		}
		if r := lag / float64(len(gaps)) / sd / sd; math.Abs(r) > 5/math.Sqrt(n)*max(1, c.cv) {
			t.Errorf("%s: neighbouring gaps are correlated: %v", c.name, r)
		}
	}
}

// TestPoissonCounts: a Poisson schedule has as much variance as mean in the counts of a second.
func TestPoissonCounts(t *testing.T) {
	due := Schedule(record.Arrivals{RequestRate: 5, Burstiness: new(1.0)}, 100_000, Stream(7, "arrivals", "counts", 0))
	counts := make([]float64, int(due[len(due)-1]/time.Second))
	for _, d := range due {
		if i := int(d / time.Second); i < len(counts) {
			counts[i]++
		}
	}
	mean, sd := moments(counts)
	if ratio := sd * sd / mean; math.Abs(ratio-1) > 0.1 {
		t.Errorf("variance is %v times the mean %v, want 1", ratio, mean)
	}
}

// TestRamps: an even schedule follows the ramp gap by gap, and lasts as long as said before.
func TestRamps(t *testing.T) {
	for _, a := range []record.Arrivals{
		{RampUpStrategy: record.RampLinear, RampUpStartRPS: 1, RampUpEndRPS: 9},
		{RampUpStrategy: record.RampExponential, RampUpStartRPS: 1, RampUpEndRPS: 16},
		{RampUpStrategy: record.RampExponential, RampUpStartRPS: 8, RampUpEndRPS: 2},
	} {
		const n = 5
		due := Schedule(a, n, nil) // even gaps draw nothing
		rate := func(i int) float64 { return 1 / gapsOf(due)[i] }
		if math.Abs(rate(0)-a.RampUpStartRPS) > 1e-6 || math.Abs(rate(n-1)-a.RampUpEndRPS) > 1e-6 {
			t.Errorf("%+v: begins at %v, ends at %v", a, rate(0), rate(n-1))
		}
		middle := (a.RampUpStartRPS + a.RampUpEndRPS) / 2
		if a.RampUpStrategy == record.RampExponential {
			middle = math.Sqrt(a.RampUpStartRPS * a.RampUpEndRPS)
		}
		if math.Abs(rate(n/2)-middle) > 1e-6 {
			t.Errorf("%+v: half-way at %v, want %v", a, rate(n/2), middle)
		}
		if d := MeanLength(a, n) - due[n-1]; d.Abs() > time.Microsecond {
			t.Errorf("%+v: lasts %v, said %v", a, due[n-1], MeanLength(a, n))
		}
	}
}

// TestStreams: a schedule depends on seed, purpose, test and repeat, and on nothing else.
func TestStreams(t *testing.T) {
	draw := func(r *rand.Rand) uint64 { return r.Uint64() }
	if one, again := draw(Stream(1, "a", "T", 0)), draw(Stream(1, "a", "T", 0)); one != again {
		t.Error("two streams of one name differ")
	}
	seen := map[uint64]bool{}
	for _, v := range []*rand.Rand{Stream(1, "a", "T", 0), Stream(2, "a", "T", 0), Stream(1, "b", "T", 0), Stream(1, "a", "U", 0), Stream(1, "a", "T", 1), Stream(1, "aT", "", 0)} {
		seen[draw(v)] = true
	}
	if len(seen) != 6 {
		t.Errorf("%d of 6 streams differ", len(seen))
	}
}

// gapsOf are the gaps in seconds, the one before the first request included.
func gapsOf(due []time.Duration) []float64 {
	gaps := make([]float64, len(due))
	last := time.Duration(0)
	for i, d := range due {
		gaps[i], last = (d - last).Seconds(), d
	}
	return gaps
}

func moments(xs []float64) (mean, sd float64) {
	for _, x := range xs {
		mean += x / float64(len(xs))
	}
	for _, x := range xs {
		sd += (x - mean) * (x - mean) / float64(len(xs))
	}
	return mean, math.Sqrt(sd)
}

// TestLengths: drawn evenly from all whole numbers of the range, the ends included.
func TestLengths(t *testing.T) {
	const n, mean, ratio = 100_000, 50, 0.2 // 40 to 60: 21 lengths
	counts := map[int]int{}
	for _, v := range Lengths(n, mean, ratio, Stream(3, "lengths", "t", 0)) {
		counts[v]++
	}
	if len(counts) != 21 {
		t.Errorf("%d different lengths, want 21", len(counts))
	}
	for v, c := range counts {
		if want := n / 21.0; v < 40 || v > 60 || math.Abs(float64(c)-want) > 5*math.Sqrt(want) {
			t.Errorf("length %d was drawn %d times, want about %.0f", v, c, want)
		}
	}
	if got := Lengths(3, 7, 0, Stream(3, "lengths", "t", 0)); !slices.Equal(got, []int{7, 7, 7}) {
		t.Errorf("ratio 0 draws %v", got)
	}
	if low := slices.Min(Lengths(1000, 2, 0.9, Stream(3, "lengths", "t", 0))); low != 1 {
		t.Errorf("the shortest of two tokens on average is %d, want 1", low)
	}
}
