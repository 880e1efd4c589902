package vllm

import (
	"cmp"
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
	PromptIDs         []int     // Completions: token ids in its place
	Images            []string  // Chat: data URIs that go with Prompt
	Tools, ToolChoice json.RawMessage
	Model             string // served name; "" is the one that was settled
	AskedPromptTokens int    // noted in the record; the server is not told
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

// Message is one message of a conversation.
type Message struct {
	Role    string
	Content string
	Images  []string        // data URIs, after the text
	Raw     json.RawMessage // the whole message, in place of the rest; nil where that says all
}

// MarshalJSON is the message as OpenAI's API has it. go-openai's own leaves an empty text out, which an answer may have.
func (m Message) MarshalJSON() ([]byte, error) {
	var content any = m.Content
	switch {
	case m.Raw != nil:
		return m.Raw, nil
	case len(m.Images) > 0:
		parts := []openai.ChatMessagePart{{Type: openai.ChatMessagePartTypeText, Text: m.Content}}
		for _, uri := range m.Images {
			parts = append(parts, openai.ChatMessagePart{Type: openai.ChatMessagePartTypeImageURL, ImageURL: &openai.ChatMessageImageURL{URL: uri}})
		}
		content = parts
	}
	return json.Marshal(struct {
		Role    string `json:"role"`
		Content any    `json:"content"`
	}{m.Role, content})
}

// messages are what the chat endpoint is sent.
func (g *Generate) messages() []Message {
	if len(g.Messages) > 0 {
		return g.Messages
	}
	return userMessage(g.Prompt, g.Images...)
}

func userMessage(text string, images ...string) []Message {
	return []Message{{Role: openai.ChatMessageRoleUser, Content: text, Images: images}}
}

// Prepared is a request ready to be written. It may be sent more than once.
type Prepared struct {
	gen Generate
	message
}

// chatBody and completionBody are go-openai's requests with vLLM's own fields beside them, and
// with the fields that go-openai cannot express shadowed: its temperature leaves out 0 and has 32
// bits, its seed has the width of an int. A field of the outer struct wins over an embedded one
// of the same JSON name.
type chatBody struct {
	openai.ChatCompletionRequest
	Messages    []Message       `json:"messages"`
	Tools       json.RawMessage `json:"tools,omitempty"`
	ToolChoice  json.RawMessage `json:"tool_choice,omitempty"`
	MaxTokens   int             `json:"max_tokens"` // what every version of vLLM reads, unlike its successor
	Temperature float64         `json:"temperature"`
	IgnoreEOS   bool            `json:"ignore_eos,omitempty"`
	CacheSalt   string          `json:"cache_salt,omitempty"`
	Seed        *int64          `json:"seed,omitempty"`
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
	name := cmp.Or(g.Model, *model)
	chatOnly := len(g.Messages) > 0 || len(g.Images) > 0 || g.Tools != nil
	switch {
	case chatOnly && g.Endpoint != Chat:
		return nil, fmt.Errorf("the %s endpoint takes a text, not messages, images or tools", g.Endpoint)
	case len(g.PromptIDs) > 0 && g.Endpoint != Completions:
		return nil, fmt.Errorf("the %s endpoint takes no token ids", g.Endpoint)
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
				Model: name, Stream: true, StreamOptions: usage,
			},
			Messages: g.messages(), Tools: g.Tools, ToolChoice: g.ToolChoice,
			MaxTokens: g.MaxTokens, Temperature: g.Temperature, IgnoreEOS: g.IgnoreEOS, CacheSalt: g.CacheSalt, Seed: g.Seed,
		}
	case Completions:
		var prompt any = g.Prompt
		if len(g.PromptIDs) > 0 {
			prompt = g.PromptIDs
		}
		body = completionBody{
			CompletionRequest: openai.CompletionRequest{
				Model: name, MaxTokens: g.MaxTokens, Stream: true, StreamOptions: usage, Prompt: prompt,
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
	req, err := c.head(g)
	if err != nil {
		return nil, fmt.Errorf("building the request: %w", err)
	}
	msg, err := c.streams.dialer.message(req, encoded)
	// What is in the body already need not be kept for as long as the request waits.
	g.Messages, g.Images, g.PromptIDs, g.Tools, g.ToolChoice = nil, nil, nil, nil, nil
	return &Prepared{gen: g, message: msg}, err
}
