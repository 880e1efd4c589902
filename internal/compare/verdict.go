package compare

import (
	"fmt"
	"math"
	"slices"

	"bench/internal/record"
	"bench/internal/stats"
)

// Thresholds of the verdicts.
const (
	// relevant is the change below which a figure counts as the same once that is shown: an idle server's own
	// repeats lie about so far apart, and nobody buys another card for it.
	relevant = 0.02
	// confidence is that of all intervals of a comparison together.
	confidence = 0.95
	// fewest is the number of repeats a side from which a change can be told from chance without an interval.
	fewest = 3
	// apart is how many times the wider side's range must lie between the two sides where there are too few repeats
	// for an interval. Three values against three that differ in nothing lie so in 0.15 % of cases, so that the
	// four figures of nine tests give a false alarm in about 5 % of comparisons, as the intervals do.
	apart = 2
)

// simultaneous is the level of each of n intervals such that all hold together (Bonferroni).
func simultaneous(n int) float64 { return 1 - (1-confidence)/float64(n) }

// metric is one compared figure, named as in the record.
type metric struct {
	name   string
	repeat func(record.Repeat) *float64
	lower  bool // is better
	share  bool // of 0–1: the change is a difference, not a ratio
}

func metrics() []metric {
	return []metric{
		{"throughput_tokens_per_sec", func(p record.Repeat) *float64 { return p.ThroughputTokensPerSec }, false, false},
		{"avg_ttft_ms", func(p record.Repeat) *float64 { return p.AvgTTFTMS }, true, false},
		{"avg_tpot_ms", func(p record.Repeat) *float64 { return p.AvgTPOTMS }, true, false},
		{"avg_total_latency_ms", func(p record.Repeat) *float64 { return p.AvgTotalLatencyMS }, true, false},
		{"success_rate", succeeded, false, true},
	}
}

func succeeded(p record.Repeat) *float64 {
	if p.Requests == 0 {
		return nil
	}
	return new(float64(p.Succeeded) / float64(p.Requests))
}

func (p pair) compare(level float64, a, b Side) record.ComparedTest {
	t := record.ComparedTest{
		TestID: p.a.TestID, ConcurrentRequests: p.a.ConcurrentRequests,
		InputTokens: p.a.InputTokens, MaxOutputTokens: p.a.MaxOutputTokens,
		RequestsPerRepeat: perRepeat(p.a), Doubts: []string{}, Metrics: []record.ComparedMetric{},
	}
	for i, r := range []record.Record{p.a, p.b} {
		if r.Trust.Verdict == record.TrustDoubtful {
			t.Doubts = append(t.Doubts, fmt.Sprintf("%s: %s", []string{a.Name, b.Name}[i], checks(r)))
		}
	}
	for _, m := range metrics() {
		c := m.compare(p.a.Detail.Repeats, p.b.Detail.Repeats, level)
		if c.A != nil || c.B != nil {
			t.Metrics = append(t.Metrics, c)
		}
	}
	return t
}

func (m metric) compare(a, b []record.Repeat, level float64) record.ComparedMetric {
	c := record.ComparedMetric{Metric: m.name, ARepeats: m.values(a), BRepeats: m.values(b), Verdict: record.ChangeUnclear}
	c.A, c.B = mean(c.ARepeats), mean(c.BRepeats)
	switch {
	case c.A == nil || c.B == nil:
		c.Note = "one side has no value"
	case m.share:
		c.Change = new(*c.B - *c.A)
		c.Verdict = m.failures(c)
	case *c.A <= 0:
		c.Note = "A is not positive"
	default:
		c.Change = new(*c.B / *c.A - 1)
		m.judge(&c, level)
	}
	return c
}

func (m metric) values(repeats []record.Repeat) []float64 {
	out := []float64{}
	for _, p := range repeats {
		if v := m.repeat(p); v != nil {
			out = append(out, *v)
		}
	}
	return out
}

func mean(xs []float64) *float64 {
	v, ok := stats.Mean(xs)
	if !ok {
		return nil
	}
	return &v
}

