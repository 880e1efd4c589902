package main

import (
	"os"
	"testing"

	"bench/internal/capacity"
)

// TestPage: the committed page and bounds are what the program makes.
func TestPage(t *testing.T) {
	made, _, err := evaluate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range made {
		got, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is not what `make accuracy` writes now; run it and read what changed", name)
		}
	}
}

// TestNoWorse holds the errors on sound rows where they are. They may fall; whoever lets one rise says why.
func TestNoWorse(t *testing.T) {
	ms, _, err := measurements()
	if err != nil {
		t.Fatal(err)
	}
	rs, _ := predictAll(ms)
	for metric, limit := range map[string]struct {
		rows        int
		median, p90 float64
	}{
		capacity.MetricTPOT:       {240, 0.06, 0.27},
		capacity.MetricThroughput: {120, 0.10, 0.41},
		capacity.MetricTTFT:       {185, 0.17, 0.48},
	} {
		e := errorsOf(sound(rs, metric))
		if e.rows < limit.rows || e.median > limit.median || e.p90 > limit.p90 {
			t.Errorf("%s: %d sound rows, median error %.1f %%, 90 %% within %.1f %%; want %d rows, at most %.1f and %.1f %%",
				metric, e.rows, 100*e.median, 100*e.p90, limit.rows, 100*limit.median, 100*limit.p90)
		}
	}
}

// TestSoundByRule: what is not scored is decided without looking at the prediction, so that no rule can hide
// an error: a prediction ten times as large leaves the same rows.
func TestSoundByRule(t *testing.T) {
	ms, _, err := measurements()
	if err != nil {
		t.Fatal(err)
	}
	scored := 0
	for _, m := range ms {
		for _, metric := range metrics {
			if v, ok := m.first(metric+"_ms_mean", metric+"_ms_median"); ok && m.unsound() == "" && m.impossible(metric, v) == "" {
				scored++
			}
		}
	}
	rs, _ := predictAll(ms)
	kept := 0
	for _, r := range rs {
		if _, latency := r.first(r.metric+"_ms_mean", r.metric+"_ms_median"); latency && (r.unsound == "" || r.unsound == overLoad) {
			kept++
		}
	}
	if scored != kept {
		t.Errorf("%d latencies are sound by rule, %d are scored or above an open loop's bound", scored, kept)
	}
}
