package capacity

import (
	"strings"

	"bench/internal/catalog"
)

// scheme is how weights are stored and multiplied.
type scheme struct {
	method string
	bits   float64 // of a quantised weight, its scales included
	// computeBits is what the tensor cores multiply in: 16 where weights are expanded first.
	computeBits int
	minCC       float64 // smallest compute capability with a kernel in vLLM
}

// resolveQuantization turns the many spellings (awq_marlin, compressed-tensors, bnb, …) into one
// name a method; none and "" mean what the checkpoint says.
func resolveQuantization(q string, m catalog.Model) string {
	q = strings.ToLower(strings.TrimSpace(q))
	if (q == "" || q == "none" || q == "auto") && m.Quantization != nil {
		q = m.Quantization.Method
	}
	q = strings.NewReplacer("_marlin", "", "-marlin", "", "_triton", "").Replace(q)
	switch q {
	case "", "none", "auto":
		return ""
	case "bnb":
		return "bitsandbytes"
	case "w4a16", "int4", "autoround", "auto-round", "inc", "autoround int4", "compressed-tensors w4a16":
		return "w4a16"
	case "compressed-tensors":
		if m.Quantization != nil && m.Quantization.Bits == 8 {
			return "int8"
		}
		return "w4a16"
	case "modelopt", "fbgemm_fp8", "fp8_per_tensor", "fp8_per_block", "w8a8-fp8":
		return "fp8"
	case "modelopt_fp4":
		return "nvfp4"
	case "w8a8", "w8a16", "experts_int8":
		return "int8"
	}
	return q
}

// schemeOf describes the resolved method; ok is false for one that is not known.
func schemeOf(method string, m catalog.Model) (s scheme, ok bool) {
	// Scales and zero points add 20 bits a group of weights: 4.16 bits at a group size of 128. A
	// checkpoint may have other widths (AutoRound 2 to 8, GPTQ 3 and 8).
	group, bits := 128, 4
	if q := m.Quantization; q != nil {
		if q.GroupSize > 0 {
			group = q.GroupSize
		}
		if q.Bits >= 2 && q.Bits <= 8 {
			bits = q.Bits
		}
	}
	grouped := float64(bits) + 20/float64(group)
	switch method {
	case "":
		return scheme{"", 16, 16, 0}, true
	case "awq":
		return scheme{method, grouped, 16, 7.5}, true
	case "gptq":
		return scheme{method, grouped, 16, 7.0}, true
	case "w4a16":
		return scheme{method, grouped, 16, 8.0}, true
	case "bitsandbytes":
		return scheme{method, float64(bits) + 0.13, 16, 7.0}, true
	case "gguf":
		return scheme{method, 4.85, 16, 7.0}, true // Q4_K_M, the usual one
	case "fp8":
		return scheme{method, 8, 8, 7.5}, true
	case "int8":
		return scheme{method, 8, 16, 7.5}, true
	case "nvfp4":
		return scheme{method, 4.5, 4, 8.0}, true
	case "mxfp4":
		return scheme{method, 4.25, 16, 8.0}, true
	}
	return scheme{}, false
}

// QuantizationBits is the average number of bits of a quantised weight under that method, scales
// included, 16 for none; ok is false for a method that is not known.
func QuantizationBits(method string, m catalog.Model) (bits float64, ok bool) {
	s, ok := schemeOf(resolveQuantization(method, m), m)
	return s.bits, ok
}

// peakTFLOPS is the dense rate the matrix products run at. FP8 counts only where the card has FP8
// units and NVFP4 where it has FP4 units; elsewhere such weights are expanded to 16 bits first.
// float32 runs outside the 16-bit tensor cores, at an eighth of their rate on the cards that fall
// back to it.
func peakTFLOPS(e Engine, s scheme, g catalog.GPU) float64 {
	switch {
	case s.computeBits == 4 && g.FP4TFLOPS > 0:
		return g.FP4TFLOPS
	case s.computeBits == 8 && g.FP8TFLOPS > 0:
		return g.FP8TFLOPS
	case e.DType == "float32":
		return g.FP16TFLOPS / 8
	}
	return max(g.FP16TFLOPS, g.BF16TFLOPS)
}
