package capacity

import (
	"math"
	"strings"

	"bench/internal/catalog"
)

// Constants of the step model, fitted on published serving measurements of vLLM 0.4 to 0.26
// (median error of TPOT below 80 % load: 9 %).
const (
	bandwidthShare   = 0.80 // of the memory's peak, reading weights or KV
	decodeShare      = 0.48 // of the dense peak, decoding
	prefillShare     = 0.60 // of the dense peak, prefilling on Hopper and later; H100 0.58, H200 0.53
	v1LayerSeconds   = 40e-6
	v0LayerSeconds   = 75e-6
	v0StepSeconds    = 1.4e-3
	v0RequestSeconds = 75e-6
	v1RequestSeconds = 25e-6 // batches of 100 to 200 of small models step in 8 to 13 ms
	v1MinStepSeconds = 2e-3  // no server was seen to step faster

	// v0TokenSeconds is what V0's one API process takes to send a token: eleven hosts with 32 streams of
	// a 0.5B model stopped at 1,400 to 6,100 tokens/s, half of them below 2,750, where the same engines
	// without HTTP made 9,000 to 13,000.
	v0TokenSeconds = 1 / 2750.0

	// preAmpereKVShare and preAmperePrefillShare are what Volta and Turing reach, which have no
	// FlashAttention: fitted on one V100S at 1 to 150 requests, held against a T4.
	preAmpereKVShare      = 0.10
	preAmperePrefillShare = 0.37

	// mxfp4ExpandShare is the share of the usual rate at which MXFP4 experts are read by cards that
	// must expand them.
	mxfp4ExpandShare = 0.75
	v1ReduceFactor   = 1.5 // all-reduce in a decode step against the bare kernel

	// reduceChunk is how many tokens' activations one all-reduce of a prefill moves at most.
	reduceChunk = 8192
)

// NewStepper prepares the step time of that engine. Settings that [Refusals] refuses give times
// that mean nothing.
func NewStepper(m catalog.Model, g catalog.GPU, e Engine) Stepper {
	e = e.WithDefaults(m, g)
	// A method nobody knows is refused elsewhere; its speed is that of 16 bits.
	s, ok := schemeOf(e.Quantization, m)
	if !ok {
		s, _ = schemeOf("", m)
	}
	tp := float64(e.TensorParallel)
	peak := tp * peakTFLOPS(e, s, g) * 1e12
	bandwidth := g.BandwidthGBs * 1e9
	layers, experts, head := readBytes(m, e, s)

	prefill, kvShare := prefillShareOf(g), bandwidthShare
	if g.ComputeCapability < 8 {
		kvShare = preAmpereKVShare
	}
	weightShare := bandwidthShare
	if s.method == "mxfp4" && g.FP4TFLOPS == 0 {
		weightShare *= mxfp4ExpandShare
	}
	st := Stepper{
		v0:           e.V0,
		tokenBytes:   layers + head,
		expertBytes:  experts,
		weightRate:   tp * bandwidth * weightShare,
		kvRate:       bandwidth * kvShare,
		prefillToken: 2 * float64(m.ActiveParameters()) / (peak * prefill),
		layers:       float64(m.NumLayers()),
		hiddenBytes:  float64(m.HiddenSize) * float64(dtypeBytes(e.DType)),
		reduce:       reduceTableFor(g, e.TensorParallel),
		stages:       float64(e.PipelineParallel),
	}
	headParameters := m.Parameters.Head
	if m.TiedEmbeddings {
		headParameters = m.Parameters.Embedding
	}
	st.decodeToken = 2 * float64(m.ActiveParameters()+headParameters) / (peak * decodeShare)
	if m.MoE != nil {
		st.expertsKept = 1 - float64(m.MoE.PerToken)/float64(m.MoE.Experts)
	}
	st.attention(m, e, peak*prefill)

	if e.V0 {
		st.weightRate = tp * bandwidth * v0WeightShare(g, s)
		st.hostSeconds = v0LayerSeconds*st.layers + v0StepSeconds
		st.hostRequest = v0RequestSeconds
		st.sendSeconds = v0TokenSeconds
		st.reduceFactor = 1
		st.firstSeconds = 0.9e-3 * st.layers
	} else {
		st.hostSeconds = v1LayerSeconds * st.layers
		st.hostRequest = v1RequestSeconds
		st.minSeconds = v1MinStepSeconds
		st.reduceFactor = v1ReduceFactor
		st.firstSeconds = 7e-3 + 0.7e-3*st.layers
	}
	return st
}

