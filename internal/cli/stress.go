package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"bench/internal/analysis"
	"bench/internal/record"
	"bench/internal/report"
	"bench/internal/runner"
	"bench/internal/stats"
	"bench/internal/unit"

	"github.com/spf13/cobra"
)

func (a *app) baselineCommand() *cobra.Command {
	var s serverFlags
	var o outFlags
	var l loadFlags
	c := &cobra.Command{
		Use:   "baseline",
		Short: "Measure one request at a time (plan, phase 2)",
		Long: `baseline sends requests one at a time: 10 of 100 prompt tokens and 100 answer
tokens at temperature 0.7, after 3 warm-up requests. Everything else is judged
against it. It writes baseline_results.json.`,
		Example: `  bench baseline --base-url http://localhost:8000
  bench baseline --base-url sim: --input-tokens 500 --output-tokens 200`,
		Args: noWords(),
		RunE: func(c *cobra.Command, _ []string) error {
			tests := []record.Test{runner.Baseline(runner.Shape{InputTokens: l.input, OutputTokens: l.output}, l.runs)}
			if err := runner.CheckTest(tests[0]); err != nil {
				return usageError{err}
			}
			return a.measureCommand(c.Context(), &s, &o, &l, func(context.Context, *server, []record.Record) ([]record.Test, error) { return tests, nil })
		},
	}
	s.register(c.Flags())
	o.registerRecording(c.Flags())
	l.registerShape(c.Flags(), 10)
	return c
}

func (a *app) stressCommand() *cobra.Command {
	var s serverFlags
	var o outFlags
	var l loadFlags
	c := &cobra.Command{
		Use:   "stress",
		Short: "Run the concurrency matrix T1–T9 (plan, phase 3), or one test of it",
		Long: `stress runs the plan's matrix: 1 to 32 requests at once of 100/100 tokens and 4 to
16 of 500/200, three bursts each, with warm-up and a cooldown one can skip with
Enter or s; q stops after the running test. A single-request test of a shape is
measured first where there is none. It writes concurrent_results.json, a record as
each test ends.

--request-rate and --ramp-up-strategy make tests of an open load instead:
requests are sent when a schedule has them due, whatever the server answers, as
users do. It writes open_results.json, with every time measured twice: from the
send, and from the instant the request was due. A load that the server cannot
keep up with is stopped and named. The names are those of vllm bench serve.

--max-ttft, --max-tpot and --max-latency look for the largest concurrency at which
a percentile of the requests stays within the limits, and exit with 3 where none
does. The border is looked for between two tests, each of --runs repeats. With
--find-rate it is the largest rate that is looked for.

--dataset-name mooncake and azure replay a trace: its instants, its lengths and, where
it tells them, the blocks that prompts share. --probe-request-rate sends small requests
beside the load, whose times are kept apart.

Where one client is not enough, several machines send a load together, each its part
of it, and bench merge joins what they measured (docs/machines.md):

  bench stress --request-rate 400 --num-prompts 20000 --runs 1 --shard 0/4 \
    --start-at 2026-01-31T12:00:00Z        # and 1/4, 2/4, 3/4 elsewhere`,
		Example: `  bench stress --base-url http://localhost:8000
  bench stress --concurrent 8                # test T4 alone
  bench stress --concurrent 24 --requests 96 # 24 kept in flight until 96 were sent
  bench stress --find-limit                  # and on past the last rung until something gives
  bench stress --until-precise 5%            # as many repeats as that takes, 20 at most
  bench stress --matrix mine.yaml --resume
  bench stress --concurrent 16 --requests 128 --random-range-ratio 0.5 --random-prefix-len 400
  bench stress --request-rate 2 --num-prompts 500 --dataset-name sharegpt --dataset-path ShareGPT_V3.json --skip-bad-lines
  bench stress --concurrent 8 --requests 64 --multi-turn --multi-turn-num-turns 4 --per-turn-input-len 60 --multi-turn-delay-ms 2000
  bench stress --concurrent 8 --requests 64 --lora-modules sql chat --lora-assignment round-robin
  bench stress --concurrent 4 --requests 8 --dataset-name random-mm --random-mm-bucket-config '{(512, 512, 1): 1}'
  bench stress --concurrent 8 --requests 64 --endpoint completions --prompt-token-ids --out ids
  bench stress --max-ttft 1s --max-tpot 50ms --percentile 95    # at how many at once does that hold
  bench stress --concurrent 16 --requests 64 --goodput ttft:1000 tpot:50
  bench stress --request-rate 2 --num-prompts 200               # Poisson
  bench stress --request-rate 2 --burstiness 0.5 --duration 2m  # burstier
  bench stress --request-rate 1,2,4 --duration 1m --runs 1      # a ladder of rates
  bench stress --find-rate --max-ttft 1s --max-tpot 60ms        # at which rate does that hold
  bench stress --dataset-name mooncake --dataset-path trace.jsonl --runs 1
  bench stress --request-rate 4 --num-prompts 400 --probe-request-rate 1
  bench stress --ramp-up-strategy linear --ramp-up-start-rps 1 --ramp-up-end-rps 8 --num-prompts 400`,
		Args: l.words,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := l.shard.read(c, a.env); err != nil {
				return err
			}
			l.workload.seed = o.seed
			plan, err := stressPlan(c, &l)
			if err != nil {
				return err
			}
			if _, err := l.shard.apply(plan, &s, &o); err != nil {
				return err
			}
			if name := givenFlag(c, "until-precise", "find-limit", "find-rate"); l.shard.parsed != nil && (name != "" || strings.HasPrefix(plan[0].ID, "slo")) {
				return usagef("--shard and a search exclude each other: what comes next depends on figures that shards do not know of each other")
			}
			answers := 0
			if c.Flags().Changed("output-tokens") {
				answers = l.output
			}
			return a.measureCommand(c.Context(), &s, &o, &l, func(ctx context.Context, srv *server, have []record.Record) ([]record.Test, error) {
				if err := a.settleWorkload(ctx, &l, srv, plan, answers); err != nil {
					return nil, err
				}
				if plan, err = stressPlan(c, &l); err != nil { // now that all lengths are known
					return nil, err
				}
				if l.shard.parsed != nil { // a single request at a time is none where others send theirs
					return l.shard.apply(plan, &s, &o)
				}
				tests := runner.WithBaselines(plan, have, l.runs)
				if l.arrivals.find { // what comes after them is asked of the search
					tests = slices.DeleteFunc(tests, func(t record.Test) bool { return t.Kind == record.KindOpen })
				}
				return l.repeats(tests)
			})
		},
	}
	s.register(c.Flags())
	o.registerRecording(c.Flags())
	registerStress(c, &l)
	l.registerShape(c.Flags(), 3)
	l.arrivals.register(c.Flags())
	l.slo.register(c.Flags())
	l.workload.register(c.Flags())
	l.shard.register(c.Flags())
	return c
}

