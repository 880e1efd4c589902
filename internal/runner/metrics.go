package runner

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"bench/internal/clock"
	"bench/internal/record"
)

// A scrape costs the server's API process some milliseconds: two a second.
const (
	metricsPeriod = 500 * time.Millisecond
	// scrapeLimit is how long one may take. A server under load answers in a tenth of a second; one that needs
	// longer than this delays what waits for a scrape between repeats.
	scrapeLimit = 2 * time.Second
	// scrapeFailures in a row give /metrics up for the rest of the test: the endpoint is gone, or too slow to
	// be waited for again and again.
	scrapeFailures = 5
)

// serverSampling reads /metrics during one test, off the measuring path and over connections of its own. A
// scrape that fails is a gap in the log, never an error of the test; a log that cannot be written is.
type serverSampling struct {
	target   Target
	clock    *clock.Clock
	folder   *record.Folder
	requests string
	event    func(Event)
	pace     pace
	turn     turn // one scrape at a time, so that stamps and deltas stay in order

	mu        sync.Mutex // guards what follows
	log       *record.SampleLog[record.ServerRow]
	name      string
	last      *record.ServerSample
	rows      int
	failed    int
	inRow     int    // of failures
	reason    string // of the first
	took      time.Duration
	slowest   time.Duration
	abandoned bool
	err       error                     // of the log
	watch     func(record.ServerSample) // of an open load; nil where nobody watches
}

// watched has every sample from now on told to f; nil ends that.
func (s *serverSampling) watched(f func(record.ServerSample)) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = f
}

func newServerSampling(r *run, requests string, event func(Event)) *serverSampling {
	return &serverSampling{target: r.Target, clock: r.Clock, folder: r.Folder, requests: requests, event: event, turn: newTurn()}
}

// scrape reads /metrics once and returns what it saw; nil when it could not.
func (s *serverSampling) scrape(ctx context.Context) *record.ServerSample {
	if s == nil {
		return nil
	}
	if !s.turn.take(ctx) {
		return nil
	}
	defer s.turn.pass()
	if s.given() {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, scrapeLimit)
	defer cancel()
	began := time.Now()
	got, err := s.target.Scrape(limited)
	if ctx.Err() != nil {
		return nil // the test is over: nothing was wrong with the endpoint
	}
	if err != nil {
		s.miss(err)
		return nil
	}
	row := s.keep(&got, time.Since(began))
	s.event(Event{Kind: ServerSampled, Server: &row})
	return &got
}

func (s *serverSampling) miss(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed++
	s.inRow++
	s.reason = cmp.Or(s.reason, err.Error())
	s.abandoned = s.inRow >= scrapeFailures
}

// keep stamps a scrape and appends its row to the log.
func (s *serverSampling) keep(got *record.ServerSample, took time.Duration) record.ServerRow {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inRow = 0
	s.took, s.slowest = s.took+took, max(s.slowest, took)
	got.AtNS = s.clock.Now()
	if s.log == nil {
		s.log, s.name = s.folder.NewServerLog(s.requests, got)
	}
	row := record.Delta(s.last, got)
	s.err = errors.Join(s.err, s.log.Append(row))
	s.last = got
	s.rows++
	if s.watch != nil {
		s.watch(*got)
	}
	return row
}

func (s *serverSampling) given() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.abandoned
}

// settleLimit bounds how long the server's counters are waited for after a repeat: an engine may
// finish its last step after the client has read the last byte.
const (
	settleLimit = time.Second
	settlePoll  = 50 * time.Millisecond
)

// settle scrapes until the server has nothing running and its counters stand still, so that the repeat's are
// whole. Tokens are watched beside finished requests: one whose client went away is counted as finished by no
// version, but its last tokens are. A scrape that fails is tried once more: after the last repeat no other follows.
func (s *serverSampling) settle(ctx context.Context, limit time.Duration) {
	last := [2]float64{-1, -1}
	failed := 0
	for start := time.Now(); time.Since(start) < limit; time.Sleep(settlePoll) {
		got := s.scrape(ctx)
		if got == nil {
			if failed++; failed > 1 {
				return
			}
			continue
		}
		now := [2]float64{orZero(got.FinishedRequests), orZero(got.GenerationTokens)}
		if zero(got.Running) && zero(got.Waiting) && now == last {
			return
		}
		last = now
	}
}

func orZero[T int64 | float64](v *T) T {
	if v == nil {
		return 0
	}
	return *v
}

func zero(v *float64) bool { return v == nil || *v == 0 }

// flush hands over what was scraped so far.
func (s *serverSampling) flush(sum *summary) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	sum.scrapes = &record.Scrapes{IntervalMS: ms(metricsPeriod), N: s.rows, Failed: s.failed, Reason: s.reason, MaxMS: ms(s.slowest), Abandoned: s.abandoned}
	sum.scrapes.MeanLatenessMS, sum.scrapes.MaxLatenessMS, sum.scrapes.Missed = s.pace.lateness()
	if s.rows > 0 {
		sum.scrapes.MeanMS = ms(s.took) / float64(s.rows)
		sum.files.ServerMetrics = s.name
		sum.server, err = s.folder.ReadServerRows(s.name)
	}
	return err
}

// note says once what is missing from the test's server metrics; "" when nothing is.
func (s *serverSampling) note() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.abandoned {
		return ""
	}
	return "/metrics was given up for the rest of the test: " + s.reason
}

func (s *serverSampling) close() error {
	if s.log == nil {
		return s.err
	}
	return errors.Join(s.err, s.log.Close())
}
