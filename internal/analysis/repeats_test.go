package analysis

import (
	"strings"
	"testing"

	"bench/internal/record"
)

func TestOddities(t *testing.T) {
	repeats := func(throughputs ...float64) record.Record {
		r := record.Record{TestID: "T4"}
		for i, v := range throughputs {
			r.Detail.Repeats = append(r.Detail.Repeats, record.Repeat{Run: i, ThroughputTokensPerSec: &v, AvgTTFTMS: new(100.0)})
		}
		return r
	}
	for _, tc := range []struct {
		name   string
		record record.Record
		want   string
	}{
		{"alike", repeats(470, 472, 469), ""},
		{"one fell behind", repeats(470, 310, 474), "run 2 is unlike the others: throughput -34.3 %"},
		{"all differ", repeats(470, 310, 620), ""},
		{"a little apart", repeats(470, 440, 471), ""},
		{"two of four", repeats(470, 310, 474, 312), ""},
		{"two repeats", repeats(470, 310), ""},
		{"falls", repeats(500, 490, 480, 470, 460), "throughput went one way from run to run, -8.0 % from first to last"},
		{"falls by nothing", repeats(500, 499, 498, 497, 496), ""},
		{"up and down", repeats(500, 460, 490, 470, 480), ""},
		{"four that fall", repeats(500, 480, 460, 440), ""},
	} {
		notes := oddities([]record.Record{tc.record})
		switch {
		case notes == nil:
			t.Errorf("%s: null", tc.name)
		case tc.want == "" && len(notes) > 0:
			t.Errorf("%s: %q, want nothing", tc.name, notes[0].Note)
		case tc.want != "" && (len(notes) != 1 || !strings.HasPrefix(notes[0].Note, tc.want) || notes[0].NoteKO == ""):
			t.Errorf("%s: %+v, want %q", tc.name, notes, tc.want)
		}
	}
	// Both figures of one test are looked at.
	r := repeats(470, 472, 469)
	r.Detail.Repeats[0].AvgTTFTMS = new(190.0)
	if notes := oddities([]record.Record{r}); len(notes) != 1 || !strings.Contains(notes[0].Note, "run 1 is unlike the others: TTFT +90.0 %") {
		t.Errorf("TTFT: %+v", notes)
	}
}
