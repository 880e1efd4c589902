package analysis

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"bench/internal/record"
)

// planMatrix is T1–T9 on a server that slows down evenly; T6 and T9 pass twice the baseline.
func planMatrix() []record.Record {
	var out []record.Record
	for i, n := range []int{1, 2, 4, 8, 16, 32} {
		lat := 1000 * (1 + float64(n-1)*0.05)
		out = append(out, test(fmt.Sprintf("T%d", i+1), n, lat, 100_000*float64(n)/lat))
	}
	for i, n := range []int{4, 8, 16} {
		lat := 2200 * (1 + float64(n-1)*0.08)
		rec := test(fmt.Sprintf("T%d", i+7), n, lat, 200_000*float64(n)/lat, shape(500, 200))
		rec.Detail.Baseline = &record.Baseline{TestID: "baseline-500-200", AvgTotalLatencyMS: 2200}
		out = append(out, rec)
	}
	return out
}

func TestLaddersAreShapes(t *testing.T) {
	doc, err := Analyze(Input{Tests: planMatrix()})
	if err != nil {
		t.Fatal(err)
	}
	checkLaws(t, doc)
	if len(doc.Ladders) != 2 {
		t.Fatalf("%d ladders, want 2", len(doc.Ladders))
	}
	short, long := doc.Ladders[0], doc.Ladders[1]
	if got := strings.Join(short.Tests, " "); got != "T1 T2 T3 T4 T5 T6" {
		t.Errorf("short ladder holds %s", got)
	}
	if got := strings.Join(long.Tests, " "); got != "T7 T8 T9" {
		t.Errorf("long ladder holds %s", got)
	}
	wantAt(t, "short surge", short.LatencySurge, 21) // 1 + 1/0.05
	wantAt(t, "short recommended", short.Recommended, 16)
	wantAt(t, "long surge", long.LatencySurge, 13.5) // 1 + 1/0.08
	wantAt(t, "long recommended", long.Recommended, 8)
}

// The order in which records come must not matter, and no mixture may break a law.
func TestAnyMixture(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	classes := []record.ErrorClass{record.ErrTimeout, record.ErrOutOfMemory, record.ErrEngineDead, record.ErrRefused}
	for range 500 {
		var tests []record.Record
		for _, rec := range planMatrix() {
			switch rng.IntN(6) {
			case 0: // missing
				continue
			case 1:
				failed(classes[rng.IntN(len(classes))], 1+rng.IntN(rec.Detail.Requests))(&rec)
			case 2:
				gauges(float64(rng.IntN(33)), float64(rng.IntN(3)), rng.Float64()*1.1, float64(rng.IntN(2)))(&rec)
			case 3:
				noMetrics(&rec)
			case 4:
				[]func(*record.Record){invalid, func(r *record.Record) { r.Results = record.Results{} }}[rng.IntN(2)](&rec)
			}
			tests = append(tests, rec)
		}
		if len(tests) == 0 {
			continue
		}
		doc, err := Analyze(Input{Tests: tests})
		if err != nil {
			t.Fatal(err)
		}
		checkLaws(t, doc)
		rng.Shuffle(len(tests), func(i, j int) { tests[i], tests[j] = tests[j], tests[i] })
		again, err := Analyze(Input{Tests: tests})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(doc, again) {
			t.Fatalf("order of records matters:\n%+v\n%+v", doc, again)
		}
	}
}

func TestLeftOut(t *testing.T) {
	l := analyze(t, test("T1", 1, 1000, 100), test("T2", 2, 9000, 500, invalid))
	if len(l.LeftOut) != 1 || l.LeftOut[0].TestID != "T2" || l.LatencySurge.Reached {
		t.Errorf("left out %+v, surge %+v", l.LeftOut, l.LatencySurge)
	}
	if len(l.Tests) != 2 {
		t.Errorf("tests %v: a left-out test must still be listed", l.Tests)
	}
}

func TestExpectations(t *testing.T) {
	one := test("T1", 1, 1000, 100)
	for _, c := range []struct {
		name                         string
		tests                        []record.Record
		stable, maximum, recommended string
	}{
		{"as the plan expects", []record.Record{one, test("T2", 2, 1500, 180), test("T3", 4, 1800, 300), test("T4", 8, 3000, 400),
			test("T5", 16, 5000, 450, gauges(10, 6, 1, 4))}, "4 as_expected", "8 as_expected", "4 as_expected"},
		{"better", []record.Record{one, test("T4", 8, 1500, 500), test("T5", 16, 1800, 800)}, "16+ higher", "16+ higher", "16+ higher"},
		{"worse", []record.Record{one, test("T2", 2, 2500, 110, gauges(1, 1, 1, 2)), test("T3", 4, 5000, 111, failed(record.ErrTimeout, 3))}, "1 lower", "1 lower", "1 as_expected"},
		{"the ladder ends too early", []record.Record{one}, "1+ not_measured", "1+ not_measured", "1+ as_expected"},
		{"all failed", []record.Record{test("T1", 1, 1000, 100, failed(record.ErrRefused, 3))}, "- not_measured", "- not_measured", "- not_measured"},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc, err := Analyze(Input{Tests: c.tests})
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []string{c.stable, c.maximum, c.recommended} {
				e := doc.Expectations[i]
				got := "-"
				if e.Measured != nil {
					got = count(*e.Measured)
				}
				if e.AtLeast {
					got += "+"
				}
				if got += " " + e.Verdict; got != want {
					t.Errorf("%s: %s, want %s", e.Name, got, want)
				}
			}
		})
	}
}

