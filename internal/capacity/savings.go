package capacity

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"bench/internal/catalog"
	"bench/internal/unit"
)

// Dominant names the largest of the terms that keep memory from the KV pool, and its bytes on one
// GPU. The pool itself is what remains and never dominates.
func (mem Memory) Dominant() (term string, bytes unit.Bytes) {
	for _, t := range []struct {
		name  string
		bytes unit.Bytes
	}{
		{TermWeights, mem.Weights},
		{TermActivation, mem.Activation},
		{TermNonTorch, mem.NonTorch},
		{TermCUDAGraph, mem.CUDAGraph},
	} {
		if term == "" || t.bytes > bytes {
			term, bytes = t.name, t.bytes
		}
	}
	return term, bytes
}

// What a [Saving] costs.
const (
	CostFewerRequests   = "fewer_requests"   // more requests than that wait
	CostSmallerSteps    = "smaller_steps"    // both fewer requests and longer prefills
	CostLongerPrefill   = "longer_prefill"   // a long prompt takes more steps: its first token comes later
	CostKVPrecision     = "kv_precision"     // keys and values lose precision
	CostKVConversion    = "kv_conversion"    // and the card has no FP8 units: attention converts, which is slower
	CostSlowerDecode    = "slower_decode"    // each step launches its kernels one by one
	CostLessSpare       = "less_spare"       // CUDA graphs and other processes live in what is left free
	CostShorterContext  = "shorter_context"  // longer requests are refused
	CostWeightPrecision = "weight_precision" // weights lose precision, on the fly, from the same checkpoint
	CostOtherCheckpoint = "other_checkpoint" // weights lose precision, and a checkpoint quantised so is needed
	CostNoImages        = "no_images"        // requests with images are refused
	CostMoreGPUs        = "more_gpus"        // twice the GPUs, which talk to each other in every layer
)

// Saving is a changed flag that leaves more room for requests, found by planning the memory again.
type Saving struct {
	Flag  string // vLLM's own, --max-num-seqs
	Value string
	// FreedBytes is what one GPU has more for KV beyond what the same requests need: the pool's
	// growth, and what each request takes less.
	FreedBytes   unit.Bytes
	MoreTokens   int     // of max_model_len requests' tokens the replica's pool holds at a time
	MoreRequests float64 // of max_model_len, steady
	Cost         string  // one of the Cost constants
	Fits         bool    // vLLM starts with it
}

// Savings lists what single flags would free, the largest first, for a load of concurrent requests
// of max_model_len; 0 stands for as many as the pool holds. Flags that vLLM would refuse, or that
// free less than a hundredth of a GiB, are left out; nil where [PlanMemory] refuses e.
func Savings(m catalog.Model, g catalog.GPU, e Engine, concurrent int) []Saving {
	now, err := PlanMemory(m, g, e)
	if err != nil {
		return nil
	}
	e = e.WithDefaults(m, g)
	load := float64(concurrent)
	if concurrent == 0 {
		load = max(1, math.Floor(now.SteadyConcurrency(e.MaxModelLen)))
	}
	var out []Saving
	for _, c := range candidates(m, g, e, now, concurrent) {
		if refusedFor(m, g, c.engine) && !refusedFor(m, g, e) {
			continue
		}
		then, err := PlanMemory(m, g, c.engine)
		if err != nil {
			continue // the changed flag breaks a head rule
		}
		freed := then.room(c.engine, load) - now.room(e, load)
		if freed < unit.FromGiB(0.01) {
			continue
		}
		c.FreedBytes, c.Fits = freed, then.Fits
		c.MoreRequests = then.SteadyConcurrency(c.engine.MaxModelLen) - now.SteadyConcurrency(e.MaxModelLen)
		c.MoreTokens = then.steadyTokens(c.engine) - now.steadyTokens(e)
		out = append(out, c.Saving)
	}
	slices.SortStableFunc(out, func(a, b Saving) int { return cmp.Compare(b.FreedBytes, a.FreedBytes) })
	return out
}

func refusedFor(m catalog.Model, g catalog.GPU, e Engine) bool { return len(Refusals(m, g, e)) > 0 }

