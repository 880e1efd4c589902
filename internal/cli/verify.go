package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bench/internal/catalog"
	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/report"
	"bench/internal/runner"
	"bench/internal/sizing"

	"github.com/spf13/cobra"
)

func (a *app) verifyCommand() *cobra.Command {
	var s serverFlags
	var o outFlags
	var e engineFlags
	var l loadFlags
	c := &cobra.Command{
		Use:   "verify",
		Short: "Which model is loaded, is it quantised, can the claimed set-up work (plan, phase 1)",
		Long: `verify asks the server what it is, reads the GPUs, and holds both against the set-up
claimed by the engine flags. A claim is judged also when no server is up. The server's
start-up log (--server-log) tells more than the server does; where log, server and claim
say different things, that is said. It writes verify.json. Exit code 3: the claimed set-up
cannot work.`,
		Example: `  bench verify --wait 10m
  bench verify --model google/gemma-3-12b-it --dtype half --gpu rtx-3090 \
      --gpu-memory-utilization 0.95 --max-model-len 4096
  docker logs vllm >vllm.log 2>&1; bench verify --server-log vllm.log`,
		Args: noWords(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.verify(c.Context(), &s, &o, &e, &l)
		},
	}
	s.register(c.Flags())
	o.register(c.Flags())
	e.register(c.Flags())
	e.registerServerLog(c.Flags())
	c.Flags().StringVar(&l.telemetry, "gpu-telemetry", "auto", "where GPU readings come from: auto, nvml, nvidia-smi or none")
	c.Flags().IntSliceVar(&l.gpuIndex, "gpu-index", nil, "GPUs the server uses, by index (default those its processes are on)")
	return c
}

