package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"bench/internal/record"
	"bench/internal/unit"
)

// Words of sizing's speed, savings and checks.
var (
	wSizingTitle  = tr("Which GPUs carry %s", "%s에 필요한 GPU")
	wSizingMemory = tr("Where the memory of one GPU goes, best set-ups first. A red line: the demand needs more than there is.",
		"GPU 한 장의 메모리 구성(순위 순). 빨간 선은 필요한 KV cache가 남은 메모리보다 큼을 뜻합니다.")
	wSizingPrice = tr("What the cards cost against what they do. Set-ups on the line are worth a look: nothing cheaper is faster.",
		"카드 가격과 처리량. 선 위의 구성은 더 싸면서 더 빠른 대안이 없습니다.")
	wSpeedTable  = tr("Predicted speed under the demand: expected (low to high)", "요구 부하에서의 예상 속도: 예상값 (하한~상한)")
	wPerMillion  = tr("$ / 1M out", "$ / 출력 100만")
	wBasis       = tr("Basis", "근거")
	wMeasuredRow = tr("measured", "공개 측정값")
	wUnmeasRow   = tr("unmeasured", "미측정")
	wSpeedOf     = tr("Closed load, all replicas together; a range holds four of five published measurements of the class. Unmeasured: none covers that card with weights of that width.",
		"동시 요청 수를 유지하는 부하 기준이며 모든 복제본의 합계입니다. 범위 안에 같은 부류 공개 측정값의 5분의 4가 있습니다. 미측정: 해당 카드와 가중치 폭의 공개 측정값이 없습니다.")
	wSavings    = tr("Flags that would leave more memory to requests", "요청에 쓸 메모리를 늘리는 설정")
	wFlag       = tr("Flag", "설정")
	wFreed      = tr("GiB freed", "확보 GiB")
	wMoreReqs   = tr("more requests", "추가 요청 수")
	wGivenUp    = tr("What is given up", "대가")
	wDominant   = tr("What takes most memory from the KV cache of %s: %s, %s GiB.", "%s에서 KV cache 외에 메모리를 가장 많이 차지하는 항목: %s, %s GiB.")
	wTooSlow    = tr("too slow", "속도 부족")
	wExplain    = tr("How the figures of %s came about", "%s 수치의 계산 과정")
	wFormula    = tr("Formula, numbers, source", "계산식, 수치, 출처")
	wCheckTitle = tr("Can these figures be true?", "이 수치가 가능한가?")
	wCheckOf    = tr("%s on %s, %s weights, %s in flight (%s), %s in / %s out", "%[2]s의 %[1]s, 가중치 %[3]s, 동시 %[4]s개 (%[5]s), 입력 %[6]s / 출력 %[7]s 토큰")
	wClaimed    = tr("Claimed", "주장")
	wBound      = tr("Card's bound", "물리적 한계")
	wExpectedTo = tr("Expected", "예상")
	wPlausible  = tr("plausible", "타당함")
	wUnlikely   = tr("unlikely", "의심스러움")
	wImpossibly = tr("impossible", "불가능")
)

// speedTable is what the set-ups are predicted to do.
func (b builder) speedTable(setups []record.Setup) *table {
	t := &table{caption: b.t(wSpeedTable), columns: []column{{title: "#", right: true}, {title: b.t(wSetup), wrap: true}, {title: "TTFT ms", right: true},
		{title: "TPOT ms", right: true}, {title: "tokens/s", right: true}, {title: b.t(wPerMillion), right: true}, {title: b.t(wBasis)}}}
	for _, x := range setups {
		s := x.Speed
		if s == nil {
			continue
		}
		perMillion := unknown
		if x.Price != nil {
			perMillion = usd(x.Price.PerMillionUSD)
		}
		basis := b.t(wUnmeasRow)
		if s.Measured {
			basis = b.t(wMeasuredRow)
		}
		t.rows = append(t.rows, row(strconv.Itoa(x.Rank), setupName(x.GPU, x.Count), between(s.TTFTMS, s.TTFTMSLow, s.TTFTMSHigh), between(s.TPOTMS, s.TPOTMSLow, s.TPOTMSHigh),
			between(s.OutputTokensPerSec, s.OutputTokensPerSecLow, s.OutputTokensPerSecHigh), perMillion, basis))
	}
	return t
}

