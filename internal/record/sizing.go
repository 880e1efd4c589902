package record

// Text is one sentence for a reader, in both languages of the report.
type Text struct {
	En string `json:"en"`
	Ko string `json:"ko"`
}

// In is the sentence in lang: "ko", or English for anything else.
func (t Text) In(lang string) string {
	if lang == "ko" {
		return t.Ko
	}
	return t.En
}

// Sizing is sizing.json: which GPUs carry a demand. What a form of the tool does not compute (speed,
// cost per token) is left out of the document, never written as null or zero.
type Sizing struct {
	Schema  string       `json:"schema"`
	Model   SizedModel   `json:"model"`
	Demand  Demand       `json:"demand"`
	Decides Decides      `json:"decides"`
	Setups  []Setup      `json:"setups"`  // best first; never null
	Options Options      `json:"options"` // null where no set-up qualifies
	Notes   []Text       `json:"notes"`   // what holds for every set-up; never null
	Plan    *PlanReview  `json:"plan,omitempty"`
	Explain *Explanation `json:"explain,omitempty"` // every term of one set-up, where asked for
	Engine  SizingEngine `json:"engine"`
	// Calibration is what replaced or scaled computed figures; absent where nothing was given.
	Calibration *Calibration `json:"calibration,omitempty"`
}

// SizedModel is the model a sizing was made for.
type SizedModel struct {
	ID         string `json:"id"`
	Parameters int64  `json:"parameters"`
}

// SizingEngine is how the server is assumed to be started. Empty or zero means the default of that
// vLLM version.
type SizingEngine struct {
	DType                string  `json:"dtype,omitempty"`
	Quantization         string  `json:"quantization,omitempty"`
	KVCacheDType         string  `json:"kv_cache_dtype,omitempty"`
	GPUMemoryUtilization float64 `json:"gpu_memory_utilization,omitempty"`
	MaxModelLen          int     `json:"max_model_len"`
	VLLMVersion          string  `json:"vllm_version,omitempty"`
}

// Demand is what the set-ups must carry.
type Demand struct {
	Concurrent    int `json:"concurrent"`     // requests in flight
	ContextTokens int `json:"context_tokens"` // tokens one request may hold
	InputTokens   int `json:"input_tokens"`
	OutputTokens  int `json:"output_tokens"`

	Load string `json:"load"` // closed (so many in flight all the time) or burst (so many at once)
	// Limits on the predicted times; 0 = none.
	MaxTTFTMS    float64 `json:"max_ttft_ms,omitempty"`
	MaxTPOTMS    float64 `json:"max_tpot_ms,omitempty"`
	MaxLatencyMS float64 `json:"max_latency_ms,omitempty"`
}

// Verdict judges one set-up against the demand.
type Verdict string

// The verdicts, best first.
const (
	VerdictRecommended Verdict = "recommended"  // the cheapest with 20 % headroom
	VerdictGood        Verdict = "good"         // 20 % headroom or more
	VerdictTight       Verdict = "tight"        // fits, with less headroom
	VerdictTooSlow     Verdict = "too_slow"     // fits, and is predicted to miss a limit
	VerdictDoesNotFit  Verdict = "does_not_fit" // memory
	VerdictNotEligible Verdict = "not_eligible" // vLLM refuses it whatever the memory
)

// Setup is one GPU × count × layout.
type Setup struct {
	Rank             int          `json:"rank"` // from 1, best first
	GPU              string       `json:"gpu"`
	Count            int          `json:"count"`
	TensorParallel   int          `json:"tensor_parallel"`
	PipelineParallel int          `json:"pipeline_parallel"`
	Replicas         int          `json:"replicas"`         // independent servers; count = TP × PP × replicas
	Memory           *SetupMemory `json:"memory,omitempty"` // absent where vLLM refuses the set-up
	Fits             bool         `json:"fits"`
	Concurrency      *Concurrency `json:"concurrency,omitempty"`
	Speed            *Speed       `json:"speed,omitempty"`    // predicted; absent where the engine does not start
	Dominant         *Term        `json:"dominant,omitempty"` // what takes most memory from the KV cache
	Savings          []Saving     `json:"savings,omitempty"`  // the flags that would free most, at most three
	Price            *Price       `json:"price,omitempty"`    // absent where none is known
	Verdict          Verdict      `json:"verdict"`
	Reasons          []Text       `json:"reasons"` // never empty
}

