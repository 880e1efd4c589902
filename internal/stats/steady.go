package stats

// steadyBatch is the number of observations of a batch of MSER-5, and minBatches the fewest of which a mean of what is left
// after half was cut is one.
const (
	steadyBatch = 5
	minBatches  = 10
)

// MinSteady is the number of observations from which [Truncate] answers.
const MinSteady = steadyBatch * minBatches

// Truncate is how many of the first observations of a series belong to its start-up, by MSER-5: of the means of batches of
// five, so many are cut that the standard error of the mean of the rest is least (White, "An effective truncation heuristic for
// bias reduction in simulation output", Simulation 69, 1997; White, Cobb and Spratt, "A comparison of five steady-state truncation
// heuristics for simulation", Winter Simulation Conference 2000). ok is false where there are too few observations, or where
// more than half of them would be cut: then the series has not come to rest, as they say there.
func Truncate(xs []float64) (cut int, ok bool) {
	n := len(xs) / steadyBatch
	if n < minBatches {
		return 0, false
	}
	batches := make([]float64, n)
	for i := range batches {
		batches[i], _ = Mean(xs[i*steadyBatch : (i+1)*steadyBatch])
	}
	best, least := 0, -1.0
	// From the end on, with the running mean and sum of squares (Welford). The last batches are no mean of anything: of
	// two that happen to be equal the error is zero.
	var mean, squares float64
	for k, i := 0, n-1; i >= 0; i-- {
		k++
		d := batches[i] - mean
		mean += d / float64(k)
		squares += d * (batches[i] - mean)
		if err := squares / (float64(k) * float64(k)); k >= minBatches/2 && (least < 0 || err <= least) {
			best, least = i, err
		}
	}
	if 2*best > n {
		return 0, false
	}
	return best * steadyBatch, true
}
