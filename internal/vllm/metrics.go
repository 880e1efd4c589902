package vllm

import (
	"bytes"
	"context"
	"fmt"
	"math"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"bench/internal/record"
)

// Names of what is read, newest first; the first one served counts.
const (
	metricCacheConfig = "vllm:cache_config_info"
	engineLabel       = "engine"
	// onlyEngine is how versions without engine labels are numbered.
	onlyEngine = "0"
)

// Metrics scrapes /metrics once. Counters and request gauges of several engines are added, KV
// usage is kept by engine and the fullest decides. What is not served or not a number is nil; an
// answer that is cut or does not parse is dropped whole, since a counter that seems to fall would
// be worse than none.
func (c *Client) Metrics(ctx context.Context) (record.ServerSample, error) {
	a, err := c.get(ctx, "/metrics", metricsLimit)
	if err != nil {
		return record.ServerSample{}, err
	}
	s, err := parseMetrics(a.body)
	if err != nil {
		return record.ServerSample{}, &Error{Class: record.ErrBadPayload, Status: a.status, Message: clean("/metrics: " + err.Error())}
	}
	s.AtNS = a.atNS
	return s, nil
}

// parseMetrics reads one exposition.
func parseMetrics(text []byte) (record.ServerSample, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return record.ServerSample{}, fmt.Errorf("not in the Prometheus text format, or cut: %w", err)
	}
	f := exposition(families)
	s := record.ServerSample{
		Running:          f.sum("vllm:num_requests_running"),
		Waiting:          f.sum("vllm:num_requests_waiting"),
		Swapped:          f.sum("vllm:num_requests_swapped"),
		Preemptions:      f.sum("vllm:num_preemptions_total", "vllm:num_preemptions"),
		PromptTokens:     f.sum("vllm:prompt_tokens_total", "vllm:prompt_tokens"),
		GenerationTokens: f.sum("vllm:generation_tokens_total", "vllm:generation_tokens"),
		FinishedRequests: f.sum("vllm:request_success_total", "vllm:request_success"),
		PrefixQueries:    f.sum("vllm:prefix_cache_queries_total", "vllm:prefix_cache_queries", "vllm:gpu_prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries"),
		PrefixHits:       f.sum("vllm:prefix_cache_hits_total", "vllm:prefix_cache_hits", "vllm:gpu_prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits"),
		CacheConfig:      f.labels(metricCacheConfig),
	}
	s.KVUsageByEngine = f.byEngine("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
	for _, usage := range s.KVUsageByEngine {
		if s.KVUsage == nil || usage > *s.KVUsage {
			s.KVUsage = new(usage)
		}
	}
	s.Engines = f.engines("vllm:num_requests_running", "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
	if s.Engines == 0 {
		return record.ServerSample{}, fmt.Errorf("no metric of a vLLM engine is served (started with --disable-log-stats?)")
	}
	return s, nil
}

// exposition is a parsed scrape by family name.
type exposition map[string]*dto.MetricFamily

// first is the first family served under one of names.
func (e exposition) first(names []string) []*dto.Metric {
	for _, name := range names {
		if f := e[name]; f != nil {
			return f.GetMetric()
		}
	}
	return nil
}

// sum adds every series; nil where there is none or one of them is no number.
func (e exposition) sum(names ...string) *float64 {
	series := e.first(names)
	if len(series) == 0 {
		return nil
	}
	var total float64
	for _, m := range series {
		v, ok := value(m)
		if !ok {
			return nil
		}
		total += v
	}
	return &total
}

// byEngine is the greatest value of each engine's series; nil where none is a number.
func (e exposition) byEngine(names ...string) map[string]float64 {
	var out map[string]float64
	for _, m := range e.first(names) {
		v, ok := value(m)
		if !ok {
			continue
		}
		if out == nil {
			out = map[string]float64{}
		}
		engine := engineOf(m)
		if old, seen := out[engine]; !seen || v > old {
			out[engine] = v
		}
	}
	return out
}

// engines counts the engines that serve any of names.
func (e exposition) engines(names ...string) int {
	seen := map[string]bool{}
	for _, name := range names {
		if f := e[name]; f != nil {
			for _, m := range f.GetMetric() {
				seen[engineOf(m)] = true
			}
		}
	}
	return len(seen)
}

// labels are the labels of a family's first series, without the engine's number.
func (e exposition) labels(name string) map[string]string {
	f := e[name]
	if f == nil || len(f.GetMetric()) == 0 {
		return nil
	}
	out := map[string]string{}
	for _, l := range f.GetMetric()[0].GetLabel() {
		if l.GetName() != engineLabel {
			out[l.GetName()] = l.GetValue()
		}
	}
	return out
}

func engineOf(m *dto.Metric) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == engineLabel {
			return l.GetValue()
		}
	}
	return onlyEngine
}

// value is a series' number; ok is false for NaN, the infinities, and what is no single number.
func value(m *dto.Metric) (v float64, ok bool) {
	switch {
	case m.GetGauge() != nil:
		v = m.GetGauge().GetValue()
	case m.GetCounter() != nil:
		v = m.GetCounter().GetValue()
	case m.GetUntyped() != nil:
		v = m.GetUntyped().GetValue()
	default:
		return 0, false
	}
	return v, !math.IsNaN(v) && !math.IsInf(v, 0)
}
