package cli_test

import (
	"os"
	"slices"
	"testing"

	"bench/internal/record"
)

// TestRealServerResults judges the folder that `make e2e` measured against a real vLLM: the nine tests and
// their baselines, every request a success whose lengths the server's usage and counters prove.
func TestRealServerResults(t *testing.T) {
	dir := os.Getenv("BENCH_E2E_RESULTS")
	if dir == "" {
		t.Skip("make e2e measures a real vLLM and names the folder in BENCH_E2E_RESULTS")
	}
	folder, err := record.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	baselines, err := folder.ReadRecords(record.BaselineFile)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := folder.ReadRecords(record.ConcurrentFile)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, rec := range append(baselines, tests...) {
		ids = append(ids, rec.TestID)
		d := rec.Detail
		if d.Succeeded != d.Requests || d.Prompt.Exact != d.Requests || d.Output.Exact != d.Requests || d.TokensFrom != "usage" {
			t.Errorf("%s: %d requests, %d succeeded, %d prompts and %d answers of the asked length by %s",
				rec.TestID, d.Requests, d.Succeeded, d.Prompt.Exact, d.Output.Exact, d.TokensFrom)
		}
		s := d.ServerDelta
		if s == nil || s.FinishedRequests == nil || *s.FinishedRequests != float64(d.Requests) ||
			*s.PromptTokens != float64(d.Requests*rec.InputTokens) || *s.GenerationTokens != float64(d.Requests*rec.MaxOutputTokens) {
			t.Errorf("%s: the server's own counters say %+v", rec.TestID, s)
		} else if *s.PrefixHits != 0 {
			t.Errorf("%s: %v prompt tokens came from the prefix cache", rec.TestID, *s.PrefixHits)
		}
	}
	want := []string{"baseline-100-100", "baseline-500-200", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "T9"}
	if !slices.Equal(ids, want) {
		t.Errorf("records are %v, want %v", ids, want)
	}
	for _, name := range []string{"report.html", "report.md", "analysis.json", "verify.json", "charts/throughput.svg"} {
		if info, err := os.Stat(folder.Path(name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
