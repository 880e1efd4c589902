package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"bench/internal/analysis"
	"bench/internal/record"
	"bench/internal/report"
	"bench/internal/sim"
	"bench/internal/sizing"

	"github.com/spf13/cobra"
)

func (a *app) analyzeCommand() *cobra.Command {
	var o outFlags
	c := &cobra.Command{
		Use:   "analyze",
		Short: "Find the limits and their causes, draw charts, write the report (plan, phase 4)",
		Long: `analyze works from the files of a result folder alone and can be run again and again.
It writes analysis.json, charts/ and the report as Markdown and as one HTML file.
Without --out it takes the results here, if only one folder can be meant.`,
		Example: `  bench analyze
  bench analyze --out results --lang ko`,
		Args: noWords(),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if err := o.check(); err != nil {
				return err
			}
			if !c.Flags().Changed("out") {
				if o.dir, err = a.onlyFolder(); err != nil {
					return err
				}
			}
			return a.analyze(&o)
		},
	}
	o.register(c.Flags())
	o.registerReport(c.Flags())
	return c
}

func (a *app) analyze(o *outFlags) error {
	if _, err := record.OpenFolder(o.dir); err != nil { // looking must not make a folder
		return err
	}
	folder, err := record.LockFolder(o.dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return a.writeReport(folder, o, true)
}

// writeReport analyses what the folder holds, writes analysis.json, charts and report, and shows them; of a run that
// ended, also what could be asked next.
func (a *app) writeReport(folder *record.Folder, o *outFlags, ended bool) error {
	in, err := readInput(folder)
	if err != nil {
		return err
	}
	if err := folder.WriteJSON(record.AnalysisFile, in.Analysis); err != nil {
		return err
	}
	if n := len(in.Missing); n > 0 {
		a.status("data files that records name are missing (%s; %d in all): the figures of the records stand, charts lack what was in them", in.Missing[0], n)
	}
	langs := []string{"en"}
	if o.lang == "ko" {
		langs = append(langs, "ko")
	}
	page := ""
	for _, lang := range langs {
		files, err := report.WriteAll(folder.WriteFile, in, lang)
		if err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		page = files[len(files)-1] // the one to open is written last
	}
	if o.json {
		return a.printJSON(in.Analysis)
	}
	if err := report.Text(a.Out, in, a.columns(), a.stdout.Live); err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "\nReport: %s\n", folder.Path(page))
	if more := next(folder.Dir(), in); ended && more != "" {
		fmt.Fprintf(a.Out, "Next: %s\n", more)
	}
	return nil
}

// readInput gathers a folder's documents and judges its records.
func readInput(folder *record.Folder) (report.Input, error) {
	run, ok, err := folder.ReadRun()
	if err != nil {
		return report.Input{}, err
	}
	if !ok {
		return report.Input{}, fmt.Errorf("%s holds no run: measure one with `bench run --out %s`", folder.Dir(), folder.Dir())
	}
	in := report.Input{Run: run, Samples: folder}
	var errs [5]error
	in.Verify, errs[0] = folder.ReadVerify()
	in.Baselines, errs[1] = folder.ReadRecords(record.BaselineFile)
	in.Tests, errs[2] = folder.ReadRecords(record.ConcurrentFile)
	in.Sizing, errs[3] = folder.ReadSizing()
	in.Open, errs[4] = folder.ReadRecords(record.OpenFile)
	if err := errors.Join(errs[:]...); err != nil {
		return in, err
	}
	in.Missing = missingFiles(folder, slices.Concat(in.Baselines, in.Tests, in.Open))
	judge := analysis.Input{Run: run, Baselines: in.Baselines, Tests: in.Tests, Open: in.Open, Sizing: in.Sizing}
	if m, g, e, ok := sizing.MeasuredSetup(sizing.Results{Folder: folder.Dir(), Run: run, Verify: in.Verify, Records: in.Tests}); ok {
		judge.Machine = &analysis.Machine{Model: m, GPU: g, Engine: e, Savings: sizing.Savings(m, g, e, 0, 1), Burst: burstOn(sim.Config{Model: m, GPU: g, Engine: e})}
	}
	judged, err := analysis.Analyze(judge)
	if err != nil {
		return in, fmt.Errorf("%s: %w", folder.Dir(), err)
	}
	in.Analysis = &judged
	return in, nil
}

// burstOn puts bursts on a simulated engine: what the model of a set-up expects beyond what was measured.
func burstOn(c sim.Config) func(n, inputTokens, outputTokens int) (analysis.Answer, bool) {
	return func(n, inputTokens, outputTokens int) (analysis.Answer, bool) {
		r, err := sim.Run(c, sim.ClosedLoop(n, n, inputTokens, outputTokens))
		if err != nil {
			return analysis.Answer{}, false
		}
		var sum time.Duration
		for _, t := range r.Requests {
			sum += t.Latency()
		}
		return analysis.Answer{LatencyMS: float64(sum) / 1e6 / float64(n),
			KVFull: r.Preemptions > 0 || r.PeakKVUsage >= 0.99 && r.PeakWaiting > 0}, true
	}
}

// missingFiles are data files that records name and the folder does not hold.
func missingFiles(folder *record.Folder, recs []record.Record) []string {
	var out []string
	for _, r := range recs {
		for _, name := range []string{r.Detail.Files.Requests, r.Detail.Files.MemoryLog, r.Detail.Files.ServerMetrics} {
			if name == "" {
				continue
			}
			if _, err := os.Stat(folder.Path(name)); errors.Is(err, fs.ErrNotExist) {
				out = append(out, name)
			}
		}
	}
	return out
}
