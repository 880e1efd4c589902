package sim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs f on virtual time with a started server of that target. Leaving it with anything still
// running is an error of synctest.
func bubble(t *testing.T, target string, f func(t *testing.T, s *Server)) {
	t.Helper()
	bubbleConfig(t, parse(t, target), f)
}

func bubbleConfig(t *testing.T, cfg Config, f func(t *testing.T, s *Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		defer s.Close()
		f(t, s)
	})
}

func parse(t testing.TB, target string) Config {
	t.Helper()
	cfg, err := ParseTarget(target)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// raw sends one request on a connection of its own and returns the answer's bytes.
func raw(t *testing.T, s *Server, method, path, body string, headers ...string) string {
	t.Helper()
	conn, err := s.Dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return rawOver(t, conn, method, path, body, headers...)
}

// rawOver is raw over a connection, which it closes.
func rawOver(t *testing.T, conn net.Conn, method, path, body string, headers ...string) string {
	t.Helper()
	defer conn.Close()
	if _, err := io.WriteString(conn, rawRequest(method, path, body, headers...)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	var got bytes.Buffer
	length := -1 // chunked
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("reading headers after %q: %v", got.String(), err)
		}
		got.WriteString(line)
		if v, ok := strings.CutPrefix(line, "content-length: "); ok {
			length, _ = strconv.Atoi(strings.TrimSpace(v))
		}
		if line == "\r\n" {
			break
		}
	}
	if method == http.MethodHead {
		return got.String()
	}
	if length >= 0 {
		if _, err := io.CopyN(&got, in, int64(length)); err != nil {
			t.Fatal(err)
		}
		return got.String()
	}
	for !strings.HasSuffix(got.String(), "\r\n0\r\n\r\n") {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("reading the body after %q: %v", got.String(), err)
		}
		got.WriteString(line)
	}
	return got.String()
}

func rawRequest(method, path, body string, headers ...string) string {
	request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: sim\r\n", method, path)
	if body != "" || method == http.MethodPost {
		request += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	for _, h := range headers {
		request += h + "\r\n"
	}
	return request + "\r\n" + body
}

const jsonType = "Content-Type: application/json"

// client is an HTTP client of the server; call done before the bubble ends.
func client(s *Server) (c *http.Client, done func()) {
	transport := &http.Transport{DialContext: s.Dial, IdleConnTimeout: 4 * time.Second}
	return &http.Client{Transport: transport}, transport.CloseIdleConnections
}

// answer is what a client saw of one streamed request.
type answer struct {
	headers, first, last time.Duration // since it was sent
	chunks               int           // with a choice, without the role-only opener
	empty                int           // of them without text
	text                 string
	finish               string
	stopReason           any
	prompt, completion   int
	done                 bool // [DONE] came
	fingerprint          string
}

// event is a test's own reading of a stream event.
type event struct {
	Choices []struct {
		Delta struct {
			Role    string  `json:"role"`
			Content *string `json:"content"`
		} `json:"delta"`
		Text         *string `json:"text"`
		FinishReason *string `json:"finish_reason"`
		StopReason   any     `json:"stop_reason"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Total      int `json:"total_tokens"`
	} `json:"usage"`
	Fingerprint string `json:"system_fingerprint"`
	Error       *struct{ Message string }
}

// ask streams one request. fields are JSON members besides stream and its options.
func ask(ctx context.Context, c *http.Client, path, fields string) (answer, error) {
	var a answer
	body := `{"stream":true,"stream_options":{"include_usage":true},` + fields + `}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sim"+path, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/json")
	start := time.Now()
	resp, err := c.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a.headers = time.Since(start)
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return a, fmt.Errorf("%s: %s", resp.Status, text)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			a.done = true
			continue
		}
		var e event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return a, fmt.Errorf("event %s: %w", data, err)
		}
		if e.Error != nil {
			return a, errors.New(e.Error.Message)
		}
		a.fingerprint += e.Fingerprint
		if e.Usage != nil {
			a.prompt, a.completion = e.Usage.Prompt, e.Usage.Completion
		}
		if len(e.Choices) == 0 || e.Choices[0].Delta.Role != "" {
			continue
		}
		choice := e.Choices[0]
		text := choice.Text
		if text == nil {
			text = choice.Delta.Content
		}
		if text == nil {
			return a, fmt.Errorf("event without text: %s", data)
		}
		if a.chunks == 0 {
			a.first = time.Since(start)
		}
		a.chunks++
		if *text == "" {
			a.empty++
		}
		a.text += *text
		a.last = time.Since(start)
		if choice.FinishReason != nil {
			a.finish, a.stopReason = *choice.FinishReason, choice.StopReason
		}
	}
	return a, lines.Err()
}

// words are n words of one token each, different for different seeds from the first word on.
func words(seed, n int) string {
	list := strings.Fields(commonWords)
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " %s", list[mix(uint64(seed)<<32|uint64(i))%uint64(len(list))])
	}
	return b.String()[1:]
}
