package sim

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	conn, err := s.Dial(t.Context(), "tcp", "sim:80")
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestConnectionHabits(t *testing.T) {
	const get = "GET /version HTTP/1.1\r\nHost: sim\r\n\r\n"
	for _, c := range []struct{ name, send, want string }{
		{"close when asked", "GET /version HTTP/1.1\r\nConnection: close\r\n\r\n", "vary: Origin\r\nconnection: close\r\n\r\n{\"version\":\"0.32.0\"}"},
		{"not HTTP", "nonsense\r\n\r\n", "Invalid HTTP request received."},
		{"one after the other", get + get, "{\"version\":\"0.32.0\"}"},
		{"old HTTP", "GET /version HTTP/1.0\r\n\r\n", "{\"version\":\"0.32.0\"}"},
		{"head", "HEAD /version HTTP/1.1\r\nConnection: close\r\n\r\n", "405 Method Not Allowed"},
		{"continue", "POST /tokenize HTTP/1.1\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"prompt\":\"x\"}", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"},
		{"chunked body", "POST /tokenize HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\ne\r\n{\"prompt\":\"x\"}\r\n0\r\n\r\n", `"count":2`},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, "sim:", func(t *testing.T, s *Server) {
				conn := dial(t, s)
				defer conn.Close()
				if _, err := io.WriteString(conn, c.send); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				got, err := io.ReadAll(conn) // ends when the server closes, at the latest after its keep-alive
				if err != nil || !strings.Contains(string(got), c.want) {
					t.Errorf("got %q, %v; want a text with %q", got, err, c.want)
				}
				if idle := time.Since(start); idle != 0 && idle != keepAlive {
					t.Errorf("the connection was closed after %v", idle)
				}
				if c.name == "one after the other" && strings.Count(string(got), "200 OK") != 2 {
					t.Errorf("two requests in one write got %q", got)
				}
			})
		})
	}
}

// A fresh connection may wait as long as it likes for its first request; after a reply it is closed
// when it has been idle for five seconds.
func TestKeepAlive(t *testing.T) {
	bubble(t, "sim:", func(t *testing.T, s *Server) {
		conn := dial(t, s)
		defer conn.Close()
		in := bufio.NewReader(conn)
		for _, pause := range []time.Duration{time.Minute, 4 * time.Second} {
			time.Sleep(pause)
			if _, err := io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: sim\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(in, nil)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("after %v: %v", pause, err)
			}
		}
		start := time.Now()
		if _, err := in.ReadByte(); !errors.Is(err, io.EOF) || time.Since(start) != keepAlive {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// Opener and first token, and the last token with all that ends a stream, come in one read each.
func TestEventsOfOneStepComeInOneRead(t *testing.T) {
	bubble(t, "sim:", func(t *testing.T, s *Server) {
		conn := dial(t, s)
		defer conn.Close()
		body := `{"stream":true,"stream_options":{"include_usage":true},` + chatFields(1, 20, 3) + `}`
		if _, err := io.WriteString(conn, rawRequest("POST", chatPath, body, jsonType)); err != nil {
			t.Fatal(err)
		}
		var events []int
		for buf := make([]byte, 1<<16); ; {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, strings.Count(string(buf[:n]), "data: "))
			if strings.HasSuffix(string(buf[:n]), "0\r\n\r\n") {
				break
			}
		}
		// headers; opener + token; token; token + usage + [DONE]. The zero chunk may come by itself.
		if len(events) > 4 && events[len(events)-1] == 0 {
			events = events[:len(events)-1]
		}
		if want := []int{0, 2, 1, 3}; len(events) != len(want) || events[0] != 0 || events[1] != 2 || events[2] != 1 || events[3] != 3 {
			t.Errorf("events a read: %v, want %v", events, want)
		}
	})
}

func TestPipeIsLikeASocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe()
		for _, s := range []string{"one ", "two"} {
			if n, err := a.Write([]byte(s)); n != len(s) || err != nil {
				t.Fatal(n, err)
			}
		}
		buf := make([]byte, 100)
		if n, err := b.Read(buf); string(buf[:n]) != "one two" || err != nil {
			t.Errorf("writes not read yet do not coalesce: %q, %v", buf[:n], err)
		}

		start := time.Now()
		_ = b.SetReadDeadline(start.Add(time.Second))
		if _, err := b.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("deadline: %v after %v", err, time.Since(start))
		}
		_ = b.SetReadDeadline(time.Time{})
		go func() {
			time.Sleep(time.Second)
			_, _ = a.Write([]byte("late"))
		}()
		if n, err := b.Read(buf); string(buf[:n]) != "late" || err != nil {
			t.Errorf("after a deadline: %q, %v", buf[:n], err)
		}

		// A full buffer holds the writer up until the reader makes room.
		big := make([]byte, pipeCapacity+10)
		_ = a.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := a.Write(big); n != pipeCapacity || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("full: wrote %d, %v", n, err)
		}
		_ = a.SetWriteDeadline(time.Time{})
		if n, err := io.ReadFull(b, big[:pipeCapacity]); err != nil {
			t.Error(n, err)
		}

		// The writer's end lets the reader drain; the other way writes fail.
		_, _ = a.Write([]byte("last"))
		_ = a.Close()
		if n, err := b.Read(buf); string(buf[:n]) != "last" || err != nil {
			t.Errorf("drain: %q, %v", buf[:n], err)
		}
		if _, err := b.Read(buf); !errors.Is(err, io.EOF) {
			t.Errorf("end: %v", err)
		}
		if _, err := b.Write(buf); err == nil {
			t.Error("a write to a closed peer succeeds")
		}
		if _, err := a.Read(buf); !errors.Is(err, net.ErrClosed) {
			t.Errorf("reading a closed end: %v", err)
		}
		_ = b.Close()
	})
}