// failures judges the success rate. A failed request is a fact and no scatter: one where there was none is a change.
func (m metric) failures(c record.ComparedMetric) record.Change {
	switch {
	case *c.Change == 0:
		return record.ChangeSame
	case *c.A == 1:
		return record.ChangeWorse
	case *c.B == 1:
		return record.ChangeBetter
	case slices.Max(c.BRepeats) < slices.Min(c.ARepeats) && min(len(c.ARepeats), len(c.BRepeats)) >= fewest:
		return record.ChangeWorse
	case slices.Min(c.BRepeats) > slices.Max(c.ARepeats) && min(len(c.ARepeats), len(c.BRepeats)) >= fewest:
		return record.ChangeBetter
	}
	return record.ChangeUnclear
}

// judge sets the interval and the verdict of a ratio.
func (m metric) judge(c *record.ComparedMetric, level float64) {
	low, high, shown := 0.0, 0.0, false
	if iv, ok := stats.OverRatio(c.ARepeats, c.BRepeats, level); ok {
		low, high, shown = iv.Low-1, iv.High-1, true
		c.ChangeLow, c.ChangeHigh = &low, &high
	} else if min(len(c.ARepeats), len(c.BRepeats)) < fewest {
		c.Note = "too few repeats"
		return
	} else {
		low, high, shown = m.ranges(c)
	}
	switch {
	case low > -relevant && high < relevant:
		c.Verdict = record.ChangeSame
	case shown && (low > 0 || high < 0):
		c.Verdict = record.ChangeBetter
		if (*c.Change > 0) == m.lower {
			c.Verdict = record.ChangeWorse
		}
	}
}

// ranges are the least and the greatest change that any two repeats of the sides make; shown says whether the sides
// lie far enough apart to be no chance.
func (m metric) ranges(c *record.ComparedMetric) (low, high float64, shown bool) {
	aLow, aHigh := slices.Min(c.ARepeats), slices.Max(c.ARepeats)
	bLow, bHigh := slices.Min(c.BRepeats), slices.Max(c.BRepeats)
	if aLow <= 0 {
		return math.Inf(-1), math.Inf(1), false
	}
	gap := max(bLow-aHigh, aLow-bHigh)
	return bLow/aHigh - 1, bHigh/aLow - 1, gap > 0 && gap > apart*max(aHigh-aLow, bHigh-bLow)
}

// overall is the verdict of all figures together.
func overall(tests []record.ComparedTest) (v record.Change, unclear int) {
	better, worse := 0, 0
	for _, t := range tests {
		for _, m := range t.Metrics {
			switch m.Verdict {
			case record.ChangeBetter:
				better++
			case record.ChangeWorse:
				worse++
			case record.ChangeUnclear:
				unclear++
			}
		}
	}
	switch {
	case better > 0 && worse > 0:
		return record.ChangeMixed, unclear
	case better > 0:
		return record.ChangeBetter, unclear
	case worse > 0:
		return record.ChangeWorse, unclear
	}
	return record.ChangeSame, unclear
}

// gate fails on a figure that is worse by more than allowed, unless the repeats' own scatter explains it.
func gate(tests []record.ComparedTest, allowed float64) *record.Gate {
	g := &record.Gate{MaxRegression: allowed, Failed: []string{}, Undecided: []string{}}
	for _, t := range tests {
		for _, c := range t.Metrics {
			m := metrics()[slices.IndexFunc(metrics(), func(m metric) bool { return m.name == c.Metric })]
			name := t.TestID + " " + c.Metric
			switch {
			case c.Change == nil || !m.beyond(*c.Change, allowed):
			case c.Verdict == record.ChangeWorse:
				g.Failed = append(g.Failed, name)
			default:
				g.Undecided = append(g.Undecided, name)
			}
		}
	}
	g.Passed = len(g.Failed) == 0
	return g
}

// beyond says whether a change is for the worse by more than allowed.
func (m metric) beyond(change, allowed float64) bool {
	if m.lower {
		return change > allowed
	}
	return change < -allowed
}
