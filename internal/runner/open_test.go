package runner_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/runner"
	"bench/internal/sim"
)

func poisson(rate float64) record.Arrivals {
	return record.Arrivals{RequestRate: rate, Burstiness: new(1.0)}
}

// openRun runs open tests on a simulator and returns their records with the requests of each.
func openRun(t *testing.T, settings string, change func(*rig), tests ...record.Test) (recs []record.Record, requests [][]record.Request, log []sim.LogEntry) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, settings, dir)
		var text syncBuffer
		r.sim.LogRequests(&text)
		if change != nil {
			change(r)
		}
		if err := runner.Run(t.Context(), r.opts, tests); err != nil {
			t.Error(err)
		}
		recs = r.records(tests[0].RecordFile())
		for _, rec := range recs {
			all, err := r.folder.ReadRequests(rec.Detail.Files.Requests)
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(all, func(a, b record.Request) int { return (a.Run-b.Run)*1_000_000 + a.Index - b.Index })
			requests = append(requests, all)
		}
		r.close()
		log = text.entries(t)
	})
	if len(recs) != len(tests) {
		t.Fatalf("%d records of %d tests", len(recs), len(tests))
	}
	return recs, requests, log
}

// syncBuffer is the request log of a simulator.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// entries are the requests that were logged.
func (b *syncBuffer) entries(t *testing.T) (log []sim.LogEntry) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range bytes.Lines(b.text.Bytes()) {
		var e sim.LogEntry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		log = append(log, e)
	}
	return log
}

// TestOpenLoadArrives: what the server saw is the schedule, to the nanosecond, and the schedule is that of the seed.
func TestOpenLoadArrives(t *testing.T) {
	for _, a := range []record.Arrivals{poisson(3), {RequestRate: 2}, {RequestRate: 3, Burstiness: new(0.25)},
		{RampUpStrategy: record.RampLinear, RampUpStartRPS: 1, RampUpEndRPS: 5, Burstiness: new(1.0)}} {
		test := runner.OpenTest(a, runner.Shape{InputTokens: 60, OutputTokens: 30}, 2, 60, 0)
		recs, requests, log := openRun(t, "", func(r *rig) { r.opts.Settings.Warmup, r.opts.Settings.Seed = 0, 5 }, test)
		slices.SortFunc(log, func(a, b sim.LogEntry) int { return int(a.ArrivedNS - b.ArrivedNS) })
		if len(log) != 120 || len(requests[0]) != 120 {
			t.Fatalf("%s: the server saw %d requests, %d are recorded", test.ID, len(log), len(requests[0]))
		}
		for run := range 2 {
			due := load.Schedule(a, 60, load.Stream(5, "arrivals", test.ID, run))
			rs, seen := requests[0][60*run:60*run+60], log[60*run:60*run+60]
			for i := range rs {
				since := time.Duration(rs[i].ScheduledNS-rs[0].ScheduledNS) + due[0]
				if since != due[i] || rs[i].SentNS != rs[i].ScheduledNS || seen[i].ArrivedNS-seen[0].ArrivedNS != int64(due[i]-due[0]) {
					t.Fatalf("%s, request %d: due at %v, scheduled at %v, sent %d ns after, arrived at %v", test.ID, i, due[i], since,
						rs[i].SentNS-rs[i].ScheduledNS, time.Duration(seen[i].ArrivedNS-seen[0].ArrivedNS)+due[0])
				}
			}
		}
		o := recs[0].Detail.OpenLoad
		if o.Held != 0 || o.Dropped != 0 || o.NotDue != 0 || o.Oversaturated != nil || recs[0].Detail.LateSends != 0 || o.TTFT.Mean != recs[0].Detail.TTFT.Mean {
			t.Errorf("%s: %+v", test.ID, o)
		}
		if recs[0].Status == record.StatusFailure || recs[0].Trust.Verdict != record.TrustSound {
			t.Errorf("%s: %s (%s), %+v", test.ID, recs[0].Status, recs[0].Detail.Reason, recs[0].Trust)
		}
	}
}

