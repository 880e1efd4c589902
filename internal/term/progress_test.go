package term

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"bench/internal/record"
	"bench/internal/runner"
)

// In a pipe a run is lines that stay, each once, without a byte that drives a terminal; on virtual time only what came out.
func TestLines(t *testing.T) {
	test := runner.Matrix(3)[3]
	left := 3 * time.Minute
	rec := record.Record{TestID: "T4", ConcurrentRequests: 8, InputTokens: 100, MaxOutputTokens: 100, Status: record.StatusFailure}
	rec.Detail.Reason = "out of\x1b[31m memory"
	rec.Results.AvgTTFTMS = new(12.34)
	rec.Trust.Findings = []record.Finding{{Check: "simulated", Evidence: "x"}, {Check: "books", Evidence: "two more"}}
	events := []runner.Event{{Kind: runner.TestStarted, Left: &left}, {Kind: runner.WarmingUp}, {Kind: runner.RequestDone, Done: 1},
		{Kind: runner.Note, Text: hostile}, {Kind: runner.TestDone, Record: &rec}, {Kind: runner.CoolingDown, Remaining: 30 * time.Second},
		{Kind: runner.CoolingDown, Remaining: 20 * time.Second}, {Kind: runner.WaitingForServer, Remaining: 90 * time.Second, Text: "gone"}, {Kind: runner.WaitingForServer}}
	lasting := []string{"T4  note: mo[2Jdel]0;owned31m  name  한국어 모델 모델", "T4                  8 × 100/100 TTFT 12.3 ms  failure: out of[31m memory",
		"T4  books: two more"}
	waiting := "T4  the server stopped answering (gone): waiting up to 1:30 min for its return"
	want := append([]string{"T4 (4/9)  8 at once, 100/100 tokens, about 3:00 min left"}, lasting...)
	want = append(want, "T4  cooling down 30 s", waiting, "")
	for virtual, want := range map[bool][]string{false: want, true: append(lasting[:3:3], waiting, "")} {
		var out bytes.Buffer
		p := NewLines(Screen{W: &out, fd: -1}, virtual)
		for _, e := range events {
			e.Test, e.Number, e.Total = test, 4, 9
			p.Observe(e)
		}
		p.Done()
		if got := strings.Split(out.String(), "\n"); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("virtual %v:\n%s\nwant\n%s", virtual, out.String(), strings.Join(want, "\n"))
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0 s", 59*time.Second + 600*time.Millisecond: "1:00 min", 61 * time.Second: "1:01 min",
		2*time.Hour + 5*time.Minute: "2:05 h"} {
		if got := Span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
