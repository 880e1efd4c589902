package sizing

import (
	"strings"
	"testing"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
)

func gemmaRequest(t testing.TB, gpus ...string) Request {
	t.Helper()
	m, err := catalog.FindModel("google/gemma-3-12b-it")
	if err != nil {
		t.Fatal(err)
	}
	req := Request{Model: m, Demand: record.Demand{Concurrent: 50, ContextTokens: 4096}}
	for _, name := range gpus {
		req.GPUs = append(req.GPUs, mustGPU(name))
	}
	return req
}

// TestLimits: a set-up that holds the demand and is expected to miss a limit is too slow, is never chosen, and
// says by how much.
func TestLimits(t *testing.T) {
	req := gemmaRequest(t)
	open, err := Size(req)
	if err != nil {
		t.Fatal(err)
	}
	req.Demand.MaxTPOTMS = 40
	limited, err := Size(req)
	if err != nil {
		t.Fatal(err)
	}
	slow := 0
	for _, s := range limited.Setups {
		if s.Speed == nil || !s.Fits {
			continue
		}
		missed := s.Speed.TPOTMS > 40
		if missed != (s.Verdict == record.VerdictTooSlow) {
			t.Errorf("%d × %s at %.1f ms a token: %s", s.Count, s.GPU, s.Speed.TPOTMS, s.Verdict)
		}
		if missed {
			slow++
		}
	}
	if slow == 0 {
		t.Error("no set-up is too slow for 40 ms a token")
	}
	for name, o := range map[string]*record.Option{"minimum": limited.Options.Minimum, "recommended": limited.Options.Recommended, "cheapest": limited.Options.CheapestCloud} {
		if o == nil || limited.Setups[o.Rank-1].Speed.TPOTMS > 40 {
			t.Errorf("%s is %+v", name, o)
		}
	}
	if *limited.Options.Recommended.Price.BuyUSD < *open.Options.Recommended.Price.BuyUSD {
		t.Error("a limit makes the recommendation cheaper")
	}
	req.Demand.MaxTPOTMS = 0.1
	none, err := Size(req)
	if err != nil || none.Options.Minimum != nil {
		t.Errorf("0.1 ms a token is met by %+v (%v)", none.Options.Minimum, err)
	}
}

