package cli

import (
	"context"
	"errors"

	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/runner"
	"bench/internal/sizing"

	"github.com/spf13/cobra"
)

// runFlags are the flags of bench run.
type runFlags struct {
	server serverFlags
	out    outFlags
	load   loadFlags
	engine engineFlags
	demand demandFlags
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run",
		Short: "The whole job: verify, baseline, stress, analyze, size, one report",
		Long: `run does the plan from its first phase to its last: verify, baseline, the matrix T1–T9,
analysis, and sizing of the unquantised model for the demand named by --size-for and
--context. Everything goes into one folder with one report; --resume goes on after an
interruption.`,
		Example: `  bench run
  bench run --base-url sim: --out demo
  bench run --wait 10m --lang ko --size-for 50 --context 4096
  bench run --resume`,
		Args: noWords(),
		RunE: func(c *cobra.Command, _ []string) error {
			plan, err := stressPlan(c, &f.load)
			if err != nil {
				return err
			}
			return a.runAll(c.Context(), &f, plan)
		},
	}
	fs := c.Flags()
	f.server.register(fs)
	f.out.registerRecording(fs)
	f.out.registerReport(fs)
	registerStress(c, &f.load)
	f.load.registerProcedure(fs, 3)
	sizing := topic(fs, "Sizing")
	fs.StringVar(&f.engine.model, "model", "", "model to size for (default: the unquantised model that is served)")
	fs.StringVar(&f.engine.config, "model-config", "", "config.json, checkpoint folder or .gguf file of the model to size for")
	fs.StringSliceVar(&f.engine.gpus, "gpu", nil, "GPU to size for, may be given several times (default all)")
	fs.IntVar(&f.demand.concurrent, "size-for", 50, "requests in flight to size for")
	fs.IntVar(&f.demand.context, "context", 4096, "tokens a request may hold, to size for")
	sizing()
	f.engine.registerServerLog(fs)
	f.load.input, f.load.output = 100, 100
	return c
}

func (a *app) runAll(ctx context.Context, f *runFlags, plan []record.Test) error {
	if err := errors.Join(f.server.check(), f.load.check(), f.out.check(), f.demand.check()); err != nil {
		return err
	}
	model, named, err := f.engine.findModel()
	if err != nil {
		return err
	}
	startup, err := f.engine.readServerLog()
	if err != nil {
		return err
	}
	m, err := openMeasurement(&f.server, &f.out, &f.load)
	if err != nil {
		return err
	}
	defer m.folder.Close()
	measured := a.withMeasurement(ctx, m, func(ctx context.Context, s *server) error {
		tpotMS, err := a.verifyRun(ctx, m, s, startup)
		if err != nil {
			return err
		}
		tests, err := m.plan(ctx, s, func(_ context.Context, _ *server, have []record.Record) ([]record.Test, error) {
			return f.load.repeats(wholePlan(plan, have, f.load.runs))
		})
		if err != nil {
			return err
		}
		return a.measure(ctx, m, s, tests, tpotMS)
	})
	if !reportable(measured) {
		return measured
	}
	have, err := m.records()
	if err != nil || len(have) == 0 {
		return errors.Join(measured, err) // nothing to report on
	}
	if !named {
		model, named = modelOf(m.run.Server)
	}
	if !named {
		a.status("note: no sizing, the catalogue does not have the served model: name one with --model or --model-config")
	} else {
		basis, err := runBasis(m, startup)
		if err != nil {
			return errors.Join(measured, err)
		}
		doc, err := f.engine.size(model, f.demand.demand(), basis)
		if err != nil {
			return errors.Join(measured, usageError{err})
		}
		if err := m.folder.WriteJSON(record.SizingFile, doc); err != nil {
			return errors.Join(measured, err)
		}
	}
	return errors.Join(measured, a.writeReport(m.folder, &f.out, measured == nil))
}

// reportable says whether a run that ended like this leaves something to report on: it went through,
// was interrupted, or lost its server. A disk that is full or a refused folder takes no report either.
func reportable(err error) bool {
	_, gone := errors.AsType[*runner.ServerGoneError](err)
	return err == nil || gone || errors.Is(err, runner.ErrInterrupted)
}

// wholePlan is phase 2 and phase 3: the baseline of ten, then the matrix.
func wholePlan(matrix []record.Test, have []record.Record, runs int) []record.Test {
	const baselineRuns = 10
	shape := runner.ShapeOf(matrix[0])
	tests := []record.Test{runner.Baseline(shape, baselineRuns)}
	for _, t := range runner.WithBaselines(matrix, have, runs) {
		if t.ID != tests[0].ID {
			tests = append(tests, t)
		}
	}
	return tests
}

// runBasis is what a run knows beyond arithmetic when it sizes: its own measurements, the start-up
// log of its server, and on which card that ran.
func runBasis(m *measurement, startup *record.Startup) (sizing.Request, error) {
	req := sizing.Request{Observed: startup}
	if len(m.run.GPUs) > 0 {
		if g, err := catalog.FindGPU(m.run.GPUs[0].Name); err == nil {
			req.LogGPU = &g
		}
	}
	var err error
	req.Measured, err = calibrate(m.folder, m.run)
	return req, err
}

// verifyRun is phase 1 inside a run: what is loaded, with nothing claimed. It returns the time per output token it
// measured; nil where it measured none.
func (a *app) verifyRun(ctx context.Context, m *measurement, s *server, startup *record.Startup) (tpotMS *float64, err error) {
	if m.out.resume {
		if doc, err := m.folder.ReadVerify(); doc != nil || err != nil {
			return nil, err
		}
	}
	ev, err := a.evidence(ctx, s)
	if err != nil {
		return nil, err
	}
	ev.Startup = startup
	doc := sizing.Verify(nil, ev)
	doc.CreatedAt, doc.BaseURL = a.started, m.server.baseURL
	return ev.TPOTMS, m.folder.WriteJSON(record.VerifyFile, doc)
}
