package record

// Workload is what the requests of a test are beyond one length for all of them.
type Workload struct {
	// RangeRatio draws each length evenly from (1 − ratio) to (1 + ratio) times the test's, the shared prefix left out.
	RangeRatio float64 `json:"range_ratio,omitempty"`
	// PrefixTokens of every prompt are the same in all requests of the test, warm-up included.
	PrefixTokens int `json:"prefix_tokens,omitempty"`
	// Dataset is the format of the file that requests were taken from; "" where they are random words.
	Dataset string `json:"dataset,omitempty"`
	File    string `json:"file,omitempty"`        // its name, without folders
	SHA256  string `json:"file_sha256,omitempty"` // of the whole file
	Usable  int    `json:"usable,omitempty"`      // requests it holds
	Skipped int    `json:"skipped,omitempty"`     // lines or entries that are none, or too long for the server
	// BlockTokens is the length of the blocks whose identity a trace tells, and CommonTokens how many tokens of a repeat's
	// prompts lie in blocks that an earlier one had: what a prefix cache without bound finds.
	BlockTokens  int `json:"block_tokens,omitempty"`
	CommonTokens int `json:"common_tokens,omitempty"`
}
