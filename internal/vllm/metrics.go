package vllm

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"bench/internal/record"
)

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

// Names of what is read, newest first; the first one served counts. V0 wrote counters without an engine's
// label and cache names with gpu_ in them; with the Prometheus client's newer format counters end in _total.
// After vLLM's stand the names that other servers give to the same thing; what they count otherwise is left out.
var (
	namesRunning     = []string{"vllm:num_requests_running", "sglang:num_running_reqs", "llamacpp:requests_processing", "tgi_batch_current_size"}
	namesWaiting     = []string{"vllm:num_requests_waiting", "sglang:num_queue_reqs", "llamacpp:requests_deferred", "tgi_queue_size"}
	namesWaitingFor  = []string{"vllm:num_requests_waiting_by_reason"}
	namesSwapped     = []string{"vllm:num_requests_swapped"}
	namesUsage       = []string{"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage"}
	namesPreemptions = []string{"vllm:num_preemptions_total", "vllm:num_preemptions"}
	namesPrompt      = []string{"vllm:prompt_tokens_total", "vllm:prompt_tokens", "sglang:prompt_tokens_total", "tgi_request_input_length_sum"}
	namesGeneration  = []string{"vllm:generation_tokens_total", "vllm:generation_tokens", "sglang:generation_tokens_total", "llamacpp:tokens_predicted_total",
		"tgi_request_generated_tokens_sum"}
	namesFinished      = []string{"vllm:request_success_total", "vllm:request_success", "sglang:num_requests_total", "tgi_request_success"}
	namesPrefixQueries = []string{"vllm:prefix_cache_queries_total", "vllm:prefix_cache_queries", "vllm:gpu_prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries",
		"sglang:prompt_tokens_total"}
	namesPrefixHits = []string{"vllm:prefix_cache_hits_total", "vllm:prefix_cache_hits", "vllm:gpu_prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits",
		"sglang:cached_tokens_total"}
	// llama.cpp counts the prompt tokens that it computes and those that it had kept apart.
	namesComputed = []string{"llamacpp:prompt_tokens_total"}
	namesReused   = []string{"llamacpp:prompt_tokens_cached_total"}
	// namesTimes are histograms, in the order of record.ServerTimes.
	namesTimes = [len(record.ServerTimes)][]string{
		record.TimeQueue:   {"vllm:request_queue_time_seconds", "sglang:queue_time_seconds", "tgi_request_queue_duration"},
		record.TimePrefill: {"vllm:request_prefill_time_seconds"},
		record.TimeDecode:  {"vllm:request_decode_time_seconds"},
		record.TimeTTFT:    {"vllm:time_to_first_token_seconds", "sglang:time_to_first_token_seconds"},
		record.TimeITL:     {"vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds", "sglang:inter_token_latency_seconds"},
		record.TimeE2E:     {"vllm:e2e_request_latency_seconds", "sglang:e2e_request_latency_seconds", "tgi_request_duration"},
	}
)

// Labels that tell series of one family apart.
const (
	reasonLabel   = "reason"
	finishedLabel = "finished_reason"
)

// families are the beginnings of names by the server that gives them.
var families = []struct{ prefix, engine string }{
	{"vllm:", record.EngineVLLM}, {"sglang:", record.EngineSGLang}, {"llamacpp:", record.EngineLlamaCpp}, {"tgi_", record.EngineTGI},
}

// familyOf is the server that gives a metric its name, "" where it is none of those known.
func familyOf(name string) string {
	for _, f := range families {
		if strings.HasPrefix(name, f.prefix) {
			return f.engine
		}
	}
	return ""
}

// reasonsOfAll are the finish reasons that every version knows. V0 serves each from its first occurrence on: where the
// family is served without one of them, it has not occurred.
var reasonsOfAll = []string{"stop", "length", "abort"}

// wanted are the names of the lines that are read: two dozen of a thousand.
var wanted = func() map[string]bool {
	out := map[string]bool{metricCacheConfig: true}
	for _, names := range [][]string{namesRunning, namesWaiting, namesWaitingFor, namesSwapped, namesUsage, namesPreemptions, namesPrompt, namesGeneration,
		namesFinished, namesPrefixQueries, namesPrefixHits, namesComputed, namesReused} {
		for _, name := range names {
			out[name] = true
		}
	}
	for _, names := range namesTimes {
		for _, name := range names {
			out[name+"_sum"], out[name+"_count"] = true, true
		}
	}
	return out
}()

// firstLetters are those of the families: most lines need no second look.
var firstLetters = func() (set [256]bool) {
	for _, f := range families {
		set[f.prefix[0]] = true
	}
	return set
}()

