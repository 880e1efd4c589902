package record

// SLO is a service-level objective: a percentile of the requests that must stay within limits, each by itself. A limit
// that is nil is none.
type SLO struct {
	Percentile   float64  `json:"percentile"` // of all requests, those that failed included; 0–100
	MaxTTFTMS    *float64 `json:"max_ttft_ms,omitempty"`
	MaxTPOTMS    *float64 `json:"max_tpot_ms,omitempty"`
	MaxLatencyMS *float64 `json:"max_latency_ms,omitempty"`
}

// SLOResult is how a test stands to an objective. A request that failed is within no limit; of an open load times count
// from the instant a request was due.
type SLOResult struct {
	SLO         SLO         `json:"slo"`
	Held        bool        `json:"held"`         // over all requests
	HeldRepeats int         `json:"held_repeats"` // repeats in which it held by itself
	Repeats     int         `json:"repeats"`
	Metrics     []SLOMetric `json:"metrics"` // never null
}

// SLOMetric is one limit of an objective.
type SLOMetric struct {
	Metric  string   `json:"metric"` // ttft, tpot or total_latency
	LimitMS float64  `json:"limit_ms"`
	ValueMS *float64 `json:"value_ms"` // at the percentile; null where too many failed or too few were sent
	Share   float64  `json:"share"`    // of the requests within the limit, 0–1
	Held    bool     `json:"held"`
	// ShareSteady is Share over the steady part of an open load; of a closed load over the requests after the opening burst.
	// Null where there is no such part.
	ShareSteady *float64 `json:"share_steady"`
}

// Goodput is the part of a load that was served within all limits at once. What failed, and what was due and never sent, is
// in the whole.
type Goodput struct {
	MaxTTFTMS    *float64 `json:"max_ttft_ms,omitempty"`
	MaxTPOTMS    *float64 `json:"max_tpot_ms,omitempty"`
	MaxLatencyMS *float64 `json:"max_latency_ms,omitempty"`
	Good         int      `json:"good"`
	Of           int      `json:"of"`
	Share        *float64 `json:"share"` // 0–1; null where nothing was sent
	PerSec       *float64 `json:"per_sec"`
}
