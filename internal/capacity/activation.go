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
// once as max_num_batched_tokens holds, at least one, each with patches × 2 B × (5.8 H + 2 I / TP).
// The 5.8 (residual, norms, queries, keys, values, pixels) is from a start-up of Qwen3.8-27B that
// prints the peak; four more of its family and one of Gemma 3 4B agree within 0.3 GiB. V0 profiled
// otherwise, which its factor of 1.3 stands for.
func encoderBytes(m catalog.Model, e Engine) float64 {
	x := m.Vision
	if x == nil || e.V0 || e.NoImages {
		return 0
	}
	images := max(1, e.MaxNumBatchedTokens/x.TokensPerImage)
	width := 5.8*float64(x.HiddenSize) + 2*float64(x.IntermediateSize)/float64(e.TensorParallel)
	return float64(images*x.PatchesPerImage) * float64(dtypeBytes(e.DType)) * width
}
