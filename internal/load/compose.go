package load

import (
	"math/rand/v2"
	"strings"
)

// compose draws pieces worth budget tokens from rng and appends them to lead; ok is false when
// the costs cannot add up to budget. It is pure, and with the same rng a longer budget begins with
// the same pieces, so that correcting a length leaves the beginning as it was.
func (v *vocabulary) compose(lead string, rng *rand.Rand, budget int) (text string, ok bool) {
	rest := budget % v.cost
	if rest > 0 && len(v.fillers) == 0 {
		return "", false
	}
	var b strings.Builder
	b.WriteString(lead)
	for range budget / v.cost {
		b.WriteString(v.pieces[rng.IntN(len(v.pieces))])
	}
	for i := range rest {
		b.WriteString(v.fillers[i%len(v.fillers)]) // unlike each other: equal marks in a row may be one token
	}
	return b.String(), true
}
