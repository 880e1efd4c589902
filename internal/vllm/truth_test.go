package vllm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"bench/internal/record"
)

// What a client that is not disturbed is wrong by at most, on average over a test. A test that is wrong by more must
// bear a finding.
const (
	// truthTTFT is a fifth of the server's time to its first token, the share of TTFT from which the program calls
	// the sends of a burst too far apart.
	truthTTFT = referencePrefill / 5
	// truthTPOT is a fiftieth of the time between two tokens.
	truthTPOT = referenceStep / 50
	// truthLate is how late a send may be before the program counts it.
	truthLate = time.Millisecond
	// truthLateShare is the share of sends from which a test must bear a finding, if each was later than that and than truthLateTTFT
	// of the mean TTFT.
	truthLateShare = 0.1
	truthLateTTFT  = 0.05
	// truthAttempts is how often a disturbance is tried before the program is said to miss it: the server, which knows the
	// truth, runs on the same processors, and is late in seeing a request where they are busy.
	truthAttempts = 3
)

const (
	// spinEnv makes this binary use a processor until it is killed.
	spinEnv = "BENCH_SPIN"
	// slowDiskEnv makes it run a command on a slow disk.
	slowDiskEnv = "BENCH_SLOW_DISK"
	// slowDiskAbsent is the exit code of a process that could not mount one.
	slowDiskAbsent = 77
)

// disturbance is something that may come between a client and the truth.
type disturbance struct {
	name     string
	env      []string
	spinners int           // processes that use a processor each
	disk     time.Duration // that a write of the results takes
	screen   *screen       // on which the program draws
}

const (
	slowWrite = 50 * time.Millisecond
	slowDraw  = 200 * time.Millisecond
)

// screen takes its time for each piece that is drawn.
type screen struct{ pause time.Duration }

func (s *screen) Write(p []byte) (int, error) {
	time.Sleep(s.pause)
	return len(p), nil
}

// truthLoads are one load of each kind, with the file that holds its record.
var truthLoads = []struct {
	name, file string
	args       []string
}{
	{"closed, 32 in flight", record.ConcurrentFile, []string{"--concurrent", "32", "--requests", "96", "--runs", "1"}},
	{"open, 60 a second", record.OpenFile, []string{"--request-rate", "60", "--num-prompts", "90", "--runs", "1"}},
}

// TestTruth disturbs the whole program while it measures a server that knows the truth, and prints what its figures are wrong
// by. A disturbance may change a figure only where the program says so; and the sends that it calls late are those that were.
func TestTruth(t *testing.T) {
	if os.Getenv("BENCH_TRUTH") == "" {
		t.Skip("make truth runs this: it takes minutes")
	}
	bin := buildBench(t)
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, load := range truthLoads {
		fmt.Fprintf(w, "%s\tTTFT off\tTPOT off\tsent late\tcounted late\tfindings\n", load.name)
		for _, d := range []disturbance{
			{name: "nothing"},
			{name: "one processor busy", spinners: 1},
			{name: "all processors busy", spinners: runtime.NumCPU()},
			{name: "garbage collector forced", env: []string{"GOGC=1", "GODEBUG=gcstoptheworld=2"}},
			{name: fmt.Sprintf("disk, %v a write", slowWrite), disk: slowWrite},
			{name: "screen that redraws", screen: &screen{}},
			{name: fmt.Sprintf("screen, %v a piece", slowDraw), screen: &screen{pause: slowDraw}},
		} {
			var got *truth
			complaint := ""
			for range truthAttempts {
				if got = d.measure(t, bin, load.file, load.args); got == nil {
					break
				}
				fmt.Fprintln(w, d.name+"\t"+got.String())
				if complaint = got.complaint(); complaint == "" {
					break
				}
			}
			if got == nil {
				fmt.Fprintf(w, "%s\tnot possible here\n", d.name)
			}
			if complaint != "" {
				t.Errorf("%s, disturbed by %s: %s", load.name, d.name, complaint)
			}
		}
	}
	w.Flush()
	t.Logf("\nms, mean / most; a test bears a finding or TTFT is off by at most %v and TPOT by at most %v on average, with at most %.0f %% of its sends late by over %v and over %.0f %% of the TTFT\n%s",
		truthTTFT, truthTPOT, 100*truthLateShare, truthLate, 100*truthLateTTFT, table.String())
}

// truth is what a test's figures were wrong by, in milliseconds.
type truth struct {
	rec           record.Record
	n             int
	ttft, ttftMax float64
	tpot, tpotMax float64
	late, lateMax float64
	lateCount     int
	lateShown     int // by what shows beside the TTFT
}

