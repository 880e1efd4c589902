package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// logFrom reads a request log in the order of arrival.
func logFrom(t *testing.T, b []byte) []LogEntry {
	t.Helper()
	var list []LogEntry
	for line := range bytes.Lines(b) {
		var e LogEntry
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e.Schema != SchemaLog || e.EndedNS < e.ArrivedNS {
			t.Errorf("entry %s", line)
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b LogEntry) int { return int(a.ArrivedNS - b.ArrivedNS) })
	return list
}

// No client sees a token before the log says that it was written, and both count the same tokens: over TCP in real time,
// with a client that shares no code with the server.
func TestLogIsTrueToAClient(t *testing.T) {
	s, err := New(parse(t, "sim:gpu=h100-sxm,model=google/gemma-3-1b-it"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s.LogRequests(&log)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	transport := &http.Transport{}
	transport.DialContext = (&net.Dialer{}).DialContext
	c := &http.Client{Transport: rewrite{transport, l.Addr().String()}}

	var answers []answer
	for i := range 8 { // one after the other, so that the order tells which is which
		a, err := ask(t.Context(), c, []string{chatPath, "/v1/completions"}[i%2], requestFields(i, 20+i, 30+3*i))
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	transport.CloseIdleConnections()
	if err := errors.Join(s.Close(), <-served); err != nil {
		t.Fatal(err)
	}
	entries := logFrom(t, log.Bytes())
	if len(entries) != len(answers) {
		t.Fatalf("%d entries for %d requests", len(entries), len(answers))
	}
	for i, e := range entries {
		a := answers[i]
		if e.PromptTokens != a.prompt || e.OutputTokens != a.completion || e.TokenWrites > a.chunks || e.FinishReason != a.finish ||
			e.Outcome != OutcomeWhole || e.Status != http.StatusOK || !e.Stream {
			t.Errorf("request %d: the client saw %+v, the log %+v", i, a, e)
		}
		if first, last := time.Duration(*e.FirstWriteNS-e.ArrivedNS), time.Duration(*e.LastWriteNS-e.ArrivedNS); a.first < first || a.last < last || *e.ScheduledNS < e.ArrivedNS {
			t.Errorf("request %d: the client saw tokens after %v … %v, the log wrote them after %v … %v", i, a.first, a.last, first, last)
		}
	}
}

// rewrite sends the requests of a test's helper, which name no real host, to an address.
type rewrite struct {
	http.RoundTripper
	addr string
}

func (r rewrite) RoundTrip(req *http.Request) (*http.Response, error) {
	req.URL.Host = r.addr
	return r.RoundTripper.RoundTrip(req)
}

// requestFields suit both endpoints.
func requestFields(seed, prompt, output int) string {
	return chatFields(seed, prompt, output) + `,"prompt":"` + words(seed, prompt) + `"`
}

// On virtual time nothing lies between a write and its read: the log and the client agree to the nanosecond.
func TestLogInVirtualTime(t *testing.T) {
	for _, test := range []struct {
		target  string
		outcome Outcome
		tokens  int // written
	}{
		{"sim:", OutcomeWhole, 20},
		{"sim:in-band-error=1", OutcomeFault, 10},
		{"sim:reset=1", OutcomeFault, 10},
		{"sim:die-at=1,return=1s", OutcomeEngineDied, 0},
		{"sim:http-429=1", OutcomeRefused, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, err := New(parse(t, test.target))
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s.LogRequests(&log)
			s.Start()
			c, done := client(s)
			a, _ := ask(t.Context(), c, chatPath, chatFields(1, 40, 20))
			done()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			entries := logFrom(t, log.Bytes())
			if len(entries) != 1 {
				t.Fatalf("%s: %d entries", test.target, len(entries))
			}
			e := entries[0]
			if e.Outcome != test.outcome || e.OutputTokens != test.tokens || e.TokenWrites != test.tokens || (e.FinishReason != "") != (e.Outcome == OutcomeWhole) {
				t.Errorf("%s: %+v", test.target, e)
			}
			if test.tokens == 0 {
				if e.FirstWriteNS != nil || e.LastWriteNS != nil {
					t.Errorf("%s: tokens were written: %+v", test.target, e)
				}
				return
			}
			if first, last := *e.FirstWriteNS-e.ArrivedNS, *e.LastWriteNS-e.ArrivedNS; first != int64(a.first) || last != int64(a.last) {
				t.Errorf("%s: the client saw tokens after %v … %v, the log has %d … %d", test.target, a.first, a.last, first, last)
			}
		})
	}
}

// A client that leaves, and an answer without streaming.
func TestLogOfOtherAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(parse(t, "sim:"))
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		s.LogRequests(&log)
		s.Start()
		c, done := client(s)
		c.Timeout = time.Second
		if _, err := ask(t.Context(), c, chatPath, chatFields(1, 40, 2000)); err == nil {
			t.Error("no timeout")
		}
		c.Timeout = time.Minute
		resp, err := c.Post("http://sim/v1/completions", "application/json", strings.NewReader(`{"prompt":"a","max_tokens":20,"ignore_eos":true}`))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp, err = c.Post("http://sim/v1/completions", "application/json", strings.NewReader(`{"prompt":"a","max_tokens":-1}`)); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		done()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		e := logFrom(t, log.Bytes())
		if len(e) != 3 {
			t.Fatalf("%d entries", len(e))
		}
		if e[0].Outcome != OutcomeClientGone || e[0].OutputTokens == 0 || e[0].FinishReason != "" {
			t.Errorf("a client that left: %+v", e[0])
		}
		if e[1].Outcome != OutcomeWhole || e[1].Stream || e[1].TokenWrites != 1 || e[1].OutputTokens != 20 || *e[1].FirstWriteNS != *e[1].LastWriteNS {
			t.Errorf("without streaming: %+v", e[1])
		}
		if e[2].Outcome != OutcomeRefused || e[2].Status != http.StatusBadRequest || e[2].ID != "" {
			t.Errorf("a refusal: %+v", e[2])
		}
	})
}

// A log that cannot be written is said once, and holds nobody up.
func TestLogThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(parse(t, "sim:"))
		if err != nil {
			t.Fatal(err)
		}
		full := errors.New("no space left")
		r, w := io.Pipe()
		r.CloseWithError(full)
		s.LogRequests(w)
		s.Start()
		checkAnswers(t, burst(t, s, 2, func(i int) string { return chatFields(i, 40, 20) }), 40, 20)
		if err := s.Close(); !errors.Is(err, full) || !strings.Contains(err.Error(), "request log") {
			t.Errorf("got %v", err)
		}
	})
}
