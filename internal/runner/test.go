package runner

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"bench/internal/load"
	"bench/internal/record"
)

// idleLimit is how long a test waits for the server and the GPU to come to rest.
const idleLimit = 30 * time.Second

// quietGPUPercent is the utilisation below which a GPU counts as idle: a desktop's drawing stays below.
const quietGPUPercent = 10

// test takes one test through the plan's procedure (3.2) and leaves its record.
func (r *run) test(ctx context.Context, t record.Test, number, total int) (record.Record, error) {
	event := func(e Event) {
		e.Test, e.Number, e.Total = t, number, total
		r.Observe(e)
	}
	log, content, err := r.openLog(t, event)
	if err != nil {
		return record.Record{}, err
	}
	defer log.Close()
	probes, err := r.openProbing(ctx, t, log.Name())
	if err != nil {
		return record.Record{}, err
	}
	s := startSampling(ctx, r, log.Name(), event)
	rec, err := r.measure(ctx, t, log, content, s, probes, event)
	err = errors.Join(err, s.stop(), probes.close())
	s.notes(r.said, func(text string) { event(Event{Kind: Note, Text: text}) })
	if err != nil {
		return record.Record{}, err
	}
	return rec, r.Folder.PutRecord(t.RecordFile(), rec)
}

// openLog begins the test's request file, or goes on with the one an interrupted run left.
func (r *run) openLog(t record.Test, event func(Event)) (*record.RequestLog, *record.RequestFile, error) {
	if r.Resume || r.again {
		recorded := ""
		recs, err := r.Folder.ReadRecords(t.RecordFile())
		if err != nil {
			return nil, nil, err
		}
		for _, rec := range recs {
			if rec.TestID == t.ID {
				recorded = rec.Detail.Files.Requests
			}
		}
		name, err := r.Folder.Unfinished(t, recorded)
		if err != nil {
			return nil, nil, err
		}
		if name != "" {
			log, content, err := r.Folder.ReopenRequestLog(name)
			if err != nil {
				return nil, nil, err
			}
			if !reflect.DeepEqual(content.Test, t) {
				log.Close()
				return nil, nil, fmt.Errorf("%s was begun as %s, now asked for as %s: use the same settings, or another folder with --out",
					r.Folder.Path(name), describe(content.Test), describe(t))
			}
			if content.Torn {
				event(Event{Kind: Note, Text: fmt.Sprintf("%s: the torn last line was dropped", r.Folder.Path(name))})
			}
			return log, content, nil
		}
	}
	log, err := r.Folder.NewRequestLog(t)
	return log, &record.RequestFile{Test: t}, err
}

func describe(t record.Test) string {
	if t.Arrivals != nil {
		return fmt.Sprintf("%s, at most %d at once (0 = no bound), %d/%d tokens, %d runs of %d requests", describeArrivals(*t.Arrivals), t.Concurrent, t.InputTokens, t.OutputTokens, t.Runs, t.Requests)
	}
	return fmt.Sprintf("%d at once, %d/%d tokens, %d runs of %d requests", t.Concurrent, t.InputTokens, t.OutputTokens, t.Runs, t.Requests)
}

