package catalog

import (
	"fmt"
	"strings"
)

// visionConfig holds the fields of vision_config that its parameter count needs.
type visionConfig struct {
	HiddenSize       int `json:"hidden_size"`
	EmbedDim         int `json:"embed_dim"` // Qwen2-VL's hidden size
	MLPRatio         int `json:"mlp_ratio"` // and its MLP's width, as a multiple
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

	DeepstackIndexes []int `json:"deepstack_visual_indexes"`
}

// defaults fills in what Qwen-VL files name otherwise or leave out.
func (v *visionConfig) defaults(modelType string) {
	if v == nil || !strings.HasPrefix(modelType, "qwen2_") {
		return
	}
	if modelType == "qwen2_vl" && v.EmbedDim <= maxWidth && v.MLPRatio <= 64 {
		v.HiddenSize, v.IntermediateSize = v.EmbedDim, v.EmbedDim*max(v.MLPRatio, 4)
	}
	v.TemporalPatchSize = max(v.TemporalPatchSize, 2)
}

// vision is the encoder at its largest image; nil where no file of the checkpoint's kind says how
// large that is.
func (v *visionConfig) vision(modelType string) *Vision {
	if v == nil {
		return nil
	}
	out := &Vision{HiddenSize: v.HiddenSize, MLPWidth: 2 * v.IntermediateSize, PatchInputs: 3 * max(v.TemporalPatchSize, 1) * v.PatchSize * v.PatchSize}
	if modelType == "qwen2_5_vl" || modelType == "mistral3" {
		out.MLPWidth = 3 * v.IntermediateSize
	}
	side := v.ImageSize / v.PatchSize
	switch modelType {
	case "gemma3": // one size of image, pooled to 16 × 16 tokens
		out.PatchesPerImage, out.TokensPerImage = side*side, 256
	case "qwen2_vl", "qwen2_5_vl": // the processor scales larger images down to 16,384 tokens
		out.TokensPerImage = 16384
		out.PatchesPerImage = out.TokensPerImage * max(v.SpatialMergeSize, 2) * max(v.SpatialMergeSize, 2)
	case "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe": // and here to 2^24 pixels
		out.PatchesPerImage = 1 << 24 / (v.PatchSize * v.PatchSize)
		out.TokensPerImage = out.PatchesPerImage / (max(v.SpatialMergeSize, 2) * max(v.SpatialMergeSize, 2))
	case "mistral3": // and one break for each row
		rows := side / max(v.SpatialMergeSize, 2)
		out.PatchesPerImage, out.TokensPerImage = side*side, rows*(rows+1)
	case "llama4": // 16 tiles and the whole image, four patches to a token
		out.PatchesPerImage, out.TokensPerImage = 17*(side*side+1), 17*side*side/4
	default:
		return nil
	}
	if out.PatchesPerImage < 1 || out.TokensPerImage < 1 {
		return nil
	}
	return out
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
		{"deepstack_visual_indexes", len(v.DeepstackIndexes), 0, layers},
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
	case "qwen2_vl":
		return patch*int64(v.TemporalPatchSize)*h + int64(layers)*biased + 2*h + merged*merged + merged + merged*text + text, nil
	case "qwen2_5_vl":
		block := attention + 4*h + 3*h*ff + 2*ff + h + 2*h // two norms without, a gated MLP with biases
		return patch*int64(v.TemporalPatchSize)*h + int64(layers)*block + h + merged*merged + merged + merged*text + text, nil
	case "qwen3_vl", "qwen3_vl_moe":
		merger := merged*merged + merged + merged*text + text
		return patch*int64(max(v.TemporalPatchSize, 1))*h + h + int64(v.NumPositionEmbeddings)*h + int64(layers)*biased +
			2*h + merger + int64(len(v.DeepstackIndexes))*(2*merged+merger), nil
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
	return 0, fmt.Errorf("the vision tower of model_type %q is not known; remove vision_config to size the text model alone, or give the checkpoint's folder", modelType)
}
