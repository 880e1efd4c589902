package runner

import (
	"testing"

	"bench/internal/record"
)

// answered is a request with its first token after ttft and its last, the hundredth, after latency milliseconds.
func answered(run, index int, ttftMS, latencyMS float64) record.Request {
	ns := func(ms float64) int64 { return int64(ms * 1e6) }
	return record.Request{Run: run, Index: index, FirstTokenNS: new(ns(ttftMS)), LastTokenNS: new(ns(latencyMS)), EndNS: ns(latencyMS),
		CountedTokens: 100, Success: true}
}

// TestSLOCountsFailures: a failed request is within no limit and takes for ever, in the objective as in goodput.
func TestSLOCountsFailures(t *testing.T) {
	for _, c := range []struct {
		failed, slow int
		held         bool
		value        *float64
		good         int
		heldRepeats  int
	}{
		{0, 0, true, new(100.0), 120, 2},
		{0, 6, true, new(100.0), 114, 1},   // all of one repeat's 60: 90 % of it
		{0, 7, false, new(1995.0), 113, 1}, // 113 of 120 are 94.2 %
		{6, 0, true, nil, 114, 1},          // the 95th percentile lies between the slowest success and never
		{7, 0, false, nil, 113, 1},
	} {
		s := &summary{test: record.Test{Runs: 2, Requests: 60}, repeats: map[int][]record.Request{},
			slo: &record.SLO{Percentile: 95, MaxTTFTMS: new(500.0), MaxTPOTMS: new(50.0)}, goodput: &record.Goodput{MaxTTFTMS: new(500.0), MaxLatencyMS: new(9000.0)}}
		for run := range 2 {
			for i := range 60 {
				r := answered(run, i, 100, 2000)
				if run == 0 && i < c.slow {
					r = answered(run, i, 2000, 3900)
				}
				if run == 0 && i < c.failed {
					r = record.Request{Run: run, Index: i, EndNS: 1e9, Error: record.ErrTimeout}
				}
				s.repeats[run] = append(s.repeats[run], r)
			}
		}
		got, good := s.sloResult(s.all()), s.goodputOf(s.all())
		ttft := got.Metrics[0]
		if got.Held != c.held || ttft.Held != c.held || got.HeldRepeats != c.heldRepeats || got.Repeats != 2 || len(got.Metrics) != 2 {
			t.Errorf("%d failed, %d slow: %+v", c.failed, c.slow, got)
		}
		if (ttft.ValueMS == nil) != (c.value == nil) || c.value != nil && (*ttft.ValueMS-*c.value > 100 || *c.value-*ttft.ValueMS > 100) {
			t.Errorf("%d failed, %d slow: p95 is %v", c.failed, c.slow, ttft.ValueMS)
		}
		if good.Good != c.good || good.Of != 120 || *good.Share != float64(c.good)/120 {
			t.Errorf("%d failed, %d slow: goodput %+v", c.failed, c.slow, good)
		}
	}
}

// TestSLOCountsDropped: what an open load never got to send is beyond every limit.
func TestSLOCountsDropped(t *testing.T) {
	s := &summary{test: record.Test{Runs: 1, Requests: 1000, Arrivals: &record.Arrivals{RequestRate: 1}}, repeats: map[int][]record.Request{0: {answered(0, 0, 100, 2000)}},
		stops: map[int]record.Stop{0: {Due: 4}}, slo: &record.SLO{Percentile: 50, MaxTTFTMS: new(500.0)}, goodput: &record.Goodput{MaxTTFTMS: new(500.0)}}
	if got, good := s.sloResult(s.all()), s.goodputOf(s.all()); got.Held || got.Metrics[0].Share != 0.25 || good.Of != 4 || *good.Share != 0.25 {
		t.Errorf("%+v, goodput %+v", got, good)
	}
}