// Speed is what a set-up is predicted to do under the demand, all replicas together: nothing here was
// measured on it. Low and high hold four of five published measurements of the class that Basis names.
type Speed struct {
	TTFTMS                 float64 `json:"ttft_ms"`
	TTFTMSLow              float64 `json:"ttft_ms_low"`
	TTFTMSHigh             float64 `json:"ttft_ms_high"`
	TPOTMS                 float64 `json:"tpot_ms"`
	TPOTMSLow              float64 `json:"tpot_ms_low"`
	TPOTMSHigh             float64 `json:"tpot_ms_high"`
	LatencyMS              float64 `json:"latency_ms"`
	LatencyMSLow           float64 `json:"latency_ms_low"`
	LatencyMSHigh          float64 `json:"latency_ms_high"`
	OutputTokensPerSec     float64 `json:"output_tokens_per_sec"`
	OutputTokensPerSecLow  float64 `json:"output_tokens_per_sec_low"`
	OutputTokensPerSecHigh float64 `json:"output_tokens_per_sec_high"`

	Running  int      `json:"running"`  // requests in one step of one replica
	Bound    string   `json:"bound"`    // memory_bandwidth, compute, host or interconnect: the largest part of a decode step
	Measured bool     `json:"measured"` // published measurements cover this card with weights of this width
	Basis    string   `json:"basis"`    // the measurements low and high are from
	Caveats  []string `json:"caveats,omitempty"`
}

// Explanation is how the figures of one set-up came about.
type Explanation struct {
	Setup string          `json:"setup"`
	Rank  int             `json:"rank"`
	Terms []ExplainedTerm `json:"terms"`
}

// ExplainedTerm is one figure: how it is computed, with which numbers, and how that is known.
type ExplainedTerm struct {
	Name    Text   `json:"name"`
	Formula string `json:"formula"`
	Numbers string `json:"numbers"`
	Value   string `json:"value"`
	Source  Text   `json:"source"`
}

// Term is one part of a GPU's memory.
type Term struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// Saving is a flag of vLLM that would leave more memory for requests, found by planning again with it.
type Saving struct {
	Flag         string  `json:"flag"`          // with its value
	FreedBytes   int64   `json:"freed_bytes"`   // per GPU
	MoreRequests float64 `json:"more_requests"` // of the whole context, all replicas together
	Price        Text    `json:"price"`         // what is given up
}

// SetupMemory is the memory plan of one GPU; tokens and concurrency are those of one replica.
type SetupMemory struct {
	TotalBytes            int64   `json:"total_bytes"`  // as torch reports the card
	BudgetBytes           int64   `json:"budget_bytes"` // total × gpu_memory_utilization
	WeightsBytes          int64   `json:"weights_bytes"`
	ActivationBytes       int64   `json:"activation_bytes"`
	NonTorchBytes         int64   `json:"non_torch_bytes"`
	CUDAGraphBytes        int64   `json:"cuda_graph_bytes"`
	KVCacheBytes          int64   `json:"kv_cache_bytes"` // 0 when nothing is left
	KVCacheTokens         int64   `json:"kv_cache_tokens"`
	GuaranteedConcurrency float64 `json:"guaranteed_concurrency"`
	SteadyConcurrency     float64 `json:"steady_concurrency"`
}

// Concurrency holds both capacities of the whole set-up, all replicas together, against the demand.
type Concurrency struct {
	Demand     int     `json:"demand"`
	Guaranteed int     `json:"guaranteed"` // whole requests vLLM promises at start, worst case reserved for each
	Steady     int     `json:"steady"`     // whole requests of the full context that run once prefill is past
	Headroom   float64 `json:"headroom"`   // steady / demand − 1
}

