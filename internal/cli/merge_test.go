package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/sim"
)

// TestShardsMerge: three processes send one schedule together; the server sees it as from one, and what is merged is what one
// process would have sent, each request once, with the server's books balanced.
func TestShardsMerge(t *testing.T) {
	t.Parallel()
	s, url := simulator(t, "gpu=h100-sxm,model=google/gemma-3-1b-it")
	var log lockedBuffer
	s.LogRequests(&log)
	const n, rate = 90, 15
	dir := t.TempDir()
	args := func(out string, more ...string) []string {
		return append([]string{"stress", "--base-url", url, "--request-rate", fmt.Sprint(rate), "--num-prompts", fmt.Sprint(n), "--runs", "1", "--input-tokens", "40", "--output-tokens", "5",
			"--random-range-ratio", "0.2", "--cooldown", "0s", "--gpu-telemetry", "none", "--out", filepath.Join(dir, out)}, more...)
	}
	start := time.Now().Add(8 * time.Second).UTC().Truncate(time.Second)
	var shards sync.WaitGroup
	for i := range 3 {
		shards.Go(func() {
			cmd := exec.CommandContext(t.Context(), binary, args("all", "--shard", "env/3", "--start-at", start.Format(time.RFC3339))...)
			cmd.Env = append(os.Environ(), fmt.Sprintf("JOB_COMPLETION_INDEX=%d", i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("shard %d: %v: %s", i, err, out)
			}
		})
	}
	shards.Wait()
	if t.Failed() {
		return
	}
	seen := arrivals(t, log.String())
	seen = seen[len(seen)-n:]
	if code, _, stderr := call(t, nil, "merge", filepath.Join(dir, "all"), "--out", filepath.Join(dir, "merged")); code != 0 {
		t.Fatal(stderr)
	}
	rec := readOne(t, filepath.Join(dir, "merged"), record.OpenFile)
	folder, err := record.OpenFolder(filepath.Join(dir, "merged"))
	if err != nil {
		t.Fatal(err)
	}
	requests, err := folder.ReadRequests(rec.Detail.Files.Requests)
	if err != nil || len(requests) != n || rec.Detail.Requests != n || rec.Detail.Succeeded != n {
		t.Fatalf("%d requests, %d in the record, %v", len(requests), rec.Detail.Requests, err)
	}
	due := load.Schedule(record.Arrivals{RequestRate: rate, Burstiness: new(1.0)}, n, load.Stream(1, "arrivals", rec.TestID, 0))
	var behind []float64
	for i, r := range requests {
		if r.Index != i || time.Duration(r.ScheduledNS-requests[0].ScheduledNS) != due[i]-due[0] {
			t.Fatalf("request %d has index %d and was due after %v, want %v", i, r.Index, time.Duration(r.ScheduledNS-requests[0].ScheduledNS), due[i]-due[0])
		}
		behind = append(behind, (time.Duration(seen[i]) - due[i] - time.Duration(start.UnixNano())).Abs().Seconds())
	}
	slices.Sort(behind)
	t.Logf("arrivals from three processes lay %.1f ms from the schedule in the median, %.1f ms at most", 1e3*behind[n/2], 1e3*behind[n-1])
	if behind[n/2] > 0.05 {
		t.Errorf("half of the arrivals lay %.0f ms or more from the schedule", 1e3*behind[n/2])
	}
	if m := rec.Detail.Merged; m == nil || m.Shards != 3 || m.ClockErrorMS == nil || *m.ClockErrorMS != 0 || rec.Detail.Shard != nil {
		t.Errorf("merged %+v, shard %+v", m, rec.Detail.Shard)
	}
	for _, check := range []string{"books", "foreign_traffic", "lengths", "shard"} {
		if found(rec, check, "") {
			t.Errorf("%+v", rec.Trust)
		}
	}
	if d := rec.Detail.ServerDelta; d == nil || !d.Complete || *d.FinishedRequests != n {
		t.Errorf("the server's side of the merged load: %+v", d)
	}
	if code, _, stderr := call(t, nil, "analyze", "--out", filepath.Join(dir, "merged")); code != 0 {
		t.Error(stderr)
	}

	// One process with the same seed sends the same.
	if code, _, stderr := call(t, nil, args("one", "--warmup", "1")...); code != 0 {
		t.Fatal(stderr)
	}
	if one := readOne(t, filepath.Join(dir, "one"), record.OpenFile); one.Detail.SentSHA256 != rec.Detail.SentSHA256 {
		t.Errorf("one process sent %s, three %s", one.Detail.SentSHA256, rec.Detail.SentSHA256)
	}

	// What is no whole load is refused, and so is a request that stands twice or at another time.
	shard := func(i int) string { return filepath.Join(dir, "all", fmt.Sprintf("shard-%d", i)) }
	refused := func(says string, args ...string) {
		t.Helper()
		code, _, stderr := call(t, nil, append(append([]string{"merge"}, args...), "--out", filepath.Join(t.TempDir(), "out"))...)
		if code != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, says) {
			t.Errorf("exit code %d, %q, want %q", code, stderr, says)
		}
	}
	refused("shard 1 of 3 is missing", shard(0), shard(2))
	refused("shard 2 of 3 is missing", shard(0), shard(1))
	refused("are both shard 1", shard(0), shard(1), shard(1), shard(2))
	refused("holds no shard", filepath.Join(dir, "one"))
	refused("no result folder", dir)
	change := func(i int, file, from, to string) {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(shard(i), file))
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		text, err := os.ReadFile(names[0])
		if err != nil || !strings.Contains(string(text), from) {
			t.Fatalf("%s has no %q: %v", names[0], from, err)
		}
		if err := os.WriteFile(names[0], []byte(strings.Replace(string(text), from, to, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := os.WriteFile(names[0], text, 0o644); err != nil {
				t.Fatal(err)
			}
		}()
		refused(map[string]string{"run.json": "clocks", "requests/*.jsonl": "request"}[file], filepath.Join(dir, "all"))
	}
	change(1, "requests/*.jsonl", `"index":4,`, `"index":7,`)
	change(1, "requests/*.jsonl", `"scheduled_ns":`, `"scheduled_ns":1`)
	change(2, "run.json", `"boot_id": "`, `"boot_id": "another`)
	// Other machines' clocks are taken where they are stated, not where they are too far apart.
	if names, _ := filepath.Glob(filepath.Join(shard(2), "run.json")); len(names) == 1 {
		text, _ := os.ReadFile(names[0])
		text = []byte(strings.Replace(string(text), `"boot_id": "`, `"boot_id": "another`, 1))
		if err := os.WriteFile(names[0], text, 0o644); err != nil {
			t.Fatal(err)
		}
		refused("apart", "--clock-error", "1s", filepath.Join(dir, "all"))
	}
}

// TestClosedShardsMerge: two processes hold the places of one closed load, and together never more or fewer than it has.
func TestClosedShardsMerge(t *testing.T) {
	if os.Getenv("BENCH_LONG") == "" {
		t.Skip("make hostile waits for the starts that machines agree on")
	}
	s, url := simulator(t, "gpu=h100-sxm,model=google/gemma-3-1b-it")
	var log lockedBuffer
	s.LogRequests(&log)
	const places, n = 5, 25
	dir := t.TempDir()
	start := time.Now().Add(8 * time.Second).UTC().Truncate(time.Second)
	var shards sync.WaitGroup
	for i := range 2 {
		shards.Go(func() {
			cmd := exec.CommandContext(t.Context(), binary, "stress", "--base-url", url, "--concurrent", fmt.Sprint(places), "--requests", fmt.Sprint(n), "--runs", "1",
				"--input-tokens", "40", "--output-tokens", "40", "--cooldown", "0s", "--gpu-telemetry", "none", "--out", filepath.Join(dir, "all"),
				"--shard", "env/2", "--start-at", start.Format(time.RFC3339))
			cmd.Env = append(os.Environ(), fmt.Sprintf("SLURM_PROCID=%d", i))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("shard %d: %v: %s", i, err, out)
			}
		})
	}
	shards.Wait()
	if t.Failed() {
		return
	}
	if code, _, stderr := call(t, nil, "merge", filepath.Join(dir, "all"), "--out", filepath.Join(dir, "merged")); code != 0 {
		t.Fatal(stderr)
	}
	rec := readOne(t, filepath.Join(dir, "merged"), record.ConcurrentFile)
	if rec.ConcurrentRequests != places || rec.Detail.Requests != n || rec.Detail.Succeeded != n || rec.Detail.Merged == nil || found(rec, "books", "") {
		t.Errorf("%+v: %d at once, %d of %d succeeded, %+v", rec.Detail.Merged, rec.ConcurrentRequests, rec.Detail.Succeeded, rec.Detail.Requests, rec.Trust)
	}
	// As the server saw it: five came at once, and from then on as many were there.
	var edges []edge
	for line := range strings.Lines(log.String()) {
		var e sim.LogEntry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.ArrivedNS >= start.Add(-100*time.Millisecond).UnixNano() {
			edges = append(edges, edge{e.ArrivedNS, 1}, edge{e.EndedNS, -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return int(a.atNS - b.atNS) })
	most, now := 0, 0
	for _, e := range edges {
		now += e.by
		most = max(most, now)
	}
	if len(edges) != 2*n || most != places {
		t.Errorf("the server saw %d requests, at most %d at once", len(edges)/2, most)
	}
	if first := time.Unix(0, edges[0].atNS); first.Sub(start).Abs() > 100*time.Millisecond {
		t.Errorf("the first came at %v, all were to begin at %v", first, start)
	}
}

// edge is an instant at which the number of requests at a server changed.
type edge struct {
	atNS int64
	by   int
}

func TestShardFlags(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"--request-rate 2 --num-prompts 9 --runs 1 --shard 0/3", "--start-at"},
		{"--request-rate 2 --num-prompts 9 --runs 1 --shard x --start-at 2030-01-01T00:00:00Z", "want i/n"},
		{"--request-rate 2 --num-prompts 9 --runs 1 --shard 3/3 --start-at 2030-01-01T00:00:00Z", "out of range"},
		{"--request-rate 2 --num-prompts 9 --runs 1 --shard env/3 --start-at 2030-01-01T00:00:00Z", "JOB_COMPLETION_INDEX"},
		{"--request-rate 2 --num-prompts 9 --runs 2 --shard 0/3 --start-at 2030-01-01T00:00:00Z", "--start-every"},
		{"--request-rate 2 --num-prompts 2 --runs 1 --shard 2/3 --start-at 2030-01-01T00:00:00Z", "too few"},
		{"--shard 0/3 --start-at 2030-01-01T00:00:00Z", "one test"},
		{"--concurrent 2 --runs 1 --shard 0/3 --start-at 2030-01-01T00:00:00Z", "2 in flight cannot"},
		{"--concurrent 4 --runs 2 --shard 0/3 --start-at 2030-01-01T00:00:00Z", "--start-every"},
		{"--max-ttft 1s --runs 1 --shard 0/3 --start-at 2030-01-01T00:00:00Z", "search"},
		{"--request-rate 1,2 --num-prompts 9 --runs 1 --shard 0/3 --start-at 2030-01-01T00:00:00Z", "one test"},
		{"--request-rate 2 --num-prompts 9 --start-at 2030-01-01T00:00:00Z", "--shard"},
	} {
		code, _, stderr := call(t, nil, append([]string{"stress", "--base-url", "http://127.0.0.1:9", "--out", filepath.Join(t.TempDir(), "out")}, strings.Fields(c.args)...)...)
		if code != 2 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d, %q", c.args, code, stderr)
		}
	}
	// A trace has as many requests as it has, which is known once it was read.
	code, _, stderr := call(t, nil, "stress", "--base-url", "http://127.0.0.1:9", "--dataset-name", "mooncake", "--dataset-path", "../load/testdata/mooncake.jsonl", "--runs", "1",
		"--shard", "2/3", "--start-at", "2030-01-01T00:00:00Z", "--out", filepath.Join(t.TempDir(), "out"))
	if code != 1 || !strings.Contains(stderr, "nothing listens") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	// A start that has passed is an error, not a late load.
	_, url := simulator(t, "gpu=h100-sxm,model=google/gemma-3-1b-it")
	code, _, stderr = call(t, nil, "stress", "--base-url", url, "--request-rate", "9", "--num-prompts", "9", "--runs", "1", "--shard", "0/3", "--start-at", "2020-01-01T00:00:00Z",
		"--warmup", "0", "--gpu-telemetry", "none", "--out", filepath.Join(t.TempDir(), "out"))
	if code != 1 || !strings.Contains(stderr, "this shard was not ready") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}
