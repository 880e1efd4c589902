package runner

import (
	"bench/internal/record"
	"bench/internal/stats"
)

// precision is how far the intervals over the repeats reach from their means, as shares of them; nil where there
// are too few repeats for an interval.
func precision(repeats map[int][]record.Request, asked float64) *record.Precision {
	var rates, latencies []float64
	for n := range repeats {
		if len(repeats[n]) == 0 {
			continue
		}
		r := repeatOf(n, repeats[n])
		if r.ThroughputTokensPerSec == nil || r.AvgTotalLatencyMS == nil {
			return nil // failed: more of it makes nothing more precise
		}
		rates, latencies = append(rates, *r.ThroughputTokensPerSec), append(latencies, *r.AvgTotalLatencyMS)
	}
	rate, ok1 := stats.OverRepeats(rates)
	latency, ok2 := stats.OverRepeats(latencies)
	if !ok1 || !ok2 {
		return nil
	}
	p := &record.Precision{Asked: asked, Repeats: len(rates), Throughput: halfWidth(rate), Latency: halfWidth(latency)}
	p.Reached = p.Throughput <= asked && p.Latency <= asked
	return p
}

func halfWidth(iv stats.Interval) float64 { return (iv.High - iv.Low) / 2 / iv.Mean }
