package sim

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"unicode/utf8"
)

// generation is a checked request for text.
type generation struct {
	chat    bool
	id      string // of the answer, with its prefix
	created int64  // Unix seconds
	request *request

	stream          bool
	includeUsage    bool
	continuousUsage bool
	tokenIDs        bool   // return_token_ids
	usageOff        int    // prompt tokens that usage says too many
	model           string // as it was asked for
	messages        int    // of a chat
	images, tools   int
	think           int    // so many of its first tokens are reasoning
	tool            string // the function that it calls; "" for none
	fault           requestFault
}

// unsupportedFields are members that change the answer in ways the simulator does not know. Values
// that ask for nothing are let through. What only shapes the choice of tokens (top_p, penalties,
// seed, …) is taken and makes no difference: the text is noise.
var unsupportedFields = []string{
	"best_of", "chat_template", "continue_final_message", "echo", "guided_json", "guided_regex", "kv_transfer_params",
	"logit_bias", "logprobs", "n", "prompt_embeds", "prompt_logprobs", "response_format", "stop", "stream_interval",
	"structured_outputs", "top_logprobs", "truncate_prompt_tokens", "use_beam_search",
}

// asksNothing are values that leave an unsupported member without effect.
var asksNothing = []string{"null", "false", "0", `""`, "[]", "{}", `{"type":"text"}`}

func checkUnsupported(f fields) *apiError {
	for _, name := range unsupportedFields {
		raw, ok := f[name]
		if !ok || slices.Contains(asksNothing, string(raw)) {
			continue
		}
		if single := name == "n" || name == "best_of" || name == "stream_interval"; single && string(raw) == "1" {
			continue
		}
		return unsupported(name, fmt.Sprintf("%s=%.40s", name, raw))
	}
	return nil
}

func (s *Server) completions(x *exchange)     { s.generate(x, false) }
func (s *Server) chatCompletions(x *exchange) { s.generate(x, true) }

func (s *Server) generate(x *exchange, chat bool) {
	defer s.logged(x)()
	f, body, bad := x.fields()
	if bad != nil {
		x.fail(bad)
		return
	}
	g, bad := s.parseGeneration(x, f, chat)
	if bad != nil {
		x.fail(bad)
		return
	}
	// The engine's own check comes after the headers of a stream are out.
	if bad := s.checkVocabulary(g.request.prompt); bad != nil {
		if early := s.v.has(earlyChecks) && !s.v.has(namedParameters); g.stream && !early {
			s.startStream(x)
			_, _ = x.w.Write(s.v.errorEvent(bad))
			_, _ = x.w.Write(doneEvent)
		} else {
			x.fail(bad)
		}
		return
	}
	g.request.seed = hashText(uint64(s.config.Seed), string(body))
	if g.request.order == "" {
		g.request.order = fmt.Sprintf("%016x", g.request.seed)
	}
	switch g.fault = s.config.Faults.strikes(g.request.seed); g.fault {
	case faultTooMany:
		x.fail(tooMany)
		return
	case faultShort:
		g.request.maxTokens = max(1, g.request.maxTokens/2)
		g.request.minTokens = min(g.request.minTokens, g.request.maxTokens)
	}
	if !s.core.submit(g.request) {
		x.fail(engineBusy)
		return
	}
	x.log.accepted(g)
	if g.stream {
		s.startStream(x)
		s.streamAnswer(x, g)
		return
	}
	s.wholeAnswer(x, g)
}

