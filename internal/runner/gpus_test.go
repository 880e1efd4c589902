package runner_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bench/internal/record"
	"bench/internal/runner"
)

// oddGPUs are the simulator's cards with a driver that fails from some reading on.
type oddGPUs struct {
	gpus
	fail  func(ctx context.Context, reading int) error
	alter func(*record.GPUSample)
	n     int
}

func (g *oddGPUs) Sample(ctx context.Context, atNS int64) ([]record.GPUSample, error) {
	g.n++
	if g.fail != nil {
		if err := g.fail(ctx, g.n); err != nil {
			return nil, err
		}
	}
	samples := g.SampleGPU(atNS)
	for i := range samples {
		if g.alter != nil {
			g.alter(&samples[i])
		}
	}
	return samples, nil
}

// ran runs one test of two requests at once on the rig as prepared, and returns its record and the notes
// that were shown.
func ran(t *testing.T, outputTokens int, prepare func(*rig)) (rec record.Record, notes []string) {
	t.Helper()
	test := record.Test{ID: "T2", Kind: record.KindConcurrent, Concurrent: 2, InputTokens: 100, OutputTokens: outputTokens, Runs: 3, Requests: 2}
	dir := filepath.Join(t.TempDir(), "results")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", dir)
		defer r.close()
		prepare(r)
		if err := runner.Run(t.Context(), r.opts, []record.Test{test}); err != nil {
			t.Fatal(err)
		}
		rec = r.records(record.ConcurrentFile)[0]
		for _, e := range r.events {
			if e.Kind == runner.Note {
				notes = append(notes, e.Text)
			}
		}
	})
	return rec, notes
}

// Exact readings on virtual time: none is late, none is missed, and all cover the whole test.
func TestGPUSampling(t *testing.T) {
	rec, notes := ran(t, 100, func(r *rig) {})
	s := rec.Detail.GPUSampling
	if s == nil || s.IntervalMS != 100 || s.MeanLateMS != 0 || s.MaxLateMS != 0 || s.Missed != 0 || s.Failure != "" || len(notes) != 0 {
		t.Fatalf("sampling %+v, notes %v", s, notes)
	}
	if took := time.Duration(rec.Detail.EndNS - rec.Detail.StartNS); s.Samples < int(took/(100*time.Millisecond)) {
		t.Errorf("%d samples in a test of %v", s.Samples, took)
	}
	if events := rec.Detail.GPU[0].ClockEvents; events == nil || slices.ContainsFunc(events, func(e record.ClockEventShare) bool { return e.Reason != "gpu_idle" }) {
		t.Errorf("clock events %+v", events)
	}
}

// A driver that hangs is left after its limit, and the rest of the test goes on without it.
func TestHangingGPU(t *testing.T) {
	var took, well time.Duration
	measure := func(to *time.Duration, g *oddGPUs) func(r *rig) {
		return func(r *rig) {
			g.gpus = gpus{r.sim}
			r.opts.GPUs = g
			start := time.Now()
			observe := r.opts.Observe
			r.opts.Observe = func(e runner.Event) {
				if e.Kind == runner.TestDone {
					*to = time.Since(start)
				}
				observe(e)
			}
		}
	}
	ran(t, 100, measure(&well, &oddGPUs{}))
	hung := &oddGPUs{fail: func(ctx context.Context, reading int) error {
		if reading < 10 {
			return nil
		}
		<-ctx.Done()
		return errors.New("the driver does not answer")
	}}
	rec, notes := ran(t, 100, measure(&took, hung))
	s := rec.Detail.GPUSampling
	if !s.Abandoned || s.Failure != "the driver does not answer" || s.Samples != 9 || s.Missed == 0 || rec.Status != record.StatusSuccess || hung.n != 10 {
		t.Errorf("%s, %d readings begun, sampling %+v", rec.Status, hung.n, s)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "the GPUs were not read to the end of the test: the driver does not answer") {
		t.Errorf("notes %q", notes)
	}
	if took > well+2*time.Second {
		t.Errorf("the test took %v, %v with a driver that answers", took, well)
	}
}

