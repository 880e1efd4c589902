package analysis

import (
	"fmt"

	"bench/internal/record"
)

// kvFullUsage is the usage from which a KV cache with requests waiting counts as full. The last
// per cent is blocks too few for the next request.
const kvFullUsage = 0.99

// minSamples is the number of /metrics samples a test needs before its highest running count is
// taken for what the scheduler allowed, not for what a few scrapes happened to see.
const minSamples = 4

// causeOf names what limited a rung, only where its record proves it.
func (l *ladder) causeOf(r rung) (record.Cause, []record.Text) {
	if cause, evidence := killedBy(r); cause != "" {
		return cause, evidence
	}
	if evidence := kvFull(r); evidence != nil {
		return record.CauseKVCache, evidence
	}
	if evidence := l.slotsFull(r); evidence != nil {
		return record.CauseSchedulerSlots, append(evidence, nearlyFull(r)...)
	}
	if evidence := clientBound(r); evidence != nil {
		return record.CauseClient, evidence
	}
	if evidence := clocksBound(r, heatShare, "hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown"); evidence != nil {
		return record.CauseThermal, evidence
	}
	if evidence := networkBound(r); evidence != nil {
		return record.CauseNetwork, evidence
	}
	cause, evidence := l.hardwareBound(r)
	if power := clocksBound(r, powerShare, "sw_power_cap"); power != nil {
		// At its power limit a card does what it can: what it spent the power on stands beside it.
		return record.CausePower, append(power, evidence...)
	}
	if cause != "" {
		return cause, evidence
	}
	return record.CauseUnknown, nil
}

// nearlyFullUsage is the usage from which a KV cache is the next limit: one that a quarter more requests fill.
const nearlyFullUsage = 0.8

// nearlyFull says that the KV cache would be the next limit.
func nearlyFull(r rung) []record.Text {
	if s := r.rec.Detail.ServerDelta; s != nil && s.MaxKVUsage != nil && *s.MaxKVUsage >= nearlyFullUsage {
		return []record.Text{say("%s: near it kv_cache, usage %s", "%s: 다음 한계는 kv_cache, 사용률 %s", r.rec.TestID, percent(*s.MaxKVUsage))}
	}
	return nil
}

// killedBy reads out-of-memory or engine death from what broke the test, else from the classes of failure.
func killedBy(r rung) (record.Cause, []record.Text) {
	if in := r.rec.Detail.Incident; in != nil {
		cause := record.CauseEngineDeath
		if in.Kind == record.IncidentOutOfMemory {
			cause = record.CauseOutOfMemory
		}
		return cause, []record.Text{same(fmt.Sprintf("%s: %s", r.rec.TestID, in.Evidence))}
	}
	for _, kind := range []struct {
		class record.ErrorClass
		cause record.Cause
	}{{record.ErrOutOfMemory, record.CauseOutOfMemory}, {record.ErrEngineDead, record.CauseEngineDeath}} {
		for _, e := range r.rec.Results.Errors {
			if e.Class != kind.class {
				continue
			}
			evidence := say("%s: %s × %d of %d requests", "%s: %s × %d, 전체 요청 %d개 중", r.rec.TestID, e.Class, e.Count, r.rec.Detail.Requests)
			if e.Message != "" {
				evidence = join("", evidence, same(fmt.Sprintf(" (%q)", clip(e.Message, 100))))
			}
			return kind.cause, []record.Text{evidence}
		}
	}
	return "", nil
}

// kvFull returns evidence that the KV cache was full during a rung, or nil.
func kvFull(r rung) []record.Text {
	s := r.rec.Detail.ServerDelta
	if s == nil {
		return nil
	}
	var evidence []record.Text
	if s.Preemptions != nil && *s.Preemptions > 0 {
		evidence = append(evidence, say("%s: preemptions %s", "%s: 선점 %s회", r.rec.TestID, count(*s.Preemptions)))
	}
	if s.MaxKVUsage != nil && *s.MaxKVUsage >= kvFullUsage && s.MaxWaiting != nil && *s.MaxWaiting > 0 {
		evidence = append(evidence, say("%s: KV cache usage %s with up to %s requests waiting", "%s: KV cache 사용률 %s, 대기 요청 최대 %s개",
			r.rec.TestID, percent(*s.MaxKVUsage), count(*s.MaxWaiting)))
	}
	if evidence == nil {
		evidence = noRoom(r)
	}
	return evidence
}

