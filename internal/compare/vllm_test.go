package compare

import (
	"os"
	"strings"
	"testing"

	"bench/internal/record"
)

// testdata/vllm-serve.json is what `vllm bench serve` 0.32 wrote of 16 requests, 8 at a time.
func TestParseVLLM(t *testing.T) {
	data, err := os.ReadFile("testdata/vllm-serve.json")
	if err != nil {
		t.Fatal(err)
	}
	r, model, err := ParseVLLM(data)
	if err != nil {
		t.Fatal(err)
	}
	p := r.Detail.Repeats[0]
	if r.ConcurrentRequests != 8 || p.Requests != 16 || p.Succeeded != 16 || r.MaxOutputTokens != 20 || model == "" {
		t.Errorf("read %+v, repeat %+v, model %q", r, p, model)
	}
	for name, v := range map[string]*float64{"TTFT": p.AvgTTFTMS, "TPOT": p.AvgTPOTMS, "throughput": p.ThroughputTokensPerSec} {
		if v == nil || *v <= 0 {
			t.Errorf("%s is %v", name, v)
		}
	}
	var s Side
	for range 3 {
		if err := s.AddVLLM(r, model); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.Records) != 1 || len(s.Records[0].Detail.Repeats) != 3 {
		t.Errorf("three files of one load are %d tests", len(s.Records))
	}
	if err := s.AddVLLM(r, "another"); err == nil {
		t.Error("a file of another model was added")
	}
}

func TestParseVLLMRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ data, want string }{
		"text":          {"hello", "not a JSON result"},
		"other":         {`{"schema":"bench.run/1"}`, "lacks completed"},
		"open loop":     {`{"completed":1,"num_prompts":1,"output_throughput":1,"request_rate":4}`, "open loop"},
		"too many":      {`{"completed":3,"num_prompts":1,"output_throughput":1}`, "3 of 1"},
		"none at once":  {`{"completed":1,"num_prompts":1,"output_throughput":1,"max_concurrency":0}`, "max_concurrency is 0"},
		"wrong type":    {`{"completed":"many","num_prompts":1}`, "not a JSON result"},
		"empty":         {``, "not a JSON result"},
		"hostile rates": {`{"completed":1,"num_prompts":1,"output_throughput":1,"request_rate":{"<script>":"` + strings.Repeat("x", 4000) + `"}}`, "open loop"},
	} {
		_, _, err := ParseVLLM([]byte(tc.data))
		if err == nil || !strings.Contains(err.Error(), tc.want) || len(err.Error()) > 300 {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	// Where nothing succeeded the tool writes zeros; they are no figures.
	r, _, err := ParseVLLM([]byte(`{"completed":0,"num_prompts":4,"output_throughput":0,"mean_ttft_ms":0,"mean_tpot_ms":0,"request_rate":"inf"}`))
	if p := r.Detail.Repeats[0]; err != nil || p.AvgTTFTMS != nil || p.ThroughputTokensPerSec != nil || p.Succeeded != 0 {
		t.Errorf("a failed run: %v, %+v", err, p)
	}
}

func FuzzParseVLLM(f *testing.F) {
	f.Add([]byte(`{"completed":8,"num_prompts":8,"output_throughput":100.5,"mean_ttft_ms":12,"request_rate":"inf","max_concurrency":4}`))
	f.Add([]byte(`{"completed":8,"num_prompts":8,"output_throughput":1e308}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, _, err := ParseVLLM(data)
		if err != nil {
			return
		}
		p := r.Detail.Repeats[0]
		if r.ConcurrentRequests < 1 || p.Succeeded > p.Requests || r.Schema != record.SchemaRecord {
			t.Errorf("accepted %+v", r)
		}
		for _, v := range []*float64{p.AvgTTFTMS, p.AvgTPOTMS, p.ThroughputTokensPerSec, p.AvgTotalLatencyMS} {
			if v != nil && *v <= 0 {
				t.Errorf("kept %v", *v)
			}
		}
	})
}
