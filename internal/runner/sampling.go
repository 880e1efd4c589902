package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"bench/internal/record"
)

// Sampling periods. NVML answers in well under a millisecond and memory moves slowly: ten a second
// shows every step. A scrape costs the server's API process some milliseconds: two a second.
const (
	gpuPeriod     = 100 * time.Millisecond
	metricsPeriod = 500 * time.Millisecond
	scrapeLimit   = 2 * time.Second
)

// sampling reads GPUs and /metrics during one test, off the measuring path. A reading that fails is
// a gap in the log, never an error of the test; a log that cannot be written ends it.
type sampling struct {
	r      *run
	cancel context.CancelFunc
	wg     sync.WaitGroup

	gpuTurn, scrapeTurn sync.Mutex // one reading at a time, so that stamps and deltas stay in order

	mu         sync.Mutex // guards what follows
	gpuLog     *record.SampleLog[record.GPUSample]
	gpuName    string
	serverLog  *record.SampleLog[record.ServerRow]
	serverName string
	requests   string
	last       *record.ServerSample
	gpuSamples int
	rows       int
	util       float64
	err        error
}

func startSampling(ctx context.Context, r *run, requests string) (*sampling, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &sampling{r: r, cancel: cancel, requests: requests}
	s.gpuLog, s.gpuName = r.Folder.NewGPULog(requests)
	s.scrape(ctx)
	s.sampleGPUs()
	if r.GPUs != nil {
		s.wg.Go(func() { every(ctx, gpuPeriod, s.sampleGPUs) })
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
	return s.err
}

func (s *sampling) sampleGPUs() {
	if s.r.GPUs == nil {
		return
	}
	s.gpuTurn.Lock()
	defer s.gpuTurn.Unlock()
	samples, err := s.r.GPUs.Sample(s.r.Clock.Now())
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.util = 0
	for _, g := range samples {
		if g.GPUUtil != nil {
			s.util = max(s.util, *g.GPUUtil)
		}
	}
	s.gpuSamples += len(samples)
	s.err = errors.Join(s.err, s.gpuLog.Append(samples...))
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
const settleLimit = time.Second

// settle scrapes until the server has nothing running and its count of finished requests stands still,
// so that the repeat's counters are whole.
func (s *sampling) settle(ctx context.Context) {
	last := -1.0
	for start := time.Now(); time.Since(start) < settleLimit; time.Sleep(gpuPeriod / 2) {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.util > quietGPUPercent {
		return fmt.Sprintf("a GPU was %.0f %% busy", s.util)
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
func (s *sampling) flush(sum *summary) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.gpuSamples > 0 {
		sum.files.MemoryLog = s.gpuName
		if sum.gpu, err = s.r.Folder.ReadGPUSamples(s.gpuName); err != nil {
			return err
		}
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
	err := s.gpuLog.Close()
	if s.serverLog != nil {
		err = errors.Join(err, s.serverLog.Close())
	}
	return errors.Join(s.err, err)
}
