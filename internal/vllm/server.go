package vllm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"bench/internal/record"
)

const (
	documentLimit = 8 << 20  // bytes of one JSON document
	metricsLimit  = 32 << 20 // bytes of one scrape
	// firstScrapeLimit is how long /metrics may take to count as served: scrapes come every half second.
	firstScrapeLimit = 5 * time.Second
	// controlTimeout bounds requests that generate nothing: none of them has to wait for a GPU.
	controlTimeout = 15 * time.Second
	// waitEvery is how often a loading server is asked.
	waitEvery = time.Second
)

// answer is a whole answer of a control request.
type answer struct {
	status int
	header http.Header
	body   []byte
	atNS   int64 // read that completed the head
}

// call performs one control request and reads its whole answer. A status of 400 or more is no
// error here.
func (c *Client) call(ctx context.Context, method, path string, payload []byte, limit int64) (answer, error) {
	req, err := http.NewRequest(method, c.root.String()+path, nil)
	if err != nil {
		return answer{}, fmt.Errorf("building the request for %s: %w", path, err)
	}
	req.Header.Set("Accept", "application/json, text/plain")
	if payload != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	msg, err := c.control.dialer.message(req, payload)
	if err != nil {
		return answer{}, err
	}
	ex := &exchange{message: msg, pool: c.control, timeout: min(c.timeout, controlTimeout)}
	defer ex.release()
	resp, err := ex.do(ctx)
	if err != nil {
		return answer{}, c.failure(ctx, err, ex.timeout)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		f := c.failure(ctx, err, ex.timeout)
		return answer{}, &Error{Class: f.Class, Status: resp.StatusCode, Message: path + ": " + f.Message}
	}
	if int64(len(body)) > limit {
		return answer{}, &Error{Class: record.ErrBadPayload, Status: resp.StatusCode,
			Message: fmt.Sprintf("%s answers with more than %d MiB", path, limit>>20)}
	}
	return answer{resp.StatusCode, resp.Header, body, ex.headersNS}, nil
}

// get is call for documents that are there or not: any status but 200 is an Error.
func (c *Client) get(ctx context.Context, path string, limit int64) (answer, error) {
	a, err := c.call(ctx, http.MethodGet, path, nil, limit)
	if err != nil {
		return a, err
	}
	return a, c.expectOK(path, a)
}

func (c *Client) expectOK(path string, a answer) error {
	switch {
	case a.status == http.StatusOK:
		return nil
	case a.status < 400:
		return &Error{Class: record.ErrBadPayload, Status: a.status, Message: path + ": " + redirectText(a.status)}
	}
	f := statusFailure(a.status, errorText(a.body), len(a.body) == 0)
	return &Error{Class: f.Class, Status: a.status, Message: withoutSecrets(path+": "+f.Message, c.key, "")}
}

// modelCard is one entry of /v1/models. Types nobody needs are not decoded: they vary.
type modelCard struct {
	ID          string  `json:"id"`
	Root        string  `json:"root"`
	Parent      *string `json:"parent"`
	MaxModelLen *int    `json:"max_model_len"`
	OwnedBy     string  `json:"owned_by"`
	Meta        struct {
		Context int `json:"n_ctx"` // of llama.cpp
	} `json:"meta"`
}

// Server asks the server about itself and settles the served name that later requests use. What
// it does not serve is left empty; that it is no such server is an error of one line.
func (c *Client) Server(ctx context.Context) (record.Server, error) {
	s := record.Server{BaseURL: c.BaseURL()}
	cards, header, err := c.models(ctx)
	if status := statusOf(err); c.asked != "" && status != 0 && status != http.StatusUnauthorized && status != http.StatusForbidden && !passing(status) {
		// It answers, but tells no models: the name asked for is taken as it is, and the first request proves it.
		s.Unlisted, cards, err = err.Error(), []modelCard{{ID: c.asked}}, nil
	}
	if err != nil {
		return s, err
	}
	owner, err := choose(&s, cards, c.asked)
	if err != nil {
		return s, err
	}
	c.served.Store(&s.ServedModel)
	scrape, cancel := context.WithTimeout(ctx, firstScrapeLimit)
	defer cancel()
	metrics := ""
	if m, err := c.Metrics(scrape); err == nil {
		s.HasMetrics, s.CacheConfig, metrics = true, m.CacheConfig, m.Family
		s.MetricsLack = m.Lacks()
	} else if s.MetricsAbsent = err.Error(); scrape.Err() != nil && ctx.Err() == nil {
		s.MetricsAbsent = fmt.Sprintf("/metrics: no answer in %v", firstScrapeLimit)
	}
	c.identify(ctx, &s, owner, header, metrics)
	c.templates.Store(s.Engine == record.EngineLlamaCpp)
	switch err := c.Health(ctx); {
	case err == nil:
		s.Healthy = new(true)
	case statusOf(err) >= 500:
		s.Healthy = new(false)
	}
	if _, err := c.CountTokens(ctx, Chat, "a"); err == nil {
		s.HasTokenize = true
	}
	return s, ctx.Err()
}

