package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Captures are what a real vLLM 0.32.0 sent, byte for byte. The simulator must send the same but for
// ids, times, texts, token ids, names and sizes.

var masks = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`date: [^\r]*`), "date: D"},
	{regexp.MustCompile(`x-request-id: [^\r]*\r\n`), ""},
	{regexp.MustCompile(`content-length: [1-9]\d*`), "content-length: N"},
	{regexp.MustCompile(`(?m)^[0-9a-f]+\r$`), "N\r"}, // chunk sizes
	{regexp.MustCompile(`"id":"(chatcmpl|cmpl|modelperm)-[0-9a-f]{16}"`), `"id":"$1-ID"`},
	{regexp.MustCompile(`"created":\d+`), `"created":T`},
	{regexp.MustCompile(`vllm-0\.32\.0-[0-9a-f]{8}`), "vllm-0.32.0-HASH"},
	{regexp.MustCompile(`"root":"[^"]*"`), `"root":"R"`},
	{regexp.MustCompile(`"content":"(?:[^"\\]|\\.)+"`), `"content":""`},
	{regexp.MustCompile(`"text":"(?:[^"\\]|\\.)+"`), `"text":""`},
	{regexp.MustCompile(`"tokens":\[[\d,]*\]`), `"tokens":[]`},
	{regexp.MustCompile(`"token_strs":\[[^\]]*\]`), `"token_strs":[]`},
	{regexp.MustCompile(`"prompt":"[^"]*"`), `"prompt":""`},
}

func masked(s string) string {
	for _, m := range masks {
		s = m.pattern.ReplaceAllString(s, m.by)
	}
	return s
}

var allDigits = regexp.MustCompile(`\d+`)

func ids(n int) string { return "[" + strings.Repeat("2000,", n-1) + "2000]" }

func TestRepliesAreThoseOfARealServer(t *testing.T) {
	const completions, chat = "/v1/completions", "/v1/chat/completions"
	user := func(text string) string {
		return fmt.Sprintf(`"messages":[{"role":"user","content":"%s"}],`, text)
	}
	for _, c := range []struct {
		capture, method, path, body string
		header                      string // instead of the JSON content type
		key                         string // the server's
		numbers                     bool   // differ
	}{
		{capture: "chat-stream-usage", path: chat, body: `{` + user("the model") + `"max_tokens":8,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}`},
		{capture: "chat-stream-plain", path: chat, body: `{` + user("the model") + `"max_tokens":4,"ignore_eos":true,"stream":true}`},
		{capture: "chat-stream-continuous", path: chat, body: `{` + user("the model") + `"max_tokens":4,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}}`},
		{capture: "completions-stream-ids", path: completions, body: `{"prompt":` + ids(8) + `,"max_tokens":4,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}`},
		{capture: "clamp-chat-3810-plus-3000", path: chat, body: `{` + user(words(1, 3801)) + `"max_tokens":3000,"ignore_eos":true}`},
		{capture: "clamp-ids-4000-plus-200", path: completions, body: `{"prompt":` + ids(4000) + `,"max_tokens":200,"ignore_eos":true}`},
		{capture: "clamp-ids-4095-plus-200-stream", path: completions, body: `{"prompt":` + ids(4095) + `,"max_tokens":200,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}`},
		{capture: "ok-priority-ignored", path: completions, body: `{"prompt":"the","max_tokens":2,"ignore_eos":true,"priority":5}`},
		{capture: "models", method: "GET", path: "/v1/models"},
		{capture: "version", method: "GET", path: "/version"},
		{capture: "health", method: "GET", path: "/health"},
		{capture: "ping", method: "GET", path: "/ping"},
		{capture: "load", method: "GET", path: "/load"},
		{capture: "tokenize-chat", path: "/tokenize", body: `{` + user("the model") + `"model":"tiny-gemma"}`},
		{capture: "tokenize-prompt", path: "/tokenize", body: `{"prompt":"one two three four five six seven"}`},
		{capture: "tokenize-prompt-strs", path: "/tokenize", body: `{"prompt":"the model","add_special_tokens":false,"return_token_strs":true}`},
		{capture: "detokenize", path: "/detokenize", body: `{"tokens":[2,105,2000]}`},
		{capture: "err-bad-json", path: completions, body: `{"model":"tiny-gemma","prompt":"x","max_tokens":1,}`, numbers: true},
		{capture: "err-no-key", method: "GET", path: "/v1/models", key: "k1"},
		{capture: "err-bad-key", method: "GET", path: "/v1/models", key: "k1", header: "Authorization: Bearer k2"},
		{capture: "err-cache-salt", path: completions, body: `{"prompt":"x","cache_salt":"a/b"}`},
		{capture: "err-empty-prompt", path: completions, body: `{"prompt":[]}`},
		{capture: "err-max-tokens-over-len", path: completions, body: `{"prompt":"x","max_tokens":5000}`},
		{capture: "err-max-tokens-zero", path: completions, body: `{"prompt":"x","max_tokens":0}`},
		{capture: "err-method", method: "GET", path: completions},
		{capture: "err-min-gt-max", path: completions, body: `{"prompt":"x","max_tokens":2,"min_tokens":5}`},
		{capture: "err-missing-messages", path: chat, body: `{"model":"tiny-gemma"}`},
		{capture: "err-no-content-type", path: completions, body: `{"prompt":"x"}`, header: "Accept: */*"},
		{capture: "err-not-found", method: "GET", path: "/v2/nothing"},
		{capture: "err-prompt-ids-4096", path: completions, body: `{"prompt":` + ids(4096) + `}`},
		{capture: "err-stream-options-without-stream", path: completions, body: `{"prompt":"x","stream_options":{"include_usage":true}}`},
		{capture: "err-suffix", path: completions, body: `{"prompt":"x","suffix":"y"}`},
		{capture: "err-temperature", path: completions, body: `{"prompt":"x","temperature":-1}`},
		{capture: "err-temperature-3", path: completions, body: `{"prompt":"x","temperature":3}`},
		{capture: "err-token-out-of-vocab", path: completions, body: `{"prompt":[2,999999]}`, numbers: true},
		{capture: "err-token-out-of-vocab-stream", path: completions, body: `{"prompt":[2,999999],"stream":true}`, numbers: true},
		{capture: "err-too-long-chars", path: completions, body: `{"prompt":"` + strings.Repeat("word ", 40000) + `"}`, numbers: true},
		{capture: "err-too-long-chat", path: chat, body: `{` + user(words(1, 4090)) + `"max_tokens":5}`},
		{capture: "err-too-long-text", path: completions, body: `{"prompt":"` + words(1, 5000) + `","max_tokens":5}`},
		{capture: "err-unknown-model", path: completions, body: `{"model":"nope","prompt":"x"}`},
		{capture: "err-wrong-type", path: completions, body: `{"prompt":"x","max_tokens":"many"}`},
	} {
		t.Run(c.capture, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata", "captures", c.capture+".http"))
			if err != nil {
				t.Fatal(err)
			}
			cfg := parse(t, "sim:served-model=tiny-gemma")
			cfg.APIKey = c.key
			if c.header == "" && c.body != "" {
				c.header = jsonType
			}
			if c.method == "" {
				c.method = "POST"
			}
			bubbleConfig(t, cfg, func(t *testing.T, s *Server) {
				got := raw(t, s, c.method, c.path, c.body, c.header)
				got, want := masked(got), masked(string(want))
				if c.numbers {
					got, want = allDigits.ReplaceAllString(got, "N"), allDigits.ReplaceAllString(want, "N")
				}
				if got != want {
					t.Errorf("got:\n%s\nwant:\n%s", got, want)
				}
			})
		})
	}
}

