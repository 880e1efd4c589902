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
}

// Verdict judges one set-up against the demand.
type Verdict string

// The verdicts, best first.
const (
	VerdictRecommended Verdict = "recommended"  // the cheapest with 20 % headroom
	VerdictGood        Verdict = "good"         // 20 % headroom or more
	VerdictTight       Verdict = "tight"        // fits, with less headroom
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
	Price            *Price       `json:"price,omitempty"` // absent where none is known
	Verdict          Verdict      `json:"verdict"`
	Reasons          []Text       `json:"reasons"` // never empty
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
	AsOf    string     `json:"as_of"`          // date of BuyUSD, or of HourUSD where that is null; "undated" where the source gives none
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
	Guaranteed   *int    `json:"guaranteed,omitempty"`
	Steady       *int    `json:"steady,omitempty"`
	Rank         int     `json:"rank,omitempty"` // of the same set-up above; absent where it was not asked for
	Verdict      Verdict `json:"verdict"`
	Comment      Text    `json:"comment"`
}
