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
	Weights        unit.Bytes
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

	inFlight int  // tokens of one request that may be in the engine at once
	v0       bool // no placeholder block
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
		Total:    unit.FromGiB(g.MemoryTorchGiB),
		Budget:   unit.FromGiB(g.MemoryTorchGiB * e.GPUMemoryUtilization),
		Weights:  weightBytes(m, e, s),
		NonTorch: nonTorch(g, e, v),
		inFlight: e.batchedTokensInFlight(v),
		v0:       e.V0,
	}
	mem.Activation, mem.ActivationLow, mem.ActivationHigh = activation(m, e, v)
	if !v.before(0, 21) && v.before(0, 28) && !e.EnforceEager {
		mem.CUDAGraph = unit.FromGiB(0.5)
	}
	mem.KVCache = mem.Budget - mem.Weights - mem.Activation - mem.NonTorch - mem.CUDAGraph
	mem.layOut(m, e, v)
	mem.judge(e)
	mem.warn(m, g, e)
	return mem, nil
}

// judge fills Fits and Reason by vLLM's own two checks: something is left for the pool, and one
// request of max_model_len fits into it.
func (mem *Memory) judge(e Engine) {
	rest := mem.Activation + mem.NonTorch + mem.CUDAGraph
	need := mem.reservedBlocks(e.MaxModelLen)
	switch {
	case mem.Weights >= mem.Budget:
		mem.Reason = fmt.Sprintf("weights leave nothing for KV: %v of weights, %v usable of %v", mem.Weights, mem.Budget, mem.Total)
	case mem.Blocks < 1:
		mem.Reason = fmt.Sprintf("weights leave nothing for KV: %v of weights and %v of activations and other needs, %v usable of %v", mem.Weights, rest, mem.Budget, mem.Total)
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
	if m.Parameters.Vision > 0 {
		mem.Warnings = append(mem.Warnings, "the image encoder is profiled at start and can take 1 to 3 GiB more than planned; --limit-mm-per-prompt '{\"image\":0}' skips it")
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

// weightBytes is the weights of one GPU. Embedding, head and vision tower stay in 16 bits (32 in
// float32), the rest has the scheme's width. Tensor parallel replicates norms, routers and some
// projections: 0.4 % in start-up logs.
func weightBytes(m catalog.Model, e Engine, s scheme) unit.Bytes {
	plain := float64(dtypeBytes(e.DType))
	whole := float64(m.Parameters.Embedding + m.Parameters.Head + m.Parameters.Vision)
	rest := float64(m.LoadedParameters()) - whole
	gpus := float64(e.TensorParallel * e.PipelineParallel)
	var bytes float64
	switch s.method {
	case "":
		bytes = (whole + rest) * plain
	case "mxfp4":
		// Only experts are stored in 4 bits, and vLLM pads them to multiples of the kernel's tile.
		experts := float64(m.Parameters.RoutedExperts)
		bytes = (whole+rest-experts)*plain + experts*s.bits/8*expertPadding(m, e)
	default:
		bytes = whole*plain + rest*s.bits/8
	}
	if e.TensorParallel > 1 {
		bytes *= 1.004
	}
	return unit.Bytes(math.Round(bytes / gpus))
}

// expertPadding is how much larger vLLM makes MXFP4 experts: hidden size to a multiple of 256 (2880
// becomes 3072), each GPU's share of their width to a multiple of 128.
func expertPadding(m catalog.Model, e Engine) float64 {
	if m.MoE == nil {
		return 1
	}
	share := float64(m.MoE.IntermediateSize) / float64(e.TensorParallel)
	hidden := float64(m.HiddenSize)
	return math.Ceil(hidden/256) * 256 / hidden * math.Ceil(share/128) * 128 / share
}

// activation is the peak of the profiling run: the larger of one forward pass over
// max_num_batched_tokens and sampling max_num_seqs rows of logits, fitted to start-up logs.
func activation(m catalog.Model, e Engine, v version) (point, low, high unit.Bytes) {
	forward := forwardBytes(m, e)
	if e.V0 && m.Parameters.Vision > 0 && e.MaxNumBatchedTokens >= 4096 {
		forward *= 1.3
	}
	logits := float64(e.MaxNumSeqs) * float64(m.Vocab) * 4
	peak := func(copies float64) unit.Bytes { return unit.Bytes(math.Round(max(forward, copies*logits))) }

	const (
		pytorchSampler    = 9.8 // copies of the logits while sorting
		flashInferSampler = 3.0
		laterSampler      = 3.5 // from 0.16, whichever sampler it is
	)
	switch {
	case e.FlashInferSampler:
		return peak(flashInferSampler), peak(flashInferSampler), peak(flashInferSampler) + unit.FromGiB(0.3)
	case e.V0 || v.before(0, 16):
		low = peak(flashInferSampler)
		if e.V0 {
			low = peak(pytorchSampler * 0.9)
		}
		return peak(pytorchSampler), low, peak(10.3)
	}
	point = peak(laterSampler)
	if !e.EnforceEager {
		point += unit.FromGiB(0.25)
	}
	const spread = 0.4 // GiB either way in logs of newer builds
	return point, max(point-unit.FromGiB(spread), 0), point + unit.FromGiB(spread)
}

// forwardBytes is the peak of one forward pass over T tokens: T × 2 B × (3 H + the widest MLP).
func forwardBytes(m catalog.Model, e Engine) float64 {
	hidden, tp := float64(m.HiddenSize), float64(e.TensorParallel)
	matrices := 3.0
	if !m.GatedMLP {
		matrices = 2
	}
	width := 3*hidden + matrices*float64(m.IntermediateSize)/tp
	if x := m.MoE; x != nil {
		width = 3*hidden + matrices*float64(x.PerToken*x.IntermediateSize+x.SharedIntermediate)/tp + 2*hidden
	}
	return float64(e.MaxNumBatchedTokens) * float64(dtypeBytes(e.DType)) * width
}

// nonTorch is what the process takes outside torch, by tensor parallel size, from start-up logs.
// From 0.25 the log's "consumed memory" counts more of it.
func nonTorch(g catalog.GPU, e Engine, v version) unit.Bytes {
	column := 0
	switch tp := e.TensorParallel; {
	case tp > 4:
		column = 3
	case tp > 2:
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