// measure runs the program under the disturbance; nil where that is not possible.
func (d disturbance) measure(t *testing.T, bin, file string, load []string) *truth {
	t.Helper()
	ref := startReference(t, 1, referenceStep)
	served := collect(ref)
	for range d.spinners {
		spin := exec.Command(os.Args[0])
		spin.Env = append(os.Environ(), spinEnv+"=1")
		if err := spin.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			spin.Process.Kill()
			spin.Wait()
		}()
	}
	dir := t.TempDir()
	kept := dir // where the results are to be found
	args := append([]string{"stress", "--base-url", "http://127.0.0.1:" + strconv.Itoa(ref.port), "--output-tokens", strconv.Itoa(referenceTokens),
		"--warmup", "0", "--cooldown", "0s", "--gpu-telemetry", "none", "--out", filepath.Join(dir, "r")}, load...)
	var said bytes.Buffer
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	switch {
	case d.disk > 0:
		kept = t.TempDir()
		if cmd = onSlowDisk(dir, kept, d.disk, bin, args...); cmd == nil {
			return nil
		}
		cmd.Stdout, cmd.Stderr = &said, &said
	case d.screen != nil:
		script, err := exec.LookPath("script")     // of util-linux: runs a command on a terminal of its own
		if err != nil || runtime.GOOS != "linux" { // elsewhere it has other options
			t.Log("no script of util-linux:", err)
			return nil
		}
		cmd = exec.Command(script, "-qec", "stty cols 100 rows 40; exec '"+strings.Join(append([]string{bin}, args...), "' '")+"'", os.DevNull)
		cmd.Env = append(os.Environ(), "TERM=xterm-256color")
		cmd.Stdout = io.MultiWriter(&said, d.screen)
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, d.env...)
	if err := cmd.Run(); err != nil {
		if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == slowDiskAbsent || errors.Is(err, syscall.EPERM) {
			t.Log(err, said.String())
			return nil
		}
		t.Fatalf("disturbed by %s: %v\n%s", d.name, err, said.String())
	}
	if d.screen != nil && bytes.Count(said.Bytes(), []byte("\x1b[")) < 100 {
		t.Fatalf("nothing was redrawn:\n%s", said.String())
	}
	return compareTruth(t, filepath.Join(kept, "r"), file, served())
}

// collect takes in what the server says, and gives it out when the server has been ended.
func collect(ref *reference) (byID func() map[string]served) {
	lines := make(chan []byte, 1<<12)
	go func() {
		defer close(lines)
		for ref.out.Scan() {
			lines <- bytes.Clone(ref.out.Bytes())
		}
	}()
	return func() map[string]served {
		ref.in.Close()
		out := map[string]served{}
		for line := range lines {
			var burst []served
			if json.Unmarshal(line, &burst) == nil {
				for _, s := range burst {
					out[s.ID] = s
				}
			}
		}
		return out
	}
}

func compareTruth(t *testing.T, out, file string, server map[string]served) *truth {
	t.Helper()
	folder, err := record.OpenFolder(out)
	if err != nil {
		t.Fatal(err)
	}
	recs, err := folder.ReadRecords(file)
	if err != nil || len(recs) != 1 {
		t.Fatalf("%d records, %v", len(recs), err)
	}
	got := &truth{rec: recs[0]}
	requests, err := record.ReadRequests(folder.Path(got.rec.Detail.Files.Requests))
	if err != nil {
		t.Fatal(err)
	}
	got.n = len(requests.Requests)
	const ms = 1e6
	for _, r := range requests.Requests {
		s, ok := server[r.PromptSHA256]
		if !ok || !r.Success {
			t.Fatalf("a request that the server served: %v; %s %s", ok, r.Error, r.Message)
		}
		ttft := math.Abs(float64((*r.FirstTokenNS-r.SentNS)-(s.First-s.Arrived))) / ms
		tpot := math.Abs(float64((*r.LastTokenNS-*r.FirstTokenNS)-(s.Last-s.First))) / ms / (referenceTokens - 1)
		late := float64(r.SentNS-r.ScheduledNS) / ms
		if late > float64(truthLate)/ms {
			got.lateCount++
			if late > truthLateTTFT**got.rec.Results.AvgTTFTMS {
				got.lateShown++
			}
		}
		n := float64(got.n)
		got.ttft, got.tpot, got.late = got.ttft+ttft/n, got.tpot+tpot/n, got.late+late/n
		got.ttftMax, got.tpotMax, got.lateMax = max(got.ttftMax, ttft), max(got.tpotMax, tpot), max(got.lateMax, late)
	}
	return got
}

// String is the test's part of a line of the table.
func (x *truth) String() string {
	findings := "none"
	if list := x.rec.Trust.Findings; len(list) > 0 {
		var checks []string
		for _, f := range list {
			checks = append(checks, f.Check)
		}
		findings = strings.Join(slices.Compact(checks), ", ")
	}
	return fmt.Sprintf("%.2f / %.2f\t%.3f / %.3f\t%.2f / %.2f\t%d of %d\t%s", x.ttft, x.ttftMax, x.tpot, x.tpotMax, x.late, x.lateMax,
		x.rec.Detail.LateSends, x.n, findings)
}

// complaint says in which way the program told something else than the truth, "" where it did not.
func (x *truth) complaint() string {
	const ms = float64(time.Millisecond)
	noticed := x.rec.Trust.Verdict != record.TrustSound
	switch {
	case x.rec.Detail.LateSends != x.lateCount:
		return fmt.Sprintf("%d sends were late, the record has %d", x.lateCount, x.rec.Detail.LateSends)
	case noticed:
		return ""
	case x.ttft > float64(truthTTFT)/ms:
		return fmt.Sprintf("TTFT is wrong by %.2f ms, and nothing says so", x.ttft)
	case x.tpot > float64(truthTPOT)/ms:
		return fmt.Sprintf("TPOT is wrong by %.3f ms, and nothing says so", x.tpot)
	case float64(x.lateShown) > truthLateShare*float64(x.n):
		return fmt.Sprintf("%d of %d sends were late beside the TTFT, and nothing says so", x.lateShown, x.n)
	}
	return ""
}

// spin uses a processor for longer than any test takes.
func spin() {
	for n := uint64(1); n > 0; n++ {
	}
}
