package sizing

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
)

func model(t testing.TB, id string) catalog.Model {
	t.Helper()
	m, err := catalog.FindModel(id)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func card(t testing.TB, slug string) catalog.GPU {
	t.Helper()
	g, err := catalog.FindGPU(slug)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func sized(t testing.TB, req Request) record.Sizing {
	t.Helper()
	s, err := Size(req)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func gemma(t testing.TB) Request {
	return Request{Model: model(t, planModel), Demand: record.Demand{Concurrent: 50, ContextTokens: 4096}}
}

func find(s record.Sizing, gpu string, count, tp int) *record.Setup {
	for i := range s.Setups {
		if x := &s.Setups[i]; x.GPU == gpu && x.Count == count && (tp == 0 || x.TensorParallel == tp) {
			return x
		}
	}
	return nil
}

// Which set-ups hold 50 requests of 4096 tokens of Gemma 3 12B in BF16, worked out by hand from
// 581 MiB a request and 22.7 GiB of weights; without the hybrid manager a request takes 1.5 GiB.
func TestGemmaOptions(t *testing.T) {
	hybrid := sized(t, gemma(t))
	full := gemma(t)
	full.Engine.DisableHybridKVCacheManager = true
	allLayers := sized(t, full)
	for _, c := range []struct {
		gpu                string
		count              int
		fits, fitsAllFull  bool
		needGiB            float64 // KV per GPU at that tensor parallel size
		minFreeGiB, maxGiB float64
	}{
		{"a100-80gb", 1, true, false, 28.4, 46, 50},
		{"h100", 1, true, false, 28.4, 43, 47},
		{"h200", 1, true, true, 28.4, 95, 105},
		{"pro6000", 1, true, false, 28.4, 57, 62},
		{"a6000", 2, true, false, 0, 0, 0},
		{"a100-40gb", 2, true, false, 14.2, 20, 25},
		{"rtx-3090", 4, true, false, 7.1, 11, 15},
		{"rtx-4090", 4, true, false, 7.1, 11, 15},
		{"rtx-3090", 2, false, false, 0, 0, 0},
		{"rtx-4090", 2, false, false, 0, 0, 0},
		{"a6000", 1, false, false, 0, 0, 0},
		{"l40s", 1, false, false, 0, 0, 0},
		{"rtx-3090", 1, false, false, 0, 0, 0},
		{"rtx-3090", 8, true, true, 0, 0, 0},
		{"a100-80gb", 2, true, true, 0, 0, 0},
		{"a100-40gb", 4, true, true, 0, 0, 0},
		{"a6000", 4, true, true, 0, 0, 0},
	} {
		t.Run(fmt.Sprintf("%d×%s", c.count, c.gpu), func(t *testing.T) {
			s, f := find(hybrid, card(t, c.gpu).Name, c.count, 0), find(allLayers, card(t, c.gpu).Name, c.count, 0)
			if s == nil || f == nil {
				t.Fatal("not listed")
			}
			if s.Fits != c.fits || f.Fits != c.fitsAllFull {
				t.Errorf("fits %v, with all layers full %v; want %v and %v", s.Fits, f.Fits, c.fits, c.fitsAllFull)
			}
			if c.needGiB == 0 {
				return
			}
			free := float64(s.Memory.KVCacheBytes) / (1 << 30)
			if free < c.minFreeGiB || free > c.maxGiB {
				t.Errorf("%.1f GiB free for KV, want %v to %v", free, c.minFreeGiB, c.maxGiB)
			}
			if need := free / s.Memory.SteadyConcurrency * 50; need < c.needGiB*0.99 || need > c.needGiB*1.01 {
				t.Errorf("50 requests need %.2f GiB per GPU, want %v", need, c.needGiB)
			}
		})
	}
}

func TestCardsWithoutBF16AreNotEligible(t *testing.T) {
	s := sized(t, gemma(t))
	for _, slug := range []string{"t4", "v100-16gb", "v100-32gb"} {
		for _, count := range []int{1, 2, 4, 8} {
			x := find(s, card(t, slug).Name, count, 0)
			if x == nil || x.Verdict != record.VerdictNotEligible || x.Fits || len(x.Reasons) == 0 {
				t.Errorf("%d× %s: %+v, want not eligible with a reason", count, slug, x)
			}
		}
	}
	// In 4 bits the weights are small, but the model still refuses FP16.
	req := gemma(t)
	req.Engine.Quantization = "gptq"
	if x := find(sized(t, req), card(t, "t4").Name, 1, 0); x.Verdict != record.VerdictNotEligible {
		t.Errorf("4 bit on a T4: %s, want not eligible", x.Verdict)
	}
}

// Every set-up asked for is listed, none twice, and each is consistent in itself.
func TestEverySetupOnce(t *testing.T) {
	for _, id := range []string{planModel, "microsoft/phi-4", "deepseek-ai/DeepSeek-V3", "meta-llama/Llama-3.1-405B-Instruct", "openai/gpt-oss-20b", "Qwen/Qwen3-Next-80B-A3B-Instruct"} {
		t.Run(id, func(t *testing.T) {
			req := Request{Model: model(t, id), Demand: record.Demand{Concurrent: 50, ContextTokens: 4096}}
			s := sized(t, req)
			seen := map[string]bool{}
			for i, x := range s.Setups {
				key := fmt.Sprint(x.GPU, x.Count, x.TensorParallel, x.PipelineParallel)
				if seen[key] {
					t.Errorf("%s twice", key)
				}
				seen[key] = true
				if x.Rank != i+1 {
					t.Errorf("rank %d at place %d", x.Rank, i+1)
				}
				if len(x.Reasons) == 0 {
					t.Errorf("%s: no reason", key)
				}
				for _, r := range x.Reasons {
					if r.En == "" || r.Ko == "" || strings.Contains(r.En+r.Ko, "%!") {
						t.Errorf("%s: bad reason %+v", key, r)
					}
				}
				if x.TensorParallel*x.PipelineParallel*x.Replicas != x.Count {
					t.Errorf("%s: %d replicas", key, x.Replicas)
				}
				if (x.Memory == nil) != (x.Verdict == record.VerdictNotEligible) || (x.Memory == nil) != (x.Concurrency == nil) {
					t.Errorf("%s: verdict %s with memory %v", key, x.Verdict, x.Memory)
				}
				fits := x.Verdict == record.VerdictRecommended || x.Verdict == record.VerdictGood || x.Verdict == record.VerdictTight
				if x.Fits != fits {
					t.Errorf("%s: fits %v with verdict %s", key, x.Fits, x.Verdict)
				}
			}
			for _, g := range catalog.GPUs() {
				for _, count := range []int{1, 2, 4, 8} {
					if find(s, g.Name, count, 0) == nil {
						t.Errorf("%d× %s is not listed", count, g.Name)
					}
				}
			}
		})
	}
}

// More demand, longer requests or less memory never turn a set-up that does not fit into one that does.
func TestFitsIsMonotone(t *testing.T) {
	for _, id := range []string{planModel, "Qwen/Qwen2.5-7B-Instruct", "microsoft/phi-4"} {
		base := Request{Model: model(t, id), Demand: record.Demand{ContextTokens: 4096}}
		fits := func(change func(*Request)) map[string]bool {
			req := base
			change(&req)
			out := map[string]bool{}
			for _, x := range sized(t, req).Setups {
				// A set-up the plan adds is another layout of one that is listed: any layout counts.
				key := fmt.Sprint(x.Count, "× ", x.GPU)
				out[key] = out[key] || x.Fits
			}
			return out
		}
		check := func(what string, easier, harder map[string]bool) {
			for key, ok := range harder {
				if ok && !easier[key] {
					t.Errorf("%s, %s: fits the harder demand and not the easier one", id, what)
				}
			}
		}
		previous := fits(func(r *Request) { r.Demand.Concurrent = 1 })
		for _, n := range []int{2, 50, 60, 61, 300, 1000, 3000, 20000} {
			next := fits(func(r *Request) { r.Demand.Concurrent = n })
			check(fmt.Sprintf("%d in flight", n), previous, next)
			previous = next
		}
		previous = fits(func(r *Request) { r.Demand.Concurrent, r.Demand.ContextTokens = 50, 512 })
		for _, n := range []int{1024, 1025, 4096, 8192, 16384} {
			next := fits(func(r *Request) { r.Demand.Concurrent, r.Demand.ContextTokens = 50, n })
			check(fmt.Sprintf("%d tokens", n), previous, next)
			previous = next
		}
		check("utilisation",
			fits(func(r *Request) { r.Demand.Concurrent, r.Engine.GPUMemoryUtilization = 50, 0.95 }),
			fits(func(r *Request) { r.Demand.Concurrent, r.Engine.GPUMemoryUtilization = 50, 0.6 }))
	}
}

// A demand above vLLM's default number of slots is planned with the flag raised, and says so.
func TestManyRequestsRaiseMaxNumSeqs(t *testing.T) {
	req := Request{
		Model:  model(t, "Qwen/Qwen2.5-7B-Instruct"),
		Demand: record.Demand{Concurrent: 400, ContextTokens: 1024},
		GPUs:   []catalog.GPU{card(t, "a100-80gb")}, Counts: []int{1},
	}
	x := sized(t, req).Setups[0]
	if !x.Fits || !strings.Contains(fmt.Sprint(x.Reasons), "--max-num-seqs 400") {
		t.Errorf("400 of 1024 tokens on one A100: %+v", x)
	}
	req.Engine.MaxNumSeqs = 256
	x = sized(t, req).Setups[0]
	if x.Fits || !strings.Contains(fmt.Sprint(x.Reasons), "max_num_seqs 256") {
		t.Errorf("with max_num_seqs 256: %+v", x)
	}
}

func TestLayouts(t *testing.T) {
	for _, c := range []struct {
		model    string
		gpu      string
		count    int
		tp, pp   int
		replicas int
	}{
		{planModel, "a100-80gb", 2, 1, 1, 2},                         // fits one card: replicas
		{planModel, "rtx-3090", 4, 4, 1, 1},                          // two by two do not hold the demand
		{"meta-llama/Llama-3.1-70B-Instruct", "h100", 4, 4, 1, 1},    // one model over all
		{"microsoft/phi-4", "rtx-3060", 4, 2, 2, 1},                  // 10 KV heads: TP 4 cannot be, TP 2 is too little
		{"meta-llama/Llama-3.1-8B-Instruct", "rtx-4090", 8, 1, 1, 8}, // small model: replicas
	} {
		req := Request{
			Model: model(t, c.model), Demand: record.Demand{Concurrent: 50, ContextTokens: 4096},
			GPUs: []catalog.GPU{card(t, c.gpu)}, Counts: []int{c.count},
		}
		x := sized(t, req).Setups[0]
		if x.TensorParallel != c.tp || x.PipelineParallel != c.pp || x.Replicas != c.replicas {
			t.Errorf("%s on %d× %s: TP %d PP %d × %d, want TP %d PP %d × %d", c.model, c.count, c.gpu,
				x.TensorParallel, x.PipelineParallel, x.Replicas, c.tp, c.pp, c.replicas)
		}
	}
}

func TestFixedLayoutIsKept(t *testing.T) {
	req := gemma(t)
	req.Engine.TensorParallel = 2
	for _, x := range sized(t, req).Setups {
		switch {
		case x.Count == 1:
			if x.Verdict != record.VerdictNotEligible {
				t.Errorf("TP 2 on one %s: %s", x.GPU, x.Verdict)
			}
		case x.TensorParallel != 2 || x.Replicas != x.Count/2:
			t.Errorf("%d× %s: TP %d × %d replicas", x.Count, x.GPU, x.TensorParallel, x.Replicas)
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Request)
		want   string
	}{
		{"zero", func(r *Request) { r.Demand.Concurrent = 0 }, "at least 1"},
		{"negative", func(r *Request) { r.Demand.Concurrent = -5 }, "-5 concurrent requests"},
		{"absurd", func(r *Request) { r.Demand.Concurrent = 50_000_000 }, "50,000,000"},
		{"no context", func(r *Request) { r.Demand.ContextTokens = 0 }, "context of 0"},
		{"context above the model's", func(r *Request) { r.Demand.ContextTokens = 1 << 20 }, "131,072"},
		{"negative input", func(r *Request) { r.Demand.InputTokens = -1 }, "negative"},
		{"input above context", func(r *Request) { r.Demand.InputTokens, r.Demand.OutputTokens = 4000, 4000 }, "do not fit a context of 4,096"},
		{"overflow", func(r *Request) { r.Demand.InputTokens, r.Demand.OutputTokens = 1, 1<<63-1 }, "do not fit"},
		{"max_model_len below context", func(r *Request) { r.Engine.MaxModelLen = 2048 }, "max_model_len 2,048"},
		{"max_model_len above the model's", func(r *Request) { r.Engine.MaxModelLen = 1 << 20 }, "max_model_len"},
		{"TP that cannot be", func(r *Request) { r.Engine.TensorParallel = 3 }, "tensor parallel size 3"},
		{"negative TP", func(r *Request) { r.Engine.TensorParallel = -2 }, "negative"},
		{"TP above the counts", func(r *Request) { r.Engine.TensorParallel = 16 }, "16 GPUs"},
		{"utilisation", func(r *Request) { r.Engine.GPUMemoryUtilization = 1.5 }, "gpu_memory_utilization"},
		{"count 0", func(r *Request) { r.Counts = []int{0} }, "set-up of 0 GPUs"},
		{"quantisation", func(r *Request) { r.Engine.Quantization = "q9" }, "q9"},
		{"dtype", func(r *Request) { r.Engine.DType = "fp7" }, "fp7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := gemma(t)
			c.change(&req)
			_, err := Size(req)
			var refused *RequestError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one about %q", err, c.want)
			}
			if strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), "%!") {
				t.Errorf("not one clear line: %q", err)
			}
		})
	}
}

