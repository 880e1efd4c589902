package record

// FigureCheck says of published figures whether the set-up they are claimed for can reach them.
type FigureCheck struct {
	Schema         string          `json:"schema"`
	Model          string          `json:"model"`
	GPU            string          `json:"gpu"`
	Count          int             `json:"count"`
	TensorParallel int             `json:"tensor_parallel"`
	Quantization   string          `json:"quantization,omitempty"`
	Demand         Demand          `json:"demand"`  // the load the figures are for
	Verdict        FigureVerdict   `json:"verdict"` // the worst of the figures
	Figures        []CheckedFigure `json:"figures"` // never null
	Notes          []Text          `json:"notes"`   // what concerns all of them; never null
}

// SchemaFigures is the schema of a FigureCheck.
const SchemaFigures = "bench.figures/1"

// FigureVerdict judges one figure.
type FigureVerdict string

// The verdicts, best first.
const (
	FigurePlausible  FigureVerdict = "plausible"  // near what published measurements of the class would give
	FigureUnlikely   FigureVerdict = "unlikely"   // far from it, though no law of the card forbids it
	FigureImpossible FigureVerdict = "impossible" // beyond what the card's bandwidth or arithmetic allows
)

// CheckedFigure is one figure beside what is possible and what is expected.
type CheckedFigure struct {
	Metric   string        `json:"metric"` // ttft, tpot (ms) or throughput (output tokens/s)
	Claimed  float64       `json:"claimed"`
	Bound    *float64      `json:"bound"` // least time or highest rate the card allows; null where no law binds
	Expected *float64      `json:"expected"`
	Low      *float64      `json:"low"`
	High     *float64      `json:"high"`
	Verdict  FigureVerdict `json:"verdict"`
	Reasons  []Text        `json:"reasons"` // never empty: what is wrong, and which assumption would make it so
}
