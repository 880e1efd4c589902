package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"bench/internal/capacity"
	"bench/internal/sim"
)

// Bounds of the simulated loads.
const (
	// spreadOfLengths is how far prompt and answer lengths lie from what a source names, at most, as a share: sources
	// name one length, but real requests do not end in lock-step.
	spreadOfLengths = 0.1
	// wavesOfLoop is how many times its concurrency a closed loop sends where the source does not say; the first wave, all
	// at once, then weighs a tenth.
	wavesOfLoop = 10
	mostAsks    = 4000
)

// simulate puts a measurement's load on the simulator's engine: each request by itself, in the engine's queue. ok is false
// for a request at a time, where there is no queue and the simulator is the formula.
func (m measurement) simulate() (p map[string]float64, ok bool, err error) {
	n := m.row.int("requests") / m.replicas
	kind := m.row["load_kind"]
	switch kind {
	case "single_stream":
		return nil, false, nil
	case "closed_loop":
		n = max(n, wavesOfLoop*m.load.Concurrent)
	}
	n = min(max(n, 1), max(mostAsks, m.load.Concurrent))
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	length := func(tokens int) int {
		return max(1, int(math.Round(float64(tokens)*(1+spreadOfLengths*(2*rng.Float64()-1)))))
	}
	load := sim.Load{}
	at := 0.0
	for range n {
		load.Requests = append(load.Requests, sim.Ask{Arrival: time.Duration(at * 1e9), PromptTokens: length(m.load.InputTokens), OutputTokens: length(m.load.OutputTokens)})
		if m.openRate > 0 {
			at += rng.ExpFloat64() / m.openRate
		}
	}
	if kind == "closed_loop" {
		load.InFlight = m.load.Concurrent
	}
	e := m.engine
	e.MaxModelLen = max(e.MaxModelLen, int(1.2*float64(m.load.InputTokens+m.load.OutputTokens)))
	r, err := sim.Run(sim.Config{GPU: m.gpu, Model: m.model, Engine: e}, load)
	if err != nil {
		return nil, false, err
	}
	var ttft, tpot, spaced float64
	for _, t := range r.Requests {
		ttft += float64(t.TTFT()) / 1e6
		if per, ok := t.TPOT(); ok {
			tpot += float64(per) / 1e6
			spaced++
		}
	}
	return map[string]float64{capacity.MetricTTFT: ttft / float64(n), capacity.MetricTPOT: tpot / max(spaced, 1),
		capacity.MetricThroughput: float64(m.replicas) * r.TokensPerSecond()}, true, nil
}

// simulated are the scored residuals of V1 under load twice: as the formula predicts them, and as the simulator does,
// whose scheduler is V1's.
func simulated(rs []residual) (formula, simulator []residual) {
	runs := map[string]map[string]float64{}
	for _, r := range rs {
		if r.unsound != "" || r.class().Engine != "V1" {
			continue
		}
		id := r.row["case_id"]
		p, known := runs[id]
		if !known {
			var ok bool
			var err error
			if p, ok, err = r.measurement.simulate(); err != nil || !ok {
				p = nil // what the engine would not take stays out of both
			}
			runs[id] = p
		}
		v := p[r.metric]
		if v <= 0 {
			continue
		}
		s := r
		s.predicted = v
		formula, simulator = append(formula, r), append(simulator, s)
	}
	return formula, simulator
}

// simulatorTable is both beside each other, by kind of load.
func simulatorTable(rs []residual) string {
	formula, simulator := simulated(rs)
	var b strings.Builder
	b.WriteString("| load | figure | rows | formula, median error | bias | simulator, median error | bias |\n|---|---|---|---|---|---|---|\n")
	for _, kind := range []string{"closed_loop", "burst", "open_loop_poisson"} {
		for _, metric := range metrics {
			of := func(rs []residual) errorSummary {
				var out []residual
				for _, r := range sound(rs, metric) {
					if r.row["load_kind"] == kind {
						out = append(out, r)
					}
				}
				return errorsOf(out)
			}
			f, s := of(formula), of(simulator)
			if f.rows == 0 {
				continue
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %s | %s | %s | %s |\n", strings.ReplaceAll(kind, "_", " "), metricName(metric), f.rows,
				percent(f.median), signed(f.bias), percent(s.median), signed(s.bias))
		}
	}
	return b.String()
}
