package capacity

import (
	"slices"
	"testing"
	"time"

	"bench/internal/catalog"
	"bench/internal/unit"
)

func TestDominant(t *testing.T) {
	for _, tc := range []struct {
		id, card string
		engine   Engine
		term     string
	}{
		{gemma, "h100", Engine{}, TermWeights},
		{"google/gemma-3-1b-it", "h100", Engine{}, TermActivation}, // 1024 rows of 262,208 logits
	} {
		mem := plan(t, tc.id, tc.card, tc.engine)
		term, bytes := mem.Dominant()
		if term != tc.term || bytes < max(mem.Weights, mem.Activation, mem.NonTorch, mem.CUDAGraph) {
			t.Errorf("%s: %s with %v, want %s", tc.id, term, bytes, tc.term)
		}
	}
}

// TestSavingsGemma: what frees most on the plan's own question, 50 requests of 4096 tokens.
func TestSavingsGemma(t *testing.T) {
	tests := []struct {
		card   string
		engine Engine
		flags  []string // in order
	}{
		{"h100", Engine{MaxModelLen: 4096}, []string{"--tensor-parallel-size", "--kv-cache-dtype", "--quantization", "--max-num-seqs"}},
		{"rtx-3090", Engine{MaxModelLen: 4096}, []string{"--tensor-parallel-size", "--kv-cache-dtype", "--quantization", "--gpu-memory-utilization", "--enforce-eager"}},
	}
	for _, tc := range tests {
		var got []string
		for _, s := range Savings(model(t, gemma), gpu(t, tc.card), tc.engine, 50) {
			got = append(got, s.Flag)
			t.Logf("%s: %s %s frees %v, %d tokens, %.1f requests, costs %s", tc.card, s.Flag, s.Value, s.FreedBytes, s.MoreTokens, s.MoreRequests, s.Cost)
		}
		if len(got) < len(tc.flags) || !slices.Equal(got[:len(tc.flags)], tc.flags) {
			t.Errorf("%s: %v, want first %v", tc.card, got, tc.flags)
		}
	}
}

// TestSavingsLaws hold for every model on a few cards: the largest first, each frees something, each
// is something vLLM accepts, and a flag once set is not offered again.
func TestSavingsLaws(t *testing.T) {
	costs := []string{CostFewerRequests, CostLongerPrefill, CostSmallerSteps, CostKVPrecision, CostKVConversion, CostSlowerDecode, CostLessSpare,
		CostShorterContext, CostWeightPrecision, CostOtherCheckpoint, CostNoImages, CostMoreGPUs}
	for _, id := range catalog.ModelIDs() {
		m := model(t, id)
		for _, card := range []string{"t4", "rtx-3090", "l40s", "h100", "b200"} {
			for _, concurrent := range []int{0, 1, 50} {
				last := unit.Bytes(1 << 62)
				seen := map[string]bool{}
				for _, s := range Savings(m, gpu(t, card), Engine{}, concurrent) {
					if s.FreedBytes > last || s.FreedBytes <= 0 || seen[s.Flag] || !slices.Contains(costs, s.Cost) {
						t.Errorf("%s on %s, %d requests: %+v after %v", id, card, concurrent, s, last)
					}
					last, seen[s.Flag] = s.FreedBytes, true
				}
				if concurrent == 0 && seen["--max-num-seqs"] {
					t.Errorf("%s on %s: max-num-seqs offered without a load", id, card)
				}
			}
		}
	}
	set := Engine{MaxNumSeqs: 50, MaxNumBatchedTokens: 2048, KVCacheDType: "fp8", EnforceEager: true, GPUMemoryUtilization: 0.95, MaxModelLen: 4096, Quantization: "fp8", NoImages: true}
	for _, s := range Savings(model(t, gemma), gpu(t, "h100"), set, 50) {
		if s.Flag != "--tensor-parallel-size" {
			t.Errorf("offered though it is set: %+v", s)
		}
	}
	if s := Savings(model(t, gemma), gpu(t, "h100"), Engine{TensorParallel: 3}, 50); s != nil {
		t.Errorf("tensor parallel size 3 of 16 heads: %v", s)
	}
}

// TestSavingsWhereNothingFits: a context that does not fit is shortened to what does.
func TestSavingsWhereNothingFits(t *testing.T) {
	m, g := model(t, "meta-llama/Llama-3.1-8B-Instruct"), gpu(t, "rtx-3090")
	if plan(t, m.ID, g.Slug, Engine{}).Fits {
		t.Fatal("131,072 tokens of an 8B fit on 24 GB")
	}
	found := false
	for _, s := range Savings(m, g, Engine{}, 1) {
		if s.Flag != "--max-model-len" {
			continue
		}
		found = true
		n := plan(t, m.ID, g.Slug, Engine{}).LongestRequest()
		if !s.Fits || !plan(t, m.ID, g.Slug, Engine{MaxModelLen: n}).Fits || plan(t, m.ID, g.Slug, Engine{MaxModelLen: n + pageTokens}).Fits {
			t.Errorf("%+v: %d is not the longest that fits", s, n)
		}
	}
	if !found {
		t.Error("no --max-model-len among the savings")
	}
}

// planCatalogue plans one model on every card of the catalogue in four layouts.
func planCatalogue(t testing.TB, m catalog.Model, cards []catalog.GPU) {
	for _, g := range cards {
		for _, tp := range []int{1, 2, 4, 8} {
			if _, err := PlanMemory(m, g, Engine{TensorParallel: tp, MaxModelLen: 4096}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestPlanMemoryIsQuick: sizing asks for every card at once, and must answer while one watches. The
// best of several runs counts, so that a busy machine does not fail it; it takes about 1 ms.
func TestPlanMemoryIsQuick(t *testing.T) {
	m, cards := model(t, gemma), catalog.GPUs()
	best := time.Hour
	for range 10 {
		start := time.Now()
		planCatalogue(t, m, cards)
		best = min(best, time.Since(start))
	}
	if best > 20*time.Millisecond {
		t.Errorf("the whole catalogue takes %v, want at most 20ms", best)
	}
}

func BenchmarkPlanMemory(b *testing.B) {
	m, cards := model(b, gemma), catalog.GPUs()
	for b.Loop() {
		planCatalogue(b, m, cards)
	}
}

func BenchmarkSavings(b *testing.B) {
	m, g := model(b, gemma), gpu(b, "h100")
	for b.Loop() {
		Savings(m, g, Engine{MaxModelLen: 4096}, 50)
	}
}
