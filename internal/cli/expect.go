package cli

import (
	"fmt"
	"slices"
	"time"

	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/runner"
	"bench/internal/sim"
	"bench/internal/sizing"
	"bench/internal/term"
)

// expected is how long tests take, as far as that is known before them.
type expected struct {
	total    time.Duration // 0 = not known
	perToken time.Duration // latency of one request by its output tokens, where one was measured; else 0
	modelled string        // the card on which total was computed; "" = from what was measured, as a lower bound
}

// expect says how long the tests take, by what the folder's last test or one request showed; where nothing did, by
// arithmetic for a model and a card that are known.
func (m *measurement) expect(tests []record.Test, tpotMS *float64) (expected, error) {
	have, err := m.records()
	if err != nil {
		return expected{}, err
	}
	var e expected
	if tpotMS != nil {
		e.perToken = time.Duration(*tpotMS * float64(time.Millisecond))
	}
	for _, r := range have {
		if d := runner.PerToken(r); d > 0 {
			e.perToken = d
		}
		if m.out.resume {
			tests = slices.DeleteFunc(slices.Clone(tests), func(t record.Test) bool { return t.ID == r.TestID })
		}
	}
	if e.perToken > 0 {
		e.total = runner.Expect(tests, m.run.Settings, e.perToken)
		return e, nil
	}
	verify, err := m.folder.ReadVerify()
	if err != nil {
		return expected{}, err
	}
	model, gpu, engine, ok := sizing.MeasuredSetup(sizing.Results{Run: m.run, Verify: verify})
	if !ok {
		return e, nil
	}
	if e.total, ok = modelledTime(sim.Config{Model: model, GPU: gpu, Engine: engine}, tests, m.run.Settings); ok {
		e.modelled = gpu.Name
	}
	return e, nil
}

// modelledTime is how long tests take on a simulated engine; ok is false where it would not run them.
func modelledTime(c sim.Config, tests []record.Test, s record.Settings) (total time.Duration, ok bool) {
	for i, t := range tests {
		if i > 0 {
			total += time.Duration(s.CooldownS * float64(time.Second))
		}
		one, err := sim.Run(c, sim.ClosedLoop(1, 1, t.InputTokens, t.OutputTokens))
		if err != nil {
			return 0, false
		}
		total += time.Duration(s.Warmup) * one.Duration
		if t.Arrivals != nil {
			total += time.Duration(t.Runs) * (load.MeanLength(*t.Arrivals, t.Requests) + one.Duration)
			continue
		}
		repeat, err := sim.Run(c, sim.ClosedLoop(t.Concurrent, t.Requests, t.InputTokens, t.OutputTokens))
		if err != nil {
			return 0, false
		}
		total += time.Duration(t.Runs) * repeat.Duration
	}
	return total, total > 0
}

// describe is what a person is told before the first request; cooldown is the part of it that is certain.
func (e expected) describe(cooldown time.Duration) string {
	of := ""
	if cooldown > 0 {
		of = ", " + term.Span(cooldown) + " of it cooldown"
	}
	switch {
	case e.modelled != "":
		return fmt.Sprintf("about %s%s (computed for a %s, not measured)", term.Span(e.total), of, e.modelled)
	case e.total > 0:
		return fmt.Sprintf("at least %s%s", term.Span(e.total), of)
	case cooldown > 0:
		return fmt.Sprintf("at least %s of cooldown; how long in all is known after the first answer", term.Span(cooldown))
	}
	return "how long is known after the first answer"
}