// Decides names the capacity the verdicts rest on.
type Decides struct {
	Capacity string `json:"capacity"` // "steady"
	Why      Text   `json:"why"`
}

// DecidesSteady is Decides.Capacity where steady concurrency carries the verdicts.
const DecidesSteady = "steady"

// Price is what a set-up costs, with where each figure is from. A figure not known is null.
type Price struct {
	BuyUSD  *float64   `json:"buy_usd"`  // the cards alone, without the machine around them
	BuyNote string     `json:"buy_note"` // source and date of the card's price
	HourUSD *float64   `json:"hour_usd"`
	Hour    *HourPrice `json:"hour,omitempty"` // the offer behind HourUSD
	// PerMillionUSD is what a million output tokens cost at HourUSD and the predicted throughput, under
	// the demand around the clock.
	PerMillionUSD *float64 `json:"usd_per_million_output_tokens"`
	AsOf          string   `json:"as_of"` // date of BuyUSD, or of HourUSD where that is null; "undated" where the source gives none
}

// HourPrice is the cloud offer behind a price per hour.
type HourPrice struct {
	Provider   string `json:"provider"`
	Instance   string `json:"instance"`
	Instances  int    `json:"instances"`
	GPUs       int    `json:"gpus"` // of one instance
	AsOf       string `json:"as_of"`
	Confidence string `json:"confidence"`
	Assumed    bool   `json:"assumed"` // no offer of that size: a larger machine at the same rate per GPU is assumed
	Basis      Text   `json:"basis"`   // how the price of the set-up follows from the offer
}

// Options are the three answers: each names a set-up by its rank.
type Options struct {
	Minimum       *Option `json:"minimum"`        // the cheapest that fits
	Recommended   *Option `json:"recommended"`    // the cheapest with 20 % headroom
	CheapestCloud *Option `json:"cheapest_cloud"` // the lowest price per hour that fits
}

// Option is one answer.
type Option struct {
	Rank             int    `json:"rank"`
	GPU              string `json:"gpu"`
	Count            int    `json:"count"`
	TensorParallel   int    `json:"tensor_parallel"`
	PipelineParallel int    `json:"pipeline_parallel"`
	Replicas         int    `json:"replicas"`
	Price            *Price `json:"price,omitempty"`
	Why              Text   `json:"why"`
}

// PlanReview holds the plan's own memory formula and table (its section 3) against the truth.
type PlanReview struct {
	Errors     []PlanError     `json:"errors"`
	Candidates []PlanCandidate `json:"candidates"`
	Summary    Text            `json:"summary"`
	Remarks    []Text          `json:"remarks"`
}

// PlanError is one thing the plan gets wrong.
type PlanError struct {
	Number int  `json:"number"` // from 1
	Topic  Text `json:"topic"`
	Plan   Text `json:"plan"`  // what the plan says
	Truth  Text `json:"truth"` // what is true
	Why    Text `json:"why"`   // why it matters
}

// PlanCandidate is one row of the plan's table of GPUs beside the computed one. Expected figures
// are requests of 4096 tokens; ours are absent where vLLM refuses the set-up.
type PlanCandidate struct {
	Name         string  `json:"name"` // as the plan writes it
	GPU          string  `json:"gpu"`
	Count        int     `json:"count"`
	TP           int     `json:"tensor_parallel"`
	ExpectedLow  int     `json:"expected_low"`
	ExpectedHigh int     `json:"expected_high,omitempty"` // 0: "or more"
	PlanPriceUSD float64 `json:"plan_price_usd"`
	Speed        *Speed  `json:"speed,omitempty"` // with 50 in flight, as far as they fit
	Guaranteed   *int    `json:"guaranteed,omitempty"`
	Steady       *int    `json:"steady,omitempty"`
	Rank         int     `json:"rank,omitempty"` // of the same set-up above; absent where it was not asked for
	Verdict      Verdict `json:"verdict"`
	Comment      Text    `json:"comment"`
}
