package catalog

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxConfigBytes bounds a config.json; published ones are a few KiB, the largest (with long lists
// of unconverted modules) some hundred KiB.
const maxConfigBytes = 4 << 20

// ParseConfig reads a model's config.json and applies the defaults transformers would: published
// files leave out what equals a default. The header of a GGUF file does as well. name is used in
// errors and as the model's id. The parameter count is the one the file states (parameter_count,
// not a transformers field) or the one computed from the other fields. The error is one line and
// names what is missing.
func ParseConfig(name string, r io.Reader) (Model, error) {
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(4); string(magic) == "GGUF" {
		m, err := parseGGUF(in)
		if err != nil {
			return Model{}, fmt.Errorf("%s: %w", name, err)
		}
		m.ID = name
		return m, nil
	}
	data, err := io.ReadAll(io.LimitReader(in, maxConfigBytes+1))
	if err != nil {
		return Model{}, fmt.Errorf("reading model config %s: %w", name, err)
	}
	m, err := parseConfig(data)
	if err != nil {
		return Model{}, fmt.Errorf("model config %s: %w", name, err)
	}
	m.ID = name
	return m, nil
}

func parseConfig(data []byte) (Model, error) {
	c, err := readConfig(data)
	if err != nil {
		return Model{}, err
	}
	return c.model()
}

// readConfig reads the fields, and refuses what is not a config.json.
func readConfig(data []byte) (*config, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // a byte-order mark, which Windows editors add
	if err := looksLikeJSON(data); err != nil {
		return nil, err
	}
	if len(data) > maxConfigBytes {
		return nil, fmt.Errorf("larger than %d MiB; this is not a config.json", maxConfigBytes>>20)
	}
	var keys map[string]json.RawMessage
	if err := decodeJSON(data, &keys); err != nil {
		return nil, err
	}
	if err := otherFile(keys); err != nil {
		return nil, err
	}
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, describeJSONError(data, err)
	}
	c.VisionConfig.defaults(c.ModelType)
	return &c, nil
}