func registerStress(c *cobra.Command, l *loadFlags) {
	defer topic(c.Flags(), "Tests")()
	c.Flags().IntVar(&l.concurrent, "concurrent", 0, "run one test of so many requests at once instead of the matrix")
	c.Flags().IntVar(&l.requests, "requests", 0, "requests of each repeat, kept in flight (default: one burst of --concurrent)")
	c.Flags().StringVar(&l.matrix, "matrix", "", "YAML or JSON file with tests of one's own")
	c.Flags().BoolVar(&l.findLimit, "find-limit", false, "go on past the last test of each shape until something gives, then halve the gap")
	c.Flags().IntVar(&l.maxConcurrent, "max-concurrent", 1024, "highest concurrency --find-limit may go to")
	c.Flags().StringVar(&l.precise, "until-precise", "", "repeat each test until the 95 % intervals of throughput and latency are that narrow: 5%")
	c.Flags().IntVar(&l.maxRuns, "max-runs", 20, "most repeats --until-precise may take")
}

// searched is the highest concurrency that a search for the limit may go to; 0 where none was asked for.
func (f *loadFlags) searched() int {
	if slo, err := f.slo.slo(); !f.findLimit && (slo == nil || err != nil) {
		return 0
	}
	return f.maxConcurrent
}

// precision reads --until-precise; 0 where it was not given.
func (f *loadFlags) precision() (float64, error) {
	if f.precise == "" {
		return 0, nil
	}
	v, err := unit.ParseShare(f.precise)
	if err != nil {
		return 0, usagef("--until-precise %w", err)
	}
	return v, nil
}

// repeats applies --until-precise to a plan: the tests have room for the most repeats it may take.
func (f *loadFlags) repeats(tests []record.Test) ([]record.Test, error) {
	p, err := f.precision()
	if err != nil || p == 0 {
		return tests, err
	}
	if f.maxRuns < stats.MinRepeats || f.maxRuns > 1000 {
		return nil, usagef("--max-runs %d: an interval needs %d repeats, want %d to 1000", f.maxRuns, stats.MinRepeats, stats.MinRepeats)
	}
	tests = slices.Clone(tests)
	for i := range tests {
		tests[i].Runs = f.maxRuns
	}
	return tests, nil
}

