package record

// Calibration says what a sizing took from elsewhere than arithmetic: from a server's start-up log,
// from measured results, or from both.
type Calibration struct {
	ServerLog *LogCalibration      `json:"server_log,omitempty"`
	Measured  *MeasuredCalibration `json:"measured,omitempty"`
}

// LogCalibration is what a start-up log replaced.
type LogCalibration struct {
	File        string `json:"file"`
	VLLMVersion string `json:"vllm_version,omitempty"`
	Model       string `json:"model"`
	GPU         string `json:"gpu,omitempty"` // "" where neither the log nor the caller says
	// Transfers are the rules that were applied, each with the set-ups it changed; empty where the
	// log is of another model. Never null.
	Transfers []Transfer `json:"transfers"`
	// Terms hold what the log prints beside what is computed for the same set-up; absent where the
	// GPU is not known. Never null.
	Terms []LogTerm `json:"terms"`
	Text  []Text    `json:"text"` // what a reader should know, in order; never null
}

// Transfer is one term that a log replaced in some set-ups.
type Transfer struct {
	Term   string `json:"term"`   // weights, activation, non_torch, cuda_graph, kv_cache
	Setups int    `json:"setups"` // how many it changed
	Rule   Text   `json:"rule"`   // why it holds there
	// ChangeLow and ChangeHigh are the least and the most it changed a set-up by, used − computed.
	ChangeLowBytes  int64 `json:"change_low_bytes"`
	ChangeHighBytes int64 `json:"change_high_bytes"`
}

// LogTerm is one figure of the log beside ours.
type LogTerm struct {
	Term     string  `json:"term"` // as in Transfer, and kv_cache_tokens
	Printed  float64 `json:"printed"`
	Computed float64 `json:"computed"`
	Unit     string  `json:"unit"`              // bytes or tokens
	ByRest   bool    `json:"by_rest,omitempty"` // not printed: what is left of the budget
}

// MeasuredCalibration is what measured results scale.
type MeasuredCalibration struct {
	Folder        string   `json:"folder"`
	Machine       string   `json:"machine"`
	Class         string   `json:"class"` // of kernels; outside it nothing is scaled
	Simulated     bool     `json:"simulated"`
	StepFactor    *float64 `json:"step_factor"`    // measured ÷ computed time per output token; null where it cannot be told
	PrefillFactor *float64 `json:"prefill_factor"` // measured ÷ computed time of the prompt
	Setups        int      `json:"setups"`         // set-ups of that class, which it scales
	Others        int      `json:"others"`         // set-ups it says nothing about
	Text          []Text   `json:"text"`           // never null
}