// config holds the fields of a config.json that decide memory or speed, of every family: each
// family reads its own. Absent and null are nil.
type config struct {
	Architectures []string      `json:"architectures"`
	ModelType     string        `json:"model_type"`
	TextConfig    *config       `json:"text_config"`
	VisionConfig  *visionConfig `json:"vision_config"`
	TorchDType    string        `json:"torch_dtype"`
	DType         string        `json:"dtype"`

	NumHiddenLayers       *int  `json:"num_hidden_layers"`
	HiddenSize            *int  `json:"hidden_size"`
	IntermediateSize      *int  `json:"intermediate_size"`
	NumAttentionHeads     *int  `json:"num_attention_heads"`
	NumKeyValueHeads      *int  `json:"num_key_value_heads"`
	HeadDim               *int  `json:"head_dim"`
	VocabSize             *int  `json:"vocab_size"`
	TieWordEmbeddings     *bool `json:"tie_word_embeddings"`
	MaxPositionEmbeddings *int  `json:"max_position_embeddings"`
	AttentionBias         *bool `json:"attention_bias"`
	IsEncoderDecoder      bool  `json:"is_encoder_decoder"`
	UseQKNorm             *bool `json:"use_qk_norm"`

	// How positions beyond max_position_embeddings are reached; its name since transformers 5 is
	// the second.
	RopeScaling    *ropeScaling `json:"rope_scaling"`
	RopeParameters *ropeScaling `json:"rope_parameters"`

	PartialRotaryFactor *float64 `json:"partial_rotary_factor"`

	// OPT and ChatGLM name these their own way.
	FFNDim           *int `json:"ffn_dim"`
	WordEmbedProjDim *int `json:"word_embed_proj_dim"`
	NumLayers        *int `json:"num_layers"`
	FFNHiddenSize    *int `json:"ffn_hidden_size"`
	KVChannels       *int `json:"kv_channels"`
	MultiQueryGroups *int `json:"multi_query_group_num"`
	PaddedVocabSize  *int `json:"padded_vocab_size"`
	SeqLength        *int `json:"seq_length"`

	// Which layer attends to what.
	SlidingWindow         *int     `json:"sliding_window"`
	UseSlidingWindow      *bool    `json:"use_sliding_window"`
	SlidingWindowPattern  *int     `json:"sliding_window_pattern"`
	SlidingWindowPattern2 *int     `json:"_sliding_window_pattern"` // its name since transformers 4.53
	LayerTypes            []string `json:"layer_types"`
	AttentionChunkSize    *int     `json:"attention_chunk_size"`
	NoRopeLayerInterval   *int     `json:"no_rope_layer_interval"`
	FullAttentionInterval *int     `json:"full_attention_interval"`
	HybridPattern         string   `json:"hybrid_override_pattern"`

	// Gemma 4.
	GlobalHeadDim          *int  `json:"global_head_dim"`
	NumGlobalKeyValueHeads *int  `json:"num_global_key_value_heads"`
	AttentionKEqV          *bool `json:"attention_k_eq_v"`
	NumKVSharedLayers      *int  `json:"num_kv_shared_layers"`
	HiddenSizePerLayer     *int  `json:"hidden_size_per_layer_input"`

	// Experts: families name the same things differently.
	NumExperts             *int  `json:"num_experts"`
	NumLocalExperts        *int  `json:"num_local_experts"`
	NRoutedExperts         *int  `json:"n_routed_experts"`
	NSharedExperts         *int  `json:"n_shared_experts"`
	NumExpertsPerTok       *int  `json:"num_experts_per_tok"`
	TopKExperts            *int  `json:"top_k_experts"`
	MoEIntermediateSize    *int  `json:"moe_intermediate_size"`
	SharedIntermediateSize *int  `json:"shared_expert_intermediate_size"`
	MoESharedIntermediate  *int  `json:"moe_shared_expert_intermediate_size"`
	FirstKDenseReplace     *int  `json:"first_k_dense_replace"`
	DecoderSparseStep      *int  `json:"decoder_sparse_step"`
	MLPOnlyLayers          []int `json:"mlp_only_layers"`
	EnableMoEBlock         *bool `json:"enable_moe_block"`
	InterleaveMoEStep      *int  `json:"interleave_moe_layer_step"`

	// Multi-head latent attention and its indexer.
	KVLoRARank     *int           `json:"kv_lora_rank"`
	QLoRARank      *int           `json:"q_lora_rank"`
	QKNopeHeadDim  *int           `json:"qk_nope_head_dim"`
	QKRopeHeadDim  *int           `json:"qk_rope_head_dim"`
	VHeadDim       *int           `json:"v_head_dim"`
	IndexHeadDim   *int           `json:"index_head_dim"`
	IndexNHeads    *int           `json:"index_n_heads"`
	IndexTopK      *int           `json:"index_topk"`
	IndexerSummary map[string]int `json:"indexer_types_summary"` // the catalogue's own short form of indexer_types
	IndexerTypes   []string       `json:"indexer_types"`

	// Linear attention.
	LinearKeyHeads     *int   `json:"linear_num_key_heads"`
	LinearValueHeads   *int   `json:"linear_num_value_heads"`
	LinearKeyDim       *int   `json:"linear_key_head_dim"`
	LinearValueDim     *int   `json:"linear_value_head_dim"`
	LinearConv         *int   `json:"linear_conv_kernel_dim"`
	MambaHeads         *int   `json:"mamba_num_heads"`
	MambaHeadDim       *int   `json:"mamba_head_dim"`
	SSMStateSize       *int   `json:"ssm_state_size"`
	NGroups            *int   `json:"n_groups"`
	ConvKernel         *int   `json:"conv_kernel"`
	MambaSSMDType      string `json:"mamba_ssm_dtype"`
	MambaSSMCacheDType string `json:"mamba_ssm_cache_dtype"`

	Quantization *quantizationConfig `json:"quantization_config"`

	// The catalogue's own fields.
	ParameterCount       int64  `json:"parameter_count"`
	ParameterCountSource string `json:"parameter_count_source"`
	MTPParameterCount    int64  `json:"mtp_parameter_count"`
	Note                 string `json:"note"`
}

// ropeScaling stretches a model's context. Entries by kind of layer, which some files have instead,
// say nothing about it.
type ropeScaling struct {
	Type     string  `json:"rope_type"`
	OldType  string  `json:"type"`
	Factor   float64 `json:"factor"`
	Original *int    `json:"original_max_position_embeddings"`
	Partial  float64 `json:"partial_rotary_factor"`
}

