package vllm

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bench/internal/clock"
	"bench/internal/record"
)

// kindCase is a server of testdata/servers: what it sent is known to the byte, so is what has to be found in it.
type kindCase struct {
	folder, model string
	closes        bool // it closed the connection after a stream
	strict        bool // it refused vLLM's own fields
	want          record.Server
	lacks         []string // of /metrics
	tokens        int      // of "A the water" as a chat, by its own tokenizer; 0: it has none
}

var kindCases = []kindCase{
	{folder: "llama.cpp", model: "tiny.gguf", closes: true, tokens: 22,
		want: record.Server{Engine: record.EngineLlamaCpp, EngineVersion: "b0-unknown", ServedModel: "tiny.gguf", MaxModelLen: 2048, Slots: 4, HasMetrics: true, HasTokenize: true,
			IgnoresEOS: new(true), Stream: &record.Stream{Usage: true, Done: true, Tokens: new(32)}},
		lacks: []string{"kv_usage", "preemptions", "finished_requests", "ttft"}},
	// A gateway: the server behind it is not seen, and whether it honours ignore_eos did not show, because the model behind it
	// ends no answer early.
	{folder: "litellm", model: "tiny", want: record.Server{Gateway: "LiteLLM 1.108.7", ServedModel: "tiny", Stream: &record.Stream{Usage: true, Done: true, Tokens: new(32)}}},
	{folder: "transformers", model: "/srv/models/for-test/tiny-gemma", strict: true,
		want: record.Server{ServedModel: "/srv/models/for-test/tiny-gemma", IgnoresEOS: new(false), Stream: &record.Stream{Usage: true, Tokens: new(32)}}},
}

// TestServersOfOtherKinds: which server answers, what it has and what it lacks is found out from real servers' own
// bytes.
func TestServersOfOtherKinds(t *testing.T) {
	for _, tc := range kindCases {
		t.Run(tc.folder, func(t *testing.T) {
			folder := filepath.Join("testdata/servers", tc.folder)
			chats := 0
			server := startReplay(t, func(path string) ([]byte, []directive) {
				name := strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "-")
				if path == "/v1/chat/completions" {
					name = "chat"
					if chats++; tc.strict && chats > 1 {
						name = "chat-plain"
					}
				}
				if _, err := os.Stat(filepath.Join(folder, name+".http")); err != nil {
					return []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), nil
				}
				data, _ := readReply(t, folder, name)
				if tc.closes && strings.HasPrefix(name, "chat") {
					return data, []directive{{verb: "rest"}, {verb: "close"}}
				}
				return data, nil
			})
			c := newClient(t, Options{BaseURL: server.url(), Model: tc.model})
			s, err := c.Server(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Probe(t.Context(), Chat, &s); err != nil {
				t.Fatal(err)
			}
			w := tc.want
			if s.Engine != w.Engine || s.EngineVersion != w.EngineVersion || s.Gateway != w.Gateway || s.Slots != w.Slots || s.MaxModelLen != w.MaxModelLen ||
				s.ServedModel != w.ServedModel {
				t.Errorf("found %+v, want %+v", s, w)
			}
			if (s.Engine != "") != (len(s.EngineSigns) > 0) {
				t.Errorf("%q by %q", s.Engine, s.EngineSigns)
			}
			if s.HasMetrics != w.HasMetrics || !slices.Equal(s.MetricsLack, tc.lacks) || s.HasTokenize != w.HasTokenize {
				t.Errorf("metrics %v without %v (%s), tokenizer %v; want %v without %v, %v", s.HasMetrics, s.MetricsLack, s.MetricsAbsent, s.HasTokenize,
					w.HasMetrics, tc.lacks, w.HasTokenize)
			}
			if got, want := s.Stream, w.Stream; got.Usage != want.Usage || got.Done != want.Done || (got.Tokens == nil) != (want.Tokens == nil) ||
				got.Tokens != nil && *got.Tokens != *want.Tokens || got.KeepsConnection == tc.closes || got.Chunks == 0 {
				t.Errorf("streams %+v, want %+v, closing the connection: %v", got, want, tc.closes)
			}
			if (s.IgnoresEOS == nil) != (w.IgnoresEOS == nil) || s.IgnoresEOS != nil && *s.IgnoresEOS != *w.IgnoresEOS || (s.Refuses != "") != tc.strict {
				t.Errorf("ignore_eos: %v, refuses %q", s.IgnoresEOS, s.Refuses)
			}
			if tc.tokens > 0 {
				if n, err := c.CountTokens(t.Context(), Chat, "A the water"); n != tc.tokens || err != nil {
					t.Errorf("%d tokens, %v; want %d", n, err, tc.tokens)
				}
			}
			if tc.strict {
				p, err := c.Prepare(Generate{Endpoint: Chat, Prompt: "p", MaxTokens: 1, IgnoreEOS: true, CacheSalt: "s"})
				if err != nil || strings.Contains(string(p.payload), "ignore_eos") || strings.Contains(string(p.payload), "cache_salt") {
					t.Errorf("a server that refuses vLLM's fields is sent %s (%v)", p.payload, err)
				}
			}
		})
	}
}

