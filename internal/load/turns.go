package load

import "math/rand/v2"

// Turns draws how many turns each of n conversations has, evenly from fewest to most.
func Turns(n, fewest, most int, rng *rand.Rand) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = fewest + rng.IntN(most-fewest+1)
	}
	return out
}
