package capacity

import (
	"fmt"
	"math"
	"strings"

	"bench/internal/catalog"
)

// LoadKind is how requests arrive.
type LoadKind int

// The kinds of load a prediction is made for.
const (
	LoadClosed LoadKind = iota // so many in flight all the time: each that ends is followed by another
	LoadBurst                  // so many at once, and no more
	LoadStatic                 // one fixed batch: all prompts first, then all tokens in step
)

// String is the kind as tables and flags write it.
func (k LoadKind) String() string { return [...]string{"closed", "burst", "static"}[k] }

// Load is what the clients of one replica do.
type Load struct {
	Kind         LoadKind
	Concurrent   int // requests in flight, or in the burst
	InputTokens  int // of one request
	OutputTokens int
}

// Range is a figure with the bounds that the error on published measurements of its class puts
// around it: four in five of them lie inside.
type Range struct{ Value, Low, High float64 }

// What bounds a decode step: the largest part of its time.
const (
	BoundMemoryBandwidth = "memory_bandwidth"
	BoundCompute         = "compute"
	BoundHost            = "host"
	BoundInterconnect    = "interconnect"
)

// Prediction is how fast one replica serves a load. Times are in milliseconds, as means over the
// requests.
type Prediction struct {
	TTFTMS             Range
	TPOTMS             Range
	LatencyMS          Range
	OutputTokensPerSec Range
	Parts              Parts  // what the times are made of
	Running            int    // requests in one step: the load, or what slots and KV pool hold
	Bound              string // of a decode step, see [BoundMemoryBandwidth]
	Basis              string // the measurements the bounds are from
	Measured           bool   // some of them are of this card with weights of this width
	Caveats            []string
}

// Parts are the terms behind a prediction, in milliseconds. A decode step is the smooth maximum
// ∛(weights³ + compute³) + KV + all-reduce + host.
type Parts struct {
	WeightsMS, ComputeMS, KVMS, ReduceMS, HostMS float64
	StepMS                                       float64 // a decode step of all running requests
	PromptMS                                     float64 // what one prompt adds to the step it shares
	LoneMS                                       float64 // a lone prompt to its first token
}

// Shares of what is not computed but was fitted to the first tokens of published measurements
// (V0 and V1, 16-bit and FP8): how much of the prompts in flight a new one waits for, and for how
// many decode steps.
const (
	queuedPrompts = 0.07
	queuedSteps   = 1.35
	// poolOutputShare is the share of its output a request holds on average while the pool decides how
	// many run: half, and a little because requests that have ended give their blocks back late.
	poolOutputShare = 0.6
)

// Predict is the speed of one replica of that engine under a load; c, where not nil and of the
// same kernel class, scales it by what was measured. It fails where the engine does not start or
// the load makes no sense. The formulas are those of decode steps ([Stepper]) and of queueing:
// a request that is decoding waits for the prompts of the others.
func Predict(m catalog.Model, g catalog.GPU, e Engine, l Load, c *Calibration) (Prediction, error) {
	if l.Concurrent < 1 || l.InputTokens < 1 || l.OutputTokens < 1 {
		return Prediction{}, fmt.Errorf("a load of %d requests of %d + %d tokens: each must be at least 1", l.Concurrent, l.InputTokens, l.OutputTokens)
	}
	e = e.WithDefaults(m, g)
	mem, err := PlanMemory(m, g, e)
	if err != nil {
		return Prediction{}, err
	}
	if !mem.Fits {
		return Prediction{}, fmt.Errorf("the engine does not start: %s", mem.Reason)
	}
	held := l.InputTokens + int(math.Ceil(poolOutputShare*float64(l.OutputTokens)))
	running := max(1, min(l.Concurrent, e.MaxNumSeqs, int(mem.SteadyConcurrency(held))))

	s := NewStepper(m, g, e)
	cost := s.costOf(running, l)
	if c != nil && c.Class == KernelClass(m, g, e) {
		cost.step *= c.StepFactor
		cost.prompt *= c.PrefillFactor
		cost.first *= c.PrefillFactor
	}
	ttft, tpot, rate := cost.under(l, running)
	parts := cost.parts
	p := Prediction{Running: running, Bound: parts.bound(), Parts: Parts{
		WeightsMS: 1000 * parts.weights, ComputeMS: 1000 * parts.compute, KVMS: 1000 * parts.kv, ReduceMS: 1000 * parts.reduce, HostMS: 1000 * parts.host,
		StepMS: 1000 * cost.step, PromptMS: 1000 * cost.prompt, LoneMS: 1000 * cost.first,
	}, Caveats: SpeedCaveats(m, g, e)}
	r := residualsOf(ClassOf(m, g, e, l.Kind))
	p.Basis, p.Measured = r.basis, r.measured
	p.TTFTMS = r.ttft.around(1000 * ttft)
	p.TPOTMS = r.tpot.around(1000 * tpot)
	p.OutputTokensPerSec = r.throughput.around(rate)
	after := float64(l.OutputTokens - 1)
	p.LatencyMS = Range{
		Value: p.TTFTMS.Value + after*p.TPOTMS.Value,
		Low:   p.TTFTMS.Low + after*p.TPOTMS.Low,
		High:  p.TTFTMS.High + after*p.TPOTMS.High,
	}
	return p, nil
}

