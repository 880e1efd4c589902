package vllm

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bench/internal/clock"
	"bench/internal/record"
)

func TestBaseURL(t *testing.T) {
	for raw, want := range map[string]string{
		"http://localhost:8000":           "http://localhost:8000",
		"http://localhost:8000/":          "http://localhost:8000",
		"http://localhost:8000/v1":        "http://localhost:8000",
		"http://localhost:8000/v1/":       "http://localhost:8000",
		"https://gw.example/team/a/v1":    "https://gw.example/team/a",
		"http://[::1]:8000/v1":            "http://[::1]:8000",
		" http://localhost:8000 ":         "http://localhost:8000",
		"localhost:8000":                  "",
		"ftp://localhost":                 "",
		"http://":                         "",
		"http://:8000":                    "",
		"http://localhost:8000/?a=1":      "",
		"http://user:secret@localhost":    "",
		"http://user:secret@local host/%": "",
		"":                                "",
	} {
		c, err := New(Options{BaseURL: raw, Clock: clock.New(0)})
		switch {
		case want == "" && err == nil:
			t.Errorf("%q was taken as %s", raw, c.BaseURL())
		case want == "" && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n")):
			t.Errorf("%q: %v", raw, err)
		case want != "" && (err != nil || c.BaseURL() != want):
			t.Errorf("%q: got %v, %v; want %s", raw, c, err, want)
		}
	}
	if _, err := New(Options{BaseURL: "http://localhost", Clock: clock.New(0), APIKey: "a\nb"}); err == nil || strings.Contains(err.Error(), "a\nb") {
		t.Errorf("a key with a line end: %v", err)
	}
}

// stream is a whole reply of n tokens.
func stream(n int) string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
	put := func(data string) { fmt.Fprintf(&b, "%x\r\ndata: %s\n\n\r\n", len(data)+8, data) }
	put(`{"choices":[{"delta":{"role":"assistant","content":""}}]}`)
	for i := range n {
		finish := "null"
		if i == n-1 {
			finish = `"length"`
		}
		put(`{"choices":[{"delta":{"content":"a"},"finish_reason":` + finish + `}]}`)
	}
	put(fmt.Sprintf(`{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":%d}}`, n))
	put("[DONE]")
	b.WriteString("0\r\n\r\n")
	return b.String()
}

func send(t *testing.T, c *Client, g Generate) record.Request {
	t.Helper()
	p, err := c.Prepare(g)
	if err != nil {
		t.Fatal(err)
	}
	return c.Send(t.Context(), p)
}

// TestRequest holds what is put on the wire.
func TestRequest(t *testing.T) {
	server := startReplay(t, func(string) ([]byte, []directive) { return []byte(stream(4)), nil })
	c := newClient(t, Options{BaseURL: server.url() + "/pre/v1", Model: "gpt-5-of-mine", APIKey: "sk-1"})
	common := Generate{Prompt: "hi", MaxTokens: 4, IgnoreEOS: true, CacheSalt: "s1", Seed: new(int64(1 << 40)), RequestID: "r-1"}
	for i, tc := range []struct{ endpoint, path, prompt string }{
		{Chat, "/pre/v1/chat/completions", `"messages":[{"role":"user","content":"hi"}]`},
		{Completions, "/pre/v1/completions", `"prompt":"hi"`},
	} {
		g := common
		g.Endpoint = tc.endpoint
		if r := send(t, c, g); !r.Success {
			t.Fatalf("%s: %s %s", tc.endpoint, r.Error, r.Message)
		}
		req, body := server.requests[i], server.bodies[i]
		if req.Method != "POST" || req.URL.Path != tc.path || req.Proto != "HTTP/1.1" {
			t.Errorf("%s %s %s", req.Method, req.URL.Path, req.Proto)
		}
		for name, want := range map[string]string{"Authorization": "Bearer sk-1", "Content-Type": "application/json",
			"Accept": "text/event-stream", "X-Request-Id": "r-1", "Accept-Encoding": "identity"} {
			if got := req.Header.Get(name); got != want {
				t.Errorf("%s: %s %q, want %q", tc.endpoint, name, got, want)
			}
		}
		for _, want := range []string{tc.prompt, `"model":"gpt-5-of-mine"`, `"max_tokens":4`, `"temperature":0`, `"ignore_eos":true`,
			`"cache_salt":"s1"`, `"seed":1099511627776`, `"stream":true`, `"stream_options":{"include_usage":true}`} {
			if !bytes.Contains(body, []byte(want)) {
				t.Errorf("%s: %s is not in %s", tc.endpoint, want, body)
			}
		}
		var seen map[string]any
		if err := json.Unmarshal(body, &seen); err != nil || len(seen) != 9 {
			t.Errorf("%s: %d members (%v): %s", tc.endpoint, len(seen), err, body)
		}
	}
}

