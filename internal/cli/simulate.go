package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"bench/internal/sim"

	"github.com/spf13/cobra"
)

func (a *app) simulateCommand() *cobra.Command {
	var listen, requestLog string
	c := &cobra.Command{
		Use:   "simulate [SETTINGS]",
		Short: "Serve the embedded vLLM simulator on a port, for any client",
		Long: `simulate serves the embedded simulator over HTTP in real time: the same server that
--base-url sim: runs in-process on virtual time. Ctrl-C ends it.

SETTINGS are those of sim:, with commas between them. Those from start-after on
make things go wrong:

` + sim.SettingsHelp() + `
--request-log writes a line of JSON for each request for text when it has ended, to
judge other load generators by:

  schema                        ` + sim.SchemaLog + `
  id, path, stream, status      of the answer
  arrived_ns                    the whole request was read
  scheduled_ns                  the engine first computed on it
  first_write_ns, last_write_ns the write of its first, its last token began; without
                                streaming both are the write of the answer
  ended_ns                      nothing more is sent
  prompt_tokens, cached_tokens  the prompt, and how much of it the prefix cache had
  output_tokens, token_writes   tokens sent, and in how many writes
  preemptions, finish_reason    of the request
  outcome                       whole, refused, client_gone, engine_died, fault

Stamps are Unix nanoseconds of a clock that never jumps, null where something did not
happen. A client can see no token before the write of it began: a time to first token
below first_write_ns - arrived_ns is wrong.`,
		Example: `  bench simulate --listen 127.0.0.1:8000
  bench simulate gpu=a100-80gb,quant=none,max-num-seqs=64
  bench simulate --request-log - max-num-seqs=8 >truth.jsonl
  bench simulate die-at=8,return=30s,stall=0.05
  bench stress --base-url sim:oom-at=16,return=40s --wait-return 5m`,
		Args: words(0, 1, "settings in one word, with commas between them"),
		RunE: func(c *cobra.Command, args []string) error {
			settings := "sim:"
			if len(args) == 1 {
				settings += args[0]
			}
			cfg, err := sim.ParseTarget(settings)
			if err != nil {
				return usageError{err}
			}
			return a.simulate(c.Context(), cfg, listen, requestLog)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8000", "address to serve on")
	c.Flags().StringVar(&requestLog, "request-log", "", "file that gets a line of JSON a request, appended; - for stdout")
	return c
}

func (a *app) simulate(ctx context.Context, cfg sim.Config, listen, requestLog string) (err error) {
	simulator, err := sim.New(cfg)
	if err != nil {
		return err
	}
	said := a.Out
	switch requestLog {
	case "":
	case "-":
		simulator.LogRequests(a.Out)
		said = a.Err // stdout is the log's
	default:
		file, err := os.OpenFile(requestLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
		if err != nil {
			return fmt.Errorf("--request-log: %w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		simulator.LogRequests(file)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("--listen: %w; name another address", err)
	}
	simulator.Start()
	fmt.Fprintf(said, "simulated vLLM %s with %s on %s at http://%s (Ctrl-C ends it)\n", cfg.Engine.Version, cfg.Model.ID, cfg.GPU.Name, l.Addr())
	served := make(chan error, 1)
	go func() { served <- simulator.Serve(l) }()
	select {
	case err = <-served:
		return errors.Join(fmt.Errorf("serving on %s: %w", listen, err), simulator.Close())
	case <-ctx.Done():
	}
	err = simulator.Close()
	<-served
	return err
}
