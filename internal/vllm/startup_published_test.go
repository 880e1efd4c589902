package vllm

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// logLines renders a published start-up as its version prints it. Terms that a version prints in
// one line only together are left out where one is missing.
func logLines(r map[string]string) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, "INFO 01-02 03:04:05 [x.py:1] "+format+"\n", args...)
	}
	has := func(names ...string) bool {
		return !slices.ContainsFunc(names, func(n string) bool { return r[n] == "" })
	}
	engine := r["engine"] + " "
	if v := r["vllm_version"]; strings.HasPrefix(v, "0.4") || strings.HasPrefix(v, "0.5") || strings.HasPrefix(v, "0.6") || strings.HasPrefix(v, "0.7") {
		engine = ""
	}
	line("Initializing an %sLLM engine (v%s) with config: model='%s', dtype=torch.%s, max_seq_len=%s, tensor_parallel_size=%s, pipeline_parallel_size=%s, kv_cache_dtype=%s, device_config=cuda",
		engine, cmp.Or(r["vllm_version"], "dev"), r["model_id"], cmp.Or(r["dtype"], "float16"), cmp.Or(r["max_model_len"], "1024"), r["tensor_parallel"], r["pipeline_parallel"], cmp.Or(r["kv_cache_dtype"], "auto"))
	if has("weights_gib") {
		line("Model loading took %s GiB memory and 7.2 seconds", r["weights_gib"])
	}
	switch {
	case r["engine"] == "V0" && has("weights_gib", "non_torch_gib", "activation_gib", "kv_cache_gib"):
		if has("total_gpu_memory_gib", "gpu_memory_utilization") {
			line("the current vLLM instance can use total_gpu_memory (%sGiB) x gpu_memory_utilization (%s) = 1.00GiB", r["total_gpu_memory_gib"], r["gpu_memory_utilization"])
		}
		line("model weights take %sGiB; non_torch_memory takes %sGiB; PyTorch activation peak memory takes %sGiB; the rest of the memory reserved for KV Cache is %sGiB.",
			r["weights_gib"], r["non_torch_gib"], r["activation_gib"], r["kv_cache_gib"])
	case has("kv_cache_gib"):
		line("Available KV cache memory: %s GiB", r["kv_cache_gib"])
	}
	if tokens, err := strconv.Atoi(r["kv_tokens"]); err == nil {
		times := fmt.Sprintf("Maximum concurrency for %s tokens per request: %sx", r["max_model_len"], cmp.Or(r["max_concurrency"], "1.00"))
		switch {
		case r["engine"] == "V0" && r["max_model_len"] == "":
			line("# GPU blocks: %d, # CPU blocks: 2048", tokens/16)
		case r["engine"] == "V0":
			line("# GPU blocks: %d, # CPU blocks: 2048", tokens/16)
			line("%s", times)
		case r["max_model_len"] == "":
			line("GPU KV cache size: %d tokens", tokens)
		default:
			line("GPU KV cache size: %d tokens, %s", tokens, times)
		}
	}
	if has("cuda_graph_gib") {
		line("Graph capturing finished in 9 secs, took %s GiB", r["cuda_graph_gib"])
	}
	return b.String()
}

// TestPublishedStartups: what is printed of published start-ups is read back to the last digit.
func TestPublishedStartups(t *testing.T) {
	file, err := os.Open("../accuracy/data/vllm_startups.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, row := range rows[1:] {
		r := map[string]string{}
		for i, name := range rows[0] {
			r[name] = row[i]
		}
		r["vllm_version"], _, _ = strings.Cut(r["vllm_version"], " (") // a commit beside it
		s := readStartup(t, logLines(r))
		if len(s.Unread) > 0 {
			t.Errorf("%s: unread %q", r["case_id"], s.Unread)
		}
		same := func(name string, got *int64, want string) {
			v, err := strconv.ParseFloat(want, 64)
			if err != nil || got == nil && r["engine"] == "V1" && (name == "activation" || name == "non-torch") {
				return // V1 prints these in the line after the capture, together with all others
			}
			if got == nil {
				if name != "activation" && name != "non-torch" && name != "total" {
					t.Errorf("%s: %s is not read, want %s GiB", r["case_id"], name, want)
				}
				return
			}
			read++
			if d := float64(*got)/(1<<30) - v; d > 1e-8 || d < -1e-8 {
				t.Errorf("%s: %s is %v bytes, want %s GiB", r["case_id"], name, *got, want)
			}
		}
		same("weights", s.WeightsBytes, r["weights_gib"])
		same("activation", s.ActivationBytes, r["activation_gib"])
		same("non-torch", s.NonTorchBytes, r["non_torch_gib"])
		same("graphs", s.GraphBytes, r["cuda_graph_gib"])
		same("pool", s.KVCacheBytes, r["kv_cache_gib"])
		same("total", s.TotalBytes, r["total_gpu_memory_gib"])
		tokens := s.KVCacheTokens
		if s.Blocks != nil {
			tokens = new(16 * *s.Blocks)
		}
		if want := r["kv_tokens"]; want != "" && (tokens == nil || strconv.Itoa(*tokens) != want) {
			t.Errorf("%s: %v tokens, want %s", r["case_id"], tokens, want)
		}
		if v := r["vllm_version"]; s.Version != v && !strings.HasPrefix(v, "~") {
			t.Errorf("%s: version %q, want %q", r["case_id"], s.Version, v)
		}
		if s.Engine != r["engine"] || s.Model != r["model_id"] {
			t.Errorf("%s: %s %s, want %s %s", r["case_id"], s.Engine, s.Model, r["engine"], r["model_id"])
		}
	}
	if read < 150 {
		t.Errorf("%d figures were compared", read)
	}
}
