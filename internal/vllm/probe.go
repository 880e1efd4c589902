package vllm

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"bench/internal/record"
)

const (
	// probeTokens is how many tokens are asked for after a question that two tokens answer.
	probeTokens = 32
	// closeWait is how long a server may take to close a connection that it announced to keep: several times the way
	// there and back of a distant one.
	closeWait = 250 * time.Millisecond
)

// Probe finds out how the server answers: s.Stream and s.IgnoresEOS. A question answered by one word must still give
// every token that was asked for; a server that does not honour ignore_eos stops early. Where the model answers
// no question shortly by itself, nothing is proven, and only servers that are known to honour it are believed.
// Where a server refuses the request, it is asked without vLLM's own fields, then without stream_options, and so are all
// requests after that.
// perToken is the time per output token of that answer, 0 where it does not show one.
func (c *Client) Probe(ctx context.Context, endpoint string, s *record.Server) (perToken time.Duration, err error) {
	r, head, err := c.probe(ctx, endpoint, true)
	for _, without := range []*atomic.Bool{&c.plain, &c.noUsage} {
		if status := statusOf(err); status != http.StatusBadRequest && status != http.StatusUnprocessableEntity {
			break
		}
		refused := err
		without.Store(true)
		if r, head, err = c.probe(ctx, endpoint, true); err == nil {
			s.Refuses = clean(refused.Error())
		}
	}
	if err != nil {
		return 0, err
	}
	perToken, _ = r.TPOT()
	s.Stream = &record.Stream{Usage: r.CompletionTokens != nil, Done: r.Done, Chunks: r.CountedTokens, Tokens: r.CompletionTokens}
	if v := head.Get("X-Litellm-Version"); v != "" {
		s.Gateway = clean(gatewayLiteLLM + " " + v)
	}
	if s.Stream.KeepsConnection, err = c.streams.kept(ctx, closeWait); err != nil {
		return perToken, err
	}
	switch {
	case c.plain.Load(), !full(r):
		s.IgnoresEOS = new(false)
	case s.Engine == record.EngineVLLM || s.Engine == record.EngineSGLang || s.Engine == record.EngineLlamaCpp:
		s.IgnoresEOS = new(true)
	default:
		if r, _, err = c.probe(ctx, endpoint, false); err != nil {
			return perToken, err
		}
		if s.IgnoresEOS = nil; !full(r) {
			s.IgnoresEOS = new(true)
		}
	}
	return perToken, nil
}

func (c *Client) probe(ctx context.Context, endpoint string, ignoreEOS bool) (record.Request, http.Header, error) {
	p, err := c.Prepare(Generate{Endpoint: endpoint, Prompt: "Answer with the single word yes: is water wet?",
		MaxTokens: probeTokens, IgnoreEOS: ignoreEOS, AnyLength: true})
	if err != nil {
		return record.Request{}, nil, err
	}
	r, head := c.send(ctx, p, nil)
	if !r.Success {
		return r, head, &Error{Class: r.Error, Status: r.HTTPStatus, Message: r.Message}
	}
	return r, head, nil
}

// full says whether a probe gave all that was asked for. Without usage several tokens may have come in one chunk.
func full(r record.Request) bool {
	return r.FinishReason == "length" && (r.CompletionTokens == nil || *r.CompletionTokens == probeTokens)
}
