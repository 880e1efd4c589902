package sim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// replyBody is the reply to a POST without its headers, ids, times and texts masked.
func replyBody(t *testing.T, s *Server, path, body string) string {
	t.Helper()
	_, text, _ := strings.Cut(masked(raw(t, s, "POST", path, body, jsonType)), "\r\n\r\n")
	return text
}

const (
	askChat        = `{"messages":[{"role":"user","content":"a"}],"max_tokens":2,"ignore_eos":true`
	askCompletions = `{"prompt":"a","max_tokens":2,"ignore_eos":true`
)

// How errors look, by version.
func TestErrorsByVersion(t *testing.T) {
	const flat, nested = `{"object":"error","message":"%s","type":"%s","param":%s,"code":%d}`, `{"error":{"message":"%s","type":"%s","param":%s,"code":%d}}`
	const begin = "This model's maximum context length is 4096 tokens. However, "
	for _, c := range []struct {
		version, form           string
		malformed               string // type of what is
		names                   bool   // errors name their parameter
		tooLong, prompt, tooHot string // messages; "" = accepted
	}{
		{"0.8.5", flat, "BadRequestError", false, begin + "you requested 4206 tokens (206 in the messages, 4000 in the completion). Please reduce the length of the messages or completion.",
			begin + "you requested 5009 tokens in the messages, Please reduce the length of the messages.", ""},
		{"0.10.0", flat, "Bad Request", false, begin + "you requested 4206 tokens (206 in the messages, 4000 in the completion). Please reduce the length of the messages or completion.",
			begin + "you requested 5009 tokens in the messages, Please reduce the length of the messages.", ""},
		{"0.11.0", nested, "Bad Request", false, "'max_tokens' or 'max_completion_tokens' is too large: 4000. This model's maximum context length is 4096 tokens and your request has 206 input tokens (4000 > 4096 - 206).",
			begin + "your request has 5009 input tokens. Please reduce the length of the input messages.", ""},
		{"0.20.0", nested, "Bad Request", true, begin + "you requested 4000 output tokens and your prompt contains at least 97 input tokens, for a total of at least 4097 tokens. Please reduce the length of the input prompt or the number of requested output tokens. (parameter=input_tokens, value=97)",
			begin + "your prompt contains at least 4097 input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=4097)", ""},
		{"0.31.0", nested, "Bad Request", true, begin + "you requested 4000 output tokens and your prompt contains at least 97 input tokens, for a total of at least 4097 tokens. Please reduce the length of the input prompt or the number of requested output tokens. (parameter=input_tokens, value=97)",
			begin + "your prompt contains at least 4097 input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=4097)",
			"temperature must be in [0, 2], got 3.0. (parameter=temperature, value=3.0)"},
		{"0.32.0", nested, "Bad Request", true, "",
			begin + "your prompt contains at least 4097 input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=4097)",
			"temperature must be in [0, 2], got 3.0. (parameter=temperature, value=3.0)"},
	} {
		bubble(t, "sim:served-model=m,version="+c.version, func(t *testing.T, s *Server) {
			expect := func(what, path, body, kind, message, param string, code int) {
				got := replyBody(t, s, path, body)
				if c.names {
					param = `"` + param + `"`
				} else {
					param = "null"
				}
				if want := fmt.Sprintf(c.form, message, kind, param, code); message != "" && got != want {
					t.Errorf("%s, %s: got\n%s\nwant\n%s", c.version, what, got, want)
				}
				if message == "" && (strings.Contains(got, `"error"`) || !strings.Contains(got, `"choices"`)) {
					t.Errorf("%s, %s: got %s", c.version, what, got)
				}
			}
			chat := func(tokens int, more string) string {
				return `{"messages":[{"role":"user","content":"` + words(1, tokens-9) + `"}],"ignore_eos":true` + more + `}`
			}
			expect("an unknown model", chatPath, `{"model":"x","messages":[{"role":"user","content":"a"}]}`, "NotFoundError",
				"The model `x` does not exist. Valid aliases: m.", "model", 404)
			expect("output that does not fit", chatPath, chat(206, `,"max_tokens":4000`), "BadRequestError", c.tooLong, "input_tokens", 400)
			expect("a prompt that does not fit", chatPath, chat(5009, ""), "BadRequestError", c.prompt, "input_tokens", 400)
			expect("a high temperature", chatPath, askChat+`,"temperature":3}`, "BadRequestError", c.tooHot, "temperature", 400)
			if got := replyBody(t, s, chatPath, `{"max_tokens":2}`); !strings.Contains(got, `"type":"`+c.malformed+`"`) {
				t.Errorf("%s, without messages: %s", c.version, got)
			}
		})
	}
}

