package record

// Analysis is analysis.json: what the records of a folder say about its limits.
type Analysis struct {
	Schema       string        `json:"schema"`
	Simulated    bool          `json:"simulated"`
	Ladders      []Ladder      `json:"ladders"`      // never null
	Rates        []RateLadder  `json:"rates"`        // never null
	Repeats      []RepeatNote  `json:"repeats"`      // never null; repeats that are unlike the others, and trends
	Expectations []Expectation `json:"expectations"` // the plan's own, beside what was measured
	Headline     []string      `json:"headline"`     // three sentences, English
	HeadlineKO   []string      `json:"headline_ko"`  // the same three, Korean
}

// Ladder is the judgement of all concurrent tests of one shape, in order of concurrency.
type Ladder struct {
	InputTokens     int       `json:"input_tokens"`
	MaxOutputTokens int       `json:"max_output_tokens"`
	Tests           []string  `json:"tests"`              // test ids
	LeftOut         []LeftOut `json:"left_out,omitempty"` // tests no judgement rests on
	Baseline        *Baseline `json:"baseline"`           // what 2 × baseline means here; null where none was measured
	OOM             Limit     `json:"oom"`                // out of memory, engine death, or the KV cache full
	LatencySurge    Limit     `json:"latency_surge"`      // latency passes 2 × baseline
	Saturation      Limit     `json:"saturation"`         // throughput within 5 % of the highest
	Recommended     Limit     `json:"recommended"`        // concurrency to run at
	SLO             *Limit    `json:"slo,omitempty"`      // largest concurrency that holds the objective its tests were made for
}

// RateLadder is the judgement of all open loads that differ in nothing but their rate, in order of it.
type RateLadder struct {
	InputTokens     int        `json:"input_tokens"`
	MaxOutputTokens int        `json:"max_output_tokens"`
	Tests           []string   `json:"tests"` // test ids; never null
	LeftOut         []LeftOut  `json:"left_out,omitempty"`
	Sustained       RateLimit  `json:"sustained"`     // highest rate that the server kept up with
	SLO             *RateLimit `json:"slo,omitempty"` // largest rate that holds the objective its tests were judged by
}

// RateLimit is one judgement about a ladder of rates.
type RateLimit struct {
	RequestRate *float64 `json:"request_rate"` // requests a second; null where there is none
	Reached     bool     `json:"reached"`
	Low         *float64 `json:"low"`         // highest rate tested that is certainly below the limit
	High        *float64 `json:"high"`        // lowest rate tested that is certainly above it
	Evidence    []string `json:"evidence"`    // never null
	EvidenceKO  []string `json:"evidence_ko"` // never null
	Note        string   `json:"note"`
	NoteKO      string   `json:"note_ko"`
}

// RepeatNote is what stands out among the repeats of a test. It changes no figure.
type RepeatNote struct {
	TestID string `json:"test_id"`
	Note   string `json:"note"`
	NoteKO string `json:"note_ko"`
}

// LeftOut is a test that no judgement rests on, and why.
type LeftOut struct {
	TestID   string `json:"test_id"`
	Reason   string `json:"reason"`
	ReasonKO string `json:"reason_ko"`
}

// Limit is one judgement about a ladder.
type Limit struct {
	Concurrent *float64 `json:"concurrent"` // requests in flight; null where there is none
	Reached    bool     `json:"reached"`
	Low        *float64 `json:"low"`  // highest tested concurrency below the limit
	High       *float64 `json:"high"` // lowest tested concurrency at or above it
	Cause      Cause    `json:"cause,omitempty"`
	Evidence   []string `json:"evidence"`    // never null; figures under their field names
	EvidenceKO []string `json:"evidence_ko"` // never null; the same, Korean
	Note       string   `json:"note"`
	NoteKO     string   `json:"note_ko"`
	Advice     string   `json:"advice"` // what would move the limit; "" where it has no cause
	AdviceKO   string   `json:"advice_ko"`
}

// Cause is what made a limit.
type Cause string

// The causes that a limit can have; a cause is named only where the record proves it.
const (
	CauseKVCache         Cause = "kv_cache"
	CauseSchedulerSlots  Cause = "scheduler_slots"
	CauseCompute         Cause = "compute"
	CauseMemoryBandwidth Cause = "memory_bandwidth"
	CausePower           Cause = "power"
	CauseThermal         Cause = "thermal"
	CauseClient          Cause = "client"
	CauseNetwork         Cause = "network"
	CauseOutOfMemory     Cause = "out_of_memory"
	CauseEngineDeath     Cause = "engine_death"
	CauseUnknown         Cause = "unknown"
)

// Expectation is one of the plan's expectations (its section 6.1) beside what was measured.
type Expectation struct {
	Name         string   `json:"name"` // stable, maximum or recommended
	ExpectedLow  *float64 `json:"expected_low"`
	ExpectedHigh float64  `json:"expected_high"`
	Measured     *float64 `json:"measured"` // concurrency; null where nothing measured says it
	AtLeast      bool     `json:"at_least"` // the highest rung tested still held: the true value may be higher
	Verdict      string   `json:"verdict"`  // as_expected, higher, lower or not_measured
	Note         string   `json:"note"`
	NoteKO       string   `json:"note_ko"`
}

// Verdicts of an Expectation.
const (
	ExpectedAsMeasured = "as_expected"
	ExpectedHigher     = "higher" // measured higher than expected
	ExpectedLower      = "lower"  // measured lower than expected
	ExpectedUnmeasured = "not_measured"
)
