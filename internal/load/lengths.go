package load

import (
	"math"
	"math/rand/v2"
)

// Lengths draws n lengths evenly from the whole numbers between (1 − ratio) and (1 + ratio) times mean, both ends included:
// the law of vLLM's --random-range-ratio.
func Lengths(n, mean int, ratio float64, rng *rand.Rand) []int { return drawn(n, mean, 1, ratio, rng) }

// Counts draws n numbers evenly from the whole numbers between (1 − ratio) and (1 + ratio) times mean, both ends included, 0
// too: the law of vLLM's --random-mm-num-mm-items-range-ratio.
func Counts(n, mean int, ratio float64, rng *rand.Rand) []int { return drawn(n, mean, 0, ratio, rng) }

// drawn draws numbers of least or more.
func drawn(n, mean, least int, ratio float64, rng *rand.Rand) []int {
	low, high := int(math.Floor(float64(mean)*(1-ratio))), int(math.Ceil(float64(mean)*(1+ratio)))
	low = max(low, least)
	out := make([]int, n)
	for i := range out {
		out[i] = low + rng.IntN(high-low+1)
	}
	return out
}
