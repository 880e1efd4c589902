package analysis

import (
	"slices"

	"bench/internal/record"
)

// recommended is the largest tested concurrency that holds every rule of operation.
func (l *ladder) recommended(saturation record.Limit) record.Limit {
	if l.base == nil {
		return noted(record.Limit{}, l.noBaseline())
	}
	i := len(l.rungs) - 1
	for i >= 0 && l.broken(l.rungs[i], saturation).En != "" {
		i--
	}
	if i < 0 {
		if len(l.rungs) == 0 {
			return noted(record.Limit{}, say("no usable test", "쓸 수 있는 테스트가 없음"))
		}
		first := l.rungs[0]
		cause, evidence := l.causeOf(first)
		at := record.Limit{High: new(first.n), Cause: cause}
		return noted(at, join(" ", say("none of the tested concurrencies holds; at %s,", "시험한 동시 요청 수 중 조건을 만족하는 것이 없음. %s개에서:", count(first.n)), l.broken(first, saturation)), evidence...)
	}
	r := l.rungs[i]
	at := record.Limit{Concurrent: new(r.n), Reached: true, Low: new(r.n)}
	evidence := l.margins(r)
	margin := say("latency %s × baseline of at most 2 ×", "latency는 baseline의 %s배(한도 2배)", ratio(*r.rec.Results.AvgTotalLatencyMS/l.base.AvgTotalLatencyMS))
	var above record.Text
	if next := l.nextAbove(r.n); next != nil {
		at.High = new(next.n)
		cause, why := l.causeOf(*next)
		at.Cause = cause
		evidence = append(evidence, why...)
		above = join(" ", say("; at %s,", "; %s개에서는", count(next.n)), l.broken(*next, saturation))
	} else if 2*r.n <= maxSuggested {
		above = say("; nothing higher was tested, try --concurrent %s", "; 그보다 큰 값은 시험하지 않음, --concurrent %s 시도", count(2*r.n))
	}
	var doubt record.Text
	if !r.queueSeen() {
		doubt = say("; queueing and preemption could not be seen (no /metrics)", "; 대기와 선점 여부는 확인하지 못함 (/metrics 없음)")
	}
	for _, lower := range l.rungs[:i] {
		if why := l.broken(lower, saturation); why.En != "" && lower.n < r.n {
			doubt = join("", doubt, say("; though at %s, ", "; 다만 %s개에서는 ", count(lower.n)), why)
			break
		}
	}
	return noted(at, join("", margin, above, doubt), evidence...)
}

// nextAbove is the lowest rung above n, left-out tests not counted.
func (l *ladder) nextAbove(n float64) *rung {
	i := slices.IndexFunc(l.rungs, func(r rung) bool { return r.n > n })
	if i < 0 {
		return nil
	}
	return &l.rungs[i]
}

// broken is the first rule of operation a rung breaks, or nothing.
func (l *ladder) broken(r rung, saturation record.Limit) record.Text {
	if why := l.unstable(r); why.En != "" {
		return why
	}
	if saturation.Reached && r.n > *saturation.Concurrent {
		return say("throughput has been saturated since %s", "이미 %s개에서 throughput이 포화됨", count(*saturation.Concurrent))
	}
	return record.Text{}
}

// unstable is the first rule of stable operation a rung breaks, or nothing: all requests succeed in
// under 60 s and 2 × baseline, none waits for a place and none is preempted. It needs l.base.
func (l *ladder) unstable(r rung) record.Text {
	if why := failing(r); why.En != "" {
		return why
	}
	lat := *r.rec.Results.AvgTotalLatencyMS
	switch {
	case lat > surgeFactor*l.base.AvgTotalLatencyMS*(1+roundOff):
		return say("latency is %s × baseline", "latency가 baseline의 %s배", ratio(lat/l.base.AvgTotalLatencyMS))
	case kvFull(r) != nil:
		return say("the KV cache is full", "KV cache가 가득 참")
	case r.queued():
		return say("requests wait for a place at the server", "서버에서 요청이 대기함")
	}
	return record.Text{}
}

// failing says that a rung does not meet the plan's success, or nothing.
func failing(r rung) record.Text {
	if !r.complete() {
		return say("%s of the requests succeed", "요청의 %s만 성공", percent(*r.rec.Results.SuccessRate))
	}
	slowest, ok := r.slowest()
	if !ok || r.rec.Results.AvgTotalLatencyMS == nil {
		return say("no latency was measured", "latency가 측정되지 않음")
	}
	if slowest >= latencyLimitMS {
		return say("the slowest request takes %s", "가장 느린 요청이 %s 걸림", millis(slowest))
	}
	return record.Text{}
}

// margins is how far a rung stays inside the rules.
func (l *ladder) margins(r rung) []record.Text {
	lat := *r.rec.Results.AvgTotalLatencyMS
	slowest, _ := r.slowest()
	evidence := []record.Text{
		say("%s: success rate %s", "%s: 성공률 %s", r.rec.TestID, percent(*r.rec.Results.SuccessRate)),
		say("%s: latency %s = %s baseline (%s, %s)", "%s: latency %s = baseline(%[4]s, %[5]s)의 %[3]s", r.rec.TestID, millis(lat),
			times(lat/l.base.AvgTotalLatencyMS), l.base.TestID, millis(l.base.AvgTotalLatencyMS)),
		say("%s: slowest request %s of at most 60 s", "%s: 가장 느린 요청 %s (한도 60 s)", r.rec.TestID, millis(slowest)),
	}
	s := r.rec.Detail.ServerDelta
	if s != nil && s.MaxKVUsage != nil {
		evidence = append(evidence, say("%s: KV cache usage at most %s", "%s: KV cache 사용률 최대 %s", r.rec.TestID, percent(*s.MaxKVUsage)))
	}
	if r.queueSeen() {
		evidence = append(evidence, say("%s: preemptions %s", "%s: 선점 %s회", r.rec.TestID, count(*s.Preemptions)))
	}
	return evidence
}
