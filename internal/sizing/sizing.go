// Package sizing owns two judgements: which GPUs carry a demand, and whether a claimed set-up can
// work at all. Both are arithmetic over capacity and catalog. It sees no flags, asks no server,
// reads no file and prints nothing; how big a model is and how much a server holds is capacity's.
package sizing

import (
	"fmt"
	"slices"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/unit"
)

// Headroom is the share above the demand that a recommended set-up holds.
const Headroom = 0.20

// Limits on what can be asked; beyond them a number is a slip of the finger.
const (
	maxConcurrent = 1_000_000
	maxCount      = 1024
)

// Request is what is to be sized.
type Request struct {
	Model catalog.Model
	// Engine holds the settings asked for; zero values are vLLM's defaults. MaxModelLen defaults to
	// the demand's context, MaxNumSeqs to what the demand needs where vLLM's default is lower. A
	// TensorParallel or PipelineParallel above 0 is kept; else the layout is chosen.
	Engine capacity.Engine
	Demand record.Demand // InputTokens and OutputTokens default to three quarters and one quarter of the context
	GPUs   []catalog.GPU // default: all known, and then the candidates of the plan with its layouts
	Counts []int         // GPUs of one set-up; default 1, 2, 4, 8
	// Observed is a start-up log of the model, whose figures replace computed ones where they hold;
	// nil = none. LogGPU is the card it ran on, nil where nobody knows.
	Observed *record.Startup
	LogGPU   *catalog.GPU
	// Measured scales computed times within one class of kernels; nil = nothing measured.
	Measured *Measured
	// Prices take the place of the catalogue's for their cards.
	Prices []catalog.OwnPrice
	// Explain asks for every term of one set-up: the recommended one, else the best ranked.
	Explain bool
}

// RequestError says in one line what is wrong with a request and what to do.
type RequestError struct{ Line string }

func (e *RequestError) Error() string { return e.Line }

// Size lists every set-up asked for, best first, and picks the options. It fails only with a
// *RequestError.
func Size(req Request) (record.Sizing, error) {
	everyGPU := len(req.GPUs) == 0
	req, err := complete(req)
	if err != nil {
		return record.Sizing{}, err
	}
	var calibration record.Calibration
	if req.Observed != nil {
		calibration.ServerLog = useLog(&req)
	}
	var candidates []candidate
	for _, gpu := range req.GPUs {
		for _, count := range req.Counts {
			candidates = append(candidates, choose(req, gpu, count))
		}
	}
	if everyGPU {
		candidates = append(candidates, planLayouts(req, candidates)...)
	}
	offers := ownOffers(catalog.CloudOffers(), req.Prices)
	for i := range candidates {
		c := &candidates[i]
		c.setup.Price = priceOf(c.gpu, c.setup.Count, c.setup.TensorParallel*c.setup.PipelineParallel, offers)
		if p := c.setup.Price; p != nil {
			p.PerMillionUSD = perMillion(p, c.setup.Speed)
		}
		if c.setup.Memory != nil {
			c.setup.Savings = Savings(req.Model, c.gpu, c.engine, (req.Demand.Concurrent+c.setup.Replicas-1)/c.setup.Replicas, c.setup.Replicas)
		}
	}
	rank(candidates)

	out := record.Sizing{
		Schema: record.SchemaSizing,
		Model:  record.SizedModel{ID: req.Model.ID, Parameters: req.Model.ParameterCount},
		Engine: record.SizingEngine{
			DType:                req.Engine.DType,
			Quantization:         req.Engine.Quantization,
			KVCacheDType:         req.Engine.KVCacheDType,
			GPUMemoryUtilization: req.Engine.GPUMemoryUtilization,
			MaxModelLen:          req.Engine.MaxModelLen,
			VLLMVersion:          req.Engine.Version,
		},
		Demand:  req.Demand,
		Decides: decides(candidates),
		Options: options(candidates),
		Notes:   notes(),
		Setups:  make([]record.Setup, len(candidates)),
	}
	for i, c := range candidates {
		out.Setups[i] = c.setup
	}
	if calibration.ServerLog != nil {
		finishLog(calibration.ServerLog, req, candidates)
	}
	if req.Measured != nil {
		calibration.Measured = finishMeasured(req, candidates)
	}
	if calibration != (record.Calibration{}) {
		out.Calibration = &calibration
	}
	if req.Explain && len(candidates) > 0 {
		i := max(0, slices.IndexFunc(candidates, func(c candidate) bool { return c.setup.Verdict == record.VerdictRecommended }))
		out.Explain = explain(req, candidates[i])
	}
	if req.Model.ID == planModel {
		out.Plan = planReview(req.Model, out.Setups)
	}
	return out, nil
}

