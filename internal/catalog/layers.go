package catalog

import (
	"fmt"
	"strings"
)

// layers counts the layers of each kind, in a fixed order.
func (c *config) layers(fam *family) []Layers {
	counts := c.layerCounts(fam)
	var out []Layers
	for _, kind := range []LayerKind{FullAttention, SlidingAttention, ChunkedAttention, LinearAttention, NoAttention} {
		if counts[kind] == 0 {
			continue
		}
		l := Layers{Kind: kind, Count: counts[kind]}
		if kind != LinearAttention && kind != NoAttention && !fam.mla {
			l.KVHeads, l.HeadDim = *c.NumKeyValueHeads, *c.HeadDim
			if kind == FullAttention && c.GlobalHeadDim != nil {
				l.HeadDim = *c.GlobalHeadDim
				if c.NumGlobalKeyValueHeads != nil {
					l.KVHeads = *c.NumGlobalKeyValueHeads
				}
			}
		}
		switch kind {
		case SlidingAttention:
			l.Window = *c.SlidingWindow
		case ChunkedAttention:
			l.Window = *c.AttentionChunkSize
		}
		out = append(out, l)
	}
	return out
}

// layerCounts applies the explicit list of the file, or else the family's rule.
func (c *config) layerCounts(fam *family) map[LayerKind]int {
	n := *c.NumHiddenLayers
	counts := make(map[LayerKind]int)
	hasWindow := value(c.SlidingWindow) > 0
	switch {
	case len(c.LayerTypes) > 0:
		for _, t := range c.LayerTypes {
			kind := layerTypes[t]
			if kind == SlidingAttention && !hasWindow {
				kind = FullAttention // a window of null or 0 does not end
			}
			counts[kind]++
		}
	case fam.mamba:
		counts[FullAttention] = strings.Count(c.HybridPattern, "*")
		counts[LinearAttention] = strings.Count(c.HybridPattern, "M")
		counts[NoAttention] = n - counts[FullAttention] - counts[LinearAttention]
	case fam.deltaNet:
		counts[FullAttention] = n / max(value(c.FullAttentionInterval), 1)
		counts[LinearAttention] = n - counts[FullAttention]
	case c.AttentionChunkSize != nil:
		counts[FullAttention] = n / max(value(c.NoRopeLayerInterval), 1)
		counts[ChunkedAttention] = n - counts[FullAttention]
	case hasWindow && value(c.SlidingWindowPattern) > 0:
		counts[FullAttention] = n / *c.SlidingWindowPattern
		counts[SlidingAttention] = n - counts[FullAttention]
	case c.windowEverywhere():
		counts[SlidingAttention] = n
	default:
		counts[FullAttention] = n
	}
	return counts
}

// windowEverywhere says whether all layers slide. Mistral 7B v0.1 and Phi-3 mini name a window
// that counts; Qwen2 files name one that use_sliding_window switches off, and some files name one
// no shorter than the context.
func (c *config) windowEverywhere() bool {
	if strings.HasPrefix(c.ModelType, "qwen") && (c.UseSlidingWindow == nil || !*c.UseSlidingWindow) {
		return false
	}
	window := value(c.SlidingWindow)
	return window > 0 && window < *c.MaxPositionEmbeddings
}

// layerTypes are the words of a file's layer_types.
var layerTypes = map[string]LayerKind{
	"full_attention":    FullAttention,
	"attention":         FullAttention,
	"sliding_attention": SlidingAttention,
	"chunked_attention": ChunkedAttention,
	"linear_attention":  LinearAttention,
	"mamba":             LinearAttention,
	"moe":               NoAttention,
	"mlp":               NoAttention,
}

