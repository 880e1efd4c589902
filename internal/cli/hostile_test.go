package cli_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"bench/internal/record"
)

const (
	// hostileMemory is what the program may take whatever a server sends: its own 30 MiB, and for each of two
	// streams an event of the largest size allowed, twice while its buffer grows.
	hostileMemory = 200 << 20
	// hostileTime is how long a command may take on top of its --timeout of 2 s.
	hostileTime = 60 * time.Second
)

// answers by name: what a hostile server does with a connection that has sent its request.
var hostile = map[string]func(c net.Conn){
	"endless header": func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Padding: ")
		pour(c, []byte("aaaaaaaa"))
	},
	"endless headers": func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		pour(c, []byte("X-Padding: aaaaaaaa\r\n"))
	},
	"endless interim answers": func(c net.Conn) { pour(c, []byte("HTTP/1.1 100 Continue\r\n\r\n")) },
	"an endless line": func(c net.Conn) {
		io.WriteString(c, streamHead+"\r\ndata: ")
		pour(c, []byte("aaaaaaaa"))
	},
	"an endless event of short lines": func(c net.Conn) {
		io.WriteString(c, streamHead+"\r\n")
		pour(c, []byte("data: aaaaaaaa\n"))
	},
	"JSON of endless depth": func(c net.Conn) {
		io.WriteString(c, streamHead+"\r\ndata: "+strings.Repeat("[", 8<<20)+"\n\ndata: [DONE]\n\n")
	},
	"gzip bomb of one line": func(c net.Conn) { bomb(c, []byte("aaaaaaaa")) },
	"gzip bomb of nothing":  func(c net.Conn) { bomb(c, []byte("\n\n\n\n\n\n\n\n")) },
	"gzip bomb of tokens": func(c net.Conn) {
		bomb(c, []byte(`data: {"choices":[{"delta":{"content":"a"}}]}`+"\n\n"))
	},
	"no gzip at all":         func(c net.Conn) { io.WriteString(c, streamHead+"Content-Encoding: gzip\r\n\r\nhello, hello") },
	"an unknown encoding":    func(c net.Conn) { io.WriteString(c, streamHead+"Content-Encoding: br\r\n\r\nhello, hello") },
	"a header, byte by byte": func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\nX-Padding: "+strings.Repeat("a", 10_000)) },
	"an answer, byte by byte": func(c net.Conn) {
		io.WriteString(c, streamHead+"\r\n")
		drip(c, strings.Repeat(": still here\n", 1000))
	},
	"tokens without end": func(c net.Conn) {
		io.WriteString(c, streamHead+"\r\n")
		pour(c, []byte(`data: {"choices":[{"delta":{"content":"a"}}]}`+"\n\n"))
	},
	"chunks without size":   func(c net.Conn) { io.WriteString(c, chunkedHead+"\r\nhello\r\n") },
	"chunks of size -1":     func(c net.Conn) { io.WriteString(c, chunkedHead+"-1\r\nhello\r\n") },
	"chunks of size 2^64-1": func(c net.Conn) { io.WriteString(c, chunkedHead+"ffffffffffffffff\r\nhello\r\n") },
	"chunks cut short":      func(c net.Conn) { io.WriteString(c, chunkedHead+"ffff\r\ndata: {}\n\n") },
	"chunks too long":       func(c net.Conn) { io.WriteString(c, chunkedHead+"3\r\ndata: {}\n\n\r\n") },
	"an endless chunk size": func(c net.Conn) {
		io.WriteString(c, chunkedHead)
		pour(c, []byte("00000000"))
	},
	"two lengths": func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello")
	},
	"a length that is a lie": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\ndata: {}\n\n") },
	"ANSI and HTML in an error": func(c net.Conn) {
		failWith(c, "500 Internal Server Error", `{"error":{"message":"`+spoof+`"}}`)
	},
	"ANSI and HTML, raw": func(c net.Conn) {
		failWith(c, "418 \x1b[31mteapot", "\x1b]0;owned\x07\x1b[2J<script>alert(1)</script>\u202eevil\r\nsecond line")
	},
	"ANSI and HTML in the stream": func(c net.Conn) {
		io.WriteString(c, streamHead+"\r\ndata: "+`{"error":{"message":"`+spoof+`"}}`+"\n\n")
	},
	"ANSI in the finish reason": func(c net.Conn) {
		io.WriteString(c, streamHead+"\r\ndata: "+`{"choices":[{"delta":{"content":"a"},"finish_reason":"error"}]}`+"\n\n"+
			"data: "+`{"choices":[{"delta":{},"finish_reason":"`+spoof+`"}]}`+"\n\ndata: [DONE]\n\n")
	},
	"an endless error": func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 500 Internal Server Error\r\n\r\n")
		pour(c, []byte("very bad "))
	},
	"a page": func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!DOCTYPE html><title>\x1b[31m<script>alert(1)</script></title>")
	},
	"a redirect to another host": func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://192.0.2.1/steal\r\nContent-Length: 0\r\n\r\n")
	},
	"silence": func(c net.Conn) { io.Copy(io.Discard, c) },
}

