package cli

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/report"
	"bench/internal/sizing"

	"github.com/spf13/cobra"
)

// demandFlags are what a sizing must carry.
type demandFlags struct {
	concurrent, context, input, output int
	load                               string
	maxTTFT, maxTPOT, maxLatency       time.Duration
}

func (f *demandFlags) demand() record.Demand {
	return record.Demand{Concurrent: f.concurrent, ContextTokens: f.context, InputTokens: f.input, OutputTokens: f.output, Load: f.load,
		MaxTTFTMS: millis(f.maxTTFT), MaxTPOTMS: millis(f.maxTPOT), MaxLatencyMS: millis(f.maxLatency)}
}

// check refuses a demand that nobody has, before a run that would meet it at its end.
func (f *demandFlags) check() error {
	switch {
	case f.concurrent < 1:
		return usagef("--size-for %d: want 1 or more", f.concurrent)
	case f.context < 1:
		return usagef("--context %d: want 1 or more", f.context)
	}
	return nil
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// sizeFlags say what is sized and how it is shown.
type sizeFlags struct {
	out                    outFlags
	engine                 engineFlags
	demand                 demandFlags
	from, prices, check    string
	explain, csv, markdown bool
}

func (a *app) sizeCommand() *cobra.Command {
	var f sizeFlags
	c := &cobra.Command{
		Use:   "size",
		Short: "Which GPUs carry N requests of a model: memory, speed and price (plan, section 3)",
		Long: `size computes, from the model's true architecture and vLLM's own accounting, which
GPUs hold N requests at once, what dominates their memory, how fast they answer and what
they cost. It needs no server and no results. Times are computed, with the error found on
published measurements beside them (docs/accuracy.md). A start-up log of the model
(--server-log) replaces computed memory by what that server printed, where it holds;
results (--from) scale computed times, within one class of kernels. Without a model it
takes the results here, if only one folder can be meant, and the model they measured.

--check holds published figures against what the card can do: name the set-up with --gpu,
--tensor-parallel-size and --quantization, the load with --concurrent, --input-tokens and
--output-tokens.

Exit code 3: the demand fits none of the set-ups within its limits, or a figure is impossible.`,
		Example: `  bench size --model google/gemma-3-12b-it
  bench size --model google/gemma-3-12b-it --concurrent 50 --context 4096 --max-tpot 50ms
  bench size --model google/gemma-3-12b-it --gpu a100-80gb --gpu h100 --explain
  bench size --model-config config.json --quantization fp8 --json
  bench size --model google/gemma-3-12b-it --server-log vllm.log --gpu rtx-3090 --from results
  bench size --model google/gemma-3-12b-it --gpu rtx-3090 --concurrent 1 --check tpot=12ms`,
		Args: noWords(),
		RunE: func(c *cobra.Command, _ []string) error {
			f.demand.context = contextOf(c, f.demand)
			return a.size(&f)
		},
	}
	fs := c.Flags()
	fs.BoolVar(&f.out.json, "json", false, "print sizing.json on stdout")
	fs.StringVar(&f.out.dir, "out", "", "also write sizing.json, the charts and a report into this folder")
	f.out.registerReport(fs)
	f.engine.register(fs)
	f.engine.registerServerLog(fs)
	demand := topic(fs, "The demand")
	fs.IntVar(&f.demand.concurrent, "concurrent", 50, "requests in flight")
	fs.IntVar(&f.demand.context, "context", 4096, "tokens a request may hold")
	fs.IntVar(&f.demand.input, "input-tokens", 0, "prompt tokens of a request (default three quarters of --context)")
	fs.IntVar(&f.demand.output, "output-tokens", 0, "answer tokens of a request (default a quarter of --context)")
	fs.StringVar(&f.demand.load, "load", "closed", "closed (so many in flight all the time) or burst (so many at once)")
	fs.DurationVar(&f.demand.maxTTFT, "max-ttft", 0, "longest mean time to the first token")
	fs.DurationVar(&f.demand.maxTPOT, "max-tpot", 0, "longest mean time per output token")
	fs.DurationVar(&f.demand.maxLatency, "max-latency", 0, "longest mean time of a request")
	demand()
	known := topic(fs, "What is known better")
	fs.StringVar(&f.from, "from", "", "results folder to calibrate computed times by")
	fs.StringVar(&f.prices, "prices", "", "your own prices: CSV with gpu,buy_usd,hour_usd,as_of,note, each for one card")
	fs.StringVar(&f.check, "check", "", "published figures to check: tpot=12ms,ttft=80ms,throughput=900")
	known()
	defer topic(fs, "Results")()
	fs.BoolVar(&f.explain, "explain", false, "show every term of the recommended (or only) set-up with its formula and source")
	fs.BoolVar(&f.csv, "csv", false, "print the set-ups as CSV on stdout")
	fs.BoolVar(&f.markdown, "markdown", false, "print the sizing as Markdown on stdout")
	return c
}

// contextOf widens the default context to hold the lengths that were given.
func contextOf(c *cobra.Command, d demandFlags) int {
	if d.input > 0 && d.output > 0 && !c.Flags().Changed("context") {
		return d.input + d.output
	}
	return d.context
}

func (a *app) size(f *sizeFlags) error {
	if err := f.out.check(); err != nil {
		return err
	}
	if f.out.json && f.csv || f.csv && f.markdown || f.markdown && f.out.json {
		return usagef("--json, --csv and --markdown are three forms of the same answer: choose one")
	}
	e := &f.engine
	if err := e.check(); err != nil {
		return err
	}
	model, ok, err := e.findModel()
	if err != nil {
		return err
	}
	startup, err := e.readServerLog()
	if err != nil {
		return err
	}
	if !ok {
		model, ok = logModel(startup)
	}
	if !ok && startup == nil {
		if model, ok, err = a.measuredModel(f); err != nil {
			return err
		}
	}
	if !ok {
		return usagef("which model? name it with --model (for example google/gemma-3-12b-it) or --model-config FILE")
	}
	if f.check != "" {
		return a.checkFigures(f, model)
	}
	basis := sizing.Request{Observed: startup, Explain: f.explain}
	if basis.Prices, err = readPrices(f.prices); err != nil {
		return err
	}
	if f.from != "" {
		if basis.Measured, err = readResults(f.from); err != nil {
			return err
		}
	}
	doc, err := e.size(model, f.demand.demand(), basis)
	if err != nil {
		return usageError{err}
	}
	if err := a.showSizing(f, &doc); err != nil {
		return err
	}
	if doc.Options.Minimum == nil {
		return errNegative
	}
	return nil
}

// showSizing prints the sizing in the form asked for and writes its files.
func (a *app) showSizing(f *sizeFlags, doc *record.Sizing) (err error) {
	page := ""
	if f.out.dir != "" {
		if page, err = writeSizing(f.out.dir, f.out.lang, doc); err != nil {
			return err
		}
	}
	switch {
	case f.out.json:
		return a.printJSON(doc)
	case f.csv:
		return report.CSVSizing(a.Out, doc)
	case f.markdown:
		return report.MarkdownSizing(a.Out, doc, f.out.lang)
	}
	if err := report.TextSizing(a.Out, doc, f.out.lang, a.columns(), a.stdout.Live); err != nil {
		return err
	}
	if page != "" {
		fmt.Fprintf(a.Out, "\nReport: %s\n", page)
	}
	return nil
}

// writeSizing writes sizing.json, its charts and a report into a folder of its own, or into a results
// folder beside what was measured.
func writeSizing(dir, lang string, doc *record.Sizing) (page string, err error) {
	folder, err := record.LockFolder(dir)
	if err != nil {
		return "", err
	}
	defer folder.Close()
	if err := folder.WriteJSON(record.SizingFile, doc); err != nil {
		return "", err
	}
	in := report.Input{Sizing: doc}
	if _, measured, err := folder.ReadRun(); err != nil {
		return "", err
	} else if measured {
		if in, err = readInput(folder); err != nil {
			return "", err
		}
		in.Sizing = doc
	}
	files, err := report.WriteAll(folder.WriteFile, in, lang)
	if err != nil {
		return "", fmt.Errorf("writing the report: %w", err)
	}
	return folder.Path(files[len(files)-1]), nil
}

// measuredModel is the model of the results that are named, or of those here where only one folder can be meant: what
// was measured is then also what computed times are scaled by.
func (a *app) measuredModel(f *sizeFlags) (m catalog.Model, ok bool, err error) {
	if f.from == "" {
		here := findFolders(".")
		if len(here) != 1 {
			return m, false, nil
		}
		f.from = here[0].dir
		a.status("the model and its measured speed are those of the results in %s", f.from)
	}
	found, ok := asFolder(f.from)
	if !ok {
		return m, false, nil
	}
	m, ok = modelOf(found.run.Server)
	return m, ok, nil
}

func readPrices(file string) ([]catalog.OwnPrice, error) {
	if file == "" {
		return nil, nil
	}
	in, err := os.Open(file)
	if err != nil {
		return nil, usagef("--prices: %w", err)
	}
	defer in.Close()
	prices, err := catalog.ParsePrices(file, in)
	if err != nil {
		return nil, usagef("--prices: %w", err)
	}
	return prices, nil
}

// size sizes for a model on the GPUs named by the flags, or on all; req holds what is known beside
// the flags.
func (f *engineFlags) size(model catalog.Model, d record.Demand, req sizing.Request) (record.Sizing, error) {
	gpus, err := f.findGPUs()
	if err != nil {
		return record.Sizing{}, err
	}
	req.Model, req.Engine, req.Demand, req.GPUs = model, f.engine(), d, gpus
	return sizing.Size(req)
}

// checkFigures judges published figures of one set-up.
func (a *app) checkFigures(f *sizeFlags, model catalog.Model) error {
	figures, err := parseFigures(f.check)
	if err != nil {
		return err
	}
	gpus, err := f.engine.findGPUs()
	if err != nil {
		return err
	}
	if len(gpus) != 1 {
		return usagef("--check judges the figures of one set-up: name its card with one --gpu")
	}
	d := f.demand
	if d.input == 0 && d.output == 0 {
		d.output = max(d.context/4, 1)
		d.input = max(d.context-d.output, 1)
	}
	kind := capacity.LoadClosed
	if d.load == capacity.LoadBurst.String() {
		kind = capacity.LoadBurst
	}
	engine := f.engine.engine()
	if engine.MaxModelLen == 0 {
		engine.MaxModelLen = min(model.MaxPositionEmbeddings, max(d.context, d.input+d.output))
	}
	doc, err := sizing.CheckFigures(sizing.FigureRequest{Model: model, GPU: gpus[0], Engine: engine, Figures: figures,
		Load: capacity.Load{Kind: kind, Concurrent: d.concurrent, InputTokens: d.input, OutputTokens: d.output}})
	if err != nil {
		return usageError{err}
	}
	if f.out.json {
		err = a.printJSON(doc)
	} else {
		err = report.TextFigures(a.Out, &doc, f.out.lang, a.columns(), a.stdout.Live)
	}
	if err == nil && doc.Verdict == record.FigureImpossible {
		return errNegative
	}
	return err
}

// parseFigures reads tpot=12ms,ttft=80ms,throughput=900.
func parseFigures(text string) (sizing.Figures, error) {
	var out sizing.Figures
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return out, usagef("--check %q: want name=value, such as tpot=12ms", part)
		}
		var to **float64
		switch strings.ToLower(name) {
		case "tpot":
			to = &out.TPOTMS
		case "ttft":
			to = &out.TTFTMS
		case "throughput":
			v, err := strconv.ParseFloat(value, 64)
			if err != nil || !(v > 0) || math.IsInf(v, 0) {
				return out, usagef("--check throughput=%s: want output tokens a second, such as 900", value)
			}
			out.Throughput = &v
			continue
		default:
			return out, usagef("--check %s: not a figure this can check; use tpot, ttft or throughput", name)
		}
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return out, usagef("--check %s=%s: want a time above zero with its unit, such as 12ms", name, value)
		}
		*to = new(millis(d))
	}
	return out, nil
}
