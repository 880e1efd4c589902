package runner_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bench/internal/clock"
	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/runner"
	"bench/internal/sim"
	"bench/internal/vllm"
)

// rig is a runner with the real client against the real simulator, on virtual time.
type rig struct {
	t      *testing.T
	sim    *sim.Server
	client *vllm.Client
	folder *record.Folder
	clock  *clock.Clock
	opts   runner.Options
	events []runner.Event
}

// target joins the client to the runner as the program does.
type target struct{ *vllm.Client }

func (t target) Alive(ctx context.Context) error                         { return t.Health(ctx) }
func (t target) Scrape(ctx context.Context) (record.ServerSample, error) { return t.Metrics(ctx) }
func (t target) Prepare(p runner.Prompt) (runner.Send, error) {
	var messages []vllm.Message
	for _, m := range p.Messages {
		messages = append(messages, vllm.Message(m))
	}
	prepared, err := t.Client.Prepare(vllm.Generate{Endpoint: vllm.Chat, Prompt: p.Text, Messages: messages, AskedPromptTokens: p.Tokens,
		MaxTokens: p.OutputTokens, Temperature: 0.7, IgnoreEOS: true, CacheSalt: p.Salt})
	return func(ctx context.Context) record.Request {
		r, text := t.Client.SendText(ctx, prepared)
		if p.Answer != nil {
			*p.Answer = text
		}
		return r
	}, err
}

type counter struct{ *vllm.Client }

func (c counter) CountTokens(ctx context.Context, prompt string) (int, error) {
	return c.Client.CountTokens(ctx, vllm.Chat, prompt)
}

type gpus struct{ *sim.Server }

func (g gpus) Period() time.Duration { return 100 * time.Millisecond }
func (g gpus) Sample(_ context.Context, atNS int64) ([]record.GPUSample, error) {
	return g.SampleGPU(atNS), nil
}

func newRig(t *testing.T, settings, dir string) *rig {
	t.Helper()
	cfg, err := sim.ParseTarget("sim:" + settings)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, clock: clock.New(0)}
	if r.sim, err = sim.New(cfg); err != nil {
		t.Fatal(err)
	}
	r.sim.Start()
	r.client, err = vllm.New(vllm.Options{BaseURL: "http://simulator", Clock: r.clock, Dial: r.sim.Dial})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.Server(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.folder, err = record.LockFolder(dir); err != nil {
		t.Fatal(err)
	}
	prompts, err := load.NewPrompts(t.Context(), counter{r.client}, 1, load.Options{Nonce: dir})
	if err != nil {
		t.Fatal(err)
	}
	r.opts = runner.Options{Folder: r.folder, Clock: r.clock, Target: target{r.client}, Prompts: prompts, GPUs: gpus{r.sim},
		HasMetrics: true, GPUInfo: r.sim.GPUs(), Simulated: true, VirtualTime: true, LengthsEnforced: true, Control: &runner.Control{},
		Settings: record.Settings{Endpoint: vllm.Chat, Warmup: 3, CooldownS: 30},
		Observe:  func(e runner.Event) { r.events = append(r.events, e) }}
	return r
}

// close ends everything the rig started; the bubble fails the test for a goroutine that is left.
func (r *rig) close() {
	r.client.Close()
	if err := r.sim.Close(); err != nil {
		r.t.Error(err)
	}
	r.folder.Close()
}

func (r *rig) records(name string) []record.Record {
	r.t.Helper()
	recs, err := r.folder.ReadRecords(name)
	if err != nil {
		r.t.Fatal(err)
	}
	return recs
}

func ids(recs []record.Record) []string {
	var out []string
	for _, r := range recs {
		out = append(out, r.TestID)
	}
	return out
}

// checkWhole holds the laws of a finished folder: the records asked for, and in their data files each
// request of each repeat exactly once.
func (r *rig) checkWhole(tests []record.Test) {
	r.t.Helper()
	var want []string
	for _, t := range tests {
		if t.Kind == record.KindConcurrent {
			want = append(want, t.ID)
		}
	}
	recs := r.records(record.ConcurrentFile)
	if !slices.Equal(ids(recs), want) {
		r.t.Errorf("records are %v, want %v", ids(recs), want)
	}
	for _, t := range tests {
		all := append(r.records(record.BaselineFile), recs...)
		i := slices.IndexFunc(all, func(rec record.Record) bool { return rec.TestID == t.ID })
		if i < 0 {
			r.t.Errorf("%s has no record", t.ID)
			continue
		}
		file, err := record.ReadRequests(r.folder.Path(all[i].Detail.Files.Requests))
		if err != nil {
			r.t.Fatal(err)
		}
		attempts := file.Attempts()
		if len(attempts) != t.Runs || all[i].Detail.Requests != t.Runs*t.Requests {
			r.t.Errorf("%s: %d repeats and %d requests, want %d of %d", t.ID, len(attempts), all[i].Detail.Requests, t.Runs, t.Requests)
		}
		for run, rs := range attempts {
			for index, req := range rs {
				if req.Index != index || len(rs) != t.Requests {
					r.t.Errorf("%s run %d: request %d of %d has index %d", t.ID, run, index, len(rs), req.Index)
				}
			}
		}
	}
}

func TestWholeMatrixOnVirtualTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", dir)
		defer r.close()
		tests := runner.WithBaselines(runner.Matrix(3), nil, 3)
		start := time.Now()
		if err := runner.Run(t.Context(), r.opts, tests); err != nil {
			t.Fatal(err)
		}
		r.checkWhole(tests)
		if took, least := time.Since(start), 9*30*time.Second; took < least {
			t.Errorf("ten tests took %v, less than their cooldowns (%v)", took, least)
		}
		baselines := map[string]float64{}
		for _, rec := range append(r.records(record.BaselineFile), r.records(record.ConcurrentFile)...) {
			d := rec.Detail
			if *rec.Results.SuccessRate != 1 || d.Prompt.Exact != d.Requests || d.Output.Exact != d.Requests {
				t.Errorf("%s: success %v, exact prompts %d and outputs %d of %d", rec.TestID, *rec.Results.SuccessRate, d.Prompt.Exact, d.Output.Exact, d.Requests)
			}
			// The server's own counters saw this test's requests and nothing else.
			if s := d.ServerDelta; s == nil || *s.FinishedRequests != float64(d.Requests) ||
				*s.PromptTokens != float64(d.Requests*rec.InputTokens) || *s.GenerationTokens != float64(d.Requests*rec.MaxOutputTokens) {
				t.Errorf("%s: %d requests of %d/%d, the server counted %+v", rec.TestID, d.Requests, rec.InputTokens, rec.MaxOutputTokens, s)
			}
			if *d.ServerDelta.PrefixHits != 0 {
				t.Errorf("%s: %v prefix-cache hits", rec.TestID, *d.ServerDelta.PrefixHits)
			}
			if len(rec.Trust.Findings) != 1 || rec.Trust.Findings[0].Check != "simulated" || rec.Trust.Verdict != record.TrustSound {
				t.Errorf("%s: trust is %+v, want sound and simulated", rec.TestID, rec.Trust)
			}
			if rec.Results.PeakMemoryMB == nil || *rec.Results.PeakMemoryMB < 10_000 {
				t.Errorf("%s: peak memory %v", rec.TestID, rec.Results.PeakMemoryMB)
			}
			if rec.ConcurrentRequests == 1 {
				baselines[rec.TestID] = *rec.Results.AvgTotalLatencyMS
			} else if b := d.Baseline; b == nil || baselines[b.TestID] != b.AvgTotalLatencyMS {
				t.Errorf("%s is judged against %+v, measured were %v", rec.TestID, b, baselines)
			} else if slow := *rec.Results.AvgTotalLatencyMS > 2*b.AvgTotalLatencyMS; slow != (rec.Status == record.StatusWarning) {
				t.Errorf("%s: latency %v against %v is %s", rec.TestID, *rec.Results.AvgTotalLatencyMS, b.AvgTotalLatencyMS, rec.Status)
			}
			// Tokens per second cannot beat what the repeats took.
			for _, rep := range d.Repeats {
				tokens := float64(rep.Requests * rec.MaxOutputTokens)
				if most := tokens / (time.Duration(rep.EndNS-rep.StartNS) - time.Millisecond).Seconds(); *rep.ThroughputTokensPerSec > most {
					t.Errorf("%s run %d: %v tokens/s, the repeat's span allows %v", rec.TestID, rep.Run, *rep.ThroughputTokensPerSec, most)
				}
			}
		}
	})
}

