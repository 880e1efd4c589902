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
	v0 := Engine{Version: "0.6.4", DType: "bfloat16", GPUMemoryUtilization: 0.9}
	l4 := Engine{Version: "0.28.0", DType: "float16", Quantization: "awq", MaxModelLen: 32768}
	a100 := Engine{Version: "0.10.1.1", DType: "bfloat16", MaxModelLen: 16384, MaxNumBatchedTokens: 2048, FlashInferSampler: true}
	length := func(e Engine, n int) Engine { e.MaxModelLen = n; return e }
	share := func(e Engine, u float64) Engine { e.GPUMemoryUtilization = u; return e }
	two := func(e Engine) Engine { e.TensorParallel = 2; return e }
	// GiB as the logs print them; 0 = not printed.
	for _, c := range []struct {
		what, model, card                         string
		totalGiB                                  float64
		from                                      Engine
		weights, activation, nonTorch, poolBefore float64
		to                                        Engine
		pool                                      float64
		within                                    float64 // of the printed pool
	}{
		{"V0, a longer context: the forward pass grows with it", "meta-llama/Llama-3.1-8B-Instruct", "rtx-3090", 23.58,
			length(v0, 20000), 14.9888, 2.07, 0.35, 3.81, length(v0, 29000), 2.89, 0.01},
		{"another utilisation", "Qwen/Qwen2.5-7B-Instruct", "l4", 22.04, share(l4, 0.45), 0, 1.04, 0, 3.30, share(l4, 0.6), 6.60, 0.02},
		{"another utilisation, a quarter of the card", "Qwen/Qwen2.5-7B-Instruct", "a100-80gb", 0, share(a100, 0.5), 14.2488, 0, 0, 24.83, share(a100, 0.25), 5.01, 0.02},
		{"two cards", "Qwen/Qwen2.5-7B-Instruct", "a100-80gb", 0, share(a100, 0.5), 14.2488, 0, 0, 24.83, two(share(a100, 0.5)), 31.83, 0.05},
	} {
		m, g := model(t, c.model), gpu(t, c.card)
		if c.totalGiB > 0 {
			g.MemoryTorchGiB = c.totalGiB
		}
		printed := func(gib float64) *unit.Bytes {
			if gib == 0 {
				return nil
			}
			return gibp(gib)
		}
		o := &Observed{ModelID: m.ID, GPU: &g, Engine: c.from, Weights: printed(c.weights), Activation: printed(c.activation), NonTorch: printed(c.nonTorch), KVCache: printed(c.poolBefore)}
		mem, plain := planObserved(t, m, g, c.to, o), planObserved(t, m, g, c.to, nil)
		off, before := mem.KVCache.GiB()/c.pool-1, plain.KVCache.GiB()/c.pool-1
		t.Logf("%s: pool %.2f GiB, printed %.2f (%+.1f %%; computed without the log %+.1f %%)", c.what, mem.KVCache.GiB(), c.pool, 100*off, 100*before)
		if math.Abs(off) > c.within {
			t.Errorf("%s: pool %.2f GiB, printed %.2f (%+.1f %%), want within %.0f %%", c.what, mem.KVCache.GiB(), c.pool, 100*off, 100*c.within)
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
