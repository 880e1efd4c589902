package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"bench/internal/record"
	"bench/internal/unit"
)

// unknown stands for a figure that is not known. It is never zero.
const unknown = "–"

// figureOf prints a figure with about three significant digits.
func figureOf(v *float64) string {
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return unknown
	}
	switch a := math.Abs(*v); {
	case a >= 99.95:
		return unit.Count(int64(math.Round(*v)))
	case a >= 9.995:
		return strconv.FormatFloat(*v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(*v, 'f', 2, 64)
	}
}

// count prints a concurrency; an interpolated one gets one decimal.
func count(v *float64) string {
	switch {
	case v == nil:
		return unknown
	case *v == math.Trunc(*v):
		return unit.Count(int64(*v))
	}
	return strconv.FormatFloat(*v, 'f', 1, 64)
}

// percent prints a share of 0–1; only a whole one prints as 100 %.
func percent(share *float64) string {
	if share == nil {
		return unknown
	}
	p := 100 * *share
	if p > 99.9 && p < 100 {
		p = 99.9
	}
	s := strconv.FormatFloat(p, 'f', 1, 64)
	return strings.TrimSuffix(s, ".0") + " %"
}

func ratio(a, b *float64) string {
	if a == nil || b == nil || *b <= 0 {
		return unknown
	}
	return strconv.FormatFloat(*a / *b, 'f', 2, 64)
}

func usd(v *float64) string {
	if v == nil {
		return unknown
	}
	return unit.USD(*v)
}

func gib(bytes int64) string { return strconv.FormatFloat(unit.Bytes(bytes).GiB(), 'f', 1, 64) }

func orUnknown(s string) string {
	if s == "" {
		return unknown
	}
	return s
}

func number(n int) string {
	if n == 0 {
		return unknown
	}
	return unit.Count(n)
}

// wallTime prints an instant in the zone it was recorded in.
func wallTime(t time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return t.Format("2006-01-02 15:04 MST")
}

// shapeOf prints input and output lengths: "100/100".
func shapeOf(in, out int) string { return fmt.Sprintf("%d/%d", in, out) }

// setupName names GPUs: "2 × A100-SXM4-80GB". The maker goes without saying: it is always the same.
func setupName(gpu string, n int) string {
	return fmt.Sprintf("%d × %s", n, strings.TrimPrefix(gpu, "NVIDIA "))
}

// layout prints how a set-up splits the model: "TP 2", "TP 2 PP 2", "TP 2, 3 replicas".
func layout(tp, pp, replicas int) string {
	s := fmt.Sprintf("TP %d", tp)
	if pp > 1 {
		s += fmt.Sprintf(" PP %d", pp)
	}
	if replicas > 1 {
		s += fmt.Sprintf(" ×%d", replicas)
	}
	return s
}

// simulated is true if any figure shown comes from the simulator.
func simulated(in Input) bool {
	if in.Run.Simulated || in.Verify != nil && in.Verify.Simulated || in.Analysis != nil && in.Analysis.Simulated {
		return true
	}
	for _, recs := range [][]record.Record{in.Baselines, in.Tests, in.Open} {
		for _, r := range recs {
			if r.Detail.Simulated {
				return true
			}
		}
	}
	return false
}
