package catalog

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// ggufFile builds the header of a GGUF file.
type ggufFile struct{ bytes.Buffer }

func (g *ggufFile) put(values ...any) *ggufFile {
	for _, v := range values {
		if s, ok := v.(string); ok {
			g.put(uint64(len(s)))
			g.WriteString(s)
			continue
		}
		if err := binary.Write(g, binary.LittleEndian, v); err != nil {
			panic(err) // a kind of value that has no fixed size: the test is wrong
		}
	}
	return g
}

// ggufLlama is a Llama of two layers whose matrices are Q4_K and whose embedding is Q6_K.
func ggufLlama() []byte {
	g := new(ggufFile)
	g.WriteString("GGUF")
	g.put(uint32(3), uint64(3+9*2), uint64(9))
	g.put("general.architecture", uint32(8), "llama")
	for _, s := range []struct {
		key string
		v   uint32
	}{{"block_count", 2}, {"embedding_length", 256}, {"feed_forward_length", 512}, {"attention.head_count", 4}, {"context_length", 2048}} {
		g.put("llama."+s.key, uint32(4), s.v)
	}
	g.put("llama.attention.head_count_kv", uint32(9), uint32(4), uint64(2), uint32(2), uint32(2)) // for each layer
	g.put("general.name", uint32(8), "tiny")
	g.put("tokenizer.ggml.tokens", uint32(9), uint32(8), uint64(3), "a", "b", "c")
	tensor := func(name string, kind uint32, shape ...uint64) {
		g.put(name, uint32(len(shape)), shape, kind, uint64(0))
	}
	tensor("token_embd.weight", 14, 256, 3)
	tensor("output.weight", 14, 256, 3)
	tensor("output_norm.weight", 0, 256)
	for _, l := range []string{"blk.0.", "blk.1."} {
		tensor(l+"attn_q.weight", 12, 256, 256)
		tensor(l+"attn_k.weight", 12, 256, 128)
		tensor(l+"attn_v.weight", 12, 256, 128)
		tensor(l+"attn_output.weight", 12, 256, 256)
		tensor(l+"ffn_gate.weight", 12, 256, 512)
		tensor(l+"ffn_up.weight", 12, 256, 512)
		tensor(l+"ffn_down.weight", 12, 512, 256)
		tensor(l+"attn_norm.weight", 0, 256)
		tensor(l+"ffn_norm.weight", 0, 256)
	}
	return g.Bytes()
}

func TestGGUF(t *testing.T) {
	m, err := ParseConfig("tiny.gguf", bytes.NewReader(ggufLlama()))
	if err != nil {
		t.Fatal(err)
	}
	if full := m.LayersOf(FullAttention); full.Count != 2 || full.KVHeads != 2 || full.HeadDim != 64 || m.Vocab != 3 || m.TiedEmbeddings || m.Quantization.Method != "gguf" {
		t.Errorf("%+v", m)
	}
	const matrices = 2*256*256 + 2*256*128 + 3*256*512
	if want := (Part{Floats: 5 * 256, Packed: 2 * matrices / 256 * 144}); m.Stored.Layers != want {
		t.Errorf("layers %+v, want %+v", m.Stored.Layers, want)
	}
	if want := (Part{Packed: 3 * 210}); m.Stored.Embedding != want || m.Stored.Head != want {
		t.Errorf("embedding %+v, head %+v, want %+v", m.Stored.Embedding, m.Stored.Head, want)
	}
	if m.Stored.Parameters != m.Parameters.Total() {
		t.Errorf("%d elements in the file, %d by its settings", m.Stored.Parameters, m.Parameters.Total())
	}
}

func TestGGUFErrors(t *testing.T) {
	whole := ggufLlama()
	for cut := 4; cut < len(whole); cut++ {
		if _, err := ParseConfig("cut.gguf", bytes.NewReader(whole[:cut])); err == nil || !strings.Contains(err.Error(), "cut.gguf: the GGUF file is cut off") {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	begin := func() *ggufFile {
		g := new(ggufFile)
		g.WriteString("GGUF")
		return g
	}
	for _, tc := range []struct {
		name string
		file *ggufFile
		want string
	}{
		{"version", begin().put(uint32(1)), "version 1 is not known"},
		{"many", begin().put(uint32(3), uint64(1)<<40, uint64(1)), "the file is damaged"},
		{"long text", begin().put(uint32(3), uint64(0), uint64(1), uint64(1)<<40), "a text of 1099511627776 bytes"},
		{"kind", begin().put(uint32(3), uint64(0), uint64(1), "x", uint32(99)), "setting x is of kind 99"},
		{"long list", begin().put(uint32(3), uint64(0), uint64(1), "x", uint32(9), uint32(4), uint64(1)<<40), "a list of 1099511627776"},
		{"architecture", begin().put(uint32(3), uint64(0), uint64(1), "general.architecture", uint32(8), "bert"), `architecture "bert" is not known`},
		{"nothing", begin().put(uint32(3), uint64(0), uint64(1), "general.architecture", uint32(8), "llama"), "num_hidden_layers, hidden_size"},
		{"unequal", begin().put(uint32(3), uint64(0), uint64(1), "a.head_count_kv", uint32(9), uint32(4), uint64(2), uint32(1), uint32(2)), "differs from layer to layer"},
		{"type", begin().put(uint32(3), uint64(1), uint64(0), "t", uint32(1), uint64(4), uint32(77), uint64(0)), "tensor t is of type 77"},
		{"shape", begin().put(uint32(3), uint64(1), uint64(0), "t", uint32(2), uint64(1)<<40, uint64(1)<<40, uint32(0), uint64(0)), "which none has"},
	} {
		if _, err := ParseConfig(tc.name, &tc.file.Buffer); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line with %q", tc.name, err, tc.want)
		}
	}
}

// FuzzGGUF looks for panics and absurd sums.
func FuzzGGUF(f *testing.F) {
	f.Add(ggufLlama())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseGGUF(bytes.NewReader(data))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		if m.NumLayers() < 1 || m.Stored.Layers.Bytes(2) < 0 || m.Stored.Parameters < 0 {
			t.Errorf("%+v", m)
		}
	})
}
