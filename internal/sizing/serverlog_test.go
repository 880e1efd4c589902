package sizing

import (
	"math"
	"strings"
	"testing"

	"bench/internal/capacity"
	"bench/internal/record"
)

func gibBytes(v float64) *int64 { return new(int64(math.Round(v * (1 << 30)))) }

// qwenLog is a published start-up: Qwen2.5 7B in AWQ on an L4, vLLM 0.28.0 (its activation, 1.04 GiB,
// is left out so that only weights and pool are told, as most logs do).
func qwenLog() *record.Startup {
	return &record.Startup{
		File: "vllm.log", Starts: 1, Taken: 1, Complete: true, Version: "0.28.0", Engine: "V1", Device: "cuda", Model: "Qwen/Qwen2.5-7B-Instruct-AWQ",
		DType: "float16", Quantization: "awq_marlin", KVCacheDType: "auto", TensorParallel: new(1), PipelineParallel: new(1),
		MaxModelLen: new(32768), GPUMemoryUtilization: new(0.6), EnforceEager: new(false),
		WeightsBytes: gibBytes(5.2), KVCacheBytes: gibBytes(6.6), KVCacheTokens: new(123664), MaxConcurrency: new(3.77), ConcurrencyTokens: new(32768),
	}
}

func qwen(t *testing.T, gpus ...string) Request {
	req := Request{Model: model(t, "Qwen/Qwen2.5-7B-Instruct"), Demand: record.Demand{Concurrent: 50, ContextTokens: 4096}, Observed: qwenLog()}
	req.Engine.Quantization = "awq"
	for _, slug := range gpus {
		req.GPUs = append(req.GPUs, card(t, slug))
	}
	return req
}

func transferred(c *record.LogCalibration, term string) int {
	n := 0
	for _, t := range c.Transfers {
		if t.Term == term {
			n += t.Setups
		}
	}
	return n
}

func says(texts []record.Text, want string) bool {
	for _, t := range texts {
		if strings.Contains(t.En, want) && t.Ko != "" {
			return true
		}
	}
	return false
}

func TestSizeWithServerLog(t *testing.T) {
	req := qwen(t, "l4")
	req.Engine.GPUMemoryUtilization, req.Engine.MaxModelLen = 0.6, 32768
	doc := sized(t, req)
	c := doc.Calibration.ServerLog
	s := find(doc, "NVIDIA L4", 1, 1)
	if s == nil || s.Memory.KVCacheBytes != *gibBytes(6.6) || s.Memory.WeightsBytes != *gibBytes(5.2) {
		t.Fatalf("the log's own set-up: %+v", s)
	}
	if c.GPU != "NVIDIA L4" || doc.Engine.VLLMVersion != "0.28.0" {
		t.Errorf("GPU %q, version %q", c.GPU, doc.Engine.VLLMVersion)
	}
	// Why N and M differ: 123,664 printed, 4 % more computed, because of activation.
	for _, want := range []string{"computed are", "the terms that differ: activation", "the difference is the pool, not the model", "blocks × 16"} {
		if !says(c.Text, want) {
			t.Errorf("nothing says %q: %v", want, c.Text)
		}
	}
	var tokens, activation *record.LogTerm
	for i := range c.Terms {
		switch c.Terms[i].Term {
		case "kv_cache_tokens":
			tokens = &c.Terms[i]
		case "activation":
			activation = &c.Terms[i]
		}
	}
	if tokens == nil || tokens.Printed != 123664 || math.Abs(tokens.Computed/tokens.Printed-1) < notableShare || !activation.ByRest {
		t.Errorf("terms %+v", c.Terms)
	}
}

func TestServerLogTransfersByRule(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Request)
		terms  string // that were replaced anywhere
		says   string
	}{
		{"its own card", func(*Request) {}, "weights activation", "every set-up is computed for its version, 0.28.0"},
		{"with FlashInfer", func(r *Request) { r.Observed.Sampler = "flashinfer" }, "weights activation", ""},
		{"a version of one's own", func(r *Request) { r.Engine.Version = "0.30.0" }, "weights activation", ""},
		{"unquantised", func(r *Request) { r.Engine.Quantization = "" }, "activation", ""},
		{"a card it cannot be from", func(r *Request) { r.GPUs = r.GPUs[:0]; r.LogGPU = new(card(t, "h100")) }, "weights", "cannot be from NVIDIA H100"},
		{"every card", func(r *Request) { r.GPUs = nil }, "weights", "on which GPU it ran is not printed"},
		{"every card, its own known", func(r *Request) { r.GPUs = nil; r.LogGPU = new(card(t, "l4")) }, "weights activation", ""},
		{"another model", func(r *Request) { r.Observed.Model = "Qwen/Qwen3-8B" }, "", "it is of Qwen/Qwen3-8B, not of Qwen/Qwen2.5-7B-Instruct"},
		{"a model by path", func(r *Request) { r.Observed.Model = "/models/own" }, "weights activation", `it names the model "/models/own", which is taken for Qwen/Qwen2.5-7B-Instruct`},
		{"a CPU server", func(r *Request) { r.Observed.Device = "cpu" }, "", "not on a GPU"},
		{"an unknown method", func(r *Request) { r.Observed.Quantization = "fancy" }, "", "fancy is not known here"},
		{"a pool set by hand", func(r *Request) { r.Observed.KVCacheByHand = true }, "weights", ""},
		{"another size of card printed", func(r *Request) { r.Observed.TotalBytes = gibBytes(44.5) }, "weights", "do not add up on that card"},
		{"a failed start", func(r *Request) { r.Observed.Complete = false; r.Observed.Error = "ValueError: no" }, "weights activation", "that start failed: ValueError: no"},
		{"several starts", func(r *Request) { r.Observed.Starts, r.Observed.Taken, r.Observed.FirstLine = 3, 2, 70 }, "weights activation", "taken is number 2, from line 70 on"},
		{"unread lines", func(r *Request) { r.Observed.Unread = []string{"line 7, no longer readable: x"} }, "weights activation", "not read: line 7"},
	} {
		req := qwen(t, "l4")
		c.change(&req)
		log := sized(t, req).Calibration.ServerLog
		for _, term := range []string{capacity.TermWeights, capacity.TermActivation, capacity.TermNonTorch, capacity.TermKVCache} {
			if got, want := transferred(log, term) > 0, strings.Contains(c.terms, term); got != want {
				t.Errorf("%s: %s replaced: %v, want %v (%v)", c.name, term, got, want, log.Text)
			}
		}
		if !says(log.Text, c.says) {
			t.Errorf("%s: nothing says %q: %v", c.name, c.says, log.Text)
		}
		if log.Transfers == nil || log.Terms == nil || log.Text == nil {
			t.Errorf("%s: a list is null", c.name)
		}
	}
}

