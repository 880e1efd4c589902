package vllm

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"bench/internal/record"
)

// TestFailures goes through every way a request can fail, holds class and message of each, and that
// none leaves a goroutine or is tried twice.
func TestFailures(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
	const chunked = ok + "transfer-encoding: chunked\r\n\r\n"
	token := "3c\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}             \n\n\r\n"
	hang := []directive{{verb: "rest"}, {verb: "stall", wait: 20 * time.Second}}
	cut := []directive{{verb: "rest"}, {verb: "close"}}
	reset := []directive{{verb: "rest"}, {verb: "pause", wait: 30 * time.Millisecond}, {verb: "reset"}}
	for name, tc := range map[string]struct {
		reply string
		ctl   []directive
		class record.ErrorClass
		text  string
	}{
		"closes without an answer": {"", cut, record.ErrReset, "without an answer"},
		"resets without an answer": {"", []directive{{verb: "reset"}}, record.ErrReset, "reset"},
		"no answer":                {"", hang, record.ErrTimeout, "within 300ms"},
		"cut head":                 {ok, cut, record.ErrTruncated, "in the middle"},
		"endless head":             {ok + strings.Repeat("x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", 1<<15), cut, record.ErrBadPayload, "larger than 1 MiB"},
		"endless interim answers":  {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20), hang, record.ErrBadPayload, "framing"},
		"no HTTP":                  {"220 mail.example ESMTP\r\n", cut, record.ErrBadPayload, "malformed"},
		"stall after headers":      {chunked, hang, record.ErrTimeout, "within"},
		"stall in mid-stream":      {chunked + token, hang, record.ErrTimeout, "within"},
		"cut in mid-stream":        {chunked + token, cut, record.ErrTruncated, "in the middle"},
		"reset in mid-stream":      {chunked + token, reset, record.ErrReset, "reset"},
		"broken framing":           {chunked + token + "zz\r\n", hang, record.ErrBadPayload, "framing"},
		"huge chunk size":          {chunked + "ffffffffffffffffff\r\n", hang, record.ErrBadPayload, "framing"},
		"length not kept":          {ok + "content-length: 5000\r\n\r\ndata: x\n\n", cut, record.ErrTruncated, "in the middle"},
		"empty":                    {ok + "content-length: 0\r\n\r\n", nil, record.ErrTruncated, "empty"},
		"web page":                 {ok + "content-length: 13\r\n\r\n<html></html>", nil, record.ErrBadPayload, "a web page"},
		"only [DONE]":              {ok + "content-length: 14\r\n\r\ndata: [DONE]\n\n", nil, record.ErrShortOutput, "without a token"},
		"other encoding":           {ok + "content-encoding: br\r\ncontent-length: 1\r\n\r\nx", nil, record.ErrBadPayload, "Content-Encoding"},
		"no gzip":                  {ok + "content-encoding: gzip\r\ncontent-length: 20\r\n\r\nxxxxxxxxxxxxxxxxxxxx", nil, record.ErrBadPayload, "gzip"},
		"no content":               {"HTTP/1.1 204 No Content\r\n\r\n", nil, record.ErrBadPayload, "HTTP 204"},
		"dead engine":              {"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", nil, record.ErrEngineDead, "engine is dead"},
		"cut error":                {"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 50\r\n\r\n{", cut, record.ErrTruncated, "in the middle"},
	} {
		t.Run(name, func(t *testing.T) {
			leaks := goleak.IgnoreCurrent()
			t.Run("attempt", func(t *testing.T) {
				server := startReplay(t, func(string) ([]byte, []directive) { return []byte(tc.reply), tc.ctl })
				c := newClient(t, Options{BaseURL: server.url(), Timeout: 300 * time.Millisecond})
				r := send(t, c, Generate{Endpoint: Chat, Prompt: "p", MaxTokens: 4, IgnoreEOS: true})
				if r.Error != tc.class || !strings.Contains(r.Message, tc.text) {
					t.Errorf("class %q, %q; want %q, … %s …", r.Error, r.Message, tc.class, tc.text)
				}
				if server.seen() != 1 {
					t.Errorf("the server saw %d requests", server.seen())
				}
				checkLaws(t, &r)
				checkMessage(t, &r)
			})
			goleak.VerifyNone(t, leaks)
		})
	}
}

