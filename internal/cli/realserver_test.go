package cli_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"bench/internal/record"
)

// measuredForReal is a folder that `make e2e` measured.
func measuredForReal(t *testing.T, name string) *record.Folder {
	t.Helper()
	dir := os.Getenv("BENCH_E2E_RESULTS")
	if dir == "" {
		t.Skip("make e2e measures a real vLLM and names where in BENCH_E2E_RESULTS")
	}
	folder, err := record.OpenFolder(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// ofThisMachine says whether a finding is about the client's processors, which here are the server's too.
func ofThisMachine(f record.Finding) bool {
	return f.Check == "client_lag" || f.Check == "coalesced_reads" || f.Check == "idle"
}

// TestRealServerDisturbed judges what a real vLLM went through: preemption for want of blocks, an engine that was
// killed under a test and came back, and a queue before two slots. Each is named right, and nothing after the
// engine's death was lost.
func TestRealServerDisturbed(t *testing.T) {
	folder := measuredForReal(t, "disturbed")
	recs, err := folder.ReadRecords(record.ConcurrentFile)
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]record.Record{}
	for _, r := range recs {
		byID[r.TestID] = r
		for _, f := range r.Trust.Findings {
			t.Logf("%s: %s: %s", r.TestID, f.Check, f.Evidence)
			if !ofThisMachine(f) {
				t.Errorf("%s: a finding where only this client used the server: %+v", r.TestID, f)
			}
		}
	}
	crowded := byID["crowded"].Detail
	if s := crowded.ServerDelta; s == nil || s.Preemptions == nil || *s.Preemptions == 0 || *s.FinishedRequests != 16 {
		t.Errorf("crowded: the server says %+v", s)
	}
	killed := byID["killed"]
	in := killed.Detail.Incident
	if in == nil || in.Kind != record.IncidentEngineDeath || in.ReturnedAfterS == nil || killed.Status != record.StatusFailure {
		t.Fatalf("killed: incident %+v, %s: %s", in, killed.Status, killed.Detail.Reason)
	}
	data, err := os.ReadFile(folder.Path(in.Flight))
	if err != nil {
		t.Fatal(err)
	}
	var flight record.Flight
	if err := json.Unmarshal(data, &flight); err != nil || flight.Schema != record.SchemaFlight || len(flight.InFlight) == 0 || len(flight.Server) == 0 {
		t.Errorf("flight recorder: %v, %d requests in flight, %d scrapes", err, len(flight.InFlight), len(flight.Server))
	}
	for _, id := range []string{"queued-4", "queued-8"} {
		d := byID[id].Detail
		if s := d.ServerDelta; s == nil || *s.MaxRunning != 2 || *s.MaxWaiting == 0 || s.QueueMS == nil || *s.QueueMS <= 0 || d.Succeeded != d.Requests {
			t.Errorf("%s: %d of %d succeeded, the server says %+v", id, d.Succeeded, d.Requests, s)
		}
	}
	var analysis record.Analysis
	text, err := os.ReadFile(folder.Path(record.AnalysisFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &analysis); err != nil {
		t.Fatal(err)
	}
	causes := map[string]record.Cause{}
	for _, l := range analysis.Ladders {
		// On a noisy machine the figures may be too rough for the two slots to show as a surge; what stops a recommendation is the waiting.
		causes[fmt.Sprintf("%d/%d", l.InputTokens, l.MaxOutputTokens)] = cmp.Or(l.OOM.Cause, l.Recommended.Cause, l.LatencySurge.Cause, l.Saturation.Cause)
	}
	want := map[string]record.Cause{"200/200": record.CauseKVCache, "100/300": record.CauseEngineDeath, "100/100": record.CauseSchedulerSlots}
	if !maps.Equal(causes, want) {
		t.Errorf("causes are %v, want %v", causes, want)
	}
}

// TestRealServerForeign: a second client of a real vLLM shows in its gauges and in its counters.
func TestRealServerForeign(t *testing.T) {
	folder := measuredForReal(t, "foreign")
	recs, err := folder.ReadRecords(record.ConcurrentFile)
	if err != nil || len(recs) != 1 {
		t.Fatalf("%d records, %v", len(recs), err)
	}
	if !found(recs[0], "foreign_traffic", "not from here") || !found(recs[0], "books", "somebody else used it") || recs[0].Trust.Verdict != record.TrustDoubtful {
		t.Errorf("trust %+v", recs[0].Trust)
	}
}

// TestRealServerWorkloads: a real vLLM counts as many tokens as ids were sent and finds the shared ones in its cache; a conversation's
// later prompts hold what it answered, of which its cache finds whole blocks.
func TestRealServerWorkloads(t *testing.T) {
	one := func(name string) record.Record {
		recs, err := measuredForReal(t, name).ReadRecords(record.ConcurrentFile)
		if err != nil || len(recs) != 1 {
			t.Fatalf("%s: %d records, %v", name, len(recs), err)
		}
		for _, f := range recs[0].Trust.Findings {
			t.Logf("%s: %s: %s", name, f.Check, f.Evidence)
		}
		if d := recs[0].Detail; d.Succeeded != d.Requests || d.Prompt.Differed+d.Output.Differed+d.Output.Unproven > 0 || d.ServerDelta == nil || d.ServerDelta.PrefixHits == nil {
			t.Fatalf("%s: %d of %d succeeded, %+v, %+v", name, d.Succeeded, d.Requests, d.Prompt, d.Output)
		}
		return recs[0]
	}
	const block = 128 // of the CPU build
	ids := one("ids").Detail
	if *ids.ServerDelta.PrefixHits != 6*256 || ids.Prompt.Exact != 6 {
		t.Errorf("ids: %v of 6 times 256 tokens came from the cache, %+v", *ids.ServerDelta.PrefixHits, ids.Prompt)
	}
	talks := one("talks").Detail
	if c := talks.Conversations; c == nil || c.Begun != 4 || c.Whole != 4 || c.HistoryTokens == 0 || c.Think.Min < 300 || len(talks.Groups) != 3 {
		t.Errorf("talks: %+v", c)
	}
	// The second prompt repeats one whole block at least, the third two.
	if hits := *talks.ServerDelta.PrefixHits; hits < 4*(1+2)*block || hits > float64(talks.Conversations.HistoryTokens) {
		t.Errorf("talks: %v tokens came from the cache, the history has %d", hits, talks.Conversations.HistoryTokens)
	}
}

// TestRealServerResults judges the folder that `make e2e` measured against a real vLLM: the nine tests and
// their baselines, every request a success whose lengths the server's usage and counters prove.
func TestRealServerResults(t *testing.T) {
	folder := measuredForReal(t, "results")
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
		} else if *s.PrefixHits != 0 || !s.Complete || s.FinishedBy["length"] != float64(d.Requests) || s.TTFTMS == nil {
			t.Errorf("%s: %v prompt tokens came from the prefix cache; the server says %+v", rec.TestID, *s.PrefixHits, s)
		}
		for _, f := range rec.Trust.Findings {
			if !ofThisMachine(f) {
				t.Errorf("%s: a finding in a clean run: %+v", rec.TestID, f)
			}
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