// prefillShareOf is the share of the dense peak that prompts are computed at: what one long prompt reached
// on each kind of card. Large matrix products alone reach 90 % of the peak on an A100, 85 on Blackwell
// workstation cards, 81 on an H100 and 64 on an L40S; attention and the rest of a layer take from it.
func prefillShareOf(g catalog.GPU) float64 {
	switch cc := g.ComputeCapability; {
	case cc < 8:
		return preAmperePrefillShare
	case cc < 8.9:
		return 0.68 // A100 0.62 to 0.70, RTX A6000 0.68
	case cc < 9:
		return 0.52 // L40S 0.49
	case cc >= 12:
		return 0.80 // RTX 5090 0.84
	}
	return prefillShare
}

// readBytes splits the weights a decode step reads: all layers, the experts, and the head, which
// is read in 16 bits; the input embedding is only looked up and the vision tower rests.
func readBytes(m catalog.Model, e Engine, s scheme) (layers, experts, head float64) {
	plain := float64(dtypeBytes(e.DType))
	width := s.bits / 8
	if s.method == "" {
		width = plain
	}
	routed := float64(m.Parameters.RoutedExperts)
	layers, experts = float64(m.Parameters.Layers)*width, routed*width
	if s.method == "mxfp4" {
		layers, experts = float64(m.Parameters.Layers)*plain, routed*width*expertPadding(m, e)
	}
	head = float64(m.Parameters.Head) * plain
	if m.TiedEmbeddings {
		head = float64(m.Parameters.Embedding) * plain
	}
	return layers, experts, head
}

// attention fills in what one token of context costs: bytes read from the cache for each decoded
// token, and compute for each query-key pair of a prefill.
func (s *Stepper) attention(m catalog.Model, e Engine, rate float64) {
	e.PipelineParallel = 1 // a step passes all stages
	perPair := func(width int) float64 { return 2 * float64(m.Heads) * float64(width) / rate }
	for _, k := range layerKVs(m, e) {
		n := float64(k.layers)
		pair := perPair(2 * m.LayersOf(k.kind).HeadDim) // scores and weighted values
		if m.MLA != nil {
			pair = perPair(m.MLA.NopeHeadDim + m.MLA.RopeHeadDim + m.MLA.ValueHeadDim)
		}
		switch {
		case k.state > 0:
			s.kvRequest += 2 * n * float64(k.state)
		case k.window > 0:
			s.window = k.window
			s.kvWindow += n * float64(k.perToken)
			s.pairWindow += n * pair
		case m.MLA != nil && m.MLA.IndexTopK > 0:
			// After the indexer a token attends to the best few, as if to a window.
			s.window = m.MLA.IndexTopK
			s.kvWindow += n * float64(k.perToken)
			s.pairWindow += n * pair
		default:
			s.kvFull += n * float64(k.perToken)
			s.pairSeconds += n * pair
		}
	}
	s.kvFull += float64(indexerBytes(m, e))
}

// v0WeightShare is the share of bandwidth at which V0 read weights: 16-bit ones by kind of memory,
// less where the kernels of the time had to expand them.
func v0WeightShare(g catalog.GPU, s scheme) float64 {
	share := 0.92 // GDDR
	switch {
	case g.Architecture == "Volta" || strings.Contains(g.Name, "A100") || strings.Contains(g.Name, "A30"):
		share = 0.80
	case g.Architecture == "Hopper" || g.ComputeCapability >= 10 && g.ComputeCapability < 12:
		share = 0.76
	}
	switch {
	case s.bits < 6:
		share *= 0.83
	case s.bits < 12 && g.FP8TFLOPS == 0:
		share *= 0.92
	}
	return share
}

// AddDecodes adds n requests that each make their next token at a length of that many tokens.
func (s Stepper) AddDecodes(st *Step, n, length int) {
	st.Decodes += n
	st.DecodeContextTokens += n * length
	st.DecodeWindowTokens += n * min(length, s.window)
}

// AddPrefill adds chunk tokens of a prompt of which context tokens were computed before.
func (s Stepper) AddPrefill(st *Step, chunk, context int) {
	st.PrefillTokens += chunk
	c, x := float64(chunk), float64(context)
	pairs := c*x + c*c/2
	st.PrefillPairs += pairs
	if s.window == 0 {
		return
	}
	// Tokens before the window is full see all that is before them, the others one window.
	w := float64(s.window)
	short := min(max(w-x, 0), c)
	st.PrefillWindowPairs += short*x + short*short/2 + (c-short)*w
}

