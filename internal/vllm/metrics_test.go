package vllm

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"bench/internal/record"
)

func TestParseMetricsOfVersions(t *testing.T) {
	for file, want := range map[string]struct {
		running, prompt, finished, kv float64
		cacheLabel, cacheValue        string
		hasPrefix                     bool
	}{
		"testdata/metrics-v0.prom": {3, 42633, 98, 0.06913470115967886, "block_size", "16", false},
		"testdata/metrics-v1.prom": {8, 43724, 109, 0.1661047027506655, "num_gpu_blocks", "11271", true},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseMetrics(text)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if *s.Running != want.running || *s.PromptTokens != want.prompt || *s.FinishedRequests != want.finished || *s.KVUsage != want.kv {
			t.Errorf("%s: %v %v %v %v", file, *s.Running, *s.PromptTokens, *s.FinishedRequests, *s.KVUsage)
		}
		if s.CacheConfig[want.cacheLabel] != want.cacheValue || (s.PrefixQueries != nil) != want.hasPrefix {
			t.Errorf("%s: cache config %v, prefix queries %v", file, s.CacheConfig, s.PrefixQueries)
		}
		if _, ok := s.CacheConfig["engine"]; ok {
			t.Errorf("%s: the engine's number is no fact of its cache", file)
		}
	}
}

