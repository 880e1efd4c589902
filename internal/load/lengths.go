package load

import (
	"math"
	"math/rand/v2"
)

// Lengths draws n lengths evenly from the whole numbers between (1 − ratio) and (1 + ratio) times mean, both ends included:
// the law of vLLM's --random-range-ratio.
func Lengths(n, mean int, ratio float64, rng *rand.Rand) []int {
	low, high := int(math.Floor(float64(mean)*(1-ratio))), int(math.Ceil(float64(mean)*(1+ratio)))
	low = max(low, 1)
	out := make([]int, n)
	for i := range out {
		out[i] = low + rng.IntN(high-low+1)
	}
	return out
}
