package catalog

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestComputedCountEqualsPublished holds the arithmetic behind every model's parameter count
// against the published total of its checkpoint. FP8 checkpoints hold scales besides.
func TestComputedCountEqualsPublished(t *testing.T) {
	scales := map[string]int64{
		"deepseek-ai/DeepSeek-V3":     41540496,
		"deepseek-ai/DeepSeek-R1":     41540496,
		"moonshotai/Kimi-K2-Instruct": 3416,
	}
	for _, id := range ModelIDs() {
		m, err := FindModel(id)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if m.ID != id {
			t.Errorf("%s: ID is %q", id, m.ID)
		}
		computed := m.Parameters.Total() + m.MTPParameterCount
		if missing := m.ParameterCount - computed; missing != scales[id] {
			t.Errorf("%s: computed %d, published %d: %d apart", id, computed, m.ParameterCount, missing)
		}
	}
	if n := len(ModelIDs()); n != 51 {
		t.Errorf("%d models, want 51", n)
	}
}

// TestLayerSummary holds the layer rules against the summaries the data files carry and the
// program does not read.
func TestLayerSummary(t *testing.T) {
	checked := 0
	for _, id := range ModelIDs() {
		data, err := modelFiles.ReadFile("data/models/" + strings.Replace(id, "/", "__", 1) + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Summary map[string]int `json:"layer_types_summary"`
			Text    struct {
				Summary map[string]int `json:"layer_types_summary"`
			} `json:"text_config"`
		}
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		summary := file.Summary
		if summary == nil {
			summary = file.Text.Summary
		}
		m, err := FindModel(id)
		if err != nil {
			t.Fatal(err)
		}
		for word, want := range summary {
			checked++
			if got := m.LayersOf(layerTypes[word]).Count; got != want {
				t.Errorf("%s: %d layers of %s, want %d", id, got, word, want)
			}
		}
	}
	if checked < 30 {
		t.Errorf("only %d summaries checked", checked)
	}
}

func TestGemma3TwelveB(t *testing.T) {
	m, err := FindModel("Google/Gemma-3-12B-it")
	if err != nil {
		t.Fatal(err)
	}
	full, sliding := m.LayersOf(FullAttention), m.LayersOf(SlidingAttention)
	for _, c := range []struct {
		what      string
		got, want int64
	}{
		{"parameters", m.ParameterCount, 12187325040},
		{"vision parameters", m.Parameters.Vision, 421290864},
		{"full layers", int64(full.Count), 8},
		{"sliding layers", int64(sliding.Count), 40},
		{"window", int64(sliding.Window), 1024},
		{"heads", int64(m.Heads), 16},
		{"KV heads", int64(full.KVHeads), 8},
		{"head_dim", int64(full.HeadDim), 256},
		{"vocabulary", int64(m.Vocab), 262208},
		{"context", int64(m.MaxPositionEmbeddings), 131072},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.what, c.got, c.want)
		}
	}
}