// TestConnectFailures never reach a server.
func TestConnectFailures(t *testing.T) {
	hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	fail := func(err error) func(context.Context, string, string) (net.Conn, error) {
		return func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
		}
	}
	for name, tc := range map[string]struct {
		dial  func(context.Context, string, string) (net.Conn, error)
		class record.ErrorClass
		text  string
	}{
		"hangs":        {hang, record.ErrTimeout, "no connection to http://host:1"},
		"refused":      {fail(syscall.ECONNREFUSED), record.ErrRefused, "--wait"},
		"unknown host": {fail(&net.DNSError{Err: "no such host", Name: "host", IsNotFound: true}), record.ErrRefused, "not known"},
		"no route":     {fail(syscall.EHOSTUNREACH), record.ErrRefused, "no route to host"},
		"no files":     {fail(syscall.EMFILE), record.ErrRefused, "ulimit"},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			c := newClient(t, Options{BaseURL: "http://host:1", Dial: tc.dial})
			c.streams.dialer.limit = 50 * time.Millisecond
			r := send(t, c, Generate{Endpoint: Chat, Prompt: "p", MaxTokens: 4})
			if r.Error != tc.class || !strings.Contains(r.Message, tc.text) || r.HTTPStatus != 0 || r.SentNS != r.EndNS {
				t.Errorf("class %q, %q; want %q, … %s …: %+v", r.Error, r.Message, tc.class, tc.text, r)
			}
			if err := c.Open(t.Context(), 3); err == nil || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("Open: %v", err)
			}
		})
	}
}

// TestCancel ends a request in every state it can be in.
func TestCancel(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("attempts", func(t *testing.T) {
		head := "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
		for _, reply := range []string{"", head, head + "5\r\ndata:"} {
			server := startReplay(t, func(string) ([]byte, []directive) {
				return []byte(reply), []directive{{verb: "rest"}, {verb: "stall", wait: 20 * time.Second}}
			})
			c := newClient(t, Options{BaseURL: server.url()})
			p, err := c.Prepare(Generate{Endpoint: Chat, Prompt: "p", MaxTokens: 4})
			if err != nil {
				t.Fatal(err)
			}
			for _, early := range []bool{false, true} {
				ctx, cancel := context.WithCancel(t.Context())
				if early {
					cancel()
				}
				timer := time.AfterFunc(50*time.Millisecond, cancel)
				if r := c.Send(ctx, p); r.Error != record.ErrCancelled {
					t.Errorf("%q: %s %s", reply, r.Error, r.Message)
				}
				timer.Stop()
				cancel()
			}
			c.Close()
			if len(c.streams.idle) != 0 {
				t.Error("a connection with an answer on its way was kept")
			}
		}
	})
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                         "plain",
		"\x1b[1;31mred\x1b[0m":          "red",
		"\x1b]0;title\x07after":         "after",
		"a\r\n\tb\x00\x7f\u200b  c":     "a b c",
		"bad \xff bytes":                "bad \ufffd bytes",
		"\u202eright to left":           "right to left",
		strings.Repeat("é", 200):        strings.Repeat("é", 148) + "…",
		strings.Repeat("x", 299) + "日本": strings.Repeat("x", 297) + "…",
	} {
		if got := clean(in); got != want || len(got) > maxMessage {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// A prompt is cut out of a message wherever the quotation begins, and a key wherever it stands; what merely shares
// a few letters with the prompt stays.
func TestWithoutSecrets(t *testing.T) {
	const key, prompt = "sk-0123456789", "time year people way day man thing woman life child"
	for text, want := range map[string]string{
		"no: time year people way day":            "no: […]",
		"no: people way  day\nman thing":          "no: […]",
		"Bearer sk-0123456789 is wrong":           "Bearer [key] is wrong",
		"at this time of the year":                "at this time of the year",
		`{'type': 'x', 'input': {'a': 'secret'}}`: "{'type': 'x', […]",
		"": "",
	} {
		if got := withoutSecrets(text, key, prompt); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got := withoutSecrets("all is well here today", "", ""); got != "all is well here today" {
		t.Errorf("without secrets it became %q", got)
	}
}
