package report

import (
	"slices"
	"testing"

	"bench/internal/record"
)

// A limit is marked where it was measured, and only on the charts that show what it is about.
func TestLimitMarks(t *testing.T) {
	in := nine(t)
	recs := ladders(in.Tests)[0]
	l := ladderOf(in, recs[0])
	*l = record.Ladder{InputTokens: l.InputTokens, MaxOutputTokens: l.MaxOutputTokens, Baseline: &record.Baseline{TestID: "baseline", AvgTotalLatencyMS: 1500},
		OOM:          record.Limit{Reached: true, Concurrent: new(32.0)},
		LatencySurge: record.Limit{Reached: true, Concurrent: new(11.5)},
		Saturation:   record.Limit{Reached: true, Concurrent: new(16.0)},
		Recommended:  record.Limit{Reached: true, Concurrent: new(8.0)}}
	for _, m := range metrics() {
		var s series
		for _, r := range recs[:5] { // at 32 nothing was answered
			s.means = append(s.means, point{float64(r.ConcurrentRequests), 100})
		}
		var kinds []limitKind
		for _, mark := range m.marks(in, recs, s) {
			kinds = append(kinds, mark.kind)
			want := map[limitKind]point{limitRecommended: {8, 100}, limitSaturated: {16, 100}, limitMemory: {x: 32}, limitSurge: {11.5, 3}}[mark.kind]
			if mark.at != want {
				t.Errorf("%s: %s at %v, want %v", m.name, mark.kind.label(), mark.at, want)
			}
		}
		want := []limitKind{limitRecommended, limitMemory}
		switch m.name {
		case "throughput":
			want = append(want, limitSaturated)
		case "latency":
			want = append(want, limitSurge)
		}
		if !slices.Equal(kinds, want) {
			t.Errorf("%s marks %v, want %v", m.name, kinds, want)
		}
	}
	l.OOM.Reached, l.LatencySurge.Reached, l.Saturation.Reached, l.Recommended.Reached = false, false, false, false
	for _, m := range metrics() {
		if marks := m.marks(in, recs, series{}); len(marks) > 0 {
			t.Errorf("%s marks what was not reached: %v", m.name, marks)
		}
	}
}

// Of many requests a few are drawn, never other values, and always the lowest and the highest.
func TestThinSorted(t *testing.T) {
	var many []float64
	for i := range 997 {
		many = append(many, float64(i*i))
	}
	for _, n := range []int{2, 8, 100, 996, 997, 2000} {
		got := thinSorted(many, n)
		if len(got) != min(n, len(many)) || got[0] != many[0] || got[len(got)-1] != many[len(many)-1] || !slices.IsSorted(got) {
			t.Errorf("%d of %d: %d values from %v to %v", n, len(many), len(got), got[0], got[len(got)-1])
		}
		for _, v := range got {
			if _, ok := slices.BinarySearch(many, v); !ok {
				t.Fatalf("%v was not measured", v)
			}
		}
	}
	if got := thinSorted(nil, 8); len(got) != 0 {
		t.Errorf("nothing became %v", got)
	}
}

// Only answered requests of the repeats that count are dots.
func TestRequestDots(t *testing.T) {
	in := nine(t)
	for _, r := range in.Tests {
		dots := requestDots(in, r)
		answered := r.ConcurrentRequests - r.ConcurrentRequests/7 // the made-up folder fails every seventh
		if len(dots[0]) != answered || len(dots[1]) != answered || !slices.IsSorted(dots[0]) || !slices.IsSorted(dots[1]) {
			t.Errorf("%s: %d and %d dots, want %d", r.TestID, len(dots[0]), len(dots[1]), answered)
		}
		r.Detail.Repeats = slices.Clone(r.Detail.Repeats)
		r.Detail.Repeats[0].Attempt = 1 // the one on disk was abandoned
		if dots := requestDots(in, r); len(dots[0]) != 0 {
			t.Errorf("%s: %d dots of an abandoned attempt", r.TestID, len(dots[0]))
		}
	}
}
