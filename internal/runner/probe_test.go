package runner_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"bench/internal/record"
	"bench/internal/runner"
	"bench/internal/sim"
)

// TestProbesBesideTheLoad: probes arrive evenly from the beginning of the load to its end, whatever the load; their times are in
// no figure of it, and the server's books balance with both.
func TestProbesBesideTheLoad(t *testing.T) {
	shape := runner.Shape{InputTokens: 200, OutputTokens: 80}
	for _, test := range []record.Test{runner.OpenTest(poisson(4), shape, 2, 60, 0), runner.Single(8, shape, 2, 40)} {
		var rec record.Record
		var probes *record.RequestFile
		var log []sim.LogEntry
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, "", dir)
			defer r.close()
			var text syncBuffer
			r.sim.LogRequests(&text)
			r.opts.Probe, r.opts.Settings.Warmup = new(runner.ProbeAt(2)), 0
			if err := runner.Run(t.Context(), r.opts, []record.Test{test}); err != nil {
				t.Fatal(err)
			}
			rec, log = r.records(test.RecordFile())[0], text.entries(t)
			var err error
			if probes, err = record.ReadRequests(r.folder.Path(rec.Detail.Probe.File)); err != nil {
				t.Fatal(err)
			}
		})
		p := rec.Detail.Probe
		if p == nil || p.Requests < 10 || p.Succeeded != p.Requests || p.Late != 0 || len(probes.Requests) != p.Requests || p.TTFT == nil || p.TPOT == nil {
			t.Fatalf("%s: %+v", test.ID, p)
		}
		if rec.Detail.Requests != test.Runs*test.Requests || rec.Detail.Prompt.Asked != 200 || rec.Detail.Prompt.Exact != rec.Detail.Requests {
			t.Errorf("%s: the load had %d requests; %+v", test.ID, rec.Detail.Requests, rec.Detail.Prompt)
		}
		if rec.Trust.Verdict != record.TrustSound || *rec.Detail.ServerDelta.FinishedRequests != float64(rec.Detail.Requests+p.Requests) {
			t.Errorf("%s: the server finished %v requests; %+v", test.ID, *rec.Detail.ServerDelta.FinishedRequests, rec.Trust)
		}
		// As the server saw them.
		slices.SortFunc(log, func(a, b sim.LogEntry) int { return int(a.ArrivedNS - b.ArrivedNS) })
		seen := slices.DeleteFunc(log, func(e sim.LogEntry) bool { return e.PromptTokens != 64 })
		if len(seen) != p.Requests {
			t.Fatalf("%s: the server saw %d probes, %d are recorded", test.ID, len(seen), p.Requests)
		}
		for i, e := range seen {
			r := probes.Requests[i]
			if r.Index > 0 && e.ArrivedNS-seen[i-1].ArrivedNS != int64(time.Second/2) || e.OutputTokens != 16 || e.CachedTokens >= 48 {
				t.Errorf("%s, probe %d: %+v", test.ID, i, e)
			}
		}
	}
}

// TestProbesResume: the probes of a repeat that is begun again are begun again.
func TestProbesResume(t *testing.T) {
	test := runner.OpenTest(poisson(2), runner.Shape{InputTokens: 60, OutputTokens: 30}, 2, 40, 0)
	resumed(t, test, func(r *rig) { r.opts.Probe = new(runner.ProbeAt(1)) }, func(r *rig, rec record.Record) {
		file, err := record.ReadRequests(r.folder.Path(rec.Detail.Probe.File))
		if err != nil {
			r.t.Fatal(err)
		}
		newest := 0
		for _, rs := range file.Attempts() {
			newest += len(rs)
		}
		if rec.Trust.Verdict != record.TrustSound || rec.Detail.Probe.Requests != newest || len(file.Requests) <= newest {
			r.t.Errorf("%d probes of the newest attempts, %d in the file, %d in the record; %+v", newest, len(file.Requests), rec.Detail.Probe.Requests, rec.Trust)
		}
	})
}