// A run that is stopped at any moment and resumed, as often as one likes, ends in the same records.
func TestInterruptAndResume(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	tests := runner.WithBaselines(runner.Matrix(3)[3:5], nil, 3)
	synctest.Test(t, func(t *testing.T) {
		for n := 0; ; n++ {
			if n > 200 {
				t.Fatal("resuming does not come to an end")
			}
			r := newRig(t, "", dir)
			r.opts.Resume = true
			// From the moment of the first send on: a drain for even n, a cancellation for odd ones.
			stop := time.AfterFunc(time.Duration(n)*400*time.Millisecond, func() {
				r.opts.Control.Interrupt()
				if n%2 == 1 {
					r.opts.Control.Interrupt()
				}
			})
			err := runner.Run(t.Context(), r.opts, tests)
			stop.Stop()
			if err == nil {
				if n < 3 {
					t.Errorf("only %d interruptions were tried", n)
				}
				r.checkWhole(tests)
				r.close()
				return
			}
			r.close()
			if !errors.Is(err, runner.ErrInterrupted) {
				t.Fatalf("interruption %d: %v", n, err)
			}
		}
	})
}

func TestResumeRefusesAnotherShape(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", dir)
		defer r.close()
		one := runner.Single(2, runner.Shape{InputTokens: 60, OutputTokens: 20}, 2, 0)
		log, err := r.folder.NewRequestLog(one)
		if err != nil {
			t.Fatal(err)
		}
		log.Close()
		r.opts.Resume = true
		one.Runs = 5
		err = runner.Run(t.Context(), r.opts, []record.Test{one})
		if err == nil || !strings.Contains(err.Error(), "2 runs of 2 requests") || !strings.Contains(err.Error(), "5 runs of 2 requests") {
			t.Errorf("error is %v, want both shapes named", err)
		}
	})
}

// A server that dies under a test makes a failed record, and an end with a word on how to go on.
func TestServerDiesUnderLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", dir)
		defer r.close()
		r.opts.Observe = func(e runner.Event) {
			if e.Kind == runner.RepeatStarted && e.Run == 1 {
				time.AfterFunc(500*time.Millisecond, func() { r.sim.Close() })
			}
		}
		tests := runner.Matrix(3)[3:6]
		err := runner.Run(t.Context(), r.opts, tests)
		gone, ok := errors.AsType[*runner.ServerGoneError](err)
		if !ok || gone.After != "T4" || !strings.Contains(err.Error(), "--resume") {
			t.Fatalf("error is %v", err)
		}
		recs := r.records(record.ConcurrentFile)
		if len(recs) != 1 || recs[0].Status != record.StatusFailure || len(recs[0].Results.Errors) == 0 || len(recs[0].Detail.Repeats) != 2 {
			t.Errorf("records are %+v", recs)
		}
		if rate := *recs[0].Results.SuccessRate; rate != 0.5 {
			t.Errorf("success rate is %v, want half: the first of two repeats", rate)
		}
	})
}

func TestUnwritableFolderStopsTheRun(t *testing.T) {
	if os.Getuid() == 0 {
		t.Log("running as root: permissions do not bind, a file in the folder's place does")
	}
	dir := filepath.Join(t.TempDir(), "results")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", dir)
		defer r.close()
		if err := os.WriteFile(r.folder.Path("memory_logs"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		err := runner.Run(t.Context(), r.opts, runner.Matrix(1)[:2])
		if err == nil || !strings.Contains(err.Error(), "memory_logs") {
			t.Errorf("error is %v, want one that names the folder", err)
		}
	})
}

func TestNoMetricsAndNoGPUAreAbsentNotZero(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", dir)
		defer r.close()
		r.opts.HasMetrics, r.opts.GPUs, r.opts.GPUInfo = false, nil, nil
		if err := runner.Run(t.Context(), r.opts, runner.Matrix(1)[:1]); err != nil {
			t.Fatal(err)
		}
		rec := r.records(record.ConcurrentFile)[0]
		if rec.Results.PeakMemoryMB != nil || rec.Detail.ServerDelta != nil || rec.Detail.GPU != nil || rec.Detail.Files.MemoryLog != "" {
			t.Errorf("record is %+v", rec)
		}
		for _, name := range []string{"memory_logs", "server_metrics"} {
			if _, err := os.Stat(r.folder.Path(name)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s exists: %v", name, err)
			}
		}
	})
}

// Requests beyond one burst keep the same number in flight, never more, by the server's own gauge.
func TestSustainedLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", dir)
		defer r.close()
		one := runner.Single(4, runner.Shape{InputTokens: 60, OutputTokens: 200}, 2, 20)
		if err := runner.Run(t.Context(), r.opts, []record.Test{one}); err != nil {
			t.Fatal(err)
		}
		rec := r.records(record.ConcurrentFile)[0]
		if got := *rec.Detail.ServerDelta.MaxRunning; got != 4 || rec.Detail.Requests != 40 {
			t.Errorf("%v running at most and %d requests, want 4 and 40", got, rec.Detail.Requests)
		}
	})
}
