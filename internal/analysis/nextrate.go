package analysis

import (
	"math"

	"bench/internal/record"
)

// RateSearch is a search for the largest rate at which an objective holds.
type RateSearch struct {
	Like  record.Record // an open load as the search makes them, of any rate: what is looked for among the records
	Start float64       // where it begins
	Least float64       // below it the search gives up: requests do not meet each other any more
	Runs  int           // repeats of the two tests of the border
}

// Next is the rate to test next: the start, then twice or half of it until one holds and one does not, then the middle between
// the two by ratio, each with a single repeat; then the two tests of the border anew with all repeats, since one may have held
// or broken by chance. A border that the repeats move is looked for again. done says why the search ends; added is the
// number of tests it has made.
func (s RateSearch) Next(in Input, added int) (rate float64, repeats int, done record.Text) {
	var l *rateLadder
	for _, have := range buildRates(in) {
		if alikeButRate(have.first, s.Like) {
			l = have
		}
	}
	if l == nil {
		return roundRate(s.Start), 1, record.Text{}
	}
	if len(l.leftOut) > 0 {
		return 0, 0, say("%s could not be judged; see its findings", "%s을(를) 판정할 수 없음 (findings 참조)", l.leftOut[0].TestID)
	}
	var holds, breaks float64
	sureHolds, sureBreaks := false, false
	for _, r := range l.rungs {
		sure := len(r.Detail.Repeats) >= s.Runs || r.Detail.OpenLoad.Oversaturated != nil // which repeats cannot mend
		if !r.Detail.SLO.Held {
			breaks, sureBreaks = rateOf(r), sure
			break
		}
		holds, sureHolds = rateOf(r), sure
	}
	switch {
	case added >= MaxRungs:
		return 0, 0, say("%d tests were made, the most the search may make", "탐색이 수행할 수 있는 테스트 %d개를 모두 사용함", added)
	case holds == 0 && breaks <= s.Least:
		return 0, 0, say("not even %s requests/s hold, of which hardly two are in flight at once", "요청이 거의 겹치지 않는 초당 %s건에서도 만족하지 못함", rateText(breaks))
	case breaks == 0:
		return roundRate(2 * holds), 1, record.Text{}
	case holds == 0:
		return roundRate(max(breaks/2, s.Least)), 1, record.Text{}
	case breaks-holds > gapShare*holds*1.001: // rounded rates
		return roundRate(math.Sqrt(holds * breaks)), 1, record.Text{}
	case !sureHolds:
		return holds, s.Runs, record.Text{}
	case !sureBreaks:
		return breaks, s.Runs, record.Text{}
	}
	return 0, 0, say("it holds at %s requests/s and breaks at %s", "초당 %s건에서 만족하고 %s건에서 깨짐", rateText(holds), rateText(breaks))
}
