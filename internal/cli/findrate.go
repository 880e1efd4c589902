package cli

import (
	"fmt"
	"math"
	"slices"

	"bench/internal/analysis"
	"bench/internal/record"
	"bench/internal/runner"
	"bench/internal/stats"

	"github.com/spf13/cobra"
)

// latenciesOfLoad is how many times as long as a single request a load of the search for a rate lasts: the server has filled up
// long before its end.
const latenciesOfLoad = 20

// findRate checks the flags of a search for a rate, and gives an outline of its tests; nil where none was asked for.
func (f *loadFlags) findRate(c *cobra.Command) (*record.Test, error) {
	a := &f.arrivals
	if !a.find {
		return nil, nil
	}
	if slo, err := f.slo.slo(); slo == nil || err != nil {
		return nil, usagef("--find-rate needs an objective: --max-ttft, --max-tpot or --max-latency")
	}
	if name := givenFlag(c, "ramp-up-strategy", "concurrent", "requests", "matrix", "find-limit", "until-precise", "dataset-name"); name != "" {
		return nil, usagef("--%s and --find-rate exclude each other", name)
	}
	if len(a.rates) > 1 {
		return nil, usagef("--find-rate begins at one --request-rate, not at %d", len(a.rates))
	}
	if givenFlag(c, "num-prompts") != "" && givenFlag(c, "duration") != "" {
		return nil, usagef("--num-prompts and --duration exclude each other")
	}
	rate := 1.0
	if len(a.rates) == 1 {
		rate = a.rates[0]
	}
	t := f.rateTest(rate, 1, 1)
	if err := runner.CheckTest(t); err != nil {
		return nil, usageError{err}
	}
	return &t, nil
}

// rateTest is one test of the search: without --num-prompts and --duration as many requests as the percentile needs, as the
// steady part is looked for among, and as make the load last for many of the single request's latencies.
func (f *loadFlags) rateTest(rate float64, repeats int, latencyS float64) record.Test {
	law := f.arrivals.law()
	law.RequestRate = rate
	n := f.arrivals.requests(rate)
	if n == 0 {
		n = max(2*stats.MinN(f.slo.percentile/100), 2*stats.MinSteady, int(math.Ceil(rate*latenciesOfLoad*latencyS)))
	}
	t := f.shaped(runner.OpenTest(law, f.shape(), repeats, n, f.arrivals.most))
	t.ID = "slo-" + t.ID
	if repeats > 1 {
		t.ID += fmt.Sprintf("-x%d", repeats)
	}
	return t
}

// rateSearch makes the tests of a search for a rate; nil where none was asked for.
func (m *measurement) rateSearch() (func() (record.Test, bool, string, error), error) {
	f := m.load
	slo, err := f.slo.slo()
	if !f.arrivals.find || err != nil {
		return nil, err
	}
	added, ended := 0, false
	return func() (t record.Test, more bool, why string, err error) {
		if ended {
			return t, false, "", nil
		}
		in, err := readInput(m.folder)
		if err != nil {
			return t, false, "", err
		}
		latencyS, err := singleLatency(in.Baselines, f.shape())
		if err != nil {
			return t, false, "", err
		}
		outline := f.rateTest(1, 1, latencyS)
		like := record.Record{InputTokens: outline.InputTokens, MaxOutputTokens: outline.OutputTokens}
		like.Detail = record.Detail{Workload: outline.Workload, SLO: &record.SLOResult{SLO: *slo},
			OpenLoad: &record.OpenLoad{Arrivals: *outline.Arrivals, MaxConcurrency: outline.Concurrent}}
		// Where a request takes a second, four come a second: about that many are in flight then, and no test of the search
		// is long. At an eighth of one a second hardly two meet.
		search := analysis.RateSearch{Like: like, Start: 4 / latencyS, Least: 0.125 / latencyS, Runs: f.runs}
		if len(f.arrivals.rates) == 1 {
			search.Start = f.arrivals.rates[0]
		}
		rate, repeats, done := search.Next(analysis.Input{Run: in.Run, Baselines: in.Baselines, Open: in.Open}, added)
		if done.En != "" {
			ended = true
			return t, false, "the search ends: " + done.En, nil
		}
		added++
		return f.rateTest(rate, repeats, latencyS), true, "", nil
	}, nil
}

// singleLatency is how long a single request of a shape takes, in seconds.
func singleLatency(baselines []record.Record, shape runner.Shape) (float64, error) {
	i := slices.IndexFunc(baselines, func(r record.Record) bool {
		return r.InputTokens == shape.InputTokens && r.MaxOutputTokens == shape.OutputTokens && r.Results.AvgTotalLatencyMS != nil
	})
	if i < 0 {
		return 0, fmt.Errorf("the search for a rate begins where a single request at a time leaves off, and none of %s tokens succeeded: see its record", shape)
	}
	return *baselines[i].Results.AvgTotalLatencyMS / 1000, nil
}
