package sizing

import (
	"math"
	"slices"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/unit"
)

// candidate is a set-up on its way to being ranked.
type candidate struct {
	gpu    catalog.GPU
	setup  record.Setup
	engine capacity.Engine // with defaults
	// needBytes is the KV memory a request takes in steady state, on one GPU.
	needBytes unit.Bytes
	roomy     bool                    // fits with Headroom
	observed  []capacity.ObservedTerm // terms that a start-up log replaced
}

// layout divides count GPUs: count = tp × pp × replicas.
type layout struct{ tp, pp, replicas int }

// choose is the best set-up of count cards: the smallest tensor parallel size, that is the most
// replicas, that holds the demand with headroom and meets its limits; where none does, see [better].
// Replicas need no talk between GPUs, so they come before tensor parallel size once they suffice.
func choose(req Request, gpu catalog.GPU, count int) candidate {
	var best candidate
	for i, l := range layouts(req, count) {
		c := evaluate(req, gpu, count, l)
		if i == 0 || better(c, best) {
			best = c
		}
		if best.score() == 3 {
			break
		}
	}
	return best
}

func (c candidate) steady() int {
	if c.setup.Concurrency == nil {
		return 0
	}
	return c.setup.Concurrency.Steady
}

// layouts are the ways to divide count cards, most replicas first. Pipeline parallel stages come in
// only where the heads do not divide by the whole count, as stages of the largest tensor parallel
// group, behind every layout without them. Where the layout asked for does not divide count, it is
// returned with no replica, to be refused in words.
func layouts(req Request, count int) []layout {
	tps := capacity.TensorParallelSizes(req.Model, count)
	if tp := req.Engine.TensorParallel; tp > 0 {
		tps = []int{tp}
	}
	fixedPP := req.Engine.PipelineParallel
	var out []layout
	for _, tp := range tps {
		if pp := max(fixedPP, 1); count%(tp*pp) == 0 {
			out = append(out, layout{tp, pp, count / (tp * pp)})
		}
	}
	if req.Engine.TensorParallel == 0 && fixedPP == 0 && !slices.Contains(tps, count) {
		tp := 1
		for _, n := range tps {
			if count%n == 0 {
				tp = n // ascending, so the largest stays
			}
		}
		for pp := 2; pp <= count/tp && pp <= req.Model.NumLayers(); pp++ {
			if count%(tp*pp) == 0 {
				out = append(out, layout{tp, pp, count / (tp * pp)})
			}
		}
	}
	if len(out) == 0 {
		out = append(out, layout{max(req.Engine.TensorParallel, 1), max(fixedPP, 1), 0})
	}
	return out
}

// evaluate is one set-up against the demand, not yet ranked.
func evaluate(req Request, gpu catalog.GPU, count int, l layout) candidate {
	c := candidate{gpu: gpu, setup: record.Setup{
		GPU: gpu.Name, Count: count, TensorParallel: l.tp, PipelineParallel: l.pp, Replicas: l.replicas,
	}}
	if l.replicas == 0 {
		c.setup.Verdict = record.VerdictNotEligible
		c.setup.Reasons = []record.Text{say(
			"one server takes TP %[1]d × PP %[2]d = %[3]d GPUs, which does not divide %[4]d",
			"서버 하나가 TP %[1]d × PP %[2]d = GPU %[3]d개를 쓰므로 %[4]d개로 나누어떨어지지 않음", l.tp, l.pp, l.tp*l.pp, count)}
		return c
	}
	perReplica := (req.Demand.Concurrent + l.replicas - 1) / l.replicas
	c.engine = engineFor(req, gpu, l, perReplica)
	if refusals := capacity.Refusals(req.Model, gpu, c.engine); len(refusals) > 0 {
		c.setup.Verdict = record.VerdictNotEligible
		for _, r := range refusals {
			c.setup.Reasons = append(c.setup.Reasons, refusalText(r, req.Model, gpu, c.engine))
		}
		return c
	}
	mem, err := capacity.PlanMemory(req.Model, gpu, c.engine)
	if err != nil {
		c.setup.Verdict = record.VerdictNotEligible
		c.setup.Reasons = []record.Text{say("%s", "%s", err.Error())}
		return c
	}
	c.observed = mem.Observed
	context := req.Demand.ContextTokens
	c.needBytes = unit.Bytes(mem.BlocksLive(context)) * mem.BlockBytes
	c.setup.Memory = memoryOf(mem, context)
	held := record.Concurrency{Demand: req.Demand.Concurrent}
	if mem.Fits {
		held.Guaranteed = l.replicas * int(mem.GuaranteedConcurrencyAt(context))
		held.Steady = l.replicas * int(mem.SteadyConcurrency(context))
	}
	held.Headroom = float64(held.Steady)/float64(held.Demand) - 1
	slots := l.replicas * c.engine.MaxNumSeqs
	c.setup.Concurrency = &held
	c.setup.Fits = held.Steady >= held.Demand && slots >= held.Demand
	c.roomy = c.setup.Fits && held.Steady >= int(math.Ceil(float64(held.Demand)*(1+Headroom)))
	c.predict(req, perReplica)
	switch {
	case c.setup.Fits && c.tooSlow(req.Demand):
		c.setup.Verdict = record.VerdictTooSlow
	case c.roomy:
		c.setup.Verdict = record.VerdictGood
	case c.setup.Fits:
		c.setup.Verdict = record.VerdictTight
	default:
		c.setup.Verdict = record.VerdictDoesNotFit
	}
	term, bytes := mem.Dominant()
	c.setup.Dominant = &record.Term{Name: term, Bytes: int64(bytes)}
	c.setup.Reasons = append(reasons(req, c, mem), speedReasons(req.Demand, c.setup.Speed)...)
	return c
}

// engineFor is the engine of one replica with its defaults. A demand above vLLM's default number of
// scheduler slots means that the flag has to be raised, so the memory is planned with it raised.
func engineFor(req Request, gpu catalog.GPU, l layout, perReplica int) capacity.Engine {
	asked := req.Engine
	asked.TensorParallel, asked.PipelineParallel = l.tp, l.pp
	e := asked.WithDefaults(req.Model, gpu)
	if asked.MaxNumSeqs > 0 || e.MaxNumSeqs >= perReplica {
		return e
	}
	asked.MaxNumSeqs = perReplica
	if asked.MaxNumBatchedTokens == 0 && e.MaxNumBatchedTokens < perReplica {
		asked.MaxNumBatchedTokens = perReplica // vLLM wants a step to hold one token of each request
	}
	return asked.WithDefaults(req.Model, gpu)
}

// memoryOf is a memory plan as it is written down.
func memoryOf(mem capacity.Memory, context int) *record.SetupMemory {
	m := record.SetupMemory{
		TotalBytes:      int64(mem.Total),
		BudgetBytes:     int64(mem.Budget),
		WeightsBytes:    int64(mem.Weights),
		ActivationBytes: int64(mem.Activation),
		NonTorchBytes:   int64(mem.NonTorch),
		CUDAGraphBytes:  int64(mem.CUDAGraph),
		KVCacheBytes:    max(0, int64(mem.KVCache)),
	}
	if mem.KVCache > 0 {
		m.KVCacheTokens = int64(mem.KVCacheTokens)
		m.GuaranteedConcurrency = mem.GuaranteedConcurrencyAt(context)
		m.SteadyConcurrency = mem.SteadyConcurrency(context)
	}
	return &m
}
