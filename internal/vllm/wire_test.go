package vllm

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bench/internal/clock"
	"bench/internal/record"
)

const wireFolder = "testdata/wire"

// wireCase is one entry of cases.json: a reply that some real server sends, with the right answer.
type wireCase struct {
	Name     string `json:"name"`
	Endpoint string `json:"endpoint"`
	Request  struct {
		MaxTokens int  `json:"max_tokens"`
		IgnoreEOS bool `json:"ignore_eos"`
		TimeoutMS int  `json:"timeout_ms"`
	} `json:"request"`
	Sequence *struct {
		Requests int `json:"requests"`
		GapMS    int `json:"gap_ms"`
	} `json:"sequence"`
	Expect wireExpect `json:"expect"`
}

type wireExpect struct {
	Success           bool                `json:"success"`
	ErrorClass        record.ErrorClass   `json:"error_class"`
	ErrorClassAny     []record.ErrorClass `json:"error_class_any"`
	ContentEvents     int                 `json:"content_events"`
	FirstContentIndex *int                `json:"first_content_event_index"`
	CompletionTokens  *int                `json:"completion_tokens"`
	PromptTokens      *int                `json:"prompt_tokens"`
	CountedTokens     *int                `json:"counted_tokens"`
	FinishReason      string              `json:"finish_reason"`
	Text              *string             `json:"text"`
	TextBytes         int                 `json:"text_bytes"`
	TextSHA256        string              `json:"text_sha256"`
	Reasoning         bool                `json:"reasoning"`
	ReasoningText     string              `json:"reasoning_text"`
	Done              bool                `json:"done"`
	Coalesced         bool                `json:"coalesced"`
	Requests          int                 `json:"requests"`

	Model       string   `json:"model"`
	Root        string   `json:"root"`
	MaxModelLen int      `json:"max_model_len"`
	BaseNames   []string `json:"base_names"`
	Adapters    []string `json:"adapters"`

	Running          *float64           `json:"running"`
	Waiting          *float64           `json:"waiting"`
	Swapped          *float64           `json:"swapped"`
	KVUsage          *float64           `json:"kv_usage"`
	KVUsageMax       *float64           `json:"kv_usage_max"`
	KVUsageByEngine  map[string]float64 `json:"kv_usage_by_engine"`
	Preemptions      *float64           `json:"preemptions"`
	GenerationTokens *float64           `json:"generation_tokens"`
	Engines          int                `json:"engines"`
}

// classOK says whether class is one of the right ones.
func (e *wireExpect) classOK(class record.ErrorClass) bool {
	return class == e.ErrorClass || slices.Contains(e.ErrorClassAny, class)
}

func wireCases(t testing.TB) []wireCase {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(wireFolder, "cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Cases []wireCase `json:"cases"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Cases
}

// newClient makes a client of base that the test closes.
func newClient(t testing.TB, o Options) *Client {
	t.Helper()
	o.Clock = clock.New(0)
	if o.Model == "" {
		o.Model = "gemma-12b"
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestWireCases runs every case through the whole client against a server that sends its bytes.
func TestWireCases(t *testing.T) {
	cases := wireCases(t)
	ran := map[string]bool{}
	for _, tc := range cases {
		t.Run(tc.Name, func(t *testing.T) {
			data, ctl := readReply(t, wireFolder, tc.Name)
			server := startReplay(t, func(path string) ([]byte, []directive) {
				switch {
				case strings.HasSuffix(path, "/reply-2"):
					return readReply(t, wireFolder, tc.Name+".2")
				case tc.Endpoint == "models" && !strings.HasSuffix(path, "/models"):
					return []byte("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"), nil
				}
				return data, ctl
			})
			c := newClient(t, Options{BaseURL: server.url(), Timeout: time.Duration(tc.Request.TimeoutMS) * time.Millisecond})
			switch tc.Endpoint {
			case Chat, Completions:
				checkStream(t, c, server, &tc)
				checkText(t, data, &tc.Expect)
			case "models":
				checkModels(t, server, &tc.Expect)
			case "metrics":
				checkMetrics(t, c, &tc.Expect)
			case "tokenize":
				if _, err := c.CountTokens(t.Context(), Chat, "a b"); !errors.Is(err, ErrNoTokenize) {
					t.Errorf("CountTokens: %v, want ErrNoTokenize", err)
				}
			case "health":
				err := c.Health(t.Context())
				if e, ok := errors.AsType[*Error](err); !ok || !tc.Expect.classOK(e.Class) {
					t.Errorf("Health: %v, want class %q", err, tc.Expect.ErrorClass)
				}
			default:
				t.Fatalf("unknown endpoint %q", tc.Endpoint)
			}
			ran[tc.Name] = true
		})
	}
	files, err := filepath.Glob(filepath.Join(wireFolder, "[0-9]*.http"))
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, ".2.http") })
	if len(ran) != 59 || len(files) != 59 {
		t.Errorf("%d cases ran, %d files lie there; both must be 59: ran %v", len(ran), len(files), slices.Sorted(maps.Keys(ran)))
	}
}