// noRoom returns evidence that requests waited although the KV cache was not full to the last block, because what was
// left was less than a running request held: with long requests it never gets much fuller. Where the slots were full
// too, the next request would not have fitted either, so the KV cache is what to enlarge.
func noRoom(r rung) []record.Text {
	s := r.rec.Detail.ServerDelta
	if s.MaxKVUsage == nil || s.MaxWaiting == nil || s.MaxRunning == nil || s.Samples < minSamples || *s.MaxWaiting <= 0 ||
		*s.MaxRunning < 1 || *s.MaxRunning >= r.n {
		return nil
	}
	each, left := *s.MaxKVUsage / *s.MaxRunning, 1-*s.MaxKVUsage
	if each <= left {
		return nil
	}
	return []record.Text{say("%s: up to %s requests waiting beside %s running; each of those held %s of the KV cache, and %s was left",
		"%s: 실행 중 %[3]s개 외에 최대 %[2]s개가 대기. 실행 중인 요청은 KV cache를 각각 %[4]s씩 차지했고 남은 것은 %[5]s",
		r.rec.TestID, count(*s.MaxWaiting), count(*s.MaxRunning), percent(each), percent(left))}
}

// slotsFull returns evidence that the scheduler ran no more requests at once than a fixed number
// below the concurrency, with room left in the KV cache, or nil. Two rungs must show the same
// number: one alone could be a server that had not yet taken all requests in when it was scraped.
// One is enough where the server itself tells the number.
func (l *ladder) slotsFull(r rung) []record.Text {
	s := r.rec.Detail.ServerDelta
	if l.slots > 0 && s != nil && s.MaxRunning != nil && s.MaxWaiting != nil && *s.MaxRunning == float64(l.slots) && *s.MaxWaiting > 0 {
		return []record.Text{say("%s: %s requests running, as many as the server says to compute at once, and up to %s waiting",
			"%s: 실행 중인 요청 %s개(서버가 알려 준 동시 처리 수와 같음), 대기 최대 %s개", r.rec.TestID, count(*s.MaxRunning), count(*s.MaxWaiting))}
	}
	if s == nil || s.Samples < minSamples || s.MaxRunning == nil || s.MaxWaiting == nil ||
		s.MaxKVUsage == nil || s.Preemptions == nil {
		return nil
	}
	slots := *s.MaxRunning
	if slots <= 0 || slots >= r.n || *s.MaxWaiting <= 0 || *s.MaxKVUsage >= kvFullUsage || *s.Preemptions > 0 {
		return nil
	}
	for _, other := range l.rungs {
		o := other.rec.Detail.ServerDelta
		if other.n == r.n || other.n < slots || o == nil || o.MaxRunning == nil || *o.MaxRunning != slots {
			continue
		}
		return []record.Text{say("%s and %s: never more than %s requests running, up to %s waiting, KV cache usage at most %s",
			"%s와 %s: 실행 중인 요청은 %s개를 넘지 않음, 대기 최대 %s개, KV cache 사용률 최대 %s",
			other.rec.TestID, r.rec.TestID, count(slots), count(*s.MaxWaiting), percent(*s.MaxKVUsage))}
	}
	return nil
}

// queued says whether requests had to wait for a place at the server. Right after a burst some
// wait for an instant in every server; where all of the rung's requests were seen running at once,
// that is all it was.
func (r rung) queued() bool {
	s := r.rec.Detail.ServerDelta
	if s == nil || s.MaxWaiting == nil || *s.MaxWaiting <= 0 {
		return false
	}
	return s.MaxRunning == nil || *s.MaxRunning < r.n
}

// queueSeen says whether the server's own gauges could show queueing and preemption at all.
func (r rung) queueSeen() bool {
	s := r.rec.Detail.ServerDelta
	return s != nil && s.MaxWaiting != nil && s.Preemptions != nil
}
