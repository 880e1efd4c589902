// Package cli owns the commands: it reads flags, joins the runner with a server and a GPU source, and
// turns outcomes into text and exit codes. It measures, judges and draws nothing itself.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"bench/internal/display"
	"bench/internal/runner"
	"bench/internal/term"

	"github.com/spf13/cobra"
)

// Exit codes, the same for every command.
const (
	exitDone        = 0   // also when a limit was found: that is a result
	exitFailure     = 1   // it could not be done
	exitUsage       = 2   // it was asked for wrongly
	exitNegative    = 3   // the answer is no: claimed set-up impossible, demand fits nowhere
	exitInterrupted = 130 // stopped by the user
)

// Streams are the program's three streams.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// usageError is an error of the person who typed the command.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errNegative ends a command whose answer is no; the answer itself is on stdout.
var errNegative = errors.New("negative verdict")

// app is one call of the program.
type app struct {
	Streams
	env       func(string) string
	started   time.Time // wall time; taken here because virtual time begins elsewhere
	args      []string
	stdout    term.Screen
	stderr    term.Screen
	control   runner.Control
	running   atomic.Bool    // the runner listens to control: an interrupt drains it first
	virtual   atomic.Bool    // in virtual time, where no cancellation reaches
	resumable atomic.Bool    // results are being recorded that --resume goes on with
	pressed   chan os.Signal // the interrupt key, where the terminal makes no signal of it

	showing  sync.Mutex
	progress term.Progress // what is on the screen while tests run, else nil
}

// Main runs one command and returns its exit code. Signals beyond the second end the process at once.
func Main(args []string, s Streams, env func(string) string, signals <-chan os.Signal) int {
	a := &app{Streams: s, env: env, started: time.Now(), args: args, stdout: term.NewScreen(s.Out, env), stderr: term.NewScreen(s.Err, env),
		pressed: make(chan os.Signal, 4)}
	defer a.unwatch() // also when a command breaks down: a terminal in raw mode would be left behind
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go a.handle(ctx, signals, cancel) // ends with ctx

	root := a.root()
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if err != nil && errors.Is(context.Cause(ctx), runner.ErrInterrupted) {
		err = runner.ErrInterrupted
	}
	return a.exit(err)
}

// handle turns signals into wishes: the first drains a running test or cancels anything else, the
// second cancels, the third ends the process.
func (a *app) handle(ctx context.Context, signals <-chan os.Signal, cancel context.CancelCauseFunc) {
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			if n < 3 && errors.Is(context.Cause(ctx), runner.ErrInterrupted) {
				ctx = context.Background() // wait for the signal that ends it all
				continue
			}
			return
		case <-signals:
		case <-a.pressed:
		}
		a.control.Interrupt()
		switch {
		case n >= 3, a.virtual.Load() && !a.running.Load():
			a.unwatch()
			os.Exit(exitInterrupted)
		case n == 1 && a.running.Load():
			a.status("interrupted: waiting for the requests in flight; once more stops at once")
		default:
			cancel(runner.ErrInterrupted)
		}
	}
}

// exit prints an error once and maps it to the exit code.
func (a *app) exit(err error) int {
	if err == nil {
		return exitDone
	}
	if errors.Is(err, errNegative) {
		return exitNegative
	}
	if errors.Is(err, runner.ErrInterrupted) {
		if a.resumable.Load() {
			fmt.Fprintf(a.Err, "bench: interrupted; what had ended is on disk. Next: %s\n", resumeCommand(a.args))
		} else {
			fmt.Fprintln(a.Err, "bench: interrupted")
		}
		return exitInterrupted
	}
	fmt.Fprintln(a.Err, a.stderr.Fold("bench: "+display.Clean(oneLine(err))))
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}

// oneLine keeps an error on one line whatever is in it.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "bench",
		Short: "How many requests at once can this GPU take, what stops it, and which GPUs carry more",
		Long: `bench measures a vLLM server: how many requests at once it can take, what stops
it, and which GPUs a demand needs. It works without internet, Python or a GPU.

  bench run                                measure the server on port 8000, one report
  bench run --base-url sim:                the same on the embedded simulator, in seconds
  bench size --model google/gemma-3-12b-it which GPUs for 50 requests at once`,
		Example:       "  bench run --base-url http://localhost:8000 --out results",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(a.Out, firstWords)
			return err
		},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetUsageFunc(a.usage)
	root.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := "see `bench --help`"
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "did you mean `bench " + near[0] + "`?"
		}
		return usagef("unknown command %q; %s", args[0], hint)
	}
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(a.verifyCommand(), a.baselineCommand(), a.stressCommand(), a.analyzeCommand(), a.sizeCommand(),
		a.runCommand(), a.simulateCommand(), a.compareCommand(), a.mergeCommand(), a.exportCommand(), a.schemaCommand(), a.versionCommand(), a.manCommand(), a.guardCommand())
	for _, c := range root.Commands() {
		completeFlags(c)
		if c.Name() != "export" { // its --out is a file; BENCH_OUT names a folder
			c.PreRunE = a.fromEnvironment
		}
	}
	strictHelpers(root)
	return root
}

// guardCommand is what a view starts beside itself.
func (a *app) guardCommand() *cobra.Command {
	return &cobra.Command{
		Use:    term.GuardCommand,
		Short:  "Put the terminal back when the program breaks down",
		Hidden: true,
		Args:   noWords(),
		RunE: func(*cobra.Command, []string) error {
			return term.Guard(a.In, a.Out, os.NewFile(3, "terminal"), os.NewFile(4, "ready"))
		},
	}
}

// firstWords are what people come for.
const firstWords = `bench measures a vLLM server. It needs no internet, no Python and no GPU of its own.

How many requests at once can my server take, and what stops it?
    bench run                      the server on port 8000: some ten minutes, one report
    bench run --base-url sim:      the same on the embedded simulator, in seconds

Which GPUs carry 50 requests at once?
    bench size --model google/gemma-3-12b-it --concurrent 50 --context 4096

Can the set-up I was promised work at all?
    bench verify --model google/gemma-3-12b-it --dtype half --gpu rtx-3090

bench --help lists all commands; bench COMMAND --help has examples of each.
`

// status prints a line about what is being done; it goes to stderr so that data stays clean.
func (a *app) status(format string, args ...any) {
	a.showing.Lock()
	defer a.showing.Unlock()
	if a.progress != nil {
		a.progress.Line(format, args...)
		return
	}
	fmt.Fprintln(a.Err, a.stderr.Fold(display.Clean(fmt.Sprintf(format, args...))))
}

// columns is how wide tables may be: what the terminal has, up to what they were made for.
func (a *app) columns() int { return min(a.stdout.Width(), term.PlainWidth) }
