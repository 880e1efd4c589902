package sim

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// release is a version of vLLM: major, minor, patch.
type release [3]int

// The releases in which what the server says changed. A release that came between two trees that were read is given as
// the later of them, so a form may be one minor release older than said here.
var (
	firstV1 = release{0, 8, 0} // what is before speaks another HTTP and is not simulated

	tokenStrings      = release{0, 9, 0}  // /tokenize has token_strs
	kvCacheNames      = release{0, 9, 2}  // kv_cache_usage_perc, prefix_cache_…; the old names go on until 0.11
	openAIMembers     = release{0, 9, 2}  // whole answers have service_tier, refusal, …
	validationErrors  = release{0, 10, 0} // what is malformed is a "Bad Request", a wrong content type no 415
	nestedErrors      = release{0, 10, 1} // the error is a member of the body and no longer all of it
	tokenIDMembers    = release{0, 10, 2} // chunks and answers have token_ids, prompt_token_ids
	gpuNamesGone      = release{0, 11, 0} // gpu_cache_usage_perc, gpu_prefix_cache_…
	interTokenNames   = release{0, 11, 0} // inter_token_latency_seconds, …; the old name goes on until 0.12
	inputTokenErrors  = release{0, 11, 0} // a prompt that is too long is told by "your request has N input tokens"
	earlyChecks       = release{0, 11, 1} // the vocabulary is checked before the stream begins, until 0.16
	sleepState        = release{0, 11, 1} // engine_sleep_state, external and mm_cache counters
	shortIDs          = release{0, 12, 0} // ids of 16 hexadecimal digits, not 32
	perTokenGone      = release{0, 12, 0} // time_per_output_token_seconds
	reasoningMember   = release{0, 12, 0} // beside reasoning_content, which goes on until 0.16
	offloading        = release{0, 12, 0} // in cache_config_info
	prefillComputed   = release{0, 13, 0} // request_prefill_kv_computed_tokens
	typedEvents       = release{0, 14, 0} // errors within a stream say what they are, not always BadRequestError
	errorReason       = release{0, 15, 0} // finished_reason="error"
	namedParameters   = release{0, 16, 0} // errors name the parameter; lengths are refused in today's words
	promptSources     = release{0, 16, 0} // prompt_tokens_by_source, prompt_tokens_cached
	deathHasBody      = release{0, 17, 0} // a dead engine is a 500 with a body
	repetitionReason  = release{0, 18, 0} // finished_reason="repetition"
	resolvedBlockSize = release{0, 18, 0} // in cache_config_info, in place of swap_space
	fingerprints      = release{0, 20, 0} // system_fingerprint; chunks of completions lose "usage":null, messages "tool_calls":[]
	waitingReasons    = release{0, 20, 0} // num_requests_waiting_by_reason
	hashBlockSize     = release{0, 22, 0} // in cache_config_info
	hotRefused        = release{0, 23, 0} // a temperature above 2
	cacheSizeLabels   = release{0, 23, 0} // kv_cache_size_tokens, kv_cache_max_concurrency in cache_config_info
	newestMembers     = release{0, 28, 0} // prompt_text, metrics, … in answers; limits of cache_salt; labels of cache_config_info
	queueLimit        = release{0, 29, 0} // --max-num-queued-reqs and its counter, request_num_preemptions, estimated_…
	silentCut         = release{0, 32, 0} // an output that does not fit the context is cut, not refused
)

// parseRelease reads a version that versionSyntax allows.
func parseRelease(s string) (v release) {
	for i, part := range strings.SplitN(s, ".", len(v)) {
		v[i], _ = strconv.Atoi(part)
	}
	return v
}

// has says whether v is that release or a later one.
func (v release) has(since release) bool { return slices.Compare(v[:], since[:]) >= 0 }

// idDigits is the length of the ids the server makes up.
func (v release) idDigits() int {
	if v.has(shortIDs) {
		return 16
	}
	return 32
}

