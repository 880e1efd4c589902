package cli

import (
	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/report"
	"bench/internal/sizing"

	"github.com/spf13/cobra"
)

// demandFlags are what a sizing must carry.
type demandFlags struct{ concurrent, context, input, output int }

func (f *demandFlags) demand() record.Demand {
	return record.Demand{Concurrent: f.concurrent, ContextTokens: f.context, InputTokens: f.input, OutputTokens: f.output}
}

func (a *app) sizeCommand() *cobra.Command {
	var o outFlags
	var e engineFlags
	var d demandFlags
	var from string
	c := &cobra.Command{
		Use:   "size",
		Short: "Which GPUs carry N requests of a model: memory and price (plan, section 3)",
		Long: `size computes, from the model's true architecture and vLLM's own accounting, which
GPUs hold N requests at once, what dominates their memory, and what they cost. It needs
no server and no results. A start-up log of the model (--server-log) replaces computed
memory by what that server printed, where it holds; results (--from) scale computed times,
within one class of kernels. Exit code 3: the demand fits none of the set-ups.`,
		Example: `  bench size --model google/gemma-3-12b-it
  bench size --model google/gemma-3-12b-it --concurrent 50 --context 4096 --gpu a100-80gb --gpu h100
  bench size --model-config config.json --quantization fp8 --json
  bench size --model google/gemma-3-12b-it --server-log vllm.log --gpu rtx-3090 --from results`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.size(&o, &e, &d, from) },
	}
	c.Flags().BoolVar(&o.json, "json", false, "print sizing.json on stdout")
	e.register(c.Flags())
	e.registerServerLog(c.Flags())
	c.Flags().StringVar(&from, "from", "", "results folder to calibrate computed times by")
	c.Flags().IntVar(&d.concurrent, "concurrent", 50, "requests in flight")
	c.Flags().IntVar(&d.context, "context", 4096, "tokens a request may hold")
	c.Flags().IntVar(&d.input, "input-tokens", 0, "prompt tokens of a request (default three quarters of --context)")
	c.Flags().IntVar(&d.output, "output-tokens", 0, "answer tokens of a request (default a quarter of --context)")
	return c
}

func (a *app) size(o *outFlags, e *engineFlags, d *demandFlags, from string) error {
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
	if !ok {
		return usagef("which model? name it with --model (for example google/gemma-3-12b-it) or --model-config FILE")
	}
	basis := sizing.Request{Observed: startup}
	if from != "" {
		if basis.Measured, err = readResults(from); err != nil {
			return err
		}
	}
	doc, err := e.size(model, d.demand(), basis)
	if err != nil {
		return usageError{err}
	}
	if o.json {
		err = a.printJSON(doc)
	} else {
		err = report.TextSizing(a.Out, &doc, tableWidth, a.screen.Colour)
	}
	if err == nil && doc.Options.Minimum == nil {
		return errNegative
	}
	return err
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
