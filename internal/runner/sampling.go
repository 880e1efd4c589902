package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"bench/internal/record"
)

// A scrape costs the server's API process some milliseconds: two a second.
const (
	metricsPeriod = 500 * time.Millisecond
	scrapeLimit   = 2 * time.Second
)

// sampling reads GPUs and /metrics during one test, off the measuring path. A reading that fails is
// a gap in the log, never an error of the test; a log that cannot be written ends it.
type sampling struct {
	r      *run
	cancel context.CancelFunc
	wg     sync.WaitGroup

	gpus       *gpuSampling // nil where no GPU is readable
	scrapeTurn sync.Mutex   // one scrape at a time, so that stamps and deltas stay in order

	mu         sync.Mutex // guards what follows
	serverLog  *record.SampleLog[record.ServerRow]
	serverName string
	requests   string
	last       *record.ServerSample
	rows       int
	err        error
}

func startSampling(ctx context.Context, r *run, requests string) (*sampling, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &sampling{r: r, cancel: cancel, requests: requests}
	if r.GPUs != nil {
		s.gpus = newGPUSampling(r, requests)
		s.gpus.list(ctx)
	}
	s.scrape(ctx)
	s.sampleGPUs(ctx)
	if g := s.gpus; g != nil {
		s.wg.Go(func() { g.pace.run(ctx, r.GPUs.Period(), func() { g.sample(ctx) }) })
		s.wg.Go(func() { every(ctx, processPeriod, func() { g.list(ctx) }) })
	}
	if r.HasMetrics {
		s.wg.Go(func() { every(ctx, metricsPeriod, func() { s.scrape(ctx) }) })
	}
	return s, s.failure()
}

// every calls f each period until ctx ends. A tick that comes while f runs is dropped, not queued.
func every(ctx context.Context, period time.Duration, f func()) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

func (s *sampling) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gpus == nil {
		return s.err
	}
	return errors.Join(s.err, s.gpus.failedLog())
}

// sampleGPUs reads the GPUs once, beside their regular readings.
func (s *sampling) sampleGPUs(ctx context.Context) {
	if s.gpus != nil {
		s.gpus.sample(ctx)
	}
}

// scrape reads /metrics once and returns what it saw; nil when it could not.
func (s *sampling) scrape(ctx context.Context) *record.ServerSample {
	if !s.r.HasMetrics {
		return nil
	}
	s.scrapeTurn.Lock()
	defer s.scrapeTurn.Unlock()
	ctx, cancel := context.WithTimeout(ctx, scrapeLimit)
	defer cancel()
	got, err := s.r.Target.Scrape(ctx)
	if err != nil {
		return nil
	}
	got.AtNS = s.r.Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serverLog == nil {
		s.serverLog, s.serverName = s.r.Folder.NewServerLog(s.requests, &got)
	}
	s.err = errors.Join(s.err, s.serverLog.Append(record.Delta(s.last, &got)))
	s.last = &got
	s.rows++
	return &got
}

// settleLimit bounds how long the server's counters are waited for after a repeat: an engine may
// finish its last step after the client has read the last byte.
const (
	settleLimit = time.Second
	settlePoll  = 50 * time.Millisecond
)

// settle scrapes until the server has nothing running and its count of finished requests stands still,
// so that the repeat's counters are whole.
func (s *sampling) settle(ctx context.Context) {
	last := -1.0
	for start := time.Now(); time.Since(start) < settleLimit; time.Sleep(settlePoll) {
		got := s.scrape(ctx)
		if got == nil {
			return
		}
		finished := 0.0
		if got.FinishedRequests != nil {
			finished = *got.FinishedRequests
		}
		if zero(got.Running) && zero(got.Waiting) && finished == last {
			return
		}
		last = finished
	}
}

func zero(v *float64) bool { return v == nil || *v == 0 }

// busy says what the server is still doing, "" when it is idle or does not tell.
func (s *sampling) busy(ctx context.Context) string {
	if got := s.scrape(ctx); got != nil && (!zero(got.Running) || !zero(got.Waiting)) {
		return fmt.Sprintf("the server had %s running and %s waiting", count(got.Running), count(got.Waiting))
	}
	if s.gpus != nil {
		if util := s.gpus.lastUtil(); util > quietGPUPercent {
			return fmt.Sprintf("a GPU was %.0f %% busy", util)
		}
	}
	return ""
}

func count(v *float64) string {
	if v == nil {
		return "an unknown number"
	}
	return fmt.Sprintf("%.0f", *v)
}

// flush hands what was sampled to the summary; sampling goes on until stop.
func (s *sampling) flush(ctx context.Context, sum *summary) (err error) {
	if s.gpus != nil {
		if err := s.gpus.flush(ctx, sum, s.r.Folder); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.rows > 0 {
		sum.files.ServerMetrics = s.serverName
		sum.server, err = s.r.Folder.ReadServerRows(s.serverName)
	}
	return err
}

// stop ends sampling and waits for it.
func (s *sampling) stop() error {
	s.cancel()
	s.wg.Wait()
	err := s.err
	if s.gpus != nil {
		err = errors.Join(err, s.gpus.close())
	}
	if s.serverLog != nil {
		err = errors.Join(err, s.serverLog.Close())
	}
	return err
}
