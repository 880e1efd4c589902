package vllm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"bench/internal/record"
)

// ErrNoTokenize says that the server has no /tokenize; [Client.ProbeTokens] counts without it.
var ErrNoTokenize = errors.New("the server has no /tokenize")

// tokenizeBody is /tokenize in both its forms. The chat template writes the begin-of-text token
// itself, so special tokens are added to plain prompts only, as generation does.
type tokenizeBody struct {
	Model               string          `json:"model"`
	Prompt              string          `json:"prompt,omitempty"`
	Messages            []Message       `json:"messages,omitempty"`
	Tools               json.RawMessage `json:"tools,omitempty"`
	AddGenerationPrompt bool            `json:"add_generation_prompt,omitempty"`
	AddSpecialTokens    bool            `json:"add_special_tokens"`
}

// CountTokens is the number of prompt tokens that prompt makes at endpoint, template included, by
// the server's own tokenizer. It is ErrNoTokenize where the server has none to ask.
func (c *Client) CountTokens(ctx context.Context, endpoint, prompt string) (int, error) {
	if endpoint == Chat {
		return c.tokenize(ctx, tokenizeBody{Messages: userMessage(prompt), AddGenerationPrompt: true})
	}
	return c.tokenize(ctx, tokenizeBody{Prompt: prompt, AddSpecialTokens: true})
}

// CountMessages is [Client.CountTokens] of a conversation at the chat endpoint, with the tools that it offers.
func (c *Client) CountMessages(ctx context.Context, turns []Message, tools json.RawMessage) (int, error) {
	return c.tokenize(ctx, tokenizeBody{Messages: turns, Tools: tools, AddGenerationPrompt: true})
}

func (c *Client) tokenize(ctx context.Context, body tokenizeBody) (int, error) {
	const path = "/tokenize"
	model := c.served.Load()
	if model == nil {
		return 0, errors.New("the served model is not known yet: ask the server for it first")
	}
	body.Model = *model
	encoded, err := json.Marshal(body)
	if err != nil {
		return 0, fmt.Errorf("encoding the request for %s: %w", path, err)
	}
	a, err := c.call(ctx, http.MethodPost, path, encoded, documentLimit)
	if err != nil {
		return 0, err
	}
	switch a.status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return 0, ErrNoTokenize
	}
	if err := c.expectOK(path, a); err != nil {
		return 0, err
	}
	var doc struct {
		Count *int `json:"count"`
	}
	if json.Unmarshal(a.body, &doc) != nil || doc.Count == nil || *doc.Count < 0 {
		return 0, &Error{Class: record.ErrBadPayload, Status: a.status, Message: path + " answers without a token count"}
	}
	return *doc.Count, nil
}

// ProbeTokens is the number of prompt tokens as usage of a request for one output token tells it.
func (c *Client) ProbeTokens(ctx context.Context, endpoint, prompt string) (int, error) {
	return c.ProbeRequest(ctx, Generate{Endpoint: endpoint, Prompt: prompt})
}

// ProbeRequest is the number of prompt tokens that usage tells of any request, sent for one output token.
func (c *Client) ProbeRequest(ctx context.Context, g Generate) (int, error) {
	g.MaxTokens, g.AnyLength = 1, true
	p, err := c.Prepare(g)
	if err != nil {
		return 0, err
	}
	r := c.Send(ctx, p)
	switch {
	case r.PromptTokens != nil:
		return *r.PromptTokens, nil
	case !r.Success:
		return 0, &Error{Class: r.Error, Status: r.HTTPStatus, Message: r.Message}
	}
	return 0, &Error{Class: record.ErrBadPayload, Status: r.HTTPStatus,
		Message: "the server sends no usage although stream_options.include_usage was set: prompt lengths cannot be proven"}
}

// ignoreEOSProbe is how many tokens are asked for after a question that two tokens answer.
const ignoreEOSProbe = 32

// ProbeIgnoreEOS finds out whether the server honours ignore_eos: a question answered by one word
// must still give every token that was asked for. A server that does not honour it stops early.
// perToken is the time per output token of that answer, 0 where it does not show one.
func (c *Client) ProbeIgnoreEOS(ctx context.Context, endpoint string) (honoured bool, perToken time.Duration, err error) {
	p, err := c.Prepare(Generate{Endpoint: endpoint, Prompt: "Answer with the single word yes: is water wet?",
		MaxTokens: ignoreEOSProbe, IgnoreEOS: true, AnyLength: true})
	if err != nil {
		return false, 0, err
	}
	r := c.Send(ctx, p)
	if !r.Success {
		return false, 0, &Error{Class: r.Error, Status: r.HTTPStatus, Message: r.Message}
	}
	if d, ok := r.TPOT(); ok {
		perToken = d
	}
	// Without a count several tokens may have come in one chunk.
	honoured = r.FinishReason == "length" && (r.CompletionTokens == nil || *r.CompletionTokens == ignoreEOSProbe)
	return honoured, perToken, nil
}
