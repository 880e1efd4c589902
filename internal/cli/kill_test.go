package cli_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bench/internal/record"
)

// killsWanted is how often the program is killed at least: BENCH_KILLS times with make hostile.
func killsWanted(t *testing.T) int {
	text := os.Getenv("BENCH_KILLS")
	if text == "" {
		return 60
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("BENCH_KILLS is %q: want a number above zero", text)
	}
	return n
}

// Kill the program at random instants, resume each time: in the end the folder holds the same records
// as an undisturbed run's, each request of each repeat once, and nothing that had ended was lost.
func TestKillAnywhereAndResume(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "killed")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	args := []string{"stress", "--base-url", "sim:", "--out", dir, "--resume"}
	kills, ended := 0, 0
	var seen int // requests found on disk before
	for wanted := killsWanted(t); kills < wanted; {
		cmd := exec.Command(binary, args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		// From before the folder is made to well into the tests.
		timer := time.NewTimer(time.Duration(rng.IntN(300_000)) * time.Microsecond)
		select {
		case <-timer.C:
			cmd.Process.Kill()
			<-done
			kills++
		case err := <-done:
			if err != nil {
				t.Fatalf("after %d kills: %v\n%s", kills, err, stderr.Bytes())
			}
			// Finished: begin another folder, so that the kills go on.
			checkFolder(t, dir)
			ended++
			seen = 0
			dir = filepath.Join(t.TempDir(), "killed")
			args[4] = dir
			continue
		}
		if now := requestsOnDisk(t, dir); now < seen {
			t.Fatalf("after kill %d there are %d requests on disk, there were %d", kills, now, seen)
		} else {
			seen = now
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput(); err != nil {
		t.Fatalf("the last resume: %v\n%s", err, out)
	}
	checkFolder(t, dir)
	t.Logf("%d kills, %d folders finished", kills, ended+1)
}

// requestsOnDisk counts the whole request lines of a folder.
func requestsOnDisk(t *testing.T, dir string) int {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "requests", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		file, err := record.ReadRequests(name)
		if err != nil {
			continue // killed before the header line was whole
		}
		n += len(file.Requests)
	}
	return n
}

// checkFolder holds the laws of a finished matrix.
func checkFolder(t *testing.T, dir string) {
	t.Helper()
	folder, err := record.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	recs, err := folder.ReadRecords(record.ConcurrentFile)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, rec := range recs {
		ids = append(ids, rec.TestID)
		if rec.Status == record.StatusFailure || *rec.Results.SuccessRate != 1 {
			t.Errorf("%s: %s: %s", rec.TestID, rec.Status, rec.Detail.Reason)
		}
		file, err := record.ReadRequests(folder.Path(rec.Detail.Files.Requests))
		if err != nil {
			t.Fatal(err)
		}
		for run, rs := range file.Attempts() {
			for i, r := range rs {
				if r.Index != i || !r.Success {
					t.Errorf("%s run %d: request %d of %d has index %d, success %v", rec.TestID, run, i, len(rs), r.Index, r.Success)
				}
			}
			if len(rs) != file.Test.Requests {
				t.Errorf("%s run %d has %d requests, want %d", rec.TestID, run, len(rs), file.Test.Requests)
			}
		}
		if n := len(file.Attempts()); n != file.Test.Runs || rec.Detail.Requests != file.Test.Runs*file.Test.Requests {
			t.Errorf("%s: %d repeats, %d requests in the record", rec.TestID, n, rec.Detail.Requests)
		}
	}
	if want := []string{"T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "T9"}; !slices.Equal(ids, want) {
		t.Errorf("records are %v, want %v", ids, want)
	}
}

// A disk that fills up stops the run with one clear line; what was written stays readable, and with room
// the run goes on to the end. The disk is a real file system of 300 KiB in a mount namespace of its own.
func TestFullDisk(t *testing.T) {
	if out, err := exec.Command("unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", t.TempDir()).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v: %s", err, out)
	}
	script := `mount -t tmpfs -o size=300k tmpfs "$1"
"$0" run --base-url sim: --out "$1/r" >"$2/out" 2>"$2/err"; echo "full $?"
for f in run baseline_results concurrent_results; do grep -q schema "$1/r/$f.json" && echo "$f"; done
mount -o remount,size=20m "$1"
"$0" run --base-url sim: --out "$1/r" --resume >/dev/null 2>&1; echo "resumed $?"
cp -r "$1/r" "$2/r"`
	kept := t.TempDir()
	out, err := exec.Command("unshare", "-m", "bash", "-c", script, binary, t.TempDir(), kept).CombinedOutput()
	if want := "full 1\nrun\nbaseline_results\nconcurrent_results\nresumed 0\n"; err != nil || string(out) != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
	stderr, err := os.ReadFile(filepath.Join(kept, "err"))
	lines := strings.Split(strings.TrimSpace(string(stderr)), "\n")
	last := lines[len(lines)-1]
	if err != nil || !strings.HasPrefix(last, "bench: ") || strings.Count(last, "no space left on device") != 1 {
		t.Errorf("the last line is %q, %v", last, err)
	}
	checkFolder(t, filepath.Join(kept, "r"))
}

// The same where no file system can be mounted: a file that may not grow further ends the run with one clear line,
// and without the limit the run goes on to the end.
func TestFileSizeLimit(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "r")
	limited := exec.Command("sh", "-c", `ulimit -f 80; exec "$0" stress --base-url sim: --out "$1"`, binary, dir) // blocks of 512 bytes or of 1 KiB
	said, err := limited.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	var last string
	for _, line := range lines {
		if strings.HasPrefix(line, "bench: ") {
			last = line
		}
	}
	if limited.ProcessState.ExitCode() != 1 || !strings.Contains(last, "file too large") || !strings.Contains(last, "--resume") {
		t.Fatalf("%v, said %q", err, last)
	}
	if out, err := exec.Command(binary, "stress", "--base-url", "sim:", "--out", dir, "--resume").CombinedOutput(); err != nil {
		t.Fatalf("resume: %v\n%s", err, out)
	}
	checkFolder(t, dir)
}
