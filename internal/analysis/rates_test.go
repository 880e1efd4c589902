package analysis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"bench/internal/record"
)

// atRate is a record of an open load whose objective held in some of its repeats.
func atRate(rate float64, held, repeats int, steady bool, over *record.Saturation) record.Record {
	o := &record.OpenLoad{Arrivals: record.Arrivals{RequestRate: rate, Burstiness: new(1.0)}, Oversaturated: over, Steady: record.Steady{}}
	rec := record.Record{TestID: fmt.Sprintf("rate%v-x%d", rate, repeats), InputTokens: 100, MaxOutputTokens: 100, Results: record.Results{SuccessRate: new(1.0)},
		Trust: record.Trust{Verdict: record.TrustSound}}
	for n := range repeats {
		w := record.SteadyWindow{Run: n}
		if steady {
			w.StartNS, w.EndNS = new(int64(1)), new(int64(2))
		}
		o.Steady.Windows = append(o.Steady.Windows, w)
		rec.Detail.Repeats = append(rec.Detail.Repeats, record.Repeat{Run: n})
	}
	rec.Detail.OpenLoad = o
	rec.Detail.SLO = &record.SLOResult{SLO: record.SLO{Percentile: 95, MaxTTFTMS: new(1000.0)}, Held: 2*held > repeats, HeldRepeats: held, Repeats: repeats,
		Metrics: []record.SLOMetric{{Metric: "ttft", LimitMS: 1000, Share: 0.9}}}
	return rec
}

// TestRateSearchFindsTheBorder: for a server whose true border is known, and whose repeats near it go by chance, the search ends
// with an interval that holds it, in few tests.
func TestRateSearchFindsTheBorder(t *testing.T) {
	inside, tests, trials := 0, 0, 0
	for _, border := range []float64{0.3, 1, 3.7, 20, 55} {
		for seed := range uint64(40) {
			rng := rand.New(rand.NewPCG(seed, 7))
			search := RateSearch{Like: atRate(1, 1, 1, true, nil), Start: 4, Least: 0.01, Runs: 3}
			var in Input
			for added := 0; ; added++ {
				rate, repeats, done := search.Next(in, added)
				if done.En != "" {
					if !strings.Contains(done.En, "holds at") && added < MaxRungs {
						t.Fatalf("border %v: the search ends: %s", border, done.En)
					}
					break
				}
				held := 0
				for range repeats {
					// Within some 5 % of the border chance decides.
					if rate*math.Exp(0.05*rng.NormFloat64()) < border {
						held++
					}
				}
				in.Open = append(in.Open, atRate(rate, held, repeats, true, nil))
				tests++
			}
			l := buildRates(in)
			if len(l) != 1 {
				t.Fatalf("%d ladders", len(l))
			}
			slo := l[0].judge().SLO
			trials++
			if slo.RequestRate != nil && math.Abs(math.Log(*slo.RequestRate/border)) < math.Log(1.2) && (slo.Low == nil || *slo.Low <= border*1.1) && (slo.High == nil || *slo.High >= border/1.1) {
				inside++
			}
		}
	}
	t.Logf("the border lay where the search says in %d of %d, %.1f tests on average", inside, trials, float64(tests)/float64(trials))
	if inside < trials*95/100 || tests > 11*trials {
		t.Errorf("%d of %d borders were found, in %d tests", inside, trials, tests)
	}
}

// TestSustainedRate: what was stopped bounds it from above, what was steady from below, and a load that ended before either
// decides nothing.
func TestSustainedRate(t *testing.T) {
	over := &record.Saturation{Seen: record.SeenQueue, AfterS: 20, Early: 5, Late: 60}
	for _, c := range []struct {
		recs []record.Record
		at   float64
		high float64
		says string
	}{
		{[]record.Record{atRate(4, 1, 1, true, nil), atRate(1, 1, 1, true, nil), atRate(8, 0, 1, false, over)}, 4, 8, "4 requests/s and not with 8"},
		{[]record.Record{atRate(1, 1, 1, true, nil), atRate(4, 1, 1, false, nil)}, 1, 0, "none above it was stopped"},
		{[]record.Record{atRate(4, 1, 1, false, nil), atRate(8, 0, 1, false, over)}, 0, 8, "steady at none"},
		{[]record.Record{atRate(4, 1, 1, false, nil)}, 0, 0, "no load was long enough"},
	} {
		for i := range c.recs {
			c.recs[i].Detail.SLO = nil // or the headline would be about the objective
		}
		got := buildRates(Input{Open: c.recs})[0].judge().Sustained
		if a, err := Analyze(Input{Open: c.recs}); err != nil || !strings.Contains(a.Headline[1], c.says) {
			t.Errorf("the headline says %q, %v, want %q", a.Headline, err, c.says)
		}
		value := func(v *float64) float64 {
			if v == nil {
				return 0
			}
			return *v
		}
		if value(got.RequestRate) != c.at || value(got.High) != c.high || got.Reached != (c.high > 0) || !strings.Contains(got.Note, c.says) || got.NoteKO == "" || len(got.Evidence) != len(c.recs) {
			t.Errorf("%+v, want %v to %v and %q", got, c.at, c.high, c.says)
		}
	}
}

// TestBurstAlone: an objective that only the opening burst breaks is named as that.
func TestBurstAlone(t *testing.T) {
	at := func(n int, share, later float64) record.Record {
		rec := atRate(1, 0, 1, true, nil)
		rec.Detail.OpenLoad, rec.ConcurrentRequests, rec.Detail.Kind = nil, n, record.KindConcurrent
		rec.Detail.SLO.Held = share >= 0.95
		rec.Detail.SLO.Metrics[0].Share, rec.Detail.SLO.Metrics[0].ShareSteady = share, new(later)
		return rec
	}
	for later, want := range map[float64]bool{1: true, 0.9: false} {
		doc, err := Analyze(Input{Tests: []record.Record{at(4, 1, 1), at(8, 0.9, later)}})
		if err != nil {
			t.Fatal(err)
		}
		if note := doc.Ladders[0].SLO.Note; strings.Contains(note, "opening burst alone") != want {
			t.Errorf("%v of the later requests within: %s", later, note)
		}
	}
}
