package cli

import (
	"context"
	"errors"
	"fmt"
	"net"

	"bench/internal/sim"

	"github.com/spf13/cobra"
)

func (a *app) simulateCommand() *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:   "simulate [SETTINGS]",
		Short: "Serve the embedded vLLM simulator on a port, for any client",
		Long: `simulate serves the embedded simulator over HTTP in real time: the same server that
--base-url sim: runs in-process on virtual time. Ctrl-C ends it.

SETTINGS are those of sim:, with commas between them. Those from start-after on
make things go wrong:

` + sim.SettingsHelp(),
		Example: `  bench simulate --listen 127.0.0.1:8000
  bench simulate gpu=a100-80gb,quant=none,max-num-seqs=64
  bench simulate die-at=8,return=30s,stall=0.05
  bench stress --base-url sim:oom-at=16,return=40s --wait-return 5m`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			settings := "sim:"
			if len(args) == 1 {
				settings += args[0]
			}
			cfg, err := sim.ParseTarget(settings)
			if err != nil {
				return usageError{err}
			}
			return a.simulate(c.Context(), cfg, listen)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8000", "address to serve on")
	return c
}

func (a *app) simulate(ctx context.Context, cfg sim.Config, listen string) error {
	simulator, err := sim.New(cfg)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("--listen: %w; name another address", err)
	}
	simulator.Start()
	fmt.Fprintf(a.Out, "simulated vLLM %s with %s on %s at http://%s (Ctrl-C ends it)\n", cfg.Engine.Version, cfg.Model.ID, cfg.GPU.Name, l.Addr())
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
