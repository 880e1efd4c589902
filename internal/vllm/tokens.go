package vllm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

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
	if c.templates.Load() {
		return c.tokenizeLlama(ctx, body)
	}
	model := c.served.Load()
	if model == nil {
		return 0, errors.New("the served model is not known yet: ask the server for it first")
	}
	body.Model = *model
	var doc struct {
		Count *int `json:"count"`
	}
	if err := c.ask(ctx, path, body, &doc); err != nil {
		return 0, err
	}
	if doc.Count == nil || *doc.Count < 0 {
		return 0, &Error{Class: record.ErrBadPayload, Status: http.StatusOK, Message: path + " answers without a token count"}
	}
	return *doc.Count, nil
}

// tokenizeLlama counts as llama.cpp's server does: the template is applied by one endpoint, its text cut into tokens by
// another.
func (c *Client) tokenizeLlama(ctx context.Context, body tokenizeBody) (int, error) {
	text := body.Prompt
	if len(body.Messages) > 0 {
		var doc struct {
			Prompt *string `json:"prompt"`
		}
		if err := c.ask(ctx, "/apply-template", map[string]any{"messages": body.Messages}, &doc); err != nil {
			return 0, err
		}
		if doc.Prompt == nil {
			return 0, ErrNoTokenize
		}
		text = *doc.Prompt
	}
	var doc struct {
		Tokens []json.RawMessage `json:"tokens"`
	}
	if err := c.ask(ctx, "/tokenize", map[string]any{"content": text, "add_special": true, "parse_special": true}, &doc); err != nil {
		return 0, err
	}
	if len(doc.Tokens) == 0 {
		return 0, ErrNoTokenize
	}
	return len(doc.Tokens), nil
}

// ask posts a document and reads the answer's. It is ErrNoTokenize where there is no such endpoint.
func (c *Client) ask(ctx context.Context, path string, body, doc any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding the request for %s: %w", path, err)
	}
	a, err := c.call(ctx, http.MethodPost, path, encoded, documentLimit)
	if err != nil {
		return err
	}
	switch a.status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return ErrNoTokenize
	}
	if err := c.expectOK(path, a); err != nil {
		return err
	}
	if json.Unmarshal(a.body, doc) != nil {
		return &Error{Class: record.ErrBadPayload, Status: a.status, Message: path + " answers with something that was not asked for"}
	}
	return nil
}

// ProbeTokens is the number of prompt tokens as usage of a request for one output token tells it: of a stream, or of a
// whole answer where streams come without.
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
	if c.wholeUsage.Load() {
		return c.wholeTokens(ctx, g.Endpoint, p)
	}
	r := c.Send(ctx, p)
	switch {
	case r.PromptTokens != nil:
		return *r.PromptTokens, nil
	case !r.Success:
		return 0, &Error{Class: r.Error, Status: r.HTTPStatus, Message: r.Message}
	}
	n, err := c.wholeTokens(ctx, g.Endpoint, p)
	if err == nil {
		c.wholeUsage.Store(true)
	}
	return n, err
}

// wholeTokens sends a request whose answer comes in one piece.
func (c *Client) wholeTokens(ctx context.Context, endpoint string, p *Prepared) (int, error) {
	path := "/v1/completions"
	if endpoint == Chat {
		path = "/v1/chat/completions"
	}
	whole := map[string]json.RawMessage{}
	if err := json.Unmarshal(p.payload, &whole); err != nil {
		return 0, fmt.Errorf("encoding the request for %s: %w", path, err)
	}
	delete(whole, "stream")
	delete(whole, "stream_options")
	var doc struct {
		Usage struct {
			Prompt *int `json:"prompt_tokens"`
		} `json:"usage"`
	}
	if err := c.ask(ctx, path, whole, &doc); err != nil {
		return 0, err
	}
	if doc.Usage.Prompt == nil {
		return 0, &Error{Class: record.ErrBadPayload, Status: http.StatusOK,
			Message: "the server tells no usage, neither with a stream nor with a whole answer: prompts of a given length cannot be made"}
	}
	return *doc.Usage.Prompt, nil
}