// The same API on a real port, and under another HTTP server; in real time.
func TestRealTime(t *testing.T) {
	target := "sim:gpu=h100-sxm,model=meta-llama/Llama-3.2-1B-Instruct"
	s, err := New(parse(t, target))
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- s.Serve(listener) }()
	other := httptest.NewServer(s.Handler())

	for _, address := range []string{listener.Addr().String(), other.Listener.Addr().String()} {
		transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}
		start := time.Now()
		a, err := ask(t.Context(), &http.Client{Transport: transport}, chatPath, chatFields(1, 100, 20))
		if err != nil || a.completion != 20 || !a.done {
			t.Errorf("%+v, %v", a, err)
		}
		if took := time.Since(start); took < 20*time.Millisecond {
			t.Errorf("20 tokens took %v in real time", took)
		}
		transport.CloseIdleConnections()
	}
	other.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
	if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("a closed server serves: %v", err)
	}
}

// What the simulator does not do it says, instead of answering something else.
func TestUnsupportedIsSaid(t *testing.T) {
	bubble(t, "sim:", func(t *testing.T, s *Server) {
		for field, value := range map[string]string{
			"n": "2", "stop": `["x"]`, "logprobs": "true", "echo": "true", "logit_bias": `{"106":100}`,
			"prompt": `["a","b"]`, "response_format": `{"type":"json_object"}`,
		} {
			body := `{"` + field + `":` + value + `}`
			if field != "prompt" {
				body = `{"prompt":"x",` + body[1:]
			}
			if got := raw(t, s, "POST", completionsPath, body, jsonType); !strings.HasPrefix(got, "HTTP/1.1 400") || !strings.Contains(got, "does not support") {
				t.Errorf("%s: %s", body, got)
			}
		}
		if got := raw(t, s, "POST", completionsPath, `{"prompt":"x","max_tokens":1,"n":1,"stop":null,"logprobs":null,"response_format":{"type":"text"},"top_p":0.5}`, jsonType); !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Errorf("harmless members are refused: %s", got)
		}
	})
}

func FuzzRequestBody(f *testing.F) {
	for _, s := range []string{`{"prompt":"x"}`, `{"prompt":[1,2]}`, `{"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}`, `[`, `{"max_tokens":1e99}`, `{"prompt":[[1],[2]],"stream":true}`} {
		f.Add(s)
	}
	s, err := New(parse(f, "sim:"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, chat := range []bool{false, true} {
			fields, bad := readFields("application/json", []byte(body))
			if bad == nil {
				x := &exchange{r: httptest.NewRequest("POST", chatPath, nil)}
				var g *generation
				if g, bad = s.parseGeneration(x, fields, chat); bad == nil && (len(g.request.prompt) == 0 || g.request.maxTokens < 1) {
					t.Errorf("%q is accepted with %d tokens of prompt and %d to make", body, len(g.request.prompt), g.request.maxTokens)
				}
			}
			if bad != nil && (bad.status < 400 || bad.message == "") {
				t.Errorf("%q: %+v", body, bad)
			}
		}
	})
}
