package sizing

import (
	"fmt"
	"strings"
	"testing"

	"bench/internal/capacity"
	"bench/internal/record"
)

// served is a vLLM that has started model with those weights on a card, as seen from outside.
func served(t testing.TB, root, gpu, method string, labels map[string]string) Evidence {
	t.Helper()
	e := capacity.Engine{Quantization: method, GPUMemoryUtilization: 0.92, MaxModelLen: 4096}
	mem, err := capacity.PlanMemory(model(t, planModel), card(t, gpu), e)
	if err != nil || !mem.Fits {
		t.Fatalf("%s in %q on %s: %v %s", planModel, method, gpu, err, mem.Reason)
	}
	config := map[string]string{
		"num_gpu_blocks": fmt.Sprint(mem.Blocks), "gpu_memory_utilization": "0.92", "block_size": "16",
		"cache_dtype": "auto", "num_gpu_blocks_override": "None",
	}
	for k, v := range labels {
		config[k] = v
	}
	total := float64(card(t, gpu).MemoryNVMLMiB)
	return Evidence{
		Server: &record.Server{BaseURL: "http://localhost:8000", ServedModel: "chat", ModelRoot: root, MaxModelLen: 4096, EngineVersion: "0.28.0", CacheConfig: config},
		GPUs:   []record.GPUInfo{{Name: card(t, gpu).Name, MemoryTotalMiB: &total, MemoryUsedMiB: new(0.93 * total)}},
	}
}

func TestGuessLoaded(t *testing.T) {
	const plain = planModel
	for _, c := range []struct {
		name         string
		ev           Evidence
		quantization string
		quantized    *bool
		strength     record.Strength
	}{
		{"4 bit on a 3090 under a plain name", served(t, plain, "rtx-3090", "w4a16", nil), "w4a16", new(true), record.StrengthLikely},
		{"the same, and nothing is offloaded", served(t, plain, "rtx-3090", "w4a16", map[string]string{"cpu_offload_gb": "0"}), "w4a16", new(true), record.StrengthProven},
		{"AWQ by name and by pool", served(t, "/models/gemma-3-12b-it-AWQ", "rtx-3090", "awq", nil), "awq", new(true), record.StrengthLikely},
		{"FP8 on a 4090", served(t, plain, "rtx-4090", "fp8", nil), "fp8", new(true), record.StrengthLikely},
		{"16 bit on an A100", served(t, plain, "a100-80gb", "", nil), "none", new(false), record.StrengthLikely},
		{"4 bit on an A100", served(t, plain, "a100-80gb", "w4a16", nil), "w4a16", new(true), record.StrengthLikely},
		{"a name that lies", served(t, "/models/gemma-3-12b-it-AWQ", "a100-80gb", "", nil), "none", new(false), record.StrengthLikely},
		{"no pool told, 3090", served(t, plain, "rtx-3090", "w4a16", map[string]string{"num_gpu_blocks": "None"}), "w4a16", new(true), record.StrengthHint},
		{"no pool told, A100", served(t, plain, "a100-80gb", "w4a16", map[string]string{"num_gpu_blocks": "None"}), "unknown", nil, record.StrengthNone},
		{"no pool told, A100, a name", served(t, "gemma-3-12b-it-gptq", "a100-80gb", "gptq", map[string]string{"num_gpu_blocks": "None"}), "gptq", new(true), record.StrengthHint},
		{"the pool was set by hand", served(t, plain, "a100-80gb", "w4a16", map[string]string{"num_gpu_blocks_override": "100"}), "unknown", nil, record.StrengthNone},
		{"no server", Evidence{}, "unknown", nil, record.StrengthNone},
		{"a model nobody knows", served(t, "acme/secret-v7", "rtx-3090", "w4a16", nil), "unknown", nil, record.StrengthNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := GuessLoaded(c.ev)
			same := (got.Quantized == nil) == (c.quantized == nil) && (got.Quantized == nil || *got.Quantized == *c.quantized)
			if got.Quantization != c.quantization || !same || got.Strength != c.strength {
				t.Errorf("%s, quantised %v, %s; want %s, %v, %s\n%+v", got.Quantization, got.Quantized, got.Strength,
					c.quantization, c.quantized, c.strength, got.Conclusions)
			}
			if got.Conclusions == nil || got.Summary.En == "" || got.Summary.Ko == "" {
				t.Errorf("incomplete: %+v", got)
			}
			for _, x := range got.Conclusions {
				if x.Text.En == "" || x.Text.Ko == "" || strings.Contains(x.Text.En+x.Text.Ko, "%!") {
					t.Errorf("bad text %+v", x)
				}
			}
		})
	}
}

