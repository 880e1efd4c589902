package cli

import (
	"context"
	"errors"
	"time"

	"bench/internal/clock"
	"bench/internal/gpu"
	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/runner"
	"bench/internal/sim"
	"bench/internal/vllm"
)

// server is the server under test with the GPUs it runs on.
type server struct {
	client     *vllm.Client
	clock      *clock.Clock
	info       record.Server
	gpuInfo    []record.GPUInfo
	source     gpu.Source     // of this machine's GPUs; nil where none is read
	gpus       runner.Sampler // nil where none is readable
	gpuNote    string         // why not, or which were chosen, said once
	simulation *record.Simulation
}

// connection is how to reach a server: flags, and what the command adds to them.
type connection struct {
	flags     *serverFlags
	telemetry string
	gpuIndex  []int
	offset    time.Duration // what the run's clock shows at the start
}

// withServer reaches the server, or starts the simulator on virtual time, and calls f. The context f
// gets is the only one it may use: in virtual time the caller's own may not cross.
func (a *app) withServer(ctx context.Context, c connection, f func(context.Context, *server) error) error {
	if c.flags.simulated() {
		return a.withSimulator(c, f)
	}
	key, err := c.flags.key(a.env)
	if err != nil {
		return err
	}
	s := &server{clock: clock.New(c.offset)}
	s.client, err = vllm.New(vllm.Options{BaseURL: c.flags.baseURL, APIKey: key, Model: c.flags.served, Timeout: c.flags.timeout, Clock: s.clock})
	if err != nil {
		return usageError{err}
	}
	defer s.client.Close()
	defer s.closeGPUs()
	if err := s.openGPUs(ctx, c); err != nil {
		return err
	}
	if err := a.await(ctx, c.flags, s); err != nil {
		return err
	}
	if err := s.chooseGPUs(ctx, c); err != nil {
		return err
	}
	return f(ctx, s)
}

// await waits for a loading server, if asked, and learns what it tells about itself.
func (a *app) await(ctx context.Context, f *serverFlags, s *server) error {
	if f.wait > 0 {
		said := time.Duration(-1)
		err := s.client.Wait(ctx, f.wait, func(elapsed time.Duration, last error) {
			if said < 0 || elapsed-said >= 10*time.Second {
				said = elapsed
				a.status("waiting for %s: %.0f s of %.0f s (%s)", f.baseURL, elapsed.Seconds(), f.wait.Seconds(), oneLine(last))
			}
		})
		if err != nil {
			return advise(f.baseURL, err)
		}
	}
	info, err := s.client.Server(ctx)
	if err != nil {
		return advise(f.baseURL, err)
	}
	s.info = info
	return nil
}

// withSimulator runs f against the embedded simulator: on virtual time where the Go version allows
// it, else in real time.
func (a *app) withSimulator(c connection, f func(context.Context, *server) error) error {
	cfg, err := sim.ParseTarget(c.flags.baseURL)
	if err != nil {
		return usageError{err}
	}
	virtual := true
	body := func() {
		a.virtual.Store(virtual)
		defer a.virtual.Store(false)
		err = a.simulated(cfg, c, virtual, f)
	}
	if !sim.InVirtualTime(body) {
		virtual = false
		body()
	}
	return err
}

func (a *app) simulated(cfg sim.Config, c connection, virtual bool, f func(context.Context, *server) error) (err error) {
	simulator, err := sim.New(cfg)
	if err != nil {
		return err
	}
	simulator.Start()
	defer func() { err = errors.Join(err, simulator.Close()) }()
	s := &server{clock: clock.New(c.offset), gpuInfo: simulator.GPUs(), gpus: simulatedGPUs{simulator}}
	s.simulation = &record.Simulation{GPU: cfg.GPU.Name, Model: cfg.Model.ID, Quant: cfg.Engine.Quantization, VirtualTime: virtual}
	s.client, err = vllm.New(vllm.Options{BaseURL: "http://simulator", Model: c.flags.served, Timeout: c.flags.timeout, Clock: s.clock, Dial: simulator.Dial})
	if err != nil {
		return err
	}
	defer s.client.Close()
	if err = a.await(context.Background(), c.flags, s); err != nil {
		return err
	}
	s.info.BaseURL, s.info.Simulated = c.flags.baseURL, true
	return f(context.Background(), s)
}

// target is the server as the runner wants it.
type target struct {
	client      *vllm.Client
	endpoint    string
	temperature float64
	anyLength   bool // the server ends answers when it likes
}

func (t target) Open(ctx context.Context, n int) error { return t.client.Open(ctx, n) }
func (t target) Alive(ctx context.Context) error       { return t.client.Health(ctx) }
func (t target) Scrape(ctx context.Context) (record.ServerSample, error) {
	return t.client.Metrics(ctx)
}

func (t target) Prepare(p runner.Prompt) (runner.Send, error) {
	// An answer that may call tools ends when the model has called them.
	prepared, err := t.client.Prepare(vllm.Generate{Endpoint: t.endpoint, Prompt: p.Text, Messages: turns(p.Messages), PromptIDs: p.IDs, Images: p.Images,
		Tools: p.Tools, ToolChoice: p.ToolChoice, Model: p.Adapter, AskedPromptTokens: p.Tokens,
		MaxTokens: p.OutputTokens, Temperature: t.temperature, IgnoreEOS: p.Tools == nil, AnyLength: t.anyLength, CacheSalt: p.Salt})
	if err != nil {
		return nil, err
	}
	if p.Answer != nil {
		return func(ctx context.Context) record.Request {
			r, text := t.client.SendText(ctx, prepared)
			*p.Answer = text
			return r
		}, nil
	}
	return func(ctx context.Context) record.Request { return t.client.Send(ctx, prepared) }, nil
}

func turns(messages []load.Message) []vllm.Message {
	var out []vllm.Message
	for _, m := range messages {
		out = append(out, vllm.Message(m))
	}
	return out
}

// counter counts prompt tokens the way the server does.
type counter struct {
	count    func(ctx context.Context, endpoint, prompt string) (int, error)
	endpoint string
}

func (c counter) CountTokens(ctx context.Context, prompt string) (int, error) {
	return c.count(ctx, c.endpoint, prompt)
}

// prompts learns how to make prompts of exact length for this server.
func (s *server) prompts(ctx context.Context, endpoint string, seed int64, nonce string) (*load.Prompts, error) {
	if s.info.HasTokenize {
		return load.NewPrompts(ctx, counter{s.client.CountTokens, endpoint}, seed, load.Options{Nonce: nonce})
	}
	return load.NewPrompts(ctx, counter{s.client.ProbeTokens, endpoint}, seed, load.Options{Nonce: nonce, CostlyCounts: true})
}
