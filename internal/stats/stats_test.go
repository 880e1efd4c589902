package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func near(a, b, tol float64) bool { return math.Abs(a-b) <= tol*max(1, math.Abs(b)) }

// The expected values are numpy.percentile's (default method, "linear").
func TestQuantileAgreesWithNumPy(t *testing.T) {
	ps := []float64{0, 0.10, 0.25, 0.50, 0.90, 0.95, 0.99, 1}
	for _, c := range []struct{ xs, want []float64 }{
		{[]float64{1, 2, 3, 4}, []float64{1, 1.3, 1.75, 2.5, 3.7, 3.85, 3.97, 4}},
		{[]float64{15, 20, 35, 40, 50}, []float64{15, 17, 20, 35, 46, 48, 49.6, 50}},
		{[]float64{3.5, -1, 8, 8, 2, 0.25, 11}, []float64{-1, -0.25, 1.125, 3.5, 9.2, 10.1, 10.82, 11}},
		{[]float64{7}, []float64{7, 7, 7, 7, 7, 7, 7, 7}},
	} {
		before := slices.Clone(c.xs)
		for i, p := range ps {
			if got, ok := Quantile(c.xs, p); !ok || !near(got, c.want[i], 1e-12) {
				t.Errorf("Quantile(%v, %v) = %v, %v; want %v", c.xs, p, got, ok, c.want[i])
			}
		}
		if !slices.Equal(before, c.xs) {
			t.Errorf("Quantile changed its argument to %v", c.xs)
		}
	}
}

func TestQuantileRefuses(t *testing.T) {
	for _, p := range []float64{-0.01, 1.01, math.NaN()} {
		if _, ok := Quantile([]float64{1, 2}, p); ok {
			t.Errorf("Quantile at p = %v: want not ok", p)
		}
	}
	if _, ok := Quantile(nil, 0.5); ok {
		t.Error("Quantile of nothing: want not ok")
	}
}

// Laws: within the extremes, never falling in p, and it moves and scales with the samples.
func TestQuantileLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		xs := make([]float64, 1+rng.IntN(40))
		for i := range xs {
			xs[i] = rng.NormFloat64() * 100
		}
		last := math.Inf(-1)
		for p := 0.0; p <= 1; p += 1.0 / 64 {
			q, _ := Quantile(xs, p)
			if q < slices.Min(xs) || q > slices.Max(xs) || q < last {
				t.Fatalf("quantile %v of %v is %v, after %v", p, xs, q, last)
			}
			last = q
			shifted := make([]float64, len(xs))
			for i, x := range xs {
				shifted[i] = 3*x + 5
			}
			if s, _ := Quantile(shifted, p); !near(s, 3*q+5, 1e-9) {
				t.Fatalf("quantile of 3x+5 is %v, want %v", s, 3*q+5)
			}
		}
	}
}

func TestMeanAndSD(t *testing.T) {
	xs := []float64{12.1, 11.8, 12.6, 12.0, 12.4}
	mean, _ := Mean(xs)
	sd, _ := SD(xs)
	if !near(mean, 12.18, 1e-12) || !near(sd, 0.31937438845342603, 1e-12) { // numpy.mean, numpy.std(ddof=1)
		t.Errorf("mean %v, sd %v", mean, sd)
	}
	if m, _ := Mean([]float64{1e308, 1e308}); m != 1e308 {
		t.Errorf("mean of two large values is %v", m)
	}
	if _, ok := Mean(nil); ok {
		t.Error("mean of nothing: want not ok")
	}
	if _, ok := SD([]float64{1}); ok {
		t.Error("SD of one value: want not ok")
	}
}

func TestMinN(t *testing.T) {
	for _, c := range []struct {
		p    float64
		want int
	}{{0.5, 6}, {0.1, 29}, {0.9, 29}, {0.95, 59}, {0.99, 299}, {0, 0}, {1, 0}, {math.NaN(), 0}} {
		if got := MinN(c.p); got != c.want {
			t.Errorf("MinN(%v) = %d, want %d", c.p, got, c.want)
		}
	}
	// The stated reason, tried out: the range of MinN values covers the quantile in 95 % of draws.
	rng := rand.New(rand.NewPCG(3, 4))
	for _, p := range []float64{0.5, 0.9, 0.95} {
		const draws = 20000
		covered := 0
		for range draws {
			lo, hi := 1.0, 0.0
			for range MinN(p) {
				u := rng.Float64()
				lo, hi = min(lo, u), max(hi, u)
			}
			if lo <= p && p <= hi {
				covered++
			}
		}
		if share := float64(covered) / draws; share < 0.945 {
			t.Errorf("range of MinN(%v) values covers the quantile in %.3f of draws", p, share)
		}
	}
}

func TestPercentileNeedsEnoughValues(t *testing.T) {
	xs := make([]float64, 29)
	for i := range xs {
		xs[i] = float64(i)
	}
	if got := PercentileSorted(xs, 0.9); got == nil || !near(*got, 25.2, 1e-12) {
		t.Errorf("p90 of 0..28 = %v, want 25.2", got)
	}
	if got := PercentileSorted(xs[:28], 0.9); got != nil {
		t.Errorf("p90 of 28 values = %v, want none", *got)
	}
	if PercentileSorted(nil, 0.5) != nil {
		t.Error("percentile of nothing: want none")
	}
}