const (
	streamHead  = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	chunkedHead = streamHead + "Transfer-Encoding: chunked\r\n\r\n"
	// spoof is JSON text: colours, a window title, a cleared screen, a new line, markup.
	spoof = `\u001b[31mred\u001b]0;owned\u0007\u001b[2J\r\nbench: done\n<script>alert(1)</script><img src=x onerror=alert(1)>|x|\u202e`
)

// poured is how much the servers send of what seems endless: four times the largest event allowed, and 1 GB
// with make e2e, which sets BENCH_LONG.
func poured() int {
	if os.Getenv("BENCH_LONG") != "" {
		return 1 << 30
	}
	return 64 << 20
}

// pour sends the same bytes again and again until all is out or the client has gone.
func pour(w io.Writer, piece []byte) {
	block := bytes.Repeat(piece, (64<<10)/len(piece))
	for n := 0; n < poured(); n += len(block) {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

func bomb(c net.Conn, piece []byte) {
	io.WriteString(c, streamHead+"Content-Encoding: gzip\r\n\r\n")
	z, err := gzip.NewWriterLevel(c, gzip.BestSpeed)
	if err != nil {
		panic(err)
	}
	pour(z, piece)
	z.Close()
}

func drip(c net.Conn, text string) {
	for i := range len(text) {
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func failWith(c net.Conn, status, body string) {
	fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

// hijacked hands the connection of a request over and closes it afterwards.
func hijacked(w http.ResponseWriter, r *http.Request, answer func(net.Conn)) {
	io.Copy(io.Discard, r.Body) // closing with something unread would reset the connection, and the answer with it
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	answer(c)
}

// TestHostileGeneration: whatever comes in place of a stream, the program itself ends in time, takes bounded
// memory, gives the failure a class and one printable line, and its report holds no markup of the server's.
func TestHostileGeneration(t *testing.T) {
	t.Parallel()
	for name, answer := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := simulator(t, "")
			var asked atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				// The first is the question whether lengths are honoured: without its answer nothing is measured.
				if r.URL.Path == "/v1/chat/completions" && asked.Add(1) > 1 {
					hijacked(w, r, answer)
					return
				}
				s.Handler().ServeHTTP(w, r)
			}))
			defer server.Close()
			dir := filepath.Join(t.TempDir(), "r")
			said := bounded(t, "stress", "--base-url", server.URL, "--out", dir, "--concurrent", "2", "--runs", "1", "--warmup", "0", "--output-tokens", "5",
				"--input-tokens", "40", "--cooldown", "0s", "--gpu-telemetry", "none", "--timeout", "2s")
			plain(t, said)
			rec := readOne(t, dir, record.ConcurrentFile)
			failed := 0
			for _, e := range rec.Results.Errors { // two classes where the time limit came before the server's end of it
				t.Logf("%s: %s", e.Class, e.Message)
				failed += e.Count
				if e.Class == "" || e.Message == "" || len(e.Message) > 310 || strings.Contains(e.Message, "\n") {
					t.Errorf("class %q, message %q", e.Class, e.Message)
				}
				plain(t, e.Message)
			}
			if failed != 2 || *rec.Results.SuccessRate != 0 {
				t.Fatalf("%d of 2 failed: %+v", failed, rec.Results.Errors)
			}
			plain(t, bounded(t, "analyze", "--out", dir))
			page, err := os.ReadFile(filepath.Join(dir, "report.html"))
			if err != nil || bytes.Contains(page, []byte("<script>alert")) || bytes.Contains(page, []byte("<img src=x")) {
				t.Errorf("report.html holds the server's markup, or: %v", err)
			}
		})
	}
}

