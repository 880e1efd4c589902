package sizing

import (
	"strings"
	"testing"

	"bench/internal/record"
)

// The plan's nine candidates are listed with the tensor parallel size it names, at its prices.
func TestPlanCandidatesAreListed(t *testing.T) {
	s := sized(t, gemma(t))
	if s.Plan == nil || len(s.Plan.Candidates) != 9 {
		t.Fatalf("plan %+v", s.Plan)
	}
	for i, c := range []struct {
		gpu       string
		count     int
		usd       float64
		steadyLow int // what it holds at least and at most
		steadyTop int
	}{
		{"rtx-3090", 1, 1500, 0, 0}, {"rtx-4090", 1, 2000, 0, 0}, {"a6000", 1, 4500, 28, 36},
		{"a100-40gb", 1, 10000, 18, 22}, {"a100-80gb", 1, 15000, 80, 88}, {"h100", 1, 30000, 76, 84},
		{"a100-80gb", 2, 30000, 190, 220}, {"a100-40gb", 4, 40000, 180, 210}, {"h100", 2, 60000, 180, 210},
	} {
		x := find(s, card(t, c.gpu).Name, c.count, c.count)
		if x == nil {
			t.Errorf("%d× %s at TP %d is not listed", c.count, c.gpu, c.count)
			continue
		}
		if *x.Price.BuyUSD != c.usd {
			t.Errorf("%d× %s costs %v, the plan says %v", c.count, c.gpu, *x.Price.BuyUSD, c.usd)
		}
		p := s.Plan.Candidates[i]
		if p.GPU != x.GPU || p.Count != c.count || p.PlanPriceUSD != c.usd || p.Rank != x.Rank {
			t.Errorf("row %d: %+v", i, p)
		}
		if p.Steady == nil || *p.Steady < c.steadyLow || *p.Steady > c.steadyTop || *p.Guaranteed > *p.Steady {
			t.Errorf("%s: holds %v (guaranteed %v), want %d to %d", p.Name, *p.Steady, *p.Guaranteed, c.steadyLow, c.steadyTop)
		}
	}
}

// The review is of the plan's own case, whatever else was asked.
func TestPlanReviewStandsByItself(t *testing.T) {
	whole := sized(t, gemma(t))
	other := gemma(t)
	other.Demand = record.Demand{Concurrent: 3, ContextTokens: 512}
	other.Engine.Quantization = "fp8"
	s := sized(t, other)
	for i, c := range s.Plan.Candidates {
		if want := whole.Plan.Candidates[i]; *c.Steady != *want.Steady || c.Comment != want.Comment {
			t.Errorf("%s: %d, %d in the plan's own case", c.Name, *c.Steady, *want.Steady)
		}
	}
	other.Model = model(t, "google/gemma-3-27b-it")
	if sized(t, other).Plan != nil {
		t.Error("the plan is reviewed for a model it is not about")
	}
}

func TestPlanErrors(t *testing.T) {
	list, err := PlanErrors()
	if err != nil {
		t.Fatal(err)
	}
	// What each must say: the right value beside the plan's.
	want := []struct{ plan, truth string }{
		{"36", "48 layers: 8 with full attention, 40"}, {"16", "8 KV heads"}, {"128", "head_dim 256"},
		{"294,912", "393,216"}, {"4,096", "40 of 48"}, {"1.15 GB", "1.21 GB"}, {"token", "65 pages"},
		{"24 GB", "24.37 GB = 22.70 GiB: 12,187,325,040"}, {"8 GB", "GiB on an A100 80 GB"}, {"5 GB", "0.40 GiB alone"},
		{"whole card", "72.91 GiB"}, {"94.5 GB", "36.33 GiB"}, {"half", "refuses FP16"}, {"speed", "12.0 ms"},
	}
	if len(list) != len(want) {
		t.Fatalf("%d errors, want %d", len(list), len(want))
	}
	for i, e := range list {
		if e.Number != i+1 {
			t.Errorf("error %d is number %d", i+1, e.Number)
		}
		if !strings.Contains(e.Plan.En, want[i].plan) || !strings.Contains(e.Truth.En, want[i].truth) {
			t.Errorf("error %d: plan %q, truth %q; want %q and %q", e.Number, e.Plan.En, e.Truth.En, want[i].plan, want[i].truth)
		}
		for _, text := range []record.Text{e.Topic, e.Plan, e.Truth, e.Why} {
			if text.En == "" || text.Ko == "" || strings.Contains(text.En+text.Ko, "%!") {
				t.Errorf("error %d: bad text %+v", e.Number, text)
			}
		}
	}
	five := list[4]
	for _, figure := range []string{"581 MiB", "1.50 GiB"} {
		if !strings.Contains(five.Truth.En, figure) || !strings.Contains(five.Truth.Ko, figure) {
			t.Errorf("error 5 lacks %s: %+v", figure, five.Truth)
		}
	}
	if !strings.Contains(five.Why.En, "28.37 GiB of KV, not 75.00 GiB") {
		t.Errorf("error 5: %s", five.Why.En)
	}
}

func TestPlanSummary(t *testing.T) {
	p := sized(t, gemma(t)).Plan
	for _, text := range append(p.Remarks, p.Summary) {
		if text.En == "" || text.Ko == "" || strings.Contains(text.En+text.Ko, "%!") {
			t.Errorf("bad text %+v", text)
		}
	}
	if !strings.Contains(p.Summary.En, "94.5 GB") || len(p.Remarks) != 2 || !strings.Contains(p.Remarks[1].En, "$21.96") {
		t.Errorf("summary %+v, remarks %+v", p.Summary, p.Remarks)
	}
}
