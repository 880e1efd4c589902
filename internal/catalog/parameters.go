package catalog

import "fmt"

// countParameters counts what the fields imply, matrix by matrix, without vision tower and MTP
// block. For the catalogue's models the sum equals the published totals (FP8 scales apart), which
// a test holds.
func (c *config) countParameters(fam *family, m Model) Parameters {
	hidden := int64(m.HiddenSize)
	p := Parameters{
		Embedding: int64(m.Vocab) * hidden,
		Layers:    int64(m.NumLayers())*int64(fam.layerNorms)*hidden + hidden, // and the final norm
	}
	if !m.TiedEmbeddings {
		p.Head = p.Embedding
	}
	for _, l := range m.Layers {
		p.Layers += int64(l.Count) * c.mixer(fam, m, l)
	}
	if m.MLA != nil {
		p.Layers += int64(m.MLA.IndexerLayers) * c.indexer(hidden)
	}
	dense, experts := m.NumLayers(), 0
	if m.MoE != nil {
		experts = m.MoE.Layers
		dense -= experts
		routed, others := c.expertLayer(fam, m)
		p.RoutedExperts = int64(experts) * routed
		p.Layers += int64(experts) * others
	}
	if fam.needsMLP {
		p.Layers += int64(dense) * mlp(fam, hidden, int64(m.IntermediateSize))
	}
	return p
}

// mixer counts what one layer of that kind mixes tokens with.
func (c *config) mixer(fam *family, m Model, l Layers) int64 {
	hidden := int64(m.HiddenSize)
	switch {
	case l.Kind == NoAttention:
		return 0
	case l.Kind == LinearAttention && fam.mamba:
		inner := int64(*c.MambaHeads) * int64(*c.MambaHeadDim)
		channels, heads := int64(c.mambaChannels()), int64(*c.MambaHeads)
		return hidden*(inner+channels+heads) + // gate, convolved inputs, time steps
			channels*int64(*c.ConvKernel) + channels + // convolution and its bias
			3*heads + inner + // decay, skip, time-step bias; norm
			inner*hidden
	case l.Kind == LinearAttention:
		values := int64(*c.LinearValueHeads) * int64(*c.LinearValueDim)
		channels, heads := int64(c.deltaNetChannels()), int64(*c.LinearValueHeads)
		return hidden*(channels+values+2*heads) + // q, k, v, gate; beta and decay
			channels*int64(*c.LinearConv) +
			2*heads + int64(*c.LinearValueDim) + // decay, time-step bias; norm
			values*hidden
	case fam.mla:
		return c.latentAttention(hidden)
	}
	heads, dim := int64(m.Heads), int64(l.HeadDim)
	query, kv := heads*dim, int64(l.KVHeads)*dim
	n := hidden*query + 2*hidden*kv + query*hidden
	if fam.gatedQuery {
		n += hidden * query
	}
	if l.Kind == FullAttention && c.AttentionKEqV != nil && *c.AttentionKEqV {
		n -= hidden * kv // keys and values from one projection
	}
	if fam.qkvBias && (c.AttentionBias == nil || *c.AttentionBias) || c.AttentionBias != nil && *c.AttentionBias {
		n += query + 2*kv
	}
	if fam.outputBias {
		n += hidden
	}
	switch {
	case fam.qkNorm == perHeadNorm:
		n += 2 * dim
	case fam.qkNorm == fullQKNorm || c.UseQKNorm != nil && *c.UseQKNorm && m.TextModelType == "glm4_moe":
		n += query + kv
	}
	if fam.sinks {
		n += heads
	}
	return n
}

// latentAttention counts one layer of multi-head latent attention.
func (c *config) latentAttention(hidden int64) int64 {
	heads := int64(*c.NumAttentionHeads)
	latent, rope := int64(*c.KVLoRARank), int64(*c.QKRopeHeadDim)
	nope, val := int64(*c.QKNopeHeadDim), int64(*c.VHeadDim)
	n := hidden * heads * (nope + rope) // queries in one step
	if q := int64(value(c.QLoRARank)); q > 0 {
		n = hidden*q + q + q*heads*(nope+rope) // queries through a latent, with its norm
	}
	return n +
		hidden*(latent+rope) + latent + // down to the latent, with its norm
		latent*heads*(nope+val) + // up to keys and values
		heads*val*hidden
}

// indexer counts one sparse-attention indexer: queries from the query latent, keys with a norm
// that has a bias, and head weights.
func (c *config) indexer(hidden int64) int64 {
	dim, heads := int64(value(c.IndexHeadDim)), int64(value(c.IndexNHeads))
	return int64(value(c.QLoRARank))*heads*dim + hidden*dim + 2*dim + hidden*heads
}

// mlp counts a dense MLP.
func mlp(fam *family, hidden, width int64) int64 {
	if fam.plainMLP {
		return 2 * hidden * width
	}
	return 3 * hidden * width
}

