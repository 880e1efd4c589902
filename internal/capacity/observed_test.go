package capacity

import (
	"math"
	"testing"

	"bench/internal/catalog"
	"bench/internal/unit"
)

func gibp(v float64) *unit.Bytes { return new(unit.FromGiB(v)) }

// sampledLog is a V1 log whose activation peak the sampler sets.
func sampledLog(t *testing.T) (catalog.Model, catalog.GPU, *Observed) {
	m, g := model(t, "meta-llama/Llama-3.1-8B-Instruct"), gpu(t, "l40s")
	return m, g, &Observed{
		ModelID: m.ID, GPU: &g, Engine: Engine{Version: "0.11.0", MaxModelLen: 8192, GPUMemoryUtilization: 0.85},
		Weights: gibp(15.2), Activation: gibp(1.40), NonTorch: gibp(0.12), KVCache: gibp(21.105),
	}
}

func planObserved(t *testing.T, m catalog.Model, g catalog.GPU, e Engine, o *Observed) Memory {
	t.Helper()
	e.Observed = o
	mem, err := PlanMemory(m, g, e)
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

func ruleOf(mem Memory, term string) string {
	for _, t := range mem.Observed {
		if t.Term == term {
			return t.Rule
		}
	}
	return ""
}

func TestObservedSetUp(t *testing.T) {
	m, g, o := sampledLog(t)
	mem := planObserved(t, m, g, o.Engine, o)
	if mem.Weights != *o.Weights || mem.Activation != *o.Activation || mem.NonTorch != *o.NonTorch || mem.KVCache != *o.KVCache {
		t.Errorf("in the log's own set-up weights %v, activation %v, non-torch %v, KV %v", mem.Weights, mem.Activation, mem.NonTorch, mem.KVCache)
	}
	for _, term := range mem.Observed {
		if term.Rule != RuleSame {
			t.Errorf("%s by rule %q", term.Term, term.Rule)
		}
	}
	if mem.ActivationLow != mem.Activation || mem.ActivationHigh != mem.Activation {
		t.Errorf("a printed activation has a range, %v to %v", mem.ActivationLow, mem.ActivationHigh)
	}
	// The card's total is the log's too.
	o.Total = gibp(44.4)
	if mem := planObserved(t, m, g, o.Engine, o); mem.Total != *o.Total || mem.Budget != unit.FromGiB(44.4*0.85) {
		t.Errorf("total %v, budget %v", mem.Total, mem.Budget)
	}
	// With another share of the card only the pool differs, by just that share.
	e := o.Engine
	e.GPUMemoryUtilization = 0.95
	more := planObserved(t, m, g, e, o)
	if d := more.KVCache.GiB() - (44.4*0.95 - 15.2 - 1.40 - 0.12); math.Abs(d) > 1e-6 || more.Weights != *o.Weights {
		t.Errorf("at 0.95 the pool is %v, off by %.4f GiB", more.KVCache, d)
	}
}

func TestObservedTransfers(t *testing.T) {
	m, g, o := sampledLog(t)
	other := gpu(t, "h100")
	computed := func(g catalog.GPU, e Engine) Memory { return planObserved(t, m, g, e, nil) }
	for _, c := range []struct {
		name   string
		gpu    catalog.GPU
		change func(*Engine)
		weight, activation, nonTorch,
		graph, pool string
	}{
		{"its own", g, func(*Engine) {}, RuleSame, RuleSame, RuleSame, "", RuleSame},
		{"another card", other, func(e *Engine) { e.MaxNumSeqs = 256 }, RuleWeights, RuleSampler, RuleTensorParallel, "", ""},
		{"TP 2", g, func(e *Engine) { e.TensorParallel = 2 }, RuleWeights, RuleSampler, "", "", ""},
		{"PP 2", g, func(e *Engine) { e.PipelineParallel = 2 }, RuleWeights, RuleSampler, RuleTensorParallel, "", ""},
		{"more slots", g, func(e *Engine) { e.MaxNumSeqs = 512 }, RuleWeights, RuleSampler, RuleTensorParallel, "", ""},
		{"another quantisation", g, func(e *Engine) { e.Quantization = "fp8" }, "", RuleSampler, RuleTensorParallel, "", ""},
		{"another sampler", g, func(e *Engine) { e.Version = "0.18.0" }, RuleWeights, "", RuleTensorParallel, "", ""},
		{"V0", g, func(e *Engine) { e.Version = "0.6.4" }, RuleWeights, "", "", "", ""},
		{"other accounting", g, func(e *Engine) { e.Version = "0.28.0" }, RuleWeights, "", "", "", ""},
	} {
		e := o.Engine
		c.change(&e)
		mem := planObserved(t, m, c.gpu, e, o)
		for term, want := range map[string]string{TermWeights: c.weight, TermActivation: c.activation, TermNonTorch: c.nonTorch, TermCUDAGraph: c.graph, TermKVCache: c.pool} {
			if got := ruleOf(mem, term); got != want {
				t.Errorf("%s: %s by rule %q, want %q", c.name, term, got, want)
			}
		}
		if want := mem.Budget - mem.Weights - mem.Activation - mem.NonTorch - mem.CUDAGraph; c.pool == "" && mem.KVCache != want {
			t.Errorf("%s: the pool is %v, the terms leave %v", c.name, mem.KVCache, want)
		}
		plain := computed(c.gpu, e)
		if c.weight != "" {
			ratio := o.Weights.GiB() / computed(g, o.Engine).Weights.GiB()
			if got := mem.Weights.GiB() / plain.Weights.GiB(); math.Abs(got/ratio-1) > 1e-6 {
				t.Errorf("%s: weights × %.4f, in the log × %.4f", c.name, got, ratio)
			}
		}
	}
	// Twice the slots is twice the sampler's copies.
	e := o.Engine
	e.MaxNumSeqs = 512
	if mem := planObserved(t, m, g, e, o); math.Abs(mem.Activation.GiB()-2.80) > 1e-6 || mem.ActivationLow >= mem.Activation || mem.ActivationHigh <= mem.Activation {
		t.Errorf("activation at 512 slots %v (%v to %v), want 2.80 GiB", mem.Activation, mem.ActivationLow, mem.ActivationHigh)
	}
	// A log of another model changes nothing.
	o.ModelID = "Qwen/Qwen3-8B"
	if mem, plain := planObserved(t, m, g, o.Engine, o), computed(g, o.Engine); len(mem.Observed) > 0 || mem.KVCache != plain.KVCache {
		t.Errorf("a log of another model replaced %v", mem.Observed)
	}
}

// TestObservedRest: a log that prints weights and KV cache only tells their rest.
func TestObservedRest(t *testing.T) {
	m, g, o := sampledLog(t)
	o.Activation, o.NonTorch = nil, nil
	mem := planObserved(t, m, g, o.Engine, o)
	if ruleOf(mem, TermActivation) != RuleRest || mem.KVCache != *o.KVCache {
		t.Fatalf("activation by %q, KV %v", ruleOf(mem, TermActivation), mem.KVCache)
	}
	if left := mem.Budget - mem.Weights - mem.Activation - mem.NonTorch - mem.CUDAGraph - mem.KVCache; left < -1 || left > 1 {
		t.Errorf("the terms leave %d bytes unaccounted for", left)
	}
	// Not where the card is not known: the budget is not either.
	o.GPU, o.Engine.MaxNumSeqs, o.Engine.MaxNumBatchedTokens = nil, 256, 2048
	if mem := planObserved(t, m, g, o.Engine, o); ruleOf(mem, TermActivation) != "" {
		t.Errorf("without a card activation was replaced by %q", ruleOf(mem, TermActivation))
	}
	// Nor where it would be negative.
	o.GPU, o.KVCache = &g, gibp(30)
	if mem := planObserved(t, m, g, o.Engine, o); ruleOf(mem, TermActivation) != "" {
		t.Errorf("a pool larger than the budget leaves activation by %q", ruleOf(mem, TermActivation))
	}
}

// TestObservedPredictsOtherStarts lets the log of one published start-up predict another one of the
// same model with other settings: the pool it printed.
func TestObservedPredictsOtherStarts(t *testing.T) {
	byID := map[string]startup{}
	for _, s := range readStartups(t) {
		byID[s.id] = s
	}
	terms := map[string][2]float64{"c055": {2.07, 0.35}, "c139": {1.04, 0}, "c212": {0, 0}} // activation and non-torch, as printed
	for _, c := range []struct {
		from, to string
		what     string
		within   float64 // of the printed pool
	}{
		{"c055", "c056", "V0, a longer context: the forward pass grows with it", 0.01},
		{"c139", "c140", "another utilisation", 0.02},
		{"c212", "c211", "another utilisation, a quarter of the card", 0.02},
		{"c212", "c214", "two cards", 0.05},
	} {
		a, b := byID[c.from], byID[c.to]
		m, ok := modelOfStartup(a.model)
		if !ok {
			t.Fatalf("%s: model %s", c.from, a.model)
		}
		o := &Observed{ModelID: m.ID, GPU: &a.gpu, Engine: a.engine, KVCache: gibp(*a.kvGiB)}
		if a.weightsGiB != nil {
			o.Weights = gibp(*a.weightsGiB)
		}
		if p := terms[c.from]; p[0] > 0 {
			o.Activation = gibp(p[0])
			if p[1] > 0 {
				o.NonTorch = gibp(p[1])
			}
		}
		mem := planObserved(t, m, b.gpu, b.engine, o)
		plain := planObserved(t, m, b.gpu, b.engine, nil)
		off, before := mem.KVCache.GiB() / *b.kvGiB - 1, plain.KVCache.GiB() / *b.kvGiB - 1
		t.Logf("%s → %s (%s): pool %.2f GiB, printed %.2f (%+.1f %%; computed without the log %+.1f %%)", c.from, c.to, c.what, mem.KVCache.GiB(), *b.kvGiB, 100*off, 100*before)
		if math.Abs(off) > c.within {
			t.Errorf("%s → %s: pool %.2f GiB, printed %.2f (%+.1f %%), want within %.0f %%", c.from, c.to, mem.KVCache.GiB(), *b.kvGiB, 100*off, 100*c.within)
		}
	}
}

func TestKernelClass(t *testing.T) {
	gemma := model(t, "google/gemma-3-12b-it")
	for _, c := range []struct {
		gpu    string
		engine Engine
		want   string
	}{
		{"rtx-3090", Engine{Quantization: "w4a16"}, "4-bit weights, Ampere 8.6, V1"},
		{"a100-80gb", Engine{}, "16-bit weights, Ampere 8.0, V1"},
		{"rtx-3090", Engine{Quantization: "awq", Version: "0.6.4"}, "4-bit weights, Ampere 8.6, V0"},
		{"h100", Engine{Quantization: "fp8"}, "8-bit weights, Hopper 9.0, V1"},
		{"a6000", Engine{Quantization: "gptq", TensorParallel: 2}, "4-bit weights, Ampere 8.6, V1"},
	} {
		if got := KernelClass(gemma, gpu(t, c.gpu), c.engine); got != c.want {
			t.Errorf("%s: %q, want %q", c.gpu, got, c.want)
		}
	}
}
