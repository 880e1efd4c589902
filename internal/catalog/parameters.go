package catalog

// countParameters counts what the fields imply, matrix by matrix, without vision tower and MTP
// block. For the catalogue's models the sum equals the published totals (FP8 scales apart), which
// a test holds.
func (c *config) countParameters(fam *family, m Model) Parameters {
	hidden := int64(m.HiddenSize)
	norm := hidden
	if fam.layerNormed {
		norm *= 2 // with a bias
	}
	p := Parameters{
		Embedding: int64(m.Vocab) * hidden,
		Layers:    int64(m.NumLayers())*int64(fam.layerNorms)*norm + norm, // and the final norm
	}
	if !m.TiedEmbeddings {
		p.Head = p.Embedding
	}
	if fam.headBias {
		p.Head += int64(m.Vocab)
	}
	if fam.positions > 0 {
		p.Layers += int64(*c.MaxPositionEmbeddings+fam.positions) * hidden
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
	n := 3 * hidden * width
	if fam.plainMLP {
		n = 2 * hidden * width
	}
	if fam.layerNormed {
		n += width + hidden
	}
	return n
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
