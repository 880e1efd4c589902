package record

import "time"

// ExportedRequest is one line of an export of requests: a request with what it was part of and its figures beside it.
type ExportedRequest struct {
	Simulated          bool   `json:"simulated"`
	Kind               string `json:"kind"` // of the test: baseline or concurrent
	ConcurrentRequests int    `json:"concurrent_requests"`

	TTFTMS       *float64 `json:"ttft_ms"`          // null where no token came
	TPOTMS       *float64 `json:"tpot_ms"`          // null where fewer than two tokens came
	LatencyMS    *float64 `json:"total_latency_ms"` // null where no token came
	OutputTokens int      `json:"output_tokens"`    // by usage; where there is none, token chunks

	Request
}

// Export puts a request of rec's test beside what it was part of.
func Export(rec *Record, r *Request) ExportedRequest {
	return ExportedRequest{Simulated: rec.Detail.Simulated, Kind: rec.Detail.Kind, ConcurrentRequests: rec.ConcurrentRequests,
		TTFTMS: millis(r.TTFT()), TPOTMS: millis(r.TPOT()), LatencyMS: millis(r.Latency()), OutputTokens: r.OutputTokens(), Request: *r}
}

func millis(d time.Duration, ok bool) *float64 {
	if !ok {
		return nil
	}
	return new(float64(d) / float64(time.Millisecond))
}