// TestPublishedConfigs reads files as the hub has them, which leave defaults out.
func TestPublishedConfigs(t *testing.T) {
	tests := []struct {
		file       string
		parameters int64
		quant      *Quantization
	}{
		{"gemma-3-12b-it-published.json", 12187325040, nil},
		{"gemma-3-4b-it-published.json", 4300079472, nil},
		{"qwen2.5-0.5b-instruct-awq.json", 494032768, &Quantization{"awq", 4, 128}},
	}
	for _, tc := range tests {
		f, err := os.Open("testdata/" + tc.file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := ParseConfig(tc.file, f)
		_ = f.Close()
		if err != nil {
			t.Errorf("%s: %v", tc.file, err)
			continue
		}
		if m.ParameterCount != tc.parameters {
			t.Errorf("%s: %d parameters, want %d", tc.file, m.ParameterCount, tc.parameters)
		}
		if (m.Quantization == nil) != (tc.quant == nil) || tc.quant != nil && *m.Quantization != *tc.quant {
			t.Errorf("%s: quantisation %v, want %v", tc.file, m.Quantization, tc.quant)
		}
	}
}

const llama = `"model_type":"llama","architectures":["LlamaForCausalLM"],"hidden_size":64,"intermediate_size":128,
	"num_attention_heads":4,"vocab_size":1000,"max_position_embeddings":2048,`

func TestParseConfigErrors(t *testing.T) {
	tests := []struct{ name, config, want string }{
		{"empty", " \n", "the file is empty"},
		{"page", "\n<!DOCTYPE html><html>", "HTML page"},
		{"pointer", "version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"},
		{"gguf", "GGUF\x03\x00", "GGUF file is cut off"},
		{"leading comment", "// a config\n{}", "comments"},
		{"comment", "{\n\"model_type\": \"llama\", // a comment\n\"x\": 1}", "line 2 has a comment"},
		{"list", "[1]", "not a JSON object"},
		{"cut", "{\n\"model_type\": \"llama\"", "ends in the middle, at line 2"},
		{"not JSON", `{"model_type" "llama"}`, "line 1 is not JSON"},
		{"trailing comma", "{\n\"model_type\": \"llama\",\n}", "line 3 has a comma before the }"},
		{"repeated", "{\n\"hidden_size\": 1,\n\"hidden_size\": 2}", "line 3: hidden_size is given twice"},
		{"repeated inside", `{"text_config": {"a": 1, "b": [{"a": 1}], "A": 2}}`, "A is given twice"},
		{"wrong kind", `{"model_type": "llama", "hidden_size": "big"}`, `line 1: hidden_size is the text "big", a whole number is needed`},
		{"fraction", "{\n\"model_type\": \"llama\",\n\"hidden_size\": 1.5}", "line 3: hidden_size is number 1.5, a whole number is needed"},
		{"wrong kind inside", `{"model_type": "x", "text_config": {"num_hidden_layers": [1]}}`, "text_config.num_hidden_layers is array, a whole number is needed"},
		{"no type", `{"hidden_size": 64}`, "model_type is missing"},
		{"unknown", `{"model_type": "whatnot", "architectures": ["WhatnotForCausalLM"]}`, `model_type "whatnot" (WhatnotForCausalLM) is not known`},
		{"encoder", `{"model_type": "bert", "architectures": ["BertModel"]}`, "BertModel is an encoder"},
		{"image model", `{"model_type": "vit", "architectures": ["ViTModel"]}`, "ViTModel is an image model"},
		{"audio model", `{"model_type": "whisper", "is_encoder_decoder": true}`, "whisper is an audio model"},
		{"recurrent", `{"model_type": "mamba2"}`, "without attention"},
		{"classifier", `{"model_type": "qwen2", "architectures": ["Qwen2ForSequenceClassification"]}`, "classifier or reward model"},
		{"diffusion", `{"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.21"}`, "UNet2DConditionModel is part of a diffusion pipeline"},
		{"transformer of a pipeline", `{"_class_name": "FluxTransformer2DModel"}`, "diffusion pipeline"},
		{"adapter", `{"peft_type": "LORA", "base_model_name_or_path": "meta-llama/Llama-3.1-8B"}`, "give that of its base model, meta-llama/Llama-3.1-8B"},
		{"index", `{"metadata": {}, "weight_map": {}}`, "index of a sharded checkpoint"},
		{"tokenizer", `{"tokenizer_class": "LlamaTokenizer"}`, "tokenizer's file"},
		{"params", `{"dim": 4096, "n_layers": 32}`, "params.json"},
		{"generation", `{"eos_token_id": 2, "transformers_version": "4.40"}`, "generation_config.json"},
		{"weights", "\x80\x02pickle", "PyTorch"},
		{"safetensors", "\x02\x00\x00\x00\x00\x00\x00\x00{}", "give the folder"},
		{"encoder-decoder", `{"model_type": "t5", "is_encoder_decoder": true}`, "encoder-decoder"},
		{"one missing", `{` + llama + `"x":1}`, "num_hidden_layers is missing"},
		{"more missing", `{"model_type":"llama"}`, "num_hidden_layers, hidden_size, num_attention_heads, vocab_size, max_position_embeddings, intermediate_size"},
		{"zero", `{` + llama + `"num_hidden_layers":0}`, "num_hidden_layers is 0"},
		{"huge", `{` + llama + `"num_hidden_layers":1000000}`, "which no model has"},
		{"negative", `{` + llama + `"num_hidden_layers":2,"num_key_value_heads":-1}`, "num_key_value_heads is -1"},
		{"layer_types", `{` + llama + `"num_hidden_layers":2,"layer_types":["full_attention"]}`, "1 entries for 2 layers"},
		{"layer kind", `{` + llama + `"num_hidden_layers":1,"layer_types":["mystery"]}`, `"mystery", which is not known`},
		{"linear llama", `{` + llama + `"num_hidden_layers":1,"layer_types":["linear_attention"]}`, "llama models do not have"},
		{"no attention", `{` + llama + `"num_hidden_layers":1,"layer_types":["mlp"]}`, "no layer has attention"},
		{"count", `{` + llama + `"num_hidden_layers":1,"parameter_count":5}`, "less than the embeddings alone"},
		{"vision", `{` + llama + `"num_hidden_layers":1,"vision_config":{"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,"patch_size":2}}`, "vision tower"},
		{"experts", `{"model_type":"mixtral","hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,"num_attention_heads":8,"vocab_size":100,"max_position_embeddings":512,"num_experts_per_tok":9}`, "more than the 8 experts"},
		{"rope", `{` + llama + `"num_hidden_layers":1,"rope_scaling":{"rope_type":"yarn","factor":4,"original_max_position_embeddings":0}}`, "original_max_position_embeddings is 0"},
		{"large", "{" + strings.Repeat(" ", maxConfigBytes), "larger than"},
	}
	for _, tc := range tests {
		_, err := ParseConfig(tc.name+".json", strings.NewReader(tc.config))
		switch {
		case err == nil:
			t.Errorf("%s: no error, want one with %q", tc.name, tc.want)
		case !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), tc.name+".json"):
			t.Errorf("%s: error %q, want one with the file's name and %q", tc.name, err, tc.want)
		case strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: error %q has more than one line", tc.name, err)
		}
	}
}

