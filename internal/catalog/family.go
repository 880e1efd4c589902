package catalog

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// family says what a model_type means: which fields it needs, what transformers assumes where a
// field is left out, and which parameters a layer has beside its matrices.
type family struct {
	defaults func(*config)

	needsMLP     bool   // every layer, or the first few, has a dense MLP
	plainMLP     bool   // two matrices instead of a gate, an up and a down projection
	mla          bool   // multi-head latent attention
	moe          bool   // has routed experts
	expertsField string // how this family names their number
	deltaNet     bool   // some layers are gated delta nets
	mamba        bool   // some layers are Mamba-2 mixers, by hybrid_override_pattern

	rotary   float64 // share of a head that is rotated; 0 = all of it
	ropeEach bool    // windowed layers are rotated by a base of their own
	noRope   bool    // positions are learned, or there are none

	layerNorms   int    // norms of hidden_size in a layer
	layerNormed  bool   // norms and the dense MLP have biases, as GPT-2's
	headBias     bool   // so has the output head
	positions    int    // learned positions beyond max_position_embeddings; with layerNormed
	qkvBias      bool   // q, k and v have biases, unless attention_bias says otherwise
	outputBias   bool   // so has the output projection
	qkNorm       qkNorm // norms on queries and keys
	gatedQuery   bool   // the query projection also makes an output gate
	sinks        bool   // one learned attention sink a head
	routerBias   bool   // one bias or score correction an expert
	expertBias   bool   // experts' projections have biases
	sharedGate   bool   // the shared expert has a gate of hidden_size
	expertNorms  int    // norms of hidden_size that only a layer with experts has
	routerScales bool   // hidden_size and per-expert scales of Gemma 4's router
}

// qkNorm says how wide the norms on queries and keys are.
type qkNorm int

const (
	noQKNorm    qkNorm = iota
	perHeadNorm        // one of head_dim for queries, one for keys
	fullQKNorm         // over all query heads, and over all key heads
)

