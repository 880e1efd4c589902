package sim

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// realServer is the address of a real vLLM 0.32 that `make e2e` has started for the conformance test.
const realServer = "BENCH_E2E_SERVER"

// Why answers differ.
const (
	notDone     = "the simulator's texts are noise, and it refuses what would shape them instead of ignoring it"
	oneProblem  = "of several malformed members or forms of one the simulator names fewer"
	noSuchRoute = "the simulator serves what a benchmark uses, and answers 404 elsewhere"
)

// conformanceRequest is one request that a real vLLM and the simulator get alike.
type conformanceRequest struct {
	name, method, path, body string
	headers                  []string
	differs                  string // why the answers do; "" = they must not
}

// conformanceRequests are those for which a client could tell the simulator from a real server. Prompts are short, so
// that a slow CPU answers in no time.
func conformanceRequests() []conformanceRequest {
	const (
		completions = "/v1/completions"
		chat        = "/v1/chat/completions"
		user        = `"messages":[{"role":"user","content":"a b c"}],`
		four        = `"prompt":[2,2000,2001,2002],`
		usage       = `,"stream":true,"stream_options":{"include_usage":true}`
		forced      = `"max_tokens":5,"ignore_eos":true,"temperature":0.7`
	)
	post := func(name, path, body string) conformanceRequest {
		return conformanceRequest{name: name, method: http.MethodPost, path: path, body: body, headers: []string{jsonType}}
	}
	get := func(name, path string, headers ...string) conformanceRequest {
		return conformanceRequest{name: name, method: http.MethodGet, path: path, headers: headers}
	}
	but := func(r conformanceRequest, why string) conformanceRequest { r.differs = why; return r }
	return []conformanceRequest{
		get("health", "/health"), get("ping", "/ping"), get("version", "/version"), get("load", "/load"), get("models", "/v1/models"),
		post("ping by POST", "/ping", ""),
		get("unknown path", "/v1/nothing"), get("slash at the end", "/v1/models/"), get("completions by GET", completions), get("metrics with a slash", "/metrics/"),
		{name: "models by HEAD", method: http.MethodHead, path: "/v1/models"},
		{name: "health by DELETE", method: http.MethodDelete, path: "/health"},
		get("with an Origin", "/v1/models", "Origin: http://example.org"),
		get("with HTTP keep-alive", "/health", "Connection: keep-alive"),
		get("to be closed", "/v1/models", "Connection: close"),

		post("chat", chat, `{`+user+forced+`}`),
		post("chat, stream", chat, `{`+user+forced+`,"stream":true}`),
		post("chat, stream with usage", chat, `{`+user+forced+usage+`}`),
		post("chat, continuous usage", chat, `{`+user+forced+`,"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}}`),
		post("chat, continuous without usage", chat, `{`+user+forced+`,"stream":true,"stream_options":{"continuous_usage_stats":true}}`),
		post("chat, token ids", chat, `{`+user+forced+usage+`,"return_token_ids":true}`),
		post("chat, token ids whole", chat, `{`+user+forced+`,"return_token_ids":true}`),
		post("chat, with system", chat, `{"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"a"}],`+forced+`}`),
		post("chat, parts", chat, `{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],`+forced+`}`),
		post("chat, max_completion_tokens", chat, `{`+user+`"max_tokens":9,"max_completion_tokens":3,"ignore_eos":true}`),
		post("chat, request id", chat, `{`+user+forced+`,"request_id":"mine"}`),
		post("chat, one token", chat, `{`+user+`"max_tokens":1,"ignore_eos":true`+usage+`}`),
		post("completion", completions, `{`+four+forced+`}`),
		post("completion, stream", completions, `{`+four+forced+`,"stream":true}`),
		post("completion, stream with usage", completions, `{`+four+forced+usage+`}`),
		post("completion, continuous usage", completions, `{`+four+forced+`,"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}}`),
		post("completion, token ids", completions, `{`+four+forced+usage+`,"return_token_ids":true}`),
		post("completion, token ids whole", completions, `{`+four+forced+`,"return_token_ids":true}`),
		post("completion, text", completions, `{"prompt":"a b c",`+forced+`}`),
		post("completion, list of one text", completions, `{"prompt":["a b c"],`+forced+`}`),
		post("completion, model is null", completions, `{"model":null,`+four+forced+`}`),
		post("completion, model is empty", completions, `{"model":"",`+four+forced+`}`),
		post("completion, unknown member", completions, `{"no_such":1,`+four+forced+`}`),
		post("completion, default length", completions, `{`+four+`"ignore_eos":true}`),
		post("completion, length is null", completions, `{`+four+`"ignore_eos":true,"max_tokens":null}`),
		post("completion, length as text", completions, `{`+four+`"ignore_eos":true,"max_tokens":"3"}`),
		post("completion, length as 3.0", completions, `{`+four+`"ignore_eos":true,"max_tokens":3.0}`),
		post("completion, stop id", completions, `{`+four+`"max_tokens":40,"ignore_eos":true,"stop_token_ids":[7]}`),

		post("no body", chat, ``),
		post("not JSON", chat, `hello`),
		post("a list", chat, `[]`),
		post("null", chat, `null`),
		post("a number", chat, `5`),
		post("a broken key", chat, `{"a"`), post("a broken member", chat, `{"a":`), post("a broken list", chat, `{"a":[1`), post("a broken object", chat, `{"a":1,`),
		post("a broken text", chat, `{"a":"b`), post("a broken word", chat, `{"a":tru}`), post("too much", chat, `{"a":1} x`), post("quotes of another kind", chat, `{'a':1}`),
		post("a line break in a text", chat, "{\"a\":\"\n\"}"), post("no comma", chat, `{"a":1 "b":2}`), post("no colon", chat, `{"a" 1}`), post("blanks", chat, `  `), post("an escape", chat, `{"a":"\x"}`),
		post("an open object", completions, `{"prompt":"a"`),
		{name: "no content type", method: http.MethodPost, path: completions, body: `{"prompt":"a"}`},
		{name: "another content type", method: http.MethodPost, path: completions, body: `{"prompt":"a"}`, headers: []string{"Content-Type: text/plain"}},
		{name: "content type with charset", method: http.MethodPost, path: completions, body: `{` + four + forced + `}`, headers: []string{jsonType + "; charset=utf-8"}},
		post("chat without messages", chat, `{"max_tokens":5}`),
		post("chat, empty messages", chat, `{"messages":[],"max_tokens":5}`),
		post("completion without a prompt", completions, `{"max_tokens":5}`),
		post("completion, empty prompt", completions, `{"prompt":"","max_tokens":5}`),
		post("completion, empty list", completions, `{"prompt":[],"max_tokens":5}`),
		post("completion, prompt is a number", completions, `{"prompt":5,"max_tokens":5}`),
		post("unknown model", chat, `{"model":"x",`+user+forced+`}`),
		post("length 0", completions, `{`+four+`"max_tokens":0}`),
		post("length -1", chat, `{`+user+`"max_tokens":-1}`),
		post("length beyond the context", chat, `{`+user+`"max_tokens":5000}`),
		post("length that is no number", completions, `{`+four+`"max_tokens":"many"}`),
		post("length with a fraction", completions, `{`+four+`"max_tokens":3.5}`),
		post("length is a list", completions, `{`+four+`"max_tokens":[3]}`),
		but(post("two wrong members", completions, `{`+four+`"max_tokens":"many","temperature":"hot"}`), oneProblem),
		post("temperature -1", completions, `{`+four+`"temperature":-1}`),
		post("temperature 3", completions, `{`+four+`"temperature":3}`),
		post("temperature is text", completions, `{`+four+`"temperature":"hot"}`),
		post("stream is text", completions, `{`+four+`"stream":"perhaps"}`),
		post("ignore_eos is a number", completions, `{`+four+`"max_tokens":2,"ignore_eos":7}`),
		post("stream is yes", completions, `{`+four+`"max_tokens":2,"ignore_eos":true,"stream":"yes"}`),
		post("stream is a list", completions, `{`+four+`"stream":[1]}`), post("stream is a half", completions, `{`+four+`"stream":0.5}`),
		post("temperature as text", completions, `{`+four+`"max_tokens":2,"ignore_eos":true,"temperature":"1.5"}`),
		post("temperature is a list", completions, `{`+four+`"temperature":[1]}`),
		post("length is true", completions, `{`+four+`"max_tokens":true,"ignore_eos":true}`),
		post("stop ids are no list", completions, `{`+four+`"stop_token_ids":"x"}`), post("a stop id is text", completions, `{`+four+`"stop_token_ids":["x"]}`),
		post("salt is a number", completions, `{`+four+`"cache_salt":5}`), post("stream options are a number", completions, `{`+four+`"stream":true,"stream_options":5}`),
		post("prompt is an object", completions, `{"prompt":{"a":1}}`), post("prompt is null", completions, `{"prompt":null}`), post("prompt of one empty text", completions, `{"prompt":[""],`+forced+`}`),
		post("a prompt without tokens", completions, `{"prompt":[[]]}`), post("suffix to a text", completions, `{"prompt":"a","max_tokens":2,"suffix":"b"}`),
		but(post("a prompt of ids and texts", completions, `{"prompt":[2,"a"]}`), oneProblem), but(post("a message without a role", chat, `{"messages":[{"content":"a"}]}`), oneProblem),
		post("a message without content", chat, `{"messages":[{"role":"user"}],`+forced+`}`), post("an unknown role", chat, `{"messages":[{"role":"nobody","content":"a"}],`+forced+`}`),
		post("messages are text", chat, `{"messages":"a"}`), post("prompt far beyond the context", completions, `{"prompt":`+ids(5000)+`}`),
		but(post("tokenize a number", "/tokenize", `{"prompt":5}`), oneProblem), post("detokenize texts", "/detokenize", `{"tokens":["a"]}`), post("detokenize below 0", "/detokenize", `{"tokens":[-1]}`),
		post("stream options without a stream", chat, `{`+user+`"max_tokens":2,"stream_options":{"include_usage":true}}`),
		post("min above max", completions, `{`+four+`"max_tokens":2,"min_tokens":5}`),
		post("min below 0", completions, `{`+four+`"max_tokens":2,"min_tokens":-1}`),
		post("salt with a slash", completions, `{`+four+`"max_tokens":2,"cache_salt":"a/b"}`),
		post("salt empty", completions, `{`+four+`"max_tokens":2,"cache_salt":""}`),
		post("salt too long", completions, `{`+four+`"max_tokens":2,"cache_salt":"`+strings.Repeat("s", 129)+`"}`),
		post("suffix", completions, `{`+four+`"max_tokens":2,"suffix":"b"}`),
		post("token out of the vocabulary", completions, `{"prompt":[2,99999999],"max_tokens":2}`),
		post("token out of the vocabulary, stream", completions, `{"prompt":[2,99999999],"max_tokens":2,"stream":true}`),
		but(post("token below 0", completions, `{"prompt":[2,-1],"max_tokens":2}`), oneProblem),
		post("prompt fills the context", completions, `{"prompt":`+ids(4096)+`,"max_tokens":2}`),
		post("prompt beyond the context", completions, `{"prompt":`+ids(4097)+`,"max_tokens":2}`),
		post("output is cut", completions, `{"prompt":`+ids(4090)+`,"max_tokens":20,"ignore_eos":true}`),

		post("tokenize", "/tokenize", `{"prompt":"a b"}`),
		post("tokenize with texts", "/tokenize", `{"prompt":"a b","return_token_strs":true}`),
		post("tokenize a chat", "/tokenize", `{`+user+`"add_generation_prompt":true}`),
		post("tokenize nothing", "/tokenize", `{}`),
		post("tokenize for an unknown model", "/tokenize", `{"model":"x","prompt":"a"}`),
		post("detokenize", "/detokenize", `{"tokens":[2,2000]}`),
		post("detokenize nothing", "/detokenize", `{}`),
		post("detokenize no numbers", "/detokenize", `{"tokens":"a"}`),

		but(post("two choices", completions, `{`+four+`"max_tokens":2,"n":2,"ignore_eos":true}`), notDone),
		but(post("log probabilities", completions, `{`+four+`"max_tokens":2,"logprobs":1,"ignore_eos":true}`), notDone),
		but(post("a stop text", completions, `{`+four+`"max_tokens":2,"stop":"zz","ignore_eos":true}`), notDone),
		but(get("API description", "/openapi.json"), noSuchRoute),
		but(post("responses", "/v1/responses", `{"input":"a","max_output_tokens":16}`), noSuchRoute),
	}
}