// TestClosedAfterEachAnswer: a server that announces to keep a connection and closes it loses no request, because none is sent
// on a used one.
func TestClosedAfterEachAnswer(t *testing.T) {
	data, _ := readReply(t, "testdata/servers/llama.cpp", "chat")
	server := startReplay(t, func(string) ([]byte, []directive) { return data, []directive{{verb: "rest"}, {verb: "close"}} })
	c := newClient(t, Options{BaseURL: server.url(), Model: "m"})
	var s record.Server
	if _, err := c.Probe(t.Context(), Chat, &s); err != nil {
		t.Fatal(err)
	}
	p, err := c.Prepare(Generate{Endpoint: Chat, Prompt: "p", MaxTokens: 32})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if r := c.Send(t.Context(), p); !r.Success || r.DialNS == nil {
			t.Fatalf("%q (%s), connected for it: %v", r.Error, r.Message, r.DialNS != nil)
		}
	}
}

// TestUnlistedModel: a server that answers but lists no models is taken by the name asked for, and refused without one; a
// wrong key and a server that is still loading are neither.
func TestUnlistedModel(t *testing.T) {
	for _, tc := range []struct {
		status   int
		body     string
		asked    string
		accepted bool
	}{
		{http.StatusNotFound, "", "m", true},
		{http.StatusNotFound, "", "", false},
		{http.StatusInternalServerError, "Internal Server Error", "m", true},
		{http.StatusOK, `{"object":"list","data":[]}`, "m", true},
		{http.StatusOK, `{"object":"list","data":[]}`, "", false},
		{http.StatusUnauthorized, "", "m", false},
		{http.StatusServiceUnavailable, "", "m", false},
	} {
		server := startReplay(t, func(path string) ([]byte, []directive) {
			status, body := http.StatusNotFound, ""
			if path == "/v1/models" {
				status, body = tc.status, tc.body
			}
			return answerOf(status, body), nil
		})
		c, err := New(Options{BaseURL: server.url(), Model: tc.asked, Clock: clock.New(0)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		s, err := c.Server(t.Context())
		if (err == nil) != tc.accepted || tc.accepted && (s.ServedModel != tc.asked || s.Unlisted == "") {
			t.Errorf("%d %q, asked for %q: %+v, %v", tc.status, tc.body, tc.asked, s, err)
		}
	}
}

// TestUsageOfWholeAnswers: where streams come without usage, prompt lengths are told by whole answers, and asked of nothing else
// from then on.
func TestUsageOfWholeAnswers(t *testing.T) {
	stream, _ := readReply(t, wireFolder, "006-no-usage")
	var server *replay
	server = startReplay(t, func(string) ([]byte, []directive) {
		server.mu.Lock()
		defer server.mu.Unlock()
		if last := server.bodies[len(server.bodies)-1]; strings.Contains(string(last), `"stream"`) {
			return stream, nil
		}
		return answerOf(http.StatusOK, `{"usage":{"prompt_tokens":17,"completion_tokens":1}}`), nil
	})
	c := newClient(t, Options{BaseURL: server.url(), Model: "m"})
	for i, requests := range []int{2, 3, 4} {
		if n, err := c.ProbeTokens(t.Context(), Chat, "p"); n != 17 || err != nil || server.seen() != requests {
			t.Errorf("count %d: %d tokens, %v, after %d requests", i, n, err, server.seen())
		}
	}
}

func answerOf(status int, body string) []byte {
	var b strings.Builder
	r := http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
	_ = r.Write(&b) // into memory
	return []byte(b.String())
}
