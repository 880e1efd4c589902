package cli_test

import (
	"encoding/json"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bench/internal/record"
	"bench/internal/sim"
)

// arrivals are when a server saw its requests, in order, by its log.
func arrivals(t *testing.T, log string) []time.Duration {
	t.Helper()
	var at []time.Duration
	for line := range strings.Lines(log) {
		var e sim.LogEntry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		at = append(at, time.Duration(e.ArrivedNS))
	}
	slices.Sort(at)
	return at
}

// TestOpenLoadInRealTime: over TCP, a server sees requests when the schedule had them due, and no measured time is less than
// the server's own.
func TestOpenLoadInRealTime(t *testing.T) {
	s, url := simulator(t, "gpu=h100-sxm,model=google/gemma-3-1b-it")
	var log lockedBuffer
	s.LogRequests(&log)
	dir := filepath.Join(t.TempDir(), "out")
	code, _, stderr := call(t, nil, "stress", "--base-url", url, "--request-rate", "80", "--num-prompts", "200", "--runs", "1", "--warmup", "0",
		"--input-tokens", "40", "--output-tokens", "5", "--cooldown", "0s", "--gpu-telemetry", "none", "--out", dir)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	rec := readOne(t, dir, record.OpenFile)
	folder, err := record.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	requests, err := folder.ReadRequests(rec.Detail.Files.Requests)
	if err != nil || len(requests) != 200 {
		t.Fatalf("%d requests, %v", len(requests), err)
	}
	slices.SortFunc(requests, func(a, b record.Request) int { return a.Index - b.Index })
	seen := arrivals(t, log.String())
	seen = seen[len(seen)-200:] // before came the baseline and a probe
	var behind []float64
	for i, r := range requests {
		due := time.Duration(r.ScheduledNS - requests[0].ScheduledNS)
		behind = append(behind, math.Abs((seen[i] - seen[0] - due).Seconds()))
		fromDue, _ := r.DueTTFT()
		if fromSend, _ := r.TTFT(); fromDue < fromSend {
			t.Errorf("request %d: %v from due, %v from the send", r.Index, fromDue, fromSend)
		}
	}
	slices.Sort(behind)
	t.Logf("arrivals lay %.2f ms from the schedule in the median, %.2f ms at most; %d late sends", 1e3*behind[100], 1e3*behind[199], rec.Detail.LateSends)
	if behind[100] > 0.01 { // on a machine that has no time for either of the two; usually it is less than a tenth of that
		t.Errorf("half of the arrivals lay %.1f ms or more from the schedule", 1e3*behind[100])
	}
}

// TestOpenLoadFlags: what cannot be meant is refused in one line.
func TestOpenLoadFlags(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"--request-rate 2", "--num-prompts"},
		{"--num-prompts 10", "--request-rate"},
		{"--request-rate 2 --num-prompts 10 --duration 5s", "exclude"},
		{"--request-rate 2 --num-prompts 10 --concurrent 4", "--concurrent"},
		{"--request-rate 0 --num-prompts 10", "above zero"},
		{"--request-rate 2 --num-prompts 0", "out of range"},
		{"--request-rate 2 --num-prompts 10 --burstiness 0", "burstiness"},
		{"--request-rate 2 --num-prompts 10 --max-concurrency -1", "out of range"},
		{"--request-rate 2 --ramp-up-end-rps 4 --num-prompts 10", "--ramp-up-strategy"},
		{"--ramp-up-strategy linear --ramp-up-start-rps 1 --ramp-up-end-rps 2 --duration 10s", "--duration"},
		{"--ramp-up-strategy step --ramp-up-start-rps 1 --ramp-up-end-rps 2 --num-prompts 9", "step"},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		code, _, stderr := call(t, nil, append([]string{"stress", "--base-url", "sim:", "--out", dir}, strings.Fields(c.args)...)...)
		if code != 2 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d, %q", c.args, code, stderr)
		}
	}
}
