package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// Bounds of a GGUF header, well above any published file: the vocabulary takes most of it.
const (
	maxGGUFHeader  = 256 << 20 // bytes
	maxGGUFText    = 16 << 20  // bytes of one text
	maxGGUFEntries = 1 << 20   // settings, or tensors
	maxGGUFArray   = 1 << 25   // elements
	maxGGUFDepth   = 2         // arrays of arrays
)

// ggufFamilies are the architectures of GGUF files whose model_type is known to be built alike.
var ggufFamilies = map[string]string{
	"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3moe": "qwen3_moe",
	"gemma2": "gemma2", "gemma3": "gemma3_text", "phi3": "phi3", "glm4": "glm4",
}

// ggufTypes is how the types of tensors are stored: blocks of elements in so many bytes. Elements
// of the unquantised types are converted when they are loaded.
var ggufTypes = map[uint32]struct {
	block, bytes int64
	dtype        string
}{
	0: {1, 4, "F32"}, 1: {1, 2, "F16"}, 30: {1, 2, "BF16"},
	2: {32, 18, "Q4_0"}, 3: {32, 20, "Q4_1"}, 6: {32, 22, "Q5_0"}, 7: {32, 24, "Q5_1"}, 8: {32, 34, "Q8_0"},
	10: {256, 84, "Q2_K"}, 11: {256, 110, "Q3_K"}, 12: {256, 144, "Q4_K"}, 13: {256, 176, "Q5_K"}, 14: {256, 210, "Q6_K"}, 15: {256, 292, "Q8_K"},
	16: {256, 66, "IQ2_XXS"}, 17: {256, 74, "IQ2_XS"}, 18: {256, 98, "IQ3_XXS"}, 19: {256, 50, "IQ1_S"}, 20: {32, 18, "IQ4_NL"},
	21: {256, 110, "IQ3_S"}, 22: {256, 82, "IQ2_S"}, 23: {256, 136, "IQ4_XS"}, 29: {256, 56, "IQ1_M"}, 39: {32, 17, "MXFP4"},
}

// parseGGUF reads the settings and the list of tensors at the start of a GGUF file, nothing of the
// weights.
func parseGGUF(r io.Reader) (Model, error) {
	g := &ggufReader{r: io.LimitReader(r, maxGGUFHeader), numbers: make(map[string]uint64), texts: make(map[string]string)}
	tensors := g.read()
	switch {
	case errors.Is(g.err, io.EOF) || errors.Is(g.err, io.ErrUnexpectedEOF):
		return Model{}, errors.New("the GGUF file is cut off inside its header")
	case g.err != nil:
		return Model{}, fmt.Errorf("GGUF: %w", g.err)
	}
	arch := g.texts["general.architecture"]
	family, ok := ggufFamilies[arch]
	if !ok {
		return Model{}, fmt.Errorf("GGUF: architecture %q is not known; give the config.json of the model it was made from with --quantization gguf", oneLine(arch))
	}
	c, err := g.config(arch, family, tensors)
	if err != nil {
		return Model{}, fmt.Errorf("GGUF: %w", err)
	}
	m, err := c.model()
	if err != nil {
		return Model{}, fmt.Errorf("GGUF: %w", err)
	}
	m.Quantization = &Quantization{Method: "gguf"}
	return m.withStored(tensors)
}

// config turns the settings into the fields of a config.json.
func (g *ggufReader) config(arch, family string, tensors []tensor) (*config, error) {
	c := &config{ModelType: family, DType: "bfloat16", TieWordEmbeddings: new(true)}
	for _, f := range []struct {
		key string
		to  **int
	}{
		{"block_count", &c.NumHiddenLayers}, {"embedding_length", &c.HiddenSize}, {"feed_forward_length", &c.IntermediateSize},
		{"attention.head_count", &c.NumAttentionHeads}, {"attention.head_count_kv", &c.NumKeyValueHeads}, {"attention.key_length", &c.HeadDim},
		{"context_length", &c.MaxPositionEmbeddings}, {"attention.sliding_window", &c.SlidingWindow},
		{"expert_count", &c.NumExperts}, {"expert_used_count", &c.NumExpertsPerTok}, {"expert_feed_forward_length", &c.MoEIntermediateSize},
		{"vocab_size", &c.VocabSize},
	} {
		v, ok := g.numbers[arch+"."+f.key]
		if !ok {
			continue
		}
		if v > math.MaxInt32 {
			return nil, fmt.Errorf("%s.%s is %d, which no model has", arch, f.key, v)
		}
		*f.to = new(int(v))
	}
	if n, ok := g.numbers["tokenizer.ggml.tokens"]; ok && c.VocabSize == nil {
		c.VocabSize = new(int(min(n, math.MaxInt32)))
	}
	for _, t := range tensors {
		if t.name == "output.weight" {
			c.TieWordEmbeddings = new(false)
		}
	}
	if family == "llama" && value(c.NumExperts) > 0 {
		c.ModelType, c.NumLocalExperts = "mixtral", c.NumExperts
	}
	return c, nil
}