// What a stream and a whole answer are made of, by version.
func TestAnswersByVersion(t *testing.T) {
	for _, c := range []struct{ version, opener, token, completion, usage, whole string }{
		{"0.8.5",
			`"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}`,
			`"choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"length","stop_reason":null}]}`,
			`"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":null,"stop_reason":null}],"usage":null}`,
			`"completion_tokens":2}}`,
			"id object created model choices index message role reasoning_content content tool_calls logprobs finish_reason stop_reason usage prompt_tokens total_tokens completion_tokens prompt_tokens_details prompt_logprobs"},
		{"0.10.2",
			`"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"prompt_token_ids":null}`,
			`"choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"length","stop_reason":null,"token_ids":null}]}`,
			`"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":null,"stop_reason":null,"prompt_token_ids":null,"token_ids":null}],"usage":null}`,
			`"completion_tokens":2}}`,
			"id object created model choices index message role content refusal annotations audio function_call tool_calls reasoning_content logprobs finish_reason stop_reason token_ids service_tier system_fingerprint usage prompt_tokens total_tokens completion_tokens prompt_tokens_details prompt_logprobs prompt_token_ids kv_transfer_params"},
		{"0.15.0",
			`"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"prompt_token_ids":null}`,
			`"choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"length","stop_reason":null,"token_ids":null}]}`,
			`"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":null,"stop_reason":null,"prompt_token_ids":null,"token_ids":null}],"usage":null}`,
			`"completion_tokens":2}}`,
			"id object created model choices index message role content refusal annotations audio function_call tool_calls reasoning reasoning_content logprobs finish_reason stop_reason token_ids service_tier system_fingerprint usage prompt_tokens total_tokens completion_tokens prompt_tokens_details prompt_logprobs prompt_token_ids kv_transfer_params"},
		{"0.20.0",
			`"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"prompt_token_ids":null}`,
			`"choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"length","stop_reason":null,"token_ids":null}]}`,
			`"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":null,"stop_reason":null,"prompt_token_ids":null,"token_ids":null}]}`,
			`"completion_tokens":2},"system_fingerprint":"vllm-0.20.0-HASH"}`,
			"id object created model choices index message role content refusal annotations audio function_call reasoning logprobs finish_reason stop_reason token_ids service_tier system_fingerprint usage prompt_tokens total_tokens completion_tokens prompt_tokens_details prompt_logprobs prompt_token_ids kv_transfer_params"},
	} {
		bubble(t, "sim:served-model=m,version="+c.version, func(t *testing.T, s *Server) {
			hash := strings.NewReplacer(s.fingerprint, "vllm-"+c.version+"-HASH")
			const options = `,"stream":true,"stream_options":{"include_usage":true}}`
			events := strings.Split(hash.Replace(replyBody(t, s, chatPath, askChat+options)), "\n\n")
			if len(events) != 6 {
				t.Fatalf("%s: %q", c.version, events)
			}
			completions := strings.Split(replyBody(t, s, "/v1/completions", askCompletions+options), "\n\n")
			for got, want := range map[string]string{events[0]: c.opener, events[2]: c.token, events[3]: c.usage, completions[0]: c.completion} {
				if !strings.HasSuffix(got, want) {
					t.Errorf("%s: got\n%s\nwant at its end\n%s", c.version, got, want)
				}
			}
			var members []string
			for _, m := range regexp.MustCompile(`"([a-z_]+)":`).FindAllStringSubmatch(replyBody(t, s, chatPath, askChat+`}`), -1) {
				members = append(members, m[1])
			}
			if got := strings.Join(members, " "); got != c.whole {
				t.Errorf("%s: the members of an answer are\n%s\nwant\n%s", c.version, got, c.whole)
			}
			id := regexp.MustCompile(`"id":"chatcmpl-([0-9a-f]+)"`).FindStringSubmatch(raw(t, s, "POST", chatPath, askChat+`}`, jsonType))
			if want := map[bool]int{false: 32, true: 16}[s.v.has(release{0, 12, 0})]; len(id) != 2 || len(id[1]) != want {
				t.Errorf("%s: id %v, want %d digits", c.version, id, want)
			}
		})
	}
}

