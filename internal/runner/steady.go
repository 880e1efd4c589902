package runner

import (
	"fmt"
	"slices"
	"time"

	"bench/internal/record"
	"bench/internal/stats"
)

// steadyLatencies is how many times the median latency a steady window lasts at least: from the second on, what is in flight was
// sent in it, and its number is one of the window and not of how it began.
const steadyLatencies = 2

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
	none := func(format string, args ...any) record.SteadyWindow {
		return record.SteadyWindow{Run: n, Why: fmt.Sprintf(format, args...)}
	}
	if _, stopped := s.stops[n]; stopped {
		return none("waiting grew without bound")
	}
	if s.test.Arrivals.RampUpStrategy != "" {
		return none("the rate changes from the first request to the last")
	}
	if len(rs) < stats.MinSteady {
		return none("%d requests are too few to tell: want %d", len(rs), stats.MinSteady)
	}
	f := flightOf(rs)
	met := make([]float64, len(f.sent))
	for i, at := range f.sent {
		met[i] = float64(f.between(at, at))
	}
	cut, ok := stats.Truncate(met)
	if !ok {
		return none("the number in flight went on changing for more than half of the load")
	}
	start, end := f.sent[cut], f.sent[len(f.sent)-1]
	latency := durations(successes(rs), (*record.Request).Latency)
	if len(latency) == 0 {
		return none("no request succeeded")
	}
	if took := median(latency) / 1e3; time.Duration(end-start).Seconds() < steadyLatencies*took {
		return none("after the start-up the load went on for %.1f s, a request takes %.1f s", time.Duration(end-start).Seconds(), took)
	}
	return record.SteadyWindow{Run: n, StartNS: &start, EndNS: &end}
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