// TestHostileControl: the same from /v1/models and /tokenize ends the command with one line and exit code 1.
func TestHostileControl(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/v1/models", "/tokenize"} {
		for _, name := range []string{"endless header", "an endless line", "gzip bomb of one line", "an answer, byte by byte", "chunks of size 2^64-1",
			"ANSI and HTML in an error", "a page"} {
			t.Run(path[1:]+" "+name, func(t *testing.T) {
				t.Parallel()
				s, _ := simulator(t, "")
				var asked atomic.Int64
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					// The first /tokenize only says that there is one.
					if r.URL.Path == path && (path != "/tokenize" || asked.Add(1) > 1) {
						hijacked(w, r, hostile[name])
						return
					}
					s.Handler().ServeHTTP(w, r)
				}))
				defer server.Close()
				said := bounded(t, "baseline", "--base-url", server.URL, "--out", filepath.Join(t.TempDir(), "r"), "--gpu-telemetry", "none", "--timeout", "2s")
				plain(t, said)
				lines := strings.Split(strings.TrimSpace(said), "\n")
				if last := lines[len(lines)-1]; !strings.HasPrefix(last, "bench: ") || strings.Count(said, "bench: ") != 1+strings.Count(said, "bench: done") {
					t.Errorf("said %q", said)
				}
			})
		}
	}
}

// bounded runs the program and holds its time and memory; it may end with 0 or 1 and says what it printed.
func bounded(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hostileTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	said, err := cmd.CombinedOutput()
	if ctx.Err() != nil || cmd.ProcessState == nil || cmd.ProcessState.ExitCode() > 1 || cmd.ProcessState.ExitCode() < 0 {
		t.Fatalf("%v did not end well: %v\n%.2000s", args, err, said)
	}
	if most, ok := mostMemory(cmd.ProcessState); ok && most > hostileMemory {
		t.Errorf("%v took %d MiB, at most %d are allowed", args, most>>20, hostileMemory>>20)
	}
	return string(said)
}

// plain holds that text is fit for a terminal.
func plain(t *testing.T, text string) {
	t.Helper()
	if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }); i >= 0 {
		t.Errorf("control character at %d of %q", i, text)
	}
}