// The shape of /metrics: every family with its type, every series with its labels, in order.
func TestMetricsAreThoseOfARealServer(t *testing.T) {
	body := func(http string) string { return http[strings.Index(http, "\r\n\r\n")+4:] }
	const ok, bad = `{"prompt":"x","max_tokens":2,"messages":[{"role":"user","content":"x"}]}`, `{"max_tokens":0}`
	for capture, requests := range map[string][][3]string{
		"metrics-idle-start": {{"GET", "/v1/models", ""}},
		"metrics-under-load": {{"GET", "/v1/models", ""}, {"POST", "/tokenize", ok}, {"POST", "/detokenize", `{"tokens":[2]}`},
			{"POST", "/v1/chat/completions", ok}, {"POST", "/v1/completions", ok}, {"POST", "/v1/chat/completions", bad},
			{"POST", "/v1/completions", bad}, {"GET", "/nowhere", ""}},
	} {
		t.Run(capture, func(t *testing.T) {
			want, err := os.ReadFile(filepath.Join("testdata", "captures", capture+".http"))
			if err != nil {
				t.Fatal(err)
			}
			bubble(t, "sim:served-model=tiny-gemma", func(t *testing.T, s *Server) {
				for _, r := range requests {
					raw(t, s, r[0], r[1], r[2], jsonType)
				}
				reply := raw(t, s, "GET", "/metrics", "")
				if got, want := masked(reply[:len(reply)-len(body(reply))]), masked(string(want)[:len(want)-len(body(string(want)))]); got != want {
					t.Errorf("headers: got %q, want %q", got, want)
				}
				got, want := metricsShape(body(reply)), metricsShape(body(string(want)))
				for i := range min(len(got), len(want)) {
					if got[i] != want[i] {
						t.Fatalf("line %d: got %s, want %s", i, got[i], want[i])
					}
				}
				if len(got) != len(want) {
					t.Errorf("%d lines, want %d", len(got), len(want))
				}
			})
		})
	}
}

var labelValues = regexp.MustCompile(`="[^"]*"`)

// metricsShape is /metrics without values: types and series.
func metricsShape(text string) []string {
	var out []string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r", ""), "\n") {
		switch {
		case strings.HasPrefix(line, "# HELP"), line == "":
			continue // help texts are nobody's interface
		case strings.HasPrefix(line, "# TYPE"):
			out = append(out, line)
		default:
			name := line[:strings.LastIndex(line, " ")]
			if strings.HasPrefix(name, "vllm:cache_config_info") || strings.HasPrefix(name, "python_info") {
				name = labelValues.ReplaceAllString(name, `=""`)
			}
			out = append(out, name)
		}
	}
	return out
}