// room is what a pool has beyond so many decoding requests of max_model_len; negative where they do
// not fit.
func (mem Memory) room(e Engine, requests float64) unit.Bytes {
	each := float64(mem.BlocksLive(e.MaxModelLen)) * float64(mem.BlockBytes)
	return mem.KVCache - unit.Bytes(math.Round(requests*each))
}

func (mem Memory) steadyTokens(e Engine) int {
	return int(mem.SteadyConcurrency(e.MaxModelLen) * float64(e.MaxModelLen))
}

// smallStep is the max_num_batched_tokens vLLM itself chooses on smaller cards.
const smallStep = 2048

// candidate is a saving with the engine that has its flag.
type candidate struct {
	Saving
	engine Engine
}

// candidates are the flags worth trying on e, which has its defaults.
func candidates(m catalog.Model, g catalog.GPU, e Engine, now Memory, concurrent int) []candidate {
	var out []candidate
	try := func(flag, value, cost string, change func(*Engine)) {
		changed := e
		change(&changed)
		out = append(out, candidate{Saving{Flag: flag, Value: value, Cost: cost}, changed})
	}
	if concurrent > 0 && concurrent < e.MaxNumSeqs {
		fewer := func(e *Engine) { e.MaxNumSeqs = concurrent }
		smaller := func(e *Engine) {
			e.MaxNumSeqs, e.MaxNumBatchedTokens = concurrent, min(e.MaxNumBatchedTokens, smallStep)
		}
		peak := func(change func(*Engine)) unit.Bytes {
			changed := e
			change(&changed)
			point, _, _ := activation(m, changed, parseVersion(e.Version))
			return point
		}
		// The peak is the largest of several needs. Where the forward pass or the image encoder comes
		// next to sampling, fewer requests free little until the step shrinks too.
		if alone, both := now.Activation-peak(fewer), now.Activation-peak(smaller); e.V0 || both < 2*alone {
			try("--max-num-seqs", strconv.Itoa(concurrent), CostFewerRequests, fewer)
		} else {
			try("--max-num-seqs", fmt.Sprintf("%d --max-num-batched-tokens %d", concurrent, smallStep), CostSmallerSteps, smaller)
		}
	}
	// V0 takes a whole prompt in one step.
	if !e.V0 && e.MaxNumBatchedTokens > smallStep && e.MaxNumSeqs <= smallStep {
		try("--max-num-batched-tokens", strconv.Itoa(smallStep), CostLongerPrefill, func(e *Engine) { e.MaxNumBatchedTokens = smallStep })
	}
	if e.kvBytes() > 1 && g.ComputeCapability >= 8 {
		cost := CostKVPrecision
		if g.FP8TFLOPS == 0 {
			cost = CostKVConversion
		}
		try("--kv-cache-dtype", "fp8", cost, func(e *Engine) { e.KVCacheDType = "fp8" })
	}
	if !e.EnforceEager {
		try("--enforce-eager", "", CostSlowerDecode, func(e *Engine) { e.EnforceEager = true })
	}
	if encoderBytes(m, e) > 0 {
		try("--limit-mm-per-prompt", `{"image":0}`, CostNoImages, func(e *Engine) { e.NoImages = true })
	}
	if e.GPUMemoryUtilization < 0.95 {
		try("--gpu-memory-utilization", "0.95", CostLessSpare, func(e *Engine) { e.GPUMemoryUtilization = 0.95 })
	}
	if n := now.LongestRequest(); n >= pageTokens && n < e.MaxModelLen {
		try("--max-model-len", strconv.Itoa(n), CostShorterContext, func(e *Engine) { e.MaxModelLen = n })
	}
	if e.Quantization == "" {
		fp8 := e
		fp8.Quantization = "fp8"
		if g.ComputeCapability >= 8 && !refusedFor(m, g, fp8) {
			try("--quantization", "fp8", CostWeightPrecision, func(e *Engine) { e.Quantization = "fp8" })
		} else {
			try("--quantization", "awq", CostOtherCheckpoint, func(e *Engine) { e.Quantization = "awq" })
		}
	}
	try("--tensor-parallel-size", strconv.Itoa(2*e.TensorParallel), CostMoreGPUs, func(e *Engine) { e.TensorParallel *= 2 })
	return out
}
