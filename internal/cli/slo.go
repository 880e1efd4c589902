package cli

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"bench/internal/analysis"
	"bench/internal/record"
	"bench/internal/runner"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// sloFlags are limits on the times of requests.
type sloFlags struct {
	ttft, tpot, latency time.Duration
	percentile          float64
	goodput             []string
}

func (f *sloFlags) register(fs *pflag.FlagSet) {
	defer topic(fs, "Objectives")()
	fs.DurationVar(&f.ttft, "max-ttft", 0, "find the largest concurrency at which TTFT stays within this; with --request-rate: does that rate")
	fs.DurationVar(&f.tpot, "max-tpot", 0, "likewise for TPOT")
	fs.DurationVar(&f.latency, "max-latency", 0, "likewise for the latency of a request")
	fs.Float64Var(&f.percentile, "percentile", 95, "of the requests that must stay within the limits, failed ones counted as beyond them")
	fs.StringSliceVar(&f.goodput, "goodput", nil, "count the requests within all of these, in ms, as vllm bench serve does: ttft:1000 tpot:50 e2el:5000")
}

// slo is the objective; nil where none was given.
func (f *sloFlags) slo() (*record.SLO, error) {
	limit := func(name string, d time.Duration) (*float64, error) {
		if d < 0 {
			return nil, usagef("--%s %v: want a time above zero", name, d)
		}
		if d == 0 {
			return nil, nil
		}
		return new(float64(d) / float64(time.Millisecond)), nil
	}
	s := record.SLO{Percentile: f.percentile}
	var errs [3]error
	s.MaxTTFTMS, errs[0] = limit("max-ttft", f.ttft)
	s.MaxTPOTMS, errs[1] = limit("max-tpot", f.tpot)
	s.MaxLatencyMS, errs[2] = limit("max-latency", f.latency)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, usageError{err}
	}
	if s.MaxTTFTMS == nil && s.MaxTPOTMS == nil && s.MaxLatencyMS == nil {
		return nil, nil
	}
	if !(f.percentile >= 50 && f.percentile <= 99.9) {
		return nil, usagef("--percentile %v: want 50 to 99.9", f.percentile)
	}
	return &s, nil
}

// goodputLimits reads --goodput and what vLLM's syntax has after it as further words; nil where it was not given.
func (f *sloFlags) goodputLimits() (*record.Goodput, error) {
	if len(f.goodput) == 0 {
		return nil, nil
	}
	var g record.Goodput
	for _, pair := range f.goodput {
		name, text, _ := strings.Cut(pair, ":")
		to := map[string]**float64{"ttft": &g.MaxTTFTMS, "tpot": &g.MaxTPOTMS, "e2el": &g.MaxLatencyMS}[name]
		ms, err := strconv.ParseFloat(text, 64)
		if to == nil || err != nil || !(ms > 0) || math.IsInf(ms, 0) {
			return nil, usagef("--goodput %q: want ttft:MS, tpot:MS or e2el:MS", pair)
		}
		if *to != nil {
			return nil, usagef("--goodput names %s twice", name)
		}
		*to = &ms
	}
	return &g, nil
}

// goodputWords lets --goodput take several words, as `--goodput ttft:1000 tpot:50`.
func (f *sloFlags) goodputWords(c *cobra.Command, args []string) error {
	if len(args) > 0 && !c.Flags().Changed("goodput") {
		return noWords()(c, args)
	}
	f.goodput = append(f.goodput, args...)
	return nil
}

// sloPlan is the first test of the search for an objective's border; nil where another load was asked for.
func (f *loadFlags) sloPlan(c *cobra.Command) ([]record.Test, error) {
	slo, err := f.slo.slo()
	if slo == nil || err != nil {
		return nil, err
	}
	for _, name := range []string{"matrix", "find-limit", "requests"} {
		if c.Flags().Changed(name) {
			return nil, usagef("--%s and a search for an objective exclude each other", name)
		}
	}
	if f.maxConcurrent < 1 {
		return nil, usagef("--max-concurrent %d: want 1 or more", f.maxConcurrent)
	}
	return []record.Test{f.sloTest(min(f.sloStart(), f.maxConcurrent))}, nil
}

// sloStart is where the search begins: in the middle of the plan's ladder, so that neither way is far.
func (f *loadFlags) sloStart() int {
	if f.concurrent > 0 {
		return f.concurrent
	}
	return 8
}

func (f *loadFlags) sloTest(n int) record.Test {
	return f.shaped(runner.SLOTest(n, f.shape(), f.runs, f.slo.percentile))
}

// sloSearch makes the tests after the first; nil where no border is looked for.
func (m *measurement) sloSearch(tests []record.Test) (func() (record.Test, bool, string, error), error) {
	slo, err := m.load.slo.slo()
	if slo == nil || err != nil || !slices.ContainsFunc(tests, func(t record.Test) bool { return strings.HasPrefix(t.ID, "slo") }) {
		return nil, err
	}
	added, ended, shape := 1, false, m.load.shape()
	return func() (t record.Test, more bool, why string, err error) {
		if ended {
			return t, false, "", nil
		}
		in, err := readInput(m.folder)
		if err != nil {
			return t, false, "", err
		}
		n, done := analysis.NextSLORung(analysis.Input{Run: in.Run, Baselines: in.Baselines, Tests: in.Tests}, shape.InputTokens, shape.OutputTokens, m.load.workload.workload(0), *slo,
			added, m.load.sloStart(), m.load.maxConcurrent)
		if done.En != "" {
			ended = true
			return t, false, "the search ends: " + done.En, nil
		}
		added++
		return m.load.sloTest(n), true, "", nil
	}, nil
}

// nextTest is what makes tests beyond the plan; nil where nothing does.
func (m *measurement) nextTest(tests []record.Test) (func() (record.Test, bool, string, error), error) {
	if search, err := m.rateSearch(); search != nil || err != nil {
		return search, err
	}
	if search, err := m.sloSearch(tests); search != nil || err != nil {
		return search, err
	}
	return m.limitSearch(tests), nil
}

// judged are the records that this command's objective was asked of, beside the tests it planned.
func (m *measurement) judged(r record.Record, slo *record.SLO) bool {
	return slo != nil && r.Detail.SLO != nil && reflect.DeepEqual(r.Detail.SLO.SLO, *slo)
}

// sloMissed is the negative verdict of a command that was asked for an objective: nothing that it measured holds it.
func sloMissed(recs []record.Record) error {
	if judged := slices.DeleteFunc(slices.Clone(recs), func(r record.Record) bool { return r.Detail.SLO == nil }); len(judged) == 0 ||
		slices.ContainsFunc(judged, func(r record.Record) bool { return r.Detail.SLO.Held }) {
		return nil
	}
	return errNegative
}

// ladders are the judgements that a command was asked for: about its objective, or about its rates.
func ladders(folder *record.Folder, slo *record.SLO, rates bool) (*record.Analysis, error) {
	if slo == nil && !rates {
		return nil, nil
	}
	in, err := readInput(folder)
	if err != nil {
		return nil, err
	}
	only := *in.Analysis
	only.Headline, only.HeadlineKO, only.Expectations = nil, nil, nil
	only.Ladders = slices.DeleteFunc(slices.Clone(only.Ladders), func(l record.Ladder) bool { return l.SLO == nil })
	only.Rates = slices.DeleteFunc(slices.Clone(only.Rates), func(l record.RateLadder) bool { return slo != nil && l.SLO == nil })
	return &only, nil
}
