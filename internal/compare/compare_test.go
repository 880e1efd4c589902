package compare

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"bench/internal/record"
)

// test is a record of n at once whose repeats have the given throughputs; its latencies follow from them.
func test(id string, n int, throughputs ...float64) record.Record {
	r := record.Record{TestID: id, ConcurrentRequests: n, InputTokens: 100, MaxOutputTokens: 100,
		Trust: record.Trust{Verdict: record.TrustSound}}
	r.Detail.Kind = "concurrent"
	for i, v := range throughputs {
		r.Detail.Repeats = append(r.Detail.Repeats, record.Repeat{Run: i, Requests: n, Succeeded: n,
			ThroughputTokensPerSec: &v, AvgTPOTMS: new(1e3 * float64(n) / v), AvgTTFTMS: new(1e4 / v), AvgTotalLatencyMS: new(1e5 * float64(n) / v)})
	}
	return r
}

func side(name string, recs ...record.Record) Side {
	return Side{Name: name, Source: record.SourceBench, Records: recs}
}

func TestVerdicts(t *testing.T) {
	for _, tc := range []struct {
		name string
		a, b []float64
		want record.Change // of the throughput
	}{
		{"five repeats, no overlap", []float64{100, 101, 99, 100, 100}, []float64{80, 81, 79, 80, 80}, record.ChangeWorse},
		{"five repeats, faster", []float64{100, 101, 99, 100, 100}, []float64{120, 121, 119, 120, 120}, record.ChangeBetter},
		{"five repeats, within 2 %", []float64{100, 100.1, 99.9, 100, 100}, []float64{101, 101.1, 100.9, 101, 101}, record.ChangeSame},
		{"five repeats that scatter", []float64{100, 120, 80, 110, 90}, []float64{95, 112, 78, 101, 88}, record.ChangeUnclear},
		{"three repeats, far apart", []float64{100, 101, 99}, []float64{80, 81, 79}, record.ChangeWorse},
		{"three repeats, apart but no more than their ranges", []float64{100, 104, 96}, []float64{91, 88, 92}, record.ChangeUnclear},
		{"three repeats, all within 2 %", []float64{100, 100.5, 99.7}, []float64{100.2, 100, 100.9}, record.ChangeSame},
		{"two repeats", []float64{100, 101}, []float64{50, 51}, record.ChangeUnclear},
		{"one repeat", []float64{100}, []float64{50}, record.ChangeUnclear},
	} {
		doc, err := Compare(side("A", test("T4", 8, tc.a...)), side("B", test("T4", 8, tc.b...)), Options{})
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		m := doc.Tests[0].Metrics[0]
		if m.Verdict != tc.want {
			t.Errorf("%s: %s (change %+.3f), want %s", tc.name, m.Verdict, *m.Change, tc.want)
		}
		if interval := len(tc.a) >= 5; (m.ChangeLow != nil) != interval || (m.ChangeHigh != nil) != interval {
			t.Errorf("%s: interval %v to %v", tc.name, m.ChangeLow, m.ChangeHigh)
		}
	}
}

// What is better one way is worse the other, for every figure.
func TestTheOtherWayRound(t *testing.T) {
	a, b := side("A", test("T4", 8, 100, 101, 99, 100, 100)), side("B", test("T4", 8, 80, 81, 79, 80, 82))
	there, _ := Compare(a, b, Options{})
	back, _ := Compare(b, a, Options{})
	if there.Verdict != record.ChangeWorse || back.Verdict != record.ChangeBetter {
		t.Fatalf("verdicts %s and back %s", there.Verdict, back.Verdict)
	}
	for i, m := range there.Tests[0].Metrics {
		n := back.Tests[0].Metrics[i]
		opposite := map[record.Change]record.Change{record.ChangeWorse: record.ChangeBetter, record.ChangeSame: record.ChangeSame}[m.Verdict]
		if n.Verdict != opposite {
			t.Errorf("%s: %s, back %s", m.Metric, m.Verdict, n.Verdict)
		}
	}
}