// complete checks a request and fills its defaults in.
func complete(req Request) (Request, error) {
	refuse := func(format string, args ...any) (Request, error) {
		return Request{}, &RequestError{fmt.Sprintf(format, args...)}
	}
	d, e, m := &req.Demand, &req.Engine, req.Model
	switch {
	case d.Concurrent < 1:
		return refuse("%d concurrent requests: the demand must be at least 1", d.Concurrent)
	case d.Concurrent > maxConcurrent:
		return refuse("%s concurrent requests are more than the %s this can size; divide the demand", unit.Count(d.Concurrent), unit.Count(maxConcurrent))
	case d.ContextTokens < 1:
		return refuse("a context of %d tokens: it must be at least 1", d.ContextTokens)
	case d.ContextTokens > m.MaxPositionEmbeddings:
		return refuse("a context of %s is above the %s that %s was made for; ask for less", unit.Tokens(d.ContextTokens), unit.Count(m.MaxPositionEmbeddings), m.ID)
	case d.InputTokens < 0 || d.OutputTokens < 0:
		return refuse("%d input and %d output tokens: neither can be negative", d.InputTokens, d.OutputTokens)
	case d.InputTokens > d.ContextTokens || d.OutputTokens > d.ContextTokens-d.InputTokens:
		return refuse("%s input and %s output tokens do not fit a context of %s; raise the context",
			unit.Count(d.InputTokens), unit.Count(d.OutputTokens), unit.Count(d.ContextTokens))
	case d.MaxTTFTMS < 0 || d.MaxTPOTMS < 0 || d.MaxLatencyMS < 0:
		return refuse("a limit on TTFT, TPOT or latency cannot be negative")
	case e.MaxModelLen != 0 && e.MaxModelLen < d.ContextTokens:
		return refuse("max_model_len %s is below the %s a request may hold; raise it or lower the context", unit.Count(e.MaxModelLen), unit.Tokens(d.ContextTokens))
	case e.TensorParallel < 0 || e.PipelineParallel < 0:
		return refuse("tensor parallel size %d, pipeline parallel size %d: neither can be negative", e.TensorParallel, e.PipelineParallel)
	}
	if d.Load == "" {
		d.Load = capacity.LoadClosed.String()
	}
	if _, ok := loads[d.Load]; !ok {
		return refuse("load %q is not known: use closed (so many in flight all the time) or burst (so many at once)", d.Load)
	}
	if d.InputTokens == 0 && d.OutputTokens == 0 {
		d.OutputTokens = d.ContextTokens / 4
		d.InputTokens = d.ContextTokens - d.OutputTokens
	}
	if e.MaxModelLen == 0 {
		e.MaxModelLen = d.ContextTokens
	}
	if len(req.GPUs) == 0 {
		req.GPUs = catalog.GPUs()
	}
	req.GPUs = ownPrices(req.GPUs, req.Prices)
	if len(req.Counts) == 0 {
		req.Counts = []int{1, 2, 4, 8}
	}
	for _, n := range req.Counts {
		if n < 1 || n > maxCount {
			return refuse("a set-up of %d GPUs: the count must be 1 to %d", n, maxCount)
		}
	}
	req.Counts = slices.Compact(slices.Sorted(slices.Values(req.Counts)))
	if span := max(e.TensorParallel, 1) * max(e.PipelineParallel, 1); span > req.Counts[len(req.Counts)-1] {
		return refuse("tensor parallel size %d × pipeline parallel size %d takes %d GPUs, more than the largest count asked for, %d",
			max(e.TensorParallel, 1), max(e.PipelineParallel, 1), span, req.Counts[len(req.Counts)-1])
	}
	// What no card can mend is an error in the request, not a verdict on every card.
	for _, r := range capacity.Refusals(m, req.GPUs[0], *e) {
		switch r.Code {
		case capacity.RefusedHeads, capacity.RefusedLayers, capacity.RefusedContext, capacity.RefusedSettings:
			return refuse("%s", r.Reason)
		}
	}
	if _, ok := capacity.QuantizationBits(e.Quantization, m); !ok {
		return refuse("quantization method %q is not known; use awq, gptq, w4a16, fp8, int8, bitsandbytes, nvfp4, mxfp4 or gguf", e.Quantization)
	}
	return req, nil
}