// measure does warm-up and the repeats that are not on disk yet.
func (r *run) measure(ctx context.Context, t record.Test, log *record.RequestLog, content *record.RequestFile, s *sampling, probes *probing, event func(Event)) (record.Record, error) {
	event(Event{Kind: WaitingForIdle})
	idleWait, busy := r.waitIdle(ctx, s)
	if t.Shard != nil {
		busy = "" // it may be the others' warm-ups
	}
	if err := r.warmUp(ctx, t, event); err != nil {
		return record.Record{}, err
	}
	attempts := content.Attempts()
	stops := map[int]record.Stop{} // of the newest attempts
	for _, stop := range content.Stops {
		if begun := attempts[stop.Run]; len(begun) > 0 && begun[0].Attempt == stop.Attempt {
			stops[stop.Run] = stop
		}
	}
	dead := false
	var client *watch
	if !r.VirtualTime {
		client = &watch{}
	}
	for n := range t.Runs {
		if len(stops) > 0 {
			break // what one repeat could not hold, the next cannot
		}
		attempt := 0
		if begun := attempts[n]; len(begun) > 0 {
			if whole(begun, t.Share()) {
				continue
			}
			attempt = begun[0].Attempt + 1
			if err := log.Abandon(n, attempt-1); err != nil {
				return record.Record{}, err
			}
		}
		if r.draining.Load() || ctx.Err() != nil {
			return record.Record{}, ErrInterrupted
		}
		event(Event{Kind: RepeatStarted, Run: n})
		requests, stop, err := r.repeat(ctx, t, n, attempt, log, s, client, probes, event)
		if err != nil {
			return record.Record{}, err
		}
		attempts[n] = requests
		want := t.Share()
		if stop != nil {
			stops[n], want = *stop, len(requests)
		}
		if !whole(requests, want) {
			return record.Record{}, ErrInterrupted
		}
		if failed(requests) && r.Target.Alive(ctx) != nil {
			dead = true // of it: that is the test's result
			break
		}
		if p := precision(attempts, r.Precise); r.Precise > 0 && p != nil && p.Reached {
			break
		}
	}
	if err := log.Sync(); err != nil {
		return record.Record{}, err
	}
	sum := summary{test: t, repeats: attempts, enforced: r.LengthsEnforced, lengthsUnknown: r.LengthsUnknown, noCacheSalt: r.NoCacheSalt, simulated: r.Simulated, endpoint: r.Settings.Endpoint,
		gpuInfo: r.GPUInfo, idleWait: idleWait, busy: busy, baseline: r.baselineOf(t), client: client, stops: stops}
	sum.files.Requests = log.Name()
	probes.handOver(&sum)
	if t.Kind != record.KindBaseline {
		sum.slo, sum.goodput = r.SLO, r.Goodput
	}
	if r.Precise > 0 {
		sum.precision = precision(attempts, r.Precise)
	}
	if err := s.flush(ctx, &sum, r.Folder); err != nil {
		return record.Record{}, err
	}
	rec := sum.record()
	if in := sum.incident(sum.all(), dead); in != nil {
		in.Flight = record.FlightFile(log.Name())
		if err := r.Folder.WriteJSON(in.Flight, sum.flight(sum.all(), *in)); err != nil {
			return record.Record{}, err
		}
		rec.Detail.Incident = in
		rec.Detail.Reason = fmt.Sprintf("%s with %d in flight; %s holds the half minute before", map[string]string{record.IncidentOutOfMemory: "out of memory",
			record.IncidentEngineDeath: "the engine died"}[in.Kind], sum.atOnce(in.AtNS), in.Flight)
	}
	return rec, nil
}

// whole says whether a repeat ended: every request was sent and none was cancelled by the user.
func whole(rs []record.Request, want int) bool {
	for _, r := range rs {
		if r.Error == record.ErrCancelled {
			return false
		}
	}
	return len(rs)+unsent(rs) >= want
}

func failed(rs []record.Request) bool {
	for _, r := range rs {
		if !r.Success {
			return true
		}
	}
	return false
}

func (r *run) baselineOf(t record.Test) *record.Baseline {
	b, ok := r.baseline[singleOf(t)]
	if !ok || t.Concurrent == 1 && t.Kind != record.KindOpen {
		return nil
	}
	return &b
}

// waitIdle waits until the server has nothing to do; busy says what still ran at the limit.
func (r *run) waitIdle(ctx context.Context, s *sampling) (waited time.Duration, busy string) {
	start := time.Now()
	tick := time.NewTicker(controlPoll)
	defer tick.Stop()
	for {
		busy = s.busy(ctx)
		waited = time.Since(start)
		if busy == "" || waited >= idleLimit || r.draining.Load() {
			return waited, busy
		}
		select {
		case <-ctx.Done():
			return waited, busy
		case <-tick.C:
		}
	}
}

// warmUp sends the plan's warm-up requests one after another. They are never counted.
func (r *run) warmUp(ctx context.Context, t record.Test, event func(Event)) error {
	for i := range r.Settings.Warmup {
		if r.draining.Load() || ctx.Err() != nil {
			return ErrInterrupted
		}
		event(Event{Kind: WarmingUp, Done: i})
		send, err := r.prepare(ctx, t, work{}, load.Key{Test: t.ID, Index: i, Warmup: true})
		if err != nil {
			return err
		}
		if err := r.Target.Open(ctx, 1); err != nil {
			return r.openError(ctx, t, err)
		}
		send(ctx)
	}
	return nil
}

