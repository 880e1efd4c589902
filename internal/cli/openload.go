package cli

import (
	"math"
	"time"

	"bench/internal/record"
	"bench/internal/runner"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// arrivalFlags describe an open load, under the names of vLLM's bench serve.
type arrivalFlags struct {
	rate, burstiness float64
	prompts          int
	duration         time.Duration
	most             int
	ramp             string
	from, to         float64
}

func (f *arrivalFlags) register(fs *pflag.FlagSet) {
	fs.Float64Var(&f.rate, "request-rate", 0, "open load: requests a second, sent when due whatever the server answers")
	fs.Float64Var(&f.burstiness, "burstiness", 1, "of the gaps: 1 Poisson, below 1 burstier, above 1 more even (gamma), inf evenly spaced")
	fs.IntVar(&f.prompts, "num-prompts", 0, "requests of each repeat of an open load")
	fs.DurationVar(&f.duration, "duration", 0, "as many requests as --request-rate brings in that time on average, instead of --num-prompts")
	fs.IntVar(&f.most, "max-concurrency", 0, "most requests in flight of an open load: those beyond it are held back, and told (0: no bound)")
	fs.StringVar(&f.ramp, "ramp-up-strategy", "", "open load whose rate changes from the first request to the last: linear or exponential")
	fs.Float64Var(&f.from, "ramp-up-start-rps", 0, "requests a second at the start of the ramp")
	fs.Float64Var(&f.to, "ramp-up-end-rps", 0, "requests a second at its end")
}

// openTest is the test of an open load; nil where none was asked for.
func (f *loadFlags) openTest(c *cobra.Command) ([]record.Test, error) {
	a, fs := &f.arrivals, c.Flags()
	given := func(names ...string) string {
		for _, name := range names {
			if flag := fs.Lookup(name); flag != nil && flag.Changed {
				return name
			}
		}
		return ""
	}
	if given("request-rate", "ramp-up-strategy") == "" {
		if name := given("burstiness", "num-prompts", "duration", "max-concurrency", "ramp-up-start-rps", "ramp-up-end-rps"); name != "" {
			return nil, usagef("--%s is of an open load: give it a rate with --request-rate or --ramp-up-strategy", name)
		}
		return nil, nil
	}
	if name := given("concurrent", "requests", "matrix", "find-limit"); name != "" {
		return nil, usagef("--%s is of a load that holds a number of requests in flight: it cannot stand beside a rate", name)
	}
	arrivals := record.Arrivals{RequestRate: a.rate, Burstiness: &a.burstiness}
	if math.IsInf(a.burstiness, 1) {
		arrivals.Burstiness = nil
	}
	if a.ramp != "" {
		if name := given("request-rate", "duration"); name != "" {
			return nil, usagef("--%s and --ramp-up-strategy exclude each other: a ramp has --ramp-up-start-rps, --ramp-up-end-rps and --num-prompts", name)
		}
		arrivals.RampUpStrategy, arrivals.RampUpStartRPS, arrivals.RampUpEndRPS = a.ramp, a.from, a.to
	} else if name := given("ramp-up-start-rps", "ramp-up-end-rps"); name != "" {
		return nil, usagef("--%s needs --ramp-up-strategy", name)
	}
	n := a.prompts
	switch {
	case given("request-rate") != "" && !(a.rate > 0):
		return nil, usagef("--request-rate %v: want requests a second, above zero", a.rate)
	case given("num-prompts") != "" && given("duration") != "":
		return nil, usagef("--num-prompts and --duration exclude each other")
	case given("duration") != "":
		n = int(math.Round(min(a.rate*a.duration.Seconds(), math.MaxInt32)))
	case given("num-prompts") == "":
		return nil, usagef("how many requests? give --num-prompts, or --duration")
	}
	t := f.shaped(runner.OpenTest(arrivals, f.shape(), f.runs, n, a.most))
	if err := runner.CheckTest(t); err != nil {
		return nil, usageError{err}
	}
	return []record.Test{t}, nil
}
