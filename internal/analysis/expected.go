package analysis

import (
	"sort"

	"bench/internal/record"
)

// Answer is what the model of a set-up expects of one burst.
type Answer struct {
	LatencyMS float64 // mean
	KVFull    bool    // requests were preempted, or waited for a full KV cache
}

// mostExpected is the highest concurrency at which an expectation is looked for.
const mostExpected = maxSuggested

// expects adds to a limit that the tests did not reach where the model of the set-up sees it: the smallest number of
// requests above the tested ones of which broken is true, as if it stayed true above.
func (l *ladder) expects(limit record.Limit, what record.Text, broken func(base, at Answer) bool) record.Limit {
	top := int(l.top())
	if l.workload != (record.Workload{}) { // the model knows bursts of random words alone
		return limit
	}
	if limit.Reached || l.machine == nil || l.machine.Burst == nil || top < 1 || l.highest() > float64(top) {
		return limit
	}
	base, ok := l.machine.Burst(1, l.input, l.output)
	if !ok {
		return limit
	}
	unknown := false
	n := top + 1 + sort.Search(mostExpected-top, func(i int) bool {
		at, ok := l.machine.Burst(top+1+i, l.input, l.output)
		unknown = unknown || !ok
		return !ok || broken(base, at)
	})
	var text record.Text
	switch {
	case unknown:
		return limit
	case n > mostExpected:
		text = say("; the model of this set-up sees %s at no concurrency up to %d (calculated)", "; 이 구성의 모델로는 %[2]d개까지 %[1]s 나타나지 않음(계산값)", what, mostExpected)
	default:
		text = say("; the model of this set-up sees %s near %d (calculated)", "; 이 구성의 모델로는 약 %[2]d개에서 %[1]s 나타남(계산값)", what, n)
	}
	limit.Note += text.En
	limit.NoteKO += text.Ko
	return limit
}

// Whether a burst is beyond a limit, for the model as for the tests.
func surges(base, at Answer) bool { return at.LatencyMS > surgeFactor*base.LatencyMS }

func fillsKV(_, at Answer) bool { return at.KVFull }
