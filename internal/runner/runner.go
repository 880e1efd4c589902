// Package runner owns the one runner: it takes a plan of tests through warm-up, repeats, samples and
// cooldown into records. It prints nothing, judges only what the plan's 3.3 asks, and meets the server
// and the GPUs through the two interfaces declared here.
package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"bench/internal/clock"
	"bench/internal/load"
	"bench/internal/record"
)

// Target is the server under test.
type Target interface {
	// Open makes n connections ready, so that no request of a burst waits for a dial.
	Open(ctx context.Context, n int) error
	// Prepare encodes a request; nothing of that is left to do when it is sent.
	Prepare(p Prompt) (Send, error)
	// Scrape reads the server's own counters.
	Scrape(ctx context.Context) (record.ServerSample, error)
	// Alive says why the server would not take requests now.
	Alive(ctx context.Context) error
}

// Prompt is one request to make.
type Prompt struct {
	Text              string
	Messages          []load.Message // a conversation in place of Text; nil for a single message
	IDs               []int          // token ids in place of Text
	Images            []string       // data URIs beside Text
	Tools, ToolChoice json.RawMessage
	Adapter           string // "" for the model itself
	Tokens            int    // its length on the server, template included, without images
	OutputTokens      int
	Salt              string
	Answer            *string // gets the answer's text; nil where nobody needs it
}

// Sample is a request of a dataset, or a conversation, with its lengths on the server.
type Sample struct {
	load.Sample
	InputTokens int
	MoreTokens  []int // of the questions in More, each as a prompt of its own
}

// Send sends a prepared request once and reports everything about it; a failure is in the record.
type Send func(ctx context.Context) record.Request

// Sampler reads the GPUs the server runs on.
type Sampler interface {
	// Sample reads every GPU once and stamps the readings atNS. It returns when ctx ends, also where
	// the driver does not.
	Sample(ctx context.Context, atNS int64) ([]record.GPUSample, error)
	// Period is how often that may be done without costing the machine more than it is worth.
	Period() time.Duration
}

// ProcessLister is a [Sampler] that also tells which compute processes are on which GPU, by its index;
// a GPU whose driver does not tell is missing.
type ProcessLister interface {
	Processes(ctx context.Context) (map[int][]record.GPUProcess, error)
}

// Options are what one run needs.
type Options struct {
	Folder     *record.Folder
	Clock      *clock.Clock
	Target     Target
	Prompts    *load.Prompts
	GPUs       Sampler // nil where no GPU is readable
	HasMetrics bool
	GPUInfo    []record.GPUInfo
	Settings   record.Settings
	Simulated  bool
	// VirtualTime says that the clock is not the machine's, so that nothing is to be learnt of the machine.
	VirtualTime bool
	Resume      bool
	// LengthsEnforced says that the server honours ignore_eos, so that every answer has the asked length.
	LengthsEnforced bool
	// LengthsUnknown says that this was asked and did not show: LengthsEnforced is false then.
	LengthsUnknown bool
	// NoCacheSalt says that the server knows no cache_salt: what it keeps of one repeat it finds in the next.
	NoCacheSalt bool
	// WaitReturn is how long a server that died is waited for; 0 = not at all. Recheck says whether the one that
	// is there again is the same; it may be nil.
	WaitReturn time.Duration
	// Precise, above 0, ends a test's repeats as soon as the intervals of throughput and latency reach no further
	// from their means than that share of them.
	Precise float64
	// PerToken is the latency of one request by its output tokens, where something showed it before the first test; 0
	// else. Of what it lets expect the first test is told.
	PerToken time.Duration
	// Samples are the requests of a repeat, in order, where the tests take them from a dataset; with their lengths.
	Samples []Sample
	// Due are the instants of the requests of a repeat after its start, where the tests take them from a trace.
	Due []time.Duration
	// Probe, where not nil, is sent beside each test but a baseline.
	Probe *record.Probe
	// SLO and Goodput, where not nil, hold the limits that each test but a baseline is judged by.
	SLO     *record.SLO
	Goodput *record.Goodput
	// Next, where not nil, is asked for a further test once all are done, until it has none; why says what it found.
	Next    func() (t record.Test, more bool, why string, err error)
	Recheck func(ctx context.Context) error
	Control *Control
	Observe func(Event) // must not block; called by one goroutine at a time
}

// Control carries a user's wishes into a run. It is atomic because in virtual time no channel or
// context may cross from outside; the runner looks at it ten times a second.
type Control struct {
	interrupts atomic.Int32
	skip       atomic.Bool
	stop       atomic.Bool
}

// Interrupt asks once to drain and stop, twice to stop at once.
func (c *Control) Interrupt() { c.interrupts.Add(1) }

// SkipCooldown ends the cooldown that is running.
func (c *Control) SkipCooldown() { c.skip.Store(true) }

