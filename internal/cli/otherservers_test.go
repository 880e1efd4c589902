package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"bench/internal/record"
)

// TestOtherServers judges what `make servers` measured on servers that are not vLLM: what each is and lacks was found out, every
// request came to its end, and no cause was named that the server does not show.
func TestOtherServers(t *testing.T) {
	dir := os.Getenv("BENCH_E2E_SERVERS")
	if dir == "" {
		t.Skip("make servers measures real servers and names where in BENCH_E2E_SERVERS")
	}
	for _, tc := range []struct {
		name     string
		requires func(record.Server) bool
		causes   []record.Cause // beside those of this machine
		exact    bool           // every length is the one asked for
	}{
		{"llamacpp", func(s record.Server) bool {
			return s.Engine == record.EngineLlamaCpp && s.HasMetrics && s.HasTokenize && s.Slots == 4 && s.MaxModelLen == 2048 && s.IgnoresEOS != nil && *s.IgnoresEOS
		}, []record.Cause{record.CauseSchedulerSlots}, true},
		{"transformers", func(s record.Server) bool {
			return s.Engine == "" && !s.HasMetrics && !s.HasTokenize && s.Refuses != "" && s.Unlisted != "" && s.IgnoresEOS != nil && !*s.IgnoresEOS && !s.Stream.Done
		}, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			folder, err := record.OpenFolder(filepath.Join(dir, tc.name))
			if err != nil {
				t.Skip("it was not measured here; make servers says why")
			}
			run, ok, err := folder.ReadRun()
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			if !tc.requires(run.Server) {
				t.Errorf("found out: %+v, streams %+v", run.Server, run.Server.Stream)
			}
			recs, err := folder.ReadRecords(record.ConcurrentFile)
			if err != nil || len(recs) != 2 {
				t.Fatal(len(recs), err)
			}
			for _, r := range recs {
				if r.Results.SuccessRate == nil || *r.Results.SuccessRate != 1 {
					t.Errorf("%s: %+v", r.TestID, r.Results)
				}
				if tc.exact && (r.Detail.Prompt.Exact != r.Detail.Succeeded || r.Detail.Output.Exact != r.Detail.Succeeded) {
					t.Errorf("%s: prompts %+v, answers %+v", r.TestID, r.Detail.Prompt, r.Detail.Output)
				}
				for _, f := range r.Trust.Findings {
					t.Logf("%s: %s: %s", r.TestID, f.Check, f.Evidence)
					if f.Check == "books" || f.Check == "foreign_traffic" || f.Check == "lengths" && tc.exact {
						t.Errorf("%s: a finding where only this client used the server: %+v", r.TestID, f)
					}
				}
			}
			data, err := os.ReadFile(filepath.Join(folder.Dir(), record.AnalysisFile))
			if err != nil {
				t.Fatal(err)
			}
			var doc record.Analysis
			if err := json.Unmarshal(data, &doc); err != nil {
				t.Fatal(err)
			}
			provable := append(tc.causes, "", record.CauseUnknown, record.CauseClient)
			for _, l := range doc.Ladders {
				for _, limit := range []record.Limit{l.OOM, l.LatencySurge, l.Saturation, l.Recommended} {
					if !slices.Contains(provable, limit.Cause) {
						t.Errorf("cause %s of a server that does not show it: %v", limit.Cause, limit.Evidence)
					}
				}
			}
		})
	}
	if folder, err := record.OpenFolder(filepath.Join(dir, "dataset")); err == nil {
		recs, err := folder.ReadRecords(record.ConcurrentFile)
		if err != nil || len(recs) != 1 || recs[0].Detail.Workload == nil || *recs[0].Results.SuccessRate != 1 || recs[0].Detail.Prompt.Differed > 0 {
			t.Errorf("requests of a dataset: %+v, %v", recs, err)
		}
	}
}