// rope is the scaling under either name; all zero where there is none.
func (c *config) rope() ropeScaling {
	for _, r := range []*ropeScaling{c.RopeScaling, c.RopeParameters} {
		if r != nil {
			return *r
		}
	}
	return ropeScaling{}
}

// context is the longest context vLLM derives: yarn stretches the original length, older kinds the
// stated one; llama3 and longrope state the stretched one.
func (c *config) context() int {
	stated, r := *c.MaxPositionEmbeddings, c.rope()
	if !(r.Factor > 1) || strings.HasPrefix(c.ModelType, "gemma3") {
		return stated
	}
	switch orUnnamed(r.Type, r.OldType) {
	case "yarn", "deepseek_yarn":
		if r.Original != nil {
			stated = *r.Original
		}
	case "linear", "dynamic":
	default:
		return stated
	}
	return int(min(float64(stated)*r.Factor, maxContext))
}

// ropeElements is the size of the rotary tables: a row as wide as the rotated part of a head for each
// position of the context, four times as many where positions have parts for images (Qwen-VL).
// Families with a base of their own for windowed layers have a table for each.
func (c *config) ropeElements(fam *family, layers []Layers) int {
	width := 0
	for _, l := range layers {
		if fam.ropeEach {
			width += l.HeadDim
		} else {
			width = max(width, l.HeadDim)
		}
	}
	if fam.mla {
		width = *c.QKRopeHeadDim
	}
	share := cmp.Or(fam.rotary, 1)
	if p := cmp.Or(c.rope().Partial, value(c.PartialRotaryFactor)); p > 0 && p <= 1 {
		share = p
	}
	n := float64(c.context()) * float64(width) * share
	switch {
	case fam.noRope:
		return 0
	case strings.Contains(c.ModelType, "_vl") || strings.HasPrefix(c.ModelType, "qwen3_5"):
		n *= 4
	}
	return int(n)
}

type quantizationConfig struct {
	Method      string `json:"quant_method"`
	QuantAlgo   string `json:"quant_algo"` // modelopt: FP8, NVFP4
	Bits        int    `json:"bits"`
	LoadIn4Bit  bool   `json:"load_in_4bit"`
	LoadIn8Bit  bool   `json:"load_in_8bit"`
	GroupSize   int    `json:"group_size"`
	KVCacheAlgo string `json:"kv_cache_quant_algo"` // modelopt: FP8
	KVCache     *struct {
		NumBits int    `json:"num_bits"`
		Type    string `json:"type"`
	} `json:"kv_cache_scheme"`
	ConfigGroups map[string]struct {
		Weights struct {
			NumBits   int    `json:"num_bits"`
			Type      string `json:"type"`
			GroupSize *int   `json:"group_size"`
		} `json:"weights"`
	} `json:"config_groups"` // compressed-tensors
}

// kvCacheDType is the cache's type where the checkpoint brings scales for it; "" = it brings none.
func (q *quantizationConfig) kvCacheDType() string {
	if q != nil && (strings.EqualFold(q.KVCacheAlgo, "fp8") || q.KVCache != nil && q.KVCache.NumBits == 8 && q.KVCache.Type == "float") {
		return "fp8"
	}
	return ""
}

// quantization is the stored width of the weights; bits are 0 where the file does not say.
func (q *quantizationConfig) quantization() *Quantization {
	if q == nil || q.Method == "" && q.QuantAlgo == "" {
		return nil
	}
	out := &Quantization{Method: strings.ToLower(q.Method), Bits: q.Bits, GroupSize: max(q.GroupSize, 0)}
	for _, g := range q.ConfigGroups {
		out.Bits = g.Weights.NumBits
		if g.Weights.GroupSize != nil {
			out.GroupSize = max(*g.Weights.GroupSize, 0)
		}
		if g.Weights.Type == "float" && g.Weights.NumBits == 4 {
			out.Method = "nvfp4"
		}
		if g.Weights.Type == "float" && g.Weights.NumBits == 8 {
			out.Method = "fp8"
		}
	}
	switch {
	case strings.EqualFold(q.QuantAlgo, "nvfp4"), out.Method == "modelopt_fp4":
		out.Method, out.Bits = "nvfp4", 4
	case strings.EqualFold(q.QuantAlgo, "fp8"), out.Method == "fp8":
		out.Method, out.Bits = "fp8", 8
	case out.Method == "mxfp4":
		out.Bits = 4
	case q.LoadIn4Bit:
		out.Bits = 4
	case q.LoadIn8Bit:
		out.Bits = 8
	}
	return out
}