// StopAfterTest asks to begin no further test, or takes that back.
func (c *Control) StopAfterTest(yes bool) { c.stop.Store(yes) }

// controlPoll is how often wishes are looked at: below what a person notices.
const controlPoll = 100 * time.Millisecond

// EventKind says what an [Event] tells.
type EventKind int

// The events of a run, in the order in which a test makes them.
const (
	TestSkipped EventKind = iota + 1 // its record is there already
	TestStarted
	WaitingForIdle
	WarmingUp
	RepeatStarted
	RequestDone
	TestDone
	CoolingDown
	WaitingForServer
	Note
	ServerSampled // while a test runs, twice a second
	GPUSampled    // while a test runs, once a period of the source
)

// Event is what an observer may show.
type Event struct {
	Kind          EventKind
	Test          record.Test
	Number, Total int // of tests, from 1
	Run           int // repeat, from 0
	Done, Failed  int // requests of the repeat
	Remaining     time.Duration
	Left          *time.Duration // of TestStarted and TestDone: to the end of the plan, about; nil where no test has shown it yet
	Request       *record.Request
	Record        *record.Record
	Server        *record.ServerRow
	GPUs          []record.GPUSample
	Text          string
}

// ErrInterrupted ends a run that the user stopped; what had ended is on disk.
var ErrInterrupted = errors.New("interrupted")

// ServerGoneError ends a run whose server stopped answering.
type ServerGoneError struct {
	After string // the test it was last seen in
	Err   error
}

func (e *ServerGoneError) Error() string {
	return fmt.Sprintf("the server stopped answering after %s: %v; results so far are kept: start it again and go on with --resume (--wait-return 10m waits for it)", e.After, e.Err)
}

func (e *ServerGoneError) Unwrap() error { return e.Err }

// run is the state of one Run call.
type run struct {
	Options
	draining atomic.Bool
	baseline map[single]record.Baseline
	perToken time.Duration   // latency of the last test by its output tokens; 0 = not known
	said     map[string]bool // what samples are missing, told once
	again    bool            // the test is begun again after the server died before it ended
}

// Run takes the tests in order and leaves a record of each in the folder. It returns [ErrInterrupted]
// when stopped, a [*ServerGoneError] when the server died, or what made recording impossible. A test
// that fails is a record, not an error.
func Run(ctx context.Context, o Options, tests []record.Test) error {
	ctx, cancel := context.WithCancelCause(ctx)
	r := &run{Options: o, baseline: map[single]record.Baseline{}, said: map[string]bool{}, perToken: o.PerToken}
	var observing sync.Mutex // samples come from goroutines of their own
	r.Observe = func(e Event) {
		observing.Lock()
		defer observing.Unlock()
		o.Observe(e)
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		r.watch(ctx, cancel)
	}()
	defer func() {
		cancel(nil)
		<-watched
	}()
	if err := r.loadBaselines(); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if i == len(tests) {
			t, more, err := r.another()
			if err != nil {
				return err
			}
			if !more {
				break
			}
			tests = append(tests[:i:i], t)
		}
		if err := r.take(ctx, tests, i); err != nil {
			return err
		}
	}
	if r.draining.Load() {
		return ErrInterrupted
	}
	return nil
}

// another asks for a test beyond the plan.
func (r *run) another() (t record.Test, more bool, err error) {
	if r.Next == nil || r.draining.Load() {
		return t, false, nil
	}
	t, more, why, err := r.Next()
	if why != "" {
		r.Observe(Event{Kind: Note, Test: t, Text: why})
	}
	return t, more, err
}

// take does test i, with what comes after it.
func (r *run) take(ctx context.Context, tests []record.Test, i int) error {
	t, number, total := tests[i], i+1, len(tests)
	if t.Kind != record.KindBaseline {
		t.Probe = r.Probe
	}
	done, err := r.isDone(t)
	if err != nil {
		return err
	}
	if done {
		r.Observe(Event{Kind: TestSkipped, Test: t, Number: number, Total: total})
		return nil
	}
	if r.draining.Load() || r.Control.stop.Load() {
		return ErrInterrupted
	}
	r.Observe(Event{Kind: TestStarted, Test: t, Number: number, Total: total, Left: r.left(tests[i:])})
	rec, err := r.testOrReturn(ctx, t, number, total)
	if err != nil {
		return err
	}
	r.noteBaseline(rec)
	r.Observe(Event{Kind: TestDone, Test: t, Number: number, Total: total, Record: &rec, Left: r.leftAfter(tests[i+1:])})
	if err := r.survive(ctx, t, number, total, &rec); err != nil {
		return err
	}
	if number < total || r.Next != nil {
		r.cooldown(ctx, t, number, total)
	}
	return nil
}

// watch turns wishes into a drain and then a cancellation.
func (r *run) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(controlPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		n := r.Control.interrupts.Load()
		if n > 0 {
			r.draining.Store(true)
		}
		if n > 1 {
			cancel(ErrInterrupted)
		}
	}
}

