package catalog

import (
	"bytes"
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
// files leave out what equals a default. name is used in errors and as the model's id. The
// parameter count is the one the file states (parameter_count, not a transformers field) or the
// one computed from the other fields. The error is one line and names what is missing.
func ParseConfig(name string, r io.Reader) (Model, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxConfigBytes+1))
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
	if len(data) > maxConfigBytes {
		return Model{}, fmt.Errorf("larger than %d MiB; this is not a config.json", maxConfigBytes>>20)
	}
	if err := looksLikeJSON(data); err != nil {
		return Model{}, err
	}
	var top config
	if err := json.Unmarshal(data, &top); err != nil {
		return Model{}, describeJSONError(data, err)
	}
	return top.model()
}

// looksLikeJSON names the common things that are saved as config.json and are none.
func looksLikeJSON(data []byte) error {
	start := bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	switch {
	case len(start) == 0:
		return errors.New("the file is empty")
	case start[0] == '<':
		return errors.New("this is an HTML page, not JSON; download the raw file")
	case bytes.HasPrefix(start, []byte("version https://git-lfs")):
		return errors.New("this is a Git LFS pointer, not the file itself; fetch it with git lfs pull")
	case bytes.HasPrefix(start, []byte("GGUF")):
		return errors.New("this is a GGUF file; the config.json of the model it was made from is needed")
	case bytes.HasPrefix(start, []byte("//")) || bytes.HasPrefix(start, []byte("/*")) || start[0] == '#':
		return errors.New("the file has comments, JSON has none; remove them")
	case start[0] != '{':
		return errors.New("this is not a JSON object")
	}
	return nil
}

// describeJSONError says where the JSON is broken, in one line.
func describeJSONError(data []byte, err error) error {
	if typ, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && typ.Field != "" {
		return fmt.Errorf("field %s holds a %s where a whole number, text or list of the usual kind is needed", typ.Field, typ.Value)
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		at := min(int(syntax.Offset), len(data))
		line := 1 + bytes.Count(data[:at], []byte("\n"))
		if at > 0 && (data[at-1] == '/' || data[at-1] == '#') {
			return fmt.Errorf("line %d has a comment, JSON has none; remove it", line)
		}
		return fmt.Errorf("line %d is not JSON: %w", line, err)
	}
	return fmt.Errorf("not readable as JSON: %w", err)
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

type quantizationConfig struct {
	Method       string `json:"quant_method"`
	QuantAlgo    string `json:"quant_algo"` // modelopt: FP8, NVFP4
	Bits         int    `json:"bits"`
	LoadIn4Bit   bool   `json:"load_in_4bit"`
	LoadIn8Bit   bool   `json:"load_in_8bit"`
	GroupSize    int    `json:"group_size"`
	ConfigGroups map[string]struct {
		Weights struct {
			NumBits   int    `json:"num_bits"`
			Type      string `json:"type"`
			GroupSize *int   `json:"group_size"`
		} `json:"weights"`
	} `json:"config_groups"` // compressed-tensors
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
		MaxPositionEmbeddings: *text.MaxPositionEmbeddings,
		Quantization:          c.Quantization.quantization(),
		MTPParameterCount:     c.MTPParameterCount,
		Note:                  c.Note,
	}
	if m.Quantization == nil {
		m.Quantization = text.Quantization.quantization()
	}
	m.Layers = text.layers(fam)
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

func value(p *int) int {
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