// An engine's death, by version, in a stream and without one.
func TestDeathByVersion(t *testing.T) {
	for version, want := range map[string][2]string{
		"0.8.5":  {`data: {"error": {"object": "error", "message": "` + deathText + `", "type": "BadRequestError", "param": null, "code": 400}}`, ""},
		"0.11.0": {`data: {"error": {"message": "` + deathText + `", "type": "BadRequestError", "param": null, "code": 400}}`, ""},
		"0.14.0": {`data: {"error": {"message": "` + deathText + `", "type": "InternalServerError", "param": null, "code": 500}}`, ""},
		"0.32.0": {`data: {"error": {"message": "` + deathText + `", "type": "InternalServerError", "param": null, "code": 500}}`,
			`{"error":{"message":"` + deathText + `","type":"InternalServerError","param":null,"code":500}}`},
	} {
		for i, stream := range []string{`,"stream":true}`, "}"} {
			bubble(t, "sim:die-at=1,version="+version, func(t *testing.T, s *Server) {
				if got := replyBody(t, s, chatPath, askChat+stream); got != want[i] && !strings.Contains(got, want[i]+"\n\n") {
					t.Errorf("%s: got %q, want %q", version, got, want[i])
				}
			})
		}
	}
}

// Names of metrics by version: those that come and go.
func TestMetricsByVersion(t *testing.T) {
	changing := []string{"gpu_cache_usage_perc", "kv_cache_usage_perc", "gpu_prefix_cache_hits_total", "prefix_cache_hits_total", "time_per_output_token_seconds",
		"inter_token_latency_seconds", "engine_sleep_state", "prompt_tokens_by_source_total", "num_requests_waiting_by_reason", "admission_rejections_total"}
	for version, want := range map[string]string{
		"0.8.5":  "gpu_cache_usage_perc gpu_prefix_cache_hits_total time_per_output_token_seconds",
		"0.9.2":  "gpu_cache_usage_perc kv_cache_usage_perc gpu_prefix_cache_hits_total prefix_cache_hits_total time_per_output_token_seconds",
		"0.11.0": "kv_cache_usage_perc prefix_cache_hits_total time_per_output_token_seconds inter_token_latency_seconds",
		"0.12.0": "kv_cache_usage_perc prefix_cache_hits_total inter_token_latency_seconds engine_sleep_state",
		"0.16.0": "kv_cache_usage_perc prefix_cache_hits_total inter_token_latency_seconds engine_sleep_state prompt_tokens_by_source_total",
		"0.28.0": "kv_cache_usage_perc prefix_cache_hits_total inter_token_latency_seconds engine_sleep_state prompt_tokens_by_source_total num_requests_waiting_by_reason",
		"0.32.0": "kv_cache_usage_perc prefix_cache_hits_total inter_token_latency_seconds engine_sleep_state prompt_tokens_by_source_total num_requests_waiting_by_reason admission_rejections_total",
	} {
		bubble(t, "sim:version="+version, func(t *testing.T, s *Server) {
			text := raw(t, s, "GET", "/metrics", "")
			has := slices.DeleteFunc(slices.Clone(changing), func(name string) bool { return !strings.Contains(text, "# TYPE vllm:"+name+" ") })
			if got := strings.Join(has, " "); got != want {
				t.Errorf("%s has %s, want %s", version, got, want)
			}
			labels := regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(regexp.MustCompile(`cache_config_info\{.*\}`).FindString(text), -1)
			if !slices.IsSortedFunc(labels, func(a, b []string) int { return strings.Compare(a[1], b[1]) }) || len(labels) < 14 {
				t.Errorf("%s: labels of cache_config_info %v", version, labels)
			}
		})
	}
}

// A request is refused exactly when it cannot be served whole; from 0.32 on its output is cut instead.
func TestOverflowByVersion(t *testing.T) {
	const limit = 100
	for _, version := range []string{"0.8.5", "0.10.2", "0.11.0", "0.15.0", "0.16.0", "0.31.0", "0.32.0"} {
		v := parseRelease(version)
		for prompt := 1; prompt <= 2*limit; prompt++ {
			for output := 0; output <= limit; output++ {
				for _, text := range []bool{false, true} {
					want := prompt+output > limit || prompt == limit && !v.has(namedParameters)
					if v.has(silentCut) {
						want = prompt > limit
					}
					if bad := v.overflow(limit, prompt, text, output); (bad != nil) != want {
						t.Fatalf("%s: %d + %d tokens in %d: %+v", version, prompt, output, limit, bad)
					}
				}
			}
		}
	}
}
