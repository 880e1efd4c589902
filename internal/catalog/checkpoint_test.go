package catalog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// stored is a tensor of a made-up checkpoint.
type stored struct {
	name, dtype string
	shape       []int64
}

// safetensorsFile makes a file of zeros that holds these tensors one after the other.
func safetensorsFile(t testing.TB, tensors ...stored) []byte {
	t.Helper()
	header := map[string]any{"__metadata__": map[string]string{"format": "pt"}}
	var end int64
	for _, s := range tensors {
		n, _ := product(s.shape)
		size := ceilDiv8(n, safetensorsBits[s.dtype])
		header[s.name] = map[string]any{"dtype": s.dtype, "shape": s.shape, "data_offsets": []int64{end, end + size}}
		end += size
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(file, text...), make([]byte, end)...)
}

// tinyTensors is a Llama of two layers of 64, as unquantised files name its tensors.
func tinyTensors() []stored {
	out := []stored{{"model.embed_tokens.weight", "BF16", []int64{1000, 64}}, {"lm_head.weight", "BF16", []int64{1000, 64}}, {"model.norm.weight", "BF16", []int64{64}}}
	for l := range 2 {
		p := fmt.Sprintf("model.layers.%d.", l)
		for _, m := range []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"} {
			out = append(out, stored{p + m + ".weight", "BF16", []int64{64, 64}})
		}
		for _, m := range []string{"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"} {
			out = append(out, stored{p + m + ".weight", "BF16", []int64{128, 64}})
		}
		out = append(out, stored{p + "input_layernorm.weight", "BF16", []int64{64}}, stored{p + "post_attention_layernorm.weight", "BF16", []int64{64}})
	}
	return out
}

const tinyConfig = `{` + llama + `"num_hidden_layers":2}`

func folder(files map[string][]byte) fstest.MapFS {
	out := fstest.MapFS{}
	for name, data := range files {
		out[name] = &fstest.MapFile{Data: data}
	}
	return out
}

