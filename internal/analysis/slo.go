package analysis

import (
	"fmt"
	"strings"

	"bench/internal/record"
)

// NextSLORung is the concurrency to test next in the search for the largest that holds an objective: start first, then
// twice or half of it until one holds and one does not, then the middle between the two. done says why the search ends;
// added is the number of tests it has made, most the highest concurrency it may go to.
func NextSLORung(in Input, inputTokens, outputTokens int, w record.Workload, slo record.SLO, added, start, most int) (n int, done record.Text) {
	for _, l := range buildLadders(in) {
		if l.input == inputTokens && l.output == outputTokens && l.workload == w && l.slo == sloKey(&record.SLOResult{SLO: slo}) {
			return l.nextSLO(added, most)
		}
	}
	return min(start, most), record.Text{}
}

func (l *ladder) nextSLO(added, most int) (n int, done record.Text) {
	holds, breaks := 0, 0
	for _, r := range l.all {
		at := int(r.n)
		_, left := leaveOut(r.rec)
		switch {
		case left && r.rec.Detail.Incident == nil:
			return 0, say("%s could not be judged; see its findings", "%s을(를) 판정할 수 없음 (findings 참조)", r.rec.TestID)
		case left || !r.rec.Detail.SLO.Held:
			if breaks == 0 {
				breaks = at
			}
		case breaks == 0:
			holds = at
		}
	}
	switch {
	case breaks == 1:
		return 0, say("not even one request at a time holds", "동시 요청 1개에서도 만족하지 못함")
	case breaks == 0 && holds >= most:
		return 0, say("it holds up to %d, the highest concurrency allowed", "허용된 최대 동시 요청 수 %d까지 만족함", most)
	case holds > 0 && breaks > 0 && float64(breaks-holds) <= max(1, gapShare*float64(holds)):
		return 0, say("it holds at %d and breaks at %d", "%d에서 만족하고 %d에서 깨짐", holds, breaks)
	case added >= MaxRungs:
		return 0, say("%d tests were made, the most the search may make", "탐색이 수행할 수 있는 테스트 %d개를 모두 사용함", added)
	case breaks == 0:
		return min(2*holds, most), record.Text{}
	}
	return max(1, (holds+breaks)/2), record.Text{}
}

// border finds the largest load that holds with none below it that does not, the smallest that does not hold, and what the border
// certainly lies between: the largest at which every repeat held and the smallest at which none did.
func border[R any](rungs []R, result func(R) *record.SLOResult, size func(R) float64) (holds, breaks *R, low, high *float64) {
	for i := range rungs {
		r := &rungs[i]
		res := result(*r)
		switch {
		case breaks == nil && res.Held:
			holds = r
			if res.HeldRepeats == res.Repeats {
				low = new(size(*r))
			}
		case !res.Held && breaks == nil:
			breaks = r
		}
		if breaks != nil && high == nil && res.HeldRepeats == 0 {
			high = new(size(*r))
		}
	}
	return holds, breaks, low, high
}

