package capacity

import (
	"fmt"
	"slices"
	"strings"

	"bench/internal/catalog"
	"bench/internal/unit"
)

// Codes of refusals, for callers that branch on them.
const (
	RefusedFP16         = "fp16_refused"        // the model is numerically unstable in FP16
	RefusedBF16         = "bf16_unsupported"    // the card has no BF16
	RefusedFloat32Only  = "float32_only"        // no BF16 on the card and no FP16 for the model
	RefusedQuantization = "quantization"        // no kernel for it on the card, or not the checkpoint's own
	RefusedHeads        = "tensor_parallel"     // tensor parallel size does not divide the heads
	RefusedLayers       = "pipeline_parallel"   // more stages than layers
	RefusedContext      = "context_too_long"    // max_model_len above the model's own
	RefusedSettings     = "impossible_settings" // a setting outside its range
)

// Refusal is a reason why vLLM does not start, known before any memory is counted.
type Refusal struct {
	Code   string
	Reason string // one sentence: what is wrong and what to do instead
}

// Refusals lists what vLLM refuses at start for reasons other than memory. Empty means eligible.
// float32_only is the one it does not refuse outright: it would start in float32, at twice the
// memory and without tensor cores, which nobody who asks for 16 bits means.
func Refusals(m catalog.Model, g catalog.GPU, e Engine) []Refusal {
	asked := e
	e = e.WithDefaults(m, g)
	v := parseVersion(e.Version)
	var out []Refusal
	refuse := func(code, format string, args ...any) {
		out = append(out, Refusal{code, fmt.Sprintf(format, args...)})
	}

	if u := e.GPUMemoryUtilization; !(u > 0 && u <= 1) {
		refuse(RefusedSettings, "gpu_memory_utilization is %v; it is a share of the card, above 0 and at most 1", u)
	}
	if asked.MaxModelLen < 0 || asked.MaxNumSeqs < 0 || asked.MaxNumBatchedTokens < 0 {
		refuse(RefusedSettings, "max_model_len, max_num_seqs and max_num_batched_tokens cannot be negative")
	}
	if d := e.KVCacheDType; !eightBitKV(d) && !slices.Contains([]string{"auto", "bfloat16", "float16", "half"}, d) {
		refuse(RefusedSettings, "kv_cache_dtype %s is not known; use auto, bfloat16, float16, or a kind of fp8 or int8", d)
	}
	if !e.V0 && e.MaxNumBatchedTokens < e.MaxNumSeqs {
		refuse(RefusedSettings, "max_num_batched_tokens %d is less than max_num_seqs %d: each running request takes one token of a step", e.MaxNumBatchedTokens, e.MaxNumSeqs)
	}

	switch {
	case !slices.Contains([]string{"bfloat16", "float16", "float32"}, e.DType):
		refuse(RefusedSettings, "dtype %s is not one vLLM computes in; use auto, bfloat16, float16 or float32", e.DType)
	case e.DType == "float16" && refusesFP16(m, v):
		refuse(RefusedFP16, "vLLM refuses FP16 for %s: its activations overflow FP16's range (numerical instability); use bfloat16", m.ModelType)
	case e.DType == "bfloat16" && g.BF16TFLOPS == 0:
		refuse(RefusedBF16, "%s (compute capability %.1f) has no BF16, which needs 8.0; use float16 where the model allows it", g.Name, g.ComputeCapability)
	case e.DType == "float32" && m.DType != "float32" && g.BF16TFLOPS == 0:
		refuse(RefusedFloat32Only, "%s has no BF16 and vLLM refuses FP16 for %s; what is left is float32, at twice the memory and without tensor cores", g.Name, m.ModelType)
	}

	s, ok := schemeOf(e.Quantization, m)
	switch own := resolveQuantization("", m); {
	case !ok:
		refuse(RefusedQuantization, "quantization method %q is not known", e.Quantization)
	case own != "" && own != e.Quantization:
		refuse(RefusedQuantization, "the checkpoint is quantised with %s, vLLM refuses to load it as %s; leave quantization out", own, e.Quantization)
	case g.ComputeCapability < s.minCC:
		refuse(RefusedQuantization, "vLLM's %s kernels need compute capability %.1f, %s has %.1f", s.method, s.minCC, g.Name, g.ComputeCapability)
	}

	if broken := headRule(m, e.TensorParallel); broken != "" {
		refuse(RefusedHeads, "tensor parallel size %d %s; possible are %s", e.TensorParallel, broken, list(TensorParallelSizes(m, 16)))
	}
	if e.PipelineParallel > m.NumLayers() {
		refuse(RefusedLayers, "pipeline parallel size %d is more than the %d layers", e.PipelineParallel, m.NumLayers())
	}
	if e.MaxModelLen > m.MaxPositionEmbeddings {
		refuse(RefusedContext, "max_model_len %s is above the %s the model was made for; vLLM refuses it unless told otherwise by an environment switch",
			unit.Count(e.MaxModelLen), unit.Tokens(m.MaxPositionEmbeddings))
	}
	return out
}

// headRule says which head rule a tensor parallel size breaks; "" is none. It divides the query
// heads; it divides the KV heads too or is a multiple of them, when every GPU holds a copy of one;
// a latent (MLA) has no KV heads to divide.
func headRule(m catalog.Model, tp int) string {
	if m.Heads%tp != 0 {
		return fmt.Sprintf("does not divide the %d attention heads", m.Heads)
	}
	for _, l := range m.Layers {
		if kv := l.KVHeads; kv > 0 && kv%tp != 0 && tp%kv != 0 {
			return fmt.Sprintf("neither divides the %d KV heads nor is a multiple of them", kv)
		}
	}
	if lin := m.Linear; lin != nil && (lin.KeyHeads%tp != 0 || lin.ValueHeads%tp != 0) {
		return fmt.Sprintf("does not divide the %d key and %d value heads of the linear-attention layers", lin.KeyHeads, lin.ValueHeads)
	}
	return ""
}

// TensorParallelSizes are the sizes up to limit that the head rules allow.
func TensorParallelSizes(m catalog.Model, limit int) []int {
	var out []int
	for tp := 1; tp <= limit; tp++ {
		if headRule(m, tp) == "" {
			out = append(out, tp)
		}
	}
	return out
}

// refusesFP16 names the model types vLLM refuses in FP16 since 0.9.1: they were trained in BF16
// and their activations exceed FP16's largest number.
func refusesFP16(m catalog.Model, v version) bool {
	if v.beforePatch(0, 9, 1) {
		return false
	}
	return slices.Contains([]string{"gemma2", "gemma3", "gemma3_text", "glm4"}, m.ModelType)
}

func list(numbers []int) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(numbers)), ", "), "[]")
}
