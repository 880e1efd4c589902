package sizing

import (
	"slices"
	"testing"

	"bench/internal/record"
)

// TestFeatures: a vLLM lacks nothing; of every other server what it lacks is said with what follows, in both languages.
func TestFeatures(t *testing.T) {
	whole := &record.Stream{Usage: true, Done: true, Chunks: 32, Tokens: new(32), KeepsConnection: true}
	for _, tc := range []struct {
		name   string
		server record.Server
		lacks  []string // or does not show
	}{
		{"vLLM", record.Server{Engine: record.EngineVLLM, EngineSigns: []string{"x"}, MaxModelLen: 4096, HasMetrics: true, HasTokenize: true, IgnoresEOS: new(true), Stream: whole}, nil},
		{"llama.cpp", record.Server{Engine: record.EngineLlamaCpp, EngineSigns: []string{"x"}, MaxModelLen: 2048, Slots: 4, HasMetrics: true, MetricsLack: []string{"kv_usage", "preemptions"},
			HasTokenize: true, IgnoresEOS: new(true), Stream: &record.Stream{Usage: true, Done: true, Chunks: 21, Tokens: new(32)}}, []string{"metrics", "connections", "cache_salt"}},
		{"a gateway", record.Server{Gateway: "LiteLLM 1", MetricsAbsent: "HTTP 404", Stream: whole},
			[]string{"engine", "gateway", "context", "tokenizer", "metrics", "ignore_eos", "cache_salt"}},
		{"nothing at all", record.Server{Unlisted: "HTTP 500", MetricsAbsent: "HTTP 404", Refuses: "HTTP 422", IgnoresEOS: new(false), Stream: &record.Stream{Chunks: 4}},
			[]string{"engine", "models", "context", "tokenizer", "metrics", "usage", "fields", "ignore_eos", "connections", "done", "cache_salt"}},
		{"not asked for an answer", record.Server{Engine: record.EngineVLLM, MaxModelLen: 1, HasMetrics: true, HasTokenize: true}, nil},
	} {
		features := Features(tc.server)
		var lacks []string
		for _, f := range features {
			if f.State != record.CheckOK {
				lacks = append(lacks, f.Name)
				if f.Follows.En == "" {
					t.Errorf("%s: nothing follows of %s", tc.name, f.Name)
				}
			}
			if f.Found.En == "" || f.Found.Ko == "" || (f.Follows.En == "") != (f.Follows.Ko == "") {
				t.Errorf("%s: %+v", tc.name, f)
			}
		}
		if !slices.Equal(lacks, tc.lacks) || len(Lacking(features)) != len(lacks) {
			t.Errorf("%s lacks %v, want %v; said %q", tc.name, lacks, tc.lacks, Lacking(features))
		}
	}
}
