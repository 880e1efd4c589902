package record

import "time"

// Verify is verify.json: what is loaded, how much memory it takes, and whether the claimed set-up
// can work at all.
type Verify struct {
	Schema      string    `json:"schema"`
	CreatedAt   time.Time `json:"created_at"`
	BaseURL     string    `json:"base_url,omitempty"`
	Server      *Server   `json:"server"`                 // null when no server answered
	ServerError string    `json:"server_error,omitempty"` // why not
	GPUs        []GPUInfo `json:"gpus"`                   // null where none was readable
	Claim       *Claim    `json:"claim"`                  // null when nothing was claimed
	Loaded      Loaded    `json:"loaded"`
	Checks      []Check   `json:"checks"` // never null
	// ServerLog is what the server's start-up log says; absent where none was given.
	ServerLog *Startup `json:"server_log,omitempty"`
	// Possible says whether the claimed set-up can work at all; null when nothing was claimed or it
	// cannot be told.
	Possible  *bool `json:"possible"`
	Simulated bool  `json:"simulated"`
}

// Claim is a set-up somebody says is running, and the judgement of it.
type Claim struct {
	Model                string        `json:"model"`
	GPU                  string        `json:"gpu"`
	Count                int           `json:"count"`
	DType                string        `json:"dtype"`
	Quantization         string        `json:"quantization"` // "none" for 16-bit weights
	KVCacheDType         string        `json:"kv_cache_dtype"`
	GPUMemoryUtilization float64       `json:"gpu_memory_utilization"`
	MaxModelLen          int           `json:"max_model_len"`
	TensorParallel       int           `json:"tensor_parallel"`
	PipelineParallel     int           `json:"pipeline_parallel"`
	VLLMVersion          string        `json:"vllm_version,omitempty"`
	Possible             *bool         `json:"possible"`         // null when it cannot be told
	Reasons              []Reason      `json:"reasons"`          // never empty
	Memory               *SetupMemory  `json:"memory,omitempty"` // of the claimed set-up, as far as it can be computed
	Instead              []Alternative `json:"instead"`          // what would run on that card: 16 bit first, then the commonest quantisation first; never null
}

// Reason is one reason of a judgement. Decisive reasons settle it by themselves.
type Reason struct {
	Code     string `json:"code"`
	Decisive bool   `json:"decisive"`
	Text     Text   `json:"text"`
}

// Alternative is a set-up that would run on the card of a claim.
type Alternative struct {
	Quantization      string  `json:"quantization"`
	WeightsBytes      int64   `json:"weights_bytes"`
	KVCacheBytes      int64   `json:"kv_cache_bytes"`
	SteadyConcurrency float64 `json:"steady_concurrency"` // at the claim's max_model_len
	Text              Text    `json:"text"`
}

// Strength says how much a conclusion can bear.
type Strength string

// Strengths, strongest first.
const (
	StrengthProven Strength = "proven" // arithmetic or the server itself leaves no other reading
	StrengthLikely Strength = "likely" // the figures fit this reading and no other one tried
	StrengthHint   Strength = "hint"   // a name or a single weak sign
	StrengthNone   Strength = "unknown"
)

// Loaded is what is probably loaded. Unknown is an answer.
type Loaded struct {
	Model        string       `json:"model"`        // catalogue id; "" when unknown
	Quantization string       `json:"quantization"` // "unknown" when it cannot be told
	Quantized    *bool        `json:"quantized"`    // null when it cannot be told
	Strength     Strength     `json:"strength"`     // of Quantization; Conclusions have their own
	Summary      Text         `json:"summary"`
	Conclusions  []Conclusion `json:"conclusions"` // never null
}

// Conclusion is one thing a piece of evidence says about what is loaded.
type Conclusion struct {
	Evidence     string   `json:"evidence"`     // model_name, kv_pool, weights, decode_speed, gpu_memory
	Quantization string   `json:"quantization"` // what it points to; "quantized" when only that; "" when to nothing
	Strength     Strength `json:"strength"`
	Text         Text     `json:"text"`
}

// CheckState is the outcome of one check.
type CheckState string

// Outcomes of a check.
const (
	CheckOK      CheckState = "ok"
	CheckFailed  CheckState = "failed"
	CheckUnknown CheckState = "unknown"
)

// Check is one line of the plan's phase 1 list.
type Check struct {
	Name     string     `json:"name"`
	State    CheckState `json:"state"`
	Evidence Text       `json:"evidence"`
}
