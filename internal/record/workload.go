package record

// Workload is what the requests of a test are beyond one length for all of them. Two of them are of one kind if they are
// equal.
type Workload struct {
	// RangeRatio draws each length evenly from (1 − ratio) to (1 + ratio) times the test's, the shared prefix left out.
	RangeRatio float64 `json:"range_ratio,omitempty"`
	// PrefixTokens of every prompt are the same in all requests of the test, warm-up included; with several Prefixes, in
	// those that have the same one.
	PrefixTokens int `json:"prefix_tokens,omitempty"`
	Prefixes     int `json:"prefixes,omitempty"` // different ones; 0 stands for one
	// TokenIDTo, above 0, says that prompts are token ids, drawn evenly from TokenIDFrom to TokenIDTo.
	TokenIDFrom int `json:"token_id_from,omitempty"`
	TokenIDTo   int `json:"token_id_to,omitempty"`
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
	Tools        int `json:"tools,omitempty"` // of a repeat's requests that offer tools

	// Conversations of each repeat, above 0, says that each request is a turn of one of them: it is sent when its user has
	// thought after the answer before it, with that answer and all before.
	Conversations   int     `json:"conversations,omitempty"`
	MinTurns        int     `json:"min_turns,omitempty"`         // of a conversation
	MaxTurns        int     `json:"max_turns,omitempty"`         //
	TurnTokens      int     `json:"turn_tokens,omitempty"`       // of each later question as a prompt of its own; a dataset's have their own
	ThinkMS         int     `json:"think_ms,omitempty"`          // from an answer's end to the next question, mean
	ThinkRangeRatio float64 `json:"think_range_ratio,omitempty"` // drawn evenly from (1 − ratio) to (1 + ratio) times that

	// Adapters are the names of LoRA adapters that requests are for, separated by commas, and how they are assigned.
	Adapters          string `json:"adapters,omitempty"`
	AdapterAssignment string `json:"adapter_assignment,omitempty"` // AssignRandom or AssignRoundRobin

	// Images of a request, mean; their sizes and how often each is drawn stand in ImageSizes as "256x256:0.5,720x1280:0.5",
	// height first.
	Images          int     `json:"images,omitempty"`
	ImageRangeRatio float64 `json:"image_range_ratio,omitempty"` // of their number
	ImageSizes      string  `json:"image_sizes,omitempty"`
}

// How adapters are assigned to requests.
const (
	AssignRandom     = "random"
	AssignRoundRobin = "round-robin"
)

// Content is what a single request of the workload holds that makes it another than one of random words: what a test of
// single requests has to have in common with it.
func (w *Workload) Content() Workload {
	if w == nil {
		return Workload{}
	}
	return Workload{TokenIDFrom: w.TokenIDFrom, TokenIDTo: w.TokenIDTo, Images: w.Images, ImageSizes: w.ImageSizes}
}

// Group is the requests of a test that have something in common. Distributions are over the successful ones.
type Group struct {
	By           string        `json:"by"`   // ByTurn or ByAdapter
	Name         string        `json:"name"` // number of the turn, from 1, or name of the adapter
	Requests     int           `json:"requests"`
	Succeeded    int           `json:"succeeded"`
	PromptTokens *float64      `json:"avg_prompt_tokens"` // by usage
	CachedTokens *float64      `json:"avg_cached_tokens"` // of the prompt; null where usage does not tell
	OutputTokens *float64      `json:"avg_output_tokens"`
	TTFT         *Distribution `json:"ttft_ms"`
	TPOT         *Distribution `json:"tpot_ms"`
	Latency      *Distribution `json:"total_latency_ms"`
}

// What requests of a [Group] have in common.
const (
	ByTurn    = "turn"
	ByAdapter = "adapter"
)

// Conversations is what a test of conversations adds to a record.
type Conversations struct {
	Begun   int `json:"begun"`
	Whole   int `json:"whole"`    // whose turns all succeeded
	NotSent int `json:"not_sent"` // turns of conversations that ended with a failed one
	// HistoryTokens is what later turns repeated: the prompt and the answer before each, by usage. PrefixHits of the server's
	// counters are the part of it that was not computed again.
	HistoryTokens int `json:"history_tokens"`
	// TemplateTokens is by how much most prompts of later turns are longer than the prompt and the answer before and the
	// question alone: what the chat template puts between turns. It is null where no later turn succeeded.
	TemplateTokens *int `json:"template_tokens"`
	HistoryExact   int  `json:"history_exact"`   // later turns with just that
	HistoryDiffers int  `json:"history_differs"` // others: their answers' text gives another number of tokens than was generated
	// Think is the time from an answer's end to the send of the next question.
	Think *Distribution `json:"think_ms"`
}

// Images is what a test with images adds to a record.
type Images struct {
	Requests int `json:"requests"` // that had any, successful ones, as all below
	Images   int `json:"images"`
	// Tokens are prompt tokens by usage less those of the text; of one image the fewest and the most.
	Tokens      int      `json:"tokens"`
	PerImageMin *float64 `json:"tokens_per_image_min"`
	PerImageMax *float64 `json:"tokens_per_image_max"`
	Ignored     int      `json:"ignored"` // requests whose images cost no token
}

// Reasoning is when answers began that were thought about first.
type Reasoning struct {
	Requests   int           `json:"requests"`   // successful ones with reasoning in their stream
	Unanswered int           `json:"unanswered"` // of them without a text of the answer after it
	Thought    *Distribution `json:"first_thought_ms"`
	Answer     *Distribution `json:"first_answer_ms"`
	Tokens     *float64      `json:"avg_reasoning_tokens"` // by usage; null where the server does not tell
}

// ToolCalls is when answers called tools.
type ToolCalls struct {
	Offered  int           `json:"offered"`  // successful requests that offered tools
	Requests int           `json:"requests"` // of them that were answered with a call
	Calls    int           `json:"calls"`
	First    *Distribution `json:"first_call_ms"`
}
