// Package vllm owns the client side of a vLLM server, and of others that speak OpenAI's API: which one
// it is, streamed generation with stamps taken at the socket, model list, tokenizer, health and metrics.
// One call is one attempt on one connection; nothing is ever sent again unseen. It never decides what to
// send, when, or what a result means beyond the success of its own request, and it prints nothing.
package vllm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	openai "github.com/sashabaranov/go-openai"

	"bench/internal/clock"
)

const (
	defaultTimeout = 60 * time.Second
	// connectLimit bounds DNS, TCP, proxy and TLS together.
	connectLimit = 10 * time.Second
)

// Options say which server to talk to and how.
type Options struct {
	BaseURL string // http(s)://host[:port][/prefix][/v1]
	APIKey  string // sent as a bearer token to BaseURL's host and nowhere else
	Model   string // served name; needed only where a server serves several models
	// Timeout bounds one request from its first byte sent to its last byte read; 0 means 60 s.
	Timeout time.Duration
	Clock   *clock.Clock // every stamp is taken with it
	// Dial replaces real sockets, for a server within the process. Proxies are not used then.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Client talks to one vLLM server. It is safe for use by many goroutines; Close it when done.
type Client struct {
	root   *url.URL // base without /v1
	key    string
	asked  string // Options.Model
	served atomic.Pointer[string]
	// templates says that tokens are counted as llama.cpp does it, wholeUsage that only whole answers tell usage.
	templates, wholeUsage atomic.Bool
	// plain leaves out vLLM's own fields of a request, noUsage the wish for usage: of a server that refuses them.
	plain, noUsage atomic.Bool
	healthPath     atomic.Pointer[string]
	timeout        time.Duration
	clock          *clock.Clock
	openai         *openai.Client
	// Two pools: a scrape must never take a connection that was opened for a measured request.
	streams *pool
	control *pool
}

// New checks the options and makes a client; it opens no connection.
func New(o Options) (*Client, error) {
	root, err := parseBase(o.BaseURL)
	if err != nil {
		return nil, err
	}
	if o.Clock == nil {
		return nil, errors.New("vllm: Options.Clock is missing")
	}
	if strings.ContainsFunc(o.APIKey, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, errors.New("the API key contains a blank or a control character: check VLLM_API_KEY, OPENAI_API_KEY or the key file")
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	d := &dialer{target: root, clock: o.Clock, dial: o.Dial, limit: connectLimit}
	if o.Dial == nil {
		d.dial = (&net.Dialer{}).DialContext
		// ProxyFromEnvironment leaves loopback alone.
		if d.proxy, err = http.ProxyFromEnvironment(&http.Request{URL: root}); err != nil {
			return nil, errors.New("the proxy in HTTP_PROXY or HTTPS_PROXY is not a valid URL")
		}
		if d.proxy != nil && d.proxy.Scheme != "http" {
			return nil, fmt.Errorf("a proxy of kind %q is not supported: use an http:// proxy, or name the server's host in NO_PROXY", d.proxy.Scheme)
		}
	}
	if root.Scheme == "https" {
		// HTTP/1.1 only: one request a connection is what makes a read's stamp belong to a request.
		d.tls = &tls.Config{ServerName: root.Hostname(), NextProtos: []string{"http/1.1"}}
	}
	c := &Client{root: root, key: o.APIKey, asked: o.Model, timeout: o.Timeout, clock: o.Clock,
		streams: &pool{dialer: d}, control: &pool{dialer: d}}
	c.healthPath.Store(new("/health"))
	if o.Model != "" {
		c.served.Store(&o.Model)
	}
	cfg := openai.DefaultConfig(o.APIKey)
	cfg.BaseURL = root.String() + "/v1"
	cfg.HTTPClient = doer{}
	c.openai = openai.NewClientWithConfig(cfg)
	return c, nil
}

// parseBase reads a base URL and takes /v1 off its path. No error shows the text of a URL with
// user info in it.
func parseBase(raw string) (*url.URL, error) {
	const form = "give it as http://HOST:PORT, with a path prefix where there is one, or sim: for the simulator"
	if strings.Contains(raw, "@") {
		return nil, errors.New("the base URL holds a user name or password: pass a key in VLLM_API_KEY instead")
	}
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Host == "" || u.Hostname() == "" {
		return nil, fmt.Errorf("%q is no base URL: %s", raw, form)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("base URL %q: only http and https are spoken: %s", raw, form)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("base URL %q has a query or a fragment: %s", raw, form)
	}
	path := strings.TrimRight(u.Path, "/")
	path = strings.TrimRight(strings.TrimSuffix(path, "/v1"), "/")
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: path}, nil
}

// BaseURL is the server's address without /v1; it holds no secret.
func (c *Client) BaseURL() string { return c.root.String() }

// Open makes sure that n connections are established (TLS done) and idle, ready for the next n
// sends. Connections that the server has closed or is about to close are replaced.
func (c *Client) Open(ctx context.Context, n int) error {
	if err := c.streams.fill(ctx, n); err != nil {
		return c.failure(ctx, err, c.timeout)
	}
	return nil
}

// Close closes idle connections and waits for their watchers. Requests in flight go on; their
// connections are closed when they end.
func (c *Client) Close() {
	c.streams.close()
	c.control.close()
}
