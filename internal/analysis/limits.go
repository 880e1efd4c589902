package analysis

import (
	"math"

	"bench/internal/record"
	"bench/internal/unit"
)

// The rules' figures.
const (
	surgeFactor    = 2.0    // latency surge: above this multiple of the baseline
	latencyLimitMS = 60_000 // the plan's success: every latency below it
	saturatedShare = 0.95   // saturated: at least this share of the highest throughput
	stillGaining   = 1.10   // not saturated while the last doubling multiplies throughput by more
	roundOff       = 1e-9   // relative; keeps a figure exactly on a border on its right side
)

// maxSuggested is the highest concurrency a note proposes to try.
const maxSuggested = 1024

// oom finds the concurrency at which memory gave out: out of memory or engine death, else the
// first at which the KV cache was full, which is named as that and not as an out-of-memory.
func (l *ladder) oom() record.Limit {
	var full *record.Limit
	var fullWhy []record.Text
	low := (*float64)(nil)
	for _, r := range l.all {
		if cause, evidence := killedBy(r); cause != "" {
			if full != nil {
				evidence = append(evidence, fullWhy...)
			}
			at := record.Limit{Concurrent: new(r.n), Reached: true, Low: low, High: new(r.n), Cause: cause}
			if cause == record.CauseOutOfMemory {
				return noted(at, say("out of memory at %s requests", "동시 요청 %s개에서 메모리 부족(out of memory) 발생", count(r.n)), evidence...)
			}
			return noted(at, say("the engine died at %s requests", "동시 요청 %s개에서 엔진이 종료됨", count(r.n)), evidence...)
		}
		if evidence := kvFull(r); evidence != nil && full == nil {
			full = &record.Limit{Concurrent: new(r.n), Reached: true, Low: low, High: new(r.n), Cause: record.CauseKVCache}
			fullWhy = evidence
		}
		if r.complete() {
			low = new(r.n)
		}
	}
	if full != nil {
		return noted(*full, say(
			"KV cache full at %s requests, which is not an out-of-memory: vLLM takes its memory at start and makes requests wait, or preempts them, once the KV cache is full",
			"동시 요청 %s개에서 KV cache가 가득 참. 메모리 부족 오류는 아님: vLLM은 시작할 때 메모리를 확보하고, KV cache가 차면 요청을 대기시키거나 선점(preemption)함", count(*full.Concurrent)), fullWhy...)
	}
	return l.noMemoryLimit()
}

// noMemoryLimit says that memory never gave out, with how full the KV cache got.
func (l *ladder) noMemoryLimit() record.Limit {
	top := l.top()
	if top == 0 {
		return noted(record.Limit{}, say("unknown: no test ran without failures", "알 수 없음: 실패 없이 끝난 테스트가 없음"))
	}
	limit := record.Limit{Low: new(top)}
	var evidence []record.Text
	fullest := l.fullest()
	kv := say("; how full the KV cache was is unknown (the server does not tell)", "; KV cache 사용률은 알 수 없음 (서버가 알려 주지 않음)")
	if fullest.n != 0 {
		usage := percent(*fullest.rec.Detail.ServerDelta.MaxKVUsage)
		evidence = append(evidence, say("%s: KV cache usage at most %s", "%s: KV cache 사용률 최대 %s", fullest.rec.TestID, usage))
		kv = say("; the KV cache was at most %s full", "; KV cache 사용률은 최대 %s", usage)
	}
	return noted(limit, join("", l.notReached(), kv), evidence...)
}

// fullest is the rung at which the KV cache was fullest; its n is 0 where no rung tells.
func (l *ladder) fullest() rung {
	var fullest rung
	for _, r := range l.rungs {
		s := r.rec.Detail.ServerDelta
		if s == nil || s.MaxKVUsage == nil {
			continue
		}
		if fullest.n == 0 || *s.MaxKVUsage > *fullest.rec.Detail.ServerDelta.MaxKVUsage {
			fullest = r
		}
	}
	return fullest
}

// notReached says up to where a limit was looked for, and what to try next.
func (l *ladder) notReached() record.Text {
	top := l.top()
	text := say("not reached at %s", "%s까지 나타나지 않음", count(top))
	if next := 2 * top; l.highest() <= top && next <= maxSuggested {
		return join("", text, say("; try --concurrent %s next", "; 다음은 --concurrent %s 시도", count(next)))
	}
	if l.highest() > top {
		return join("", text, say("; above it requests failed (%s)", "; 그 위에서는 요청이 실패함 (%s)", l.failedAbove(top)))
	}
	return text
}

// failedAbove names the first test above n that did not complete.
func (l *ladder) failedAbove(n float64) string {
	for _, r := range l.all {
		if r.n > n {
			return r.rec.TestID
		}
	}
	return ""
}

