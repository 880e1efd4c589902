package report

import (
	"fmt"
	"slices"
	"testing"

	"bench/internal/analysis"
	"bench/internal/record"
)

// rates is a search for the largest rate that holds an objective, with probes beside its tests: what the server takes is 9 a
// second, where its load was steady and where it was not, one test that was stopped.
func rates(t testing.TB) Input {
	var in Input
	spread := func(n int, mean float64) *record.Distribution {
		return &record.Distribution{N: n, Mean: mean, Min: mean / 2, Max: 3 * mean, P50: new(mean), P90: new(1.5 * mean), P95: new(1.7 * mean), P99: new(2.5 * mean)}
	}
	for i, rate := range []float64{0.25, 2, 4, 8, 9.5, 16} {
		wait := 100 + 20*rate*rate
		rec := record.Record{Schema: record.SchemaRecord, TestID: fmt.Sprintf("slo-rate%d-100-100", i), ConcurrentRequests: 4 * (i + 1), InputTokens: 100, MaxOutputTokens: 100,
			Status: record.StatusSuccess, Trust: record.Trust{Verdict: record.TrustSound, Findings: []record.Finding{}},
			Results: record.Results{AvgTTFTMS: &wait, AvgTotalLatencyMS: new(20 * wait), SuccessRate: new(1.0), Errors: []record.ErrorCount{}}}
		o := &record.OpenLoad{Arrivals: record.Arrivals{RequestRate: rate, Burstiness: new(1.0)}, OfferedPerSec: &rate, SentPerSec: &rate, AchievedPerSec: new(min(rate, 9)),
			TTFT: spread(400, wait), Latency: spread(400, 20*wait), PeakInFlight: 4 * (i + 1), MeanInFlight: new(rate * wait / 50)}
		o.Steady = record.Steady{Windows: []record.SteadyWindow{{StartNS: new(int64(5e9)), EndNS: new(int64(60e9))}}, Requests: 350, Share: 0.875,
			TTFT: spread(350, 1.1*wait), TPOT: spread(350, 20), Latency: spread(350, 22*wait), AchievedPerSec: &rate, MeanInFlight: new(rate * wait / 45)}
		if rate > 8 {
			o.Steady = record.Steady{Windows: []record.SteadyWindow{{Why: &record.Text{En: "the number in flight went from 20.0 to 80.0", Ko: "처리 중인 요청 수가 20.0에서 80.0(으)로 변함"}}}}
		}
		if rate > 10 {
			o.Oversaturated = &record.Saturation{Seen: record.SeenQueue, AfterS: 21, Early: 3, Late: 79, GrowthPerSec: 11.8}
			rec.Status = record.StatusFailure
		}
		rec.Detail = record.Detail{Kind: record.KindOpen, OpenLoad: o, TPOT: spread(400, 20), Repeats: []record.Repeat{{Requests: 400, Succeeded: 400}},
			SLO: &record.SLOResult{SLO: record.SLO{Percentile: 95, MaxTTFTMS: new(2000.0)}, Held: rate < 9, HeldRepeats: map[bool]int{true: 1}[rate < 9], Repeats: 1,
				Metrics: []record.SLOMetric{{Metric: "ttft", LimitMS: 2000, ValueMS: new(1.7 * wait), Share: 0.96, ShareSteady: new(0.955), Held: rate < 9}}},
			Probe: &record.ProbeResult{Probe: record.Probe{RequestRate: 0.5, InputTokens: 64, OutputTokens: 16}, Requests: 30, Succeeded: 29,
				TTFT: spread(29, wait/2), TPOT: spread(29, 18), Latency: spread(29, wait), File: "probes/x.jsonl"}}
		in.Open = append(in.Open, rec)
	}
	in.Open[0].Detail.Probe.TTFT, in.Open[0].Detail.Probe.TPOT, in.Open[0].Detail.Probe.Latency, in.Open[0].Detail.Probe.Succeeded = nil, nil, nil, 0
	slices.Reverse(in.Open)
	doc, err := analysis.Analyze(analysis.Input{Open: in.Open})
	if err != nil {
		t.Fatal(err)
	}
	in.Analysis = &doc
	return in
}
