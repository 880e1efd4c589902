package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"bench/internal/record"
)

// sampling reads GPUs and /metrics during one test, off the measuring path.
type sampling struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	gpus   *gpuSampling    // nil where no GPU is readable
	server *serverSampling // nil where /metrics is not
}

func startSampling(ctx context.Context, r *run, requests string, event func(Event)) *sampling {
	ctx, cancel := context.WithCancel(ctx)
	s := &sampling{cancel: cancel}
	if r.HasMetrics {
		s.server = newServerSampling(r, requests, event)
		s.server.scrape(ctx)
		s.wg.Go(func() { s.server.pace.run(ctx, metricsPeriod, func() { s.server.scrape(ctx) }) })
	}
	if r.GPUs != nil {
		g := newGPUSampling(r, requests, event)
		s.gpus = g
		g.list(ctx)
		g.sample(ctx)
		s.wg.Go(func() { g.pace.run(ctx, r.GPUs.Period(), func() { g.sample(ctx) }) })
		s.wg.Go(func() { every(ctx, processPeriod, func() { g.list(ctx) }) })
	}
	return s
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

// sample reads everything once, beside the regular readings.
func (s *sampling) sample(ctx context.Context) {
	s.server.scrape(ctx)
	if s.gpus != nil {
		s.gpus.sample(ctx)
	}
}

// settle waits for the server's counters after a repeat.
func (s *sampling) settle(ctx context.Context, limit time.Duration) {
	if s.gpus != nil {
		s.gpus.sample(ctx)
	}
	if s.server != nil {
		s.server.settle(ctx, limit)
	}
}

// busy says what the server is still doing, "" when it is idle or does not tell.
func (s *sampling) busy(ctx context.Context) string {
	if got := s.server.scrape(ctx); got != nil && (!zero(got.Running) || !zero(got.Waiting)) {
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
func (s *sampling) flush(ctx context.Context, sum *summary, folder *record.Folder) error {
	if s.gpus != nil {
		if err := s.gpus.flush(ctx, sum, folder); err != nil {
			return err
		}
	}
	if s.server != nil {
		return s.server.flush(sum)
	}
	return nil
}

// stop ends sampling and waits for it.
func (s *sampling) stop() error {
	s.cancel()
	s.wg.Wait()
	var err error
	if s.gpus != nil {
		err = s.gpus.close()
	}
	if s.server != nil {
		err = errors.Join(err, s.server.close())
	}
	return err
}

// notes say once a run what was missing from the samples.
func (s *sampling) notes(said map[string]bool, tell func(string)) {
	for what, text := range map[string]string{"gpus": s.gpuNote(), "server": s.serverNote()} {
		if text != "" && !said[what] {
			said[what] = true
			tell(text)
		}
	}
}

func (s *sampling) gpuNote() string {
	if s.gpus == nil {
		return ""
	}
	return s.gpus.note()
}

func (s *sampling) serverNote() string {
	if s.server == nil {
		return ""
	}
	return s.server.note()
}
