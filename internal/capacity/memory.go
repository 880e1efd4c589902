package capacity

import (
	"fmt"
	"math"

	"bench/internal/catalog"
	"bench/internal/unit"
)

// Memory is where the memory of one GPU goes, and what the KV pool holds. All byte figures are
// per GPU; blocks, tokens and concurrencies are of one replica (tensor and pipeline parallel GPUs
// hold the same block numbers).
type Memory struct {
	Total          unit.Bytes // as torch sees the card
	Budget         unit.Bytes // gpu_memory_utilization × Total
	Weights        unit.Bytes // as vLLM's log counts them, with the rotary tables
	RopeTables     unit.Bytes // of which rotary tables; the rest is what the checkpoint holds
	Activation     unit.Bytes // peak of the profiling step
	ActivationLow  unit.Bytes // the peak is the largest unknown: it depends on the sampler and the build
	ActivationHigh unit.Bytes
	NonTorch       unit.Bytes // CUDA context, NCCL, all-reduce buffers
	CUDAGraph      unit.Bytes // subtracted before the pool is sized; 0 where graphs come out of what is left free
	KVCache        unit.Bytes // the pool; negative when the rest exceeds the budget

	Blocks                int // blocks of the pool
	BlockTokens           int // tokens a block holds in a full-attention group
	BlockBytes            unit.Bytes
	Groups                []Group // what a request takes blocks for
	KVCacheTokens         int     // "GPU KV cache size" as that version prints it
	GuaranteedConcurrency float64 // "Maximum concurrency" as vLLM prints it: requests of MaxModelLen, worst case reserved
	Fits                  bool    // vLLM would start
	Reason                string  // why it would not; "" when it fits
	Warnings              []string
	Observed              []ObservedTerm // terms that a start-up log replaced

	inFlight   int  // tokens of one request that may be in the engine at once
	statePages int  // blocks a request reserves in a linear-attention group
	v0         bool // no placeholder block
}

// Group is a set of layers that share block numbers: a request takes the same number of blocks
// for each of them.
type Group struct {
	Kind        catalog.LayerKind
	Count       int // groups alike
	Layers      int // in one group, padding included
	BlockTokens int // tokens one block holds; for linear attention a block is the whole state
	Window      int // tokens; sliding attention
}

// PlanMemory predicts what vLLM's start-up prints about memory:
//
//	KV pool = utilisation × total − weights − activation − non-torch − graph estimate
//
// It fails only for what [Refusals] refuses for head counts or settings, since then there is
// nothing to divide.
func PlanMemory(m catalog.Model, g catalog.GPU, e Engine) (Memory, error) {
	for _, r := range Refusals(m, g, e) {
		switch r.Code {
		case RefusedHeads, RefusedLayers, RefusedSettings:
			return Memory{}, fmt.Errorf("no memory plan for %s on %s: %s", m.ID, g.Name, r.Reason)
		}
	}
	e = e.WithDefaults(m, g)
	v := parseVersion(e.Version)
	s, ok := schemeOf(e.Quantization, m)
	if !ok {
		return Memory{}, fmt.Errorf("no memory plan for %s: quantization method %q is not known", m.ID, e.Quantization)
	}

	mem := Memory{
		Total:   unit.FromGiB(g.MemoryTorchGiB),
		Budget:  unit.FromGiB(g.MemoryTorchGiB * e.GPUMemoryUtilization),
		Weights: weightBytes(m, e, s), RopeTables: ropeBytes(m, e),
		NonTorch: nonTorch(g, e, v),
		inFlight: e.batchedTokensInFlight(v), statePages: statePages(v),
		v0: e.V0,
	}
	mem.Activation, mem.ActivationLow, mem.ActivationHigh = activation(m, e, v)
	if graphsInBudget(e, v) {
		mem.CUDAGraph = unit.FromGiB(graphEstimateGiB)
	}
	mem.KVCache = mem.Budget - mem.Weights - mem.Activation - mem.NonTorch - mem.CUDAGraph
	e.Observed.replace(&mem, m, g, e)
	mem.layOut(m, e, v)
	mem.judge(e)
	mem.warn(m, g, e)
	return mem, nil
}

// graphEstimateGiB is what 0.21 to 0.27 set aside for CUDA graphs, in the middle of their logs.
const graphEstimateGiB = 0.5

// graphsInBudget says whether the version subtracts an estimate of its CUDA graphs before it sizes
// the pool; in others graphs come out of what is left free.
func graphsInBudget(e Engine, v version) bool {
	return !v.before(0, 21) && v.before(0, 28) && !e.EnforceEager
}

