package runner_test

import (
	"slices"
	"testing"

	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/runner"
	"bench/internal/sim"
)

// TestWorkloadAsTheServerSawIt: each request has the lengths that were drawn for it, by the server's log, and the prefix cache
// finds the whole blocks of what is shared and nothing else.
func TestWorkloadAsTheServerSawIt(t *testing.T) {
	shape := runner.Shape{InputTokens: 300, OutputTokens: 20}
	const block = 16
	for _, c := range []struct {
		w       record.Workload
		low     int
		high    int
		outLow  int
		outHigh int
	}{
		{record.Workload{}, 300, 300, 20, 20},
		{record.Workload{RangeRatio: 0.5}, 150, 450, 10, 30},
		{record.Workload{PrefixTokens: 160}, 300, 300, 20, 20},
		{record.Workload{PrefixTokens: 160, RangeRatio: 0.25}, 265, 335, 15, 25},
	} {
		test := runner.WithWorkload(runner.OpenTest(poisson(2), shape, 1, 60, 0), c.w)
		hashes := map[string]bool{}
		for _, seed := range []int64{1, 1, 2} {
			recs, requests, log := openRun(t, "", func(r *rig) {
				r.opts.Settings.Seed = seed
				var err error
				if r.opts.Prompts, err = load.NewPrompts(r.t.Context(), counter{r.client}, seed, load.Options{}); err != nil {
					t.Error(err)
				}
			}, test)
			slices.SortFunc(log, func(a, b sim.LogEntry) int { return int(a.ArrivedNS - b.ArrivedNS) })
			log = log[len(log)-60:] // the warm-ups came before
			lengths := map[int]bool{}
			cached := 0
			for i, e := range log {
				r := requests[0][i]
				if e.PromptTokens != r.AskedPromptTokens || e.OutputTokens != r.AskedOutputTokens || e.PromptTokens < c.low || e.PromptTokens > c.high ||
					e.OutputTokens < c.outLow || e.OutputTokens > c.outHigh {
					t.Errorf("%s, request %d: the server saw %d/%d tokens, asked were %d/%d", test.ID, i, e.PromptTokens, e.OutputTokens, r.AskedPromptTokens, r.AskedOutputTokens)
				}
				lengths[e.PromptTokens] = true
				cached += e.CachedTokens
				if least := c.w.PrefixTokens / block * block; e.CachedTokens < least || e.CachedTokens > least+2*block {
					t.Errorf("%s, request %d: %d tokens came from the prefix cache, %d are shared", test.ID, i, e.CachedTokens, c.w.PrefixTokens)
				}
			}
			if (len(lengths) > 20) != (c.w.RangeRatio > 0) {
				t.Errorf("%s: %d different lengths", test.ID, len(lengths))
			}
			d := recs[0].Detail
			if hits := *d.ServerDelta.PrefixHits; int(hits) != cached {
				t.Errorf("%s: the server's counter has %v hits, its log %d", test.ID, hits, cached)
			}
			if recs[0].Trust.Verdict != record.TrustSound || d.Prompt.Exact != 60 || d.Output.Exact != 60 {
				t.Errorf("%s: %+v, %+v, %+v", test.ID, recs[0].Trust, d.Prompt, d.Output)
			}
			hashes[d.SentSHA256] = true
		}
		if len(hashes) != 2 || hashes[""] {
			t.Errorf("%s: two runs of one seed and one of another have the hashes %v", test.ID, hashes)
		}
	}
}