func TestPrepareRefuses(t *testing.T) {
	c := newClient(t, Options{BaseURL: "http://localhost:1"})
	for _, g := range []Generate{{Endpoint: Chat}, {Endpoint: "embeddings", MaxTokens: 1}} {
		if _, err := c.Prepare(g); err == nil {
			t.Errorf("%+v was prepared", g)
		}
	}
	nameless, err := New(Options{BaseURL: "http://localhost:1", Clock: clock.New(0)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nameless.Prepare(Generate{Endpoint: Chat, MaxTokens: 1}); err == nil {
		t.Error("a request without a model name was prepared")
	}
}

// TestOpen proves that requests go out on the connections opened before, that those the server
// closed meanwhile are replaced, and that connections are reused.
func TestOpen(t *testing.T) {
	server := startReplay(t, func(string) ([]byte, []directive) {
		return []byte(stream(4)), []directive{
			{verb: "pause", wait: 30 * time.Millisecond}, // all of a burst are in flight at once
			{verb: "idle-close", wait: 100 * time.Millisecond}}
	})
	c := newClient(t, Options{BaseURL: server.url()})
	p, err := c.Prepare(Generate{Endpoint: Chat, Prompt: "p", MaxTokens: 4, IgnoreEOS: true})
	if err != nil {
		t.Fatal(err)
	}
	burst := func() {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				r := c.Send(t.Context(), p)
				if !r.Success || r.ConnectedNS == nil || *r.ConnectedNS > r.SentNS {
					t.Errorf("%s %s, connected %v, sent %d", r.Error, r.Message, r.ConnectedNS, r.SentNS)
				}
			})
		}
		wg.Wait()
	}
	conns := func() int {
		server.mu.Lock()
		defer server.mu.Unlock()
		return server.conns
	}
	for round := range 3 {
		if err := c.Open(t.Context(), 8); err != nil {
			t.Fatal(err)
		}
		if len(c.streams.idle) != 8 {
			t.Fatalf("%d connections are open, want 8", len(c.streams.idle))
		}
		burst()
		if want := 8 * (round + 1); conns() != want || server.seen() != want {
			t.Fatalf("round %d: %d connections and %d requests, want %d of each", round, conns(), server.seen(), want)
		}
		time.Sleep(300 * time.Millisecond) // the server closes them all
	}
	if err := c.Open(t.Context(), 8); err != nil {
		t.Fatal(err)
	}
	burst()
	if err := c.Open(t.Context(), 8); err != nil { // at once: none is closed yet
		t.Fatal(err)
	}
	if conns() != 32 {
		t.Errorf("%d connections, want 32: live ones are to be kept", conns())
	}
}

