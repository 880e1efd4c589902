package analysis

import (
	"math"
	"slices"

	"bench/internal/record"
	"bench/internal/stats"
)

// Bounds of what is said about a test's repeats. Naming one changes no figure: nothing is left out.
const (
	// oddShare is how far a repeat must lie from the median of the others, as a share of it, to be named, and oddRanges
	// how many times the others' own range.
	oddShare  = 0.1
	oddRanges = 3
	// driftShare is the change from the first repeat to the last from which a trend is named, where it is more than chance.
	driftShare = 0.05
)

// oddities names repeats that are unlike the others of their test, and tests whose figures went one way from repeat to
// repeat: a machine that warms up or slows down, or something that happened once.
func oddities(records []record.Record) []record.RepeatNote {
	out := []record.RepeatNote{}
	for _, r := range records {
		for _, m := range []struct {
			name   string
			figure func(record.Repeat) *float64
		}{
			{"throughput", func(p record.Repeat) *float64 { return p.ThroughputTokensPerSec }},
			{"TTFT", func(p record.Repeat) *float64 { return p.AvgTTFTMS }},
		} {
			var runs []int
			var values []float64
			for _, p := range r.Detail.Repeats {
				if v := m.figure(p); v != nil && *v > 0 {
					runs, values = append(runs, p.Run), append(values, *v)
				}
			}
			note := func(text record.Text) {
				out = append(out, record.RepeatNote{TestID: r.TestID, Note: text.En, NoteKO: text.Ko})
			}
			if i, away := odd(values); i >= 0 {
				note(say("run %d is unlike the others: %s %s away from their median", "%d회차가 나머지와 다름: %s이(가) 중앙값에서 %s 벗어남", runs[i]+1, m.name, signedPercent(away)))
			} else if change, ok := drift(values); ok {
				note(say("%s went one way from run to run, %s from first to last: the server had not settled, or its load changed",
					"%s이(가) 회차마다 한 방향으로 변함(처음부터 끝까지 %s): 서버가 안정되지 않았거나 부하가 달라짐", m.name, signedPercent(change)))
			}
		}
	}
	return out
}

// odd is the repeat that lies apart from all others, and how far; -1 where none does.
func odd(values []float64) (i int, away float64) {
	if len(values) < 3 {
		return -1, 0
	}
	found := -1
	for i, v := range values {
		others := slices.Delete(slices.Clone(values), i, i+1)
		median, _ := stats.Quantile(others, 0.5)
		apart := math.Abs(v - median)
		if apart <= oddShare*median || apart <= oddRanges*(slices.Max(others)-slices.Min(others)) {
			continue
		}
		if found >= 0 {
			return -1, 0 // two that are odd are no longer the exception
		}
		found, away = i, v/median-1
	}
	return found, away
}

// drift is the change from the first value to the last where there are enough for a trend and it is no chance.
func drift(values []float64) (change float64, ok bool) {
	if len(values) < stats.MinRepeats || !stats.Trend(values) {
		return 0, false
	}
	change = values[len(values)-1]/values[0] - 1
	return change, math.Abs(change) >= driftShare
}
