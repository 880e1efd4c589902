package cli_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"bench/internal/record"
)

// TestSLOSearch: the border that the search states is one: tests of the two loads around it, made by themselves, hold and break.
func TestSLOSearch(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "out")
	bench := func(want int, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), binary, append([]string{"stress", "--base-url", "sim:"}, args...)...).CombinedOutput()
		if code := 0; err != nil {
			if e, ok := err.(*exec.ExitError); ok {
				code = e.ExitCode()
			}
			if code != want {
				t.Fatalf("%v: exit code %d: %s", args, code, out)
			}
		} else if want != 0 {
			t.Fatalf("%v: exit code 0, want %d: %s", args, want, out)
		}
		return string(out)
	}
	bench(0, "--max-ttft", "1s", "--max-tpot", "30ms", "--out", dir)
	if code, _, stderr := call(t, nil, "analyze", "--out", dir); code != 0 {
		t.Fatal(stderr)
	}
	var doc record.Analysis
	data, err := os.ReadFile(filepath.Join(dir, record.AnalysisFile))
	if err == nil {
		err = json.Unmarshal(data, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	slo := doc.Ladders[0].SLO
	if slo == nil || !slo.Reached || *slo.High-*slo.Concurrent > max(1, *slo.Concurrent/8) {
		t.Fatalf("%+v", slo)
	}
	for n, holds := range map[float64]bool{*slo.Concurrent: true, *slo.High: false} {
		single := filepath.Join(t.TempDir(), "out")
		at := strconv.Itoa(int(n))
		bench(0, "--concurrent", at, "--requests", strconv.Itoa(2*int(n)), "--goodput", "ttft:1000", "tpot:30", "--seed", "9", "--out", single)
		g := readOne(t, single, record.ConcurrentFile).Detail.Goodput
		if g == nil || (*g.Share >= 0.95) != holds {
			t.Errorf("%s at once: goodput %+v, the search says it holds: %v", at, g, holds)
		}
	}
	if out := bench(3, "--max-tpot", "1ms", "--runs", "1", "--out", filepath.Join(t.TempDir(), "out")); !strings.Contains(out, "not even one request at a time holds") {
		t.Error(out)
	}
	bench(3, "--request-rate", "2", "--num-prompts", "60", "--runs", "1", "--max-ttft", "1ms", "--out", filepath.Join(t.TempDir(), "out"))
	bench(0, "--request-rate", "2", "--num-prompts", "60", "--runs", "1", "--max-ttft", "2s", "--out", filepath.Join(t.TempDir(), "out"))
}

func TestSLOFlags(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"--max-ttft -1s", "--max-ttft"},
		{"--max-ttft 1s --percentile 100", "--percentile"},
		{"--max-ttft 1s --matrix m.yaml", "--matrix"},
		{"--max-ttft 1s --find-limit", "--find-limit"},
		{"--goodput ttft:x", "ttft:x"},
		{"--goodput ttft:100 itl:5", "itl:5"},
		{"--goodput ttft:100 ttft:5", "twice"},
		{"ttft:100", "does not take"},
	} {
		code, _, stderr := call(t, nil, append([]string{"stress", "--base-url", "sim:", "--out", filepath.Join(t.TempDir(), "out")}, strings.Fields(c.args)...)...)
		if code != 2 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d, %q", c.args, code, stderr)
		}
	}
}