// between is an expected figure with its bounds: "39.1 (31.0–52.4)".
func between(v, low, high float64) string {
	return fmt.Sprintf("%s (%s–%s)", figureOf(&v), figureOf(&low), figureOf(&high))
}

// savings names what would leave more memory on the set-up a reader will look at: the recommended one, or
// the nearest miss.
func (b builder) savings(s *section, setups []record.Setup) {
	if len(setups) == 0 {
		return
	}
	at := 0
	for i, x := range setups {
		if x.Verdict == record.VerdictRecommended {
			at = i
			break
		}
	}
	x := setups[at]
	name := setupName(x.GPU, x.Count)
	if x.Dominant != nil {
		s.para(b.f(wDominant, name, strings.ReplaceAll(x.Dominant.Name, "_", " "), gib(x.Dominant.Bytes)))
	}
	t := &table{caption: b.t(wSavings) + ": " + name, columns: []column{{title: b.t(wFlag)}, {title: b.t(wFreed), right: true}, {title: b.t(wMoreReqs), right: true}, {title: b.t(wGivenUp), wrap: true}}}
	for _, v := range x.Savings {
		t.rows = append(t.rows, row(v.Flag, gib(v.FreedBytes), unit.Count(int64(v.MoreRequests)), b.t(v.Price)))
	}
	s.table(t)
}

// explanation is every term of one set-up.
func (b builder) explanation(s *section, e *record.Explanation) {
	if e == nil {
		return
	}
	t := &table{caption: b.f(wExplain, e.Setup), columns: []column{{title: b.t(wItem)}, {title: b.t(wValue), right: true}, {title: b.t(wFormula), wrap: true}}}
	for _, x := range e.Terms {
		text := x.Formula
		if x.Numbers != "" {
			text += " = " + x.Numbers
		}
		t.rows = append(t.rows, row(b.t(x.Name), x.Value, text+" ["+b.t(x.Source)+"]"))
	}
	s.table(t)
}

// TextFigures writes whether published figures can be true.
func TextFigures(w io.Writer, c *record.FigureCheck, lang string, width int, colour bool) error {
	b := builder{lang: lang}
	s := section{title: b.t(wCheckTitle)}
	weights := c.Quantization
	if weights == "" {
		weights = "16-bit"
	}
	s.para(b.f(wCheckOf, c.Model, setupName(c.GPU, c.Count), weights, unit.Count(c.Demand.Concurrent), c.Demand.Load, unit.Count(c.Demand.InputTokens), unit.Count(c.Demand.OutputTokens)))
	t := &table{columns: []column{{title: b.t(wFigure)}, {title: b.t(wClaimed), right: true}, {title: b.t(wBound), right: true}, {title: b.t(wExpectedTo), right: true},
		{title: b.t(wVerdict)}, {title: b.t(wReason), wrap: true}}}
	for _, f := range c.Figures {
		name := map[string]string{"ttft": "TTFT ms", "tpot": "TPOT ms", "throughput": "tokens/s"}[f.Metric]
		expected := unknown
		if f.Expected != nil {
			expected = between(*f.Expected, *f.Low, *f.High)
		}
		var reasons []string
		for _, r := range f.Reasons {
			reasons = append(reasons, b.t(r))
		}
		t.rows = append(t.rows, []cell{{text: name}, {text: figureOf(&f.Claimed)}, {text: figureOf(f.Bound)}, {text: expected}, b.figureVerdict(f.Verdict), {text: strings.Join(reasons, "; ")}})
	}
	s.table(t)
	for _, n := range c.Notes {
		s.para(b.t(n))
	}
	return writeText(w, document{lang: lang, sections: []section{s}}, width, colour)
}

func (b builder) figureVerdict(v record.FigureVerdict) cell {
	switch v {
	case record.FigurePlausible:
		return cell{b.t(wPlausible), good}
	case record.FigureUnlikely:
		return cell{b.t(wUnlikely), warn}
	}
	return cell{b.t(wImpossibly), bad}
}
