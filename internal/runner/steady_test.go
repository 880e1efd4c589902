package runner_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"bench/internal/record"
	"bench/internal/runner"
	"bench/internal/sim"
)

// TestSteadyState: the window begins when the server has filled up, ends with the last send, and what is in flight in it is
// what the server's own log has there; over all of the test it is less.
func TestSteadyState(t *testing.T) {
	for seed := range int64(4) {
		test := runner.OpenTest(poisson(4), runner.Shape{InputTokens: 60, OutputTokens: 150}, 1, 160, 0)
		recs, requests, log := openRun(t, "", func(r *rig) { r.opts.Settings.Warmup, r.opts.Settings.Seed = 0, seed }, test)
		o := recs[0].Detail.OpenLoad
		if len(o.Steady.Windows) != 1 || o.Steady.Windows[0].StartNS == nil {
			t.Fatalf("seed %d: %+v", seed, o.Steady)
		}
		w, first := o.Steady.Windows[0], requests[0][0].SentNS
		began := time.Duration(*w.StartNS - first)
		last := requests[0][len(requests[0])-1].SentNS
		if *w.EndNS != last || o.Steady.Share <= 0.5 || o.Steady.Share > 1 || o.Steady.Requests != int(math.Round(o.Steady.Share*160)) {
			t.Errorf("seed %d: %+v", seed, o.Steady)
		}
		// Both logs begin at one instant: the arrival of the first request.
		origin := log[0].ArrivedNS
		for _, e := range log {
			origin = min(origin, e.ArrivedNS)
		}
		inFlight := serverInFlight(log, origin+int64(began), origin+last-first)
		if math.Abs(inFlight / *o.Steady.MeanInFlight - 1) > 0.02 {
			t.Errorf("seed %d: the server had %.2f in flight on average in the window, the record says %.2f", seed, inFlight, *o.Steady.MeanInFlight)
		}
		if latency := recs[0].Detail.Latency.P50; began.Seconds() > 4**latency/1000 || *o.Steady.MeanInFlight < *o.MeanInFlight {
			t.Errorf("seed %d: the window begins after %v, half of the requests took less than %v ms; %v in flight there, %v in all", seed, began, *latency, *o.Steady.MeanInFlight, *o.MeanInFlight)
		}
		t.Logf("seed %d: from %.1f s on, %.0f %% of the requests, %.2f in flight there and %.2f in all", seed, began.Seconds(), 100*o.Steady.Share, *o.Steady.MeanInFlight, *o.MeanInFlight)
	}
}

// serverInFlight is how many requests the server had on average between two instants of its log.
func serverInFlight(log []sim.LogEntry, fromNS, toNS int64) float64 {
	busy := int64(0)
	for _, e := range log {
		busy += max(0, min(e.EndedNS, toNS)-max(e.ArrivedNS, fromNS))
	}
	return float64(busy) / float64(toNS-fromNS)
}

// TestNoSteadyState: a load that changes, ends too early or grows without bound has none, and the record says why.
func TestNoSteadyState(t *testing.T) {
	shape := runner.Shape{InputTokens: 60, OutputTokens: 60}
	for says, test := range map[string]record.Test{
		"rate changes":  runner.OpenTest(record.Arrivals{RampUpStrategy: record.RampLinear, RampUpStartRPS: 1, RampUpEndRPS: 5, Burstiness: new(1.0)}, shape, 1, 80, 0),
		"too few":       runner.OpenTest(poisson(2), shape, 1, 30, 0),
		"a request":     runner.OpenTest(record.Arrivals{RequestRate: 100}, shape, 1, 60, 0),
		"without bound": runner.OpenTest(poisson(40), runner.Shape{InputTokens: 100, OutputTokens: 100}, 1, 1500, 0),
	} {
		recs, _, _ := openRun(t, "", nil, test)
		w := recs[0].Detail.OpenLoad.Steady.Windows
		if len(w) != 1 || w[0].StartNS != nil || w[0].Why == nil || w[0].Why.Ko == "" || !(strings.Contains(w[0].Why.En, says) || says == "a request" && strings.Contains(w[0].Why.En, "in flight went")) {
			t.Errorf("%s: %+v", says, w)
		}
	}
}
