package runner_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"bench/internal/record"
)

// oddMetrics is the simulator whose /metrics fails from some scrape on.
type oddMetrics struct {
	target
	fail func(ctx context.Context, scrape int) error
	n    int
	busy int // scrapes that saw both requests of a burst running
}

func (o *oddMetrics) Scrape(ctx context.Context) (record.ServerSample, error) {
	o.n++
	if err := o.fail(ctx, o.n); err != nil {
		return record.ServerSample{}, err
	}
	got, err := o.target.Scrape(ctx)
	if got.Running != nil && *got.Running == 2 {
		o.busy++
	}
	return got, err
}

// Exact scrapes on virtual time: none is late, missed or failed, and they cover the whole test.
func TestServerSampling(t *testing.T) {
	rec, notes := ran(t, 100, func(*rig) {})
	s := rec.Detail.Scrapes
	if s == nil || s.IntervalMS != 500 || s.MeanLatenessMS != 0 || s.MaxLatenessMS != 0 || s.Missed != 0 || s.Failed != 0 || s.Abandoned || len(notes) != 0 {
		t.Fatalf("scrapes %+v, notes %v", s, notes)
	}
	if took := time.Duration(rec.Detail.EndNS - rec.Detail.StartNS); s.N < int(took/(500*time.Millisecond)) {
		t.Errorf("%d scrapes in a test of %v", s.N, took)
	}
}

// An endpoint that stops answering in the middle of a test delays no request and no reading of a GPU; it is
// given up, said once, and what it had told is not passed off as whole.
func TestMetricsThatHang(t *testing.T) {
	// Answers of seven seconds, so that scrapes hang while requests are in flight.
	const tokens = 400
	well, _ := ran(t, tokens, func(*rig) {})
	odd := &oddMetrics{}
	odd.fail = func(ctx context.Context, _ int) error {
		if odd.busy < 2 {
			return nil
		}
		<-ctx.Done()
		return errors.New("/metrics: no answer")
	}
	rec, notes := ran(t, tokens, func(r *rig) { odd.target = target{r.client}; r.opts.Target = odd })
	s := rec.Detail.Scrapes
	if !s.Abandoned || s.Failed != 5 || s.N != odd.n-5 || s.Missed == 0 || s.Reason != "/metrics: no answer" {
		t.Errorf("%d scrapes begun: %+v", odd.n, s)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "/metrics was given up for the rest of the test: /metrics: no answer") {
		t.Errorf("notes %q", notes)
	}
	if d := rec.Detail.ServerDelta; d == nil || d.Complete || *d.MaxRunning != 2 {
		t.Errorf("the server's figures are %+v, want incomplete ones", d)
	}
	if rec.Status != record.StatusSuccess || *rec.Results.AvgTTFTMS != *well.Results.AvgTTFTMS || *rec.Results.AvgTotalLatencyMS != *well.Results.AvgTotalLatencyMS {
		t.Errorf("%s: TTFT %v ms and latency %v ms, with an endpoint that answers %v and %v", rec.Status,
			*rec.Results.AvgTTFTMS, *rec.Results.AvgTotalLatencyMS, *well.Results.AvgTTFTMS, *well.Results.AvgTotalLatencyMS)
	}
	if g := rec.Detail.GPUSampling; g.Missed != 0 || g.MaxLateMS != 0 {
		t.Errorf("GPU sampling %+v", g)
	}
}

// A scrape that fails now and then is a gap: the next is tried, and counters go on over it.
func TestMetricsThatFailNowAndThen(t *testing.T) {
	odd := &oddMetrics{fail: func(_ context.Context, scrape int) error {
		if scrape%7 == 0 {
			return errors.New("/metrics: cut")
		}
		return nil
	}}
	rec, notes := ran(t, 100, func(r *rig) { odd.target = target{r.client}; r.opts.Target = odd })
	s, d := rec.Detail.Scrapes, rec.Detail.ServerDelta
	if s.Abandoned || s.Failed != odd.n/7 || s.N != odd.n-s.Failed || s.Reason != "/metrics: cut" || len(notes) != 0 {
		t.Errorf("%d scrapes, %+v, notes %v", odd.n, s, notes)
	}
	if want := float64(rec.Detail.Requests * 100); d == nil || *d.GenerationTokens != want || *d.FinishedRequests != float64(rec.Detail.Requests) {
		t.Errorf("the server's figures are %+v, want %v tokens", d, want)
	}
}
