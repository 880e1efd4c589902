package vllm

import (
	"errors"
	"strings"
	"testing"

	"bench/internal/record"
)

// TestRealServer replays what a real vLLM 0.32.0 sent, byte for byte.
func TestRealServer(t *testing.T) {
	for _, tc := range []struct {
		file, endpoint      string
		asked               int
		class               record.ErrorClass
		counted, completion int // completion -1: no usage
		finish              string
	}{
		{"chat-stream-usage", Chat, 8, "", 8, 8, "length"},
		{"chat-stream-plain", Chat, 4, "", 4, -1, "length"},
		{"completions-stream-ids", Completions, 4, "", 4, 4, "length"},
		{"clamp-ids-4095-plus-200-stream", Completions, 200, record.ErrShortOutput, 1, 1, "length"},
		{"sigterm-midstream-chat", Chat, 200, record.ErrInBand, 52, 52, "abort"},
		{"enginekill-chat-stream", Chat, 200, record.ErrEngineDead, 11, -1, ""},
		{"apikill-chat-stream", Chat, 400, record.ErrTruncated, 219, -1, ""},
		{"err-token-out-of-vocab-stream", Completions, 8, record.ErrInBand, 0, -1, ""},
		{"err-too-long-chat", Chat, 8, record.ErrContextLength, 0, -1, ""},
		{"err-bad-key", Chat, 8, record.ErrHTTP4xx, 0, -1, ""},
		{"err-unknown-model", Chat, 8, record.ErrHTTP4xx, 0, -1, ""},
		{"err-queue-full-stream", Chat, 8, record.ErrHTTP5xx, 0, -1, ""},
		{"enginekill-completion-nonstream", Completions, 8, record.ErrEngineDead, 0, -1, ""},
	} {
		t.Run(tc.file, func(t *testing.T) {
			data, _ := readReply(t, "testdata/real", tc.file)
			server := startReplay(t, func(string) ([]byte, []directive) {
				return data, []directive{{verb: "rest"}, {verb: "close"}}
			})
			c := newClient(t, Options{BaseURL: server.url()})
			p, err := c.Prepare(Generate{Endpoint: tc.endpoint, Prompt: "p", MaxTokens: tc.asked, IgnoreEOS: true})
			if err != nil {
				t.Fatal(err)
			}
			r := c.Send(t.Context(), p)
			if r.Error != tc.class || r.CountedTokens != tc.counted || r.FinishReason != tc.finish {
				t.Errorf("class %q (%s), %d tokens, finish %q; want %q, %d, %q",
					r.Error, r.Message, r.CountedTokens, r.FinishReason, tc.class, tc.counted, tc.finish)
			}
			if got := r.CompletionTokens; (got == nil) != (tc.completion < 0) || got != nil && *got != tc.completion {
				t.Errorf("usage says %s, want %d", show(got), tc.completion)
			}
			checkLaws(t, &r)
			checkMessage(t, &r)
		})
	}
}

// TestRealControl asks for everything that is no stream, answered with the real server's bytes.
func TestRealControl(t *testing.T) {
	files := map[string]string{"/v1/models": "models", "/version": "version", "/health": "health", "/metrics": "metrics-preemption", "/tokenize": "tokenize-chat"}
	server := startReplay(t, func(path string) ([]byte, []directive) {
		data, _ := readReply(t, "testdata/real", files[path])
		return data, nil
	})
	c := newClient(t, Options{BaseURL: server.url() + "/v1/", Model: "tiny-gemma"})
	s, err := c.Server(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.ServedModel != "tiny-gemma" || s.ModelRoot != "models/gemma3_text" || s.MaxModelLen != 4096 || s.EngineVersion != "0.32.0" ||
		s.Healthy == nil || !*s.Healthy || !s.HasMetrics || !s.HasTokenize || s.CacheConfig["block_size"] != "128" {
		t.Errorf("got %+v", s)
	}
	if n, err := c.CountTokens(t.Context(), Chat, "p"); n != 11 || err != nil {
		t.Errorf("CountTokens: %d, %v; want 11", n, err)
	}
	m, err := c.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if *m.Running != 4 || *m.Preemptions != 3 || *m.PromptTokens != 9658 || *m.GenerationTokens != 4088 || *m.FinishedRequests != 20 ||
		*m.PrefixQueries != 9658 || *m.PrefixHits != 0 || m.Swapped != nil {
		t.Errorf("got %+v", m)
	}
}

// TestNoSuchServer holds the one line a user gets for a server that is none.
func TestNoSuchServer(t *testing.T) {
	ok := func(ctype, body string) string {
		return "HTTP/1.1 200 OK\r\ncontent-type: " + ctype + "\r\nconnection: close\r\n\r\n" + body
	}
	for name, tc := range map[string]struct{ reply, want string }{
		"web page":      {ok("text/html", "<!DOCTYPE html><html><title>Router</title></html>"), "a web page, titled Router"},
		"other JSON":    {ok("application/json", `{"hello":1}`), "a list without models"},
		"text":          {ok("text/plain", "hello"), "no list of models"},
		"not found":     {"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "answers 404"},
		"key wanted":    {"HTTP/1.1 401 Unauthorized\r\ncontent-length: 24\r\n\r\n{\"error\":\"Unauthorized\"}", "VLLM_API_KEY"},
		"moved":         {"HTTP/1.1 301 Moved\r\nlocation: http://elsewhere.invalid/\r\ncontent-length: 0\r\n\r\n", "redirects elsewhere"},
		"not HTTP":      {"SSH-2.0-OpenSSH_9.6\r\n", "malformed"},
		"two models":    {ok("application/json", `{"data":[{"id":"a","root":"x"},{"id":"b","root":"y"}]}`), "several models (a, b)"},
		"only adapters": {ok("application/json", `{"data":[{"id":"a","parent":"x"}]}`), "only adapters"},
	} {
		t.Run(name, func(t *testing.T) {
			server := startReplay(t, func(string) ([]byte, []directive) { return []byte(tc.reply), nil })
			o := Options{BaseURL: server.url(), Model: "-"}
			c := newClient(t, o)
			c.asked = ""
			_, err := c.Server(t.Context())
			if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want a line with %q", err, tc.want)
			}
		})
	}
}