// TestOpenLoadIsNotCoordinated: with a bound on the requests in flight the server's own times look good while users wait; the
// schedule-relative ones hold the wait, request by request, and the bound is said.
func TestOpenLoadIsNotCoordinated(t *testing.T) {
	shape := runner.Shape{InputTokens: 60, OutputTokens: 30}
	free := runner.OpenTest(poisson(4), shape, 1, 90, 0)
	bound := runner.OpenTest(poisson(4), shape, 1, 90, 1)
	recs, requests, _ := openRun(t, "", nil, free, bound)
	for i, rs := range requests {
		held := 0
		for _, r := range rs {
			service, _ := r.TTFT()
			due, _ := r.DueTTFT()
			wait := int64(0)
			if r.HeldNS != nil {
				wait = *r.HeldNS
				held++
			}
			if due < service || int64(due-service) != wait {
				t.Fatalf("request %d: TTFT %v from the send, %v from the schedule, held %d", r.Index, service, due, wait)
			}
		}
		if o := recs[i].Detail.OpenLoad; o.Held != held || (held > 0) != (i == 1) {
			t.Errorf("%s: %d held, the record says %d", recs[i].TestID, held, o.Held)
		}
	}
	o := recs[1].Detail.OpenLoad
	if o.PeakInFlight != 1 || recs[1].ConcurrentRequests != 1 || o.MaxConcurrency != 1 {
		t.Errorf("bound to one: %+v", o)
	}
	// The bounded server answers faster, and the user waits longer.
	if recs[1].Detail.TTFT.Mean > recs[0].Detail.TTFT.Mean || o.TTFT.Mean < 2*recs[0].Detail.OpenLoad.TTFT.Mean {
		t.Errorf("free: %v ms from the send; bound: %v ms from the send, %v ms from the schedule", recs[0].Detail.TTFT.Mean, recs[1].Detail.TTFT.Mean, o.TTFT.Mean)
	}
	if recs[1].Detail.LateSends != 0 {
		t.Errorf("%d sends count as late, though it was the bound that held them", recs[1].Detail.LateSends)
	}
	// Little's law, with the server's own count of running requests on the left.
	f := recs[0].Detail
	if inFlight := *f.OpenLoad.OfferedPerSec * f.Latency.Mean / 1000; math.Abs(inFlight / *f.OpenLoad.MeanInFlight - 1) > 0.1 {
		t.Errorf("rate × latency = %v, mean in flight %v", inFlight, *f.OpenLoad.MeanInFlight)
	}
}

// TestOpenLoadStops: what the server cannot take is stopped, drained, named and not begun again; with the server's own queue
// and without its /metrics.
func TestOpenLoadStops(t *testing.T) {
	shape := runner.Shape{InputTokens: 100, OutputTokens: 100}
	for _, c := range []struct {
		seen, settings string
		most           int
		metrics        bool
	}{{record.SeenQueue, "", 0, true}, {record.SeenWaiting, "max-num-seqs=8", 0, false}, {record.SeenWaiting, "", 6, true}} {
		test := runner.OpenTest(poisson(25), shape, 3, 1500, c.most)
		dir := t.TempDir()
		for _, resume := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c.settings, dir)
				defer r.close()
				r.opts.HasMetrics, r.opts.Resume = c.metrics, resume
				if err := runner.Run(t.Context(), r.opts, []record.Test{test}); err != nil {
					t.Fatal(err)
				}
				rec := r.records(record.OpenFile)[0]
				o := rec.Detail.OpenLoad
				x := o.Oversaturated
				if x == nil || x.Seen != c.seen || x.GrowthPerSec <= 0 || rec.Status != record.StatusFailure || !strings.Contains(rec.Detail.Reason, "over-saturated") {
					t.Fatalf("%+v, %s: %s; %+v", c, rec.Status, rec.Detail.Reason, x)
				}
				if rec.Detail.Requests+o.Dropped+o.NotDue != test.Requests || len(rec.Detail.Repeats) != 1 {
					t.Errorf("%d sent, %d succeeded, %d dropped, %d not due of %d; %d repeats", rec.Detail.Requests, rec.Detail.Succeeded, o.Dropped, o.NotDue, test.Requests, len(rec.Detail.Repeats))
				}
				if rec.Detail.Requests == test.Requests || (o.Dropped > 0) != (c.most > 0) || x.InFlight == 0 || o.DrainMS <= 0 {
					t.Errorf("stopped after %d requests, %d dropped, %d in flight, drained in %v ms", rec.Detail.Requests, o.Dropped, x.InFlight, o.DrainMS)
				}
				if skipped := slices.ContainsFunc(r.events, func(e runner.Event) bool { return e.Kind == runner.TestSkipped }); skipped != resume {
					t.Errorf("with resume %v the test was skipped: %v", resume, skipped)
				}
			})
		}
	}
}