// families are the model types whose arithmetic is known, by the model_type of the text part.
func families(modelType string) *family {
	switch modelType {
	case "llama", "internlm2", "granite":
		return &family{needsMLP: true, layerNorms: 2, defaults: untied}
	case "opt":
		return &family{needsMLP: true, layerNorms: 2, plainMLP: true, layerNormed: true, positions: 2, noRope: true, qkvBias: true, outputBias: true, defaults: func(c *config) {
			c.IntermediateSize = c.FFNDim
		}}
	case "phi":
		return &family{needsMLP: true, layerNorms: 1, plainMLP: true, layerNormed: true, headBias: true, rotary: 0.5, qkvBias: true, outputBias: true, defaults: untied}
	case "olmo2":
		return &family{needsMLP: true, layerNorms: 2, qkNorm: fullQKNorm, defaults: untied}
	case "cohere":
		return &family{needsMLP: true, layerNorms: 1, defaults: func(*config) {}}
	case "cohere2":
		return &family{needsMLP: true, layerNorms: 1, defaults: func(c *config) {
			fill(&c.SlidingWindow, 4096)
			fill(&c.SlidingWindowPattern, 4)
		}}
	case "chatglm":
		return &family{needsMLP: true, layerNorms: 2, rotary: 0.5, qkvBias: true, defaults: func(c *config) {
			untied(c)
			c.NumHiddenLayers, c.IntermediateSize, c.HeadDim = c.NumLayers, c.FFNHiddenSize, c.KVChannels
			c.NumKeyValueHeads, c.VocabSize, c.MaxPositionEmbeddings = c.MultiQueryGroups, c.PaddedVocabSize, c.SeqLength
		}}
	case "mistral":
		return &family{needsMLP: true, layerNorms: 2, defaults: func(c *config) {
			untied(c)
			fill(&c.NumKeyValueHeads, 8)
		}}
	case "mixtral":
		return &family{needsMLP: true, layerNorms: 2, moe: true, expertsField: "num_local_experts", defaults: func(c *config) {
			untied(c)
			fill(&c.NumKeyValueHeads, 8)
			fill(&c.NumLocalExperts, 8)
			fill(&c.NumExpertsPerTok, 2)
			c.MoEIntermediateSize = c.IntermediateSize
		}}
	case "phi3":
		return &family{needsMLP: true, layerNorms: 2, defaults: untied}
	case "qwen2", "qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text":
		return &family{needsMLP: true, layerNorms: 2, qkvBias: true, defaults: untied}
	case "qwen2_moe":
		return &family{layerNorms: 2, qkvBias: true, moe: true, expertsField: "num_experts", sharedGate: true, defaults: untied}
	case "qwen3", "qwen3_vl_text":
		return &family{needsMLP: true, layerNorms: 2, qkNorm: perHeadNorm, defaults: func(c *config) {
			untied(c)
			fill(&c.HeadDim, 128)
		}}
	case "qwen3_moe", "qwen3_vl_moe_text":
		return &family{layerNorms: 2, qkNorm: perHeadNorm, moe: true, expertsField: "num_experts", defaults: untied}
	case "qwen3_next":
		return &family{layerNorms: 2, qkNorm: perHeadNorm, moe: true, expertsField: "num_experts", sharedGate: true,
			deltaNet: true, gatedQuery: true, rotary: 0.25, defaults: qwenHybrid}
	case "qwen3_5_text", "qwen3_5":
		return &family{needsMLP: true, layerNorms: 2, qkNorm: perHeadNorm, deltaNet: true, gatedQuery: true, rotary: 0.25, defaults: qwenHybrid}
	case "qwen3_5_moe_text", "qwen3_5_moe":
		return &family{layerNorms: 2, qkNorm: perHeadNorm, moe: true, expertsField: "num_experts", sharedGate: true,
			deltaNet: true, gatedQuery: true, rotary: 0.25, defaults: qwenHybrid}
	case "gemma":
		return &family{needsMLP: true, layerNorms: 2, defaults: func(c *config) {
			fill(&c.HeadDim, 256)
			fill(&c.VocabSize, 256000)
			fill(&c.MaxPositionEmbeddings, 8192)
		}}
	case "gemma2":
		return &family{needsMLP: true, layerNorms: 4, defaults: func(c *config) {
			fill(&c.TieWordEmbeddings, true)
			fill(&c.NumAttentionHeads, 8)
			fill(&c.NumKeyValueHeads, 4)
			fill(&c.HeadDim, 256)
			fill(&c.VocabSize, 256000)
			fill(&c.MaxPositionEmbeddings, 8192)
			fill(&c.SlidingWindow, 4096)
			fill(&c.SlidingWindowPattern, 2)
		}}
	case "gemma3_text":
		return &family{ropeEach: true, needsMLP: true, layerNorms: 4, qkNorm: perHeadNorm, defaults: func(c *config) {
			fill(&c.TieWordEmbeddings, true)
			fill(&c.NumAttentionHeads, 8)
			fill(&c.NumKeyValueHeads, 4)
			fill(&c.HeadDim, 256)
			fill(&c.VocabSize, 262208)
			fill(&c.MaxPositionEmbeddings, 131072)
			fill(&c.SlidingWindow, 4096)
			fill(&c.SlidingWindowPattern, 6)
		}}
	case "gemma4_text":
		return &family{ropeEach: true, needsMLP: true, layerNorms: 4, qkNorm: perHeadNorm, moe: true, expertsField: "num_experts",
			expertNorms: 3, routerScales: true, defaults: func(c *config) {
				fill(&c.TieWordEmbeddings, true)
				fill(&c.HeadDim, 256)
				fill(&c.GlobalHeadDim, 512)
				fill(&c.VocabSize, 262144)
				fill(&c.MaxPositionEmbeddings, 131072)
				fill(&c.SlidingWindow, 512)
				fill(&c.SlidingWindowPattern, 6)
				c.NumExpertsPerTok = c.TopKExperts
			}}
	case "glm4":
		return &family{rotary: 0.5, needsMLP: true, layerNorms: 4, qkvBias: true, defaults: func(c *config) {
			untied(c)
			fill(&c.HeadDim, 128)
		}}
	case "glm4_moe":
		return &family{rotary: 0.5, needsMLP: true, layerNorms: 2, qkvBias: true, moe: true, expertsField: "n_routed_experts", routerBias: true, defaults: untied}
	case "deepseek_v2":
		return &family{needsMLP: true, layerNorms: 2, mla: true, moe: true, expertsField: "n_routed_experts", defaults: untied}
	case "deepseek_v3", "kimi_k2", "deepseek_v32", "glm_moe_dsa":
		return &family{needsMLP: true, layerNorms: 2, mla: true, moe: true, expertsField: "n_routed_experts", routerBias: true, defaults: untied}
	case "minimax_m2":
		return &family{layerNorms: 2, qkNorm: fullQKNorm, moe: true, expertsField: "num_local_experts", routerBias: true, defaults: func(c *config) {
			untied(c)
			c.MoEIntermediateSize = c.IntermediateSize
		}}
	case "gpt_oss":
		return &family{layerNorms: 2, qkvBias: true, outputBias: true, sinks: true, moe: true, expertsField: "num_local_experts",
			routerBias: true, expertBias: true, defaults: func(c *config) {
				untied(c)
				fill(&c.HeadDim, 64)
				fill(&c.SlidingWindow, 128)
				fill(&c.SlidingWindowPattern, 2)
				c.MoEIntermediateSize = c.IntermediateSize
			}}
	case "nemotron_h":
		return &family{noRope: true, layerNorms: 1, plainMLP: true, moe: true, expertsField: "n_routed_experts", routerBias: true, mamba: true, defaults: untied}
	case "llama4_text":
		return &family{layerNorms: 2, moe: true, expertsField: "num_local_experts", defaults: func(c *config) {
			untied(c)
			fill(&c.AttentionChunkSize, 8192)
			fill(&c.NoRopeLayerInterval, 4)
			c.MoEIntermediateSize = c.IntermediateSize
			c.SharedIntermediateSize = c.IntermediateSize
		}}
	}
	return nil
}

