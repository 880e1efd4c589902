package compare

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"bench/internal/record"
)

// vllmResult is what is read of a result file of `vllm bench serve` (--save-result), names as of vLLM 0.32. Its TPOT
// is (E2EL − TTFT) / (tokens − 1), and its latency ends with the last chunk that has a choice, both as here. Its TTFT
// ends at the first chunk with a choice, which for chat is the role-only opener: vLLM sends that together with the
// first token. Its throughput is taken over the whole run, drain included, as a repeat's here.
type vllmResult struct {
	Backend        string          `json:"backend"`
	EndpointType   string          `json:"endpoint_type"` // older files
	ModelID        string          `json:"model_id"`
	RequestRate    json.RawMessage `json:"request_rate"` // a number or "inf"
	MaxConcurrency *int            `json:"max_concurrency"`
	NumPrompts     int             `json:"num_prompts"`
	Duration       float64         `json:"duration"` // seconds
	Completed      *int            `json:"completed"`
	Failed         *int            `json:"failed"`
	TotalInput     int             `json:"total_input_tokens"`
	TotalOutput    int             `json:"total_output_tokens"`
	Throughput     *float64        `json:"output_throughput"`
	MeanTTFT       *float64        `json:"mean_ttft_ms"`
	MeanTPOT       *float64        `json:"mean_tpot_ms"`
	MeanE2EL       *float64        `json:"mean_e2el_ms"`
}

// ParseVLLM reads one result file of `vllm bench serve` as a test of one repeat. Errors name no file.
func ParseVLLM(data []byte) (r record.Record, model string, err error) {
	var doc vllmResult
	if err := json.Unmarshal(data, &doc); err != nil {
		return r, "", fmt.Errorf("not a JSON result: %w", err)
	}
	switch {
	case doc.Completed == nil || doc.Throughput == nil:
		return r, "", errors.New("no result of `vllm bench serve --save-result`: it lacks completed or output_throughput")
	case *doc.Completed < 0 || doc.NumPrompts < 1 || *doc.Completed > doc.NumPrompts:
		return r, "", fmt.Errorf("completed is %d of %d prompts", *doc.Completed, doc.NumPrompts)
	case len(doc.RequestRate) > 0 && string(doc.RequestRate) != `"inf"` && string(doc.RequestRate) != "null":
		return r, "", fmt.Errorf("request_rate is %.40s: an open loop, which is another load than a fixed concurrency", doc.RequestRate)
	}
	// Without a cap all prompts are sent at once.
	concurrent := doc.NumPrompts
	if doc.MaxConcurrency != nil {
		concurrent = min(*doc.MaxConcurrency, doc.NumPrompts)
	}
	if concurrent < 1 {
		return r, "", fmt.Errorf("max_concurrency is %d", concurrent)
	}
	repeat := record.Repeat{
		Requests: doc.NumPrompts, Succeeded: *doc.Completed,
		AvgTTFTMS: positive(doc.MeanTTFT), AvgTPOTMS: positive(doc.MeanTPOT), AvgTotalLatencyMS: positive(doc.MeanE2EL),
		ThroughputTokensPerSec: positive(doc.Throughput),
	}
	input, output := 0, 0
	if n := *doc.Completed; n > 0 {
		input = int(math.Round(float64(doc.TotalInput) / float64(n)))
		output = int(math.Round(float64(doc.TotalOutput) / float64(n)))
	}
	r = record.Record{
		Schema: record.SchemaRecord, TestID: fmt.Sprintf("c%d-%d-%d", concurrent, input, output),
		ConcurrentRequests: concurrent, InputTokens: input, MaxOutputTokens: output,
		Trust: record.Trust{Verdict: record.TrustSound},
	}
	r.Detail.Kind = "concurrent"
	r.Detail.Repeats = []record.Repeat{repeat}
	return r, doc.ModelID, nil
}

// positive keeps a figure that was measured: the tool writes 0 where nothing succeeded.
func positive(v *float64) *float64 {
	if v == nil || *v <= 0 || math.IsInf(*v, 0) {
		return nil
	}
	return v
}

// AddVLLM adds a parsed file to a side: a file of the same load as an earlier one is a further repeat of its test.
func (s *Side) AddVLLM(r record.Record, model string) error {
	if s.Run.Server.ServedModel != "" && s.Run.Server.ServedModel != model {
		return fmt.Errorf("it is of model %s, the files before it of %s", model, s.Run.Server.ServedModel)
	}
	s.Source, s.Run.Server.ServedModel = record.SourceVLLM, model
	for i := range s.Records {
		if o := &s.Records[i]; sameLoad(*o, r) {
			o.Detail.Repeats = append(o.Detail.Repeats, r.Detail.Repeats...)
			return nil
		}
	}
	s.Records = append(s.Records, r)
	return nil
}