func TestWindows(t *testing.T) {
	tests := []struct {
		name, config string
		kind         LayerKind
	}{
		{"mistral 7B v0.1", `{"model_type":"mistral","hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,"num_attention_heads":8,"vocab_size":100,"max_position_embeddings":32768,"sliding_window":4096}`, SlidingAttention},
		{"window as long as the context", `{"model_type":"mistral","hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,"num_attention_heads":8,"vocab_size":100,"max_position_embeddings":4096,"sliding_window":4096}`, FullAttention},
		{"window switched off", `{"model_type":"qwen2","hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,"num_attention_heads":8,"vocab_size":100,"max_position_embeddings":32768,"sliding_window":4096,"use_sliding_window":false}`, FullAttention},
		{"null window", `{"model_type":"mistral","hidden_size":64,"intermediate_size":128,"num_hidden_layers":2,"num_attention_heads":8,"vocab_size":100,"max_position_embeddings":32768,"sliding_window":null,"layer_types":["sliding_attention","sliding_attention"]}`, FullAttention},
	}
	for _, tc := range tests {
		m, err := ParseConfig(tc.name, strings.NewReader(tc.config))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if m.LayersOf(tc.kind).Count != 2 {
			t.Errorf("%s: layers %v, want both %s", tc.name, m.Layers, tc.kind)
		}
	}
}

