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

	"bench/internal/compare"
	"bench/internal/record"
	"bench/internal/sim"
)

// simulateLogged runs `bench simulate` in a process of its own; stop ends it and returns what it logged.
func simulateLogged(t *testing.T, settings string) (url string, stop func() []sim.LogEntry) {
	t.Helper()
	logFile := filepath.Join(t.TempDir(), "truth.jsonl")
	server := exec.Command(binary, "simulate", settings, "--listen", "127.0.0.1:0", "--request-log", logFile)
	server.Stderr = os.Stderr
	said, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Kill() }) // where the test ended before stop
	line, _ := bufio.NewReader(said).ReadString('\n')
	url = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(line)
	return url, func() []sim.LogEntry {
		t.Helper()
		if err := server.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := server.Wait(); err != nil && !strings.Contains(err.Error(), "130") {
			t.Error(err)
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
		return entries
	}
}

// The program's own figures, judged by what the server it measured knows: no token is seen before it was written, and
// all are counted; on a busy machine several may share an event, as with vLLM.
func TestSimulateJudgesAClient(t *testing.T) {
	dir := t.TempDir()
	url, stop := simulateLogged(t, "gpu=h100-sxm,model=google/gemma-3-1b-it")
	code, _, stderr := call(t, nil, "baseline", "--base-url", url, "--runs", "5", "--output-tokens", "20", "--cooldown", "0s", "--out", filepath.Join(dir, "out"))
	if code != 0 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	entries := stop()

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

// TestForeignClient: vLLM's own load generator takes the simulator for a server, and what it reports is what the
// server knows. BENCH_E2E_CLIENT names a Python that has it, BENCH_E2E_TOKENIZER the folder of a tokenizer.
func TestForeignClient(t *testing.T) {
	python, tokenizer := os.Getenv("BENCH_E2E_CLIENT"), os.Getenv("BENCH_E2E_TOKENIZER")
	if python == "" {
		t.Skip("BENCH_E2E_CLIENT names no Python with vLLM; `make e2e` does")
	}
	url, stop := simulateLogged(t, "gpu=h100-sxm,model=google/gemma-3-1b-it")
	dir := t.TempDir()
	client := exec.Command(python, "-W", "ignore", "../../testdata/realvllm/serve.py", "--backend", "openai-chat", "--endpoint", "/v1/chat/completions", "--base-url", url,
		"--model", "google/gemma-3-1b-it", "--tokenizer", tokenizer, "--dataset-name", "random", "--random-input-len", "50", "--random-output-len", "40",
		"--num-prompts", "32", "--max-concurrency", "8", "--ignore-eos", "--save-result", "--result-dir", dir, "--result-filename", "result.json", "--percentile-metrics", "ttft,tpot,itl,e2el")
	client.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "VLLM_NO_USAGE_STATS=1", "DO_NOT_TRACK=1")
	said, err := client.CombinedOutput()
	entries := stop()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	data, err := os.ReadFile(filepath.Join(dir, "result.json"))
	if err != nil {
		t.Fatal(err)
	}
	r, model, err := compare.ParseVLLM(data)
	if err != nil {
		t.Fatal(err)
	}
	p := r.Detail.Repeats[0]
	if p.Succeeded != 32 || p.Requests != 32 || r.MaxOutputTokens != 40 || model != "google/gemma-3-1b-it" {
		t.Errorf("%d of %d requests of %s succeeded, %d tokens each:\n%s", p.Succeeded, p.Requests, model, r.MaxOutputTokens, said)
	}
	var ttft, tpot, n float64
	for _, e := range entries {
		if e.Outcome != sim.OutcomeWhole || e.OutputTokens != 40 {
			t.Errorf("the server logged %+v", e)
			continue
		}
		n++
		ttft += float64(*e.FirstWriteNS-e.ArrivedNS) / 1e6
		tpot += float64(*e.LastWriteNS-*e.FirstWriteNS) / 1e6 / 39
	}
	t.Logf("TTFT %.2f ms, %.2f at the server; TPOT %.3f ms, %.3f at the server; %g requests", *p.AvgTTFTMS, ttft/n, *p.AvgTPOTMS, tpot/n, n)
	// Its clock starts before it connects and stops when Python comes to it: never earlier than the server's.
	if *p.AvgTTFTMS < ttft/n {
		t.Errorf("TTFT is %.2f ms at the client and %.2f at the server", *p.AvgTTFTMS, ttft/n)
	}
	if off := *p.AvgTPOTMS/(tpot/n) - 1; off < -0.1 || off > 0.1 {
		t.Errorf("TPOT is %.3f ms at the client and %.3f at the server", *p.AvgTPOTMS, tpot/n)
	}
}
