package vllm

import (
	"math"
	"os"
	"strings"
	"testing"
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