// TestServerLogOfHybridModel: what a version counts as tokens is said where it differs.
func TestServerLogOfHybridModel(t *testing.T) {
	for version, want := range map[string]string{"0.12.0": "before 0.21", "0.24.0": "from 0.21 on"} {
		req := gemma(t)
		req.GPUs, req.Engine.Version = req.GPUs[:0], version
		req.LogGPU = new(card(t, "a100-80gb"))
		req.Observed = &record.Startup{Version: version, Model: "google/gemma-3-12b-it", DType: "bfloat16", Quantization: "none",
			TotalBytes: gibBytes(req.LogGPU.MemoryTorchGiB), WeightsBytes: gibBytes(23.2), KVCacheBytes: gibBytes(30), KVCacheTokens: new(60000), MaxModelLen: new(8192)}
		if c := sized(t, req).Calibration.ServerLog; !says(c.Text, want) {
			t.Errorf("%s: nothing says %q: %v", version, want, c.Text)
		}
	}
}

// TestVerifyWithServerLog: the log proves what is loaded, and what disagrees with it is said.
func TestVerifyWithServerLog(t *testing.T) {
	server := record.Server{BaseURL: "http://x", ServedModel: "q", ModelRoot: "Qwen/Qwen2.5-7B-Instruct-AWQ", MaxModelLen: 32768, EngineVersion: "0.28.0"}
	v := Verify(nil, Evidence{Server: &server, Startup: qwenLog()})
	if v.Loaded.Quantization != "awq" || v.Loaded.Strength != record.StrengthProven || !*v.Loaded.Quantized || v.ServerLog == nil {
		t.Errorf("loaded: %+v", v.Loaded)
	}
	if check(v, "server_log") != record.CheckOK || check(v, "log_and_server") != record.CheckOK {
		t.Errorf("checks: %+v", v.Checks)
	}
	if check(v, "dtype") != record.CheckOK {
		t.Errorf("the log names the dtype: %+v", v.Checks)
	}
	other := server
	other.MaxModelLen, other.ModelRoot = 4096, "Qwen/Qwen3-8B"
	v = Verify(nil, Evidence{Server: &other, Startup: qwenLog()})
	if check(v, "log_and_server") != record.CheckFailed || v.Loaded.Strength == record.StrengthProven {
		t.Errorf("a log of another server: %+v, %+v", v.Checks, v.Loaded)
	}
	var evidence string
	for _, c := range v.Checks {
		if c.Name == "log_and_server" {
			evidence = c.Evidence.En
		}
	}
	if want := "model is Qwen/Qwen2.5-7B-Instruct-AWQ in the log, the server says Qwen/Qwen3-8B; max_model_len is 32,768 in the log, the server says 4,096"; evidence != want {
		t.Errorf("says %q, want %q", evidence, want)
	}
	claim := Claim{Model: model(t, "Qwen/Qwen2.5-7B-Instruct"), GPU: card(t, "l4"), Engine: capacity.Engine{MaxModelLen: 32768, GPUMemoryUtilization: 0.6, DType: "half"}}
	v = Verify(&claim, Evidence{ServerError: "down", Startup: qwenLog()})
	if check(v, "log_and_claim") != record.CheckFailed || v.Loaded.Quantization != "awq" {
		t.Errorf("unquantised was claimed: %+v", v.Checks)
	}
	claim.Engine.Quantization = "awq"
	v = Verify(&claim, Evidence{ServerError: "down", Startup: qwenLog()})
	if check(v, "log_and_claim") != record.CheckOK {
		t.Errorf("what is in the log was claimed: %+v", v.Checks)
	}
	failed := qwenLog()
	failed.Complete, failed.Error = false, "ValueError: no"
	if v = Verify(nil, Evidence{ServerError: "down", Startup: failed}); check(v, "server_log") != record.CheckFailed {
		t.Errorf("a start that failed: %+v", v.Checks)
	}
}

func TestCompleteFromLog(t *testing.T) {
	e := CompleteFromLog(capacity.Engine{DType: "bfloat16", Version: "0.30.0"}, qwenLog())
	want := capacity.Engine{DType: "bfloat16", Version: "0.30.0", Quantization: "awq_marlin", KVCacheDType: "auto", GPUMemoryUtilization: 0.6, MaxModelLen: 32768, TensorParallel: 1, PipelineParallel: 1}
	if e != want {
		t.Errorf("completed to %+v, want %+v", e, want)
	}
}
