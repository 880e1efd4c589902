// Package capacity owns the one model of how big and how fast a vLLM engine is: what it refuses,
// where a GPU's memory goes, and how long one scheduler step takes. Simulator and sizing stand on
// it. It is pure arithmetic: it reads nothing, keeps no state and never judges whether an answer
// is good enough. Its constants were fitted to published start-up logs and serving measurements of
// vLLM 0.4 to 0.31; each formula says which.
package capacity

import (
	"strings"

	"bench/internal/catalog"
)

// Engine is a vLLM engine's settings under vLLM's own names. A zero value means what vLLM does
// when the flag is left out, in that version and on that GPU; see [Engine.WithDefaults].
type Engine struct {
	Version              string // "0.27.1"; "" = newest known
	DType                string // auto, bfloat16, float16 (half), float32
	Quantization         string // of the weights: awq, gptq, w4a16, fp8, int8, bitsandbytes, nvfp4, mxfp4, gguf, …; "" or none = as the checkpoint says
	KVCacheDType         string // auto, fp8, fp8_e4m3, fp8_e5m2, …
	GPUMemoryUtilization float64
	MaxModelLen          int // tokens
	MaxNumSeqs           int // requests in one step
	MaxNumBatchedTokens  int // tokens in one step
	EnforceEager         bool
	TensorParallel       int
	PipelineParallel     int
	ExpertParallel       bool // experts are dealt out whole instead of cut; same bytes but for padding
	NoImages             bool // --limit-mm-per-prompt '{"image":0}': the image encoder is not profiled

	V0                          bool // versions 0.8 to 0.10 with VLLM_USE_V1=0; below 0.8 V0 is all there is
	FlashInferSampler           bool // the start-up log says that FlashInfer samples
	DisableHybridKVCacheManager bool

	Observed *Observed // figures of a start-up log, used where they hold; nil = none
}

// GPUs is the number of GPUs one replica takes; e needs its defaults.
func (e Engine) GPUs() int { return e.TensorParallel * e.PipelineParallel }

// WithDefaults fills every zero value with what vLLM of that version chooses for that model and
// GPU when its API server is started without the flag, and turns spellings into the usual ones.
func (e Engine) WithDefaults(m catalog.Model, g catalog.GPU) Engine {
	v := parseVersion(e.Version)
	e.V0 = e.V0 || v.before(0, 8)
	e.TensorParallel = max(e.TensorParallel, 1)
	e.PipelineParallel = max(e.PipelineParallel, 1)
	if e.GPUMemoryUtilization == 0 {
		e.GPUMemoryUtilization = 0.92
		if v.before(0, 21) {
			e.GPUMemoryUtilization = 0.90
		}
	}
	if e.MaxModelLen == 0 {
		e.MaxModelLen = m.MaxPositionEmbeddings
	}
	e.DType = resolveDType(e.DType, m, g, v)
	e.Quantization = resolveQuantization(e.Quantization, m)
	if e.KVCacheDType = strings.TrimPrefix(strings.ToLower(e.KVCacheDType), "torch."); e.KVCacheDType == "" {
		e.KVCacheDType = "auto"
	}
	if e.KVCacheDType == "auto" && m.KVCacheDType != "" {
		e.KVCacheDType = m.KVCacheDType
	}

	batched, seqs := defaultBatch(e, g, v)
	seqsGiven := e.MaxNumSeqs > 0
	if !seqsGiven {
		e.MaxNumSeqs = seqs
	}
	if e.MaxNumBatchedTokens == 0 {
		e.MaxNumBatchedTokens = batched
		if !e.V0 {
			e.MaxNumBatchedTokens = min(batched, e.MaxNumSeqs*e.MaxModelLen)
		}
	}
	if !seqsGiven {
		e.MaxNumSeqs = min(e.MaxNumSeqs, e.MaxNumBatchedTokens)
	}
	return e
}

// defaultBatch is the API server's max_num_batched_tokens and max_num_seqs. V1 chooses them by the
// card's memory; V0 without chunked prefill must take a whole prompt in one step, and chunks by
// itself above 32k tokens.
func defaultBatch(e Engine, g catalog.GPU, v version) (batched, seqs int) {
	if e.V0 {
		if e.MaxModelLen > 32768 && !v.before(0, 4) {
			return 512, 256
		}
		return max(e.MaxModelLen, 2048), 256
	}
	a100 := strings.Contains(g.Name, "A100") && !v.before(0, 9)
	switch {
	case g.MemoryTorchGiB >= 160 && !v.before(0, 28):
		return 16384, 1024
	case g.MemoryTorchGiB >= 70 && !a100:
		return 8192, 1024
	}
	return 2048, 256
}

// resolveDType is the dtype the engine computes in. auto means the checkpoint's own; on cards
// without BF16 it falls to FP16, and to float32 for models vLLM refuses in FP16.
func resolveDType(dtype string, m catalog.Model, g catalog.GPU, v version) string {
	switch d := strings.TrimPrefix(strings.ToLower(dtype), "torch."); d {
	case "", "auto":
		switch {
		case m.DType == "float32":
			return "float16" // vLLM's auto casts float32 checkpoints down
		case m.DType == "bfloat16" && g.BF16TFLOPS == 0 && refusesFP16(m, v):
			return "float32"
		case m.DType == "bfloat16" && g.BF16TFLOPS == 0:
			return "float16"
		}
		return m.DType
	case "half", "fp16":
		return "float16"
	case "bf16":
		return "bfloat16"
	case "float", "fp32":
		return "float32"
	default:
		return d
	}
}

func dtypeBytes(dtype string) int64 {
	if dtype == "float32" {
		return 4
	}
	return 2
}

// eightBitKV says whether a kv_cache_dtype keeps one byte an element: fp8, fp8_e5m2,
// int8_per_token_head, …
func eightBitKV(dtype string) bool {
	return strings.HasPrefix(dtype, "fp8") || strings.HasPrefix(dtype, "int8")
}

// kvBytes is the size of one element in the KV cache.
func (e Engine) kvBytes() int64 {
	if eightBitKV(e.KVCacheDType) {
		return 1
	}
	return dtypeBytes(e.DType)
}

// hybrid says whether sliding layers free what has left their window. The manager that does it
// came with V1 in 0.9.1; chunked attention (Llama 4) keeps it off.
func (e Engine) hybrid(m catalog.Model, v version) bool {
	return !e.V0 && !e.DisableHybridKVCacheManager && !v.beforePatch(0, 9, 1) &&
		m.LayersOf(catalog.ChunkedAttention).Count == 0
}

// batchedTokensInFlight is how many tokens of one request may be in the engine at once when its
// blocks are reserved. Asynchronous scheduling plans one step ahead; since July 2026 (0.26) the
// reservation counts both steps.
func (e Engine) batchedTokensInFlight(v version) int {
	if v.before(0, 26) {
		return e.MaxNumBatchedTokens
	}
	return 2 * e.MaxNumBatchedTokens
}