// TestNothingLeaks: a server that quotes all it was sent, key and prompt from any place on, gets neither into a
// file nor onto the screen; and a run writes nothing outside --out, in files and folders that others may at most
// read, whatever the umask.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	const canary = "sk-canary-0123456789"
	s, _ := simulator(t, "")
	var mu sync.Mutex
	var prompts []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if r.URL.Path != "/v1/chat/completions" || bytes.Contains(body, []byte("is water wet")) { // the question about lengths
			s.Handler().ServeHTTP(w, r)
			return
		}
		var request struct{ Messages []struct{ Content string } }
		if json.Unmarshal(body, &request) != nil || len(request.Messages) == 0 {
			return
		}
		prompt := request.Messages[0].Content
		mu.Lock()
		defer mu.Unlock()
		prompts = append(prompts, prompt)
		if len(prompts)%4 == 0 { // some succeed
			s.Handler().ServeHTTP(w, r)
			return
		}
		quoted := prompt[len(prompts)%3*len(prompt)/3:] // from its start, a third, two thirds on
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": "no: " + quoted + " said " + r.Header.Get("Authorization")}})
	}))
	defer server.Close()
	home, dir := t.TempDir(), filepath.Join(t.TempDir(), "r")
	asking := []string{"--base-url", server.URL, "--gpu-telemetry", "none"}
	load := append(asking, "--runs", "1", "--warmup", "0", "--output-tokens", "5", "--cooldown", "0s")
	for _, args := range [][]string{
		append([]string{"verify", "--out", dir}, asking...),
		append([]string{"stress", "--out", dir, "--concurrent", "1", "--requests", "6"}, load...),
		append([]string{"baseline", "--out", filepath.Join(dir, "baseline")}, load...),
		append([]string{"stress", "--out", filepath.Join(dir, "open"), "--request-rate", "100", "--num-prompts", "8"}, load...),
		{"analyze", "--out", dir},
		{"analyze", "--out", filepath.Join(dir, "open"), "--lang", "ko"},
		{"export", "--format", "jsonl", dir},
		{"compare", dir, dir},
	} {
		cmd := exec.Command("sh", append([]string{"-c", `umask 0; exec "$0" "$@"`, binary}, args...)...)
		cmd.Dir = home
		cmd.Env = []string{"VLLM_API_KEY=" + canary, "HOME=" + home, "TMPDIR=" + home, "XDG_CACHE_HOME=" + home, "XDG_CONFIG_HOME=" + home}
		said, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, said)
		}
		holdsNo(t, strings.Join(args, " "), said, canary, prompts)
	}
	if len(prompts) < 6 {
		t.Fatalf("%d prompts came", len(prompts))
	}
	if left, err := os.ReadDir(home); err != nil || len(left) != 0 {
		t.Errorf("outside --out there is %v, %v", left, err)
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if most := map[bool]os.FileMode{true: 0o755, false: 0o644}[d.IsDir()]; info.Mode().Perm()&^most != 0 {
			t.Errorf("%s has mode %v, at most %v is wanted", path, info.Mode().Perm(), most)
		}
		if d.IsDir() {
			return nil
		}
		data, err := os.ReadFile(path)
		holdsNo(t, path, data, canary, prompts)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// holdsNo looks for the key and for five words in a row of a prompt.
func holdsNo(t *testing.T, where string, data []byte, key string, prompts []string) {
	t.Helper()
	if bytes.Contains(data, []byte(key)) {
		t.Errorf("%s holds the key", where)
	}
	for _, p := range prompts {
		words := strings.Fields(p)
		for part := range slices.Chunk(words, 5) {
			if len(part) == 5 && bytes.Contains(data, []byte(strings.Join(part, " "))) {
				t.Errorf("%s holds %q of a prompt", where, part)
				return
			}
		}
	}
}

// TestReadOnlyFolder: a folder that cannot be written ends the command before anything is sent, with one line.
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	script := `mount -t tmpfs -o ro tmpfs "$1" && exec "$0" stress --base-url sim: --out "$1/r"`
	cmd := exec.Command("unshare", "-m", "sh", "-c", script, binary, t.TempDir())
	if os.Getuid() != 0 {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command(binary, "stress", "--base-url", "sim:", "--out", filepath.Join(dir, "r"))
	} else if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("root writes anywhere, and nothing can be mounted here: %v: %s", err, out)
	}
	said, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || strings.Count(string(said), "\n") != 1 || !strings.HasPrefix(string(said), "bench: ") {
		t.Errorf("%v, said %q", err, said)
	}
}

// TestTooFewFiles: more streams than the machine allows are refused before anything is sent, with the next step.
func TestTooFewFiles(t *testing.T) {
	t.Parallel()
	_, url := simulator(t, "")
	cmd := exec.Command("sh", "-c", `ulimit -n 200 && exec "$0" "$@"`, binary, "stress", "--base-url", url, "--out", filepath.Join(t.TempDir(), "r"),
		"--concurrent", "300", "--gpu-telemetry", "none")
	said, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || strings.Count(string(said), "\n") != 1 || !strings.Contains(string(said), "this machine allows 200") || !strings.Contains(string(said), "ulimit") {
		t.Errorf("exit code %d, said %q", cmd.ProcessState.ExitCode(), said)
	}
}