// TestFamiliesByTotal holds the arithmetic of families the catalogue has no model of against the
// published totals of one model each.
func TestFamiliesByTotal(t *testing.T) {
	tests := []struct {
		name, config string
		total        int64
	}{
		{"Qwen2-VL-7B", `{"model_type":"qwen2_vl","hidden_size":3584,"intermediate_size":18944,"num_hidden_layers":28,"num_attention_heads":28,"num_key_value_heads":4,
			"vocab_size":152064,"max_position_embeddings":32768,"tie_word_embeddings":false,"sliding_window":32768,"rope_scaling":{"type":"mrope","mrope_section":[16,24,24]},
			"vision_config":{"depth":32,"embed_dim":1280,"mlp_ratio":4,"num_heads":16,"hidden_size":3584,"patch_size":14,"spatial_merge_size":2,"temporal_patch_size":2}}`, 8291375616},
		{"Qwen2.5-VL-7B", `{"model_type":"qwen2_5_vl","hidden_size":3584,"intermediate_size":18944,"num_hidden_layers":28,"num_attention_heads":28,"num_key_value_heads":4,
			"vocab_size":152064,"max_position_embeddings":128000,"tie_word_embeddings":false,
			"vision_config":{"depth":32,"hidden_size":1280,"intermediate_size":3420,"patch_size":14,"spatial_merge_size":2,"out_hidden_size":3584}}`, 8292166656},
		{"Qwen3-VL-8B", `{"model_type":"qwen3_vl","tie_word_embeddings":false,"text_config":{"model_type":"qwen3_vl_text","hidden_size":4096,"intermediate_size":12288,"num_hidden_layers":36,
			"num_attention_heads":32,"num_key_value_heads":8,"head_dim":128,"vocab_size":151936,"max_position_embeddings":262144},
			"vision_config":{"depth":27,"hidden_size":1152,"intermediate_size":4304,"patch_size":16,"spatial_merge_size":2,"temporal_patch_size":2,"num_position_embeddings":2304,
			"out_hidden_size":4096,"deepstack_visual_indexes":[8,16,24]}}`, 8767123696},
		{"gemma-7b", `{"model_type":"gemma","hidden_size":3072,"intermediate_size":24576,"num_hidden_layers":28,"num_attention_heads":16,"num_key_value_heads":16,"head_dim":256,
			"vocab_size":256000,"max_position_embeddings":8192}`, 8537680896},
		{"phi-1_5", `{"model_type":"phi","hidden_size":2048,"intermediate_size":8192,"num_hidden_layers":24,"num_attention_heads":32,"vocab_size":51200,"max_position_embeddings":2048}`, 1418270720},
		{"opt-125m", `{"model_type":"opt","hidden_size":768,"ffn_dim":3072,"num_hidden_layers":12,"num_attention_heads":12,"vocab_size":50272,"max_position_embeddings":2048,"word_embed_proj_dim":768}`, 125239296},
		{"glm-4-9b-chat", `{"model_type":"chatglm","hidden_size":4096,"ffn_hidden_size":13696,"num_layers":40,"num_attention_heads":32,"kv_channels":128,"multi_query_group_num":2,
			"padded_vocab_size":151552,"seq_length":131072,"add_qkv_bias":true}`, 9399951360},
		{"Qwen1.5-MoE-A2.7B", `{"model_type":"qwen2_moe","hidden_size":2048,"intermediate_size":5632,"moe_intermediate_size":1408,"shared_expert_intermediate_size":5632,"num_experts":60,
			"num_experts_per_tok":4,"num_hidden_layers":24,"num_attention_heads":16,"num_key_value_heads":16,"vocab_size":151936,"max_position_embeddings":8192,"tie_word_embeddings":false}`, 14315784192},
		{"OLMo-2-7B", `{"model_type":"olmo2","hidden_size":4096,"intermediate_size":11008,"num_hidden_layers":32,"num_attention_heads":32,"vocab_size":100352,"max_position_embeddings":4096}`, 7298617344},
		{"internlm2_5-7b", `{"model_type":"internlm2","hidden_size":4096,"intermediate_size":14336,"num_hidden_layers":32,"num_attention_heads":32,"num_key_value_heads":8,"vocab_size":92544,
			"max_position_embeddings":32768}`, 7737708544},
		{"c4ai-command-r-v01", `{"model_type":"cohere","hidden_size":8192,"intermediate_size":22528,"num_hidden_layers":40,"num_attention_heads":64,"num_key_value_heads":64,"vocab_size":256000,
			"max_position_embeddings":131072}`, 34980831232},
	}
	for _, tc := range tests {
		m, err := ParseConfig(tc.name, strings.NewReader(tc.config))
		if err != nil {
			t.Error(err)
		} else if m.ParameterCount != tc.total {
			t.Errorf("%s: %d parameters, published are %d", tc.name, m.ParameterCount, tc.total)
		}
	}
}

