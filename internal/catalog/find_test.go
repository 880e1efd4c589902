package catalog

import (
	"strings"
	"testing"
)

func TestFindModel(t *testing.T) {
	for _, name := range []string{"google/gemma-3-12b-it", "GOOGLE/Gemma-3-12B-IT", "gemma-3-12b-it"} {
		if m, err := FindModel(name); err != nil || m.ID != "google/gemma-3-12b-it" {
			t.Errorf("%s: %q, %v", name, m.ID, err)
		}
	}
	for name, offer := range map[string]string{
		"google/gemma-3-12b": "google/gemma-3-12b-it",
		"gemma3-12b":         "gemma-3-12b-it",
		"qwen3-8":            "Qwen3-8B",
		"":                   "did you mean",
	} {
		if _, err := FindModel(name); err == nil || !strings.Contains(err.Error(), offer) {
			t.Errorf("%q: error %v, want one with %q", name, err, offer)
		}
	}
}

func TestGuessModel(t *testing.T) {
	tests := []struct{ root, id, quant string }{
		{"gaunernst/gemma-3-12b-it-int4-awq", "google/gemma-3-12b-it", "awq"},
		{"google/gemma-3-12b-it", "google/gemma-3-12b-it", ""},
		{"/models/gemma-3-12b-it", "google/gemma-3-12b-it", ""},
		{"/root/.cache/huggingface/hub/models--google--gemma-3-12b-it/snapshots/96b6f1eccf38110c56df3a15bffe176da04bfd80", "google/gemma-3-12b-it", ""},
		{"RedHatAI/gemma-3-12b-it-quantized.w4a16", "google/gemma-3-12b-it", "w4a16"},
		{"google/gemma-3-12b-it-qat-q4_0-gguf", "google/gemma-3-12b-it", "gguf"},
		{"gemma-3-12b-it.Q4_K_M.gguf", "google/gemma-3-12b-it", "gguf"},
		{"google/gemma-3-1b-it", "google/gemma-3-1b-it", ""},
		{"Qwen/Qwen3-8B-FP8", "Qwen/Qwen3-8B", "fp8"},
		{"hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4", "meta-llama/Llama-3.1-8B-Instruct", "awq"},
		{"NousResearch/Hermes-3-Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct", ""},
		{"unsloth/phi-4-bnb-4bit", "microsoft/phi-4", "bitsandbytes"},
		{"deepseek-ai/DeepSeek-R1-0528-Qwen3-8B", "Qwen/Qwen3-8B", ""},
		{"deepseek-ai/DeepSeek-V3.2", "deepseek-ai/DeepSeek-V3.2", ""},
		{"deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "", ""},
		{"Qwen/Qwen3-VL-8B-Instruct", "", ""},
		{"some/other-model-gptq", "", "gptq"},
		{"", "", ""},
	}
	for _, tc := range tests {
		m, quant, ok := GuessModel(tc.root)
		if m.ID != tc.id || quant != tc.quant || ok != (tc.id != "") {
			t.Errorf("%s: %q %q %v, want %q %q", tc.root, m.ID, quant, ok, tc.id, tc.quant)
		}
	}
	for _, id := range ModelIDs() {
		if m, _, ok := GuessModel(id); !ok || m.ID != id {
			t.Errorf("%s is guessed as %q", id, m.ID)
		}
	}
}