// TestLimitPicksLayout: where a limit needs it, tensor parallelism comes before replicas.
func TestLimitPicksLayout(t *testing.T) {
	req := gemmaRequest(t, "h100")
	req.Counts = []int{4}
	req.Demand.Concurrent = 20
	doc, err := Size(req)
	if err != nil {
		t.Fatal(err)
	}
	free := doc.Setups[0]
	req.Demand.MaxTPOTMS = free.Speed.TPOTMS * 0.6
	doc, err = Size(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := doc.Setups[0]; free.Replicas != 4 || got.TensorParallel <= free.TensorParallel || got.Speed.TPOTMS > req.Demand.MaxTPOTMS {
		t.Errorf("without a limit TP %d × %d replicas at %.1f ms, with one of %.1f ms TP %d at %.1f ms",
			free.TensorParallel, free.Replicas, free.Speed.TPOTMS, req.Demand.MaxTPOTMS, got.TensorParallel, got.Speed.TPOTMS)
	}
}

// TestPerMillion is the price of an hour over the tokens of an hour.
func TestPerMillion(t *testing.T) {
	doc, err := Size(gemmaRequest(t, "h100", "rtx-3060"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range doc.Setups {
		if s.Price == nil || s.Price.HourUSD == nil || s.Speed == nil {
			if s.Price != nil && s.Price.PerMillionUSD != nil {
				t.Errorf("%d × %s has a price per million without an hourly price or a speed", s.Count, s.GPU)
			}
			continue
		}
		hours := 1e6 / (s.Speed.OutputTokensPerSec * 3600)
		if got, want := *s.Price.PerMillionUSD, hours**s.Price.HourUSD; got < 0.999*want || got > 1.001*want {
			t.Errorf("%d × %s: %.3f $ per million, want %.3f", s.Count, s.GPU, got, want)
		}
	}
}

// TestOwnPrices take the catalogue's place, dated as the file says.
func TestOwnPrices(t *testing.T) {
	req := gemmaRequest(t, "h100", "a100-80gb")
	req.Prices = []catalog.OwnPrice{{GPU: mustGPU("h100").Name, BuyUSD: new(1000.0), HourUSD: new(0.5), AsOf: "2026-11-02", Note: "used"}}
	doc, err := Size(req)
	if err != nil {
		t.Fatal(err)
	}
	s := doc.Setups[0]
	if s.GPU != mustGPU("h100").Name || *s.Price.BuyUSD != 1000*float64(s.Count) || *s.Price.HourUSD != 0.5*float64(s.Count) ||
		s.Price.AsOf != "2026-11-02" || s.Price.Hour.Provider != ownProvider {
		t.Errorf("first is %d × %s at %+v", s.Count, s.GPU, s.Price)
	}
}

// TestSavingsNamed: the flags of a set-up are vLLM's, at most three, the largest first.
func TestSavingsNamed(t *testing.T) {
	doc, err := Size(gemmaRequest(t, "h100"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range doc.Setups {
		if s.Dominant == nil || s.Dominant.Name != "weights" || len(s.Savings) == 0 || len(s.Savings) > bestSavings {
			t.Errorf("%d × %s: dominant %+v, savings %+v", s.Count, s.GPU, s.Dominant, s.Savings)
		}
		for i, v := range s.Savings {
			if !strings.HasPrefix(v.Flag, "--") || v.Price.En == "" || v.Price.Ko == "" || i > 0 && v.FreedBytes > s.Savings[i-1].FreedBytes {
				t.Errorf("%d × %s: saving %+v", s.Count, s.GPU, v)
			}
		}
	}
}

// TestExplain: the terms of a set-up add up to its pool.
func TestExplain(t *testing.T) {
	req := gemmaRequest(t, "h100")
	req.Explain = true
	doc, err := Size(req)
	if err != nil {
		t.Fatal(err)
	}
	e := doc.Explain
	if e == nil || doc.Setups[e.Rank-1].Verdict != record.VerdictRecommended {
		t.Fatalf("explained: %+v", e)
	}
	names := map[string]bool{}
	for _, term := range e.Terms {
		names[term.Name.En] = true
		if term.Value == "" || term.Formula == "" || term.Source.En == "" || term.Source.Ko == "" {
			t.Errorf("a term is not explained: %+v", term)
		}
	}
	for _, want := range []string{"budget", "weights", "activations", "KV pool", "steady", "TPOT", "TTFT", "throughput"} {
		if !names[want] {
			t.Errorf("%s is not explained", want)
		}
	}
}

// TestCheckFigures: what a card cannot do is impossible, what was published for it is not.
func TestCheckFigures(t *testing.T) {
	m, err := catalog.FindModel("meta-llama/Llama-3.1-8B-Instruct")
	if err != nil {
		t.Fatal(err)
	}
	at := func(gpu string, n, in, out int, f Figures) record.FigureCheck {
		t.Helper()
		doc, err := CheckFigures(FigureRequest{Model: m, GPU: mustGPU(gpu), Engine: capacity.Engine{MaxModelLen: 8192}, Figures: f,
			Load: capacity.Load{Concurrent: n, InputTokens: in, OutputTokens: out}})
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	for _, tc := range []struct {
		what string
		doc  record.FigureCheck
		want record.FigureVerdict
		says string
	}{
		// 15 GB in 5 ms is 3,000 GB/s; an A100 40 GB has 1,555.
		{"TPOT above bandwidth", at("a100-40gb", 1, 100, 100, Figures{TPOTMS: new(5.0)}), record.FigureImpossible, "full bandwidth"},
		{"measured TPOT", at("a100-40gb", 1, 256, 348, Figures{TPOTMS: new(13.3)}), record.FigurePlausible, "within"},
		{"slow TPOT", at("a100-40gb", 1, 256, 348, Figures{TPOTMS: new(60.0)}), record.FigureUnlikely, "host"},
		// 8,000 tokens of 8B are 0.13 PFLOP, 0.4 s at 312 TFLOPS.
		{"TTFT above the peak", at("a100-40gb", 1, 8000, 100, Figures{TTFTMS: new(50.0)}), record.FigureImpossible, "prefix cache"},
		{"throughput above bandwidth", at("a100-40gb", 2, 100, 100, Figures{Throughput: new(400.0)}), record.FigureImpossible, "in flight"},
		{"half an H100", at("h100", 1, 100, 300, Figures{TPOTMS: new(12.0)}), record.FigureUnlikely, "PCIe"},
		{"figures that contradict each other", at("h100", 8, 100, 100, Figures{TTFTMS: new(40.0), TPOTMS: new(8.0), Throughput: new(1100.0)}), record.FigureImpossible, "contradict"},
		{"a rate held back", at("h100", 64, 100, 100, Figures{TTFTMS: new(100.0), TPOTMS: new(9.0), Throughput: new(1500.0)}), record.FigureUnlikely, "max_num_seqs"},
	} {
		if tc.doc.Verdict != tc.want {
			t.Errorf("%s: %s, want %s: %+v", tc.what, tc.doc.Verdict, tc.want, tc.doc.Figures)
		}
		var text []string
		for _, f := range tc.doc.Figures {
			for _, r := range f.Reasons {
				text = append(text, r.En)
			}
		}
		for _, n := range tc.doc.Notes {
			text = append(text, n.En)
		}
		if all := strings.Join(text, " "); !strings.Contains(all, tc.says) {
			t.Errorf("%s does not say %q: %s", tc.what, tc.says, all)
		}
	}
	for _, f := range []Figures{{}, {TPOTMS: new(0.0)}, {TTFTMS: new(-1.0)}} {
		if _, err := CheckFigures(FigureRequest{Model: m, GPU: mustGPU("h100"), Figures: f, Load: capacity.Load{Concurrent: 1, InputTokens: 1, OutputTokens: 1}}); err == nil {
			t.Errorf("%+v was checked", f)
		}
	}
}

// What no measurement stands behind is said in Korean too.
func TestCaveatsInKorean(t *testing.T) {
	for _, name := range catalog.ModelIDs() {
		m, err := catalog.FindModel(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range catalog.GPUs() {
			for _, e := range []capacity.Engine{{TensorParallel: 16, Quantization: "nvfp4"}, {PipelineParallel: 2, EnforceEager: true, DType: "float32"}} {
				for _, c := range capacity.SpeedCaveats(m, g, e) {
					if caveatsInKorean[c] == "" {
						t.Fatalf("%q is not said in Korean", c)
					}
				}
			}
		}
	}
}
