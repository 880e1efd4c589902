package capacity

import (
	"math"

	"bench/internal/catalog"
	"bench/internal/unit"
)

// activation is the peak of the profiling run: the largest of one forward pass over
// max_num_batched_tokens, one of the image encoder, and sampling max_num_seqs rows of logits, fitted
// to start-up logs.
func activation(m catalog.Model, e Engine, v version) (point, low, high unit.Bytes) {
	forward := forwardBytes(m, e)
	peak := func(copies float64) unit.Bytes {
		return unit.Bytes(math.Round(max(forward, copies*logitsBytes(m, e))))
	}
	point = peak(samplerCopies(e, v))
	switch {
	case e.FlashInferSampler:
		return point, point, point + unit.FromGiB(0.3)
	case e.V0 || v.before(0, 16):
		low = peak(flashInferSampler)
		if e.V0 {
			low = peak(pytorchSampler * 0.9)
		}
		return point, low, peak(10.3)
	}
	if !e.EnforceEager {
		point += unit.FromGiB(0.25)
	}
	const spread = 0.4 // GiB either way in logs of newer builds
	return point, max(point-unit.FromGiB(spread), 0), point + unit.FromGiB(spread)
}

// Copies of the logits that sampling takes.
const (
	pytorchSampler    = 9.8 // while sorting
	flashInferSampler = 3.0
	laterSampler      = 3.5 // from 0.16, whichever sampler it is
)

func samplerCopies(e Engine, v version) float64 {
	switch {
	case e.FlashInferSampler:
		return flashInferSampler
	case e.V0 || v.before(0, 16):
		return pytorchSampler
	}
	return laterSampler
}

// logitsBytes is one copy of the logits that the profiling step samples from.
func logitsBytes(m catalog.Model, e Engine) float64 {
	return float64(e.MaxNumSeqs) * float64(m.Vocab) * 4
}

// forwardBytes is the peak of one forward pass: of the language model over T tokens or of the image
// encoder, whichever is larger.
func forwardBytes(m catalog.Model, e Engine) float64 {
	return max(textForwardBytes(m, e), encoderBytes(m, e))
}

// textForwardBytes is T × 2 B × (3 H + the widest MLP), under V0 with an image encoder and long steps
// 1.3 times that.
func textForwardBytes(m catalog.Model, e Engine) float64 {
	hidden, tp := float64(m.HiddenSize), float64(e.TensorParallel)
	matrices := 3.0
	if !m.GatedMLP {
		matrices = 2
	}
	width := 3*hidden + matrices*float64(m.IntermediateSize)/tp
	if x := m.MoE; x != nil {
		width = 3*hidden + matrices*float64(x.PerToken*x.IntermediateSize+x.SharedIntermediate)/tp + 2*hidden
	}
	if e.V0 && m.Parameters.Vision > 0 && e.MaxNumBatchedTokens >= 4096 {
		width *= 1.3
	}
	return float64(e.MaxNumBatchedTokens) * float64(dtypeBytes(e.DType)) * width
}

// encoderBytes is the peak of the image encoder as V1 profiles it: as many of the largest images at
// once as max_num_batched_tokens holds, at least one. Alive are the pixels, of each position the
// residual, its norm and the MLP, and the output twice, once in the encoder cache. A start-up of
// Qwen3.8-27B prints 1.59 GiB where this makes 1.56 of it; those of its family that print the pool
// alone agree within 0.3 GiB. V0 profiled otherwise, which its factor of 1.3 stands for.
func encoderBytes(m catalog.Model, e Engine) float64 {
	x := m.Vision
	if x == nil || e.V0 || e.NoImages {
		return 0
	}
	images := max(1, e.MaxNumBatchedTokens/x.TokensPerImage)
	position := float64(x.PatchInputs+2*x.HiddenSize) + float64(x.MLPWidth)/float64(e.TensorParallel)
	output := 2 * float64(x.TokensPerImage) * float64(m.HiddenSize)
	return float64(images) * float64(dtypeBytes(e.DType)) * (float64(x.PatchesPerImage)*position + output)
}