// judge fills Fits and Reason by vLLM's own two checks: something is left for the pool, and one
// request of max_model_len fits into it.
func (mem *Memory) judge(e Engine) {
	weights := mem.Weights - mem.RopeTables
	rest := mem.RopeTables + mem.Activation + mem.NonTorch + mem.CUDAGraph
	need := mem.reservedBlocks(e.MaxModelLen)
	switch {
	case weights >= mem.Budget:
		mem.Reason = fmt.Sprintf("weights leave nothing for KV: %v of weights, %v usable of %v", weights, mem.Budget, mem.Total)
	case mem.Blocks < 1:
		mem.Reason = fmt.Sprintf("weights leave nothing for KV: %v of weights and %v of activations and other needs, %v usable of %v", weights, rest, mem.Budget, mem.Total)
	case mem.Blocks < need:
		mem.Reason = fmt.Sprintf("one request of max_model_len %s does not fit: it needs %v of KV, %v are left; lower max_model_len",
			unit.Count(e.MaxModelLen), unit.Bytes(need)*mem.BlockBytes, mem.KVCache)
	default:
		mem.Fits = true
	}
}

// warn names what arithmetic over the budget cannot see.
func (mem *Memory) warn(m catalog.Model, g catalog.GPU, e Engine) {
	if free := mem.Total - mem.Budget; !e.EnforceEager && mem.CUDAGraph == 0 && free < 2*unit.GiB {
		mem.Warnings = append(mem.Warnings, fmt.Sprintf("CUDA graphs are captured after the pool is sized and only %v stay outside it: start-up can still run out of memory; --enforce-eager or a lower gpu_memory_utilization avoid that", free))
	}
	if m.Parameters.Vision > 0 && !e.NoImages && (e.V0 || m.Vision == nil) {
		mem.Warnings = append(mem.Warnings, "the image encoder is profiled at start and can take 1 to 3 GiB more than planned; --limit-mm-per-prompt '{\"image\":0}' skips it")
	}
	if parseVersion(e.Version).before(0, 3) {
		mem.Warnings = append(mem.Warnings, "versions before 0.3 changed their accounting by tens of per cent between patch releases")
	}
	if e.V0 && e.TensorParallel >= 8 {
		mem.Warnings = append(mem.Warnings, "this engine version (V0) held back 3 to 9 GiB more on each of 8 GPUs in start-up logs, for reasons not known")
	}
	if g.GeForce() {
		mem.Warnings = append(mem.Warnings, "a desktop or WSL2 on the card takes 0.3 to 1.5 GiB of the budget")
	}
	if g.BF16TFLOPS == 0 {
		mem.Warnings = append(mem.Warnings, "the card has no FlashAttention; long contexts need more memory than planned")
	}
	if g.MemoryTorchEstimated {
		mem.Warnings = append(mem.Warnings, fmt.Sprintf("what torch sees of the card, %.2f GiB, is estimated", g.MemoryTorchGiB))
	}
}

// weightBytes is the weights of one GPU, of the fullest pipeline stage, with the rotary tables.
func weightBytes(m catalog.Model, e Engine, s scheme) unit.Bytes {
	p := partBytes(m, e, s)
	replicated := replicatedBytes(m, e, s)
	bytes := p.embedding + p.vision + p.layers + p.experts + p.head
	if e.PipelineParallel > 1 {
		if m.TiedEmbeddings { // the last stage holds its own copy
			p.head = p.embedding
		}
		stage := float64(ceilDiv(m.NumLayers(), e.PipelineParallel)) / float64(m.NumLayers())
		bytes = (p.layers+p.experts)*stage + max(p.embedding+p.vision, p.head)
		replicated *= stage
	}
	return unit.Bytes(math.Round(bytes/float64(e.TensorParallel)+replicated)) + ropeBytes(m, e)
}

// ropeBytes is the rotary tables, which every GPU loads for the model's whole context whatever
// max_model_len is: what start-ups of Llama 3.1 8B (0.03 GiB), Qwen3 0.6B (0.01) and Mistral Nemo
// (0.03) print beyond their parameters, to the last digit.
func ropeBytes(m catalog.Model, e Engine) unit.Bytes {
	return unit.Bytes(int64(m.RopeElements) * dtypeBytes(e.DType))
}

