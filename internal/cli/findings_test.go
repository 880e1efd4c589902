package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bench/internal/record"
)

// disturbed is a test of two at once against the simulator behind a proxy that changes its requests or answers.
func disturbed(t *testing.T, change func(next http.Handler) http.Handler, during func(cmd *exec.Cmd, dir string), args ...string) record.Record {
	t.Helper()
	s, _ := simulator(t, "")
	server := httptest.NewServer(change(s.Handler()))
	defer server.Close()
	dir := filepath.Join(t.TempDir(), "r")
	cmd := exec.CommandContext(t.Context(), binary, append(append(stressed(server.URL, dir), "--gpu-telemetry", "none"), args...)...)
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if during != nil {
		during(cmd, dir)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	return readOne(t, dir, record.ConcurrentFile)
}

func unchanged(next http.Handler) http.Handler { return next }

// rewritten changes the JSON of every generation request.
func rewritten(change func(map[string]any)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/chat/completions" {
				var body map[string]any
				if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
					http.Error(w, err.Error(), http.StatusBadRequest)
					return
				}
				change(body)
				data, err := json.Marshal(body)
				if err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
				r.Header.Set("Content-Type", "application/json")
			}
			next.ServeHTTP(w, r)
		})
	}
}

// TestFindingsForReal makes each doubt that needs no GPU happen to a running program.
func TestFindingsForReal(t *testing.T) {
	t.Parallel()
	t.Run("prefix_cache", func(t *testing.T) {
		t.Parallel()
		// Something between client and server drops the salt and sends everybody the same words.
		var once sync.Once
		var first any
		rec := disturbed(t, rewritten(func(body map[string]any) {
			delete(body, "cache_salt")
			once.Do(func() { first = body["messages"] })
			body["messages"] = first
		}), nil)
		if !found(rec, "prefix_cache", "came from the prefix cache") || rec.Trust.Verdict != record.TrustInvalid {
			t.Errorf("trust %+v", rec.Trust)
		}
	})
	t.Run("lengths", func(t *testing.T) {
		t.Parallel()
		// A gateway that caps answers.
		rec := disturbed(t, rewritten(func(body map[string]any) { body["max_tokens"] = 5 }), nil)
		if !found(rec, "lengths", "does not honour ignore_eos") || rec.Trust.Verdict == record.TrustSound {
			t.Errorf("trust %+v, output %+v", rec.Trust, rec.Detail.Output)
		}
	})
	t.Run("coalesced_reads", func(t *testing.T) {
		t.Parallel()
		// A proxy that holds answers back until half a second of them has come.
		rec := disturbed(t, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(&slowWriter{ResponseWriter: w}, r)
			})
		}, nil, "--output-tokens", "100")
		if !found(rec, "coalesced_reads", "inter-token times are void") || rec.Trust.Verdict != record.TrustDoubtful {
			t.Errorf("trust %+v, coalesced %v", rec.Trust, rec.Detail.Coalesced)
		}
	})
	t.Run("client_lag", func(t *testing.T) {
		t.Parallel()
		// The program gets a processor for a third of the time only.
		rec := disturbed(t, unchanged, func(cmd *exec.Cmd, dir string) {
			waitForRequests(t, dir)
			for range 8 {
				if cmd.Process.Signal(syscall.SIGSTOP) != nil {
					return // it has ended
				}
				time.Sleep(600 * time.Millisecond) // how long the program is stopped, not a wait for something
				if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
					t.Error(err)
				}
				time.Sleep(300 * time.Millisecond)
			}
		}, "--output-tokens", "80", "--runs", "3")
		if !found(rec, "client_lag", "client-limited: it woke up") || !rec.Detail.Client.Limited || rec.Detail.Client.LagMaxMS < 300 {
			t.Errorf("trust %+v, client %+v", rec.Trust, rec.Detail.Client)
		}
	})
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		// Another client's one long answer keeps the server busy for longer than it is waited for.
		s, url := simulator(t, "")
		var others sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		others.Go(func() { ask(ctx, url, s.ServedModel(), 3500, 1) })
		dir := filepath.Join(t.TempDir(), "r")
		waitUntilRunning(t, url)
		out, err := exec.CommandContext(t.Context(), binary, append(stressed(url, dir), "--gpu-telemetry", "none", "--runs", "1", "--concurrent", "1")...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		stop()
		others.Wait()
		rec := readOne(t, dir, record.ConcurrentFile)
		if !found(rec, "idle", "1 running") || rec.Trust.Verdict == record.TrustSound {
			t.Errorf("trust %+v", rec.Trust)
		}
	})
}

// waitUntilRunning waits until the server's own gauge shows a request.
func waitUntilRunning(t *testing.T, url string) {
	t.Helper()
	for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && bytes.Contains(text, []byte("vllm:num_requests_running{")) && !bytes.Contains(text, []byte("\nvllm:num_requests_running{engine=\"0\",model_name=\"google/gemma-3-12b-it-w4a16\"} 0.0")) {
			return
		}
	}
	t.Fatal("no request runs after 30 s")
}

// slowWriter passes on what is written twice a second.
type slowWriter struct {
	http.ResponseWriter
	held []byte
	last time.Time
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.held = append(w.held, p...)
	if time.Since(w.last) < 500*time.Millisecond && !bytes.Contains(p, []byte("[DONE]")) && bytes.HasPrefix(w.held, []byte("data: ")) {
		return len(p), nil
	}
	w.last = time.Now()
	_, err := w.ResponseWriter.Write(w.held)
	w.held = w.held[:0]
	return len(p), err
}

// Unwrap lets the simulator flush through.
func (w *slowWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// readOne is the only record of a file.
func readOne(t *testing.T, dir, file string) record.Record {
	t.Helper()
	folder, err := record.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	recs, err := folder.ReadRecords(file)
	if err != nil || len(recs) != 1 {
		t.Fatalf("%d records, %v", len(recs), err)
	}
	return recs[0]
}

// found says whether a record has a finding with that evidence.
func found(rec record.Record, check, evidence string) bool {
	return slices.ContainsFunc(rec.Trust.Findings, func(f record.Finding) bool { return f.Check == check && strings.Contains(f.Evidence, evidence) })
}

// stressed are the arguments of a short test against url.
func stressed(url, dir string) []string {
	return []string{"stress", "--base-url", url, "--concurrent", "2", "--runs", "2", "--warmup", "1", "--cooldown", "0s",
		"--input-tokens", "64", "--output-tokens", "20", "--out", dir}
}