func checkStream(t *testing.T, c *Client, server *replay, tc *wireCase) {
	p, err := c.Prepare(Generate{Endpoint: tc.Endpoint, Prompt: "one two three", AskedPromptTokens: 24,
		MaxTokens: tc.Request.MaxTokens, Temperature: 0.7, IgnoreEOS: tc.Request.IgnoreEOS})
	if err != nil {
		t.Fatal(err)
	}
	want, sends := &tc.Expect, 1
	if tc.Sequence != nil {
		sends = tc.Sequence.Requests
	}
	for i := range sends {
		if i > 0 {
			time.Sleep(time.Duration(tc.Sequence.GapMS) * time.Millisecond)
		}
		r := c.Send(t.Context(), p)
		if r.Success != want.Success || !want.classOK(r.Error) {
			t.Errorf("success %v, class %q (%s); want %v, %q", r.Success, r.Error, r.Message, want.Success, want.ErrorClass)
		}
		if r.ContentEvents != want.ContentEvents || r.FinishReason != want.FinishReason || r.Done != want.Done {
			t.Errorf("content events %d, finish %q, done %v; want %d, %q, %v",
				r.ContentEvents, r.FinishReason, r.Done, want.ContentEvents, want.FinishReason, want.Done)
		}
		checkCount(t, "completion tokens", r.CompletionTokens, want.CompletionTokens)
		checkCount(t, "prompt tokens", r.PromptTokens, want.PromptTokens)
		if want.CountedTokens != nil && r.CountedTokens != *want.CountedTokens {
			t.Errorf("counted %d tokens, want %d", r.CountedTokens, *want.CountedTokens)
		}
		if want.Coalesced && r.Coalesced != r.CountedTokens-1 {
			t.Errorf("coalesced %d of %d", r.Coalesced, r.CountedTokens)
		}
		checkLaws(t, &r)
		checkMessage(t, &r)
	}
	if n := max(sends, want.Requests); server.seen() != n {
		t.Errorf("the server saw %d requests, want %d", server.seen(), n)
	}
}

// checkLaws holds what must be true of any record.
func checkLaws(t *testing.T, r *record.Request) {
	t.Helper()
	last := r.SentNS
	for _, s := range []struct {
		what string
		at   *int64
	}{{"headers", r.HeadersNS}, {"first token", r.FirstTokenNS}, {"last token", r.LastTokenNS}, {"end", &r.EndNS}} {
		if s.at == nil {
			continue
		}
		if *s.at < last {
			t.Errorf("%s at %d comes before what precedes it (%d)", s.what, *s.at, last)
		}
		last = *s.at
	}
	tokens := len(r.TokenNS)
	if r.TokensPerRead != nil {
		tokens = 0
		if len(r.TokensPerRead) != len(r.TokenNS) {
			t.Errorf("%d counts for %d reads", len(r.TokensPerRead), len(r.TokenNS))
		}
		for _, n := range r.TokensPerRead {
			tokens += n
		}
	}
	if tokens != r.CountedTokens || r.Coalesced != r.CountedTokens-len(r.TokenNS) {
		t.Errorf("%d tokens by read, %d reads, %d counted, %d coalesced", tokens, len(r.TokenNS), r.CountedTokens, r.Coalesced)
	}
	if len(r.TokenNS) > 0 && (*r.FirstTokenNS != r.TokenNS[0] || *r.LastTokenNS < r.TokenNS[len(r.TokenNS)-1]) {
		t.Errorf("first and last token do not enclose the token stamps")
	}
	if !slices.IsSorted(r.TokenNS) {
		t.Errorf("token stamps go back: %v", r.TokenNS)
	}
	if r.Success != (r.Error == "") || r.Success != (r.Message == "") {
		t.Errorf("success %v, class %q, message %q", r.Success, r.Error, r.Message)
	}
}