func TestExpectationsNameAnotherCard(t *testing.T) {
	for _, c := range []struct {
		run  record.Run
		want string
	}{
		{record.Run{}, "not known"},
		{record.Run{GPUs: []record.GPUInfo{{Name: "NVIDIA A100-SXM4-80GB"}}}, "measured on NVIDIA A100"},
		{record.Run{GPUs: []record.GPUInfo{{Name: "NVIDIA GeForce RTX 3090"}}}, ""},
		{record.Run{Simulated: true, Simulation: &record.Simulation{GPU: "rtx-3090"}}, "simulated on rtx-3090"},
	} {
		if got := whereMeasured(Input{Run: c.run}).En; c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.run, got, c.want)
		}
	}
}

func TestHeadline(t *testing.T) {
	doc, err := Analyze(Input{Tests: planMatrix()})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"A single request (100/100 tokens in/out) gets its first token after 50.0 ms, then 104 tokens/s, and is complete after 1.00 s.",
		"Run it at 16 requests at once (100/100 tokens): 914 tokens/s in all, each answer in 1.75 s, 1.75 × a single request, and every request answered; at 32 latency is 2.55 × baseline; with longer requests (500/200) at 8.",
		"Which GPUs the target needs was not calculated: run `bench size`.",
	}
	for i := range want {
		if doc.Headline[i] != want[i] {
			t.Errorf("sentence %d:\n got %s\nwant %s", i+1, doc.Headline[i], want[i])
		}
	}
}

func TestHeadlineWithSizing(t *testing.T) {
	option := func(count int, buy *float64) *record.Option {
		return &record.Option{Rank: count, GPU: "A100 80GB", Count: count, TensorParallel: count, Price: &record.Price{BuyUSD: buy, HourUSD: new(3.5)}}
	}
	sizing := &record.Sizing{Model: record.SizedModel{ID: "google/gemma-3-12b-it"}, Demand: record.Demand{Concurrent: 50, ContextTokens: 4096}}
	for _, c := range []struct {
		options record.Options
		en, ko  string
	}{
		{record.Options{},
			"None of the GPU set-ups considered carries 50 concurrent requests of google/gemma-3-12b-it (4,096 tokens each).",
			"검토한 GPU 구성 중 다음을 처리할 수 있는 것이 없습니다: google/gemma-3-12b-it 동시 요청 50개(요청당 4,096 토큰)."},
		{record.Options{Minimum: option(1, new(15000.0)), Recommended: option(2, nil), CheapestCloud: option(1, new(15000.0))},
			"Calculated, not measured: 50 concurrent requests of google/gemma-3-12b-it (4,096 tokens each) need at least 1 × A100 80GB ($15,000); recommended is 2 × A100 80GB (TP 2); the cheapest in the cloud is 1 × A100 80GB at $3.50 an hour.",
			"계산값(실측 아님): google/gemma-3-12b-it 동시 요청 50개(요청당 4,096 토큰)에는 최소 1 × A100 80GB ($15,000), 권장 2 × A100 80GB (TP 2) 구성이 필요하며, 클라우드 최저가는 1 × A100 80GB, 시간당 $3.50입니다."},
		{record.Options{Minimum: option(2, new(30000.0)), Recommended: option(2, new(30000.0))},
			"Calculated, not measured: 50 concurrent requests of google/gemma-3-12b-it (4,096 tokens each) need 2 × A100 80GB (TP 2, $30,000), the minimum and the recommended set-up.",
			"계산값(실측 아님): google/gemma-3-12b-it 동시 요청 50개(요청당 4,096 토큰)에는 최소이자 권장 사양인 2 × A100 80GB (TP 2, $30,000) 구성이 필요합니다."},
	} {
		sizing.Options = c.options
		if got := sizingSentence(sizing); got.En != c.en || got.Ko != c.ko {
			t.Errorf("got  %s\n     %s\nwant %s\n     %s", got.En, got.Ko, c.en, c.ko)
		}
	}
}

func TestSimulatedIsSaid(t *testing.T) {
	rec := test("T1", 1, 1000, 100)
	rec.Detail.Simulated = true
	for _, in := range []Input{{Tests: []record.Record{rec}}, {Baselines: []record.Record{rec}}, {Run: record.Run{Simulated: true}, Tests: []record.Record{test("T1", 1, 1000, 100)}}} {
		doc, err := Analyze(in)
		if err != nil {
			t.Fatal(err)
		}
		if !doc.Simulated || !strings.HasPrefix(doc.Headline[0], "Simulated") || !strings.HasPrefix(doc.Headline[1], "Simulated") ||
			!strings.HasPrefix(doc.HeadlineKO[0], "시뮬레이션") {
			t.Errorf("simulated %v, headline %q", doc.Simulated, doc.Headline)
		}
	}
}