// TestCheckpointAgreesWithConfig: what the headers hold is what the fields imply, part by part.
func TestCheckpointAgreesWithConfig(t *testing.T) {
	byConfig, err := ParseConfig("tiny", strings.NewReader(tinyConfig))
	if err != nil {
		t.Fatal(err)
	}
	all := tinyTensors()
	index := map[string]any{"weight_map": map[string]string{}}
	for i, s := range all {
		index["weight_map"].(map[string]string)[s.name] = []string{"a.safetensors", "b.safetensors"}[i%2]
	}
	var odd, even []stored
	for i, s := range all {
		if i%2 == 0 {
			even = append(even, s)
		} else {
			odd = append(odd, s)
		}
	}
	indexText, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	// A leftover that the index does not name is not loaded.
	odd = append(odd, stored{"model.leftover", "BF16", []int64{500}})
	for name, f := range map[string]fstest.MapFS{
		"one file": folder(map[string][]byte{"config.json": []byte(tinyConfig), "model.safetensors": safetensorsFile(t, all...)}),
		"sharded": folder(map[string][]byte{"config.json": []byte(tinyConfig), indexFile: indexText,
			"a.safetensors": safetensorsFile(t, even...), "b.safetensors": safetensorsFile(t, odd...)}),
		"Mistral's own beside": folder(map[string][]byte{"config.json": []byte(tinyConfig), "model.safetensors": safetensorsFile(t, all...),
			"consolidated.safetensors": safetensorsFile(t, stored{"output.weight", "BF16", []int64{1000, 64}})}),
	} {
		m, err := ReadCheckpoint("tiny", f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, s := byConfig.Parameters, m.Stored
		for _, c := range []struct {
			part      string
			got, want int64
		}{
			{"parameters", m.ParameterCount, byConfig.ParameterCount},
			{"embedding", s.Embedding.Floats, p.Embedding}, {"head", s.Head.Floats, p.Head}, {"layers", s.Layers.Floats, p.Layers},
			{"vision", s.Vision.Floats, 0}, {"MTP", s.MTP.Floats, 0}, {"packed", s.Layers.Packed, 0},
		} {
			if c.got != c.want {
				t.Errorf("%s: %s %d, want %d", name, c.part, c.got, c.want)
			}
		}
	}
}

func TestStoredParts(t *testing.T) {
	tests := []struct {
		name string
		want partName
	}{
		{"model.embed_tokens.weight", embeddingPart},
		{"language_model.model.embed_tokens.weight", embeddingPart},
		{"backbone.embeddings.weight", embeddingPart},
		{"token_embd.weight", embeddingPart},
		{"lm_head.weight", headPart},
		{"output.weight", headPart},
		{"output_norm.weight", layerPart},
		{"model.layers.0.self_attn.q_proj.weight", layerPart},
		{"model.layers.1.mlp.experts.3.up_proj.weight", expertPart},
		{"model.layers.1.mlp.experts.gate_up_proj_blocks", expertPart},
		{"blk.1.ffn_gate_exps.weight", expertPart},
		{"model.layers.1.mlp.shared_experts.up_proj.weight", layerPart},
		{"model.layers.2.embed_tokens.weight", mtpPart}, // DeepSeek's block lies behind the last layer
		{"model.layers.2.mlp.experts.0.up_proj.weight", mtpPart},
		{"mtp.layers.0.mlp.up_proj.weight", mtpPart},
		{"vision_tower.vision_model.encoder.layers.26.mlp.fc1.weight", visionPart},
		{"vision_tower.vision_model.embeddings.position_embedding.weight", visionPart},
		{"model.visual.blocks.0.attn.qkv.weight", visionPart},
		{"multi_modal_projector.linear.weight", visionPart},
		{"", layerPart},
	}
	for _, tc := range tests {
		if got := partOf(tc.name, 2); got != tc.want {
			t.Errorf("%s: part %d, want %d", tc.name, got, tc.want)
		}
	}

	s := storedParts([]tensor{
		{"model.layers.0.mlp.up_proj.qweight", "I32", 100, 400},
		{"model.layers.0.mlp.up_proj.scales", "F16", 10, 20},
		{"model.layers.0.mlp.gate.e_score_correction_bias", "F32", 3, 12},
		{"model.layers.0.input_layernorm.weight", "F16", 64, 128},
		{"lm_head.weight", "F16", 1000, 2000},
	}, 2, true)
	if want := (Part{Floats: 64, Packed: 432}); s.Layers != want {
		t.Errorf("quantised layers %+v, want %+v", s.Layers, want)
	}
	if s.Head != (Part{}) {
		t.Errorf("head %+v, want none: the embedding is tied", s.Head)
	}
	if s := storedParts([]tensor{{"model.layers.0.w", "F32", 8, 32}}, 1, true); s.Layers.Bytes(2) != 16 {
		t.Errorf("a float32 checkpoint in 16 bits: %d bytes, want 16", s.Layers.Bytes(2))
	}
}

func TestCheckpointErrors(t *testing.T) {
	good := safetensorsFile(t, tinyTensors()...)
	length := func(n uint64) []byte { return append(binary.LittleEndian.AppendUint64(nil, n), "{}"...) }
	header := func(text string, data int) []byte {
		return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), make([]byte, data)...)
	}
	config := []byte(tinyConfig)
	tests := []struct {
		name  string
		files map[string][]byte
		want  string
	}{
		{"no config", map[string][]byte{"model.safetensors": good}, "no config.json"},
		{"bad config", map[string][]byte{"config.json": []byte("{"), "model.safetensors": good}, "config.json: the file ends in the middle"},
		{"short", map[string][]byte{"config.json": config, "model.safetensors": []byte("abc")}, "model.safetensors: 3 bytes are no safetensors file"},
		{"absurd header", map[string][]byte{"config.json": config, "model.safetensors": length(1 << 62)}, "claims 4611686018427387904 bytes"},
		{"long header", map[string][]byte{"config.json": config, "model.safetensors": length(100)}, "cut off: its header claims 100 bytes, the file has 10"},
		{"torn", map[string][]byte{"config.json": config, "model.safetensors": good[:len(good)-1]}, "cut off or damaged"},
		{"too long", map[string][]byte{"config.json": config, "model.safetensors": append(bytes.Clone(good), 0)}, "cut off or damaged"},
		{"no JSON", map[string][]byte{"config.json": config, "model.safetensors": header("hello", 0)}, "not JSON"},
		{"half JSON", map[string][]byte{"config.json": config, "model.safetensors": header(`{"a":{"dtype":"BF16"`, 0)}, "damaged at tensor a"},
		{"negative", map[string][]byte{"config.json": config, "model.safetensors": header(`{"a":{"dtype":"BF16","shape":[-1],"data_offsets":[0,2]}}`, 2)}, "shape [-1]"},
		{"absurd shape", map[string][]byte{"config.json": config, "model.safetensors": header(`{"a":{"dtype":"BF16","shape":[9007199254740992,4096],"data_offsets":[0,2]}}`, 2)}, "which none has"},
		{"wrong size", map[string][]byte{"config.json": config, "model.safetensors": header(`{"a":{"dtype":"BF16","shape":[3],"data_offsets":[0,2]}}`, 2)}, "takes 6 bytes, the header says 2"},
		{"outside", map[string][]byte{"config.json": config, "model.safetensors": header(`{"a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}}`, 2)}, "lies at [0 6] of 2 bytes"},
		{"shard missing", map[string][]byte{"config.json": config, indexFile: []byte(`{"weight_map":{"x":"1.safetensors","y":"2.safetensors"}}`), "1.safetensors": good}, "1 of the 2 files that model.safetensors.index.json names are missing: 2.safetensors"},
		{"shard elsewhere", map[string][]byte{"config.json": config, indexFile: []byte(`{"weight_map":{"x":"../1.safetensors"}}`)}, "no name of a file in this folder"},
		{"empty index", map[string][]byte{"config.json": config, indexFile: []byte(`{}`)}, "weight_map is empty"},
		{"broken index", map[string][]byte{"config.json": config, indexFile: []byte(`{"weight_map":1}`)}, "model.safetensors.index.json: line 1: weight_map is number"},
		{"tensor missing", map[string][]byte{"config.json": config, indexFile: []byte(`{"weight_map":{"x":"1.safetensors"}}`), "1.safetensors": good}, "tensor x is not in 1.safetensors"},
		{"another model's", map[string][]byte{"config.json": config, "model.safetensors": safetensorsFile(t, tinyTensors()[1:]...)}, "hold no input embedding"},
		{"half a model", map[string][]byte{"config.json": config, "model.safetensors": safetensorsFile(t, tinyTensors()[:2]...)}, "hold no layers"},
	}
	for _, tc := range tests {
		_, err := ReadCheckpoint("folder/"+tc.name, folder(tc.files))
		switch {
		case err == nil:
			t.Errorf("%s: no error, want one with %q", tc.name, tc.want)
		case !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "folder/"+tc.name):
			t.Errorf("%s: error %q, want one with the folder's name and %q", tc.name, err, tc.want)
		case strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: error %q has more than one line", tc.name, err)
		}
	}
	m, err := ReadCheckpoint("bare", folder(map[string][]byte{"config.json": config, "pytorch_model.bin": {1}}))
	if err != nil || m.Stored != nil || !strings.Contains(m.ParameterSource, "no safetensors files") {
		t.Errorf("config alone: stored %v, source %q, %v", m.Stored, m.ParameterSource, err)
	}
}

