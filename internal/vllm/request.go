package vllm

import (
	"encoding/json"
	"errors"
	"fmt"

	openai "github.com/sashabaranov/go-openai"
)

// Endpoints that generate.
const (
	Chat        = "chat"
	Completions = "completions"
)

// Generate is what to generate.
type Generate struct {
	Endpoint          string    // Chat or Completions
	Prompt            string    // one user message, or the prompt text
	Messages          []Message // Chat: a whole conversation in its place
	AskedPromptTokens int       // noted in the record; the server is not told
	MaxTokens         int
	Temperature       float64 // always sent: a server's own default comes from the checkpoint
	IgnoreEOS         bool
	// AnyLength accepts an output shorter than MaxTokens although IgnoreEOS is set: for servers
	// known not to honour it.
	AnyLength bool
	CacheSalt string // separates prefix caches; "" sends none
	Seed      *int64
	RequestID string // sent as X-Request-Id; "" sends none
}

// Message is one turn of a conversation.
type Message struct{ Role, Content string }

// messages are what the chat endpoint is sent.
func messages(prompt string, turns []Message) []openai.ChatCompletionMessage {
	if len(turns) == 0 {
		return []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: prompt}}
	}
	out := make([]openai.ChatCompletionMessage, len(turns))
	for i, t := range turns {
		out[i] = openai.ChatCompletionMessage{Role: t.Role, Content: t.Content}
	}
	return out
}

// Prepared is a request with its body encoded, so that nothing but the write stands between the
// schedule and the wire. It may be sent more than once.
type Prepared struct {
	gen  Generate
	body []byte
}

// chatBody and completionBody are go-openai's requests with vLLM's own fields beside them, and
// with the fields that go-openai cannot express shadowed: its temperature leaves out 0 and has 32
// bits, its seed has the width of an int. A field of the outer struct wins over an embedded one
// of the same JSON name.
type chatBody struct {
	openai.ChatCompletionRequest
	MaxTokens   int     `json:"max_tokens"` // what every version of vLLM reads, unlike its successor
	Temperature float64 `json:"temperature"`
	IgnoreEOS   bool    `json:"ignore_eos,omitempty"`
	CacheSalt   string  `json:"cache_salt,omitempty"`
	Seed        *int64  `json:"seed,omitempty"`
}

type completionBody struct {
	openai.CompletionRequest
	Temperature float64 `json:"temperature"`
	IgnoreEOS   bool    `json:"ignore_eos,omitempty"`
	CacheSalt   string  `json:"cache_salt,omitempty"`
	Seed        *int64  `json:"seed,omitempty"`
}

// Prepare encodes a request. The served name must be known: from Options or from Server.
func (c *Client) Prepare(g Generate) (*Prepared, error) {
	model := c.served.Load()
	if model == nil {
		return nil, errors.New("the served model is not known yet: ask the server for it first")
	}
	if g.MaxTokens < 1 {
		return nil, fmt.Errorf("cannot ask for %d output tokens: at least 1 is needed", g.MaxTokens)
	}
	if len(g.Messages) > 0 && g.Endpoint != Chat {
		return nil, fmt.Errorf("the %s endpoint takes a text, not %d messages", g.Endpoint, len(g.Messages))
	}
	usage := &openai.StreamOptions{IncludeUsage: true}
	if c.noUsage.Load() {
		usage = nil
	}
	if c.plain.Load() {
		g.IgnoreEOS, g.CacheSalt = false, ""
	}
	var body any
	switch g.Endpoint {
	case Chat:
		body = chatBody{
			ChatCompletionRequest: openai.ChatCompletionRequest{
				Model: *model, Stream: true, StreamOptions: usage,
				Messages: messages(g.Prompt, g.Messages),
			},
			MaxTokens: g.MaxTokens, Temperature: g.Temperature, IgnoreEOS: g.IgnoreEOS, CacheSalt: g.CacheSalt, Seed: g.Seed,
		}
	case Completions:
		body = completionBody{
			CompletionRequest: openai.CompletionRequest{
				Model: *model, MaxTokens: g.MaxTokens, Stream: true, StreamOptions: usage, Prompt: g.Prompt,
			},
			Temperature: g.Temperature, IgnoreEOS: g.IgnoreEOS, CacheSalt: g.CacheSalt, Seed: g.Seed,
		}
	default:
		return nil, fmt.Errorf("unknown endpoint %q: %s or %s", g.Endpoint, Chat, Completions)
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	return &Prepared{gen: g, body: encoded}, nil
}