func checkMessage(t *testing.T, r *record.Request) {
	t.Helper()
	if len(r.Message) > maxMessage || strings.ContainsFunc(r.Message, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		t.Errorf("message is long or has control characters: %q", r.Message)
	}
}

func checkCount(t *testing.T, what string, got, want *int) {
	t.Helper()
	if (got == nil) != (want == nil) || got != nil && *got != *want {
		t.Errorf("%s: %s, want %s", what, show(got), show(want))
	}
}

func show(n *int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// checkText reads the reply with net/http's own framing and looks at what the parser and the
// scanner make of every event.
func checkText(t *testing.T, data []byte, want *wireExpect) {
	t.Helper()
	if want.Text == nil && want.TextSHA256 == "" {
		return
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data)), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		return
	}
	body, _ := io.ReadAll(resp.Body) // a cut body is read as far as it goes
	if resp.Header.Get("Content-Encoding") == "gzip" {
		zr, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		body, _ = io.ReadAll(zr)
	}
	var (
		p               eventParser
		text, reasoning strings.Builder
		first           *int
	)
	for index := 0; len(body) > 0; {
		ev, n, ok, err := p.next(body)
		if err != nil {
			t.Fatal(err)
		}
		body = body[n:]
		if !ok {
			continue
		}
		var c chunk
		if c.parse(ev.data) && c.visible() && first == nil {
			first = new(index)
		}
		text.WriteString(unquote(c.content))
		reasoning.WriteString(unquote(c.reasoning))
		index++
	}
	checkCount(t, "first content event", first, want.FirstContentIndex)
	switch got := text.String(); {
	case want.Text != nil && got != *want.Text:
		t.Errorf("text %q, want %q", got, *want.Text)
	case want.TextSHA256 != "":
		sum := sha256.Sum256([]byte(got))
		if len(got) != want.TextBytes || hex.EncodeToString(sum[:]) != want.TextSHA256 {
			t.Errorf("text of %d bytes differs", len(got))
		}
	}
	if reasoning.String() != want.ReasoningText {
		t.Errorf("reasoning %q, want %q", reasoning.String(), want.ReasoningText)
	}
}

func checkModels(t *testing.T, server *replay, want *wireExpect) {
	c, err := New(Options{BaseURL: server.url(), Clock: clock.New(0)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.Server(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bases := append([]string{s.ServedModel}, s.OtherModels...)
	if s.ServedModel != want.Model || s.ModelRoot != want.Root || s.MaxModelLen != want.MaxModelLen ||
		!slices.Equal(bases, want.BaseNames) || !slices.Equal(s.Adapters, want.Adapters) {
		t.Errorf("got %+v, want %+v", s, want)
	}
}

func checkMetrics(t *testing.T, c *Client, want *wireExpect) {
	s, err := c.Metrics(context.Background())
	if !want.Success {
		if e, ok := errors.AsType[*Error](err); !ok || !want.classOK(e.Class) {
			t.Errorf("error %v, want class %q", err, want.ErrorClass)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if want.KVUsage == nil {
		want.KVUsage = want.KVUsageMax
	}
	prompt := float64(*want.PromptTokens)
	for _, v := range []struct {
		what      string
		got, want *float64
	}{
		{"running", s.Running, want.Running}, {"waiting", s.Waiting, want.Waiting}, {"swapped", s.Swapped, want.Swapped},
		{"kv usage", s.KVUsage, want.KVUsage}, {"preemptions", s.Preemptions, want.Preemptions},
		{"prompt tokens", s.PromptTokens, &prompt}, {"generation tokens", s.GenerationTokens, want.GenerationTokens},
	} {
		if (v.got == nil) != (v.want == nil) || v.got != nil && *v.got != *v.want {
			t.Errorf("%s: %v, want %v", v.what, v.got, v.want)
		}
	}
	if s.Engines != want.Engines || want.KVUsageByEngine != nil && !maps.Equal(s.KVUsageByEngine, want.KVUsageByEngine) {
		t.Errorf("engines %d %v, want %d %v", s.Engines, s.KVUsageByEngine, want.Engines, want.KVUsageByEngine)
	}
	if s.AtNS == 0 || s.FinishedRequests != nil {
		t.Errorf("stamp %d, finished %v: a name that is not served must be nil", s.AtNS, s.FinishedRequests)
	}
}