// TestVision: the largest image of each kind of encoder, in its patches and in the model's tokens.
func TestVision(t *testing.T) {
	for id, want := range map[string]*Vision{
		"google/gemma-3-27b-it":                         {1152, 8608, 588, 4096, 256},
		"Qwen/Qwen3.6-27B":                              {1152, 8608, 1536, 65536, 16384},
		"mistralai/Mistral-Small-3.2-24B-Instruct-2506": {1024, 12288, 588, 12100, 3080},
		"meta-llama/Llama-4-Scout-17B-16E-Instruct":     {1408, 11264, 588, 9809, 2448},
		"google/gemma-4-31B-it":                         nil,
		"Qwen/Qwen3-8B":                                 nil,
	} {
		m, err := FindModel(id)
		if err != nil {
			t.Fatal(err)
		}
		if (m.Vision == nil) != (want == nil) || want != nil && *m.Vision != *want {
			t.Errorf("%s: %+v, want %+v", id, m.Vision, want)
		}
	}
}

// TestRopeElements: one row of the rotated width for each position; windowed layers with a base of
// their own and positions with parts for images take more tables.
func TestRopeElements(t *testing.T) {
	for id, want := range map[string]int{
		"meta-llama/Llama-3.1-8B-Instruct":           131072 * 128,
		"google/gemma-3-12b-it":                      131072 * 2 * 256,
		"google/gemma-2-9b-it":                       8192 * 256,
		"Qwen/Qwen3.6-27B":                           262144 * 64 * 4,
		"Qwen/Qwen3-Next-80B-A3B-Instruct":           262144 * 64,
		"zai-org/GLM-4-9B-0414":                      32768 * 64,
		"deepseek-ai/DeepSeek-V3":                    163840 * 64,
		"nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": 0,
	} {
		if m, err := FindModel(id); err != nil || m.RopeElements != want {
			t.Errorf("%s: %d, %v, want %d", id, m.RopeElements, err, want)
		}
	}
	m, err := ParseConfig("partial", strings.NewReader(`{`+llama+`"num_hidden_layers":1,"partial_rotary_factor":0.5}`))
	if err != nil || m.RopeElements != 2048*16/2 {
		t.Errorf("half of 16 rotated: %d, %v", m.RopeElements, err)
	}
}

// TestContext: a context is stretched as vLLM stretches it.
func TestContext(t *testing.T) {
	for rope, want := range map[string]int{
		`{}`: 2048,
		`{"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":1024}`: 4096,
		`{"type":"yarn","factor":4}`:         8192,
		`{"type":"linear","factor":2.5}`:     5120,
		`{"rope_type":"llama3","factor":8}`:  2048, // states the stretched length
		`{"type":"longrope","factor":8}`:     2048,
		`{"type":"linear","factor":1e300}`:   maxContext,
		`{"rope_type":"default","factor":4}`: 2048,
	} {
		for _, name := range []string{"rope_scaling", "rope_parameters"} {
			m, err := ParseConfig("rope", strings.NewReader(`{`+llama+`"num_hidden_layers":1,"`+name+`":`+rope+`}`))
			if err != nil || m.MaxPositionEmbeddings != want {
				t.Errorf("%s %s: %d tokens, %v, want %d", name, rope, m.MaxPositionEmbeddings, err, want)
			}
		}
	}
}