// latencySurge finds where latency passes twice the baseline, interpolated between the rungs around
// the crossing. A rung with failures cannot prove that latency was still low, and nothing is
// interpolated from it: its average leaves the failed requests out.
func (l *ladder) latencySurge() record.Limit {
	if l.base == nil {
		return noted(record.Limit{}, l.noBaseline())
	}
	base := l.base.AvgTotalLatencyMS
	bound := surgeFactor * base
	below := point{n: 1, ms: base, id: l.base.TestID}
	tested := false // below is a rung of this ladder, or the baseline stands in for one
	for _, r := range l.rungs {
		lat := r.rec.Results.AvgTotalLatencyMS
		if lat == nil {
			continue
		}
		if *lat <= bound*(1+roundOff) {
			if r.complete() {
				below, tested = point{r.n, *lat, r.rec.TestID}, true
			}
			continue
		}
		at := record.Limit{Reached: true, High: new(r.n), Concurrent: new(r.n)}
		evidence := []record.Text{
			say("%s: baseline latency %s", "%s: baseline latency %s", l.base.TestID, millis(base)),
			timesBase(r.rec.TestID, *lat, base),
		}
		cause, why := l.causeOf(r)
		at.Cause = cause
		if r.n <= below.n {
			return noted(at, say("latency is above 2 × baseline from %s on", "동시 요청 %s개부터 latency가 baseline의 2배를 넘음", count(r.n)), append(evidence, why...)...)
		}
		at.Low = new(below.n)
		if tested {
			evidence = append(evidence, timesBase(below.id, below.ms, base))
		}
		evidence = append(evidence, why...)
		if !r.complete() {
			return noted(at, say("first seen at %s; not interpolated, some of its requests failed",
				"%s개에서 처음 나타남. 일부 요청이 실패하여 보간하지 않음", count(r.n)), evidence...)
		}
		at.Concurrent = new(below.n + (bound-below.ms)/(*lat-below.ms)*(r.n-below.n))
		return noted(at, say("interpolated between %s and %s, not measured itself",
			"측정된 %s개와 %s개 사이를 보간한 값이며 직접 측정한 값은 아님", count(below.n), count(r.n)), evidence...)
	}
	if l.top() == 0 {
		return noted(record.Limit{}, say("unknown: no test ran without failures", "알 수 없음: 실패 없이 끝난 테스트가 없음"))
	}
	var evidence []record.Text
	if tested {
		evidence = append(evidence, timesBase(below.id, below.ms, base))
	}
	return noted(record.Limit{Low: new(below.n)}, l.notReached(), evidence...)
}

func timesBase(id string, ms, base float64) record.Text {
	return say("%s: latency %s = %s baseline", "%s: latency %s = baseline의 %s", id, millis(ms), times(ms/base))
}

// point is a measured latency.
type point struct {
	n, ms float64
	id    string
}

func (l *ladder) noBaseline() record.Text {
	return say("unknown: no single request of %d/%d tokens was measured; run `bench baseline --input-tokens %d --output-tokens %d`",
		"알 수 없음: %[1]d/%[2]d 토큰의 단일 요청을 측정하지 않음. `bench baseline --input-tokens %[1]d --output-tokens %[2]d` 실행 필요",
		l.input, l.output, l.input, l.output)
}

// saturation finds the smallest concurrency whose throughput is within 5 % of the highest. While
// the last doubling still gains more than 10 % the top of the curve has not been seen.
func (l *ladder) saturation() record.Limit {
	var rungs []rung
	for _, r := range l.rungs {
		// A test with failures had fewer requests in flight than its name says.
		if r.complete() && r.rec.Results.ThroughputTokensPerSec != nil {
			rungs = append(rungs, r)
		}
	}
	if len(rungs) == 0 {
		return noted(record.Limit{}, say("unknown: no test ran without failures", "알 수 없음: 실패 없이 끝난 테스트가 없음"))
	}
	last := rungs[len(rungs)-1]
	before := lastDoubling(rungs)
	if before == nil {
		return noted(record.Limit{Low: new(last.n)}, join("", say("needs tests at two concurrencies", "동시 요청 수가 다른 테스트가 둘 이상 필요함"),
			say("; try --concurrent %s next", "; 다음은 --concurrent %s 시도", count(2*last.n))))
	}
	gain := throughput(last) / throughput(*before)
	if apart := last.n / before.n; apart != 2 {
		gain = math.Pow(gain, 1/math.Log2(apart)) // as if it were spread evenly over the doublings between
	}
	evidence := []record.Text{say("%s → %s: throughput %s → %s = %s a doubling", "%s → %s: throughput %s → %s = 두 배마다 %s",
		before.rec.TestID, last.rec.TestID, unit.Rate(throughput(*before)), unit.Rate(throughput(last)), times(gain))}
	if gain > stillGaining*(1+roundOff) {
		return noted(record.Limit{Low: new(last.n)}, join("", l.notReached(),
			say("; throughput still grew by %s over the last doubling", "; 마지막 두 배 구간에서 throughput이 여전히 %s 증가", percent(gain-1))), evidence...)
	}
	best := rungs[0]
	for _, r := range rungs {
		if throughput(r) > throughput(best) {
			best = r
		}
	}
	at := record.Limit{Reached: true}
	for i, r := range rungs {
		if throughput(r) < saturatedShare*throughput(best)*(1-roundOff) {
			at.Low = new(r.n)
			continue
		}
		at.Concurrent, at.High = new(r.n), new(r.n)
		// What a heavier load ran into is what keeps throughput from growing.
		beyond := rungs[min(i+1, len(rungs)-1)]
		cause, why := l.causeOf(beyond)
		at.Cause = cause
		evidence = append(evidence, why...)
		break
	}
	return noted(at, say("highest throughput measured: %s at %s", "측정된 최고 throughput: %[2]s개에서 %[1]s",
		unit.Rate(throughput(best)), count(best.n)), evidence...)
}

// lastDoubling is the rung to hold the last one against: the highest at half its concurrency or
// less, else the highest below it; nil where there is none.
func lastDoubling(rungs []rung) *rung {
	last := rungs[len(rungs)-1].n
	var below, half *rung
	for i := range rungs {
		if rungs[i].n < last {
			below = &rungs[i]
		}
		if rungs[i].n <= last/2 {
			half = &rungs[i]
		}
	}
	if half != nil {
		return half
	}
	return below
}

func throughput(r rung) float64 { return *r.rec.Results.ThroughputTokensPerSec }
