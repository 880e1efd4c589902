package stats

import "math"

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
	half := t975(n-1) * sd / math.Sqrt(float64(n))
	return Interval{Mean: mean, Low: mean - half, High: mean + half}, true
}

// t975 is the 0.975-quantile of Student's t with df ≥ MinRepeats−1 degrees of freedom: tabulated
// up to 30, above that by the Cornish–Fisher expansion around the normal quantile (Abramowitz and
// Stegun 26.7.5), which is then right to five decimals.
func t975(df int) float64 {
	table := [...]float64{
		2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139, // 4–10
		2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905, 2.109816, 2.100922, 2.093024, 2.085963, // 11–20
		2.079614, 2.073873, 2.068658, 2.063899, 2.059539, 2.055529, 2.051831, 2.048407, 2.045230, 2.042272, // 21–30
	}
	if i := df - 4; i < len(table) {
		return table[i]
	}
	const z = 1.959963984540054
	v := float64(df)
	z3, z5, z7 := z*z*z, math.Pow(z, 5), math.Pow(z, 7)
	return z + (z3+z)/(4*v) + (5*z5+16*z3+3*z)/(96*v*v) + (3*z7+19*z5+17*z3-15*z)/(384*v*v*v)
}
