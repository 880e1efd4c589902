package runner

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"bench/internal/record"
)

// openConnections is how many connections stand open before an open load begins; more are opened as they are needed,
// which delays the request that needs one, and shows in its schedule-relative times.
const openConnections = 64

// OpenTest is one test of an open load: n requests in each repeat, due by a schedule, at most `most` in flight (0 = no
// bound).
func OpenTest(a record.Arrivals, shape Shape, runs, n, most int) record.Test {
	name := "rate" + number(a.RequestRate)
	if a.RampUpStrategy != "" {
		name = map[string]string{record.RampLinear: "ramp", record.RampExponential: "expramp"}[a.RampUpStrategy] +
			number(a.RampUpStartRPS) + "to" + number(a.RampUpEndRPS)
	}
	if a.Trace != nil {
		name = "trace"
		if unit := a.Trace.SecMultiplier; unit != 1 && unit != 0.001 { // which the known formats have
			name += number(unit)
		}
	}
	switch {
	case a.Trace != nil:
	case a.Burstiness == nil:
		name += "-even"
	case *a.Burstiness != 1:
		name += "-b" + number(*a.Burstiness)
	}
	if most > 0 {
		name += fmt.Sprintf("-max%d", most)
	}
	return record.Test{ID: name + "-" + shape.String(), Kind: record.KindOpen, Purpose: describeArrivals(a), Concurrent: most,
		InputTokens: shape.InputTokens, OutputTokens: shape.OutputTokens, Runs: runs, Requests: n, Arrivals: &a}
}

// number is a figure as it can stand in a file's name: 2.5 is 2_5.
func number(v float64) string {
	return strings.ReplaceAll(strconv.FormatFloat(v, 'f', -1, 64), ".", "_")
}

// describeArrivals says in words when requests are due.
func describeArrivals(a record.Arrivals) string {
	if a.Trace != nil {
		return fmt.Sprintf("as a trace had them, %g s for each unit of its stamps", a.Trace.SecMultiplier)
	}
	rate := fmt.Sprintf("%g requests/s", a.RequestRate)
	if a.RampUpStrategy != "" {
		rate = fmt.Sprintf("%g to %g requests/s, %s", a.RampUpStartRPS, a.RampUpEndRPS, a.RampUpStrategy)
	}
	switch {
	case a.Burstiness == nil:
		return rate + ", evenly spaced"
	case *a.Burstiness == 1:
		return rate + ", Poisson"
	}
	return fmt.Sprintf("%s, gamma with burstiness %g", rate, *a.Burstiness)
}

// maxRate bounds a rate: one client cannot keep more, and a typing error is likelier than a wish.
const maxRate = 100_000

// checkArrivals refuses a schedule that cannot be meant.
func checkArrivals(a record.Arrivals) error {
	if t := a.Trace; t != nil {
		if !(t.SecMultiplier >= 1e-9 && t.SecMultiplier <= 1e6) {
			return fmt.Errorf("%g s for each unit of a trace's stamps is out of range: want 1e-9 to 1e6", t.SecMultiplier)
		}
		return nil
	}
	rates := []struct {
		what string
		v    float64
	}{{"requests/s", a.RequestRate}}
	if a.RampUpStrategy != "" {
		if a.RampUpStrategy != record.RampLinear && a.RampUpStrategy != record.RampExponential {
			return fmt.Errorf("the ramp %q is unknown: want %s or %s", a.RampUpStrategy, record.RampLinear, record.RampExponential)
		}
		rates[0] = struct {
			what string
			v    float64
		}{"requests/s at the start of the ramp", a.RampUpStartRPS}
		rates = append(rates, struct {
			what string
			v    float64
		}{"requests/s at the end of the ramp", a.RampUpEndRPS})
	}
	for _, r := range rates {
		if !(r.v >= 1e-3 && r.v <= maxRate) {
			return fmt.Errorf("%g %s is out of range: want 0.001 to %d", r.v, r.what, maxRate)
		}
	}
	if b := a.Burstiness; b != nil && !(*b >= 0.01 && *b <= 1e6) {
		return fmt.Errorf("burstiness %g is out of range: want 0.01 to 1000000, or inf for even gaps", *b)
	}
	return nil
}

// openFigures is what an open-loop test adds to its record; nil for others.
func (s *summary) openFigures(all, ok []record.Request) *record.OpenLoad {
	if s.test.Arrivals == nil {
		return nil
	}
	out := &record.OpenLoad{Arrivals: *s.test.Arrivals, MaxConcurrency: s.test.Concurrent,
		TTFT: distribution(durations(ok, (*record.Request).DueTTFT)), Latency: distribution(durations(ok, (*record.Request).DueLatency)),
		PeakInFlight: s.mostInFlight()}
	var delays, held []float64
	for _, r := range all {
		delays = append(delays, ms(time.Duration(r.SentNS-r.ScheduledNS)))
		if r.HeldNS != nil {
			held = append(held, ms(time.Duration(*r.HeldNS)))
		}
	}
	out.SendDelay, out.Held, out.HeldTime = distribution(delays), len(held), distribution(held)
	var dueS, spanS, busyS float64
	gaps, sendS := 0, 0.0
	for n := range s.test.Runs {
		rs := s.repeats[n]
		if len(rs) == 0 {
			continue
		}
		start, end := window(rs)
		lastSent := start
		for _, r := range rs {
			busyS += time.Duration(r.EndNS - r.SentNS).Seconds()
			lastSent = max(lastSent, r.SentNS)
		}
		spanS += time.Duration(end - start).Seconds()
		out.DrainMS = max(out.DrainMS, ms(time.Duration(end-lastSent)))
		gaps += len(rs) - 1
		sendS += time.Duration(lastSent - start).Seconds()
		dueS += time.Duration(rs[len(rs)-1].ScheduledNS - rs[0].ScheduledNS).Seconds()
	}
	if dueS > 0 {
		out.OfferedPerSec = new(float64(gaps) / dueS)
	}
	if sendS > 0 {
		out.SentPerSec = new(float64(gaps) / sendS)
	}
	out.Steady = s.steady(all)
	if spanS > 0 {
		out.AchievedPerSec, out.MeanInFlight = new(float64(len(ok))/spanS), new(busyS/spanS)
	}
	out.Dropped = s.dropped()
	for _, stop := range s.stops {
		sent := len(s.repeats[stop.Run])
		out.NotDue += s.test.Share() - max(stop.Due, sent)
		out.Oversaturated = new(stop.Saturation)
	}
	return out
}

// mostInFlight is the most requests that were in flight at one instant of a repeat.
func (s *summary) mostInFlight() int {
	most := 0
	for n := range s.test.Runs {
		f := flightOf(s.repeats[n])
		for _, at := range f.sent {
			most = max(most, f.between(at+1, at)) // one that ends at this instant makes room for the one that is sent
		}
	}
	return most
}

// late is how far behind its schedule the client sent a request: time for which the load's own bound held it back is not
// the client's doing.
func late(r record.Request) time.Duration {
	d := time.Duration(r.SentNS - r.ScheduledNS)
	if r.HeldNS != nil {
		d -= time.Duration(*r.HeldNS)
	}
	return d
}