// seconds is the step's time.
//
// A step that decodes takes
//
//	gemm + KV read + all-reduce + host
//
// where gemm is a smooth maximum of reading the weights and of computing, KV read counts windowed
// layers by their window, and the host's share grows with the layers (V0: and with the requests).
// Prompt tokens in the same step add their compute at 60 % of the dense peak and their all-reduces.
//
// A step that only prefills has nothing to hide the host's launches behind: it takes no less than
// 7 ms + 0.7 ms a layer (V0: 0.9 ms a layer), combined as √(floor² + compute²), which is the first
// token of a lone request; nor less than one reading of the weights.
func (s *Stepper) seconds(st *Step) float64 {
	prefill := s.prefillSeconds(st)
	switch {
	case st.Decodes > 0:
		return s.decodeSeconds(st, s.fixedOf(st.Decodes)) + prefill
	case st.PrefillTokens > 0:
		return max(math.Hypot(s.firstSeconds, prefill), s.weightSeconds(float64(st.PrefillTokens))+s.hostSeconds)
	}
	return 0
}

func (s *Stepper) decodeSeconds(st *Step, same fixed) float64 {
	return max(same.gemm+s.kvSeconds(st)+same.reduce+same.host, s.minSeconds)
}

// fixed are the terms of a decode step that the length of its requests does not change.
type fixed struct{ weights, compute, gemm, reduce, host float64 }

// fixedOf are those of a step of so many requests. With pipeline stages a step passes all of them with its share of
// the requests.
func (s *Stepper) fixedOf(decodes int) fixed {
	requests := float64(decodes) / s.stages
	f := fixed{
		weights: s.weightSeconds(requests),
		compute: s.decodeToken * requests,
		reduce:  s.reduceFactor * 2 * s.layers * s.reduce.seconds(requests*s.hiddenBytes),
		host:    s.hostSeconds + s.hostRequest*requests,
	}
	f.gemm = math.Cbrt(f.weights*f.weights*f.weights + f.compute*f.compute*f.compute)
	return f
}

// kvSeconds is the time to read what the step's requests hold in the KV cache.
func (s *Stepper) kvSeconds(st *Step) float64 {
	return (s.kvFull*float64(st.DecodeContextTokens) + s.kvWindow*float64(st.DecodeWindowTokens) + s.kvRequest*float64(st.Decodes)) / s.stages / s.kvRate
}

// decodeParts are the terms of a decode step.
func (s *Stepper) decodeParts(st *Step) parts {
	f := s.fixedOf(st.Decodes)
	return parts{weights: f.weights, compute: f.compute, kv: s.kvSeconds(st), reduce: f.reduce, host: f.host}
}

// weightSeconds is the time to read the weights that so many tokens touch: of E experts, E × (1 −
// (1 − k/E)^tokens) are among those.
func (s *Stepper) weightSeconds(tokens float64) float64 {
	bytes := s.tokenBytes
	if s.expertBytes > 0 {
		bytes += s.expertBytes * (1 - math.Pow(s.expertsKept, tokens))
	}
	return bytes / s.weightRate
}

func (s *Stepper) prefillSeconds(st *Step) float64 {
	if st.PrefillTokens == 0 {
		return 0
	}
	tokens := float64(st.PrefillTokens)
	reduce := 2 * s.layers * s.reduce.seconds(min(tokens, reduceChunk)*s.hiddenBytes) * max(1, tokens/reduceChunk)
	return s.computeSeconds(st) + reduce
}

// computeSeconds is the arithmetic of a step's prompt tokens at the share of the peak that prefills reach.
func (s *Stepper) computeSeconds(st *Step) float64 {
	return float64(st.PrefillTokens)*s.prefillToken + st.PrefillPairs*s.pairSeconds + st.PrefillWindowPairs*s.pairWindow
}

// SpeedCaveats lists what in this set-up no measurement stands behind: print its times as
// unmeasured.
func SpeedCaveats(m catalog.Model, g catalog.GPU, e Engine) []string {
	e = e.WithDefaults(m, g)
	var out []string
	add := func(applies bool, text string) {
		if applies {
			out = append(out, text)
		}
	}
	add(e.Quantization == "nvfp4", "NVFP4 was not measured")
	add(e.TensorParallel > 1 && g.GeForce(), "tensor parallel on GeForce cards was measured with old engines (V0) only; how fast they exchange data depends on the mainboard")
	add(e.TensorParallel > 8, "tensor parallel above 8 was not measured")
	add(e.PipelineParallel > 1, "pipeline parallel was not measured")
	add(e.EnforceEager, "the cost of --enforce-eager was not measured; decoding is slower than this")
	add(e.DType == "float32", "float32 was not measured")
	add(m.MoE != nil, "mixture of experts was not measured above 64 requests in flight")
	add(m.Linear != nil, "linear-attention layers were not measured")
	return out
}
