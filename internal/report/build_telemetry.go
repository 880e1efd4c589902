package report

import (
	"slices"
	"strings"

	"bench/internal/record"
	"bench/internal/unit"
)

// Words of what server, GPUs and client saw of themselves.
var (
	wTimeline = tr("One repeat of the first test beyond the limits (else of the largest): requests, server and GPU on one clock.",
		"한계를 처음 넘은 테스트(없으면 가장 큰 테스트)의 한 구간: 요청, 서버, GPU를 같은 시계로 표시합니다.")
	wTelemetry    = tr("What server, GPU and client saw", "서버, GPU, 클라이언트의 자체 관측")
	wServerTable  = tr("The server's own figures, over the same repeats", "서버 자체 지표 (같은 구간)")
	wQueueMS      = tr("Queue ms", "대기 ms")
	wPrefillMS    = tr("Prefill ms", "Prefill ms")
	wServerTTFT   = tr("TTFT ms", "TTFT ms")
	wHereTTFT     = tr("here", "클라이언트")
	wPreempted    = tr("Preempt.", "선점")
	wRunningMax   = tr("Running", "실행")
	wWaitingMax   = tr("Waiting", "대기열")
	wServerTold   = tr("TTFT and ITL are means of the server's histograms, beside the client's own (here); running, waiting and KV cache are the highest seen.", "TTFT와 ITL은 서버 히스토그램의 평균이며 옆에 클라이언트 측정값을 함께 표시합니다. 실행, 대기열, KV cache는 관측된 최댓값입니다.")
	wEnergyTable  = tr("Energy of the GPUs during the repeats", "측정 구간의 GPU 에너지")
	wPerRequest   = tr("J / request", "J / 요청")
	wPerToken     = tr("J / output token", "J / 출력 토큰")
	wMeanPower    = tr("Mean W", "평균 W")
	wEnergyFrom   = tr("Source", "출처")
	wClientTable  = tr("This machine's client", "클라이언트 상태")
	wClientCPU    = tr("CPU", "CPU")
	wClientLag    = tr("Lag ms, mean (max)", "지연 ms, 평균 (최대)")
	wClientGC     = tr("GC pauses", "GC 정지")
	wConnect      = tr("Connect ms", "연결 ms")
	wHeaders      = tr("Headers ms", "헤더 ms")
	wLimitedMark  = tr("client-limited", "클라이언트 한계")
	wClientAdds   = tr("This client adds at most %s ms to a token's time on this machine (99 of 100: %s ms); %s of the tokens came in one read with an earlier one (%d streams at once, loopback).", "이 장비에서 클라이언트가 토큰 시각에 더하는 지연은 최대 %s ms입니다 (100개 중 99개: %s ms). 앞선 토큰과 함께 읽힌 토큰 비율 %s (동시 %d개 스트림, loopback).")
	wScrapeFailed = tr("%s: %d readings of /metrics failed: %s", "%s: /metrics 읽기 %d회 실패: %s")
	wNoMetrics    = tr("The server's own figures are absent: /metrics could not be read (%s).", "서버 자체 지표 없음: /metrics를 읽을 수 없음 (%s).")
)

// telemetry is what is known beside the client's stamps.
func (b builder) telemetry() section {
	s := section{title: b.t(wTelemetry)}
	recs := slices.Concat(b.in.Baselines, b.in.Tests, b.in.Open)
	if len(recs) == 0 {
		return s
	}
	if why := b.in.Run.Server.MetricsAbsent; why != "" {
		s.para(b.f(wNoMetrics, why))
	}
	if t := b.serverTable(recs); len(t.rows) > 0 {
		s.table(t)
		s.para(b.t(wServerTold))
	}
	s.table(b.energyTable(recs))
	if c := b.in.Run.Calibration; c != nil {
		s.para(b.f(wClientAdds, figureOf(&c.AddedMaxMS), figureOf(&c.AddedP99MS), percent(&c.CoalescedShare), c.Streams))
	}
	s.table(b.clientTable(recs))
	var failed []string
	for _, r := range recs {
		if x := r.Detail.Scrapes; x != nil && x.Failed > 0 {
			failed = append(failed, b.f(wScrapeFailed, r.TestID, x.Failed, x.Reason))
		}
	}
	s.list(failed)
	return s
}

func (b builder) serverTable(recs []record.Record) *table {
	t := &table{caption: b.of(b.t(wServerTable)), columns: []column{{title: b.t(wTest)}, {title: b.t(wQueueMS), right: true}, {title: b.t(wPrefillMS), right: true},
		{title: b.t(wServerTTFT), right: true}, {title: b.t(wHereTTFT), right: true}, {title: "ITL ms", right: true}, {title: b.t(wHereTTFT), right: true},
		{title: b.t(wRunningMax), right: true}, {title: b.t(wWaitingMax), right: true}, {title: "KV", right: true}, {title: b.t(wPreempted), right: true}}}
	for _, r := range recs {
		d := r.Detail.ServerDelta
		if d == nil {
			continue
		}
		var itl *float64
		if x := r.Detail.ITL; x != nil {
			itl = &x.Mean
		}
		t.rows = append(t.rows, row(r.TestID, figureOf(d.QueueMS), figureOf(d.PrefillMS), figureOf(d.TTFTMS), figureOf(r.Results.AvgTTFTMS), figureOf(d.ITLMS), figureOf(itl),
			count(d.MaxRunning), count(d.MaxWaiting), percent(d.MaxKVUsage), count(d.Preemptions)))
	}
	return t
}

func (b builder) energyTable(recs []record.Record) *table {
	t := &table{caption: b.of(b.t(wEnergyTable)), columns: []column{{title: b.t(wTest)}, {title: "J", right: true}, {title: b.t(wPerRequest), right: true},
		{title: b.t(wPerToken), right: true}, {title: b.t(wMeanPower), right: true}, {title: b.t(wEnergyFrom)}}}
	for _, r := range recs {
		if e := r.Detail.Energy; e != nil {
			t.rows = append(t.rows, row(r.TestID, figureOf(&e.Joules), figureOf(e.PerRequestJ), figureOf(e.PerTokenJ), figureOf(&e.MeanPowerW), strings.ReplaceAll(e.Source, "_", " ")))
		}
	}
	return t
}

// clientTable is how the client fared, where the clock was the machine's.
func (b builder) clientTable(recs []record.Record) *table {
	t := &table{caption: b.t(wClientTable), columns: []column{{title: b.t(wTest)}, {title: b.t(wClientCPU), right: true}, {title: b.t(wClientLag), right: true},
		{title: b.t(wClientGC), right: true}, {title: b.t(wConnect), right: true}, {title: b.t(wHeaders), right: true}, {title: b.t(wNote), wrap: true}}}
	for _, r := range recs {
		c := r.Detail.Client
		if c == nil {
			continue
		}
		note := cell{}
		if c.Limited {
			note = cell{b.t(wLimitedMark) + ": " + c.Why, warn}
		}
		var dial, wait *float64
		if p := r.Detail.Phases; p != nil {
			dial, wait = meanOf(p.Dial), meanOf(p.Wait)
		}
		cells := row(r.TestID, percent(c.CPUShare), figureOf(&c.LagMeanMS)+" ("+figureOf(&c.LagMaxMS)+")", unit.Count(int64(c.GCPauses)), figureOf(dial), figureOf(wait))
		t.rows = append(t.rows, append(cells, note))
	}
	return t
}

func meanOf(d *record.Distribution) *float64 {
	if d == nil {
		return nil
	}
	return &d.Mean
}