// model turns the fields into a Model: it finds the family, applies its defaults, checks that
// nothing needed is missing, and counts.
func (c *config) model() (Model, error) {
	text := c
	if c.TextConfig != nil {
		text = c.TextConfig
		text.inherit(c)
	}
	fam, err := c.family(text)
	if err != nil {
		return Model{}, err
	}
	if text.SlidingWindowPattern == nil {
		text.SlidingWindowPattern = text.SlidingWindowPattern2
	}
	fam.defaults(text)
	commonDefaults(text)
	if err := text.check(fam); err != nil {
		return Model{}, err
	}

	m := Model{
		ModelType:             c.ModelType,
		TextModelType:         text.ModelType,
		Architectures:         c.Architectures,
		DType:                 dtype(text, c),
		HiddenSize:            *text.HiddenSize,
		IntermediateSize:      value(text.IntermediateSize),
		GatedMLP:              !fam.plainMLP,
		Heads:                 *text.NumAttentionHeads,
		Vocab:                 *text.VocabSize,
		TiedEmbeddings:        *text.TieWordEmbeddings,
		MaxPositionEmbeddings: text.context(),
		Quantization:          c.Quantization.quantization(),
		MTPParameterCount:     c.MTPParameterCount,
		Note:                  c.Note,
	}
	m.KVCacheDType = c.Quantization.kvCacheDType()
	if m.Quantization == nil {
		m.Quantization, m.KVCacheDType = text.Quantization.quantization(), text.Quantization.kvCacheDType()
	}
	m.Layers = text.layers(fam)
	m.RopeElements = text.ropeElements(fam, m.Layers)
	if !m.attends() {
		return Model{}, errors.New("no layer has attention; only models with a KV cache are modelled")
	}
	m.MoE = text.moe(fam)
	m.MLA = text.mla(fam)
	m.Linear = text.linear(fam)
	m.Parameters = text.countParameters(fam, m)
	if m.Parameters.Vision, err = c.VisionConfig.countParameters(c.ModelType, m.HiddenSize); err != nil {
		return Model{}, err
	}
	m.Vision = c.VisionConfig.vision(c.ModelType)
	m.ParameterCount, m.ParameterSource = c.ParameterCount, c.ParameterCountSource
	for name, n := range map[string]int64{"parameter_count": c.ParameterCount, "mtp_parameter_count": c.MTPParameterCount} {
		if n < 0 || n > 1<<60 {
			return Model{}, fmt.Errorf("%s is %d, which no model has", name, n)
		}
	}
	if m.ParameterCount == 0 {
		m.ParameterCount = m.Parameters.Total() + m.MTPParameterCount
		m.ParameterSource = "computed from the config's fields, without a multi-token-prediction block"
	}
	if m.LoadedParameters() <= m.Parameters.Embedding+m.Parameters.Head+m.Parameters.Vision {
		return Model{}, fmt.Errorf("parameter_count %d is less than the embeddings alone; remove the field or correct it", m.ParameterCount)
	}
	return m, nil
}

// inherit fills in what a file states once, outside text_config.
func (c *config) inherit(outer *config) {
	if c.ModelType == "" && outer.ModelType != "" {
		c.ModelType = outer.ModelType + "_text"
	}
	if c.TieWordEmbeddings == nil {
		c.TieWordEmbeddings = outer.TieWordEmbeddings
	}
	if c.VocabSize == nil {
		c.VocabSize = outer.VocabSize
	}
}

// dtype is the checkpoint's own: the text part's word counts before the whole model's. Files that
// name none are old; vLLM then picks a 16-bit type itself.
func dtype(text, outer *config) string {
	for _, d := range []string{text.DType, text.TorchDType, outer.DType, outer.TorchDType} {
		if d = strings.TrimPrefix(d, "torch."); slices.Contains([]string{"bfloat16", "float16", "float32"}, d) {
			return d
		}
	}
	return "bfloat16"
}

// value is what a field holds, 0 where the file leaves it out.
func value[T int | float64](p *T) T {
	if p == nil {
		return 0
	}
	return *p
}

// fill sets *p to v where the file leaves it out.
func fill[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}
