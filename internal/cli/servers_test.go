package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bench/internal/cli"
	"bench/internal/record"
	"bench/internal/sim"
)

// call runs one command in this process.
func call(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = cli.Main(args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &err}, func(k string) string { return env[k] }, make(chan os.Signal))
	return code, out.String(), err.String()
}

// simulator serves a real-time simulator on a port.
func simulator(t *testing.T, settings string) (*sim.Server, string) {
	t.Helper()
	cfg, err := sim.ParseTarget("sim:" + settings)
	if err != nil {
		t.Fatal(err)
	}
	return serveSimulator(t, cfg)
}

func serveSimulator(t *testing.T, cfg sim.Config) (*sim.Server, string) {
	t.Helper()
	s, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	served := make(chan struct{})
	go func() { defer close(served); s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-served })
	return s, "http://" + l.Addr().String()
}

// Servers that are not what the command needs: one clear line, exit code 1, what to do.
func TestServersThatAreNoVLLM(t *testing.T) {
	handler := func(f http.HandlerFunc) func(t *testing.T) string {
		return func(t *testing.T) string {
			s := httptest.NewServer(f)
			t.Cleanup(s.Close)
			return s.URL
		}
	}
	for _, c := range []struct {
		what  string
		serve func(t *testing.T) string
		want  string
	}{
		{"HTML", handler(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<!DOCTYPE html><title>Welcome</title>")
		}), "web page"},
		{"404", handler(http.NotFound), "404"},
		{"a key is wanted", handler(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"error":"Unauthorized"}`)
		}), "VLLM_API_KEY"},
		{"a key without a right", handler(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
		}), "check VLLM_API_KEY and --base-url"},
		{"a loading server", handler(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}), "--wait 10m"},
		{"a dead engine", handler(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
		}), "look into the server's log"},
		{"TLS with a certificate of its own", func(t *testing.T) string {
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)
			return s.URL
		}, "SSL_CERT_FILE"},
		{"HTTP where TLS is asked for", func(t *testing.T) string {
			s := httptest.NewServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			return strings.Replace(s.URL, "http:", "https:", 1)
		}, "use http:// in --base-url"},
		{"no models", handler(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"object":"list","data":[]}`)
		}), "model"},
		{"a redirect", handler(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:9/v1/models", http.StatusTemporaryRedirect)
		}), "307"},
		{"silence", func(t *testing.T) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return "http://" + l.Addr().String()
		}, "2s"},
		{"a port that talks something else", func(t *testing.T) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					io.WriteString(conn, "SSH-2.0-OpenSSH_9.2\r\n")
					conn.Close()
				}
			})
			t.Cleanup(func() { l.Close(); wg.Wait() })
			return "http://" + l.Addr().String()
		}, ""},
	} {
		url := c.serve(t)
		code, stdout, stderr := call(t, nil, "stress", "--base-url", url, "--timeout", "2s", "--out", filepath.Join(t.TempDir(), "r"))
		place := strings.TrimPrefix(strings.TrimPrefix(url, "http://"), "https://")
		if code != 1 || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, place) {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want code 1 and one line with %q", c.what, code, stdout, stderr, c.want)
		}
	}
}

// A run whose server turns bad under it keeps what was measured and says how to go on.
func TestEngineDeathUnderTheMatrix(t *testing.T) {
	s, url := simulator(t, "")
	dir := filepath.Join(t.TempDir(), "r")
	time.AfterFunc(3*time.Second, func() { s.Close() })
	code, _, stderr := call(t, nil, "stress", "--base-url", url, "--cooldown", "0s", "--runs", "1", "--warmup", "0", "--gpu-telemetry", "none", "--out", dir)
	if code != 1 || !strings.Contains(stderr, "the server stopped answering after") || !strings.Contains(stderr, "--resume") {
		t.Errorf("exit code %d, stderr %q", code, stderr)
	}
	folder, err := record.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if recs, err := folder.ReadRecords(record.ConcurrentFile); err != nil || len(recs) == 0 || len(recs) == 9 {
		t.Errorf("%d records, %v", len(recs), err)
	}
}

