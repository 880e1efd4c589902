package capacity

import "time"

// Step is the work of one engine step, summed over its requests. [Stepper.AddDecodes] and
// [Stepper.AddPrefill] fill it; the zero value is an empty step.
type Step struct {
	Decodes             int // requests that each make one token
	DecodeContextTokens int // sum of their lengths
	DecodeWindowTokens  int // sum of their lengths as windowed layers see them
	PrefillTokens       int // prompt tokens computed in this step
	// PrefillPairs counts query-key pairs of these tokens in full-attention layers,
	// PrefillWindowPairs in windowed ones.
	PrefillPairs       float64
	PrefillWindowPairs float64
}

// Stepper predicts step times for one engine. It is a value without pointers into the caller:
// safe to copy and to use from several goroutines; its methods do not allocate.
type Stepper struct {
	v0 bool

	tokenBytes   float64 // weights every step reads, on one GPU: layers and head
	expertBytes  float64 // routed experts, read as far as tokens touch them
	expertsKept  float64 // share of the experts one token leaves alone: 1 − k/E
	weightRate   float64 // bytes/s at which weights are read
	kvRate       float64 // bytes/s at which the KV cache is read
	kvFull       float64 // KV bytes read for one token of context by layers that see all of it
	kvWindow     float64 // for one token inside the window by the others
	kvRequest    float64 // for a request whatever its length: linear-attention state, read and written
	window       int     // tokens; 0 = no windowed layers
	decodeToken  float64 // compute of one decoded token
	prefillToken float64 // compute of one prompt token
	pairSeconds  float64 // compute of one query-key pair, all full-attention layers
	pairWindow   float64 // and all windowed layers
	layers       float64
	hostSeconds  float64 // of a step, whatever is in it
	hostRequest  float64 // and for each decoding request
	sendSeconds  float64 // one token through the process that serves HTTP, where that is a bound
	minSeconds   float64 // floor of a step that decodes
	firstSeconds float64 // floor of a step that only prefills
	hiddenBytes  float64 // one token's activations, as all-reduce moves them
	reduceFactor float64 // all-reduce time in a decode step against the bare kernel's
	reduce       *reduceTable
	stages       float64 // pipeline stages
}

// StepTime is how long one step takes.
func (s Stepper) StepTime(st Step) time.Duration { return time.Duration(s.seconds(&st) * 1e9) }

// DecodeTimer is [Stepper.StepTime] for steps of the same number of decoding requests and no prompt: what does not
// change from one to the next is computed once, the rest in the same order, so that the times are the same.
type DecodeTimer struct {
	s    *Stepper
	same fixed
}

// Decodes prepares the times of steps of n decoding requests.
func (s *Stepper) Decodes(n int) DecodeTimer { return DecodeTimer{s, s.fixedOf(n)} }

// StepTime is how long a step of those requests takes at their lengths.
func (t *DecodeTimer) StepTime(st *Step) time.Duration {
	return time.Duration(t.s.decodeSeconds(st, t.same) * 1e9)
}