// Two sides that differ in nothing but chance are called different in about one comparison of twenty, however many
// figures they have, with intervals and without.
func TestFalseAlarms(t *testing.T) {
	const comparisons = 1000
	for _, repeats := range []int{3, 5, 10} {
		rng := rand.New(rand.NewPCG(11, uint64(repeats)))
		draw := func(name string) Side {
			var recs []record.Record
			for n := range 9 {
				var values []float64
				for range repeats {
					values = append(values, 1000+60*rng.NormFloat64())
				}
				r := test("T", n+1, values...)
				for i := range r.Detail.Repeats { // the figures independent of each other: the worst case
					p := &r.Detail.Repeats[i]
					for _, v := range []**float64{&p.AvgTTFTMS, &p.AvgTPOTMS, &p.AvgTotalLatencyMS} {
						*v = new(100 + 6*rng.NormFloat64())
					}
				}
				recs = append(recs, r)
			}
			return side(name, recs...)
		}
		alarms := 0
		for range comparisons {
			doc, err := Compare(draw("A"), draw("B"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if doc.Verdict != record.ChangeSame {
				alarms++
			}
		}
		if share := float64(alarms) / comparisons; share > 0.08 {
			t.Errorf("%d repeats: %.1f %% of comparisons of equals are called different, want about 5", repeats, 100*share)
		}
	}
}

func TestFailuresAreNoChance(t *testing.T) {
	for _, tc := range []struct {
		a, b []int // succeeded of 8
		want record.Change
	}{
		{[]int{8, 8, 8}, []int{8, 8, 8}, record.ChangeSame},
		{[]int{8, 8, 8}, []int{8, 7, 8}, record.ChangeWorse},
		{[]int{8, 7, 8}, []int{8, 8, 8}, record.ChangeBetter},
		{[]int{7, 6, 7}, []int{2, 3, 2}, record.ChangeWorse},
		{[]int{7, 3, 7}, []int{2, 5, 2}, record.ChangeUnclear},
	} {
		a, b := test("T4", 8, 100, 100, 100), test("T4", 8, 100, 100, 100)
		for i := range tc.a {
			a.Detail.Repeats[i].Succeeded, b.Detail.Repeats[i].Succeeded = tc.a[i], tc.b[i]
		}
		doc, err := Compare(side("A", a), side("B", b), Options{})
		if err != nil {
			t.Fatal(err)
		}
		metrics := doc.Tests[0].Metrics
		if m := metrics[len(metrics)-1]; m.Metric != "success_rate" || m.Verdict != tc.want {
			t.Errorf("%v and %v succeeded: %s %s, want %s", tc.a, tc.b, m.Metric, m.Verdict, tc.want)
		}
	}
	// A test that failed as a whole has no other figure.
	dead := test("T4", 8, 100, 100, 100)
	for i := range dead.Detail.Repeats {
		dead.Detail.Repeats[i] = record.Repeat{Run: i, Requests: 8}
	}
	doc, err := Compare(side("A", test("T4", 8, 100, 100, 100)), side("B", dead), Options{MaxRegression: new(0.05)})
	if err != nil || doc.Verdict != record.ChangeWorse || doc.Gate.Passed {
		t.Errorf("a dead test: %v, %+v", err, doc.Gate)
	}
}

func TestGate(t *testing.T) {
	a := side("A", test("T4", 8, 100, 101, 99), test("T5", 16, 100, 120, 80))
	b := side("B", test("T4", 8, 90, 91, 89), test("T5", 16, 85, 105, 65))
	for allowed, want := range map[float64]bool{0.05: false, 0.2: true} {
		doc, err := Compare(a, b, Options{MaxRegression: &allowed})
		if err != nil || doc.Gate.Passed != want {
			t.Errorf("%g allowed: %v, passed %v", allowed, err, doc.Gate.Passed)
		}
		for _, name := range doc.Gate.Failed {
			if !strings.HasPrefix(name, "T4 ") {
				t.Errorf("%g allowed: %s failed, but its repeats scatter as much", allowed, name)
			}
		}
	}
	doc, _ := Compare(a, b, Options{MaxRegression: new(0.05)})
	if !slices.Contains(doc.Gate.Undecided, "T5 throughput_tokens_per_sec") {
		t.Errorf("undecided: %v", doc.Gate.Undecided)
	}
	if _, err := Compare(side("A", test("T4", 8, 100)), side("B", test("T4", 8, 50)), Options{MaxRegression: new(0.05)}); err == nil || !strings.Contains(err.Error(), "--runs 3") {
		t.Errorf("a gate over single repeats: %v, want a refusal", err)
	}
}

func TestRefusals(t *testing.T) {
	ok := test("T4", 8, 100, 100, 100)
	base := side("A", ok)
	base.Run.Settings = record.Settings{Endpoint: "chat", Temperature: 0.7}
	with := func(change func(*Side)) Side {
		s := side("B", ok)
		s.Run.Settings = base.Run.Settings
		change(&s)
		return s
	}
	many := test("T4", 8, 100)
	many.Detail.Repeats[0].Requests = 80
	for _, tc := range []struct {
		name, want string
		b          Side
	}{
		{"simulated", "simulated", with(func(s *Side) { s.Run.Simulated = true })},
		{"endpoint", "--endpoint is chat and completions", with(func(s *Side) { s.Run.Settings.Endpoint = "completions" })},
		{"temperature", "--temperature is 0.7 and 0", with(func(s *Side) { s.Run.Settings.Temperature = 0 })},
		{"empty", "B holds no test", with(func(s *Side) { s.Records = nil })},
		{"other concurrency", "no test in common", with(func(s *Side) { s.Records = []record.Record{test("T5", 16, 100)} })},
		{"sustained", "another load", with(func(s *Side) { s.Records = []record.Record{many} })},
	} {
		if _, err := Compare(base, tc.b, Options{}); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want a line with %q", tc.name, err, tc.want)
		}
	}
}

// What cannot be believed is not compared, and what only one side has is named.
func TestLeftOut(t *testing.T) {
	bad := test("T3", 4, 100, 100, 100)
	bad.Trust = record.Trust{Verdict: record.TrustInvalid, Findings: []record.Finding{{Check: "books"}}}
	doc, err := Compare(side("A", test("T2", 2, 1, 1, 1), bad, test("T4", 8, 1, 1, 1)),
		side("B", test("T3", 4, 1, 1, 1), test("T4", 8, 1, 1, 1), test("T5", 16, 1, 1, 1)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, l := range doc.Left {
		ids = append(ids, l.TestID)
		if l.Reason == "" {
			t.Errorf("%s is left out without a reason", l.TestID)
		}
	}
	if !reflect.DeepEqual(ids, []string{"T2", "T3", "T5"}) || len(doc.Tests) != 1 || doc.Tests[0].TestID != "T4" {
		t.Errorf("left out %v, compared %+v", ids, doc.Tests)
	}
}