// TestParseMetricsOfOthers: names that other servers document are read where they mean the same as vLLM's, and nothing is made
// up of what they do not tell.
func TestParseMetricsOfOthers(t *testing.T) {
	for name, tc := range map[string]struct {
		text, family string
		want         map[string]float64
		lacks        []string
	}{
		"SGLang": {`sglang:num_running_reqs{model_name="m",tp_rank="0"} 3.0
sglang:num_queue_reqs{model_name="m",tp_rank="0"} 2.0
sglang:token_usage{model_name="m",tp_rank="0"} 0.28
sglang:prompt_tokens_total{model_name="m"} 8128.0
sglang:generation_tokens_total{model_name="m"} 4400.0
sglang:cached_tokens_total{model_name="m",cache_source="device"} 64.0
sglang:num_requests_total{model_name="m"} 44.0
sglang:time_to_first_token_seconds_sum{model_name="m"} 8.8
sglang:time_to_first_token_seconds_count{model_name="m"} 44.0
`, record.EngineSGLang, map[string]float64{"running": 3, "waiting": 2, "kv": 0.28, "prompt": 8128, "output": 4400, "hits": 64, "queries": 8128, "finished": 44, "ttft": 8.8},
			[]string{"preemptions"}},
		"TGI": {`tgi_batch_current_size 4
tgi_queue_size 7
tgi_request_input_length_sum 900
tgi_request_input_length_count 9
tgi_request_generated_tokens_sum 8123
tgi_request_generated_tokens_count 44
tgi_request_success{kind="full"} 44
`, record.EngineTGI, map[string]float64{"running": 4, "waiting": 7, "prompt": 900, "output": 8123, "finished": 44},
			[]string{"kv_usage", "preemptions", "prefix_cache_hits", "ttft"}},
		"llama.cpp, older": {`llamacpp:prompt_tokens_total 100
llamacpp:tokens_predicted_total 50
llamacpp:requests_processing 2
llamacpp:requests_deferred 1
`, record.EngineLlamaCpp, map[string]float64{"running": 2, "waiting": 1, "output": 50},
			[]string{"kv_usage", "preemptions", "prompt_tokens", "finished_requests", "prefix_cache_hits", "ttft"}},
	} {
		s, err := parseMetrics([]byte(tc.text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for what, got := range map[string]*float64{"running": s.Running, "waiting": s.Waiting, "kv": s.KVUsage, "prompt": s.PromptTokens, "output": s.GenerationTokens,
			"hits": s.PrefixHits, "queries": s.PrefixQueries, "finished": s.FinishedRequests, "ttft": s.Times[record.TimeTTFT].Sum} {
			want, told := tc.want[what]
			if (got != nil) != told || told && *got != want {
				t.Errorf("%s: %s told: %v, want %v (%v)", name, what, got != nil, want, told)
			}
		}
		if s.Family != tc.family || !slices.Equal(s.Lacks(), tc.lacks) {
			t.Errorf("%s: of %q, without %v; want %q, %v", name, s.Family, s.Lacks(), tc.family, tc.lacks)
		}
		for _, n := range s.FinishedBy {
			if n != nil {
				t.Errorf("%s: reasons that it does not tell: %v", name, *n)
			}
		}
	}
}

// TestParseMetricsTimes: the server's own times, reasons and queues, under the names of both generations.
func TestParseMetricsTimes(t *testing.T) {
	type timing struct{ sum, count float64 }
	for file, want := range map[string]struct {
		times     map[int]timing
		finished  map[int]float64
		waitingAt *float64 // for capacity
	}{
		"testdata/metrics-v0.prom": {
			times: map[int]timing{record.TimeQueue: {18.51708470760976, 98}, record.TimeTTFT: {30.805220469560933, 101}, record.TimeITL: {390.8126999999814, 21856}},
			// V0 serves the reasons that have occurred: nothing was aborted, and later reasons it does not know.
			finished: map[int]float64{0: 60, 1: 38, 2: 0},
		},
		"testdata/metrics-v1.prom": {
			times:     map[int]timing{record.TimeQueue: {685.6795078541091, 109}, record.TimeTTFT: {791.7422209467862, 117}},
			finished:  map[int]float64{0: 63, 1: 46, 2: 0, 3: 0, 4: 0},
			waitingAt: new(21.0),
		},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s, err := parseMetrics(text)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range want.times {
			if got := s.Times[i]; got.Sum == nil || *got.Sum != w.sum || *got.Count != w.count {
				t.Errorf("%s: %s is %v, want %v", file, record.ServerTimes[i], got, w)
			}
		}
		for i, reason := range record.FinishReasons {
			w, served := want.finished[i]
			if got := s.FinishedBy[i]; (got != nil) != served || served && *got != w {
				t.Errorf("%s: finished by %s is %v, want %v", file, reason, got, w)
			}
		}
		if got := s.WaitingFor[0]; (got != nil) != (want.waitingAt != nil) || got != nil && *got != *want.waitingAt {
			t.Errorf("%s: waiting for capacity is %v", file, got)
		}
	}
}

// TestParseMetricsEngines: a data-parallel server's counters add up, the fullest engine decides.
func TestParseMetricsEngines(t *testing.T) {
	var text strings.Builder
	for engine, n := range []float64{3, 5} {
		fmt.Fprintf(&text, "vllm:num_requests_running{engine=\"%d\"} %g\nvllm:request_success_total{engine=\"%d\",finished_reason=\"length\"} %g\n", engine, n, engine, 10*n)
		fmt.Fprintf(&text, "vllm:kv_cache_usage_perc{engine=\"%d\"} %g\nvllm:e2e_request_latency_seconds_sum{engine=\"%d\"} %g\nvllm:e2e_request_latency_seconds_count{engine=\"%d\"} 1\n", engine, n/10, engine, n, engine)
	}
	s, err := parseMetrics([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	if *s.Running != 8 || *s.FinishedBy[1] != 80 || *s.KVUsage != 0.5 || s.Engines != 2 || *s.Times[record.TimeE2E].Sum != 8 || *s.Times[record.TimeE2E].Count != 2 {
		t.Errorf("two engines are %+v", s)
	}
}

// TestPickKeepsAll: each wanted series has the value that the parser reads from the whole text, types and all.
func TestPickKeepsAll(t *testing.T) {
	read := func(text []byte) map[string]*dto.MetricFamily {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return families
	}
	texts := map[string][]byte{"0.32": metricsText(t)}
	for _, version := range []string{"v0", "v1"} {
		text, err := os.ReadFile("testdata/metrics-" + version + ".prom")
		if err != nil {
			t.Fatal(err)
		}
		texts[version] = text
	}
	for version, text := range texts {
		kept := pick(text)
		if len(kept) > len(text)/4 {
			t.Errorf("%s: %d of %d bytes are kept", version, len(kept), len(text))
		}
		whole, part := read(text), read(kept)
		served := 0
		for name := range wanted {
			var want, got []float64
			for _, m := range whole[name].GetMetric() { // nil-safe: of these getters only the one of its type is not 0
				want = append(want, m.GetGauge().GetValue()+m.GetCounter().GetValue()+m.GetUntyped().GetValue())
			}
			for _, m := range whole[strings.TrimSuffix(name, "_sum")].GetMetric() {
				if m.Histogram != nil {
					want = append(want, m.Histogram.GetSampleSum())
				}
			}
			for _, m := range whole[strings.TrimSuffix(name, "_count")].GetMetric() {
				if m.Histogram != nil {
					want = append(want, float64(m.Histogram.GetSampleCount()))
				}
			}
			for _, m := range part[name].GetMetric() {
				got = append(got, m.GetUntyped().GetValue())
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s is %v, in the whole text %v", version, name, got, want)
			}
			served += min(len(want), 1)
		}
		if served < 15 {
			t.Errorf("%s: only %d wanted names are served", version, served)
		}
	}
}

func TestParseMetricsUnknown(t *testing.T) {
	const running = "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine=\"0\"} "
	for name, text := range map[string]string{
		"no vLLM":  "# TYPE go_goroutines gauge\ngo_goroutines 5\n",
		"web page": "<html><body>hello</body></html>\n",
		"cut":      running + "4",
		"empty":    "",
	} {
		if s, err := parseMetrics([]byte(text)); err == nil {
			t.Errorf("%s: got %+v, want an error", name, s)
		}
	}
	s, err := parseMetrics([]byte(running + "NaN\n" + "# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc{engine=\"0\"} NaN\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.25\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Running != nil || s.Waiting != nil || s.KVUsage == nil || *s.KVUsage != 0.25 || len(s.KVUsageByEngine) != 1 {
		t.Errorf("NaN and missing names must be nil, the other engine's usage 0.25: %+v", s)
	}
}

func FuzzParseMetrics(f *testing.F) {
	for _, file := range []string{"testdata/metrics-v0.prom", "testdata/metrics-v1.prom"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text[:4000]))
	}
	f.Add("vllm:num_requests_running 1\nvllm:kv_cache_usage_perc{engine=\"a\"} 0.5\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseMetrics([]byte(text))
		if err != nil {
			return
		}
		if s.Engines < 1 || !strings.Contains(text, "vllm:") {
			t.Errorf("an engine out of nothing: %+v", s)
		}
		for _, v := range []*float64{s.Running, s.Waiting, s.KVUsage, s.Preemptions, s.PromptTokens, s.GenerationTokens} {
			if v != nil && math.IsNaN(*v) {
				t.Errorf("NaN as a value: %+v", s)
			}
		}
		for _, v := range s.KVUsageByEngine {
			if v > *s.KVUsage {
				t.Errorf("engine at %g is fuller than the fullest at %g", v, *s.KVUsage)
			}
		}
	})
}
