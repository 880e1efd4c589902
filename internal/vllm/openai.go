package vllm

import (
	"context"
	"errors"
	"net/http"

	openai "github.com/sashabaranov/go-openai"

	"bench/internal/record"
)

// Of a request, go-openai makes the head before it is sent (URL, headers, key) and decodes the answer where that is
// an error. What lies between is the exchange's.

// trip takes the place of go-openai's HTTP client for one call.
type trip func(*http.Request) (*http.Response, error)

type tripKey struct{}

// errOnlyMade ends the trip of a request that go-openai is to make and not to send.
var errOnlyMade = errors.New("vllm: the request was made and not sent")

// doer is the HTTP client given to go-openai: it makes the trip that the request's context carries.
type doer struct{}

// Do makes the trip.
func (doer) Do(req *http.Request) (*http.Response, error) {
	do, ok := req.Context().Value(tripKey{}).(trip)
	if !ok {
		return nil, errors.New("vllm: request without a trip")
	}
	return do(req)
}

// stream lets go-openai ask for a stream. The empty requests given to it are never sent, and its rules about OpenAI's own
// model names see no name.
func (c *Client) stream(endpoint string, do trip) error {
	ctx := context.WithValue(context.Background(), tripKey{}, do)
	var err error
	if endpoint == Chat {
		_, err = c.openai.CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{})
	} else {
		_, err = c.openai.CreateCompletionStream(ctx, openai.CompletionRequest{Prompt: ""})
	}
	return err
}

// head is a request without its body.
func (c *Client) head(g Generate) (*http.Request, error) {
	var made *http.Request
	err := c.stream(g.Endpoint, func(req *http.Request) (*http.Response, error) {
		made = req.WithContext(context.Background())
		return nil, errOnlyMade
	})
	if made == nil {
		return nil, err
	}
	if g.RequestID != "" {
		made.Header.Set("X-Request-Id", g.RequestID)
	}
	return made, nil
}

// refusal is the error that an answer without a stream is.
func (c *Client) refusal(resp *http.Response, endpoint string) error {
	err := c.stream(endpoint, func(*http.Request) (*http.Response, error) { return resp, nil })
	if err == nil { // a status that is neither an error's nor a stream's
		err = &Error{Class: record.ErrBadPayload, Status: resp.StatusCode, Message: redirectText(resp.StatusCode)}
	}
	return err
}
