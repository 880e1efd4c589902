package report

import (
	"fmt"
	"strings"

	"bench/internal/record"
)

var (
	wRates         = tr("Open loads by rate, %d/%d tokens", "요청률별 open load, 입력/출력 %d/%d 토큰")
	wRate          = tr("Requests/s", "초당 요청")
	wBetween       = tr("Surely between", "확실한 범위")
	wKeptUp        = tr("Kept up with", "감당한 요청률")
	wPart          = tr("Part", "구간")
	wAll           = tr("all", "전체")
	wSteadyPart    = tr("steady", "정상 상태")
	wSteadyCaption = tr("Steady part of open loads beside all of it", "Open load의 정상 상태 구간과 전체")
	wSteadyNote    = tr("The steady part is where the number in flight only fluctuated: after the server had filled up (MSER-5), until the last send. Times from due; means and p95. "+
		"Share: of the requests.",
		"정상 상태 구간은 처리 중인 요청 수가 일정 수준에서 오르내리기만 한 구간: 서버가 채워진 뒤(MSER-5)부터 마지막 전송까지. 시간은 예정 시각부터의 평균과 p95. 비율은 요청 수 기준.")
	wNoSteady = tr("%s, repeat %d: no steady part: %s", "%s, 반복 %d: 정상 상태 구간 없음: %s")
)

// rates shows where ladders of rates end.
func (b builder) rates(s *section, withEvidence bool) {
	for _, l := range b.in.Analysis.Rates {
		t := &table{caption: b.of(b.f(wRates, l.InputTokens, l.MaxOutputTokens)), columns: []column{
			{title: b.t(wLimit)}, {title: b.t(wRate), right: true}, {title: b.t(wBetween), right: true}, {title: b.t(wNote), wrap: true}}}
		var evidence []string
		add := func(name string, x record.RateLimit) {
			t.rows = append(t.rows, row(name, figureOf(x.RequestRate), interval(x.Low, x.High), record.Text{En: x.Note, Ko: x.NoteKO}.In(b.lang)))
			lines := x.Evidence
			if b.lang == Korean {
				lines = x.EvidenceKO
			}
			evidence = append(evidence, name+": "+strings.Join(lines, "; "))
		}
		if l.SLO != nil {
			add(b.t(wSLO), *l.SLO)
		}
		add(b.t(wKeptUp), l.Sustained)
		s.table(t)
		for _, out := range l.LeftOut {
			s.para(b.f(wLeftOut, out.TestID, record.Text{En: out.Reason, Ko: out.ReasonKO}.In(b.lang)))
		}
		if withEvidence {
			s.para(b.t(wEvidence) + ":")
			s.list(evidence)
		}
	}
}

// interval prints an interval of which an end may not be known.
func interval(low, high *float64) string {
	if low == nil && high == nil {
		return "–"
	}
	return figureOf(low) + " … " + figureOf(high)
}

// steady shows the figures of the steady part of each open load beside those of all of it.
func (b builder) steady(s *section) {
	t := &table{caption: b.of(b.t(wSteadyCaption)), columns: []column{{title: b.t(wTest)}, {title: b.t(wPart)}, {title: b.t(wShare), right: true}, {title: b.t(wAchieved), right: true},
		{title: b.t(wInFlight), right: true}, {title: "TTFT ms", right: true}, {title: "p95", right: true}, {title: "TPOT ms", right: true},
		{title: "Latency ms", right: true}, {title: "p95", right: true}}}
	var none []string
	for _, r := range b.in.Open {
		o := r.Detail.OpenLoad
		if o == nil {
			continue
		}
		for _, w := range o.Steady.Windows {
			if w.Why != nil {
				none = append(none, b.f(wNoSteady, r.TestID, w.Run+1, w.Why.In(b.lang)))
			}
		}
		if o.Steady.Requests == 0 {
			continue
		}
		part := func(id, name, share string, perSec, inFlight *float64, ttft, tpot, latency *record.Distribution) {
			t.rows = append(t.rows, row(id, name, share, figureOf(perSec), figureOf(inFlight), figureOf(meanIn(ttft)), figureOf(orNone(ttft).P95), figureOf(meanIn(tpot)),
				figureOf(meanIn(latency)), figureOf(orNone(latency).P95)))
		}
		x := o.Steady
		part(r.TestID, b.t(wSteadyPart), fmt.Sprintf("%.0f %%", 100*x.Share), x.AchievedPerSec, x.MeanInFlight, x.TTFT, x.TPOT, x.Latency)
		part("", b.t(wAll), "100 %", o.AchievedPerSec, o.MeanInFlight, o.TTFT, r.Detail.TPOT, o.Latency)
	}
	s.table(t)
	if len(t.rows) > 0 {
		s.para(b.t(wSteadyNote))
	}
	s.list(none)
}