// checkLayerTypes names the first entry of layer_types that the family's other fields do not cover.
func (c *config) checkLayerTypes(fam *family) error {
	for i, t := range c.LayerTypes {
		kind, known := layerTypes[t]
		switch {
		case !known:
			return fmt.Errorf("layer_types[%d] is %q, which is not known", i, t)
		case kind == ChunkedAttention && c.AttentionChunkSize == nil:
			return fmt.Errorf("attention_chunk_size is missing, and layer_types[%d] is %q", i, t)
		case kind == LinearAttention && !fam.deltaNet && !fam.mamba:
			return fmt.Errorf("layer_types[%d] is %q, which %s models do not have", i, t, c.ModelType)
		}
	}
	return nil
}

func (c *config) moe(fam *family) *MoE {
	if !fam.moe {
		return nil
	}
	m := &MoE{
		Experts:          *c.experts(),
		PerToken:         *c.NumExpertsPerTok,
		IntermediateSize: *c.MoEIntermediateSize,
		Layers:           max(*c.NumHiddenLayers-value(c.FirstKDenseReplace), 0),
	}
	if fam.mamba {
		m.Layers = strings.Count(c.HybridPattern, "E")
	}
	switch {
	case c.SharedIntermediateSize != nil:
		m.SharedIntermediate = *c.SharedIntermediateSize
	case c.MoESharedIntermediate != nil:
		m.SharedIntermediate = *c.MoESharedIntermediate
	case fam.routerScales: // Gemma 4 has a dense MLP in every layer, beside the experts
		m.SharedIntermediate = *c.IntermediateSize
	default:
		m.SharedIntermediate = value(c.NSharedExperts) * *c.MoEIntermediateSize
	}
	return m
}

func (c *config) mla(fam *family) *MLA {
	if !fam.mla {
		return nil
	}
	m := &MLA{
		KVLoRARank:   *c.KVLoRARank,
		QLoRARank:    value(c.QLoRARank),
		RopeHeadDim:  *c.QKRopeHeadDim,
		NopeHeadDim:  *c.QKNopeHeadDim,
		ValueHeadDim: *c.VHeadDim,
	}
	if c.IndexHeadDim != nil {
		m.IndexHeadDim, m.IndexTopK, m.IndexerLayers = *c.IndexHeadDim, value(c.IndexTopK), c.indexerLayers()
	}
	return m
}

// indexerLayers is the number of layers with their own indexer; the others share one.
func (c *config) indexerLayers() int {
	if n, ok := c.IndexerSummary["full"]; ok {
		return n
	}
	if len(c.IndexerTypes) == 0 {
		return *c.NumHiddenLayers
	}
	n := 0
	for _, t := range c.IndexerTypes {
		if t == "full" {
			n++
		}
	}
	return n
}

func (c *config) linear(fam *family) *Linear {
	bytes := 4 // float32, what these families' files say where they say anything
	if d := orUnnamed(c.MambaSSMDType, c.MambaSSMCacheDType); d == "bfloat16" || d == "float16" {
		bytes = 2
	}
	switch {
	case fam.deltaNet:
		return &Linear{
			KeyHeads:      *c.LinearKeyHeads,
			ValueHeads:    *c.LinearValueHeads,
			StateElements: *c.LinearValueHeads * *c.LinearKeyDim * *c.LinearValueDim,
			StateBytes:    bytes,
			ConvElements:  c.deltaNetChannels() * (*c.LinearConv - 1),
		}
	case fam.mamba:
		return &Linear{
			KeyHeads:      *c.NGroups,
			ValueHeads:    *c.MambaHeads,
			StateElements: *c.MambaHeads * *c.MambaHeadDim * *c.SSMStateSize,
			StateBytes:    bytes,
			ConvElements:  c.mambaChannels() * (*c.ConvKernel - 1),
		}
	}
	return nil
}

// deltaNetChannels is the width of a gated delta net's convolution: queries, keys and values.
func (c *config) deltaNetChannels() int {
	return 2**c.LinearKeyHeads**c.LinearKeyDim + *c.LinearValueHeads**c.LinearValueDim
}

// mambaChannels is the width of a Mamba-2 mixer's convolution: inputs and both state projections.
func (c *config) mambaChannels() int {
	return *c.MambaHeads**c.MambaHeadDim + 2**c.NGroups**c.SSMStateSize
}