// pick keeps the lines of wanted names. Without their TYPE lines all of them are plain series to the
// parser, also the sums and counts of histograms whose buckets are left out.
func pick(text []byte) []byte {
	out := make([]byte, 0, 8<<10)
	for len(text) > 0 {
		line := text
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			line = text[:i+1]
		}
		text = text[len(line):]
		if !firstLetters[line[0]] {
			continue
		}
		if i := bytes.IndexAny(line, "{ \t\n"); i > 0 && wanted[string(line[:i])] {
			out = append(out, line...)
		}
	}
	return out
}

// parseMetrics reads one exposition.
func parseMetrics(text []byte) (record.ServerSample, error) {
	var s record.ServerSample
	switch start := bytes.TrimLeft(text, " \t\r\n"); {
	case len(start) == 0:
		return s, fmt.Errorf("the answer is empty")
	case start[0] == '<':
		return s, fmt.Errorf("a web page, not metrics: is this the server's own address?")
	case text[len(text)-1] != '\n':
		return s, fmt.Errorf("the answer is cut in the middle of a line")
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	parsed, err := parser.TextToMetricFamilies(bytes.NewReader(pick(text)))
	if err != nil {
		return s, fmt.Errorf("not in the Prometheus text format: %w", err)
	}
	f := exposition(parsed)
	s = record.ServerSample{
		Running:          f.sum(namesRunning),
		Waiting:          f.sum(namesWaiting),
		Swapped:          f.sum(namesSwapped),
		Preemptions:      f.sum(namesPreemptions),
		PromptTokens:     f.sum(namesPrompt),
		GenerationTokens: f.sum(namesGeneration),
		FinishedRequests: f.sum(namesFinished),
		PrefixQueries:    f.sum(namesPrefixQueries),
		PrefixHits:       f.sum(namesPrefixHits),
		CacheConfig:      f.labels(metricCacheConfig),
	}
	for name := range parsed {
		if s.Family = familyOf(name); s.Family != "" {
			break
		}
	}
	for i, reason := range record.WaitingReasons {
		s.WaitingFor[i] = f.sumOf(namesWaitingFor, reasonLabel, reason)
	}
	for i, reason := range record.FinishReasons {
		s.FinishedBy[i] = f.sumOf(namesFinished, finishedLabel, reason)
		if s.FinishedBy[i] == nil && s.FinishedRequests != nil && s.Family == record.EngineVLLM && slices.Contains(reasonsOfAll, reason) {
			s.FinishedBy[i] = new(0.0)
		}
	}
	for i, names := range namesTimes {
		s.Times[i] = f.timing(names)
	}
	s.KVUsageByEngine = f.byEngine(namesUsage)
	for _, usage := range s.KVUsageByEngine {
		if s.KVUsage == nil || usage > *s.KVUsage {
			s.KVUsage = new(usage)
		}
	}
	if s.PrefixHits == nil {
		s.PrefixQueries = nil
	}
	// Without the second counter, of older versions, it is not known how long the prompts were.
	if computed, reused := f.sum(namesComputed), f.sum(namesReused); computed != nil && reused != nil {
		s.PromptTokens, s.PrefixHits = new(*computed+*reused), reused
		s.PrefixQueries = s.PromptTokens
	}
	s.Engines = f.engines(slices.Concat(namesRunning, namesUsage))
	if s.Engines == 0 {
		return record.ServerSample{}, fmt.Errorf("no metric of a known engine is served (a vLLM started with --disable-log-stats?)")
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
func (e exposition) sum(names []string) *float64 { return total(e.first(names)) }

// sumOf adds the series that have a label of that value.
func (e exposition) sumOf(names []string, label, value string) *float64 {
	var series []*dto.Metric
	for _, m := range e.first(names) {
		if labelOf(m, label) == value {
			series = append(series, m)
		}
	}
	return total(series)
}

// timing is a histogram's sum and count, both of them or none.
func (e exposition) timing(names []string) record.Timing {
	for _, name := range names {
		sum, count := total(e.first([]string{name + "_sum"})), total(e.first([]string{name + "_count"}))
		if sum != nil && count != nil {
			return record.Timing{Sum: sum, Count: count}
		}
	}
	return record.Timing{}
}

func total(series []*dto.Metric) *float64 {
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
func (e exposition) byEngine(names []string) map[string]float64 {
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
func (e exposition) engines(names []string) int {
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
	if engine := labelOf(m, engineLabel); engine != "" {
		return engine
	}
	return onlyEngine
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// value is a series' number, untyped since pick keeps no TYPE line; ok is false for NaN and the infinities.
func value(m *dto.Metric) (v float64, ok bool) {
	v = m.GetUntyped().GetValue()
	return v, !math.IsNaN(v) && !math.IsInf(v, 0)
}
