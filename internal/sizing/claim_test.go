package sizing

import (
	"slices"
	"strings"
	"testing"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
)

// planClaim is the plan's own set-up (its section 1.2).
func planClaim(t testing.TB) Claim {
	return Claim{
		Model:  model(t, planModel),
		GPU:    card(t, "rtx-3090"),
		Engine: capacity.Engine{DType: "half", TensorParallel: 1, GPUMemoryUtilization: 0.95, MaxModelLen: 4096},
	}
}

func reason(c record.Claim, code string) *record.Reason {
	i := slices.IndexFunc(c.Reasons, func(r record.Reason) bool { return r.Code == code })
	if i < 0 {
		return nil
	}
	return &c.Reasons[i]
}

func TestPlanClaimIsImpossibleForBothReasons(t *testing.T) {
	got := JudgeClaim(planClaim(t), Evidence{})
	if got.Possible == nil || *got.Possible {
		t.Fatal("the plan's claim is called possible")
	}
	fp16, memory := reason(got, capacity.RefusedFP16), reason(got, reasonMemory)
	if fp16 == nil || memory == nil || !fp16.Decisive || !memory.Decisive {
		t.Fatalf("reasons %+v, want FP16 and memory, each decisive", got.Reasons)
	}
	for _, figure := range []string{"0.9.1", "65504"} {
		if !strings.Contains(fp16.Text.En, figure) || !strings.Contains(fp16.Text.Ko, figure) {
			t.Errorf("FP16 reason lacks %s: %+v", figure, fp16.Text)
		}
	}
	for _, figure := range []string{"22.70 GiB", "22.38 GiB", "0.95", "23.56 GiB"} {
		if !strings.Contains(memory.Text.En, figure) || !strings.Contains(memory.Text.Ko, figure) {
			t.Errorf("memory reason lacks %s: %+v", figure, memory.Text)
		}
	}
	if got.Memory.KVCacheBytes != 0 || got.Memory.SteadyConcurrency != 0 || got.DType != "float16" || got.Quantization != "none" {
		t.Errorf("claim %+v with memory %+v", got, got.Memory)
	}
	// In its place: 4 bit first, as people publish it, with room for KV.
	if len(got.Instead) < 2 || got.Instead[0].Quantization != "w4a16" {
		t.Fatalf("instead %+v", got.Instead)
	}
	const gib = 1 << 30
	first := got.Instead[0]
	if w := float64(first.WeightsBytes) / gib; w < 7.3 || w > 8.6 {
		t.Errorf("4-bit weights of %.2f GiB", w)
	}
	if kv := float64(first.KVCacheBytes) / gib; kv < 10 || kv > 14 {
		t.Errorf("4-bit leaves %.2f GiB for KV", kv)
	}
	if slices.ContainsFunc(got.Instead, func(a record.Alternative) bool { return a.Quantization == "none" }) {
		t.Error("16 bit is offered on a card it does not fit")
	}
}