// TestCheckpointTower: a tower of a kind that cannot be counted from the config is counted in the
// files.
func TestCheckpointTower(t *testing.T) {
	config := strings.Replace(tinyConfig, `"num_hidden_layers"`, `"vision_config":{"hidden_size":8},"num_hidden_layers"`, 1)
	files := append(tinyTensors(), stored{"visual.blocks.0.weight", "BF16", []int64{8, 9}})
	m, err := ReadCheckpoint("t", folder(map[string][]byte{"config.json": []byte(config), "model.safetensors": safetensorsFile(t, files...)}))
	if err != nil || m.Parameters.Vision != 72 || m.Stored.Vision.Bytes(2) != 144 {
		t.Errorf("vision %d, %+v, %v", m.Parameters.Vision, m.Stored, err)
	}
}

// FuzzSafetensors looks for panics and sums that overflow.
func FuzzSafetensors(f *testing.F) {
	f.Add(safetensorsFile(f, stored{"model.embed_tokens.weight", "BF16", []int64{2, 3}}, stored{"model.layers.0.mlp.up_proj.weight", "I32", []int64{2}}, stored{"mtp.x", "F8_E4M3", []int64{5}}))
	f.Add(append(binary.LittleEndian.AppendUint64(nil, 60), `{"a":{"dtype":"F4","shape":[2,1],"data_offsets":[0,1]}}     x`...))
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, err := readSafetensors(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		s := storedParts(tensors, 2, false)
		for _, p := range []Part{s.Embedding, s.Head, s.Layers, s.RoutedExperts, s.Vision, s.MTP} {
			if p.Floats < 0 || p.Packed < 0 || p.Packed > int64(len(data))*int64(len(tensors)+1) {
				t.Errorf("%+v of %d bytes", s, len(data))
			}
		}
	})
}