// verify --wait sits through a server whose port refuses connections while it loads.
func TestWaitForALoadingServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cfg, err := sim.ParseTarget("sim:")
	if err != nil {
		t.Fatal(err)
	}
	s, err := sim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	served := make(chan struct{})
	time.AfterFunc(1500*time.Millisecond, func() {
		defer close(served)
		if l, err := net.Listen("tcp", addr); err == nil {
			s.Serve(l)
		}
	})
	code, stdout, stderr := call(t, nil, "verify", "--base-url", "http://"+addr, "--wait", "30s", "--gpu-telemetry", "none", "--out", filepath.Join(t.TempDir(), "r"))
	if code != 0 || !strings.Contains(stderr, "waiting for http://"+addr) || !strings.Contains(stdout, "gemma-3-12b-it") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	s.Close()
	<-served
}

// The key goes to the server and nowhere else: not into a file, not onto the screen.
func TestKeyIsWrittenNowhere(t *testing.T) {
	const canary = "sk-canary-0123456789"
	var with, without atomic.Int64
	s, _ := simulator(t, "")
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer "+canary {
			with.Add(1)
		} else {
			without.Add(1)
		}
		s.Handler().ServeHTTP(w, r)
	}))
	defer front.Close()
	dir := filepath.Join(t.TempDir(), "r")
	for _, args := range [][]string{
		{"verify", "--base-url", front.URL, "--out", dir},
		{"stress", "--base-url", front.URL, "--out", dir, "--concurrent", "2", "--runs", "1", "--input-tokens", "40", "--output-tokens", "5", "--cooldown", "0s"},
		{"analyze", "--out", dir},
	} {
		code, stdout, stderr := call(t, map[string]string{"VLLM_API_KEY": canary}, args...)
		if code != 0 {
			t.Fatalf("%v: exit code %d, %s", args, code, stderr)
		}
		if strings.Contains(stdout+stderr, canary) {
			t.Errorf("%v prints the key", args)
		}
	}
	if with.Load() == 0 || without.Load() != 0 {
		t.Errorf("%d requests had the key, %d had not", with.Load(), without.Load())
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(canary)) {
			err = fmt.Errorf("%s holds the key", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Ctrl-C once drains and keeps, and --resume goes on; the exit code is 130.
func TestInterruptDrainsAndResumes(t *testing.T) {
	_, url := simulator(t, "")
	dir := filepath.Join(t.TempDir(), "r")
	args := []string{"stress", "--base-url", url, "--cooldown", "0s", "--runs", "2", "--gpu-telemetry", "none", "--out", dir,
		"--concurrent", "2", "--output-tokens", "40", "--warmup", "1"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	signals := make(chan os.Signal)
	var stderr lockedBuffer
	go func() { // the signal comes as soon as a run of the test itself is under way
		for ctx.Err() == nil {
			if _, err := os.Stat(filepath.Join(dir, "requests", "c2-100-40.jsonl")); err == nil {
				signals <- os.Interrupt
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	code := cli.Main(args, cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: &stderr}, func(string) string { return "" }, signals)
	if code != 130 || !strings.Contains(stderr.String(), "--resume") {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
	if code, _, err := call(t, nil, append(args, "--resume")...); code != 0 {
		t.Errorf("resume: exit code %d, %s", code, err)
	}
	folder, err := record.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	recs, err := folder.ReadRecords(record.ConcurrentFile)
	if err != nil || len(recs) != 1 || recs[0].Detail.Requests != 4 || recs[0].Detail.Files.Requests != "requests/c2-100-40.jsonl" {
		t.Errorf("records %+v, %v", recs, err)
	}
}

// lockedBuffer is written by the command's goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestForeignTraffic: a second client that comes in the middle of a test shows in what the server's gauges and
// counters have more than this client sent; without it nothing is found.
func TestForeignTraffic(t *testing.T) {
	t.Parallel()
	for _, foreign := range []bool{false, true} {
		t.Run(fmt.Sprint(foreign), func(t *testing.T) {
			t.Parallel()
			s, url := simulator(t, "")
			dir := filepath.Join(t.TempDir(), "r")
			cmd := exec.CommandContext(t.Context(), binary, append(stressed(url, dir), "--gpu-telemetry", "none", "--output-tokens", "80", "--runs", "3")...)
			var said strings.Builder
			cmd.Stderr = &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var others sync.WaitGroup
			if foreign {
				waitForRequests(t, dir)
				for range 3 {
					others.Go(func() { ask(ctx, url, s.ServedModel(), 60, 20) })
				}
			}
			err := cmd.Wait()
			stop()
			others.Wait()
			if err != nil {
				t.Fatalf("%v\n%s", err, said.String())
			}
			rec := readOne(t, dir, record.ConcurrentFile)
			traffic, books := found(rec, "foreign_traffic", "not from here"), found(rec, "books", "somebody else used it")
			if traffic != foreign || books != foreign {
				t.Errorf("findings %+v", rec.Trust.Findings)
			}
			if foreign && rec.Trust.Verdict != record.TrustDoubtful {
				t.Errorf("%s, want doubtful: %+v", rec.Trust.Verdict, rec.Trust.Findings)
			}
			for _, f := range rec.Trust.Findings {
				if !foreign && f.Check != "simulated" && !ofThisMachine(f) {
					t.Errorf("a finding where nobody else used the server: %+v", f)
				}
			}
			if c := rec.Detail.Client; c == nil || c.CPUShare == nil || c.LagMaxMS < c.LagMeanMS {
				t.Errorf("client load %+v", c)
			}
		})
	}
}

// waitForRequests waits until a request of the test of two at once has ended.
func waitForRequests(t *testing.T, dir string) {
	t.Helper()
	for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
		files, _ := filepath.Glob(filepath.Join(dir, "requests", "c2-*.jsonl"))
		for _, file := range files {
			if data, err := os.ReadFile(file); err == nil && bytes.Count(data, []byte("\n")) > 1 {
				return
			}
		}
	}
	t.Fatal("no request ended in 30 s")
}

// ask is another client: it asks for answers of so many tokens one after another, at most so many of them, until ctx
// ends or one fails.
func ask(ctx context.Context, url, model string, tokens, most int) {
	for range most {
		body := strings.NewReader(fmt.Sprintf(`{"model":%q,"prompt":"count to a hundred","max_tokens":%d,"ignore_eos":true}`, model, tokens))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/completions", body)
		if err != nil {
			return
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return
		}
	}
}

// TestMetricsEndpoints: a /metrics that cannot be had costs the server's side of the story, said once with the
// reason, and nothing else.
func TestMetricsEndpoints(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		metrics http.HandlerFunc // nil: the simulator's own
		prefix  string
		says    string // "" = served
	}{
		"behind a key": {metrics: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you?", http.StatusUnauthorized) }, says: "HTTP 401"},
		"web page": {metrics: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<html><body>"+strings.Repeat("<p>welcome</p>", 1000)+"</body></html>")
		}, says: "web page"},
		"40 MB": {metrics: func(w http.ResponseWriter, _ *http.Request) {
			for range 40 {
				if _, err := w.Write(bytes.Repeat([]byte("x 1\n"), 1<<18)); err != nil {
					return
				}
			}
		}, says: "more than 32 MiB"},
		"10 MB": {metrics: func(w http.ResponseWriter, _ *http.Request) {
			w.Write(bytes.Repeat([]byte("other_metric 1\n"), 10<<20/15))
		}, says: "no metric of a known engine"},
		"slow": {metrics: func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(time.Minute):
			}
		}, says: "no answer"},
		"behind a prefix": {prefix: "/llm"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := simulator(t, "")
			server := httptest.NewServer(http.StripPrefix(tc.prefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tc.metrics != nil && r.URL.Path == "/metrics" {
					tc.metrics(w, r)
					return
				}
				s.Handler().ServeHTTP(w, r)
			})))
			defer server.Close()
			dir := filepath.Join(t.TempDir(), "r")
			cmd := exec.CommandContext(t.Context(), binary, append(stressed(server.URL+tc.prefix, dir), "--gpu-telemetry", "none")...)
			said, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			rec := readOne(t, dir, record.ConcurrentFile)
			folder, err := record.OpenFolder(dir)
			if err != nil {
				t.Fatal(err)
			}
			run, _, err := folder.ReadRun()
			if err != nil {
				t.Fatal(err)
			}
			if rec.Detail.Succeeded != rec.Detail.Requests || (rec.Detail.ServerDelta == nil) != (tc.says != "") || !strings.Contains(run.Server.MetricsAbsent, tc.says) {
				t.Errorf("%d of %d succeeded, server's figures %+v, absent because %q", rec.Detail.Succeeded, rec.Detail.Requests, rec.Detail.ServerDelta, run.Server.MetricsAbsent)
			}
			if n := strings.Count(string(said), "/metrics cannot be read"); n != map[bool]int{true: 1}[tc.says != ""] {
				t.Errorf("said %d times that /metrics cannot be read:\n%s", n, said)
			}
		})
	}
}