// cost is what serving a load takes, in seconds.
type cost struct {
	step   float64 // a decode step of all running requests
	prompt float64 // what one prompt adds to the step it shares with them
	first  float64 // a lone prompt to its first token
	send   float64 // one token through the API process
	parts  parts   // of the step
}

// costOf prices a load's parts. Lengths are taken in the middle of the answers.
func (s Stepper) costOf(running int, l Load) cost {
	var decode, one, shared, alone Step
	s.AddDecodes(&decode, running, l.InputTokens+l.OutputTokens/2)
	s.AddDecodes(&one, 1, 1)
	shared = one
	s.AddPrefill(&shared, l.InputTokens, 0)
	s.AddPrefill(&alone, l.InputTokens, 0)
	return cost{
		step:   s.seconds(&decode),
		prompt: s.seconds(&shared) - s.seconds(&one),
		first:  s.seconds(&alone),
		send:   s.sendSeconds,
		parts:  s.decodeParts(&decode),
	}
}

// under is what requests see: mean time to first token and per output token, in seconds, and output
// tokens a second.
//
// With B running, each output token waits for its step and for its share of the B − 1 other
// prompts. What exceeds B waits for a place: in a closed loop for as long as Little's law says, in a
// burst for the waves before it.
func (c cost) under(l Load, running int) (ttft, tpot, rate float64) {
	n, b := float64(l.Concurrent), float64(running)
	out := float64(l.OutputTokens)
	switch l.Kind {
	case LoadStatic:
		waves := math.Ceil(n / b)
		wave := b*c.prompt + c.first - c.prompt + out*c.step
		return (waves-1)/2*wave + (b-1)*c.prompt + c.first, c.step, n * out / (n*c.prompt + waves*(c.first-c.prompt+out*c.step))
	case LoadBurst:
		// Places that fall free are taken at once, so waves overlap and their number need not be whole.
		waves := max(n/b, 1)
		tpot = c.step + (b-1)/2/out*c.prompt
		total := (n-1)*c.prompt + c.first + waves*(out-1)*c.step
		wave := total / waves
		return (waves-1)/2*wave + c.first + (b-1)/2*c.prompt, tpot, n * out / total
	}
	// Each running request's next token waits until the API process has sent those of all others.
	tpot = max(c.step+(b-1)/out*c.prompt, b*c.send)
	ttft = c.first
	if b > 1 {
		ttft += queuedPrompts*(b-1)*c.prompt + queuedSteps*c.step
	}
	service := ttft + (out-1)*tpot
	// B places serve B requests a service time; the n − B others wait their turn.
	return ttft + (n-b)/b*service, tpot, b * out / service
}

// parts are the shares of a decode step's time, in seconds.
type parts struct{ weights, compute, kv, reduce, host float64 }

// bound names the largest.
func (p parts) bound() string {
	name, most := BoundMemoryBandwidth, p.weights+p.kv
	for _, x := range []struct {
		name    string
		seconds float64
	}{{BoundCompute, p.compute}, {BoundInterconnect, p.reduce}, {BoundHost, p.host}} {
		if x.seconds > most {
			name, most = x.name, x.seconds
		}
	}
	return name
}

// Class is what published measurements are grouped by: a card, the width of the weights, V0 or V1, and
// the kind of load. A field may be [AnyOf].
type Class struct{ GPU, Weights, Engine, Load string }

// ClassOf is the class of a prediction.
func ClassOf(m catalog.Model, g catalog.GPU, e Engine, k LoadKind) Class {
	e = e.WithDefaults(m, g)
	engine := "V1"
	if e.V0 {
		engine = "V0"
	}
	return Class{strings.TrimPrefix(g.Name, "NVIDIA "), weightsClass(m, e), engine, k.String()}
}