// TestKVCacheDType: some quantised checkpoints bring the scales of an FP8 cache, which vLLM then uses.
func TestKVCacheDType(t *testing.T) {
	for quant, want := range map[string]string{
		`{"quant_method":"fp8"}`: "",
		`{"quant_method":"modelopt","quant_algo":"NVFP4","kv_cache_quant_algo":"FP8"}`:          "fp8",
		`{"quant_method":"compressed-tensors","kv_cache_scheme":{"num_bits":8,"type":"float"}}`: "fp8",
		`{"quant_method":"compressed-tensors","kv_cache_scheme":null}`:                          "",
		`{"quant_method":"compressed-tensors","kv_cache_scheme":{"num_bits":8,"type":"int"}}`:   "",
	} {
		m, err := ParseConfig("kv", strings.NewReader(`{`+llama+`"num_hidden_layers":1,"quantization_config":`+quant+`}`))
		if err != nil || m.KVCacheDType != want {
			t.Errorf("%s: %q, %v, want %q", quant, m.KVCacheDType, err, want)
		}
	}
}

// TestByteOrderMark: editors put one before the text.
func TestByteOrderMark(t *testing.T) {
	if _, err := ParseConfig("bom", strings.NewReader("\xef\xbb\xbf{"+llama+`"num_hidden_layers":1}`)); err != nil {
		t.Error(err)
	}
}

func TestQuantizationConfig(t *testing.T) {
	tests := []struct {
		config string
		want   Quantization
	}{
		{`{"quant_method":"gptq","bits":4,"group_size":32}`, Quantization{"gptq", 4, 32}},
		{`{"quant_method":"gptq","bits":8,"group_size":-1}`, Quantization{"gptq", 8, 0}},
		{`{"quant_method":"bitsandbytes","load_in_4bit":true}`, Quantization{"bitsandbytes", 4, 0}},
		{`{"quant_method":"fp8","weight_block_size":[128,128]}`, Quantization{"fp8", 8, 0}},
		{`{"quant_method":"modelopt","quant_algo":"NVFP4"}`, Quantization{"nvfp4", 4, 0}},
		{`{"quant_method":"compressed-tensors","format":"pack-quantized","config_groups":{"group_0":{"weights":{"num_bits":4,"type":"int","group_size":128}}}}`, Quantization{"compressed-tensors", 4, 128}},
		{`{"quant_method":"compressed-tensors","config_groups":{"group_0":{"weights":{"num_bits":8,"type":"float","group_size":null}}}}`, Quantization{"fp8", 8, 0}},
	}
	for _, tc := range tests {
		m, err := ParseConfig("q", strings.NewReader(`{`+llama+`"num_hidden_layers":1,"quantization_config":`+tc.config+`}`))
		if err != nil {
			t.Errorf("%s: %v", tc.config, err)
		} else if m.Quantization == nil || *m.Quantization != tc.want {
			t.Errorf("%s: %v, want %v", tc.config, m.Quantization, tc.want)
		}
	}
}

// FuzzParseConfig looks for panics, overflow and layers that get lost.
func FuzzParseConfig(f *testing.F) {
	for _, id := range []string{"google__gemma-3-12b-it", "deepseek-ai__DeepSeek-V3.2", "nvidia__NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
		"Qwen__Qwen3.6-35B-A3B", "meta-llama__Llama-4-Scout-17B-16E-Instruct", "google__gemma-4-26B-A4B-it", "openai__gpt-oss-20b"} {
		data, err := modelFiles.ReadFile("data/models/" + id + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{` + llama + `"num_hidden_layers":2,"layer_types":["full_attention","mlp"]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseConfig("fuzz", bytes.NewReader(data))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		p := m.Parameters
		for _, n := range []int64{p.Embedding, p.Head, p.Layers, p.RoutedExperts, p.Vision} {
			if n < 0 || n > 1<<61 {
				t.Errorf("parameters %+v", p)
			}
		}
		if m.LoadedParameters() <= 0 || m.NumLayers() < 1 {
			t.Errorf("%d parameters loaded, %d layers", m.LoadedParameters(), m.NumLayers())
		}
	})
}