func TestJudgeClaim(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(*Claim)
		possible bool
		code     string // a reason that must be among them
	}{
		{"in 4 bits it fits", func(c *Claim) { c.Engine.DType, c.Engine.Quantization = "auto", "w4a16" }, true, reasonFits},
		{"bfloat16 still does not fit", func(c *Claim) { c.Engine.DType = "bfloat16" }, false, reasonMemory},
		{"FP16 on a card it fits", func(c *Claim) { c.GPU = card(t, "a100-80gb") }, false, capacity.RefusedFP16},
		{"before 0.9.1 FP16 was let through", func(c *Claim) { c.GPU, c.Engine.Version = card(t, "a100-80gb"), "0.8.5" }, true, reasonFits},
		{"bfloat16 on two cards, too few", func(c *Claim) { c.Engine.DType, c.Engine.TensorParallel, c.Count = "auto", 2, 1 }, false, reasonCount},
		{"bfloat16 on two cards", func(c *Claim) { c.Engine.DType, c.Engine.TensorParallel, c.Count = "auto", 2, 2 }, true, reasonFits},
		{"TP 3", func(c *Claim) { c.Engine.DType, c.Engine.TensorParallel = "auto", 3 }, false, capacity.RefusedHeads},
		{"context above the model's", func(c *Claim) { c.GPU, c.Engine.DType, c.Engine.MaxModelLen = card(t, "h200"), "auto", 1<<20 }, false, capacity.RefusedContext},
		{"unknown quantisation", func(c *Claim) { c.Engine.Quantization = "q9" }, false, capacity.RefusedQuantization},
		{"T4", func(c *Claim) { c.GPU, c.Engine.DType = card(t, "t4"), "auto" }, false, capacity.RefusedFloat32Only},
	} {
		t.Run(c.name, func(t *testing.T) {
			claim := planClaim(t)
			c.change(&claim)
			got := JudgeClaim(claim, Evidence{})
			if got.Possible == nil || *got.Possible != c.possible {
				t.Errorf("possible %v, want %v: %+v", got.Possible, c.possible, got.Reasons)
			}
			if reason(got, c.code) == nil {
				t.Errorf("no reason %s among %+v", c.code, got.Reasons)
			}
			for _, r := range got.Reasons {
				if r.Text.En == "" || r.Text.Ko == "" || strings.Contains(r.Text.En+r.Text.Ko, "%!") {
					t.Errorf("bad text %+v", r)
				}
			}
			if got.Instead == nil {
				t.Error("instead is null")
			}
		})
	}
}

// What server and driver tell is held against the claim, but does not make it impossible.
func TestContradictions(t *testing.T) {
	claim := planClaim(t)
	claim.Engine.DType, claim.Engine.Quantization = "auto", "w4a16"
	got := JudgeClaim(claim, Evidence{
		Server: &record.Server{
			ServedModel: "gemma", ModelRoot: "meta-llama/Llama-3.1-8B-Instruct", MaxModelLen: 8192, EngineVersion: "0.27.1",
			CacheConfig: map[string]string{"gpu_memory_utilization": "0.9"},
		},
		GPUs: []record.GPUInfo{{Name: "NVIDIA GeForce RTX 4090"}, {Name: "NVIDIA GeForce RTX 4090"}},
	})
	if !*got.Possible || got.VLLMVersion != "0.27.1" {
		t.Errorf("possible %v, version %q", *got.Possible, got.VLLMVersion)
	}
	var all []string
	for _, r := range got.Reasons {
		all = append(all, r.Text.En)
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{"8,192", "0.9, not 0.95", "meta-llama/Llama-3.1-8B-Instruct", "RTX 4090, not"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Count(text, "RTX 4090") != 1 {
		t.Errorf("two cards of one kind are named twice:\n%s", text)
	}
}

// The judgement agrees with capacity for every model on every card: possible only where vLLM
// would start.
func TestClaimAgreesWithCapacity(t *testing.T) {
	for _, id := range catalog.ModelIDs() {
		m := model(t, id)
		for _, g := range []catalog.GPU{card(t, "t4"), card(t, "rtx-3090"), card(t, "h100"), card(t, "b200")} {
			claim := Claim{Model: m, GPU: g, Engine: capacity.Engine{MaxModelLen: 4096}}
			got := JudgeClaim(claim, Evidence{})
			mem, err := capacity.PlanMemory(m, g, claim.Engine)
			refused := slices.ContainsFunc(capacity.Refusals(m, g, claim.Engine), func(r capacity.Refusal) bool { return r.Code != capacity.RefusedFloat32Only })
			if want := err == nil && mem.Fits && !refused; *got.Possible != want {
				t.Errorf("%s on %s: possible %v, want %v", id, g.Name, *got.Possible, want)
			}
			if len(got.Reasons) == 0 {
				t.Errorf("%s on %s: no reason", id, g.Name)
			}
		}
	}
}
