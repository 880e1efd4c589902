package report

import (
	"fmt"
	"slices"
)

var (
	wProbes = tr("Probes beside the load: what an interactive user feels under it", "부하와 함께 보낸 탐침 요청: 부하 중에 대화형 사용자가 겪는 시간")
	wSent   = tr("Sent", "보냄")
	wEvery  = tr("Probe", "탐침")
)

// probes shows what was sent beside the loads.
func (b builder) probes() *table {
	t := &table{caption: b.of(b.t(wProbes)), columns: []column{{title: b.t(wTest)}, {title: b.t(wEvery)}, {title: b.t(wSent), right: true}, {title: b.t(wSuccess), right: true},
		{title: "TTFT p50", right: true}, {title: "p95", right: true}, {title: "max", right: true}, {title: "TPOT ms", right: true},
		{title: "Latency p50", right: true}, {title: "p95", right: true}}}
	for _, r := range slices.Concat(b.in.Tests, b.in.Open) {
		p := r.Detail.Probe
		if p == nil {
			continue
		}
		ttft, latency := orNone(p.TTFT), orNone(p.Latency)
		share, worst := "–", "–"
		if p.Requests > 0 {
			share = fmt.Sprintf("%.0f %%", 100*float64(p.Succeeded)/float64(p.Requests))
		}
		if p.TTFT != nil {
			worst = figureOf(&ttft.Max)
		}
		t.rows = append(t.rows, row(r.TestID, fmt.Sprintf("%d/%d, %g/s", p.Probe.InputTokens, p.Probe.OutputTokens, p.Probe.RequestRate), fmt.Sprint(p.Requests), share,
			figureOf(ttft.P50), figureOf(ttft.P95), worst, figureOf(meanIn(p.TPOT)), figureOf(latency.P50), figureOf(latency.P95)))
	}
	return t
}