// TestOpenLoadNearCapacity: a load that the server just takes is not stopped, for any of several schedules.
func TestOpenLoadNearCapacity(t *testing.T) {
	for seed := range int64(5) {
		test := runner.OpenTest(poisson(6.5), runner.Shape{InputTokens: 100, OutputTokens: 100}, 1, 500, 0) // it takes about 8
		recs, _, _ := openRun(t, "", func(r *rig) { r.opts.Settings.Seed = seed }, test)
		if x := recs[0].Detail.OpenLoad.Oversaturated; x != nil {
			t.Errorf("seed %d: %+v", seed, x)
		}
	}
}

// resumed interrupts an open test in its second repeat and goes on with it in another run, of which check gets the record.
func resumed(t *testing.T, test record.Test, change func(*rig), check func(*rig, record.Record)) {
	t.Helper()
	dir := t.TempDir()
	for try := range 2 {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, "", dir)
			defer r.close()
			change(r)
			r.opts.Resume = try > 0
			if try == 0 {
				r.opts.Observe = func(e runner.Event) {
					if e.Kind == runner.RequestDone && e.Run == 1 && e.Done == 10 {
						r.opts.Control.Interrupt()
					}
				}
			}
			err := runner.Run(t.Context(), r.opts, []record.Test{test})
			if errors.Is(err, runner.ErrInterrupted) != (try == 0) || err != nil && try == 1 {
				t.Fatalf("try %d: %v", try, err)
			}
			if try > 0 {
				check(r, r.records(record.OpenFile)[0])
			}
		})
	}
}

// TestOpenLoadResumes: an interrupted repeat is begun again with the same schedule; one that was stopped counts as whole also
// where its record is missing.
func TestOpenLoadResumes(t *testing.T) {
	test := runner.OpenTest(poisson(2), runner.Shape{InputTokens: 60, OutputTokens: 30}, 2, 40, 0)
	resumed(t, test, func(*rig) {}, func(r *rig, rec record.Record) {
		if rec.Detail.Requests != 80 || rec.Detail.Repeats[0].Attempt != 0 || rec.Detail.Repeats[1].Attempt != 1 {
			r.t.Errorf("%d requests in %+v", rec.Detail.Requests, rec.Detail.Repeats)
		}
	})
}

func TestCheckOpenTests(t *testing.T) {
	shape := runner.Shape{InputTokens: 60, OutputTokens: 30}
	for _, a := range []record.Arrivals{{}, poisson(0), poisson(-1), poisson(math.NaN()), poisson(math.Inf(1)), {RequestRate: 1, Burstiness: new(0.0)},
		{RequestRate: 1, Burstiness: new(math.NaN())}, {RampUpStrategy: "cubic", RampUpStartRPS: 1, RampUpEndRPS: 2}, {RampUpStrategy: record.RampLinear, RampUpStartRPS: 1}} {
		if err := runner.CheckTest(runner.OpenTest(a, shape, 1, 10, 0)); err == nil {
			t.Errorf("%+v was taken", a)
		}
	}
	for _, test := range []record.Test{runner.OpenTest(poisson(2.5), shape, 1, 10, 0), runner.OpenTest(record.Arrivals{RequestRate: 2, Burstiness: new(0.25)}, shape, 1, 10, 8)} {
		if err := runner.CheckTest(test); err != nil {
			t.Error(err)
		}
	}
}