func TestOverRepeats(t *testing.T) {
	if _, ok := OverRepeats([]float64{1, 2, 3, 4}); ok {
		t.Error("an interval from four repeats: want none")
	}
	iv, ok := OverRepeats([]float64{12.1, 11.8, 12.6, 12.0, 12.4})
	// 12.18 ± 2.776445 × 0.319374 / √5
	if !ok || !near(iv.Mean, 12.18, 1e-9) || !near(iv.Low, 11.783445, 1e-6) || !near(iv.High, 12.576555, 1e-6) {
		t.Errorf("interval %+v, %v", iv, ok)
	}
	if iv, _ := OverRepeats([]float64{3, 3, 3, 3, 3}); iv.Low != 3 || iv.High != 3 {
		t.Errorf("interval of equal repeats is %+v, want 3 to 3", iv)
	}
}

// The expected quantiles were computed to 30 digits from the incomplete beta function.
func TestTQuantile(t *testing.T) {
	for df, want := range map[float64]float64{
		4: 2.77644511, 10: 2.22813885, 11: 2.20098516, 20: 2.08596345, 30: 2.04227246,
		40: 2.02107539, 60: 2.00029782, 120: 1.97993041, 1000: 1.96233908,
	} {
		if got := tQuantile(0.975, df); !near(got, want, 1e-8) {
			t.Errorf("tQuantile(0.975, %g) = %.9f, want %.8f", df, got, want)
		}
	}
	// With one degree of freedom it is the Cauchy distribution, with two a root.
	for _, p := range []float64{0.6, 0.9, 0.99, 0.9995} {
		if got, want := tQuantile(p, 1), math.Tan(math.Pi*(p-0.5)); !near(got, want, 1e-9) {
			t.Errorf("tQuantile(%g, 1) = %g, want %g", p, got, want)
		}
		if got, want := tQuantile(p, 2), (2*p-1)/math.Sqrt(2*p*(1-p)); !near(got, want, 1e-9) {
			t.Errorf("tQuantile(%g, 2) = %g, want %g", p, got, want)
		}
	}
	for df := 5.0; df < 500; df += 0.5 {
		if tQuantile(0.975, df) >= tQuantile(0.975, df-0.5) {
			t.Errorf("the quantile does not fall from %g to %g degrees of freedom", df-0.5, df)
		}
	}
}

func TestOverRatio(t *testing.T) {
	a, b := []float64{100, 104, 97, 101, 99}, []float64{118, 123, 121, 117, 125}
	iv, ok := OverRatio(a, b, 0.95)
	if !ok || !near(iv.Mean, 604.0/501, 1e-12) || iv.Low >= iv.Mean || iv.High <= iv.Mean {
		t.Fatalf("interval %+v, %v", iv, ok)
	}
	back, _ := OverRatio(b, a, 0.95)
	if !near(back.Low, 1/iv.High, 1e-9) || !near(back.High, 1/iv.Low, 1e-9) {
		t.Errorf("the other way round it is %+v, want the inverse of %+v", back, iv)
	}
	if wide, _ := OverRatio(a, b, 0.999); wide.Low >= iv.Low || wide.High <= iv.High {
		t.Errorf("a surer interval %+v is not wider than %+v", wide, iv)
	}
	if same, ok := OverRatio([]float64{2, 2, 2, 2, 2}, []float64{3, 3, 3, 3, 3}, 0.95); !ok || same.Low != 1.5 || same.High != 1.5 {
		t.Errorf("interval of equal repeats is %+v, want 1.5 to 1.5", same)
	}
	for _, few := range [][2][]float64{{a[:4], b}, {a, b[:4]}, {a, {0, 1, 1, 1, 1}}, {nil, nil}} {
		if _, ok := OverRatio(few[0], few[1], 0.95); ok {
			t.Errorf("an interval from %v: want none", few)
		}
	}
}

// The interval holds the true ratio as often as it says, also where the two sides scatter differently.
func TestOverRatioCoverage(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const tests = 4000
	for _, sd := range [][2]float64{{2, 2}, {1, 8}, {5, 10}} {
		held := 0
		for range tests {
			var a, b []float64
			for range 5 {
				a = append(a, 100+sd[0]*rng.NormFloat64())
				b = append(b, 130+sd[1]*rng.NormFloat64())
			}
			if iv, ok := OverRatio(a, b, 0.95); ok && iv.Low <= 1.3 && 1.3 <= iv.High {
				held++
			}
		}
		if share := float64(held) / tests; share < 0.935 || share > 0.97 {
			t.Errorf("spread %v: the interval holds the ratio in %.1f %% of %d tests, want 95", sd, 100*share, tests)
		}
	}
}

// A trend is seen in random values in at most one case of twenty, and always where every step goes one way.
func TestTrend(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{5, 6, 8, 10, 11, 20, 50} {
		const tests = 5000
		seen := 0
		for range tests {
			xs := make([]float64, n)
			for i := range xs {
				xs[i] = rng.NormFloat64()
			}
			if Trend(xs) {
				seen++
			}
		}
		if share := float64(seen) / tests; share > 0.06 || share < 0.01 {
			t.Errorf("%d values: a trend in %.1f %% of random orders, want at most 5", n, 100*share)
		}
		up, down, flat := make([]float64, n), make([]float64, n), make([]float64, n)
		for i := range n {
			up[i], down[i] = float64(i), -float64(i)
		}
		if !Trend(up) || !Trend(down) || Trend(flat) {
			t.Errorf("%d values: up %v, down %v, flat %v", n, Trend(up), Trend(down), Trend(flat))
		}
	}
	if Trend([]float64{1, 2, 3, 4}) {
		t.Error("a trend of four values: want none")
	}
}
