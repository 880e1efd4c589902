package analysis

import (
	"slices"
	"strings"
	"testing"

	"bench/internal/record"
)

var objective = record.SLO{Percentile: 95, MaxTTFTMS: new(1000.0)}

// sloTest is a test of n in flight in which so many of three repeats held the objective.
func sloTest(n, held int) record.Record {
	return test("slo", n, 1000, 100, func(r *record.Record) {
		r.Detail.SLO = &record.SLOResult{SLO: objective, Held: held >= 2, HeldRepeats: held, Repeats: 3,
			Metrics: []record.SLOMetric{{Metric: "ttft", LimitMS: 1000, ValueMS: new(900.0), Share: 0.96, Held: held >= 2}}}
	})
}

// TestNextSLORung: wherever the border lies and the search starts, it ends between two neighbours that were tested, no test is
// made twice, and what another objective or a burst measured has no say.
func TestNextSLORung(t *testing.T) {
	for _, limit := range []int{0, 1, 2, 3, 7, 8, 9, 20, 31, 33, 100, 777, 5000} {
		for _, start := range []int{1, 8, 100} {
			const most = 1024
			in := Input{Tests: []record.Record{test("T4", 8, 1000, 100), test("T6", 32, 90_000, 100)}}
			have := map[int]bool{}
			for added := 0; ; added++ {
				n, done := NextSLORung(in, 100, 100, record.Workload{}, objective, added, start, most)
				if done.En != "" {
					break
				}
				if have[n] || n < 1 || n > most || added > MaxRungs {
					t.Fatalf("limit %d from %d: asks for %d again or beyond %d, after %d tests", limit, start, n, most, added)
				}
				have[n] = true
				held := 3
				if n > limit {
					held = 0
				}
				in.Tests = append(in.Tests, sloTest(n, held))
			}
			doc, err := Analyze(in)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(doc.Ladders, func(l record.Ladder) bool { return l.SLO != nil })
			l := doc.Ladders[i].SLO
			switch {
			case len(doc.Ladders) != 2 || doc.Ladders[1-i].SLO != nil:
				t.Errorf("limit %d: ladders %+v", limit, doc.Ladders)
			case limit == 0:
				if l.Concurrent != nil || !l.Reached || *l.High != 1 {
					t.Errorf("nothing holds: %+v", l)
				}
			case limit >= most:
				if *l.Concurrent != most || l.Reached {
					t.Errorf("all hold: %+v", l)
				}
			case *l.Concurrent > float64(limit) || *l.High <= float64(limit) || len(have) < MaxRungs && *l.High-*l.Concurrent > max(1, gapShare**l.Concurrent) || *l.Low != *l.Concurrent:
				t.Errorf("limit %d from %d: found %v, between %v and %v", limit, start, *l.Concurrent, *l.Low, *l.High)
			}
			if l.Note == "" || l.NoteKO == "" || !strings.Contains(strings.Join(doc.Headline, " "), "p95 TTFT ≤ 1.00 s") && doc.Ladders[0].SLO != nil {
				t.Errorf("limit %d: %+v, %v", limit, l, doc.Headline)
			}
		}
	}
}

// TestSLOBorder: where the repeats of a test disagree, the border's interval reaches to tests in which they do not.
func TestSLOBorder(t *testing.T) {
	doc, err := Analyze(Input{Tests: []record.Record{sloTest(8, 3), sloTest(16, 2), sloTest(18, 1), sloTest(24, 0), sloTest(32, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	l := doc.Ladders[0].SLO
	if *l.Concurrent != 16 || *l.Low != 8 || *l.High != 24 || !l.Reached || !strings.Contains(l.Note, "holds at 16 (2 of 3 repeats), broken at 18 (held in 1 of 3)") {
		t.Errorf("%+v", l)
	}
}