// A start-up under each width is told apart from the others on every card that can hold it.
func TestPoolTellsWidthsApart(t *testing.T) {
	for _, gpu := range []string{"rtx-3090", "rtx-4090", "a6000", "a100-40gb", "a100-80gb", "l40s"} {
		for _, method := range []string{"", "fp8", "w4a16"} {
			mem, err := capacity.PlanMemory(model(t, planModel), card(t, gpu), capacity.Engine{Quantization: method, MaxModelLen: 4096})
			if err != nil || !mem.Fits {
				continue
			}
			got := GuessLoaded(served(t, planModel, gpu, method, nil))
			if got.Quantization != methodName(method) {
				t.Errorf("%q on %s is taken for %s", method, gpu, got.Quantization)
			}
		}
	}
}

func TestDecodeSpeed(t *testing.T) {
	base := served(t, planModel, "a100-80gb", "w4a16", map[string]string{"num_gpu_blocks": "None"})
	for _, c := range []struct {
		tpotMS    float64
		quantized bool
		strength  record.Strength
	}{
		{20, false, record.StrengthNone}, // 57 % of bandwidth at 16 bit: proves nothing
		{11, true, record.StrengthHint},  // 16 bit cannot be read in 11 ms; 8 bit can
		{6, true, record.StrengthLikely}, // nor 8 bit in 6
	} {
		ev := base
		ev.TPOTMS = &c.tpotMS
		got := GuessLoaded(ev)
		if (got.Quantized != nil && *got.Quantized) != c.quantized || got.Strength != c.strength {
			t.Errorf("%v ms: quantised %v, %s: %+v", c.tpotMS, got.Quantized, got.Strength, got.Conclusions)
		}
	}
	// Memory and speed together leave no other reading: offload would be slow, speculation frees no memory.
	ev := served(t, planModel, "rtx-3090", "w4a16", nil)
	ev.TPOTMS = new(14.0)
	if got := GuessLoaded(ev); got.Strength != record.StrengthProven || got.Quantization != "w4a16" {
		t.Errorf("memory and speed: %s, %s: %+v", got.Quantization, got.Strength, got.Conclusions)
	}
}

// A checkpoint published quantised needs no arithmetic.
func TestNativelyQuantised(t *testing.T) {
	ev := Evidence{Server: &record.Server{ServedModel: "openai/gpt-oss-20b", ModelRoot: "openai/gpt-oss-20b"}, GPU: new(card(t, "rtx-4090"))}
	if got := GuessLoaded(ev); got.Quantization != "mxfp4" || got.Quantized == nil || !*got.Quantized {
		t.Errorf("gpt-oss: %+v", got)
	}
}

// Whatever a server prints, the guess neither panics nor divides by zero.
func FuzzGuessLoaded(f *testing.F) {
	f.Add("google/gemma-3-12b-it", "11271", "0.92", "16", "None", 12.5, 4096)
	f.Add("", "-1", "NaN", "0", "0", 0.0, 0)
	f.Add("Qwen/Qwen3-Next-80B-A3B-Instruct", "9223372036854775807", "1e-300", "-16", "", -1.0, -5)
	gpu := card(f, "rtx-3090")
	f.Fuzz(func(t *testing.T, root, blocks, utilisation, blockSize, offload string, tpot float64, maxModelLen int) {
		ev := Evidence{
			GPU: &gpu, TPOTMS: &tpot,
			Server: &record.Server{ModelRoot: root, MaxModelLen: maxModelLen, CacheConfig: map[string]string{
				"num_gpu_blocks": blocks, "gpu_memory_utilization": utilisation, "block_size": blockSize, "cpu_offload_gb": offload,
			}},
		}
		if got := GuessLoaded(ev); got.Quantization == "" || got.Summary.En == "" {
			t.Errorf("incomplete: %+v", got)
		}
	})
}
