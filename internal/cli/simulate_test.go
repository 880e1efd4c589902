package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bench/internal/record"
	"bench/internal/sim"
)

// The program's own figures, judged by what the server it measured knows: no token is seen before it was written, and
// all are counted; on a busy machine several may share an event, as with vLLM.
func TestSimulateJudgesAClient(t *testing.T) {
	dir := t.TempDir()
	logFile := filepath.Join(dir, "truth.jsonl")
	server := exec.Command(binary, "simulate", "gpu=h100-sxm,model=google/gemma-3-1b-it", "--listen", "127.0.0.1:0", "--request-log", logFile)
	server.Stderr = os.Stderr
	said, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(said).ReadString('\n')
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(line)
	code, _, stderr := call(t, nil, "baseline", "--base-url", url, "--runs", "5", "--output-tokens", "20", "--cooldown", "0s", "--out", filepath.Join(dir, "out"))
	if code != 0 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if err := server.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := server.Wait(); err != nil && !strings.Contains(err.Error(), "130") {
		t.Error(err)
	}

	folder, err := record.OpenFolder(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "out", "requests", "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	requests, err := folder.ReadRequests(filepath.Join("requests", filepath.Base(files[0])))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(logFile)
	if err != nil {
		t.Fatal(err)
	}
	var entries []sim.LogEntry
	for line := range bytes.Lines(text) {
		var e sim.LogEntry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	if len(requests) != 5 || len(entries) < len(requests) {
		t.Fatalf("%d requests, %d entries", len(requests), len(entries))
	}
	for i, e := range entries[len(entries)-len(requests):] { // what came before were warm-ups
		r := requests[i]
		if *r.FirstTokenNS-r.SentNS < *e.FirstWriteNS-e.ArrivedNS || *r.LastTokenNS-r.SentNS < *e.LastWriteNS-e.ArrivedNS ||
			*r.PromptTokens != e.PromptTokens || *r.CompletionTokens != e.OutputTokens || r.CountedTokens != e.TokenWrites || r.FinishReason != e.FinishReason {
			t.Errorf("request %d: measured %+v, the server logged %+v", i, r, e)
		}
	}
}

func TestSimulateRequestLogElsewhere(t *testing.T) {
	code, _, stderr := call(t, nil, "simulate", "--listen", "127.0.0.1:0", "--request-log", filepath.Join(t.TempDir(), "none", "log"))
	if code != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "--request-log") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
}
