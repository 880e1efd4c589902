package runner

import (
	"fmt"
	"strings"
	"testing"

	"bench/internal/record"
)

func TestMatrixIsThePlans(t *testing.T) {
	want := "T1 1 100/100, T2 2 100/100, T3 4 100/100, T4 8 100/100, T5 16 100/100, T6 32 100/100, T7 4 500/200, T8 8 500/200, T9 16 500/200"
	var got []string
	for _, test := range Matrix(3) {
		if err := CheckTest(test); err != nil {
			t.Errorf("%s: %v", test.ID, err)
		}
		if test.Requests != test.Concurrent || test.Runs != 3 {
			t.Errorf("%s is %d runs of %d requests", test.ID, test.Runs, test.Requests)
		}
		got = append(got, fmt.Sprintf("%s %d %d/%d", test.ID, test.Concurrent, test.InputTokens, test.OutputTokens))
	}
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("matrix is %s\nwant      %s", s, want)
	}
}

func TestSingleBearsTheMatrixName(t *testing.T) {
	for _, c := range []struct {
		n, in, out, requests int
		id                   string
		sent                 int
	}{
		{8, 100, 100, 0, "T4", 8}, {16, 500, 200, 0, "T9", 16}, {16, 100, 100, 64, "T5", 64},
		{8, 500, 100, 0, "c8-500-100", 8}, {24, 100, 100, 0, "c24-100-100", 24},
	} {
		got := Single(c.n, Shape{c.in, c.out}, 3, c.requests)
		if got.ID != c.id || got.Requests != c.sent {
			t.Errorf("%d at once of %d/%d: %s with %d requests, want %s with %d", c.n, c.in, c.out, got.ID, got.Requests, c.id, c.sent)
		}
	}
}

func TestBaselinesAreAddedWhereNoneIs(t *testing.T) {
	show := func(tests []record.Test) string {
		var ids []string
		for _, test := range tests {
			ids = append(ids, test.ID)
		}
		return strings.Join(ids, " ")
	}
	rec := func(n, in, out int, latency *float64) record.Record {
		return record.Record{ConcurrentRequests: n, InputTokens: in, MaxOutputTokens: out, Results: record.Results{AvgTotalLatencyMS: latency}}
	}
	m := Matrix(3)
	for _, c := range []struct {
		what  string
		tests []record.Test
		have  []record.Record
		want  string
	}{
		{"the matrix has T1, and none of 500/200", m, nil, "T1 T2 T3 T4 T5 T6 baseline-500-200 T7 T8 T9"},
		{"one test alone", m[3:4], nil, "baseline-100-100 T4"},
		{"measured before", m[3:4], []record.Record{rec(1, 100, 100, new(5.0))}, "T4"},
		{"measured in another shape", m[3:4], []record.Record{rec(1, 500, 200, new(5.0))}, "baseline-100-100 T4"},
		{"measured, but every request failed", m[3:4], []record.Record{rec(1, 100, 100, nil)}, "baseline-100-100 T4"},
		{"only several at once were measured", m[3:4], []record.Record{rec(2, 100, 100, new(5.0))}, "baseline-100-100 T4"},
	} {
		if got := show(WithBaselines(c.tests, c.have, 3)); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

func TestParseMatrix(t *testing.T) {
	got, err := ParseMatrix("m", strings.NewReader(`
tests:
  - {concurrent: 8}
  - {concurrent: 3, input_tokens: 1000, output_tokens: 50, runs: 5, requests: 30, id: long, purpose: mine}
`), 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].ID != "T4" || got[0].Runs != 3 || describe(got[1]) != "3 at once, 1000/50 tokens, 5 runs of 30 requests" || got[1].ID != "long" {
		t.Errorf("got %+v", got)
	}
	if same, err := ParseMatrix("m", strings.NewReader(`{"tests":[{"concurrent":8}]}`), 3); err != nil || same[0] != got[0] {
		t.Errorf("as JSON: %+v, %v", same, err)
	}
	for _, c := range []struct{ what, text, want string }{
		{"empty", "", "the file is empty"},
		{"no tests", "tests: []", "0 tests"},
		{"a misspelt member", "tests: [{concurrency: 8}]", "line 1"},
		{"not a number", "tests:\n- concurrent: many", "line 2"},
		{"nothing at once", "tests: [{input_tokens: 5}]", "test 1: 0 concurrent requests"},
		{"negative", "tests: [{concurrent: 2, runs: -1}]", "test 1: -1 runs"},
		{"twice", "tests: [{concurrent: 8}, {concurrent: 8}]", `"T4" stands twice`},
		{"an id that leaves the folder", "tests: [{concurrent: 8, id: ../x}]", "cannot name a file"},
		{"not YAML", "\x00", "matrix m"},
		{"huge", strings.Repeat("# x\n", 1<<19), "larger than 1 MiB"},
	} {
		if _, err := ParseMatrix("m", strings.NewReader(c.text), 3); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error is %v, want one line with %q", c.what, err, c.want)
		}
	}
}

func TestTestsThatDoNotFitTheContext(t *testing.T) {
	if err := CheckContext(Matrix(3), 700); err != nil {
		t.Errorf("700 tokens hold all: %v", err)
	}
	if err := CheckContext(Matrix(3), 0); err != nil {
		t.Errorf("an unknown context: %v", err)
	}
	err := CheckContext(Matrix(3), 699)
	if err == nil || !strings.Contains(err.Error(), "T7, T8, T9") || !strings.Contains(err.Error(), "--max-model-len 700") {
		t.Errorf("error is %v", err)
	}
}

func FuzzParseMatrix(f *testing.F) {
	f.Add("tests: [{concurrent: 8}]")
	f.Add("tests:\n- &a {concurrent: 1}\n- *a\n")
	f.Fuzz(func(t *testing.T, text string) {
		tests, err := ParseMatrix("m", strings.NewReader(text), 3)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, test := range tests {
			if err := CheckTest(test); err != nil || seen[test.ID] {
				t.Errorf("accepted %+v: %v, twice %v", test, err, seen[test.ID])
			}
			seen[test.ID] = true
		}
	})
}

func TestWhatShardsCannotShare(t *testing.T) {
	eight := Matrix(1)[3]
	talks := eight
	talks.Workload = &record.Workload{Conversations: 8, MinTurns: 1, MaxTurns: 1, TurnTokens: 10}
	for _, c := range []struct {
		test  record.Test
		shard record.Shard
		want  string
	}{
		{eight, record.Shard{Index: 1, Of: 2}, ""},
		{eight, record.Shard{Index: 2, Of: 2}, "out of range"},
		{eight, record.Shard{Index: 8, Of: 9}, "too few"},
		{Baseline(ShapeOf(eight), 1), record.Shard{Index: 1, Of: 2}, "cannot be shared"},
		{talks, record.Shard{Index: 1, Of: 2}, "conversations cannot be shared"},
		{Matrix(3)[3], record.Shard{Index: 1, Of: 2}, "--start-every"},
	} {
		err := CheckTest(WithShard(c.test, c.shard))
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s in %d of %d: %v, want %q", describe(c.test), c.shard.Index, c.shard.Of, err, c.want)
		}
	}
}
