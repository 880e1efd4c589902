package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bench/internal/record"
	"bench/internal/sim"
)

// TestDatasets: the server sees each request of the file once a repeat, with the lengths that the record says it had.
func TestDatasets(t *testing.T) {
	for _, c := range []struct {
		name, file, endpoint string
		n                    int
		output               []int // by the server, ascending; nil: not fixed by the file
	}{
		{"custom", "../load/testdata/chats.jsonl", "chat", 6, []int{12, 25, 30, 40, 60, 100}}, // 100 where the file does not say
		{"sharegpt", "../load/testdata/talks.json", "chat", 3, nil},
		{"sharegpt", "../load/testdata/talks.json", "completions", 3, nil},
	} {
		s, url := simulator(t, "gpu=h100-sxm,model=google/gemma-3-1b-it")
		var log lockedBuffer
		s.LogRequests(&log)
		dir := filepath.Join(t.TempDir(), "out")
		args := []string{"stress", "--base-url", url, "--concurrent", "2", "--requests", strconv.Itoa(c.n), "--runs", "1", "--cooldown", "0s", "--gpu-telemetry", "none",
			"--endpoint", c.endpoint, "--dataset-name", c.name, "--dataset-path", c.file, "--out", dir}
		code, _, stderr := call(t, nil, args...)
		if code != 0 {
			t.Fatalf("%s: exit code %d: %s", c.name, code, stderr)
		}
		rec := readOne(t, dir, record.ConcurrentFile)
		folder, err := record.OpenFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		requests, err := folder.ReadRequests(rec.Detail.Files.Requests)
		if err != nil || len(requests) != c.n {
			t.Fatalf("%d requests, %v", len(requests), err)
		}
		var asked, seen [][2]int
		var output []int
		for _, r := range requests {
			asked = append(asked, [2]int{r.AskedPromptTokens, r.AskedOutputTokens})
		}
		lines := slices.Collect(strings.Lines(log.String()))
		for _, line := range lines[len(lines)-c.n:] {
			var e sim.LogEntry
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			seen, output = append(seen, [2]int{e.PromptTokens, e.OutputTokens}), append(output, e.OutputTokens)
		}
		byLength := func(a, b [2]int) int { return (a[0]-b[0])*1000 + a[1] - b[1] }
		slices.SortFunc(asked, byLength)
		slices.SortFunc(seen, byLength)
		slices.Sort(output)
		if !slices.Equal(asked, seen) || rec.Detail.Prompt.Exact != c.n || rec.Detail.Output.Exact != c.n {
			t.Errorf("%s: asked %v, the server saw %v", c.name, asked, seen)
		}
		if c.output != nil && !slices.Equal(output, c.output) {
			t.Errorf("%s: answers of %v tokens", c.name, output)
		}
		if w := rec.Detail.Workload; w == nil || w.Dataset != c.name || w.File != filepath.Base(c.file) || len(w.SHA256) != 64 || w.Usable != c.n || w.Skipped != 0 {
			t.Errorf("%s: %+v", c.name, w)
		}
	}
}

// TestBadDatasets: what is no request is named by its line and left out only if asked; so is what does not fit the context.
func TestBadDatasets(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := `{"prompt": "What is a bench?", "output_tokens": 5}` + "\n"
	bad := write("bad.jsonl", good+"\n"+good+"{}\n")
	long := write("long.jsonl", good+`{"prompt": "Tell all.", "output_tokens": 50000}`+"\n")
	for _, c := range []struct {
		code int
		says string
		args string
	}{
		{2, "bad.jsonl:2: empty (and 1 more)", "--dataset-name custom --dataset-path " + bad},
		{0, "bad.jsonl:2 was left out: empty (and 1 more)", "--dataset-name custom --skip-bad-lines --dataset-path " + bad},
		{2, "context holds", "--dataset-name custom --requests 2 --dataset-path " + long},
		{2, "holds 1 requests that can be sent, a repeat needs 2", "--dataset-name custom --requests 2 --skip-bad-lines --dataset-path " + long},
		{2, "no such file", "--dataset-name custom --dataset-path " + filepath.Join(dir, "none")},
		{2, "does not begin with a JSON array", "--dataset-name sharegpt --dataset-path " + bad},
		{2, "sonnet", "--dataset-name sonnet --dataset-path " + bad},
		{2, "need each other", "--dataset-name custom"},
		{2, "--random-range-ratio", "--random-range-ratio 0.5 --dataset-name custom --dataset-path " + bad},
	} {
		args := append([]string{"stress", "--base-url", "sim:", "--concurrent", "1", "--runs", "1", "--cooldown", "0s", "--out", filepath.Join(t.TempDir(), "out")}, strings.Fields(c.args)...)
		code, _, stderr := call(t, nil, args...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit code %d, %q", c.args, code, stderr)
		}
	}
}
