package runner

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"bench/internal/load"
	"bench/internal/record"
)

// ProbeAt is the probe that is sent so often a second: a short question and a sentence for an answer, long enough for any chat
// template and for a time per token.
func ProbeAt(rate float64) record.Probe {
	return record.Probe{RequestRate: rate, InputTokens: 64, OutputTokens: 16}
}

// probesPerRepeat bounds the schedule of probes: a day's at the highest rate that one is likely to ask for.
const probesPerRepeat = 1_000_000

// probing sends probes beside the repeats of one test, and keeps them apart. A nil *probing sends none.
type probing struct {
	run  *run
	test record.Test
	log  *record.RequestLog
	text string
	sent map[int][]record.Request // by repeat

	n, attempt int // the repeat that runs
	over       atomic.Bool
	done       sync.WaitGroup
	mu         sync.Mutex
	ended      []record.Request
}

// openProbing opens the file of a test's probes and makes their prompt; nil where this machine sends none. Of several machines
// the first does.
func (r *run) openProbing(ctx context.Context, t record.Test, requests string) (*probing, error) {
	if t.Probe == nil || t.Shard != nil && t.Shard.Index > 0 {
		return nil, nil
	}
	p := &probing{run: r, test: t, sent: map[int][]record.Request{}}
	var err error
	if p.text, err = r.Prompts.Make(ctx, t.Probe.InputTokens, load.Key{Test: p.name()}); err != nil {
		return nil, err
	}
	content, err := record.ReadRequests(r.Folder.Path(record.ProbesFile(requests)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.log, err = r.Folder.NewProbeLog(t, requests)
	case err == nil:
		p.sent = content.Attempts()
		p.log, _, err = r.Folder.ReopenRequestLog(record.ProbesFile(requests))
	}
	return p, err
}

func (p *probing) name() string { return p.test.ID + "/probe" }

// begin sends probes from an instant on, evenly spaced, until end is called.
func (p *probing) begin(ctx context.Context, n, attempt int, startNS int64) {
	if p == nil {
		return
	}
	p.n, p.attempt, p.ended = n, attempt, nil
	p.over.Store(false)
	due := make([]time.Duration, min(probesPerRepeat, int(24*3600*p.test.Probe.RequestRate)+1))
	for i := range due {
		due[i] = time.Duration(float64(i+1) / p.test.Probe.RequestRate * float64(time.Second))
	}
	p.done.Go(func() {
		load.Open(ctx, load.OpenPlan{StartNS: startNS, Due: due, Stopped: p.over.Load}, p.run.Clock.Now, p.send)
	})
}

// send sends one probe. They are all one question, each under a salt of its own, so that no prefix cache answers.
func (p *probing) send(ctx context.Context, index int, dueNS, _ int64) {
	salt := p.run.Prompts.Salt(load.Key{Test: p.name(), Run: p.n, Index: index, Attempt: p.attempt})
	send, err := p.run.Target.Prepare(Prompt{Text: p.text, Tokens: p.test.Probe.InputTokens, OutputTokens: p.test.Probe.OutputTokens, Salt: salt})
	if err != nil {
		now := p.run.Clock.Now()
		send = func(context.Context) record.Request {
			return record.Request{SentNS: now, EndNS: now, Error: record.ErrBadPayload, Message: err.Error()}
		}
	}
	req := send(ctx)
	req.TestID, req.Run, req.Index, req.Attempt, req.ScheduledNS = p.test.ID, p.n, index, p.attempt, dueNS
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = append(p.ended, req)
}

// end sends no more probes, waits for those in flight and writes them down.
func (p *probing) end() error {
	if p == nil {
		return nil
	}
	p.over.Store(true)
	p.done.Wait()
	slices.SortFunc(p.ended, func(a, b record.Request) int { return a.Index - b.Index })
	p.sent[p.n] = p.ended
	for _, req := range p.ended {
		if err := p.log.Append(req); err != nil {
			return err
		}
	}
	return nil
}

// close ends the file; what was appended stays.
func (p *probing) close() error {
	if p == nil || p.log == nil {
		return nil
	}
	return errors.Join(p.log.Sync(), p.log.Close())
}

// handOver gives the summary what was sent.
func (p *probing) handOver(s *summary) {
	if p != nil {
		s.probes, s.probesFile = p.sent, p.log.Name()
	}
}

// allProbes are the probes of every repeat.
func (s *summary) allProbes() (all []record.Request) {
	for n := range s.test.Runs {
		all = append(all, s.probes[n]...)
	}
	return all
}

// probeResult is what the probes saw; nil where none were sent.
func (s *summary) probeResult() *record.ProbeResult {
	if s.test.Probe == nil || s.probesFile == "" {
		return nil
	}
	all := s.allProbes()
	ok := successes(all)
	out := &record.ProbeResult{Probe: *s.test.Probe, Requests: len(all), Succeeded: len(ok), File: s.probesFile,
		TTFT:    distribution(durations(ok, (*record.Request).DueTTFT)),
		TPOT:    distribution(durations(ok, (*record.Request).TPOT)),
		Latency: distribution(durations(ok, (*record.Request).DueLatency))}
	for _, r := range all {
		if late(r) > lateSend {
			out.Late++
		}
	}
	return out
}
