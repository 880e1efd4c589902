package record

// SchemaComparison names the document of `bench compare --json`.
const SchemaComparison = "bench.comparison/1"

// Comparison is what two sides' tests say of each other: how B differs from A.
type Comparison struct {
	Schema  string       `json:"schema"`
	A       ComparedSide `json:"a"`
	B       ComparedSide `json:"b"`
	Verdict Change       `json:"verdict"` // of all figures together: same, better, worse or mixed
	Unclear int          `json:"unclear"` // figures whose repeats scatter too much, or are too few, to say
	// Level is the confidence of each interval, such that all of them hold together with 95 %.
	Level   float64        `json:"level"`
	Differs []Difference   `json:"differs"`  // of the set-ups: what may have made the change; never null
	Tests   []ComparedTest `json:"tests"`    // never null
	Left    []LeftOut      `json:"left_out"` // tests that were not compared, and why; never null
	Gate    *Gate          `json:"gate"`     // null where no limit was set
}

// ComparedSide names one side.
type ComparedSide struct {
	Name      string `json:"name"` // folder or file, as it was given
	Source    string `json:"source"`
	Model     string `json:"model"`
	Simulated bool   `json:"simulated"`
}

// Sources of a side.
const (
	SourceBench = "bench"
	SourceVLLM  = "vllm bench serve"
)

// Difference is one property of the set-ups that is not the same on both sides.
type Difference struct {
	What string `json:"what"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// ComparedTest is one test that both sides have.
type ComparedTest struct {
	TestID             string           `json:"test_id"`
	ConcurrentRequests int              `json:"concurrent_requests"`
	InputTokens        int              `json:"input_tokens"`
	MaxOutputTokens    int              `json:"max_output_tokens"`
	RequestsPerRepeat  int              `json:"requests_per_repeat"`
	Metrics            []ComparedMetric `json:"metrics"` // never null
	Doubts             []string         `json:"doubts"`  // findings of either side's record; never null
}

// ComparedMetric is one figure on both sides, under its name in the record.
type ComparedMetric struct {
	Metric   string    `json:"metric"`
	A        *float64  `json:"a"` // mean over repeats
	B        *float64  `json:"b"`
	ARepeats []float64 `json:"a_repeats"` // never null
	BRepeats []float64 `json:"b_repeats"` // never null
	Change   *float64  `json:"change"`    // b/a − 1; of the success rate b − a
	// The interval of the change; null where there are too few repeats for one.
	ChangeLow  *float64 `json:"change_low"`
	ChangeHigh *float64 `json:"change_high"`
	Verdict    Change   `json:"verdict"`
	Note       string   `json:"note,omitempty"`
}

// Change is a verdict about what became of a figure, or of all of them.
type Change string

// The verdicts. Mixed is said of a whole only, unclear of a single figure only.
const (
	ChangeSame    Change = "same"
	ChangeBetter  Change = "better"
	ChangeWorse   Change = "worse"
	ChangeMixed   Change = "mixed"
	ChangeUnclear Change = "unclear"
)

// Gate is the judgement of `--max-regression`.
type Gate struct {
	MaxRegression float64  `json:"max_regression"` // share of A's figure by which B's may be worse
	Passed        bool     `json:"passed"`
	Failed        []string `json:"failed"`    // "T4 avg_ttft_ms": worse by more, and not by chance; never null
	Undecided     []string `json:"undecided"` // worse by more, but within the scatter of the repeats; never null
}