// knownFamilies is what a refusal offers.
const knownFamilies = "Llama, Mistral, Mixtral, Qwen 2/2.5/3/3.5 with VL, Gemma 1 to 4, Phi-1 to 4, GLM-4/4.5/5, DeepSeek V2/V3, Kimi K2, MiniMax M2, gpt-oss, Nemotron 3, Llama 4, Command R, OLMo 2, Granite, InternLM2 and OPT"

func untied(c *config) { fill(&c.TieWordEmbeddings, false) }

func qwenHybrid(c *config) {
	untied(c)
	fill(&c.HeadDim, 256)
	fill(&c.FullAttentionInterval, 4)
}

// commonDefaults are those every family shares, applied after its own.
func commonDefaults(c *config) {
	fill(&c.TieWordEmbeddings, true)
	if c.NumKeyValueHeads == nil {
		c.NumKeyValueHeads = c.NumAttentionHeads
	}
	if c.HeadDim == nil && value(c.HiddenSize) > 0 && value(c.NumAttentionHeads) > 0 {
		c.HeadDim = new(*c.HiddenSize / *c.NumAttentionHeads)
	}
}

// family finds the family of the text part, or says why there is none.
func (c *config) family(text *config) (*family, error) {
	if err := c.refuseKind(); err != nil {
		return nil, err
	}
	if text.ModelType == "" {
		return nil, errors.New("model_type is missing")
	}
	arch := oneLine(strings.Join(c.Architectures, ", "))
	fam := families(text.ModelType)
	if fam == nil {
		return nil, fmt.Errorf("model_type %q (%s) is not known: which layers keep a KV cache and how its weights are counted is missing; known are %s",
			text.ModelType, orUnnamed(arch, "no architecture named"), knownFamilies)
	}
	if text.ModelType == "gemma4_text" {
		if value(text.NumKVSharedLayers) > 0 || value(text.HiddenSizePerLayer) > 0 {
			return nil, fmt.Errorf("per-layer embeddings or shared KV layers (num_kv_shared_layers, hidden_size_per_layer_input) of Gemma 4 are not known")
		}
		fam.moe = text.EnableMoEBlock != nil && *text.EnableMoEBlock
	}
	if p := text.WordEmbedProjDim; p != nil && *p != value(text.HiddenSize) {
		return nil, fmt.Errorf("word_embed_proj_dim %d other than hidden_size is not known", *p)
	}
	if step := value(text.InterleaveMoEStep); step > 1 {
		return nil, fmt.Errorf("interleave_moe_layer_step %d (dense and expert layers by turns) is not known", step)
	}
	if value(text.DecoderSparseStep) > 1 || len(text.MLPOnlyLayers) > 0 {
		return nil, fmt.Errorf("decoder_sparse_step or mlp_only_layers (dense and expert layers by turns) are not known")
	}
	return fam, nil
}

// oneLine makes text from a file fit to stand in an error.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 100)]
}

func orUnnamed(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// experts is the number of routed experts under any of its names.
func (c *config) experts() *int {
	for _, p := range []*int{c.NumExperts, c.NumLocalExperts, c.NRoutedExperts} {
		if p != nil {
			return p
		}
	}
	return nil
}
