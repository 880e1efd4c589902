package vllm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"bench/internal/record"
)

// marks are what one kind of server is known by. The strongest are an owner of its models and names of its metrics;
// an endpoint of its own is asked where neither shows, and for what it tells.
type marks struct {
	engine string
	owner  string                              // owned_by of the model
	path   string                              // its own endpoint
	tells  func(s *record.Server, d told) bool // reads its answer; false where it is another server's
}

// told are the members of interest of all those endpoints' answers.
type told struct {
	Version   string            `json:"version"`
	BuildInfo string            `json:"build_info"`
	Data      []json.RawMessage `json:"data"`
	Models    []struct {
		Name    string `json:"name"`
		Context int    `json:"context_length"`
	} `json:"models"`
	Settings struct {
		Context int `json:"n_ctx"`
	} `json:"default_generation_settings"`
	Slots          int    `json:"total_slots"`
	Context        int    `json:"context_length"`
	MaxTotalTokens int    `json:"max_total_tokens"`
	LiteLLM        string `json:"litellm_version"`
	DB             string `json:"db"`
}

// kinds are the servers that can be told apart, in the order in which their endpoints are asked.
var kinds = []marks{
	{record.EngineVLLM, "vllm", "/version", func(s *record.Server, d told) bool {
		s.EngineVersion = d.Version
		return d.Version != ""
	}},
	{record.EngineLlamaCpp, "llamacpp", "/props", func(s *record.Server, d told) bool {
		s.EngineVersion, s.Slots = d.BuildInfo, d.Slots
		setContext(s, d.Settings.Context)
		return d.BuildInfo != "" || d.Slots > 0
	}},
	{record.EngineSGLang, "sglang", "/get_server_info", func(s *record.Server, d told) bool {
		s.EngineVersion = d.Version
		setContext(s, d.Context)
		return d.Version != ""
	}},
	{record.EngineOllama, "library", "/api/version", func(s *record.Server, d told) bool {
		s.EngineVersion = d.Version
		return d.Version != ""
	}},
	{record.EngineTGI, "", "/info", func(s *record.Server, d told) bool {
		s.EngineVersion = d.Version
		setContext(s, d.MaxTotalTokens)
		return d.MaxTotalTokens > 0
	}},
	{record.EngineLMStudio, "organization_owner", "/api/v0/models", func(_ *record.Server, d told) bool { return len(d.Data) > 0 }},
}

func setContext(s *record.Server, n int) {
	if s.MaxModelLen == 0 && n > 0 {
		s.MaxModelLen = n
	}
}

// identify finds out which server answers, from what it said so far and from endpoints that only one kind has.
func (c *Client) identify(ctx context.Context, s *record.Server, owner string, header http.Header, metrics string) {
	sign := func(engine, format string, args ...any) {
		if s.Engine == "" {
			s.Engine = engine
		}
		if text := clean(fmt.Sprintf(format, args...)); s.Engine == engine && !slices.Contains(s.EngineSigns, text) {
			s.EngineSigns = append(s.EngineSigns, text)
		}
	}
	for _, k := range kinds {
		if owner != "" && owner == k.owner {
			sign(k.engine, "owned_by %q", owner)
		}
	}
	server := header.Get("Server")
	if strings.HasPrefix(server, record.EngineLlamaCpp) {
		sign(record.EngineLlamaCpp, "header Server: %s", server)
	}
	if metrics != "" {
		sign(metrics, "names of its metrics")
	}
	for _, k := range kinds {
		if s.Engine != "" && s.Engine != k.engine {
			continue
		}
		if c.asks(ctx, k.path, func(d told) bool { return k.tells(s, d) }) {
			sign(k.engine, "%s answers as its does", k.path)
		}
	}
	if s.Engine == "" {
		const path = "/extras/tokenize/count"
		if a, err := c.call(ctx, http.MethodGet, path, nil, documentLimit); err == nil && a.status == http.StatusMethodNotAllowed {
			sign(record.EngineLlamaCppPy, "it has %s", path)
		}
	}
	s.EngineVersion = clean(s.EngineVersion)
	if s.Engine == record.EngineOllama {
		c.asks(ctx, "/api/ps", func(d told) bool {
			for _, m := range d.Models {
				if m.Name == s.ServedModel {
					setContext(s, m.Context)
				}
			}
			return true
		})
	}
	c.gateway(ctx, s, header)
}

// asks reads an endpoint that only some servers have; false where it has none, or f does not know the answer.
func (c *Client) asks(ctx context.Context, path string, f func(told) bool) bool {
	a, err := c.get(ctx, path, documentLimit)
	var d told
	return err == nil && json.Unmarshal(a.body, &d) == nil && f(d)
}

// gatewayLiteLLM asks the servers behind it for an answer whenever its /health is asked, so that is not done.
const gatewayLiteLLM = "LiteLLM"

// proxies put their names into the Server header of what they pass on.
var proxies = []string{"nginx", "openresty", "envoy", "istio-envoy", "cloudflare", "caddy", "kong", "awselb"}

// gateway finds what stands before the server. What it hides is not looked for.
func (c *Client) gateway(ctx context.Context, s *record.Server, header http.Header) {
	if s.Engine == "" {
		c.asks(ctx, "/health/readiness", func(d told) bool {
			if d.LiteLLM != "" || d.DB != "" {
				s.Gateway = strings.TrimSpace(gatewayLiteLLM + " " + clean(d.LiteLLM))
				c.healthPath.Store(new("/health/liveliness"))
			}
			return true
		})
	}
	server := header.Get("Server")
	for _, p := range proxies {
		if s.Gateway == "" && strings.HasPrefix(strings.ToLower(server), p) {
			s.Gateway = clean(server)
		}
	}
	if via := header.Get("Via"); s.Gateway == "" && via != "" {
		s.Gateway = clean("Via: " + via)
	}
}
