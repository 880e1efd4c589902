package sizing

import (
	"fmt"
	"slices"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
)

// The plan sizes this model, unquantised, for this demand.
const (
	planModel      = "google/gemma-3-12b-it"
	planConcurrent = 50
	planContext    = 4096
)

// planRow is one row of the plan's table of GPUs (its section 3.2).
type planRow struct {
	name      string
	gpu       string // catalogue slug
	count     int    // also the tensor parallel size
	low, high int    // requests the plan expects; high 0 = "or more"
	priceUSD  float64
}

// planRows is the plan's table, in its order.
func planRows() []planRow {
	return []planRow{
		{"RTX 3090", "rtx-3090", 1, 3, 5, 1500},
		{"RTX 4090", "rtx-4090", 1, 3, 5, 2000},
		{"A6000", "a6000", 1, 10, 15, 4500},
		{"A100 40GB", "a100-40gb", 1, 8, 12, 10000},
		{"A100 80GB", "a100-80gb", 1, 25, 35, 15000},
		{"H100 80GB", "h100", 1, 30, 45, 30000},
		{"2× A100 80GB (TP=2)", "a100-80gb", 2, 50, 0, 30000},
		{"4× A100 40GB (TP=4)", "a100-40gb", 4, 50, 0, 40000},
		{"2× H100 80GB (TP=2)", "h100", 2, 50, 0, 60000},
	}
}

// mustGPU is a card this package names itself; the tests prove that the catalogue has them all.
func mustGPU(slug string) catalog.GPU {
	g, err := catalog.FindGPU(slug)
	if err != nil {
		panic(fmt.Sprintf("sizing: %v", err))
	}
	return g
}

// planLayouts are the set-ups of the plan that are not among candidates: for some of its GPUs the
// chosen layout has replicas where the plan names tensor parallelism.
func planLayouts(req Request, candidates []candidate) []candidate {
	var out []candidate
	for _, row := range planRows() {
		gpu := mustGPU(row.gpu)
		listed := slices.ContainsFunc(candidates, func(c candidate) bool {
			return c.gpu.Name == gpu.Name && c.setup.Count == row.count && c.setup.TensorParallel == row.count
		})
		asked := max(req.Engine.TensorParallel, req.Engine.PipelineParallel) == 0 && slices.Contains(req.Counts, row.count)
		if asked && !listed && slices.Contains(capacity.TensorParallelSizes(req.Model, row.count), row.count) {
			out = append(out, evaluate(req, gpu, row.count, layout{row.count, 1, 1}))
		}
	}
	return out
}

// planReview holds the plan's formula and table against the truth, always for the plan's own
// demand and the unquantised model. Ranks point into setups.
func planReview(m catalog.Model, setups []record.Setup) *record.PlanReview {
	req := Request{
		Model:  m,
		Engine: capacity.Engine{MaxModelLen: planContext},
		Demand: record.Demand{Concurrent: planConcurrent, ContextTokens: planContext, InputTokens: planContext - planContext/4, OutputTokens: planContext / 4,
			Load: capacity.LoadClosed.String()},
	}
	out := &record.PlanReview{Errors: planErrors(m), Remarks: planRemarks(m)}
	for _, row := range planRows() {
		c := evaluate(req, mustGPU(row.gpu), row.count, layout{row.count, 1, 1})
		pc := record.PlanCandidate{
			Name: row.name, GPU: c.setup.GPU, Count: row.count, TP: row.count,
			ExpectedLow: row.low, ExpectedHigh: row.high, PlanPriceUSD: row.priceUSD,
			Verdict: c.setup.Verdict, Comment: planComment(row, c), Speed: c.setup.Speed,
		}
		if held := c.setup.Concurrency; held != nil {
			pc.Guaranteed, pc.Steady = &held.Guaranteed, &held.Steady
		}
		for _, s := range setups {
			if s.GPU == pc.GPU && s.Count == pc.Count && s.TensorParallel == pc.TP {
				pc.Rank = s.Rank
			}
		}
		out.Candidates = append(out.Candidates, pc)
	}
	out.Summary = planSummary(m, out.Candidates)
	return out
}

// planComment is the difference between a row of the plan and the computed one.
func planComment(row planRow, c candidate) record.Text {
	expected := fmt.Sprintf("%d–%d", row.low, row.high)
	if row.high == 0 {
		expected = fmt.Sprintf("%d+", row.low)
	}
	steady := c.steady()
	switch {
	case c.setup.Memory == nil || steady == 0:
		why := c.setup.Reasons[0]
		return record.Text{
			En: fmt.Sprintf("the plan expects %s; it holds none: %s", expected, why.En),
			Ko: fmt.Sprintf("계획서는 %s개를 예상; 실제로는 0개: %s", expected, why.Ko),
		}
	case steady < row.low:
		return say("the plan expects %[1]s; memory holds only %[2]d", "계획서는 %[1]s개를 예상; 메모리로는 %[2]d개만 수용", expected, steady)
	case row.high > 0 && steady > row.high:
		return say("the plan expects %[1]s; memory holds %[2]d, %.1[3]f times its upper figure",
			"계획서는 %[1]s개를 예상; 메모리로는 %[2]d개를 수용 (예상 상한의 %.1[3]f배)", expected, steady, float64(steady)/float64(row.high))
	}
	return say("the plan expects %[1]s; memory holds %[2]d", "계획서는 %[1]s개를 예상; 메모리로는 %[2]d개를 수용", expected, steady)
}