// parseGeneration checks a request in the order in which vLLM does.
func (s *Server) parseGeneration(x *exchange, f fields, isChat bool) (*generation, *apiError) {
	g := &generation{chat: isChat, created: x.start.Unix()}
	r := &request{arrived: x.start, out: newOutbox()}
	g.request = r

	var asked chat
	var bad *apiError
	if isChat {
		if asked, bad = s.readChat(f); bad != nil {
			return nil, bad
		}
		g.messages, g.images = len(asked.messages), asked.images()
		g.tools, g.tool = readTools(f)
	}
	if bad := g.parseStreaming(f); bad != nil {
		return nil, bad
	}
	if bad := s.parseSampling(r, f); bad != nil {
		return nil, bad
	}
	if bad := checkUnsupported(f); bad != nil {
		return nil, bad
	}
	if g.model, bad = s.checkModel(f); bad != nil {
		return nil, bad
	}
	output, bad := s.askedOutput(f, isChat)
	if bad != nil {
		return nil, bad
	}
	if isChat {
		if bad = s.checkCharacters(asked.textLength()); bad == nil {
			r.prompt, r.pictures = s.tokens.chatPrompt(asked, true)
			bad = s.v.overflow(s.engine.MaxModelLen, len(r.prompt), true, output)
		}
	} else {
		r.prompt, bad = s.parsePrompt(f, output)
	}
	if bad != nil {
		return nil, bad
	}
	r.promptTokens = len(r.prompt)
	if bad := s.parseLimits(r, f, output); bad != nil {
		return nil, bad
	}
	g.usageOff = s.config.Faults.UsageOff
	r.ignoreEOS = r.ignoreEOS && !s.config.Faults.HeedEOS

	name, bad := f.text("request_id")
	if bad != nil {
		return nil, bad
	}
	if header := x.r.Header.Get("X-Request-Id"); header != "" {
		name = header
	}
	r.order = name
	if name == "" {
		name = s.newID(s.v.idDigits())
	}
	g.id = "cmpl-" + name
	if isChat {
		g.id = "chatcmpl-" + name
		g.think = int(s.config.Reasoning * float64(r.maxTokens))
	}
	if g.model != s.name {
		r.salt = g.model + "\x00" + r.salt // what one adapter has computed another cannot use
	}
	return g, nil
}

func (g *generation) parseStreaming(f fields) (bad *apiError) {
	if g.stream, bad = f.boolean("stream", false); bad != nil {
		return bad
	}
	if g.tokenIDs, bad = f.boolean("return_token_ids", false); bad != nil {
		return bad
	}
	options, bad := f.object("stream_options")
	if bad != nil || options == nil {
		return bad
	}
	if !g.stream {
		return badRequest("stream_options", "Stream options can only be defined when `stream=True`. (parameter=stream_options)")
	}
	if g.includeUsage, bad = options.boolean("include_usage", false); bad != nil {
		return bad
	}
	continuous, bad := options.boolean("continuous_usage_stats", false)
	g.continuousUsage = continuous && g.includeUsage
	return bad
}

// maxSaltLength is vLLM's.
const maxSaltLength = 128

func (s *Server) parseSampling(r *request, f fields) *apiError {
	temperature, _, bad := f.number("temperature")
	switch {
	case bad != nil:
		return bad
	case temperature < 0:
		return badRequest("temperature", "temperature must be non-negative, got %[1]s. (parameter=temperature, value=%[1]s)", pythonFloat(temperature))
	case temperature > 2 && s.v.has(hotRefused):
		return badRequest("temperature", "temperature must be in [0, 2], got %[1]s. (parameter=temperature, value=%[1]s)", pythonFloat(temperature))
	}
	if r.ignoreEOS, bad = f.boolean("ignore_eos", false); bad != nil {
		return bad
	}
	r.salt, bad = f.text("cache_salt")
	if f.given("cache_salt") && (bad != nil || r.salt == "") {
		return badRequest("cache_salt", "Parameter 'cache_salt' must be a non-empty string if provided. (parameter=cache_salt)")
	}
	if s.v.has(newestMembers) && (utf8.RuneCountInString(r.salt) > maxSaltLength || containsAny(r.salt, "@/\\\x00")) {
		return badRequest("cache_salt", `Parameter 'cache_salt' must be at most 128 characters and must not contain '@', '/', '\\', or NUL. (parameter=cache_salt)`)
	}
	ids, bad := f.integers("stop_token_ids", math.MinInt)
	if bad != nil {
		return bad
	}
	r.stopIDs = map[int]bool{}
	for _, id := range ids {
		r.stopIDs[id] = true
	}
	if f.given("suffix") {
		if raw := f["prompt"]; len(raw) > 0 && raw[0] != '"' {
			return badRequest("suffix", "suffix requires text prompt input for FIM completion rendering")
		}
		return badRequest("suffix", "suffix is only supported for models with FIM completion rendering")
	}
	return nil
}

func containsAny(s, bytes string) bool {
	for i := range len(s) {
		for j := range len(bytes) {
			if s[i] == bytes[j] {
				return true
			}
		}
	}
	return false
}

