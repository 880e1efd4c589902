package runner_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/runner"
	"bench/internal/sim"
)

// TestTraceAsTheServerSawIt: a trace's requests arrive when it had them, as long as it had them, and the server's prefix cache
// finds what their blocks have in common, to the block of 16 tokens.
func TestTraceAsTheServerSawIt(t *testing.T) {
	const block, hashed = 16, 512
	for _, c := range []struct {
		format, file string
		multiplier   float64
	}{{load.Mooncake, "mooncake.jsonl", 0.02}, {load.Azure, "azure.csv", 5}} { // slow: one ends before the next comes
		file, err := os.Open("../load/testdata/" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		d, err := load.ReadDataset(c.format, false, file)
		file.Close()
		if err != nil || len(d.Bad) > 0 {
			t.Fatal(err, d)
		}
		due := load.Instants(d.Samples, c.multiplier)
		w := record.Workload{Dataset: c.format, SHA256: d.SHA256}
		if c.format == load.Mooncake {
			w.BlockTokens, w.CommonTokens = hashed, load.CommonTokens(d.Samples, hashed)
		}
		n := len(due)
		test := runner.WithWorkload(runner.OpenTest(record.Arrivals{Trace: &record.TraceTimes{SecMultiplier: c.multiplier, LengthS: due[n-1].Seconds()}},
			runner.Shape{InputTokens: 700, OutputTokens: 30}, 1, n, 0), w)
		base := 0
		recs, requests, log := openRun(t, "", func(r *rig) {
			r.opts.Due = due
			for _, s := range d.Samples {
				r.opts.Samples = append(r.opts.Samples, runner.Sample{Sample: s, InputTokens: s.PromptTokens})
			}
			base, err = counter{r.client}.CountTokens(r.t.Context(), load.Shortest)
			if err != nil {
				t.Error(err)
			}
		}, test)
		slices.SortFunc(log, func(a, b sim.LogEntry) int { return int(a.ArrivedNS - b.ArrivedNS) })
		log = log[len(log)-n:] // the warm-ups came before
		for i, e := range log {
			s, r := d.Samples[i], requests[0][i]
			if since := time.Duration(e.ArrivedNS - log[0].ArrivedNS); since != due[i] || r.DueNS == nil || *r.DueNS != int64(due[i]) {
				t.Errorf("%s, request %d arrived after %v, by the trace after %v", c.format, i, since, due[i])
			}
			if e.PromptTokens != s.PromptTokens || e.OutputTokens != s.OutputTokens {
				t.Errorf("%s, request %d: the server saw %d/%d tokens, the trace has %d/%d", c.format, i, e.PromptTokens, e.OutputTokens, s.PromptTokens, s.OutputTokens)
			}
			common := 0
			for _, earlier := range d.Samples[:i] {
				same := 0
				for same < min(len(s.Blocks), len(earlier.Blocks)) && s.Blocks[same] == earlier.Blocks[same] {
					same++
				}
				if same > 0 {
					common = max(common, min(base+same*hashed, s.PromptTokens-1, earlier.PromptTokens))
				}
			}
			if want := common / block * block; e.CachedTokens < want || e.CachedTokens > want+block {
				t.Errorf("%s, request %d: %d tokens came from the prefix cache, by the trace %d", c.format, i, e.CachedTokens, want)
			}
		}
		if recs[0].Trust.Verdict != record.TrustSound || recs[0].Detail.Prompt.Exact != n || recs[0].Detail.Output.Exact != n {
			t.Errorf("%s: %+v", c.format, recs[0].Trust)
		}
	}
}
