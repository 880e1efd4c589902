package sim

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// exchange is one HTTP request and its answer.
type exchange struct {
	w      http.ResponseWriter
	r      *http.Request
	v      release
	start  time.Time
	status int
	size   int       // bytes of the body where they are known beforehand; streams count 0, as in vLLM
	log    *LogEntry // nil where no log is kept, or of requests for something else than text
}

// reply answers with a whole body.
func (x *exchange) reply(status int, contentType string, body []byte) {
	h := x.w.Header()
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	x.status, x.size = status, len(body)
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // a client that is gone needs no answer
}

func (x *exchange) json(status int, body []byte) { x.reply(status, "application/json", body) }

func (x *exchange) fail(e *apiError) {
	e = x.v.say(e)
	x.json(e.status, x.v.errorBody(e))
}

// fields reads the request's JSON body.
func (x *exchange) fields() (fields, []byte, *apiError) {
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxRequestBytes))
	if err != nil {
		return nil, nil, badRequest("", "reading the request: %v", err)
	}
	f, bad := readFields(x.r.Header.Get("Content-Type"), body)
	return f, body, bad
}

// route is one path of the API.
type route struct {
	methods string // space-separated
	quiet   bool   // not counted in http_… metrics
	serve   func(x *exchange)
}

// routes is the API's handler.
func (s *Server) routes() http.Handler {
	healthy := func(x *exchange) { x.reply(http.StatusOK, "", nil) }
	table := map[string]route{
		"/health":              {"GET", true, healthy},
		"/ping":                {"GET POST", true, healthy},
		"/version":             {"GET", true, s.version},
		"/load":                {"GET", true, s.load},
		"/metrics":             {"GET", true, s.metrics},
		"/metrics/":            {"GET", true, s.metrics},
		"/v1/models":           {"GET", false, s.models},
		"/tokenize":            {"POST", false, s.tokenize},
		"/detokenize":          {"POST", false, s.detokenize},
		"/v1/completions":      {"POST", false, s.completions},
		"/v1/chat/completions": {"POST", false, s.chatCompletions},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{w: w, r: r, v: s.v, start: time.Now()}
		found, known := table[r.URL.Path]
		name := r.URL.Path
		direct := strings.TrimSuffix(r.URL.Path, "/")
		withoutSlash := table[direct]
		switch {
		case !s.authorized(r):
			x.json(http.StatusUnauthorized, []byte(`{"error":"Unauthorized"}`))
			return // refused before anything is counted
		case !known && withoutSlash.serve != nil:
			x.header()
			w.Header().Set("Location", "http://"+r.Host+direct)
			x.reply(http.StatusTemporaryRedirect, "", nil)
		case !known:
			name = "none"
			x.header()
			x.json(http.StatusNotFound, []byte(`{"detail":"Not Found"}`))
		case !strings.Contains(" "+found.methods+" ", " "+r.Method+" "):
			name = "none"
			x.header()
			w.Header().Set("Allow", strings.ReplaceAll(found.methods, " ", ", "))
			x.json(http.StatusMethodNotAllowed, []byte(`{"detail":"Method Not Allowed"}`))
			if found.quiet {
				return
			}
		default:
			x.header()
			found.serve(x)
			if found.quiet {
				return
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.traffic.count(name, r.Method, x.status, max(0, r.ContentLength), x.size, time.Since(x.start))
	})
}

// header sets what every answer but a 401 has.
func (x *exchange) header() { x.w.Header().Set("Vary", "Origin") }

// authorized says whether the request carries the key where one is asked for. vLLM guards /v1 only.
func (s *Server) authorized(r *http.Request) bool {
	if s.config.APIKey == "" || !strings.HasPrefix(r.URL.Path, "/v1") || r.Method == http.MethodOptions {
		return true
	}
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer") && key == s.config.APIKey
}

func (s *Server) version(x *exchange) {
	x.json(http.StatusOK, fmt.Appendf(nil, `{"version":"%s"}`, s.engine.Version))
}

// load is always 0: vLLM counts requests there only when started with a flag.
func (s *Server) load(x *exchange) { x.json(http.StatusOK, []byte(`{"server_load":0}`)) }

func (s *Server) models(x *exchange) {
	created := time.Now().Unix()
	card := func(b []byte, id, root, parent, maxLen string) []byte {
		return fmt.Appendf(b, `{"id":%s,"object":"model","created":%d,"owned_by":"vllm","root":%s,"parent":%s,"max_model_len":%s,`+
			`"permission":[{"id":"modelperm-%s","object":"model_permission","created":%d,"allow_create_engine":false,"allow_sampling":true,"allow_logprobs":true,`+
			`"allow_search_indices":false,"allow_view":true,"allow_fine_tuning":false,"organization":"*","group":null,"is_blocking":false}]}`,
			quoted(id), created, quoted(root), parent, maxLen, s.newID(s.v.idDigits()), created)
	}
	b := card([]byte(`{"object":"list","data":[`), s.name, s.root, "null", strconv.Itoa(s.engine.MaxModelLen))
	for _, name := range s.config.LoRAModules {
		b = card(append(b, ','), name, "/adapters/"+name, string(quoted(s.name)), "null")
	}
	x.json(http.StatusOK, append(b, "]}"...))
}

func quoted[T string | []byte](s T) []byte { return appendQuoted(nil, s) }

func (s *Server) tokenize(x *exchange) {
	f, _, bad := x.fields()
	if bad == nil {
		_, bad = s.checkModel(f)
	}
	if bad != nil {
		x.fail(bad)
		return
	}
	ids, bad := s.tokenizeInput(f)
	if bad != nil {
		x.fail(bad)
		return
	}
	withText, bad := f.boolean("return_token_strs", false)
	if bad != nil {
		x.fail(bad)
		return
	}
	b := fmt.Appendf(nil, `{"count":%d,"max_model_len":%d,"tokens":`, len(ids), s.engine.MaxModelLen)
	b = appendInts(b, ids)
	if !s.v.has(tokenStrings) {
		x.json(http.StatusOK, append(b, '}'))
		return
	}
	b = append(b, `,"token_strs":`...)
	if withText {
		for i, id := range ids {
			b = append(b, "[,"[min(i, 1)])
			b = appendQuoted(b, s.tokens.decode([]int{id}))
		}
		if len(ids) == 0 {
			b = append(b, '[')
		}
		b = append(b, ']')
	} else {
		b = append(b, "null"...)
	}
	x.json(http.StatusOK, append(b, '}'))
}

// tokenizeInput is the tokens of either form of /tokenize: a chat, which has its BOS from the
// template, or a text, which gets one.
func (s *Server) tokenizeInput(f fields) ([]int, *apiError) {
	if f.given("messages") {
		asked, bad := s.readChat(f)
		if bad != nil {
			return nil, bad
		}
		open, bad := f.boolean("add_generation_prompt", true)
		ids, _ := s.tokens.chatPrompt(asked, open)
		return ids, bad
	}
	if !f.given("prompt") {
		return nil, f.missing("prompt", "messages")
	}
	text, bad := f.text("prompt")
	if bad != nil {
		return nil, bad
	}
	special, bad := f.boolean("add_special_tokens", true)
	var ids []int
	if special {
		ids = append(ids, tokenBOS)
	}
	return s.tokens.encode(ids, text), bad
}

func (s *Server) detokenize(x *exchange) {
	f, _, bad := x.fields()
	if bad == nil {
		_, bad = s.checkModel(f)
	}
	if bad == nil && !f.given("tokens") {
		bad = f.missing("tokens")
	}
	var ids []int
	if bad == nil {
		ids, bad = f.integers("tokens", 0)
	}
	if bad == nil {
		bad = s.checkVocabulary(ids)
	}
	if bad != nil {
		x.fail(bad)
		return
	}
	b := appendQuoted([]byte(`{"prompt":`), s.tokens.decode(ids))
	x.json(http.StatusOK, append(b, '}'))
}

// checkModel is the model that a request is for, or an adapter; none means the model. What is not served is refused.
func (s *Server) checkModel(f fields) (string, *apiError) {
	name, bad := f.text("model")
	if bad != nil || name == "" {
		return s.name, bad
	}
	if name == s.name || slices.Contains(s.config.LoRAModules, name) {
		return name, nil
	}
	return "", &apiError{http.StatusNotFound, "NotFoundError", "model", fmt.Sprintf("The model `%s` does not exist. Valid aliases: %s.", name, s.name)}
}

func (s *Server) checkVocabulary(ids []int) *apiError {
	for _, id := range ids {
		if id < 0 || id >= s.config.Model.Vocab {
			return badRequest("", "Token id %d is out of vocabulary", id)
		}
	}
	return nil
}

func appendInts(b []byte, list []int) []byte {
	b = append(b, '[')
	for i, n := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return append(b, ']')
}