// parsePrompt reads the prompt of a completion: a text, token ids, or a list with one of either.
func (s *Server) parsePrompt(f fields, output int) ([]int, *apiError) {
	raw := f["prompt"]
	if !f.given("prompt") || string(raw) == `""` {
		return nil, badRequest("prompt", "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)")
	}
	noPrompt := badRequest("", "You must pass at least one prompt")
	var several []json.RawMessage
	if json.Unmarshal(raw, &several) == nil {
		if len(several) == 0 {
			return nil, noPrompt
		}
		if several[0][0] == '"' || several[0][0] == '[' {
			if len(several) > 1 {
				return nil, unsupported("prompt", fmt.Sprintf("%d prompts in one request", len(several)))
			}
			raw = several[0]
			noPrompt = badRequest("", "The decoder prompt cannot be empty")
		}
	}
	var ids []int
	if json.Unmarshal(raw, &ids) == nil {
		if len(ids) == 0 {
			return nil, noPrompt
		}
		return ids, s.v.overflow(s.engine.MaxModelLen, len(ids), false, output)
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		// It may have one of four forms and has none.
		list := problem("list_type", "body.prompt", "Input should be a valid list", pythonValue(raw))
		return nil, invalid("body.prompt", list, list, problem("string_type", "body.prompt", "Input should be a valid string", pythonValue(raw)), list)
	}
	if bad := s.checkCharacters(utf8.RuneCountInString(text)); bad != nil {
		return nil, bad
	}
	special, bad := f.boolean("add_special_tokens", true)
	if bad != nil {
		return nil, bad
	}
	if special {
		ids = append(ids, tokenBOS)
	}
	ids = s.tokens.encode(ids, text)
	if len(ids) == 0 {
		return nil, noPrompt
	}
	return ids, s.v.overflow(s.engine.MaxModelLen, len(ids), true, output)
}

// checkCharacters refuses a text that is too long whatever its tokens are, before they are made.
func (s *Server) checkCharacters(n int) *apiError {
	limit := s.engine.MaxModelLen
	if bound := limit * maxTokenChars; n > bound && s.v.has(namedParameters) {
		return badRequest("input_text", "This model's maximum context length is %d tokens. However, your prompt contains %d characters (more than %d characters, which is the upper bound for %d input tokens). Please reduce the length of the input prompt. (parameter=input_text, value=%d)",
			limit, n, bound, limit, n)
	}
	return nil
}

// defaultCompletionTokens is the length of a completion that names none; a chat fills the context.
const defaultCompletionTokens = 16

// askedOutput is how many tokens of output a request asks for; 0 where a chat names none.
func (s *Server) askedOutput(f fields, chat bool) (int, *apiError) {
	field := "max_tokens"
	if chat && f.given("max_completion_tokens") {
		field = "max_completion_tokens"
	}
	n, given, bad := f.integer(field)
	limit := s.engine.MaxModelLen
	switch {
	case bad != nil:
		return 0, bad
	case given && n < 1:
		return 0, badRequest(field, "max_tokens must be at least 1, got %[1]d. (parameter=max_tokens, value=%[1]d)", n)
	case given && n > limit && s.v.has(namedParameters):
		return 0, badRequest(field, "%[1]s=%[2]d cannot be greater than max_model_len=%[3]d. Please request fewer output tokens. (parameter=%[1]s, value=%[2]d)", field, n, limit)
	case !given && !chat:
		return defaultCompletionTokens, nil
	}
	return n, nil
}

// parseLimits settles how long the output may be. As 0.32 does, a length that does not fit the
// context is cut without a word; only a prompt that leaves no room is refused.
func (s *Server) parseLimits(r *request, f fields, output int) (bad *apiError) {
	room := s.engine.MaxModelLen - r.promptTokens
	if output == 0 {
		output = room
	}
	r.maxTokens = min(output, room)
	if r.maxTokens < 1 {
		return badRequest("max_tokens", "max_tokens must be at least 1, got %[1]d. (parameter=max_tokens, value=%[1]d)", r.maxTokens)
	}
	if r.minTokens, _, bad = f.integer("min_tokens"); bad != nil {
		return bad
	}
	switch {
	case r.minTokens < 0:
		return badRequest("", "min_tokens must be greater than or equal to 0, got %d.", r.minTokens)
	case r.minTokens > r.maxTokens:
		return badRequest("", "min_tokens must be less than or equal to max_tokens=%d, got %d.", r.maxTokens, r.minTokens)
	}
	return nil
}

// startStream sends the headers of a stream. vLLM sends them when it has accepted a request, long
// before the first token.
func (s *Server) startStream(x *exchange) {
	x.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	x.status = http.StatusOK
	x.w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(x.w).Flush() // a client that is gone shows by its context
}
