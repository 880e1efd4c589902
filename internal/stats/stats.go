// Package stats owns the statistics of samples: quantiles, means and intervals over repeats.
// It is pure: it never changes its arguments, reads no clock and knows no unit.
package stats

import (
	"math"
	"slices"
)

// Mean is the arithmetic mean; ok is false for no values.
func Mean(xs []float64) (mean float64, ok bool) {
	if len(xs) == 0 {
		return 0, false
	}
	// The running form neither overflows nor loses small values behind a large sum.
	for i, x := range xs {
		mean += (x - mean) / float64(i+1)
	}
	return mean, true
}

// SD is the sample standard deviation (n − 1); ok is false for fewer than two values.
func SD(xs []float64) (sd float64, ok bool) {
	if len(xs) < 2 {
		return 0, false
	}
	mean, _ := Mean(xs)
	var sum float64
	for _, x := range xs {
		sum += (x - mean) * (x - mean)
	}
	return math.Sqrt(sum / float64(len(xs)-1)), true
}

// Quantile is the p-quantile of xs, 0 ≤ p ≤ 1, by Hyndman and Fan's type 7: linear between the
// order statistics around (n − 1)p, NumPy's default. ok is false for no values or p outside [0, 1].
func Quantile(xs []float64, p float64) (q float64, ok bool) {
	xs = slices.Clone(xs)
	slices.Sort(xs)
	return QuantileSorted(xs, p)
}

// QuantileSorted is [Quantile] of values already in ascending order.
func QuantileSorted(xs []float64, p float64) (q float64, ok bool) {
	if len(xs) == 0 || !(p >= 0 && p <= 1) {
		return 0, false
	}
	h := float64(len(xs)-1) * p
	i := int(math.Floor(h))
	if i+1 >= len(xs) {
		return xs[len(xs)-1], true
	}
	return xs[i] + (h-float64(i))*(xs[i+1]-xs[i]), true
}

// MinN is the smallest number of values for which the p-quantile may be printed: as many as give
// a two-sided 95 % interval from order statistics, so that neither the lowest nor the highest value
// alone decides. The interval from the smallest to the largest of n values misses the quantile with
// probability pⁿ + (1 − p)ⁿ, which must be at most 5 %: n = 6 for the median, 29 for p90, 59 for p95,
// 299 for p99. It is 0 for p outside (0, 1).
func MinN(p float64) int {
	if !(p > 0 && p < 1) {
		return 0
	}
	n := 1
	for math.Pow(p, float64(n))+math.Pow(1-p, float64(n)) > 0.05 {
		n++
	}
	return n
}

// PercentileSorted is the p-quantile of values in ascending order if they are enough for it (see [MinN]), else nil.
func PercentileSorted(xs []float64, p float64) *float64 {
	if len(xs) == 0 || len(xs) < MinN(p) {
		return nil
	}
	q, ok := QuantileSorted(xs, p)
	if !ok {
		return nil
	}
	return &q
}
