package capacity

import "bench/internal/catalog"

// Laws are the times below which no engine of that set-up can go: its card's peak bandwidth and its
// tensor cores' dense peak, with nothing lost.
type Laws struct {
	// WeightReadSeconds is the time to read once what one decode step of one request reads of the
	// weights: layers, head and the experts one token touches.
	WeightReadSeconds float64

	s     Stepper
	share float64 // of the peak at which s prefills
}

// LawsOf are the laws of a set-up.
func LawsOf(m catalog.Model, g catalog.GPU, e Engine) Laws {
	e = e.WithDefaults(m, g)
	s := NewStepper(m, g, e)
	read := s.tokenBytes
	if s.expertBytes > 0 {
		read += s.expertBytes * (1 - s.expertsKept)
	}
	return Laws{WeightReadSeconds: read / (float64(e.TensorParallel) * g.BandwidthGBs * 1e9), s: s, share: prefillShareOf(g)}
}

// PromptSeconds is the least time to compute a prompt of so many tokens.
func (l Laws) PromptSeconds(tokens int) float64 {
	var st Step
	l.s.AddPrefill(&st, tokens, 0)
	return l.share * l.s.computeSeconds(&st)
}

// DecodeSeconds is the least time to compute one output token.
func (l Laws) DecodeSeconds() float64 { return decodeShare * l.s.decodeToken }
