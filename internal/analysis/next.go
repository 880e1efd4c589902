package analysis

import (
	"bench/internal/record"
)

// Bounds of the search for a ladder's limit.
const (
	// gapShare of the highest concurrency that holds is how far the first that does not may lie above it when the
	// search ends: between them the plan's own rungs lie further apart.
	gapShare = 1.0 / 8
	// MaxRungs is the number of tests the search may add to a ladder: six doublings and as many halvings.
	MaxRungs = 12
)

// NextRung is the concurrency to test next in the search for the limit of the ladder of that shape: twice the
// highest that holds every rule of operation until one does not, then the middle between the two. done says why the
// search ends; added is the number of tests it has made, most the highest concurrency it may go to.
func NextRung(in Input, inputTokens, outputTokens, added, most int) (n int, done record.Text) {
	for _, l := range buildLadders(in) {
		if l.input != inputTokens || l.output != outputTokens || l.slo != "" || l.workload != (record.Workload{}) {
			continue
		}
		return l.next(added, most)
	}
	return 0, say("no test of that shape was measured", "해당 형태의 테스트가 없음")
}

func (l *ladder) next(added, most int) (n int, done record.Text) {
	if l.base == nil {
		return 0, l.noBaseline()
	}
	saturation := l.saturation()
	holds, breaks := 0, 0
	for _, r := range l.all {
		at := int(r.n)
		_, left := leaveOut(r.rec)
		switch {
		case left && r.rec.Detail.Incident == nil:
			return 0, say("%s could not be judged; see its findings", "%s을(를) 판정할 수 없음 (findings 참조)", r.rec.TestID)
		case left || l.broken(r, saturation).En != "":
			if breaks == 0 || at < breaks {
				breaks = at
			}
		case at > holds && breaks == 0:
			holds = at
		}
	}
	switch {
	case breaks == 0 && holds >= most:
		return 0, say("nothing gave up to %d, the highest concurrency allowed", "허용된 최대 동시 요청 수 %d까지 한계가 나타나지 않음", most)
	case breaks > 0 && holds == 0:
		return 0, say("the lowest concurrency tested, %d, is beyond the limit already", "가장 낮은 동시 요청 수 %d에서 이미 한계를 넘음", breaks)
	case breaks > 0 && float64(breaks-holds) <= max(1, gapShare*float64(holds)):
		return 0, say("the limit lies between %d and %d", "한계는 %d와 %d 사이에 있음", holds, breaks)
	case added >= MaxRungs:
		return 0, say("%d tests were added, the most the search may make", "탐색이 추가할 수 있는 테스트 %d개를 모두 사용함", added)
	case breaks == 0:
		return min(2*max(holds, 1), most), record.Text{}
	}
	return (holds + breaks) / 2, record.Text{}
}