// isDone says whether the test's record stands and nothing newer of it was begun.
func (r *run) isDone(t record.Test) (bool, error) {
	if !r.Resume {
		return false, nil
	}
	recs, err := r.Folder.ReadRecords(t.RecordFile())
	if err != nil {
		return false, err
	}
	for _, rec := range recs {
		if rec.TestID != t.ID {
			continue
		}
		begun, err := r.Folder.Unfinished(t, rec.Detail.Files.Requests)
		return begun == "", err
	}
	return false, nil
}

// loadBaselines learns the single-request tests the folder has; the ladder's own test beats `baseline`.
func (r *run) loadBaselines() error {
	for _, name := range []string{record.BaselineFile, record.ConcurrentFile} {
		recs, err := r.Folder.ReadRecords(name)
		if err != nil {
			return err
		}
		for _, rec := range recs {
			r.noteBaseline(rec)
		}
	}
	return nil
}

func (r *run) noteBaseline(rec record.Record) {
	r.noteSpeed(rec)
	if rec.ConcurrentRequests != 1 || rec.Detail.Kind == record.KindOpen || rec.Results.AvgTotalLatencyMS == nil || rec.Status == record.StatusFailure {
		return
	}
	r.baseline[singleIn(rec)] = record.Baseline{TestID: rec.TestID, AvgTotalLatencyMS: *rec.Results.AvgTotalLatencyMS}
}

// gone is the error of a server that no longer answers.
func (r *run) gone(ctx context.Context, t record.Test) error {
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	if err := r.Target.Alive(ctx); err != nil {
		return &ServerGoneError{After: t.ID, Err: err}
	}
	return nil
}

// testOrReturn takes a test. A server that dies before the test has sent all it can is waited for where that was
// asked for, and the test goes on with the repeats that are not on disk.
func (r *run) testOrReturn(ctx context.Context, t record.Test, number, total int) (record.Record, error) {
	defer func() { r.again = false }()
	for try := 0; ; try++ {
		rec, err := r.test(ctx, t, number, total)
		gone, died := errors.AsType[*ServerGoneError](err)
		if !died || r.WaitReturn == 0 || try == maxReturns {
			return rec, err
		}
		if err := r.awaitReturn(ctx, t, number, total, gone); err != nil {
			return rec, err
		}
		r.again = true
	}
}

// maxReturns bounds how often one test is begun again: a server that dies at the same place every time does so
// again.
const maxReturns = 2

// survive waits for a server that died of a test, and notes in the test's record when it was there again.
func (r *run) survive(ctx context.Context, t record.Test, number, total int, rec *record.Record) error {
	err := r.gone(ctx, t)
	gone, died := errors.AsType[*ServerGoneError](err)
	if !died || r.WaitReturn == 0 {
		return err
	}
	began := time.Now()
	if err := r.awaitReturn(ctx, t, number, total, gone); err != nil {
		return err
	}
	if rec.Detail.Incident == nil {
		return nil
	}
	rec.Detail.Incident.ReturnedAfterS = new(time.Since(began).Seconds())
	return r.Folder.PutRecord(t.RecordFile(), *rec)
}

// returnPoll is how often a dead server is asked whether it is there again.
const returnPoll = time.Second

// awaitReturn waits until the server answers again, and is the same.
func (r *run) awaitReturn(ctx context.Context, t record.Test, number, total int, gone *ServerGoneError) error {
	tick := time.NewTicker(controlPoll)
	defer tick.Stop()
	end := time.Now().Add(r.WaitReturn)
	for next := time.Now(); ; {
		if r.draining.Load() {
			return ErrInterrupted
		}
		if now := time.Now(); !now.Before(next) {
			if r.Target.Alive(ctx) == nil {
				if r.Recheck != nil {
					return r.Recheck(ctx)
				}
				return nil
			}
			if now.After(end) {
				return gone
			}
			next = now.Add(returnPoll)
		}
		r.Observe(Event{Kind: WaitingForServer, Test: t, Number: number, Total: total, Remaining: time.Until(end), Text: gone.Err.Error()})
		select {
		case <-ctx.Done():
			return ErrInterrupted
		case <-tick.C:
		}
	}
}

// cooldown lets the server and the card come to rest; it can be skipped and interrupted.
func (r *run) cooldown(ctx context.Context, t record.Test, number, total int) {
	length := time.Duration(r.Settings.CooldownS * float64(time.Second))
	r.Control.skip.Store(false)
	tick := time.NewTicker(controlPoll)
	defer tick.Stop()
	for end := time.Now().Add(length); time.Now().Before(end); {
		if r.draining.Load() || r.Control.skip.Load() || r.Control.stop.Load() {
			return
		}
		r.Observe(Event{Kind: CoolingDown, Test: t, Number: number, Total: total, Remaining: time.Until(end)})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
