package capacity

import (
	"math"
	"strings"
	"testing"

	"bench/internal/catalog"
	"bench/internal/unit"
)

func model(t testing.TB, id string) catalog.Model {
	t.Helper()
	m, err := catalog.FindModel(id)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func gpu(t testing.TB, name string) catalog.GPU {
	t.Helper()
	g, err := catalog.FindGPU(name)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func plan(t testing.TB, id, card string, e Engine) Memory {
	t.Helper()
	mem, err := PlanMemory(model(t, id), gpu(t, card), e)
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

const gemma = "google/gemma-3-12b-it"

// TestGemma3Blocks holds the anchors of the hybrid manager: blocks of 1 MiB, and what a request
// takes of them by version and budget.
func TestGemma3Blocks(t *testing.T) {
	older := plan(t, gemma, "h100", Engine{Version: "0.24.0", MaxModelLen: 4096, MaxNumBatchedTokens: 2048})
	newer := plan(t, gemma, "h100", Engine{MaxModelLen: 4096, MaxNumBatchedTokens: 2048})
	large := plan(t, gemma, "h100", Engine{Version: "0.24.0", MaxModelLen: 4096, MaxNumBatchedTokens: 8192})
	before := plan(t, gemma, "h100", Engine{Version: "0.9.0", MaxModelLen: 4096})
	tests := []struct {
		what      string
		got, want int
	}{
		{"bytes of a block", int(older.BlockBytes), 1 << 20},
		{"live at 4096", older.BlocksLive(4096), 581},
		{"live at 1024: all layers hold all of it", older.BlocksLive(1024), 6 * 64},
		{"live at 1", older.BlocksLive(1), 6},
		{"reserved, 2048 batched", older.reservedBlocks(4096), 1221},
		{"reserved, 2048 batched counted twice", newer.reservedBlocks(4096), 1541},
		{"reserved, 8192 batched", large.reservedBlocks(4096), 1541},
		{"reserved at 8192, older", older.reservedBlocks(8192), 1477},
		{"reserved at 8192, newer", newer.reservedBlocks(8192), 2117},
		{"admission at 100", newer.BlocksForAdmission(100), 6 * 7},
		{"admission at 4096 takes no more than the request has", newer.BlocksForAdmission(4096), 6 * 256},
		{"bytes of a token without the hybrid manager", int(before.BlockBytes) / 16, 393216},
		{"live without it", before.BlocksLive(4096), 256},
		{"usable", older.UsableBlocks(), older.Blocks - 1},
	}
	for _, tc := range tests {
		if tc.got != tc.want {
			t.Errorf("%s: %d, want %d", tc.what, tc.got, tc.want)
		}
	}
	if off := plan(t, gemma, "h100", Engine{MaxModelLen: 4096, DisableHybridKVCacheManager: true}); off.BlockBytes != before.BlockBytes {
		t.Errorf("hybrid manager switched off: block of %v, want %v", off.BlockBytes, before.BlockBytes)
	}
}

// TestGemma3Pool checks the printed concurrency at a pool of 10 GiB.
func TestGemma3Pool(t *testing.T) {
	m, g := model(t, gemma), gpu(t, "h100")
	tests := []struct {
		version     string
		blocks      int
		concurrency float64
		tokens      int
	}{
		{"0.9.0", 1706, 3.33, 27296},
		{"0.19.0", 10240, 6.93, 27296}, // 10240 ÷ 6 groups × 16
		{"0.24.0", 10240, 6.93, 56794},
		{"0.27.1", 10240, 4.84, 39624},
	}
	for _, tc := range tests {
		e := Engine{Version: tc.version, MaxModelLen: 8192, MaxNumBatchedTokens: 2048}.WithDefaults(m, g)
		v := parseVersion(tc.version)
		mem := Memory{KVCache: 10 * unit.GiB, inFlight: e.batchedTokensInFlight(v), v0: e.V0}
		mem.layOut(m, e, v)
		if mem.Blocks != tc.blocks || math.Abs(mem.GuaranteedConcurrency-tc.concurrency) > 0.005 || mem.KVCacheTokens != tc.tokens {
			t.Errorf("%s: %d blocks, %.2fx, %d tokens; want %d, %.2fx, %d", tc.version,
				mem.Blocks, mem.GuaranteedConcurrency, mem.KVCacheTokens, tc.blocks, tc.concurrency, tc.tokens)
		}
	}
}

// TestGroups holds the grouping of hybrid models, padding included.
func TestGroups(t *testing.T) {
	tests := []struct {
		id         string
		groups     int
		layers     int
		blockBytes unit.Bytes
	}{
		{"google/gemma-3-1b-it", 7, 4, 64 * unit.KiB},
		{"google/gemma-3-4b-it", 7, 5, 320 * unit.KiB},
		{gemma, 6, 8, unit.MiB},
		{"google/gemma-3-27b-it", 7, 10, 1280 * unit.KiB},
		{"openai/gpt-oss-20b", 2, 12, 16 * 12 * 2048},
		{"google/gemma-2-9b-it", 2, 21, 16 * 21 * 8192},
		{"google/gemma-4-31B-it", 6, 10, 16 * 10 * 16384},
		{"meta-llama/Llama-4-Scout-17B-16E-Instruct", 1, 48, 16 * 48 * 4096},
		{"deepseek-ai/DeepSeek-V3", 1, 61, 16 * 70272},
	}
	for _, tc := range tests {
		mem := plan(t, tc.id, "b200", Engine{TensorParallel: 1, MaxModelLen: 8192})
		groups := 0
		for _, g := range mem.Groups {
			groups += g.Count
		}
		if groups != tc.groups || mem.Groups[0].Layers != tc.layers || mem.BlockBytes != tc.blockBytes {
			t.Errorf("%s: %d groups of %d layers, block %d B; want %d of %d, %d B", tc.id,
				groups, mem.Groups[0].Layers, int64(mem.BlockBytes), tc.groups, tc.layers, int64(tc.blockBytes))
		}
	}
	// Gemma 4's full layers keep half as much a token: the same page holds twice as many.
	mem := plan(t, "google/gemma-4-31B-it", "b200", Engine{MaxModelLen: 8192})
	if full, sliding := mem.Groups[0].BlockTokens, mem.Groups[1].BlockTokens; full != 32 || sliding != 16 {
		t.Errorf("gemma 4: pages of %d and %d tokens, want 32 and 16", full, sliding)
	}
	// A linear-attention layer holds one state whatever the length.
	mem = plan(t, "Qwen/Qwen3.6-27B", "h200", Engine{})
	if short, long := mem.BlocksLive(mem.BlockTokens), mem.BlocksLive(3*mem.BlockTokens); long-short != 2 || short != 4 {
		t.Errorf("qwen 3.6: %d blocks for one page of tokens, %d for three", short, long)
	}
	if mem.BlockTokens%pageTokens != 0 || mem.BlockTokens < 16 {
		t.Errorf("qwen 3.6: page of %d tokens", mem.BlockTokens)
	}
}

// TestTensorParallelKV: KV heads divide down to one a GPU, a latent does not divide.
func TestTensorParallelKV(t *testing.T) {
	perToken := func(id string, tp int) int {
		return int(plan(t, id, "h200", Engine{TensorParallel: tp, MaxModelLen: 4096}).BlockBytes) / 16
	}
	for _, tc := range []struct {
		id       string
		tp, want int
	}{
		{"zai-org/GLM-4-9B-0414", 1, 40960}, {"zai-org/GLM-4-9B-0414", 2, 20480}, {"zai-org/GLM-4-9B-0414", 8, 20480},
		{"Qwen/Qwen3-235B-A22B", 8, 48128},
		{"deepseek-ai/DeepSeek-V3", 1, 70272}, {"deepseek-ai/DeepSeek-V3", 8, 70272},
	} {
		if got := perToken(tc.id, tc.tp); got != tc.want {
			t.Errorf("%s at TP %d: %d B/token, want %d", tc.id, tc.tp, got, tc.want)
		}
	}
}

func TestWeights(t *testing.T) {
	tests := []struct {
		id, card string
		engine   Engine
		gib, tol float64 // printed by a start-up, or exact arithmetic
	}{
		{gemma, "h100", Engine{}, 22.70 + 0.125, 0.002}, // with two rotary tables of 131,072 × 256
		{gemma, "h100", Engine{DType: "float32"}, 2 * 22.825, 0.004},
		{"meta-llama/Llama-3.1-8B-Instruct", "h100", Engine{}, 14.9888, 0.001},
		{"mistralai/Mistral-Nemo-Instruct-2407", "a100-40gb", Engine{}, 22.8447, 0.001},
		{"openai/gpt-oss-20b", "h100", Engine{}, 13.72, 0.1},
		// Four KV heads on eight GPUs: each holds one, and all routers.
		{"Qwen/Qwen3-235B-A22B", "h100", Engine{TensorParallel: 8}, 54.9205, 0.005},
	}
	for _, tc := range tests {
		if got := plan(t, tc.id, tc.card, tc.engine).Weights.GiB(); math.Abs(got-tc.gib) > tc.tol {
			t.Errorf("%s %+v: %.3f GiB, want %.2f", tc.id, tc.engine, got, tc.gib)
		}
	}
}

// TestStoredWeights: what a checkpoint's headers say stands in for the formula, as far as vLLM loads
// what is stored.
func TestStoredWeights(t *testing.T) {
	m, g := model(t, "meta-llama/Llama-3.1-8B-Instruct"), gpu(t, "h100")
	p := m.Parameters
	m.Stored = &catalog.Stored{Embedding: catalog.Part{Floats: p.Embedding}, Head: catalog.Part{Floats: p.Head}, Layers: catalog.Part{Floats: p.Layers}, MTP: catalog.Part{Floats: 1 << 30}}
	weights := func(e Engine) unit.Bytes {
		mem, err := PlanMemory(m, g, e)
		if err != nil {
			t.Fatal(err)
		}
		return mem.Weights
	}
	formula := model(t, m.ID)
	for _, e := range []Engine{{}, {DType: "float32"}, {Quantization: "fp8"}, {TensorParallel: 4}, {PipelineParallel: 2}} {
		mem, err := PlanMemory(formula, g, e)
		if err != nil {
			t.Fatal(err)
		}
		if got := weights(e); got != mem.Weights {
			t.Errorf("%+v: %v by headers that say what the fields say, %v by the fields", e, got, mem.Weights)
		}
	}
	// A quantised checkpoint is loaded as it lies there, whatever the formula makes of its method.
	m.Quantization = &catalog.Quantization{Method: "nvfp4", Bits: 4}
	m.Stored.Layers = catalog.Part{Floats: 1000, Packed: 6 << 30}
	if got, want := weights(Engine{}), unit.Bytes(6<<30+2*(1000+p.Embedding+p.Head+int64(m.RopeElements))); got != want {
		t.Errorf("quantised: %d bytes, want %d", got, want)
	}
}

// TestPipelineWeights: the fullest stage decides, and a tied head is a second copy of the embedding.
func TestPipelineWeights(t *testing.T) {
	m := model(t, "meta-llama/Llama-3.2-1B-Instruct")
	one, two := plan(t, m.ID, "h100", Engine{}), plan(t, m.ID, "h100", Engine{PipelineParallel: 2})
	if want := unit.Bytes(2*m.Parameters.Embedding + m.Parameters.Layers + 2*int64(m.RopeElements)); two.Weights != want || one.Weights >= 2*two.Weights {
		t.Errorf("half the layers and the embedding: %d bytes, want %d (one stage %d)", two.Weights, want, one.Weights)
	}
}

// TestNonTorch: more than two PCIe cards have no all-reduce kernel of vLLM's own, and none of its
// buffers.
func TestNonTorch(t *testing.T) {
	for _, tc := range []struct {
		card    string
		tp      int
		version string
		gib     float64
	}{
		{"h100", 1, "0.24.0", 0.10}, {"h100", 4, "0.24.0", 0.9}, {"h100", 8, "0.31.0", 1.6},
		{"l40s", 2, "0.24.0", 0.30}, {"l40s", 4, "0.24.0", 0.30}, {"l40s", 8, "0.31.0", 0.75},
	} {
		got := plan(t, "meta-llama/Llama-3.1-8B-Instruct", tc.card, Engine{TensorParallel: tc.tp, Version: tc.version}).NonTorch.GiB()
		if math.Abs(got-tc.gib) > 0.001 {
			t.Errorf("%d × %s, vLLM %s: %.2f GiB, want %.2f", tc.tp, tc.card, tc.version, got, tc.gib)
		}
	}
}

// TestEncoderPeak: the image encoder's share of the profiled peak follows the images that fit a step.
func TestEncoderPeak(t *testing.T) {
	for _, tc := range []struct {
		id, card string
		engine   Engine
		gib, tol float64
	}{
		// Printed by a start-up of Qwen3.8-27B-FP8 (1.59), which is built like it.
		{"Qwen/Qwen3.6-27B", "rtx-5090", Engine{Version: "0.28.0", Quantization: "fp8", TensorParallel: 2, MaxModelLen: 65536}, 1.59, 0.04},
		{"Qwen/Qwen3.6-27B", "rtx-5090", Engine{Version: "0.28.0", Quantization: "fp8", TensorParallel: 2, MaxModelLen: 65536, NoImages: true}, 1.08, 0.02},
		{gemma, "h100", Engine{MaxNumSeqs: 50}, 3.16, 0.02}, // 32 images in 8192 tokens
		{gemma, "h100", Engine{MaxNumSeqs: 50, MaxNumBatchedTokens: 2048}, 0.98, 0.02},
		{gemma, "h100", Engine{}, 3.75, 0.02}, // sampling decides
	} {
		if got := plan(t, tc.id, tc.card, tc.engine).Activation.GiB(); math.Abs(got-tc.gib) > tc.tol {
			t.Errorf("%s %+v: %.2f GiB, want %.2f", tc.id, tc.engine, got, tc.gib)
		}
	}
}

// TestGemma3On24GiB is the claim "FP16 Gemma 3 12B on a 24 GB card at 0.95": refused for its dtype,
// and without that the weights alone would exceed the budget. Four bits fit.
func TestGemma3On24GiB(t *testing.T) {
	m, g := model(t, gemma), gpu(t, "rtx-3090")
	claim := Engine{DType: "float16", GPUMemoryUtilization: 0.95}
	if r := Refusals(m, g, claim); len(r) != 1 || r[0].Code != RefusedFP16 {
		t.Errorf("refusals %v, want only %s", r, RefusedFP16)
	}
	mem := plan(t, gemma, "rtx-3090", claim)
	if mem.Fits || !strings.Contains(mem.Reason, "weights leave nothing for KV") || mem.KVCacheTokens != 0 {
		t.Errorf("fits %v, %q, %d tokens", mem.Fits, mem.Reason, mem.KVCacheTokens)
	}
	w4 := plan(t, gemma, "rtx-3090", Engine{Quantization: "w4a16"})
	if gib := w4.KVCache.GiB(); !w4.Fits || gib < 10.5 || gib > 13 {
		t.Errorf("w4a16: fits %v (%s), %.1f GiB for KV", w4.Fits, w4.Reason, gib)
	}
	if r := Refusals(m, g, Engine{Quantization: "w4a16"}); len(r) != 0 {
		t.Errorf("w4a16: refused: %v", r)
	}
}

// TestFiftyAt4096 is which cards hold 50 requests of 4096 tokens of unquantised Gemma 3 12B while
// they decode, with windows and, without the hybrid manager, with every layer full.
func TestFiftyAt4096(t *testing.T) {
	tests := []struct {
		card         string
		count        int
		hybrid, full bool
	}{
		{"a100-80gb", 1, true, false}, {"a100-80gb", 2, true, true},
		{"h100", 1, true, false}, {"h100", 2, true, true},
		{"h200", 1, true, true},
		{"rtx-pro-6000", 1, true, false}, {"rtx-pro-6000", 2, true, true},
		{"a6000", 1, false, false}, {"a6000", 2, true, false}, {"a6000", 4, true, true},
		{"a100-40gb", 1, false, false}, {"a100-40gb", 2, true, false}, {"a100-40gb", 4, true, true},
		{"rtx-3090", 1, false, false}, {"rtx-3090", 2, false, false}, {"rtx-3090", 4, true, false}, {"rtx-3090", 8, true, true},
		{"rtx-4090", 4, true, false}, {"rtx-4090", 8, true, true},
	}
	for _, tc := range tests {
		e := Engine{TensorParallel: tc.count, MaxModelLen: 4096}
		if got := plan(t, gemma, tc.card, e); (got.SteadyConcurrency(4096) >= 50) != tc.hybrid {
			t.Errorf("%d × %s: %.1f requests, want at least 50: %v", tc.count, tc.card, got.SteadyConcurrency(4096), tc.hybrid)
		}
		e.DisableHybridKVCacheManager = true
		if got := plan(t, gemma, tc.card, e); (got.SteadyConcurrency(4096) >= 50) != tc.full {
			t.Errorf("%d × %s, all layers full: %.1f requests, want at least 50: %v", tc.count, tc.card, got.SteadyConcurrency(4096), tc.full)
		}
	}
}

// TestMemoryLaws hold for every model on every card.
func TestMemoryLaws(t *testing.T) {
	for _, id := range catalog.ModelIDs() {
		m := model(t, id)
		for _, g := range catalog.GPUs() {
			for _, tp := range TensorParallelSizes(m, 8) {
				e := Engine{TensorParallel: tp}
				mem, err := PlanMemory(m, g, e)
				if err != nil {
					t.Fatalf("%s on %d × %s: %v", id, tp, g.Name, err)
				}
				if sum := mem.Weights + mem.Activation + mem.NonTorch + mem.CUDAGraph + mem.KVCache; sum != mem.Budget {
					t.Errorf("%s on %s: parts sum to %v, budget %v", id, g.Name, sum, mem.Budget)
				}
				if mem.Fits != (mem.Reason == "") || mem.Fits && mem.GuaranteedConcurrency < 1 {
					t.Errorf("%s on %s: fits %v, %q, %.2fx", id, g.Name, mem.Fits, mem.Reason, mem.GuaranteedConcurrency)
				}
				if mem.ActivationLow > mem.Activation || mem.Activation > mem.ActivationHigh || mem.ActivationLow < 0 {
					t.Errorf("%s on %s: activation %v, range %v to %v", id, g.Name, mem.Activation, mem.ActivationLow, mem.ActivationHigh)
				}
				last := 0
				for _, n := range []int{1, 15, 16, 17, 1000, 4096, 8191, 40000} {
					live, admission, reserved := mem.BlocksLive(n), mem.BlocksForAdmission(n), mem.reservedBlocks(n)
					if live < last || live < 1 || live > admission || admission > reserved {
						t.Errorf("%s on %s at %d tokens: live %d (before %d), admission %d, reserved %d", id, g.Name, n, live, last, admission, reserved)
					}
					last = live
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		id, card string
		engine   Engine
		codes    string
	}{
		{gemma, "h100", Engine{}, ""},
		{gemma, "h100", Engine{DType: "half"}, RefusedFP16},
		{gemma, "h100", Engine{DType: "half", Version: "0.9.0"}, ""},
		{gemma, "h100", Engine{DType: "half", Version: "0.9.1"}, RefusedFP16},
		{"google/gemma-2-9b-it", "h100", Engine{DType: "float16"}, RefusedFP16},
		{"zai-org/GLM-4-9B-0414", "h100", Engine{DType: "float16"}, RefusedFP16},
		{"meta-llama/Llama-3.1-8B-Instruct", "h100", Engine{DType: "float16"}, ""},
		{"meta-llama/Llama-3.1-8B-Instruct", "t4", Engine{}, ""}, // auto falls to FP16
		{"meta-llama/Llama-3.1-8B-Instruct", "t4", Engine{DType: "bfloat16"}, RefusedBF16},
		{gemma, "t4", Engine{}, RefusedFloat32Only},
		{gemma, "v100-32gb", Engine{DType: "bfloat16"}, RefusedBF16},
		{"deepseek-ai/DeepSeek-V3", "v100-32gb", Engine{TensorParallel: 8}, RefusedQuantization},
		{"openai/gpt-oss-20b", "t4", Engine{}, RefusedQuantization},
		{"openai/gpt-oss-20b", "h100", Engine{Quantization: "awq"}, RefusedQuantization},
		{"meta-llama/Llama-3.1-8B-Instruct", "h100", Engine{Quantization: "zip"}, RefusedQuantization},
		{"Qwen/Qwen2.5-7B-Instruct", "h100", Engine{TensorParallel: 8}, RefusedHeads},
		{"microsoft/phi-4", "h100", Engine{TensorParallel: 4}, RefusedHeads},
		{"microsoft/phi-4", "h100", Engine{TensorParallel: 5}, ""},
		{"deepseek-ai/DeepSeek-V3", "h100", Engine{TensorParallel: 16}, ""},
		{"meta-llama/Llama-3.2-1B-Instruct", "h100", Engine{PipelineParallel: 17}, RefusedLayers},
		{"google/gemma-2-9b-it", "h100", Engine{MaxModelLen: 8193}, RefusedContext},
		{gemma, "h100", Engine{GPUMemoryUtilization: 1.2}, RefusedSettings},
		{gemma, "h100", Engine{GPUMemoryUtilization: math.NaN()}, RefusedSettings},
		{gemma, "h100", Engine{DType: "int7"}, RefusedSettings},
		{gemma, "h100", Engine{KVCacheDType: "fp9"}, RefusedSettings},
		{gemma, "h100", Engine{KVCacheDType: "fp8_e5m2"}, ""},
		{gemma, "h100", Engine{MaxNumBatchedTokens: 512, MaxNumSeqs: 1024}, RefusedSettings},
		{gemma, "h100", Engine{MaxNumBatchedTokens: 512}, ""}, // max_num_seqs follows
		{gemma, "h100", Engine{MaxModelLen: -1}, RefusedSettings},
		{gemma, "t4", Engine{DType: "bfloat16", TensorParallel: 3, MaxModelLen: 1 << 20}, RefusedBF16 + " " + RefusedHeads + " " + RefusedContext},
	}
	for _, tc := range tests {
		var codes []string
		for _, r := range Refusals(model(t, tc.id), gpu(t, tc.card), tc.engine) {
			codes = append(codes, r.Code)
			if r.Reason == "" || strings.Contains(r.Reason, "\n") {
				t.Errorf("%s: reason %q", tc.id, r.Reason)
			}
		}
		if got := strings.Join(codes, " "); got != tc.codes {
			t.Errorf("%s on %s %+v: refused for %q, want %q", tc.id, tc.card, tc.engine, got, tc.codes)
		}
	}
}

func TestDefaults(t *testing.T) {
	tests := []struct {
		card, version string
		batched, seqs int
		utilization   float64
	}{
		{"h100", "", 8192, 1024, 0.92},
		{"h200", "0.27.1", 8192, 1024, 0.92},
		{"b200", "0.27.1", 8192, 1024, 0.92},
		{"b200", "0.28.0", 16384, 1024, 0.92},
		{"a100-80gb", "", 2048, 256, 0.92},
		{"a100-80gb", "0.8.5", 8192, 1024, 0.90},
		{"rtx-3090", "0.20.0", 2048, 256, 0.90},
		{"rtx-3090", "0.7.3", 512, 256, 0.90}, // chunks by itself above 32k
	}
	m := model(t, gemma)
	for _, tc := range tests {
		e := Engine{Version: tc.version}.WithDefaults(m, gpu(t, tc.card))
		if e.MaxNumBatchedTokens != tc.batched || e.MaxNumSeqs != tc.seqs || e.GPUMemoryUtilization != tc.utilization || e.MaxModelLen != 131072 || e.GPUs() != 1 {
			t.Errorf("%s, vLLM %s: %+v", tc.card, tc.version, e)
		}
		if again := e.WithDefaults(m, gpu(t, tc.card)); again != e {
			t.Errorf("%s: defaults of defaults differ: %+v, %+v", tc.card, e, again)
		}
	}
	small := Engine{MaxNumSeqs: 4, MaxModelLen: 256}.WithDefaults(m, gpu(t, "h100"))
	if small.MaxNumBatchedTokens != 4*256 {
		t.Errorf("4 requests of 256 tokens: %d batched tokens", small.MaxNumBatchedTokens)
	}
}

func TestVersion(t *testing.T) {
	for text, want := range map[string]version{
		"0.27.1": {0, 27, 1}, "v0.8.0rc3.dev5+g5eeabc2a": {0, 8, 0}, "~0.11": {0, 11, 0}, "0.9.0.1": {0, 9, 0},
		"": newest, "latest": newest, "0.1.dev10446+g2dcd12d35": newest,
	} {
		if got := parseVersion(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("0.27.1")
	f.Add("999999999999.1.1")
	f.Fuzz(func(t *testing.T, s string) {
		if v := parseVersion(s); v.major < 0 || v.minor < 0 || v.patch < 0 {
			t.Errorf("%q: %v", s, v)
		}
	})
}
