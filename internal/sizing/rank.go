package sizing

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"bench/internal/record"
	"bench/internal/unit"
)

// rank sorts candidates best first and numbers them: those that fit by price, an unknown price
// last; then those that are too slow; then those that do not fit, the nearest miss first; then those
// vLLM refuses. The one to recommend gets its verdict.
func rank(candidates []candidate) {
	slices.SortStableFunc(candidates, func(a, b candidate) int {
		return cmp.Or(
			cmp.Compare(group(a), group(b)),
			byMerit(a, b),
			cmp.Compare(a.setup.Count, b.setup.Count),
			cmp.Compare(a.setup.TensorParallel*a.setup.PipelineParallel, b.setup.TensorParallel*b.setup.PipelineParallel),
			cmp.Compare(a.setup.GPU, b.setup.GPU),
		)
	})
	for i := range candidates {
		candidates[i].setup.Rank = i + 1
	}
	if i := slices.IndexFunc(candidates, recommendable); i >= 0 {
		candidates[i].setup.Verdict = record.VerdictRecommended
	}
}

func group(c candidate) int {
	switch {
	case c.qualifies():
		return 0
	case c.setup.Fits:
		return 1
	case c.setup.Verdict == record.VerdictDoesNotFit:
		return 2
	}
	return 3
}

// byMerit is price where both fit, and how much they hold where they do not.
func byMerit(a, b candidate) int {
	if a.setup.Fits {
		return cmp.Or(cmp.Compare(buyUSD(a), buyUSD(b)), cmp.Compare(hourUSD(a), hourUSD(b)))
	}
	return cmp.Compare(b.steady(), a.steady())
}

// buyUSD is the price of the cards, infinite where it is not known.
func buyUSD(c candidate) float64 {
	if p := c.setup.Price; p != nil && p.BuyUSD != nil {
		return *p.BuyUSD
	}
	return math.Inf(1)
}

// hourUSD is the price of an hour, infinite where it is not known.
func hourUSD(c candidate) float64 {
	if p := c.setup.Price; p != nil && p.HourUSD != nil {
		return *p.HourUSD
	}
	return math.Inf(1)
}

// recommendable says whether c has headroom and no trap that memory does not show.
func recommendable(c candidate) bool { return c.score() == 3 && !overPCIe(c) && !sharedMemory(c) }

// sharedMemory says whether c's memory is also the CPU's: how much of it vLLM gets is not known.
func sharedMemory(c candidate) bool { return c.gpu.MemoryNVMLMiB == 0 }

// overPCIe says whether one server spans more cards than an NVLink bridge joins, over PCIe. From
// four on, exchanging a prompt's activations takes longer than computing them (measured on L40S
// and RTX PRO 6000), and stock GeForce drivers have no peer-to-peer at all.
func overPCIe(c candidate) bool {
	return c.setup.TensorParallel > 2 && c.gpu.FormFactor == "pcie"
}

// options picks the three answers from ranked candidates.
func options(candidates []candidate) record.Options {
	var out record.Options
	if i := slices.IndexFunc(candidates, candidate.qualifies); i >= 0 {
		why := say("the cheapest that carries the demand", "요구를 수용하는 가장 저렴한 구성")
		if trap := trapOf(candidates[i]); trap != nil {
			why.En += "; " + trap.En
			why.Ko += "; " + trap.Ko
		}
		out.Minimum = option(candidates[i], why)
	}
	if i := slices.IndexFunc(candidates, recommendable); i >= 0 {
		why := say("the cheapest with %[1]s headroom", "여유 %[1]s 이상을 갖춘 가장 저렴한 구성", percent(Headroom))
		for _, c := range candidates[:i] {
			if trap := trapOf(c); c.score() == 3 && trap != nil {
				why.En += fmt.Sprintf("; passed over: %d× %s at %s (%s)", c.setup.Count, c.setup.GPU, unit.USD(buyUSD(c)), trap.En)
				why.Ko += fmt.Sprintf("; 제외: %d× %s, %s (%s)", c.setup.Count, c.setup.GPU, unit.USD(buyUSD(c)), trap.Ko)
				break // the cheapest of them explains the rule
			}
		}
		out.Recommended = option(candidates[i], why)
	}
	cheapest := -1
	for i, c := range candidates {
		if c.qualifies() && !math.IsInf(hourUSD(c), 1) && (cheapest < 0 || byHour(c, candidates[cheapest]) < 0) {
			cheapest = i
		}
	}
	if cheapest >= 0 {
		why := say("the lowest price per hour among offers that carry the demand", "요구를 수용하는 클라우드 상품 중 시간당 요금이 가장 낮음")
		if c := cheaperAssumed(candidates, candidates[cheapest]); c != nil {
			text := say("; %[1]d × %[2]s would cost %[3]s if a machine of that size is hired at the same rate per GPU",
				"; 같은 GPU 단가로 그 크기의 인스턴스를 빌릴 수 있다면 %[1]d × %[2]s은(는) %[3]s", c.setup.Count, c.setup.GPU, unit.USD(hourUSD(*c)))
			why.En, why.Ko = why.En+text.En, why.Ko+text.Ko
		}
		out.CheapestCloud = option(candidates[cheapest], why)
	}
	return out
}

// cheaperAssumed is the cheapest set-up that carries the demand for less than c by an offer nobody lists; nil where
// there is none.
func cheaperAssumed(candidates []candidate, c candidate) *candidate {
	var best *candidate
	for i := range candidates {
		x := &candidates[i]
		if x.qualifies() && hourUSD(*x) < hourUSD(c) && x.setup.Price.Hour.Assumed && (best == nil || hourUSD(*x) < hourUSD(*best)) {
			best = x
		}
	}
	return best
}

// byHour compares by the price of an hour; an offer as it stands comes before one that is assumed.
func byHour(a, b candidate) int {
	assumed := func(c candidate) int {
		if c.setup.Price.Hour.Assumed {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(assumed(a), assumed(b)), cmp.Compare(hourUSD(a), hourUSD(b)))
}

// trapOf says what memory does not show about c; nil where nothing is known against it.
func trapOf(c candidate) *record.Text {
	switch {
	case overPCIe(c):
		return new(say(
			"one server over %[1]d PCIe cards spends longer exchanging prompts than computing them; measure before buying",
			"서버 하나를 PCIe 카드 %[1]d장에 나누면 프롬프트 교환 시간이 계산 시간보다 길어짐; 구매 전에 측정 필요", c.setup.TensorParallel))
	case sharedMemory(c):
		return new(say(
			"memory is shared with the CPU, so how much vLLM gets is not known; measure before buying",
			"메모리를 CPU와 공유하므로 vLLM이 쓸 수 있는 양이 불확실함; 구매 전에 측정 필요"))
	}
	return nil
}

func option(c candidate, why record.Text) *record.Option {
	s := c.setup
	return &record.Option{
		Rank: s.Rank, GPU: s.GPU, Count: s.Count, TensorParallel: s.TensorParallel,
		PipelineParallel: s.PipelineParallel, Replicas: s.Replicas, Price: s.Price, Why: why,
	}
}
