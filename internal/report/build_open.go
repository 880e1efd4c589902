package report

import (
	"strconv"

	"bench/internal/record"
)

var (
	wOpen     = tr("Open load: requests sent when they were due", "Open load: 예정 시각에 보낸 요청")
	wOffered  = tr("Due/s", "예정/s")
	wAchieved = tr("Done/s", "완료/s")
	wInFlight = tr("In flight", "처리 중")
	wDueTTFT  = tr("from due", "예정부터")
	wHeldBack = tr("Held", "지연")
	wOpenNote = tr("Means. Each time stands twice: from the send, and from the instant the request was due, which holds what it waited in the client. "+
		"In flight: mean and most. Held: requests held back by --max-concurrency.",
		"평균값. 시간은 전송 시각부터와 예정 시각부터의 두 가지이며, 뒤의 값에는 클라이언트에서 기다린 시간이 포함됩니다. "+
			"처리 중: 평균과 최대. 지연: --max-concurrency로 늦춰진 요청.")
	wDuePercentiles = tr("From the instant due, percentiles over requests", "예정 시각부터의 요청별 백분위수")
	wOversaturated  = tr("%s was over-saturated: %s. The load was stopped after %s s of its schedule, with %d requests due but not sent and %d not yet due. "+
		"Figures of such a test depend on when it was stopped.",
		"%s은(는) 과포화: %s. 예정된 부하를 %s s 뒤에 중단함(예정 시각이 지났으나 보내지 못한 요청 %d개, 아직 예정 전인 요청 %d개). 이런 테스트의 수치는 중단 시점에 따라 달라집니다.")
	wQueueGrew = tr("%s requests waited at the server, at first %s, and each second added %s", "서버에서 대기하는 요청이 처음 %[2]s개에서 %[1]s개로, 초당 %[3]s개씩 늘어남")
	wWaitGrew  = tr("a request waited %s ms for its first token, at first %s ms, and each second added %s ms", "첫 토큰까지의 대기가 처음 %[2]s ms에서 %[1]s ms로, 초당 %[3]s ms씩 늘어남")
)

// openTests shows the open loads: what was offered, what was done, and each time from the send and from the schedule.
func (b builder) openTests(s *section) {
	t := &table{caption: b.of(b.t(wOpen)), columns: []column{{title: b.t(wID)}, {title: b.t(wOffered), right: true}, {title: b.t(wAchieved), right: true},
		{title: b.t(wInFlight), right: true}, {title: "TTFT ms", right: true}, {title: b.t(wDueTTFT), right: true}, {title: "Latency ms", right: true},
		{title: b.t(wDueTTFT), right: true}, {title: b.t(wHeldBack), right: true}, {title: b.t(wStatus)}}}
	p := &table{caption: b.of(b.t(wDuePercentiles)), columns: []column{{title: b.t(wTest)}, {title: "n", right: true},
		{title: "TTFT p50", right: true}, {title: "p90", right: true}, {title: "p95", right: true}, {title: "p99", right: true},
		{title: "Latency p50", right: true}, {title: "p90", right: true}, {title: "p95", right: true}, {title: "p99", right: true}}}
	var stopped []string
	for _, r := range b.in.Open {
		o := r.Detail.OpenLoad
		if o == nil {
			continue
		}
		ttft, latency := orNone(o.TTFT), orNone(o.Latency)
		cells := row(r.TestID, figureOf(o.OfferedPerSec), figureOf(o.AchievedPerSec), figureOf(o.MeanInFlight)+" ("+strconv.Itoa(o.PeakInFlight)+")",
			figureOf(r.Results.AvgTTFTMS), figureOf(meanIn(o.TTFT)), figureOf(r.Results.AvgTotalLatencyMS), figureOf(meanIn(o.Latency)),
			strconv.Itoa(o.Held), "")
		cells[len(cells)-1] = b.status(r)
		t.rows = append(t.rows, cells)
		if o.Latency != nil {
			p.rows = append(p.rows, row(r.TestID, strconv.Itoa(latency.N), figureOf(ttft.P50), figureOf(ttft.P90), figureOf(ttft.P95), figureOf(ttft.P99),
				figureOf(latency.P50), figureOf(latency.P90), figureOf(latency.P95), figureOf(latency.P99)))
		}
		if x := o.Oversaturated; x != nil {
			grew := wWaitGrew
			if x.Seen == record.SeenQueue {
				grew = wQueueGrew
			}
			why := b.f(grew, figureOf(&x.Late), figureOf(&x.Early), figureOf(&x.GrowthPerSec))
			stopped = append(stopped, b.f(wOversaturated, r.TestID, why, figureOf(&x.AfterS), o.Dropped, o.NotDue))
		}
	}
	if len(t.rows) == 0 {
		return
	}
	s.table(t)
	s.para(b.t(wOpenNote))
	s.list(stopped)
	s.table(p)
	b.steady(s)
}

func orNone(d *record.Distribution) record.Distribution {
	if d == nil {
		return record.Distribution{}
	}
	return *d
}

func meanIn(d *record.Distribution) *float64 {
	if d == nil {
		return nil
	}
	return &d.Mean
}