// replicatedBytes is what each tensor parallel GPU holds of the layers beyond its share: key and
// value projections do not divide below one head, and routers and the projections down to a latent
// (MLA) do not divide at all. Norms, which do not either, are too small to count.
func replicatedBytes(m catalog.Model, e Engine, s scheme) float64 {
	tp, hidden := float64(e.TensorParallel), float64(m.HiddenSize)
	plain := float64(dtypeBytes(e.DType))
	width := s.bits / 8
	if s.method == "" || s.method == "mxfp4" { // MXFP4 is of the experts alone
		width = plain
	}
	var bytes float64
	for _, l := range m.Layers {
		if l.KVHeads > 0 && l.KVHeads < e.TensorParallel {
			bytes += float64(l.Count) * 2 * hidden * float64(l.HeadDim) * (1 - float64(l.KVHeads)/tp) * width
		}
	}
	if x := m.MLA; x != nil {
		bytes += float64(m.NumLayers()) * hidden * float64(x.KVLoRARank+x.RopeHeadDim+x.QLoRARank) * (1 - 1/tp) * width
	}
	if x := m.MoE; x != nil {
		bytes += float64(x.Layers) * hidden * float64(x.Experts) * (1 - 1/tp) * plain
	}
	return bytes
}

// weightParts is what vLLM loads of each part of a model, in bytes, on all GPUs together.
type weightParts struct{ embedding, head, vision, layers, experts float64 }

// partBytes is what the checkpoint's headers say, where they were read and vLLM loads the weights
// as they are stored. Otherwise embedding, head and vision tower take 16 bits (32 in float32) and
// the rest the scheme's width; of MXFP4 only the experts, of GGUF all but the tower.
func partBytes(m catalog.Model, e Engine, s scheme) weightParts {
	plain := float64(dtypeBytes(e.DType))
	if x := m.Stored; x != nil && (s.method == "" || m.Quantization != nil) {
		bytes := func(p catalog.Part) float64 { return float64(p.Bytes(dtypeBytes(e.DType))) }
		w := weightParts{bytes(x.Embedding), bytes(x.Head), bytes(x.Vision), bytes(x.Layers), bytes(x.RoutedExperts)}
		if s.method == "mxfp4" {
			w.experts *= expertPadding(m, e)
		}
		return w
	}
	p := m.Parameters
	experts := float64(p.RoutedExperts)
	// The published total has scales and buffers that the count by fields has not.
	layers := float64(m.LoadedParameters()-p.Embedding-p.Head-p.Vision) - experts
	width := s.bits / 8
	if s.method == "" {
		width = plain
	}
	w := weightParts{float64(p.Embedding) * plain, float64(p.Head) * plain, float64(p.Vision) * plain, layers * width, experts * width}
	switch s.method {
	case "mxfp4":
		w.layers = layers * plain
		w.experts *= expertPadding(m, e)
	case "gguf":
		w.embedding, w.head = float64(p.Embedding)*width, float64(p.Head)*width
	}
	return w
}

// expertPadding is how much larger vLLM makes MXFP4 experts: hidden size to a multiple of 256 (2880
// becomes 3072), each GPU's share of their width to a multiple of 128. Expert parallel leaves the
// width whole.
func expertPadding(m catalog.Model, e Engine) float64 {
	if m.MoE == nil {
		return 1
	}
	share := float64(m.MoE.IntermediateSize)
	if !e.ExpertParallel {
		share /= float64(e.TensorParallel)
	}
	hidden := float64(m.HiddenSize)
	return math.Ceil(hidden/256) * 256 / hidden * math.Ceil(share/128) * 128 / share
}

// nonTorch is what the process takes outside torch, by tensor parallel size, from start-up logs.
// From 0.25 the log's "consumed memory" counts more of it. On more than two PCIe cards vLLM uses no
// all-reduce kernel of its own, and NCCL no switch buffers: 4 × L4 logged 0.17 GiB, and 8 × A5000
// left less than 0.4.
func nonTorch(g catalog.GPU, e Engine, v version) unit.Bytes {
	column := 0
	switch tp := e.TensorParallel; {
	case tp > 4 && g.FormFactor != "pcie":
		column = 3
	case tp > 2 && g.FormFactor != "pcie":
		column = 2
	case tp > 1:
		column = 1
	}
	row := [4]float64{0.40, 0.75, 1.0, 1.6} // V1 from 0.25
	switch {
	case e.V0 && v.before(0, 7):
		row = [4]float64{0.30, 0.35, 0.6, 1.2}
	case e.V0:
		row = [4]float64{0.06, 0.35, 0.6, 1.2}
	case v.before(0, 25):
		row = [4]float64{0.10, 0.30, 0.9, 1.4}
	case g.MemoryTorchGiB <= 8:
		row[0] = 0.13
	}
	return unit.FromGiB(row[column])
}
