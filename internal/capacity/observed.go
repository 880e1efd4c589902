package capacity

import (
	"fmt"
	"math"

	"bench/internal/catalog"
	"bench/internal/unit"
)

// Observed is what one engine printed at its start. [PlanMemory] takes it in place of what it
// computes, in the set-up the log is from and, by the rules below, in others. A nil figure was not
// printed.
type Observed struct {
	ModelID string
	GPU     *catalog.GPU // the card it ran on; nil = not known
	Engine  Engine       // its settings, as far as the log names them

	Total, Weights, Activation, NonTorch, CUDAGraph, KVCache *unit.Bytes // of one GPU; CUDAGraph is the estimate
}

// Terms of a memory plan, by the names they have in files.
const (
	TermTotal      = "total"
	TermWeights    = "weights"
	TermActivation = "activation"
	TermNonTorch   = "non_torch"
	TermCUDAGraph  = "cuda_graph"
	TermKVCache    = "kv_cache"
)

// Rules by which a figure of a log is used.
const (
	// RuleSame: the set-up is the log's, the printed figure is the answer.
	RuleSame = "same"
	// RuleRest: the set-up is the log's; it prints neither activation nor non-torch memory, so
	// activation is what weights, KV cache and the computed other terms leave of the budget.
	RuleRest = "rest"
	// RuleWeights: same checkpoint format, other layout or card. What the files hold beyond the
	// formula (layers kept in 16 bits, adapters, draft heads) is the same share of them everywhere.
	RuleWeights = "weights"
	// RuleTensorParallel: same tensor parallel size and accounting. CUDA context and NCCL buffers
	// depend on how many GPUs talk, not on the model.
	RuleTensorParallel = "tensor_parallel"
	// RuleSampler: same sampler, and sampling sets the peak. It takes so many copies of
	// max_num_seqs × vocabulary whatever the layout.
	RuleSampler = "sampler"
	// RuleForward: same kernels, and the forward pass sets the peak, in proportion to the formula.
	RuleForward = "forward"
)

// ObservedTerm is one term of a memory plan that a log replaced.
type ObservedTerm struct {
	Term           string
	Rule           string
	Computed, Used unit.Bytes
}

// samplerSpread is how far the copies of the logits strayed from their median in 31 logs of one
// sampler, 9.6 to 10.3.
const samplerSpread = 0.05

// Settings are the log's engine with its defaults, on the card it ran on, or on g where that is not
// known.
func (o *Observed) Settings(m catalog.Model, g catalog.GPU) (Engine, catalog.GPU) {
	if o.GPU != nil {
		g = *o.GPU
	}
	if o.Total != nil {
		g.MemoryTorchGiB, g.MemoryTorchEstimated = o.Total.GiB(), false
	}
	e := o.Engine
	e.Observed = nil
	return e.WithDefaults(m, g), g
}

// replace puts the log's figures into the plan of e on g, where a rule carries them there, and
// notes what it did.
func (o *Observed) replace(mem *Memory, m catalog.Model, g catalog.GPU, e Engine) {
	if o == nil || o.ModelID != m.ID {
		return
	}
	from, card := o.Settings(m, g)
	t := transfer{o: o, m: m, mem: mem, from: from, to: e, fromVersion: parseVersion(from.Version), toVersion: parseVersion(e.Version)}
	t.card = o.GPU != nil && o.GPU.Name == g.Name
	// A term is the same where nothing its formula looks at differs.
	t.layout = from.TensorParallel == e.TensorParallel && from.PipelineParallel == e.PipelineParallel &&
		from.ExpertParallel == e.ExpertParallel
	t.step = from.MaxNumSeqs == e.MaxNumSeqs && from.MaxNumBatchedTokens == e.MaxNumBatchedTokens &&
		dtypeBytes(from.DType) == dtypeBytes(e.DType) && from.EnforceEager == e.EnforceEager && from.NoImages == e.NoImages
	if t.card && o.Total != nil {
		t.use(TermTotal, RuleSame, &mem.Total, *o.Total)
		mem.Budget = unit.Bytes(math.Round(float64(mem.Total) * e.GPUMemoryUtilization))
	}
	t.weights()
	t.nonTorch(g)
	t.cudaGraph()
	t.activation(card)
	mem.KVCache = mem.Budget - mem.Weights - mem.Activation - mem.NonTorch - mem.CUDAGraph
	if o.KVCache != nil && t.same() && math.Abs(from.GPUMemoryUtilization-e.GPUMemoryUtilization) < 1e-6 {
		t.use(TermKVCache, RuleSame, &mem.KVCache, *o.KVCache)
	}
}

// transfer carries figures from the log's engine to another.
type transfer struct {
	o                      *Observed
	m                      catalog.Model
	mem                    *Memory
	from, to               Engine
	fromVersion, toVersion version
	card, layout, step     bool // the same card, division over GPUs, and work in one step
}

// same says whether the set-up is the log's but for the share of the card it may use.
func (t *transfer) same() bool {
	return t.card && t.layout && t.step && t.from.Quantization == t.to.Quantization && t.era(t.from, t.fromVersion) == t.era(t.to, t.toVersion)
}

func (t *transfer) use(term, rule string, at *unit.Bytes, v unit.Bytes) {
	t.mem.Observed = append(t.mem.Observed, ObservedTerm{term, rule, *at, v})
	*at = v
}

// sameOr is RuleSame where the set-up is the log's, else other.
func (t *transfer) sameOr(other string) string {
	if t.same() {
		return RuleSame
	}
	return other
}

