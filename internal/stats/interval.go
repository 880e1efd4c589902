package stats

import (
	"math"
	"slices"
)

// MinRepeats is the number of repeats from which an interval is given; fewer are shown as values,
// because an interval from two or three is too wide and too fragile to decide anything.
const MinRepeats = 5

// Interval is a mean with its two-sided 95 % confidence interval, in the unit of the samples.
type Interval struct {
	Mean, Low, High float64
}

// OverRepeats is the 95 % t-interval of the mean over repeats, each value being one repeat's
// figure; ok is false for fewer than [MinRepeats]. Requests of one burst must not be passed as if
// they were repeats: they share engine steps and are not independent.
func OverRepeats(repeats []float64) (iv Interval, ok bool) {
	n := len(repeats)
	if n < MinRepeats {
		return Interval{}, false
	}
	mean, _ := Mean(repeats)
	sd, _ := SD(repeats)
	half := tQuantile(0.975, float64(n-1)) * sd / math.Sqrt(float64(n))
	return Interval{Mean: mean, Low: mean - half, High: mean + half}, true
}

// OverRatio is the two-sided confidence interval of mean(b)/mean(a) over repeats, at a level as 0.95; ok is false
// where either side has fewer than [MinRepeats] or any value that is not positive. It is Welch's interval on the
// logarithm of the ratio, the spread of each logarithm by the delta method: s²/(n·mean²).
func OverRatio(a, b []float64, level float64) (iv Interval, ok bool) {
	if min(len(a), len(b)) < MinRepeats || slices.Min(a) <= 0 || slices.Min(b) <= 0 {
		return Interval{}, false
	}
	meanA, varA := logSpread(a)
	meanB, varB := logSpread(b)
	ratio := meanB / meanA
	if varA+varB == 0 {
		return Interval{Mean: ratio, Low: ratio, High: ratio}, true
	}
	df := (varA + varB) * (varA + varB) / (varA*varA/float64(len(a)-1) + varB*varB/float64(len(b)-1))
	half := tQuantile((1+level)/2, df) * math.Sqrt(varA+varB)
	return Interval{Mean: ratio, Low: ratio * math.Exp(-half), High: ratio * math.Exp(half)}, true
}

// Trend says whether values rise or fall from one to the next by more than chance, two-sided at 5 %: Mann and Kendall's
// test, exact below eleven values (of five, all must go one way), by its normal approximation from there on. It is
// false for fewer than [MinRepeats].
func Trend(xs []float64) bool {
	n := len(xs)
	if n < MinRepeats {
		return false
	}
	s := 0
	for i := range xs {
		for j := i + 1; j < n; j++ {
			switch {
			case xs[j] > xs[i]:
				s++
			case xs[j] < xs[i]:
				s--
			}
		}
	}
	// The smallest |S| that a random order reaches in at most one case of twenty (Kendall, Rank Correlation Methods, table 1).
	exact := [...]int{10, 13, 15, 18, 20, 23} // 5–10
	if i := n - MinRepeats; i < len(exact) {
		return max(s, -s) >= exact[i]
	}
	v := float64(n*(n-1)*(2*n+5)) / 18
	return (math.Abs(float64(s))-1)/math.Sqrt(v) > 1.959964
}

// logSpread is a mean and the variance of its logarithm.
func logSpread(xs []float64) (mean, variance float64) {
	mean, _ = Mean(xs)
	sd, _ := SD(xs)
	return mean, sd * sd / (float64(len(xs)) * mean * mean)
}

// tQuantile is the p-quantile, 0.5 < p < 1, of Student's t with df > 0 degrees of freedom, which need not be whole.
func tQuantile(p, df float64) float64 {
	low, high := 0.0, 1.0
	for tCDF(high, df) < p {
		low, high = high, 2*high
	}
	for range 100 { // halving: far beyond what a float64 holds
		if mid := (low + high) / 2; tCDF(mid, df) < p {
			low = mid
		} else {
			high = mid
		}
	}
	return (low + high) / 2
}

// tCDF is the distribution function of Student's t for t ≥ 0 (Abramowitz and Stegun 26.7.1, 26.5.27).
func tCDF(t, df float64) float64 { return 1 - incompleteBeta(df/2, 0.5, df/(df+t*t))/2 }

// incompleteBeta is the regularised incomplete beta function I_x(a, b), by its continued fraction
// (Abramowitz and Stegun 26.5.8) on the side where that converges fast.
func incompleteBeta(a, b, x float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	case x > (a+1)/(a+b+2):
		return 1 - incompleteBeta(b, a, 1-x)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab-la-lb+a*math.Log(x)+b*math.Log1p(-x)) / a
	// Lentz's evaluation; tiny stands for a denominator of zero.
	const tiny = 1e-300
	c, d := 1.0, 1-(a+b)*x/(a+1)
	if d == 0 {
		d = tiny
	}
	d = 1 / d
	sum := d
	for m := 1.0; m < 1000; m++ {
		for _, term := range [2]float64{
			m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m)),
			-(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1)),
		} {
			if d = 1 + term*d; d == 0 {
				d = tiny
			}
			if c = 1 + term/c; c == 0 {
				c = tiny
			}
			d = 1 / d
			sum *= c * d
		}
		if math.Abs(c*d-1) < 1e-15 {
			break
		}
	}
	return front * sum
}