// conformanceMasks blank out, besides ids, times and texts, what depends on the checkpoint: which tokens there are, and
// how many a text has.
var conformanceMasks = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`"id":"(chatcmpl|cmpl)-[^"]*"`), `"id":"$1-ID"`},
	{regexp.MustCompile(`vllm-0\.32\.0-[a-z0-9-]+`), "vllm-0.32.0-HASH"},
	{regexp.MustCompile(`("(?:prompt_|total_)?tokens"|"count"|"prompt_tokens"|"total_tokens"):\d+`), `$1:N`},
	{regexp.MustCompile(`("(?:token_ids|prompt_token_ids|tokens)"):\[[\d,]*\]`), `$1:[]`},
	{regexp.MustCompile(`"token_strs":\[.*?\]([,}])`), `"token_strs":[]$1`},
	{regexp.MustCompile(`"finish_reason":"(?:stop|length)","stop_reason":\d+`), `"finish_reason":"length","stop_reason":null`},
}

func conformed(reply string) string {
	for _, m := range conformanceMasks {
		reply = m.pattern.ReplaceAllString(reply, m.by)
	}
	return masked(reply)
}

// TestConformance sends one list of requests to a real vLLM and to the simulator and compares the replies byte for byte:
// status, headers in their order, chunks, JSON. What is known to differ must, or it is taken off the list.
func TestConformance(t *testing.T) {
	address := strings.TrimPrefix(os.Getenv(realServer), "http://")
	if address == "" {
		t.Skip("make e2e starts a real vLLM and names it in " + realServer)
	}
	s, err := New(parse(t, "sim:gpu=h100-sxm,model=google/gemma-3-1b-it,served-model=tiny-gemma,max-num-seqs=8,max-model-len=4096"))
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Close()
	requests := conformanceRequests()
	known := 0
	compare := func(r conformanceRequest) {
		// A server that gets no processor for a while puts two tokens into one event, the real one as the simulator: the
		// same request then has another form, and is made again. One that always differs still fails.
		want, got := "", ""
		for range 5 {
			want = conformed(rawOver(t, dialReal(t, address), r.method, r.path, r.body, r.headers...))
			got = conformed(raw(t, s, r.method, r.path, r.body, r.headers...))
			if want == got || r.differs != "" || !strings.Contains(want, "text/event-stream") {
				break
			}
		}
		if strings.HasPrefix(r.path, "/metrics") { // its shape is compared below
			want, got = headOf(want), headOf(got)
		}
		switch {
		case got != want && r.differs == "":
			t.Errorf("%s: %s", r.name, firstDifference(got, want))
		case got != want:
			known++
			t.Logf("%s differs: %s", r.name, r.differs)
		case r.differs != "":
			t.Errorf("%s does not differ any more: take it off the list", r.name)
		}
	}
	for _, r := range requests {
		if r.differs != noSuchRoute {
			compare(r)
		}
	}
	// Here both have counted the same routes.
	_, text, _ := strings.Cut(rawOver(t, dialReal(t, address), http.MethodGet, "/metrics", ""), "\r\n\r\n")
	want, got := metricsShape(text), metricsShape(string(s.exposition()))
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("/metrics of the simulator lacks %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("/metrics of the simulator has %s, the real one has not", line)
		}
	}
	for _, r := range requests {
		if r.differs == noSuchRoute {
			compare(r)
		}
	}
	t.Logf("%d requests, %d with known differences", len(requests), known)
}

// dialReal opens a connection to the real server, for a reply that comes within a minute.
func dialReal(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func headOf(reply string) string {
	head, _, _ := strings.Cut(reply, "\r\n\r\n")
	return head
}

// firstDifference shows two texts from where they part.
func firstDifference(got, want string) string {
	n := 0
	for n < min(len(got), len(want)) && got[n] == want[n] {
		n++
	}
	from := max(0, n-60)
	return fmt.Sprintf("at byte %d the simulator has\n  …%.300q\nand the real one\n  …%.300q", n, got[from:], want[from:])
}