func (a *app) verify(ctx context.Context, s *serverFlags, o *outFlags, e *engineFlags, l *loadFlags) error {
	if err := errors.Join(s.check(), e.check()); err != nil {
		return err
	}
	if _, _, err := e.findModel(); err != nil { // before anything slow
		return err
	}
	if _, err := e.claimedGPU(); err != nil {
		return err
	}
	startup, err := e.readServerLog()
	if err != nil {
		return err
	}
	folder, err := record.LockFolder(o.dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	var ev sizing.Evidence
	serverErr := a.withServer(ctx, connection{flags: s, telemetry: l.telemetry, gpuIndex: l.gpuIndex}, func(ctx context.Context, srv *server) (err error) {
		ev, err = a.evidence(ctx, srv)
		return err
	})
	if _, usage := errors.AsType[usageError](serverErr); usage || ctx.Err() != nil {
		return serverErr
	}
	if serverErr != nil {
		if !e.given() && startup == nil {
			return serverErr // nothing is left to be judged
		}
		ev.ServerError = oneLine(serverErr)
	}
	ev.Startup = startup
	claim, err := e.claim(ev)
	if err != nil {
		return errors.Join(serverErr, err)
	}
	doc := sizing.Verify(claim, ev)
	doc.CreatedAt, doc.BaseURL = a.started, s.baseURL
	if err := a.writeVerify(folder, doc, o); err != nil {
		return err
	}
	if doc.Possible != nil && !*doc.Possible {
		return errNegative
	}
	return nil
}

// evidence is what can be learnt from a server that is up.
func (a *app) evidence(ctx context.Context, s *server) (sizing.Evidence, error) {
	ev := sizing.Evidence{Server: &s.info, GPUs: s.gpuInfo}
	if s.simulation != nil {
		if g, err := catalog.FindGPU(s.simulation.GPU); err == nil {
			ev.GPU = &g
		}
		ev.TensorParallel = len(s.gpuInfo)
	}
	a.sayGPUNote(s)
	if s.source != nil {
		a.noteAbsent(s.gpuInfo)
	}
	tpot, err := a.decodeSpeed(ctx, s)
	if err != nil {
		return ev, err
	}
	ev.TPOTMS = tpot
	s.info.Features = sizing.Features(s.info)
	return ev, nil
}

// decodeSpeed is the time per output token with one request in flight, nil where it could not be
// measured: how fast weights are read bounds how large they can be.
func (a *app) decodeSpeed(ctx context.Context, s *server) (*float64, error) {
	const input, output = 32, 64
	if s.info.MaxModelLen > 0 && s.info.MaxModelLen < input+output {
		return nil, nil
	}
	a.status("asking for one answer, and measuring the decode speed of one request")
	if _, err := s.client.Probe(ctx, "chat", &s.info); err != nil {
		return nil, advise(s.info.BaseURL, fmt.Errorf("asking for an answer: %w", err))
	}
	prompts, err := s.prompts(ctx, "chat", 1, a.started.UTC().Format(time.RFC3339Nano))
	if err != nil {
		return nil, advise(s.info.BaseURL, fmt.Errorf("measuring the decode speed: %w", err))
	}
	t := target{client: s.client, endpoint: "chat", temperature: 0.7, anyLength: s.info.IgnoresEOS == nil || !*s.info.IgnoresEOS}
	var best *float64
	for i := range 3 { // the first is the warm-up
		key := load.Key{Test: "verify", Index: i, Warmup: true}
		text, err := prompts.Make(ctx, input, key)
		if err != nil {
			return nil, fmt.Errorf("measuring the decode speed: %w", err)
		}
		send, err := t.Prepare(runner.Prompt{Text: text, Tokens: input, OutputTokens: output, Salt: prompts.Salt(key)})
		if err != nil {
			return nil, err
		}
		if err := s.client.Open(ctx, 1); err != nil {
			return nil, err
		}
		got := send(ctx)
		if d, ok := got.TPOT(); ok && i > 0 && got.Success {
			v := float64(d) / float64(time.Millisecond)
			if best == nil || v < *best {
				best = &v
			}
		}
	}
	return best, nil
}

// claim is the set-up the flags claim, completed by what was found; nil when nothing was claimed.
func (f *engineFlags) claim(ev sizing.Evidence) (*sizing.Claim, error) {
	if !f.given() {
		return nil, nil
	}
	c := &sizing.Claim{Engine: f.engine()}
	model, ok, err := f.findModel()
	if err != nil {
		return nil, err
	}
	if !ok && ev.Startup != nil {
		// Only the card is claimed, or a setting: the rest is what the log says.
		model, ok = logModel(ev.Startup)
		c.Engine = sizing.CompleteFromLog(c.Engine, ev.Startup)
	}
	if !ok && ev.Server != nil {
		model, ok = modelOf(*ev.Server)
	}
	if !ok {
		return nil, usagef("which model is claimed? name it with --model or --model-config")
	}
	c.Model = model
	gpu, err := f.claimedGPU()
	if err != nil {
		return nil, err
	}
	if gpu == nil {
		gpu = ev.GPU
	}
	if gpu == nil && len(ev.GPUs) > 0 {
		g, err := catalog.FindGPU(ev.GPUs[0].Name)
		if err != nil {
			return nil, err
		}
		gpu = &g
	}
	if gpu == nil {
		return nil, usagef("on which GPU? name it with --gpu, none could be read here")
	}
	c.GPU = *gpu
	return c, nil
}

// claimedGPU is the GPU named by the flags, nil when none was.
func (f *engineFlags) claimedGPU() (*catalog.GPU, error) {
	gpus, err := f.findGPUs()
	if err != nil || len(gpus) == 0 {
		return nil, err
	}
	if len(gpus) > 1 {
		return nil, usagef("--gpu: a claimed set-up has one kind of GPU; say how many with --tensor-parallel-size")
	}
	return &gpus[0], nil
}

// writeVerify records and shows the document; it never goes into another environment's folder.
func (a *app) writeVerify(folder *record.Folder, doc record.Verify, o *outFlags) error {
	run, ok, err := folder.ReadRun()
	if err != nil {
		return err
	}
	if ok && doc.Server != nil && run.Identity.ModelRoot != doc.Server.ModelRoot {
		return fmt.Errorf("%s holds results of %s, the server has %s: name another folder with --out", folder.Dir(), run.Identity.ModelRoot, doc.Server.ModelRoot)
	}
	if err := folder.WriteJSON(record.VerifyFile, doc); err != nil {
		return err
	}
	if o.json {
		return a.printJSON(doc)
	}
	if err := report.TextVerify(a.Out, &doc, a.columns(), a.stdout.Live); err != nil || doc.Server == nil {
		return err
	}
	_, err = fmt.Fprintf(a.Out, "\nNext: %s\n", command(append([]string{"run"}, where(doc.BaseURL, folder.Dir())...)...))
	return err
}

// modelOf is the catalogue's model behind what a server has loaded.
func modelOf(info record.Server) (catalog.Model, bool) {
	for _, name := range []string{info.ModelRoot, info.ServedModel} {
		if m, _, ok := catalog.GuessModel(name); ok {
			return m, true
		}
	}
	return catalog.Model{}, false
}