// expertLayer counts the routed experts of one layer, and what stands beside them.
func (c *config) expertLayer(fam *family, m Model) (routed, others int64) {
	hidden, experts := int64(m.HiddenSize), int64(m.MoE.Experts)
	width := int64(m.MoE.IntermediateSize)
	one := mlp(fam, hidden, width)
	if fam.expertBias {
		one += 2*width + hidden
	}
	others = hidden*experts + mlp(fam, hidden, int64(m.MoE.SharedIntermediate))
	if fam.routerBias {
		others += experts
	}
	if fam.sharedGate {
		others += hidden
	}
	others += int64(fam.expertNorms) * hidden
	if fam.routerScales {
		others += hidden + experts
	}
	return experts * one, others
}

// visionConfig holds the fields of vision_config that its parameter count needs.
type visionConfig struct {
	HiddenSize       int `json:"hidden_size"`
	IntermediateSize int `json:"intermediate_size"`
	NumHiddenLayers  int `json:"num_hidden_layers"`
	Depth            int `json:"depth"`
	ImageSize        int `json:"image_size"`
	PatchSize        int `json:"patch_size"`
	HeadDim          int `json:"head_dim"`

	SpatialMergeSize      int `json:"spatial_merge_size"`
	TemporalPatchSize     int `json:"temporal_patch_size"`
	NumPositionEmbeddings int `json:"num_position_embeddings"`
	PositionEmbeddingSize int `json:"position_embedding_size"`
	ProjectorInputDim     int `json:"projector_input_dim"`
	ProjectorOutputDim    int `json:"projector_output_dim"`
	VisionOutputDim       int `json:"vision_output_dim"`
}

// countParameters counts a vision tower and its projector onto textHidden, by the model_type of
// the whole model; 0 where there is none.
func (v *visionConfig) countParameters(modelType string, textHidden int) (int64, error) {
	if v == nil {
		return 0, nil
	}
	layers := max(v.NumHiddenLayers, v.Depth)
	for _, f := range []struct {
		name        string
		value       int
		least, most int
	}{
		{"hidden_size", v.HiddenSize, 1, maxWidth},
		{"intermediate_size", v.IntermediateSize, 1, maxWidth},
		{"num_hidden_layers", layers, 1, maxLayers},
		{"patch_size", v.PatchSize, 1, 1 << 10},
		{"image_size", v.ImageSize, 0, 1 << 14},
		{"head_dim", v.HeadDim, 0, maxHeadDim},
		{"spatial_merge_size", v.SpatialMergeSize, 0, 16},
		{"temporal_patch_size", v.TemporalPatchSize, 0, 64},
		{"num_position_embeddings", v.NumPositionEmbeddings, 0, maxVocab},
		{"position_embedding_size", v.PositionEmbeddingSize, 0, maxVocab},
		{"projector_input_dim", v.ProjectorInputDim, 0, maxWidth},
		{"projector_output_dim", v.ProjectorOutputDim, 0, maxWidth},
		{"vision_output_dim", v.VisionOutputDim, 0, maxWidth},
	} {
		if f.value < f.least || f.value > f.most {
			return 0, fmt.Errorf("vision_config.%s is missing or impossible; remove vision_config to size the text model alone", f.name)
		}
	}
	h, ff, text := int64(v.HiddenSize), int64(v.IntermediateSize), int64(textHidden)
	patch := 3 * int64(v.PatchSize) * int64(v.PatchSize)
	attention := 4 * h * h
	biased := attention + 4*h + 2*h*ff + ff + h + 4*h // with biases everywhere and two layer norms
	merge := int64(max(v.SpatialMergeSize, 2))
	merged := h * merge * merge
	switch modelType {
	case "gemma3": // SigLIP
		grid := int64(v.ImageSize / v.PatchSize)
		return patch*h + h + grid*grid*h + int64(layers)*biased + 2*h + h*text + h, nil
	case "qwen3_5", "qwen3_5_moe":
		return patch*int64(max(v.TemporalPatchSize, 1))*h + h + int64(v.NumPositionEmbeddings)*h + int64(layers)*biased +
			2*h + merged*merged + merged + merged*text + text, nil
	case "mistral3": // Pixtral
		return patch*h + h + int64(layers)*(attention+3*h*ff+2*h) + h + merged*h + h*text + text*text, nil
	case "llama4":
		grid := int64(v.ImageSize / v.PatchSize)
		in, out := int64(v.ProjectorInputDim), int64(v.ProjectorOutputDim)
		return patch*h + h + (grid*grid+1)*h + int64(layers)*biased + 4*h + ff*in + in*out + int64(v.VisionOutputDim)*text, nil
	case "gemma4":
		return patch*h + 2*int64(v.PositionEmbeddingSize)*h + int64(layers)*(attention+3*h*ff+4*h+2*int64(v.HeadDim)) + h*text, nil
	}
	return 0, fmt.Errorf("the vision tower of model_type %q is not known; remove vision_config to size the text model alone", modelType)
}
