package record

// Probe is a small request that is sent again and again beside a load, as an interactive user would: its times are kept apart
// from the load's.
type Probe struct {
	RequestRate  float64 `json:"request_rate"` // a second, evenly spaced
	InputTokens  int     `json:"input_tokens"`
	OutputTokens int     `json:"max_output_tokens"`
}

// ProbeResult is what the probes of a test saw. Times count from the instant a probe was due.
type ProbeResult struct {
	Probe     Probe         `json:"probe"`
	Requests  int           `json:"requests"`
	Succeeded int           `json:"succeeded"`
	Late      int           `json:"late"`                 // sent more than 1 ms after they were due
	TTFT      *Distribution `json:"scheduled_ttft_ms"`    // null where none succeeded
	TPOT      *Distribution `json:"tpot_ms"`              //
	Latency   *Distribution `json:"scheduled_latency_ms"` //
	File      string        `json:"file"`                 // with each of them
}
