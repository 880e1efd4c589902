package analysis

import (
	"strings"
	"testing"

	"bench/internal/record"
)

// An expectation is the border of the model, above what was tested, and only where the tests did not come to the limit.
func TestExpects(t *testing.T) {
	asked := 0
	burst := func(n, input, output int) (Answer, bool) {
		asked++
		if input != 100 || output != 100 {
			t.Fatalf("a burst of %d/%d tokens was asked for", input, output)
		}
		return Answer{LatencyMS: 1000 + 13*float64(n), KVFull: n >= 700}, n < 5000
	}
	l := &ladder{input: 100, output: 100, machine: &Machine{Burst: burst}}
	for _, n := range []int{1, 2, 4} {
		r := rung{n: float64(n), rec: test("T", n, 1000, 100)}
		l.rungs, l.all = append(l.rungs, r), append(l.all, r)
	}
	it := say("it", "이 지점이")
	for _, tc := range []struct {
		name   string
		broken func(base, at Answer) bool
		want   string
	}{
		{"surge", surges, "note; the model of this set-up sees it near 79 (calculated)"}, // 1000 + 13n > 2 × 1013
		{"KV", fillsKV, "note; the model of this set-up sees it near 700 (calculated)"},
		{"never", func(Answer, Answer) bool { return false }, "note; the model of this set-up sees it at no concurrency up to 1024 (calculated)"},
		{"at once", func(Answer, Answer) bool { return true }, "note; the model of this set-up sees it near 5 (calculated)"},
	} {
		asked = 0
		if got := l.expects(record.Limit{Note: "note"}, it, tc.broken); got.Note != tc.want || !strings.Contains(got.NoteKO, "계산값") {
			t.Errorf("%s: %q, want %q; Korean %q", tc.name, got.Note, tc.want, got.NoteKO)
		}
		if asked > 12 {
			t.Errorf("%s: %d bursts for one border", tc.name, asked)
		}
	}
	if got := l.expects(record.Limit{Note: "note", Reached: true}, it, surges); got.Note != "note" {
		t.Errorf("a limit that was measured: %q", got.Note)
	}
	l.machine.Burst = func(int, int, int) (Answer, bool) { return Answer{}, false }
	if got := l.expects(record.Limit{Note: "note"}, it, surges); got.Note != "note" {
		t.Errorf("an engine that takes no such request: %q", got.Note)
	}
	l.machine = nil
	if got := l.expects(record.Limit{Note: "note"}, it, surges); got.Note != "note" {
		t.Errorf("an unknown set-up: %q", got.Note)
	}
}
