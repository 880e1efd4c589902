package runner

import (
	"fmt"
	"math"
	"slices"
	"time"

	"bench/internal/record"
	"bench/internal/stats"
)

// SLOTest is a test of n in flight to judge an objective by: each place is taken twice at least, and there are as many
// requests in all as its percentile needs to be printed (see [stats.MinN]).
func SLOTest(n int, shape Shape, runs int, percentile float64) record.Test {
	enough := (stats.MinN(percentile/100) + runs - 1) / runs
	return record.Test{ID: fmt.Sprintf("slo%d-%s", n, shape), Kind: record.KindConcurrent, Purpose: sloPurpose, Concurrent: n,
		InputTokens: shape.InputTokens, OutputTokens: shape.OutputTokens, Runs: runs, Requests: max(2*n, enough)}
}

const sloPurpose = "sustained, for an objective"

// limitOf is one limit with the metric it is of.
type limitOf struct {
	metric string
	ms     *float64
	of     func(*record.Request) (time.Duration, bool)
}

// limits are those that are given. Of an open load times count from the schedule: what a user waits.
func (s *summary) limits(ttft, tpot, latency *float64) []limitOf {
	all := []limitOf{{"ttft", ttft, (*record.Request).TTFT}, {"tpot", tpot, (*record.Request).TPOT}, {"total_latency", latency, (*record.Request).Latency}}
	if s.test.Arrivals != nil {
		all[0].of, all[2].of = (*record.Request).DueTTFT, (*record.Request).DueLatency
	}
	return slices.DeleteFunc(all, func(l limitOf) bool { return l.ms == nil })
}

// within says whether a request succeeded inside the limit. A time that is not defined, as the TPOT of one token, exceeds
// nothing.
func (l limitOf) within(r *record.Request) bool {
	d, ok := l.of(r)
	return r.Success && (!ok || ms(d) <= *l.ms)
}

// share is the part of n requests that are within the limit.
func (l limitOf) share(rs []record.Request, n int) float64 {
	good := 0
	for i := range rs {
		if l.within(&rs[i]) {
			good++
		}
	}
	return float64(good) / float64(max(n, 1))
}

// value is the percentile of the metric where a request that failed takes for ever; nil where that reaches into it.
func (l limitOf) value(rs []record.Request, p float64) *float64 {
	var xs []float64
	for i := range rs {
		d, ok := l.of(&rs[i])
		switch {
		case !rs[i].Success:
			xs = append(xs, math.Inf(1))
		case ok:
			xs = append(xs, ms(d))
		}
	}
	slices.Sort(xs)
	v := stats.PercentileSorted(xs, p)
	if v == nil || math.IsInf(*v, 0) || math.IsNaN(*v) {
		return nil
	}
	return v
}

// sloResult judges the objective; nil where none was asked for.
func (s *summary) sloResult(all []record.Request) *record.SLOResult {
	if s.slo == nil {
		return nil
	}
	p := s.slo.Percentile / 100
	out := &record.SLOResult{SLO: *s.slo, Held: len(all) > 0, Metrics: []record.SLOMetric{}}
	settled := s.settled()
	limits := s.limits(s.slo.MaxTTFTMS, s.slo.MaxTPOTMS, s.slo.MaxLatencyMS)
	for _, l := range limits {
		m := record.SLOMetric{Metric: l.metric, LimitMS: *l.ms, ValueMS: l.value(all, p), Share: l.share(all, len(all)+s.dropped())}
		m.Held = m.Share >= p
		if len(settled) > 0 {
			m.ShareSteady = new(l.share(settled, len(settled)))
			// The first requests of an open load meet an empty server, and are no part of what it holds for long.
			m.Held = m.Held && (s.test.Arrivals == nil || *m.ShareSteady >= p)
		}
		out.Held = out.Held && m.Held
		out.Metrics = append(out.Metrics, m)
	}
	for n := range s.test.Runs {
		rs := s.repeats[n]
		if len(rs) == 0 {
			continue
		}
		out.Repeats++
		if !slices.ContainsFunc(limits, func(l limitOf) bool { return l.share(rs, len(rs)) < p }) {
			out.HeldRepeats++
		}
	}
	out.Held = out.Held && len(s.stops) == 0 // what grows without bound holds nothing
	return out
}

// goodputOf counts the requests within all limits; nil where none were given.
func (s *summary) goodputOf(all []record.Request) *record.Goodput {
	if s.goodput == nil {
		return nil
	}
	out := *s.goodput
	limits := s.limits(out.MaxTTFTMS, out.MaxTPOTMS, out.MaxLatencyMS)
	for i := range all {
		if !slices.ContainsFunc(limits, func(l limitOf) bool { return !l.within(&all[i]) }) {
			out.Good++
		}
	}
	out.Of = len(all) + s.dropped()
	seconds := 0.0
	for n := range s.test.Runs {
		if rs := s.repeats[n]; len(rs) > 0 {
			start, end := window(rs)
			seconds += time.Duration(end - start).Seconds()
		}
	}
	if out.Of > 0 {
		out.Share = new(float64(out.Good) / float64(out.Of))
	}
	if seconds > 0 {
		out.PerSec = new(float64(out.Good) / seconds)
	}
	return &out
}

// dropped is how many requests of an open load were due and never sent.
func (s *summary) dropped() int {
	n := 0
	for _, stop := range s.stops {
		n += max(0, stop.Due-len(s.repeats[stop.Run]))
	}
	return n
}