func (r *run) prepare(ctx context.Context, t record.Test, w work, key load.Key) (Send, error) {
	p, err := r.ask(ctx, t, w, key)
	if err != nil {
		return nil, r.promptError(ctx, t, p, err)
	}
	return r.ready(p, p.hash())
}

// promptError is why a prompt could not be made: most often that the server is gone.
func (r *run) promptError(ctx context.Context, t record.Test, p Prompt, err error) error {
	if gone := r.gone(ctx, t); gone != nil {
		return gone
	}
	return fmt.Errorf("%s: making a prompt of %d tokens: %w", t.ID, p.Tokens, err)
}

// ready encodes a request, and notes with what becomes of it what was asked.
func (r *run) ready(p Prompt, hash string) (Send, error) {
	send, err := r.Target.Prepare(p)
	if err != nil {
		return nil, err
	}
	adapter, images, tools := p.Adapter, len(p.Images), p.tools()
	return func(ctx context.Context) record.Request {
		req := send(ctx)
		req.PromptSHA256, req.Adapter, req.Images, req.Tools = hash, adapter, images, tools
		return req
	}, nil
}

func (r *run) openError(ctx context.Context, t record.Test, err error) error {
	if ctx.Err() != nil {
		return ErrInterrupted
	}
	return &ServerGoneError{After: t.ID, Err: err}
}

// repeat sends one repeat and records each request as it ends. Prompts are made and connections are
// opened before the first send; the disk is written by a goroutine of its own.
func (r *run) repeat(ctx context.Context, t record.Test, n, attempt int, log *record.RequestLog, s *sampling, client *watch, probes *probing, event func(Event)) ([]record.Request, *record.Stop, error) {
	traffic, err := r.traffic(ctx, t, n, attempt)
	if err != nil {
		return nil, nil, err
	}
	// Before the connections: a /metrics that hangs must not let them grow too old for the burst.
	s.sample(ctx)
	if err := r.awaitStart(ctx, t, n, connectAhead); err != nil {
		return nil, nil, err
	}
	connections := traffic.connections()
	if probes != nil {
		connections++
	}
	if err := r.Target.Open(ctx, connections); err != nil {
		return nil, nil, r.openError(ctx, t, err)
	}
	startNS, err := r.startOf(t, n)
	if err != nil {
		return nil, nil, err
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	open := traffic.open
	bad := 0
	taken := collect(len(traffic.index), func(all []record.Request) error {
		req := &all[len(all)-1]
		if !req.Success {
			bad++
		}
		err := log.Append(*req)
		if err != nil {
			cancel(err)
		}
		event(Event{Kind: RequestDone, Run: n, Done: len(all), Failed: bad, Request: req})
		if open != nil {
			open.ended(all)
		}
		return err
	})
	if client != nil {
		client.start(ctx)
	}
	probes.begin(ctx, n, attempt, startNS)
	if open != nil {
		s.server.watched(open.sample)
	}
	sendErr := traffic.send(ctx, r, startNS, func(req record.Request) {
		req.TestID, req.Run, req.Attempt = t.ID, n, attempt
		taken.ended <- req
	})
	s.server.watched(nil)
	probeErr := probes.end()
	if client != nil {
		client.end()
	}
	out, writeErr := taken.all()
	if err := errors.Join(writeErr, probeErr, sendErr); err != nil {
		return nil, nil, err
	}
	limit := settleLimit
	if t.Shard != nil {
		limit = shardSettle
	}
	s.settle(context.WithoutCancel(ctx), limit)
	slices.SortFunc(out, func(a, b record.Request) int { return a.Index - b.Index })
	if open == nil || open.stopped() == nil || r.draining.Load() {
		return out, nil, nil
	}
	stop := open.stopped()
	stop.Saturation.InFlight = flightOf(out).between(stop.AtNS, stop.AtNS)
	event(Event{Kind: Note, Text: describeStop(*stop)})
	return out, stop, log.Stop(*stop)
}