// say puts an error that is written as today's into the words and members of v.
func (v release) say(e *apiError) *apiError {
	said := *e
	if e == wrongMediaType && !v.has(validationErrors) {
		return &apiError{status: http.StatusUnsupportedMediaType, message: mediaTypeText}
	}
	if !v.has(namedParameters) {
		said.param = ""
		said.message, _, _ = strings.Cut(e.message, " (parameter=")
	}
	if e.kind == kindMalformed && !v.has(validationErrors) {
		said.kind = kindBadRequest
	}
	return &said
}

// overflow is the refusal of a prompt that does not fit a context of limit tokens together with the output it asks for, 0
// where it asks for none; nil where it fits, or where its output is cut in silence. The tokenizer stops counting a text
// one token past what fits.
func (v release) overflow(limit, prompt int, isText bool, output int) *apiError {
	const context = "This model's maximum context length is %d tokens. However, "
	switch {
	case v.has(silentCut) && prompt <= limit, v.has(namedParameters) && prompt+output <= limit:
		return nil
	case v.has(silentCut), v.has(namedParameters) && output == 0:
		count, value := strconv.Itoa(prompt), prompt
		if isText || prompt == limit+1 { // ids of that length look to the server like a text that was cut
			count, value = fmt.Sprintf("at least %d", limit+1), limit+1
		}
		return badRequest("input_tokens", context+"your prompt contains %s input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=%d)",
			limit, count, value)
	case v.has(namedParameters):
		least := ""
		if isText {
			least, prompt = "at least ", limit-output+1
		}
		return badRequest("input_tokens", context+"you requested %d output tokens and your prompt contains %[3]s%[4]d input tokens, for a total of %[3]s%[5]d tokens. Please reduce the length of the input prompt or the number of requested output tokens. (parameter=input_tokens, value=%[4]d)",
			limit, output, least, prompt, prompt+output)
	case prompt < limit && prompt+output <= limit:
		return nil
	case v.has(inputTokenErrors) && prompt >= limit:
		return badRequest("", context+"your request has %d input tokens. Please reduce the length of the input messages.", limit, prompt)
	case v.has(inputTokenErrors):
		return badRequest("", "'max_tokens' or 'max_completion_tokens' is too large: %[1]d. This model's maximum context length is %[2]d tokens and your request has %[3]d input tokens (%[1]d > %[2]d - %[3]d).", output, limit, prompt)
	case output == 0:
		return badRequest("", context+"you requested %d tokens in the messages, Please reduce the length of the messages.", limit, prompt)
	}
	return badRequest("", context+"you requested %d tokens (%d in the messages, %d in the completion). Please reduce the length of the messages or completion.",
		limit, prompt+output, prompt, output)
}

// errorBody is the body of a reply that is an error.
func (v release) errorBody(e *apiError) []byte {
	if e.kind == "" { // the web framework's own
		return append(appendQuoted([]byte(`{"detail":`), e.message), '}')
	}
	b := []byte(`{"error":{`)
	if !v.has(nestedErrors) {
		b = []byte(`{"object":"error",`)
	}
	b = appendQuoted(append(b, `"message":`...), e.message)
	b = appendQuoted(append(b, `,"type":`...), e.kind)
	b = append(b, `,"param":`...)
	if e.param == "" {
		b = append(b, "null"...)
	} else {
		b = appendQuoted(b, e.param)
	}
	b = fmt.Appendf(b, `,"code":%d}`, e.status)
	if v.has(nestedErrors) {
		b = append(b, '}')
	}
	return b
}

// errorEvent is an error inside a stream, where vLLM writes it with blanks.
func (v release) errorEvent(e *apiError) []byte {
	e = v.say(e)
	b := []byte(`data: {"error": {`)
	if !v.has(nestedErrors) {
		b = append(b, `"object": "error", `...)
	}
	if !v.has(typedEvents) {
		e.kind, e.status = kindBadRequest, http.StatusBadRequest
	}
	b = appendQuoted(append(b, `"message": `...), e.message)
	b = appendQuoted(append(b, `, "type": `...), e.kind)
	return fmt.Appendf(b, ", \"param\": null, \"code\": %d}}\n\n", e.status)
}
