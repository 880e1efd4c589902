package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bench/internal/record"
)

// judged is the analysis of a folder.
func judged(t *testing.T, dir string) (doc record.Analysis) {
	t.Helper()
	if code, _, stderr := call(t, nil, "analyze", "--out", dir); code != 0 {
		t.Fatal(stderr)
	}
	data, err := os.ReadFile(filepath.Join(dir, record.AnalysisFile))
	if err == nil {
		err = json.Unmarshal(data, &doc)
	}
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// virtually runs the program on the simulator in virtual time, which a test cannot enter itself.
func virtually(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// TestFindRate: loads of other seeds hold well below the border that the search states and break well above it, and a ladder of
// rates names where the server is over-saturated.
func TestFindRate(t *testing.T) {
	t.Parallel()
	objective := []string{"--max-ttft", "1s", "--max-tpot", "40ms"}
	dir := filepath.Join(t.TempDir(), "out")
	code, stdout, stderr := virtually(t, append([]string{"stress", "--base-url", "sim:", "--find-rate", "--out", dir}, objective...)...)
	if code != 0 || !strings.Contains(stdout, "Open loads by rate") {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	doc := judged(t, dir)
	if len(doc.Rates) != 1 || doc.Rates[0].SLO == nil || !doc.Rates[0].SLO.Reached || doc.Rates[0].SLO.RequestRate == nil {
		t.Fatalf("%+v", doc.Rates)
	}
	border := *doc.Rates[0].SLO.RequestRate
	t.Logf("%s", doc.Rates[0].SLO.Note)
	for rate, want := range map[float64]int{border * 0.7: 0, border * 1.5: 3} {
		args := append([]string{"stress", "--base-url", "sim:", "--request-rate", fmt.Sprintf("%.3f", rate), "--num-prompts", "200", "--runs", "1", "--seed", "9",
			"--out", filepath.Join(t.TempDir(), "out")}, objective...)
		if code, stdout, stderr := virtually(t, args...); code != want {
			t.Errorf("%.2f requests/s: exit code %d, want %d: %s%s", rate, code, want, stdout, stderr)
		}
	}
	dir = filepath.Join(t.TempDir(), "out")
	if code, stdout, stderr := virtually(t, "stress", "--base-url", "sim:", "--request-rate", "2,4,30", "--duration", "40s", "--runs", "1", "--out", dir); code != 0 || !strings.Contains(stdout, "kept up with 4 requests/s") {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	if s := judged(t, dir).Rates[0].Sustained; s.RequestRate == nil || *s.RequestRate != 4 || *s.High != 30 || !s.Reached {
		t.Errorf("%+v", s)
	}
}

func TestFindRateFlags(t *testing.T) {
	for _, c := range []struct{ args, says string }{
		{"--find-rate", "objective"},
		{"--find-rate --max-ttft 1s --concurrent 4", "--concurrent"},
		{"--find-rate --max-ttft 1s --request-rate 1,2", "begins at one"},
		{"--find-rate --max-ttft 1s --until-precise 5%", "--until-precise"},
		{"--find-rate --max-ttft 1s --num-prompts 9 --duration 9s", "exclude"},
		{"--request-rate 1,2,1 --num-prompts 9", "twice"},
		{"--request-rate 1,x --num-prompts 9", "request-rate"},
		{"--dataset-name mooncake --dataset-path x.jsonl --burstiness 2", "--burstiness"},
		{"--dataset-name mooncake --dataset-path x.jsonl --output-tokens 2", "--output-tokens"},
		{"--dataset-name mooncake --dataset-path none.jsonl", "none.jsonl"},
		{"--dataset-name mooncake --dataset-path x.jsonl --timed-trace-sec-multiplier -1", "--timed-trace-sec-multiplier"},
		{"--request-rate 1 --num-prompts 9 --timed-trace-chunk-hash-size 16", "is of a trace"},
	} {
		code, _, stderr := call(t, nil, append([]string{"stress", "--base-url", "sim:", "--out", filepath.Join(t.TempDir(), "out")}, strings.Fields(c.args)...)...)
		if code != 2 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d, %q", c.args, code, stderr)
		}
	}
}

// TestTraceLines: lines of a trace that are none, or do not fit the server, are named; they are left out where that was asked for.
func TestTraceLines(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "trace.jsonl")
	lines := []string{`{"timestamp": 0, "input_length": 60, "output_length": 5, "hash_ids": [1]}`, `{"timestamp": 100, "input_length": 2, "output_length": 5, "hash_ids": [1]}`,
		`{"timestamp": 200, "input_length": 9000, "output_length": 5, "hash_ids": [1]}`, `{`, `{"timestamp": 300, "input_length": 60, "output_length": 5, "hash_ids": [1]}`,
		`{"timestamp": 60000, "input_length": 60, "output_length": 5, "hash_ids": [1]}`}
	args := func(more ...string) []string {
		return append([]string{"stress", "--base-url", "sim:", "--dataset-name", "mooncake", "--dataset-path", path, "--runs", "1", "--out", filepath.Join(dir, "out")}, more...)
	}
	for keep, says := range map[int]string{2: ":2: a prompt of 2 tokens", 3: ":2: a prompt of 2 tokens", 4: ":4: no JSON object"} {
		if err := os.WriteFile(path, []byte(strings.Join(lines[:keep], "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := call(t, nil, args()...); code != 2 || !strings.Contains(stderr, path+says) {
			t.Errorf("%d lines: exit code %d, %q, want %q", keep, code, stderr, says)
		}
	}
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		more []string
		sent int
	}{{nil, 3}, {[]string{"--duration", "10s"}, 2}, {[]string{"--num-prompts", "2"}, 2}, {[]string{"--duration", "10s", "--timed-trace-sec-multiplier", "0.0001"}, 3}} {
		os.RemoveAll(filepath.Join(dir, "out"))
		code, _, stderr := virtually(t, args(append([]string{"--skip-bad-lines"}, c.more...)...)...)
		if code != 0 || !strings.Contains(stderr, "was left out") {
			t.Fatalf("%v: exit code %d: %s", c.more, code, stderr)
		}
		rec := readOne(t, filepath.Join(dir, "out"), record.OpenFile)
		if w := rec.Detail.Workload; rec.Detail.Requests != c.sent || rec.Detail.Prompt.Exact != c.sent || w == nil || w.Skipped < 2 || w.CommonTokens == 0 {
			t.Errorf("%v: %d requests, %+v, %+v", c.more, rec.Detail.Requests, rec.Detail.Prompt, w)
		}
	}
}