// passing says whether a status is that of a server, or of a proxy before it, which may answer soon.
func passing(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// models are the entries of /v1/models, and the head they came with.
func (c *Client) models(ctx context.Context) ([]modelCard, http.Header, error) {
	const path = "/v1/models"
	a, err := c.get(ctx, path, documentLimit)
	if err != nil {
		if statusOf(err) == http.StatusNotFound {
			return nil, nil, &Error{Class: record.ErrHTTP4xx, Status: http.StatusNotFound, Message: clean(fmt.Sprintf(
				"%s%s answers 404: this is no OpenAI-compatible server, --base-url has too little or too much of a path, or it lists no models: name one with --served-model then", c.BaseURL(), path))}
		}
		return nil, nil, err
	}
	var doc struct {
		Data []modelCard `json:"data"`
	}
	bad := func(what string) error {
		return &Error{Class: record.ErrBadPayload, Status: a.status, Message: clean(fmt.Sprintf(
			"%s%s answers with %s: this is no OpenAI-compatible server; check --base-url", c.BaseURL(), path, what))}
	}
	switch {
	case isHTML(a.body):
		return nil, nil, bad(errorText(a.body))
	case json.Unmarshal(a.body, &doc) != nil:
		return nil, nil, bad("something that is no list of models")
	}
	doc.Data = slices.DeleteFunc(doc.Data, func(m modelCard) bool { return m.ID == "" })
	if len(doc.Data) == 0 {
		return nil, nil, &Error{Class: record.ErrBadPayload, Status: a.status, Message: clean(fmt.Sprintf(
			"%s%s answers with a list without models: check --base-url, or name the model with --served-model", c.BaseURL(), path))}
	}
	return doc.Data, a.header, nil
}

// choose picks the served name: the one asked for, else that of the only base model, and says who owns it. Several
// names of one base model are one model.
func choose(s *record.Server, cards []modelCard, asked string) (owner string, err error) {
	var names []string
	var chosen *modelCard
	several := false
	for i := range cards {
		m := &cards[i]
		names = append(names, m.ID)
		base := m.Parent == nil || *m.Parent == ""
		switch {
		case asked != "" && m.ID == asked:
			chosen = m
		case asked != "" || !base:
		case chosen == nil:
			chosen = m
		case m.Root != chosen.Root || m.Root == "": // where no root is told, each name is a model
			several = true
		}
	}
	switch {
	case chosen == nil && asked != "":
		return "", &Error{Class: record.ErrHTTP4xx, Message: clean(fmt.Sprintf("the server does not serve %q; it serves %s: choose with --served-model", asked, strings.Join(names, ", ")))}
	case chosen == nil:
		return "", &Error{Class: record.ErrBadPayload, Message: clean(fmt.Sprintf("the server lists only adapters (%s): choose with --served-model", strings.Join(names, ", ")))}
	case several:
		return "", &Error{Class: record.ErrHTTP4xx, Message: clean(fmt.Sprintf("the server serves several models (%s): choose with --served-model", strings.Join(names, ", ")))}
	}
	s.ServedModel, s.ModelRoot = chosen.ID, chosen.Root
	if s.ModelRoot == "" {
		s.ModelRoot = chosen.ID
	}
	s.MaxModelLen = maxModelLen(cards, chosen)
	for i := range cards {
		switch m := &cards[i]; {
		case m.Parent != nil && *m.Parent != "":
			s.Adapters = append(s.Adapters, m.ID)
		case m != chosen:
			s.OtherModels = append(s.OtherModels, m.ID)
		}
	}
	return chosen.OwnedBy, nil
}

// maxModelLen is the context of a model; an adapter has that of its base.
func maxModelLen(cards []modelCard, m *modelCard) int {
	if m.MaxModelLen != nil {
		return *m.MaxModelLen
	}
	if m.Meta.Context > 0 {
		return m.Meta.Context
	}
	if m.Parent != nil {
		for i := range cards {
			if cards[i].ID == *m.Parent && cards[i].MaxModelLen != nil {
				return *cards[i].MaxModelLen
			}
		}
	}
	return 0
}

// Health is nil if the server's health endpoint answers 200.
func (c *Client) Health(ctx context.Context) error {
	_, err := c.get(ctx, *c.healthPath.Load(), documentLimit)
	return err
}

// Wait asks /health until it answers. A loading vLLM refuses connections all the time, so refused,
// broken and timed-out connections and 5xx are waited out; any other answer ends the waiting, with
// nil for those of a server that is up but has no such path. progress, if not nil, is told before
// every pause.
func (c *Client) Wait(ctx context.Context, limit time.Duration, progress func(elapsed time.Duration, lastErr error)) error {
	start := time.Now()
	for {
		err := c.Health(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if status := statusOf(err); status != 0 && status < 500 {
			if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
				return nil
			}
			return err
		}
		elapsed := time.Since(start)
		if elapsed+waitEvery > limit {
			return fmt.Errorf("the server was not ready within %s: %w", limit, err)
		}
		if progress != nil {
			progress(elapsed, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(waitEvery):
		}
	}
}

// statusOf is the HTTP status within err, 0 where there was none.
func statusOf(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}
