package runner

import (
	"fmt"
	"math"
	"slices"
	"time"

	"bench/internal/record"
	"bench/internal/stats"
)

// steadyLatencies is how many times the median latency a steady window lasts at least: from the second on, what is in flight was
// sent in it, and its number is one of the window and not of how it began.
const steadyLatencies = 2

// steadyDrift is the share of their mean by which the numbers in flight in the first and the last third of a steady part may lie
// apart: near what a server takes they wander further than any test is long, and a level that was not held is none.
const steadyDrift = 0.5

// steady finds the part of each repeat of an open load in which the number in flight only fluctuates, and what was measured in it.
// The number that each request met when it was sent is a series; its start-up is cut by MSER-5, and it ends with the last
// send, since after that the load only drains.
func (s *summary) steady(all []record.Request) record.Steady {
	out := record.Steady{Windows: []record.SteadyWindow{}}
	var within []record.Request
	var seconds, busyS float64
	ended := 0
	for n := range s.test.Runs {
		rs := s.repeats[n]
		if len(rs) == 0 {
			continue
		}
		w := s.steadyWindow(n, rs)
		out.Windows = append(out.Windows, w)
		if w.StartNS == nil {
			continue
		}
		within = append(within, sentIn(rs, w)...)
		seconds += time.Duration(*w.EndNS - *w.StartNS).Seconds()
		for _, r := range rs {
			busyS += time.Duration(max(0, min(r.EndNS, *w.EndNS)-max(r.SentNS, *w.StartNS))).Seconds()
			if r.Success && r.EndNS >= *w.StartNS && r.EndNS <= *w.EndNS {
				ended++
			}
		}
	}
	if len(within) == 0 {
		return out
	}
	ok := successes(within)
	out.Requests, out.Share = len(within), float64(len(within))/float64(len(all))
	out.TTFT = distribution(durations(ok, (*record.Request).DueTTFT))
	out.TPOT = distribution(durations(ok, (*record.Request).TPOT))
	out.Latency = distribution(durations(ok, (*record.Request).DueLatency))
	out.AchievedPerSec, out.MeanInFlight = new(float64(ended)/seconds), new(busyS/seconds)
	return out
}

// steadyWindow is that part of one repeat, or why it has none.
func (s *summary) steadyWindow(n int, rs []record.Request) record.SteadyWindow {
	none := func(en, ko string, args ...any) record.SteadyWindow {
		return record.SteadyWindow{Run: n, Why: &record.Text{En: fmt.Sprintf(en, args...), Ko: fmt.Sprintf(ko, args...)}}
	}
	if _, stopped := s.stops[n]; stopped {
		return none("waiting grew without bound", "대기가 끝없이 늘어남")
	}
	if s.test.Arrivals.RampUpStrategy != "" {
		return none("the rate changes from the first request to the last", "요청률이 처음부터 끝까지 변함")
	}
	if len(rs) < stats.MinSteady {
		return none("%d requests are too few to tell: want %d", "요청 %d개는 판단하기에 너무 적음(%d개 필요)", len(rs), stats.MinSteady)
	}
	f := flightOf(rs)
	met := make([]float64, len(f.sent))
	for i, at := range f.sent {
		met[i] = float64(f.between(at, at))
	}
	cut, ok := stats.Truncate(met)
	if !ok {
		return none("the number in flight went on changing for more than half of the load", "처리 중인 요청 수가 부하의 절반이 넘도록 계속 변함")
	}
	if first, last := ends(met[cut:]); math.Abs(last-first) > steadyDrift*(first+last)/2 {
		return none("the number in flight went from %.1f to %.1f", "처리 중인 요청 수가 %.1f에서 %.1f(으)로 변함", first, last)
	}
	start, end := f.sent[cut], f.sent[len(f.sent)-1]
	latency := durations(successes(rs), (*record.Request).Latency)
	if len(latency) == 0 {
		return none("no request succeeded", "성공한 요청이 없음")
	}
	if lasted, took := time.Duration(end-start).Seconds(), median(latency)/1e3; lasted < steadyLatencies*took {
		return none("after the start-up the load went on for %.1f s, a request takes %.1f s", "시작 구간 뒤의 부하가 %.1f초인데 요청 하나가 %.1f초 걸림", lasted, took)
	}
	return record.SteadyWindow{Run: n, StartNS: &start, EndNS: &end}
}

// ends are the means of a series' first and last third.
func ends(xs []float64) (first, last float64) {
	third := len(xs) / 3
	first, _ = stats.Mean(xs[:third])
	last, _ = stats.Mean(xs[len(xs)-third:])
	return first, last
}

// sentIn are the requests of a repeat that were sent in a window.
func sentIn(rs []record.Request, w record.SteadyWindow) []record.Request {
	return slices.DeleteFunc(slices.Clone(rs), func(r record.Request) bool { return r.SentNS < *w.StartNS || r.SentNS > *w.EndNS })
}

// settled are the requests of the part of a load that its beginning does not show in: of an open load those of the steady
// windows, of a closed one those after the opening burst.
func (s *summary) settled() []record.Request {
	var out []record.Request
	for n := range s.test.Runs {
		rs := s.repeats[n]
		switch {
		case len(rs) == 0:
		case s.test.Arrivals == nil:
			out = append(out, slices.DeleteFunc(slices.Clone(rs), func(r record.Request) bool { return r.Index < s.test.Concurrent })...)
		default:
			if w := s.steadyWindow(n, rs); w.StartNS != nil {
				out = append(out, sentIn(rs, w)...)
			}
		}
	}
	return out
}
