package catalog

import (
	"slices"
	"strconv"
	"strings"
)

// Part is how a part of a checkpoint is stored.
type Part struct {
	Floats int64 // numbers that vLLM converts to the dtype it computes in
	Packed int64 // bytes it loads as they are: quantised weights, their scales
}

// Bytes is what the part takes where a converted number takes that many bytes.
func (p Part) Bytes(floatBytes int64) int64 { return p.Floats*floatBytes + p.Packed }

func (p *Part) add(t tensor, float bool) {
	if float {
		p.Floats += t.elements
	} else {
		p.Packed += t.bytes
	}
}

// Stored is what a checkpoint's tensors take, from their headers.
type Stored struct {
	Embedding, Head, Layers, RoutedExperts, Vision Part
	MTP                                            Part  // loaded only for speculative decoding
	Parameters                                     int64 // elements of all tensors; packed ones count as stored
}

// parts sorts the tensors of a checkpoint by name. A head that repeats tied embeddings is left out,
// as vLLM leaves it out.
func storedParts(tensors []tensor, layers int, tied bool) *Stored {
	// A checkpoint in float32 throughout is cast; single float32 tensors in others are there for
	// their precision.
	var floats, halves int64
	for _, t := range tensors {
		switch t.dtype {
		case "F32":
			floats += t.elements
		case "F16", "BF16":
			halves += t.elements
		}
	}
	s := &Stored{}
	for _, t := range tensors {
		part := partOf(t.name, layers)
		if part == headPart && tied {
			continue
		}
		float := t.dtype == "F16" || t.dtype == "BF16" || t.dtype == "F32" && floats > halves
		if strings.Contains(t.name, "scale") || strings.Contains(t.name, "absmax") {
			float = false
		}
		s.part(part).add(t, float)
		s.Parameters += t.elements
	}
	return s
}

// partName tells where a tensor belongs.
type partName int

const (
	layerPart partName = iota
	embeddingPart
	headPart
	expertPart
	visionPart
	mtpPart
)

func (s *Stored) part(n partName) *Part {
	switch n {
	case embeddingPart:
		return &s.Embedding
	case headPart:
		return &s.Head
	case expertPart:
		return &s.RoutedExperts
	case visionPart:
		return &s.Vision
	case mtpPart:
		return &s.MTP
	}
	return &s.Layers
}

// Words by which published checkpoints name their parts. Other towers (audio) are counted with the
// vision tower: both stay in 16 bits.
var (
	towerWords = []string{"vision_tower", "vision_model", "vision_encoder", "visual", "multi_modal_projector", "mm_projector", "embed_vision",
		"vision_language_adapter", "patch_merger", "pre_mm_projector_norm", "vision_projection", "audio_tower", "embed_audio", "audio_model"}
	embeddingWords = []string{"embed_tokens", "tok_embeddings", "word_embeddings", "wte", "embeddings", "token_embd"}
	headWords      = []string{"lm_head", "embed_out"}
)

// partOf sorts a tensor by the words of its name; layers are those the model counts, what lies
// beyond them predicts further tokens.
func partOf(name string, layers int) partName {
	words := strings.Split(name, ".")
	has := func(list []string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(list, w) })
	}
	layer := -1
	for i, w := range words[:len(words)-1] {
		if w == "layers" || w == "blk" || w == "h" {
			if n, err := strconv.Atoi(words[i+1]); err == nil {
				layer = n
			}
			break
		}
	}
	switch {
	case has(towerWords):
		return visionPart
	case words[0] == "mtp" || slices.Contains(words, "mtp") || layer >= layers:
		return mtpPart
	case layer < 0 && has(embeddingWords):
		return embeddingPart
	case layer < 0 && (has(headWords) || words[0] == "output" && len(words) == 2):
		return headPart
	case slices.Contains(words, "experts") || slices.ContainsFunc(words, func(w string) bool { return strings.HasSuffix(w, "_exps") }):
		return expertPart
	}
	return layerPart
}