func TestDemandDefaults(t *testing.T) {
	s := sized(t, gemma(t))
	if d := s.Demand; d.InputTokens != 3072 || d.OutputTokens != 1024 {
		t.Errorf("demand %+v, want 3072 in and 1024 out", d)
	}
	if s.Engine.MaxModelLen != 4096 {
		t.Errorf("max_model_len %d, want the context", s.Engine.MaxModelLen)
	}
}

// With windows and without the two capacities differ, and the document says which one decides.
func TestBothCapacities(t *testing.T) {
	s := sized(t, gemma(t))
	a100 := find(s, card(t, "a100-80gb").Name, 1, 1)
	if r := float64(a100.Concurrency.Steady) / float64(a100.Concurrency.Guaranteed); r < 2.4 || r > 2.8 {
		t.Errorf("steady %d over guaranteed %d = %.2f, want about 2.6", a100.Concurrency.Steady, a100.Concurrency.Guaranteed, r)
	}
	if s.Decides.Capacity != record.DecidesSteady || !strings.Contains(s.Decides.Why.En, "window") {
		t.Errorf("decides %+v", s.Decides)
	}
	req := gemma(t)
	req.Model = model(t, "Qwen/Qwen2.5-7B-Instruct")
	if s := sized(t, req); strings.Contains(s.Decides.Why.En, "window") {
		t.Errorf("a model without windows: %s", s.Decides.Why.En)
	}
}

// The size of the whole catalogue, which must stay far below a tenth of a second.
func BenchmarkSize(b *testing.B) {
	req := gemma(b)
	for b.Loop() {
		if _, err := Size(req); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzSize finds no demand or layout that breaks anything but the rules it states.
func FuzzSize(f *testing.F) {
	f.Add(50, 4096, 0, 0, 0, 0.0)
	f.Add(1, 1, 1, 0, 1, 0.92)
	f.Add(300, 8192, 4, 2, 16, 0.5)
	m := model(f, planModel)
	gpus := []catalog.GPU{card(f, "rtx-3090"), card(f, "t4"), card(f, "h100")}
	f.Fuzz(func(t *testing.T, concurrent, context, tp, pp, seqs int, utilisation float64) {
		s, err := Size(Request{
			Model: m, GPUs: gpus, Demand: record.Demand{Concurrent: concurrent, ContextTokens: context},
			Engine: capacity.Engine{TensorParallel: tp, PipelineParallel: pp, MaxNumSeqs: seqs, GPUMemoryUtilization: utilisation},
		})
		if err != nil {
			if !errors.As(err, new(*RequestError)) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if len(s.Setups) != len(gpus)*4 {
			t.Fatalf("%d set-ups", len(s.Setups))
		}
	})
}