// sloLimit states the border of an objective over concurrency.
func (l *ladder) sloLimit() *record.Limit {
	if l.slo == "" || len(l.rungs) == 0 {
		return nil
	}
	holds, breaks, low, high := border(l.rungs, func(r rung) *record.SLOResult { return r.rec.Detail.SLO }, func(r rung) float64 { return r.n })
	at := record.Limit{Low: low, High: high}
	var evidence []record.Text
	for _, r := range l.rungs {
		evidence = append(evidence, sloEvidence(r))
	}
	what := same(sloName(l.rungs[0].rec.Detail.SLO.SLO))
	if holds != nil {
		at.Concurrent = new(holds.n)
	}
	var note record.Text
	switch {
	case breaks == nil:
		note = join("", what, say(": holds at %s, the highest tested", ": 시험한 최대값 %s개까지 만족", count(holds.n)))
		return new(noted(at, note, evidence...))
	case holds == nil:
		note = join("", what, say(": broken at %s, the lowest tested", ": 시험한 최소값 %s개에서 이미 깨짐", count(breaks.n)))
	default:
		note = join("", what, say(": holds at %s (%d of %d repeats), broken at %s (held in %d of %d)",
			": %s개에서 만족(반복 %d/%d), %s개에서 깨짐(만족한 반복 %d/%d)", count(holds.n), holds.rec.Detail.SLO.HeldRepeats, holds.rec.Detail.SLO.Repeats,
			count(breaks.n), breaks.rec.Detail.SLO.HeldRepeats, breaks.rec.Detail.SLO.Repeats))
	}
	if burstAlone(*breaks) {
		note = join("", note, say("; at %s the opening burst alone breaks it: what is sent after it is within",
			"; %s개에서는 첫 동시 전송만 기준을 넘고 그 뒤의 요청은 지킴", count(breaks.n)))
	}
	at.Reached = true
	cause, why := l.causeOf(*breaks)
	at.Cause = cause
	return new(noted(at, note, append(evidence, why...)...))
}

// burstAlone says whether a test breaks its objective by the requests of its opening bursts and by no others: users seldom come
// all at one instant.
func burstAlone(r rung) bool {
	res := r.rec.Detail.SLO
	for _, m := range res.Metrics {
		if m.ShareSteady == nil || *m.ShareSteady < res.SLO.Percentile/100 {
			return false
		}
	}
	return r.rec.Detail.OpenLoad == nil && len(res.Metrics) > 0
}

// sloEvidence is what a rung measured against its limits.
func sloEvidence(r rung) record.Text {
	var parts []record.Text
	for _, m := range r.rec.Detail.SLO.Metrics {
		value := "–"
		if m.ValueMS != nil {
			value = millis(*m.ValueMS)
		}
		within := same(percent(m.Share))
		switch {
		case m.ShareSteady == nil && r.rec.Detail.OpenLoad != nil:
			within = say("%s, no steady part", "%s, 정상 상태 구간 없음", percent(m.Share))
		case m.ShareSteady == nil:
		case r.rec.Detail.OpenLoad != nil:
			within = say("%s, steady %s", "%s, 정상 상태 %s", percent(m.Share), percent(*m.ShareSteady))
		default:
			within = say("%s, after the opening burst %s", "%s, 첫 동시 전송 이후 %s", percent(m.Share), percent(*m.ShareSteady))
		}
		parts = append(parts, join("", same(metricNames[m.Metric]+" "+value+" ("), within, same(")")))
	}
	return say("%s: %s within", "%s: %s 이내", r.rec.TestID, join(", ", parts...))
}

var metricNames = map[string]string{"ttft": "TTFT", "tpot": "TPOT", "total_latency": "latency"}

// sloKey is the same for equal objectives, and empty for none.
func sloKey(r *record.SLOResult) string {
	if r == nil {
		return ""
	}
	key := fmt.Sprint(r.SLO.Percentile)
	for _, ms := range []*float64{r.SLO.MaxTTFTMS, r.SLO.MaxTPOTMS, r.SLO.MaxLatencyMS} {
		key += " "
		if ms != nil {
			key += fmt.Sprint(*ms)
		}
	}
	return key
}

// sloName is an objective in one line: p95 TTFT ≤ 1.00 s, TPOT ≤ 50.0 ms.
func sloName(s record.SLO) string {
	var parts []string
	for _, l := range []struct {
		name string
		ms   *float64
	}{{"TTFT", s.MaxTTFTMS}, {"TPOT", s.MaxTPOTMS}, {"latency", s.MaxLatencyMS}} {
		if l.ms != nil {
			parts = append(parts, l.name+" ≤ "+millis(*l.ms))
		}
	}
	return "p" + count(s.Percentile) + " " + strings.Join(parts, ", ")
}