// TestRedirects: the same origin is followed once, with body and key; another origin never is.
func TestRedirects(t *testing.T) {
	other := startReplay(t, func(string) ([]byte, []directive) { return []byte(stream(4)), nil })
	for name, tc := range map[string]struct {
		location string
		status   int
		success  bool
		requests int
	}{
		"same origin":     {"/elsewhere", 308, true, 2},
		"same path":       {"", 307, false, 1},
		"loop":            {"/v1/chat/completions?again", 307, false, 2},
		"another host":    {other.url() + "/v1/chat/completions", 307, false, 1},
		"another scheme":  {"https://127.0.0.1/", 307, false, 1},
		"method may drop": {"/elsewhere", 302, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			server := startReplay(t, func(path string) ([]byte, []directive) {
				if path == "/elsewhere" {
					return []byte(stream(4)), nil
				}
				return fmt.Appendf(nil, "HTTP/1.1 %d Moved\r\nlocation: %s\r\ncontent-length: 0\r\n\r\n", tc.status, tc.location), nil
			})
			c := newClient(t, Options{BaseURL: server.url(), APIKey: "sk-1"})
			r := send(t, c, Generate{Endpoint: Chat, Prompt: "p", MaxTokens: 4, IgnoreEOS: true})
			if r.Success != tc.success || server.seen() != tc.requests {
				t.Errorf("success %v (%s), %d requests; want %v, %d", r.Success, r.Message, server.seen(), tc.success, tc.requests)
			}
			if tc.success && (len(server.bodies[1]) == 0 || server.requests[1].Header.Get("Authorization") != "Bearer sk-1") {
				t.Error("body or key were lost on the way")
			}
		})
	}
	if other.seen() != 0 {
		t.Errorf("another origin saw %d requests", other.seen())
	}
}

// TestNoSecrets: neither key nor prompt is ever repeated in a message, however a server quotes them.
func TestNoSecrets(t *testing.T) {
	const prompt, key = "a long prompt about nothing in particular", "sk-very-secret"
	for _, text := range []string{
		"bad key sk-very-secret, cannot go on",
		"1 validation error: {'input': '" + prompt + "'}",
		"you sent: " + prompt[:30] + "...",
		"\x1b[31mred\x1b[0m\x07 and\nlines\r\n" + strings.Repeat("x", 500) + "日本",
	} {
		body, _ := json.Marshal(map[string]any{"error": map[string]any{"message": text}})
		server := startReplay(t, func(string) ([]byte, []directive) {
			return fmt.Appendf(nil, "HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n%s", len(body), body), nil
		})
		c := newClient(t, Options{BaseURL: server.url(), APIKey: key})
		r := send(t, c, Generate{Endpoint: Chat, Prompt: prompt, MaxTokens: 4})
		checkMessage(t, &r)
		if strings.Contains(r.Message, key) || strings.Contains(r.Message, "about nothing") || !strings.HasPrefix(r.Message, "HTTP 400: ") {
			t.Errorf("message %q", r.Message)
		}
	}
}

// TestTLS goes through a TLS server and, for the second time, through a proxy's tunnel.
func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, body, _ := strings.Cut(stream(4), "\r\n\r\n")
		for line := range strings.Lines(body) {
			if strings.HasPrefix(line, "data: ") {
				io.WriteString(w, line+"\n")
				w.(http.Flusher).Flush()
			}
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	var tunnels int
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") == "" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		tunnels++
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			return
		}
		defer up.Close()
		// Taken over before the answer: the server would read on, and keep what the client says next.
		down, early, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer down.Close()
		io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
		go io.Copy(up, early)
		io.Copy(down, up)
	}))
	defer proxy.Close()

	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c := newClient(t, Options{BaseURL: server.URL})
	if r := send(t, c, Generate{Endpoint: Chat, Prompt: "p", MaxTokens: 4}); r.Error != record.ErrRefused || !strings.Contains(r.Message, "certificate") {
		t.Errorf("an unknown certificate: %s %s", r.Error, r.Message)
	}
	c.streams.dialer.tls.RootCAs = roots
	for _, via := range []string{"", proxy.URL} {
		if via != "" {
			c.streams.close()
			u, _ := url.Parse(via)
			u.User = url.UserPassword("u", "p")
			d := *c.streams.dialer
			d.proxy = u
			c.streams = &pool{dialer: &d}
		}
		if err := c.Open(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if r := send(t, c, Generate{Endpoint: Chat, Prompt: "p", MaxTokens: 4, IgnoreEOS: true}); !r.Success {
				t.Errorf("via %q: %s %s", via, r.Error, r.Message)
			}
		}
	}
	if tunnels != 1 {
		t.Errorf("%d tunnels for two requests on a kept connection", tunnels)
	}
}