// ggufReader reads little-endian values until the first error, which it keeps.
type ggufReader struct {
	r       io.Reader
	err     error
	numbers map[string]uint64 // whole numbers; of a list its length, of a list of equal numbers that number
	texts   map[string]string // short ones
}

func (g *ggufReader) fail(format string, args ...any) {
	if g.err == nil {
		g.err = fmt.Errorf(format, args...)
	}
}

func (g *ggufReader) uint(bytes int) uint64 {
	var b [8]byte
	if g.err == nil {
		_, g.err = io.ReadFull(g.r, b[:bytes])
	}
	return binary.LittleEndian.Uint64(b[:])
}

func (g *ggufReader) text() string {
	n := g.uint(8)
	if n > maxGGUFText {
		g.fail("a text of %d bytes; the file is damaged", n)
	}
	if g.err != nil {
		return ""
	}
	var b strings.Builder
	if _, err := io.CopyN(&b, g.r, int64(n)); err != nil {
		g.err = err
	}
	return b.String()
}

func (g *ggufReader) read() []tensor {
	var magic [4]byte
	if _, g.err = io.ReadFull(g.r, magic[:]); g.err != nil {
		return nil
	}
	if v := g.uint(4); v != 2 && v != 3 {
		g.fail("version %d is not known; 2 and 3 are", v)
	}
	tensors, settings := g.uint(8), g.uint(8)
	if tensors > maxGGUFEntries || settings > maxGGUFEntries {
		g.fail("%d tensors and %d settings; the file is damaged", tensors, settings)
	}
	for i := uint64(0); i < settings && g.err == nil; i++ {
		key := g.text()
		g.setting(key, uint32(g.uint(4)), 0)
	}
	var out []tensor
	for i := uint64(0); i < tensors && g.err == nil; i++ {
		out = append(out, g.tensor())
	}
	return out
}

func (g *ggufReader) tensor() tensor {
	t := tensor{name: g.text()}
	dims := g.uint(4)
	if dims > 8 {
		g.fail("tensor %s has %d dimensions; the file is damaged", oneLine(t.name), dims)
	}
	var shape []int64
	for i := uint64(0); i < dims && g.err == nil; i++ {
		shape = append(shape, int64(g.uint(8)))
	}
	id := uint32(g.uint(4))
	g.uint(8) // where its data lies
	elements, ok := product(shape)
	kind, known := ggufTypes[id]
	switch {
	case g.err != nil:
	case !ok || elements > 1<<40:
		g.fail("tensor %s has the shape %v, which none has", oneLine(t.name), shape)
	case !known:
		g.fail("tensor %s is of type %d, which is not known", oneLine(t.name), id)
	default:
		t.dtype, t.elements = kind.dtype, elements
		t.bytes = (elements + kind.block - 1) / kind.block * kind.bytes
	}
	return t
}

// ggufWidths is the bytes of a value by its kind: whole numbers, fractions and booleans.
var ggufWidths = map[uint32]int{0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

// setting reads one value and keeps whole numbers, lengths of lists and short texts.
func (g *ggufReader) setting(key string, kind uint32, depth int) {
	width := ggufWidths[kind]
	switch {
	case kind == 8:
		if s := g.text(); len(s) <= 100 {
			g.texts[key] = s
		}
	case kind == 9:
		g.list(key, depth)
	case width > 0:
		g.numbers[key] = g.uint(width)
	default:
		g.fail("setting %s is of kind %d, which is not known", oneLine(key), kind)
	}
}

// list reads a list. Some files give a number for each layer; where those are equal, it is kept.
func (g *ggufReader) list(key string, depth int) {
	kind, n := uint32(g.uint(4)), g.uint(8)
	if n > maxGGUFArray || depth >= maxGGUFDepth {
		g.fail("setting %s is a list of %d; the file is damaged", oneLine(key), n)
	}
	g.numbers[key] = n
	perLayer := strings.HasSuffix(key, "head_count_kv") || strings.HasSuffix(key, "feed_forward_length")
	if width := ggufWidths[kind]; width > 0 && !perLayer && g.err == nil {
		if _, err := io.CopyN(io.Discard, g.r, int64(n)*int64(width)); err != nil {
			g.err = err
		}
		return
	}
	for i := uint64(0); i < n && g.err == nil; i++ {
		last := g.numbers["element"]
		g.setting("element", kind, depth+1)
		if perLayer && i > 0 && g.numbers["element"] != last {
			g.fail("%s differs from layer to layer, which is not modelled", oneLine(key))
		}
	}
	if perLayer && n > 0 {
		g.numbers[key] = g.numbers["element"]
	}
}