// limitSearch makes the tests that --find-limit adds to the plan's ladders, one after the other; nil where it was not
// asked for.
func (m *measurement) limitSearch(tests []record.Test) func() (record.Test, bool, string, error) {
	if !m.load.findLimit {
		return nil
	}
	var shapes []runner.Shape
	for _, t := range tests {
		if s := runner.ShapeOf(t); t.Kind == record.KindConcurrent && !slices.Contains(shapes, s) {
			shapes = append(shapes, s)
		}
	}
	runs := tests[len(tests)-1].Runs
	added := 0
	return func() (t record.Test, more bool, why string, err error) {
		var ends []string
		for len(shapes) > 0 {
			in, err := readInput(m.folder)
			if err != nil {
				return t, false, "", err
			}
			s := shapes[0]
			n, done := analysis.NextRung(analysis.Input{Run: in.Run, Baselines: in.Baselines, Tests: in.Tests}, s.InputTokens, s.OutputTokens, added, m.load.maxConcurrent)
			if done.En == "" {
				added++
				return runner.Single(n, s, runs, 0), true, strings.Join(ends, "; "), nil
			}
			ends = append(ends, fmt.Sprintf("%d/%d tokens: %s", s.InputTokens, s.OutputTokens, done.En))
			shapes, added = shapes[1:], 0
		}
		return t, false, strings.Join(ends, "; "), nil
	}
}

// stressPlan is the matrix asked for, without the baselines it may need.
func stressPlan(c *cobra.Command, l *loadFlags) ([]record.Test, error) {
	if l.runs < 1 {
		return nil, usagef("--runs %d: want 1 or more", l.runs)
	}
	if _, err := l.slo.slo(); err != nil {
		return nil, err
	}
	if _, err := l.slo.goodputLimits(); err != nil {
		return nil, err
	}
	if _, err := l.arrivals.probes(); err != nil {
		return nil, err
	}
	replay := l.replays(c)
	searches := givenFlag(c, "find-rate") != "" || givenFlag(c, "concurrent", "request-rate", "ramp-up-strategy") == "" && !replay
	if slo, _ := l.slo.slo(); slo != nil && l.workload.fromFile() && searches {
		return nil, usagef("--dataset-name needs --concurrent or --request-rate: the search for an objective needs as many requests as it pleases")
	}
	if err := l.workload.check(c, l.endpoint, !replay && givenFlag(c, "concurrent", "request-rate", "ramp-up-strategy", "max-ttft", "max-tpot", "max-latency") == ""); err != nil {
		return nil, err
	}
	if t, err := l.findRate(c); err != nil {
		return nil, err
	} else if t != nil {
		return []record.Test{*t}, nil
	}
	if open, err := l.openTests(c); open != nil || err != nil {
		return open, err
	}
	if search, err := l.sloPlan(c); search != nil || err != nil {
		return search, err
	}
	one := c.Flags().Changed("concurrent")
	if l.findLimit && l.workload.workload(1) != (record.Workload{}) {
		return nil, usagef("--find-limit judges by the plan's rules, for requests of one length; look for a limit of this workload with --max-ttft, --max-tpot or --max-latency")
	}
	if one && l.matrix != "" {
		return nil, usagef("--concurrent and --matrix exclude each other")
	}
	for _, name := range []string{"requests", "input-tokens", "output-tokens"} {
		if f := c.Flags().Lookup(name); f != nil && f.Changed && !one {
			return nil, usagef("--%s needs --concurrent: the matrix names its own; write another with --matrix", name)
		}
	}
	if l.matrix != "" {
		file, err := os.Open(l.matrix)
		if err != nil {
			return nil, usagef("--matrix: %w", err)
		}
		defer file.Close()
		tests, err := runner.ParseMatrix(l.matrix, file, l.runs)
		if err != nil {
			return nil, usageError{err}
		}
		return tests, nil
	}
	if !one {
		return runner.Matrix(l.runs), nil
	}
	if l.requests != 0 && l.requests < l.concurrent {
		return nil, usagef("--requests %d is less than --concurrent %d: so many would never be in flight", l.requests, l.concurrent)
	}
	t := l.shaped(runner.Single(l.concurrent, l.shape(), l.runs, l.requests))
	if err := runner.CheckTest(t); err != nil {
		return nil, usagef("--concurrent: %w", err)
	}
	return []record.Test{t}, nil
}