// A reading that fails at once is a gap, and the next is tried.
func TestGPUReadingsThatFail(t *testing.T) {
	flaky := &oddGPUs{fail: func(_ context.Context, reading int) error {
		if reading%2 == 0 {
			return errors.New("GPU is lost")
		}
		return nil
	}}
	rec, notes := ran(t, 100, func(r *rig) { flaky.gpus = gpus{r.sim}; r.opts.GPUs = flaky })
	s := rec.Detail.GPUSampling
	if s.Abandoned || s.Failure != "GPU is lost" || s.Missed != flaky.n/2 || s.Samples != flaky.n-s.Missed || len(notes) != 1 {
		t.Errorf("%d readings, sampling %+v, notes %v", flaky.n, s, notes)
	}
}

// What lowers the clocks counts in the repeats only; errors count over the whole test.
func TestGPUPeaksOfATest(t *testing.T) {
	thermal := float64(record.ClockSWThermalSlowdown | record.ClockSWPowerCap)
	n := 0.0
	odd := &oddGPUs{alter: func(s *record.GPUSample) {
		s.ClockEvents = &thermal
		n++
		s.ECCUncorrected = new(100 + n)
		if n == 5 {
			s.XID = new(79.0)
		}
	}}
	rec, _ := ran(t, 100, func(r *rig) {
		odd.gpus = gpus{r.sim}
		r.opts.GPUs = odd
		r.opts.GPUInfo[0].Absent = nil
	})
	peak := rec.Detail.GPU[0]
	want := []record.ClockEventShare{{Reason: "sw_power_cap", Share: 1}, {Reason: "sw_thermal_slowdown", Share: 1}}
	if !slices.Equal(peak.ClockEvents, want) || !slices.Equal(peak.XIDs, []int{79}) || *peak.ECCUncorrected != n-1 || *peak.PowerLimitW != 350 || *peak.MeanSMClockMHz > *peak.MaxSMClockMHz {
		t.Errorf("peak %+v", peak)
	}
}

// lister is a driver that lists processes.
type lister struct {
	gpus
	list func(at time.Duration) map[int][]record.GPUProcess
	from time.Time
}

func (l lister) Processes(context.Context) (map[int][]record.GPUProcess, error) {
	return l.list(time.Since(l.from)), nil
}

// A process that comes during a test is in its record with the times it was seen.
func TestGPUProcesses(t *testing.T) {
	own := record.GPUProcess{PID: 10, Name: "VLLM::EngineCore", MemoryMiB: new(21_000.0), Server: new(true)}
	foreign := record.GPUProcess{PID: 66, Name: "python3", MemoryMiB: new(700.0), Server: new(false)}
	rec, _ := ran(t, 1000, func(r *rig) {
		r.opts.GPUs = lister{gpus{r.sim}, func(at time.Duration) map[int][]record.GPUProcess {
			switch {
			case at < 8*time.Second:
				return map[int][]record.GPUProcess{0: {own}}
			case at < 14*time.Second:
				return map[int][]record.GPUProcess{0: {own, foreign}}
			}
			foreign.MemoryMiB = new(900.0)
			return map[int][]record.GPUProcess{0: {foreign, own}}
		}, time.Now()}
	})
	seen := rec.Detail.GPUProcesses
	if len(seen) != 2 || seen[0].PID != 10 || !*seen[0].Server || seen[1].PID != 66 || *seen[1].Server || *seen[1].MemoryMiB != 900 {
		t.Fatalf("processes %+v", seen)
	}
	if seen[0].FirstNS >= rec.Detail.StartNS || seen[0].LastNS < rec.Detail.EndNS || seen[1].FirstNS <= seen[0].FirstNS+int64(4*time.Second) {
		t.Errorf("processes %+v in a test from %d to %d", seen, rec.Detail.StartNS, rec.Detail.EndNS)
	}
	none, _ := ran(t, 100, func(r *rig) {})
	if none.Detail.GPUProcesses != nil {
		t.Errorf("a driver that does not tell: %+v", none.Detail.GPUProcesses)
	}
}
