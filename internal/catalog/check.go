package catalog

import (
	"fmt"
	"strings"
)

// Bounds of the fields: well above any published model, and low enough that no product of them
// overflows.
const (
	maxLayers  = 1 << 10
	maxWidth   = 1 << 17
	maxHeads   = 1 << 12
	maxHeadDim = 1 << 13
	maxExperts = 1 << 14
	maxVocab   = 1 << 24
	maxContext = 1 << 30
)

// configField is a field to check: a required one may not be left out.
type configField struct {
	name     string
	value    *int
	most     int
	required bool
	zero     bool // 0 is a sensible value
}

// check names the fields that are missing, or the first that is impossible.
func (c *config) check(fam *family) error {
	var missing []string
	for _, f := range c.fields(fam) {
		switch {
		case f.value == nil && f.required:
			missing = append(missing, f.name)
		case f.value == nil, *f.value == 0 && f.zero:
		case *f.value < 1 || *f.value > f.most:
			return fmt.Errorf("%s is %d, which no model has", f.name, *f.value)
		}
	}
	switch {
	case len(missing) == 1:
		return fmt.Errorf("%s is missing, and %s models have no default for it", missing[0], c.ModelType)
	case len(missing) > 1:
		return fmt.Errorf("%s are missing, and %s models have no defaults for them", strings.Join(missing, ", "), c.ModelType)
	case fam.moe && *c.NumExpertsPerTok > *c.experts():
		return fmt.Errorf("num_experts_per_tok is %d, more than the %d experts there are", *c.NumExpertsPerTok, *c.experts())
	case value(c.FirstKDenseReplace) > *c.NumHiddenLayers:
		return fmt.Errorf("first_k_dense_replace is %d, more than the %d layers", *c.FirstKDenseReplace, *c.NumHiddenLayers)
	case len(c.LayerTypes) > 0 && len(c.LayerTypes) != *c.NumHiddenLayers:
		return fmt.Errorf("layer_types has %d entries for %d layers", len(c.LayerTypes), *c.NumHiddenLayers)
	case fam.mamba && len(c.HybridPattern) != *c.NumHiddenLayers:
		return fmt.Errorf("hybrid_override_pattern has %d entries for %d layers", len(c.HybridPattern), *c.NumHiddenLayers)
	}
	return c.checkLayerTypes(fam)
}

// fields lists what this family reads.
func (c *config) fields(fam *family) []configField {
	return []configField{
		{"num_hidden_layers", c.NumHiddenLayers, maxLayers, true, false},
		{"hidden_size", c.HiddenSize, maxWidth, true, false},
		{"num_attention_heads", c.NumAttentionHeads, maxHeads, true, false},
		{"vocab_size", c.VocabSize, maxVocab, true, false},
		{"max_position_embeddings", c.MaxPositionEmbeddings, maxContext, true, false},
		{"original_max_position_embeddings", c.rope().Original, maxContext, false, false},
		{"intermediate_size", c.IntermediateSize, maxWidth, fam.needsMLP, false},

		{"num_key_value_heads", c.NumKeyValueHeads, maxHeads, !fam.mla, false},
		{"head_dim", c.HeadDim, maxHeadDim, !fam.mla, false},
		{"num_global_key_value_heads", c.NumGlobalKeyValueHeads, maxHeads, false, false},
		{"global_head_dim", c.GlobalHeadDim, maxHeadDim, false, false},
		{"sliding_window", c.SlidingWindow, maxContext, false, true},
		{"sliding_window_pattern", c.SlidingWindowPattern, maxLayers, false, false},
		{"attention_chunk_size", c.AttentionChunkSize, maxContext, false, false},
		{"no_rope_layer_interval", c.NoRopeLayerInterval, maxLayers, false, false},
		{"full_attention_interval", c.FullAttentionInterval, maxLayers, false, false},

		{"kv_lora_rank", c.KVLoRARank, maxWidth, fam.mla, false},
		{"qk_nope_head_dim", c.QKNopeHeadDim, maxHeadDim, fam.mla, false},
		{"qk_rope_head_dim", c.QKRopeHeadDim, maxHeadDim, fam.mla, false},
		{"v_head_dim", c.VHeadDim, maxHeadDim, fam.mla, false},
		{"q_lora_rank", c.QLoRARank, maxWidth, false, true},
		{"index_head_dim", c.IndexHeadDim, maxHeadDim, false, true},
		{"index_n_heads", c.IndexNHeads, maxHeads, false, true},
		{"index_topk", c.IndexTopK, maxContext, false, true},

		{fam.expertsField, c.experts(), maxExperts, fam.moe, false},
		{"num_experts_per_tok", c.NumExpertsPerTok, maxExperts, fam.moe, false},
		{"moe_intermediate_size", c.MoEIntermediateSize, maxWidth, fam.moe, false},
		{"shared_expert_intermediate_size", c.SharedIntermediateSize, maxWidth, false, true},
		{"moe_shared_expert_intermediate_size", c.MoESharedIntermediate, maxWidth, false, true},
		{"n_shared_experts", c.NSharedExperts, maxExperts, false, true},
		{"first_k_dense_replace", c.FirstKDenseReplace, maxLayers, false, true},

		{"linear_num_key_heads", c.LinearKeyHeads, maxHeads, fam.deltaNet, false},
		{"linear_num_value_heads", c.LinearValueHeads, maxHeads, fam.deltaNet, false},
		{"linear_key_head_dim", c.LinearKeyDim, maxHeadDim, fam.deltaNet, false},
		{"linear_value_head_dim", c.LinearValueDim, maxHeadDim, fam.deltaNet, false},
		{"linear_conv_kernel_dim", c.LinearConv, 64, fam.deltaNet, false},
		{"mamba_num_heads", c.MambaHeads, maxHeads, fam.mamba, false},
		{"mamba_head_dim", c.MambaHeadDim, maxHeadDim, fam.mamba, false},
		{"ssm_state_size", c.SSMStateSize, maxHeadDim, fam.mamba, false},
		{"n_groups", c.NGroups, maxHeads, fam.mamba, false},
		{"conv_kernel", c.ConvKernel, 64, fam.mamba, false},
	}
}