// planner makes the plan from what the folder already has, and where it must from what the server tells.
type planner func(ctx context.Context, srv *server, have []record.Record) ([]record.Test, error)

// measureCommand is what baseline and stress have in common.
func (a *app) measureCommand(ctx context.Context, s *serverFlags, o *outFlags, l *loadFlags, plan planner) error {
	if err := errors.Join(s.check(), l.check()); err != nil {
		return err
	}
	m, err := openMeasurement(s, o, l)
	if err != nil {
		return err
	}
	defer m.folder.Close()
	var tests []record.Test
	err = a.withMeasurement(ctx, m, func(ctx context.Context, srv *server) error {
		if tests, err = m.plan(ctx, srv, plan); err != nil {
			return err
		}
		return a.measure(ctx, m, srv, tests, nil)
	})
	if shown := a.showRecords(m, tests, err == nil); shown != nil {
		return errors.Join(err, shown)
	}
	return err
}

// withMeasurement reaches the server and claims the folder for it.
func (a *app) withMeasurement(ctx context.Context, m *measurement, f func(context.Context, *server) error) error {
	offset, err := m.clockOffset(a.started)
	if err != nil {
		return err
	}
	c := connection{flags: m.server, telemetry: m.load.telemetry, gpuIndex: m.load.gpuIndex, offset: offset}
	return a.withServer(ctx, c, func(ctx context.Context, srv *server) error {
		if err := a.begin(m, srv); err != nil {
			return err
		}
		return f(ctx, srv)
	})
}

// plan makes the tests of this command and checks each.
func (m *measurement) plan(ctx context.Context, srv *server, plan planner) ([]record.Test, error) {
	have, err := m.records()
	if err != nil {
		return nil, err
	}
	tests, err := plan(ctx, srv, have)
	if err != nil {
		return nil, err
	}
	for _, t := range tests {
		if err := runner.CheckTest(t); err != nil {
			return nil, usageError{err}
		}
	}
	return tests, nil
}

// records are all records of the folder.
func (m *measurement) records() ([]record.Record, error) {
	baselines, err := m.folder.ReadRecords(record.BaselineFile)
	if err != nil {
		return nil, err
	}
	tests, err := m.folder.ReadRecords(record.ConcurrentFile)
	if err != nil {
		return nil, err
	}
	open, err := m.folder.ReadRecords(record.OpenFile)
	return slices.Concat(baselines, tests, open), err
}

// showRecords prints the records of the tests asked for, as far as there are any. Where the command did not come to its
// end, what goes on with it is said with the reason.
func (a *app) showRecords(m *measurement, tests []record.Test, ended bool) error {
	have, err := m.records()
	if err != nil {
		return err
	}
	slo, err := m.load.slo.slo()
	if err != nil {
		return err
	}
	have = slices.DeleteFunc(have, func(r record.Record) bool {
		return !m.judged(r, slo) && !slices.ContainsFunc(tests, func(t record.Test) bool { return t.ID == r.TestID })
	})
	if len(have) == 0 {
		return nil
	}
	if m.out.json {
		return errors.Join(a.printJSON(have), sloMissed(have))
	}
	var in report.Input
	in.Run = m.run
	for _, r := range have {
		switch r.Detail.Kind {
		case record.KindBaseline:
			in.Baselines = append(in.Baselines, r)
		case record.KindOpen:
			in.Open = append(in.Open, r)
		default:
			in.Tests = append(in.Tests, r)
		}
	}
	if in.Analysis, err = ladders(m.folder, slo, len(m.load.arrivals.rates) > 1); err != nil {
		return err
	}
	if err := report.Text(a.Out, in, a.columns(), a.stdout.Live); err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "\nRecords: %s\n", m.folder.Dir())
	if !ended {
		return nil
	}
	next := append([]string{"stress"}, where(m.server.baseURL, m.folder.Dir())...)
	if len(in.Tests)+len(in.Open) > 0 {
		next = append([]string{"analyze"}, where("", m.folder.Dir())...)
	}
	fmt.Fprintf(a.Out, "Next: %s\n", command(next...))
	return sloMissed(have)
}

func (a *app) printJSON(doc any) error {
	enc := json.NewEncoder(a.Out)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}