// era tells apart how versions account for memory, as the formulas here do.
func (t *transfer) era(e Engine, v version) [5]bool {
	return [5]bool{e.V0, e.V0 && v.before(0, 7), v.before(0, 16), v.before(0, 21) || !v.before(0, 28), v.before(0, 25)}
}

func (t *transfer) weights() {
	if t.o.Weights == nil || t.from.Quantization != t.to.Quantization || dtypeBytes(t.from.DType) != dtypeBytes(t.to.DType) {
		return
	}
	s, ok := schemeOf(t.from.Quantization, t.m)
	computed := weightBytes(t.m, t.from, s)
	if !ok || computed <= 0 {
		return
	}
	v := *t.o.Weights
	if !t.layout {
		v = unit.Bytes(math.Round(float64(t.mem.Weights) * float64(v) / float64(computed)))
	}
	t.use(TermWeights, t.sameOr(RuleWeights), &t.mem.Weights, v)
}

func (t *transfer) nonTorch(g catalog.GPU) {
	if t.o.NonTorch == nil || t.from.TensorParallel != t.to.TensorParallel ||
		nonTorch(g, t.from, t.fromVersion) != nonTorch(g, t.to, t.toVersion) {
		return
	}
	t.use(TermNonTorch, t.sameOr(RuleTensorParallel), &t.mem.NonTorch, *t.o.NonTorch)
}

// cudaGraph holds only in the log's set-up: the estimate for one model was seen from 0.6 to 7 GiB.
func (t *transfer) cudaGraph() {
	if t.o.CUDAGraph != nil && t.same() {
		t.use(TermCUDAGraph, RuleSame, &t.mem.CUDAGraph, *t.o.CUDAGraph)
	}
}

func (t *transfer) activation(card catalog.GPU) {
	peak, rule := t.o.Activation, ""
	if peak == nil {
		peak, rule = t.rest(card), RuleRest
	}
	known := t.o.GPU != nil || t.o.Engine.MaxNumSeqs > 0 && t.o.Engine.MaxNumBatchedTokens > 0
	copies := samplerCopies(t.to, t.toVersion)
	if peak == nil || !known || t.from.V0 != t.to.V0 || samplerCopies(t.from, t.fromVersion) != copies {
		return
	}
	forward, logits := forwardBytes(t.m, t.from), logitsBytes(t.m, t.from)
	to, toLogits := forwardBytes(t.m, t.to), logitsBytes(t.m, t.to)
	var v float64
	switch seen := float64(*peak); {
	case t.same():
		v = seen
		if rule == "" {
			rule = RuleSame
		}
	case seen > forward:
		v, rule = max(to, seen/logits*toLogits), RuleSampler
	default:
		// The sampler took no more than the whole peak.
		v, rule = max(to*seen/forward, min(copies, seen/logits)*toLogits), RuleForward
	}
	t.use(TermActivation, rule, &t.mem.Activation, unit.Bytes(math.Round(v)))
	t.mem.ActivationLow, t.mem.ActivationHigh = t.mem.Activation, t.mem.Activation
	if rule == RuleSampler || rule == RuleForward {
		t.mem.ActivationLow = unit.Bytes(v * (1 - samplerSpread))
		t.mem.ActivationHigh = unit.Bytes(v * (1 + samplerSpread))
	}
}

// rest is the activation of a log that prints weights and KV cache only: what is left of the budget
// of the card it ran on. Nil where it prints too little, or more than the budget.
func (t *transfer) rest(card catalog.GPU) *unit.Bytes {
	if t.o.Weights == nil || t.o.KVCache == nil || t.o.GPU == nil && t.o.Total == nil {
		return nil
	}
	left := unit.FromGiB(card.MemoryTorchGiB*t.from.GPUMemoryUtilization) - *t.o.Weights - *t.o.KVCache
	if t.o.NonTorch != nil {
		left -= *t.o.NonTorch
	} else {
		left -= nonTorch(card, t.from, t.fromVersion)
	}
	switch {
	case t.o.CUDAGraph != nil:
		left -= *t.o.CUDAGraph
	case graphsInBudget(t.from, t.fromVersion):
		left -= unit.FromGiB(graphEstimateGiB)
	}
	if left <= 0 {
		return nil
	}
	return &left
}

// Calibration scales predicted times by what was measured on one machine. It holds within one
// class of kernels only; see [KernelClass].
type Calibration struct {
	StepFactor, PrefillFactor float64 // 1 = as computed
	Class                     string
	Source                    string
}

// KernelClass names the kernels that decide an engine's speed: quantisation class × GPU
// architecture class × engine generation. A factor measured in one class says nothing about
// another: other kernels, other host code, other memory. Compute capability parts what one
// architecture name covers (an A100 and an RTX 3090 are both Ampere).
func KernelClass(m catalog.Model, g catalog.GPU, e Engine) string {
	e = e.WithDefaults(m, g)
	generation := "V1"
	if e.V0 {
		generation = "V0"
	}
	return fmt.Sprintf("%s weights, %s %.1f, %s", weightsClass(m, e), g.Architecture, g.ComputeCapability, generation)
}

// weightsClass is the width of the weights by which kernels differ; e needs its defaults.
func weightsClass(m catalog.Model, e Engine) string {
	s, ok := schemeOf(e.Quantization, m)
	switch {
	case !ok:
		return "unknown"
	case e.DType == "float32":
		return "32-bit"
	case s.bits > 12:
		return "16-bit"
	case s.bits > 6:
		return "8-bit"
	}
	return "4-bit"
}
