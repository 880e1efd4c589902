// Package catalog owns what is known beforehand: models (config.json with the library's defaults
// applied), GPUs and prices, as data embedded in the program. It never computes memory or speed,
// reads no network and no file it was not handed.
package catalog

// LayerKind says what a layer remembers of a request.
type LayerKind string

// The kinds of layers.
const (
	FullAttention    LayerKind = "full_attention"    // keys and values of the whole context
	SlidingAttention LayerKind = "sliding_attention" // those of the last Window tokens
	ChunkedAttention LayerKind = "chunked_attention" // those inside a chunk of Window tokens (Llama 4)
	LinearAttention  LayerKind = "linear_attention"  // one state of fixed size (gated delta net, Mamba)
	NoAttention      LayerKind = "none"              // nothing: a layer that is only an MLP or experts
)

// Layers is a number of layers of one kind.
type Layers struct {
	Kind    LayerKind
	Count   int
	KVHeads int // attention kinds without MLA
	HeadDim int // attention kinds without MLA
	Window  int // tokens; sliding and chunked attention
}

// MoE describes routed experts.
type MoE struct {
	Experts            int // routed experts of one layer
	PerToken           int // of which a token uses this many
	IntermediateSize   int // width of one routed expert
	SharedIntermediate int // width of what every token passes beside them; 0 = none
	Layers             int // layers with experts
}

// MLA describes multi-head latent attention: one latent vector per token and layer instead of
// key and value heads.
type MLA struct {
	KVLoRARank    int // width of the latent
	QLoRARank     int // width of the queries' latent; 0 = they have none
	RopeHeadDim   int // rotary part stored beside it
	NopeHeadDim   int // non-rotary part of a query head
	ValueHeadDim  int
	IndexHeadDim  int // key width of the sparse-attention indexer; 0 = no indexer
	IndexTopK     int // tokens a query attends to after the indexer
	IndexerLayers int // layers that hold indexer keys
}

// Linear describes the fixed state of a linear-attention layer.
type Linear struct {
	KeyHeads      int
	ValueHeads    int
	StateElements int // recurrent state of one layer and request
	StateBytes    int // bytes of one state element (4: float32)
	ConvElements  int // convolution window of one layer and request, in the model's dtype
}

// Vision describes the image encoder at the largest image it takes, which is what vLLM profiles.
type Vision struct {
	HiddenSize      int
	MLPWidth        int // numbers a position's MLP holds at once: two, or gated three, times its width
	PatchInputs     int // numbers of one patch of pixels
	PatchesPerImage int // positions of the encoder
	TokensPerImage  int // of the language model
}

// Quantization is what a checkpoint's quantization_config says.
type Quantization struct {
	Method    string // quant_method: awq, gptq, fp8, compressed-tensors, mxfp4, …
	Bits      int    // bits of a quantised weight
	GroupSize int    // weights that share a scale; 0 = not grouped or not stated
}

// Parameters splits a model's parameter count by what becomes of each part in memory.
type Parameters struct {
	Embedding     int64 // input embedding; also the head where the two are tied
	Head          int64 // output head; 0 where tied
	Layers        int64 // attention, MLPs, shared experts, routers, norms
	RoutedExperts int64
	Vision        int64 // vision tower and its projector
}

// Total is the sum of the parts.
func (p Parameters) Total() int64 {
	return p.Embedding + p.Head + p.Layers + p.RoutedExperts + p.Vision
}

// Model is what decides a model's memory and speed.
type Model struct {
	ID            string
	ModelType     string // of the whole model, as transformers names it: gemma3, qwen2, …
	TextModelType string // of its language model: gemma3_text, …; equal to ModelType where there is no other tower
	Architectures []string
	DType         string // bfloat16, float16 or float32: what "auto" means for this checkpoint

	Layers                []Layers // by kind, at most one entry a kind
	HiddenSize            int
	IntermediateSize      int // width of a dense MLP; 0 where every layer has experts only
	GatedMLP              bool
	Heads                 int // query heads
	Vocab                 int
	TiedEmbeddings        bool
	MaxPositionEmbeddings int // longest context, tokens
	RopeElements          int // numbers in the tables of rotary positions, which vLLM loads beside the weights

	MoE          *MoE
	MLA          *MLA
	Linear       *Linear
	Vision       *Vision       // nil: no image encoder, or one whose largest image is not known
	Quantization *Quantization // nil: not quantised
	KVCacheDType string        // what "auto" means for the KV cache where the checkpoint has scales for it; "" = DType

	// ParameterCount is that of the whole checkpoint: the published total where one is known, the
	// computed one otherwise.
	ParameterCount    int64
	ParameterSource   string
	Parameters        Parameters // computed from the fields, without the MTP block
	MTPParameterCount int64      // part of the checkpoint that vLLM loads only for speculative decoding
	Stored            *Stored    // what the checkpoint's files hold; nil where only its config was read

	Note string
}

// NumLayers is the number of layers of all kinds.
func (m Model) NumLayers() int {
	n := 0
	for _, l := range m.Layers {
		n += l.Count
	}
	return n
}

// LayersOf is the entry of that kind; its Count is 0 where the model has none.
func (m Model) LayersOf(kind LayerKind) Layers {
	for _, l := range m.Layers {
		if l.Kind == kind {
			return l
		}
	}
	return Layers{Kind: kind}
}

// attends says whether any layer keeps keys and values.
func (m Model) attends() bool {
	for _, l := range m.Layers {
		if l.Kind != LinearAttention && l.Kind != NoAttention {
			return true
		}
	}
	return false
}

// LoadedParameters is the number of parameters vLLM loads: the checkpoint without its MTP block.
func (m Model) LoadedParameters() int64 { return m.ParameterCount - m.MTPParameterCount }

// ActiveParameters is the number of parameters one token is multiplied with in the layers and
// experts: no embedding, no head, no vision tower, and of the experts only those it is routed to.
func (m Model) ActiveParameters() int64 {
	n := m.Parameters.Layers
	if m.MoE != nil {
		n += m.Parameters.RoutedExperts * int64(m.MoE.PerToken) / int64(m.MoE.Experts)
	}
	return n
}