func TestPlainProxy(t *testing.T) {
	proxy := startReplay(t, func(string) ([]byte, []directive) { return []byte(stream(4)), nil })
	c := newClient(t, Options{BaseURL: "http://vllm.example:8000/pre"})
	c.streams.dialer.proxy, _ = url.Parse(proxy.url())
	if r := send(t, c, Generate{Endpoint: Chat, Prompt: "p", MaxTokens: 4, IgnoreEOS: true}); !r.Success {
		t.Fatalf("%s %s", r.Error, r.Message)
	}
	if got := proxy.requests[0].RequestURI; got != "http://vllm.example:8000/pre/v1/chat/completions" {
		t.Errorf("the proxy was asked for %s", got)
	}
}

// TestWait is on virtual time: a server that refuses for 90 s and then loads for 10 s more.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		dial := func(context.Context, string, string) (net.Conn, error) {
			if time.Since(start) < 90*time.Second {
				return nil, errors.New("refused")
			}
			return pipeServer(func(net.Conn) string {
				if time.Since(start) < 100*time.Second {
					return "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
				}
				return "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
			}), nil
		}
		c := newClient(t, Options{BaseURL: "http://sim", Dial: dial})
		defer c.Close()
		if err := c.Wait(t.Context(), 30*time.Second, nil); err == nil || time.Since(start) > 31*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		told := 0
		err := c.Wait(t.Context(), 10*time.Minute, func(time.Duration, error) { told++ })
		if age := time.Since(start); err != nil || age < 100*time.Second || age > 102*time.Second || told < 60 {
			t.Errorf("ready after %s, told %d times: %v", age, told, err)
		}
	})
}

// pipeServer is one in-memory connection whose every request is answered by reply, which may also
// write to the connection itself.
func pipeServer(reply func(net.Conn) string) net.Conn {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		br := bufio.NewReader(server)
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			if _, err := io.WriteString(server, reply(server)); err != nil {
				return
			}
		}
	}()
	return client
}

// TestVirtualTime: on a virtual clock every stamp is exact, and so is the limit of a stalled
// request.
func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		whole := stream(5)
		head, rest, _ := strings.Cut(whole, "\r\n\r\n")
		stalls := false
		dial := func(context.Context, string, string) (net.Conn, error) {
			return pipeServer(func(c net.Conn) string {
				time.Sleep(time.Millisecond)
				io.WriteString(c, head+"\r\n\r\n")
				left := []byte(rest)
				for i := 0; len(left) > 0 && !bytes.HasPrefix(left, []byte("0\r\n")); i++ {
					n := chunkEnd(left)
					time.Sleep(10 * time.Millisecond)
					if _, err := c.Write(left[:n]); err != nil {
						return ""
					}
					left = left[n:]
					if stalls && i == 2 {
						time.Sleep(time.Hour)
					}
				}
				return string(left)
			}), nil
		}
		c := newClient(t, Options{BaseURL: "http://sim", Timeout: time.Minute, Dial: dial})
		defer c.Close()
		if err := c.Open(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		r := send(t, c, Generate{Endpoint: Chat, Prompt: "p", MaxTokens: 5, IgnoreEOS: true})
		ttft, _ := r.TTFT()
		tpot, _ := r.TPOT()
		if !r.Success || ttft != 21*time.Millisecond || tpot != 10*time.Millisecond || r.Coalesced != 0 || *r.HeadersNS-r.SentNS != int64(time.Millisecond) {
			t.Errorf("%s %s: TTFT %s, TPOT %s, %d coalesced", r.Error, r.Message, ttft, tpot, r.Coalesced)
		}
		stalls = true
		r = send(t, c, Generate{Endpoint: Chat, Prompt: "p", MaxTokens: 5, IgnoreEOS: true})
		if r.Error != record.ErrTimeout || r.EndNS-r.SentNS != int64(time.Minute) || r.CountedTokens != 2 {
			t.Errorf("%s %s after %s", r.Error, r.Message, time.Duration(r.EndNS-r.SentNS))
		}
		time.Sleep(time.Hour) // let the stalled server end
	})
}
