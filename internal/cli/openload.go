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
	rates      []float64
	burstiness float64
	prompts    int
	duration   time.Duration
	most       int
	ramp       string
	from, to   float64
	find       bool
	probe      float64
}

func (f *arrivalFlags) register(fs *pflag.FlagSet) {
	defer topic(fs, "Open load")()
	fs.Float64SliceVar(&f.rates, "request-rate", nil, "open load: `requests` a second, sent when due whatever the server answers; several (1,2,4) are a test each")
	fs.Lookup("request-rate").DefValue = "" // not "[]"
	fs.Float64Var(&f.burstiness, "burstiness", 1, "of the gaps: 1 Poisson, below 1 burstier, above 1 more even (gamma), inf evenly spaced")
	fs.IntVar(&f.prompts, "num-prompts", 0, "requests of each repeat of an open load")
	fs.DurationVar(&f.duration, "duration", 0, "as many requests as --request-rate brings in that time on average, or as a trace has in it, instead of --num-prompts")
	fs.IntVar(&f.most, "max-concurrency", 0, "most requests in flight of an open load: those beyond it are held back, and told (0: no bound)")
	fs.StringVar(&f.ramp, "ramp-up-strategy", "", "open load whose rate changes from the first request to the last: linear or exponential")
	fs.Float64Var(&f.from, "ramp-up-start-rps", 0, "requests a second at the start of the ramp")
	fs.Float64Var(&f.to, "ramp-up-end-rps", 0, "requests a second at its end")
	fs.Float64Var(&f.probe, "probe-request-rate", 0, "send small requests of 64 and 16 tokens beside the load, so many a second, as an interactive user; their times are kept apart")
	fs.BoolVar(&f.find, "find-rate", false, "find the largest rate at which --max-ttft, --max-tpot, --max-latency hold; begins at --request-rate, or what one request at a time shows")
}

// givenFlag is the first of the flags that was given; "" where none was.
func givenFlag(c *cobra.Command, names ...string) string {
	for _, name := range names {
		if flag := c.Flags().Lookup(name); flag != nil && flag.Changed {
			return name
		}
	}
	return ""
}

// probes are what is sent beside the load; nil for nothing.
func (f *arrivalFlags) probes() (*record.Probe, error) {
	if f.probe == 0 {
		return nil, nil
	}
	if !(f.probe >= 0.001 && f.probe <= 100) {
		return nil, usagef("--probe-request-rate %v: want 0.001 to 100", f.probe)
	}
	return new(runner.ProbeAt(f.probe)), nil
}

// law is that of the arrivals, but for their rate.
func (f *arrivalFlags) law() record.Arrivals {
	if math.IsInf(f.burstiness, 1) {
		return record.Arrivals{} // evenly spaced
	}
	return record.Arrivals{Burstiness: &f.burstiness}
}

// openTests are the tests of open loads, one a rate; nil where none was asked for.
func (f *loadFlags) openTests(c *cobra.Command) ([]record.Test, error) {
	a := &f.arrivals
	given := func(names ...string) string { return givenFlag(c, names...) }
	replay := f.replays(c)
	if given("request-rate", "ramp-up-strategy") == "" && !replay {
		if name := given("burstiness", "num-prompts", "duration", "max-concurrency", "ramp-up-start-rps", "ramp-up-end-rps"); name != "" {
			return nil, usagef("--%s is of an open load: give it a rate with --request-rate or --ramp-up-strategy", name)
		}
		return nil, nil
	}
	if name := given("concurrent", "requests", "matrix", "find-limit"); name != "" {
		return nil, usagef("--%s is of a load that holds a number of requests in flight: it cannot stand beside a rate", name)
	}
	if given("num-prompts") != "" && given("duration") != "" {
		return nil, usagef("--num-prompts and --duration exclude each other")
	}
	if replay {
		return f.traceTest(given("burstiness", "ramp-up-start-rps", "ramp-up-end-rps"))
	}
	law := a.law()
	rates := a.rates
	if a.ramp != "" {
		if name := given("request-rate", "duration"); name != "" {
			return nil, usagef("--%s and --ramp-up-strategy exclude each other: a ramp has --ramp-up-start-rps, --ramp-up-end-rps and --num-prompts", name)
		}
		law.RampUpStrategy, law.RampUpStartRPS, law.RampUpEndRPS = a.ramp, a.from, a.to
		rates = []float64{0}
	} else if name := given("ramp-up-start-rps", "ramp-up-end-rps"); name != "" {
		return nil, usagef("--%s needs --ramp-up-strategy", name)
	}
	if given("num-prompts", "duration") == "" {
		return nil, usagef("how many requests? give --num-prompts, or --duration")
	}
	var tests []record.Test
	for _, rate := range rates {
		if a.ramp == "" && !(rate > 0) {
			return nil, usagef("--request-rate %v: want requests a second, above zero", rate)
		}
		law.RequestRate = rate
		t := f.shaped(runner.OpenTest(law, f.shape(), f.runs, f.arrivals.requests(rate), a.most))
		if err := runner.CheckTest(t); err != nil {
			return nil, usageError{err}
		}
		for _, other := range tests {
			if other.ID == t.ID {
				return nil, usagef("--request-rate names %v twice", rate)
			}
		}
		tests = append(tests, t)
	}
	return tests, nil
}

// requests is how many requests a repeat has at a rate; 0 where neither a number nor a time was given.
func (f *arrivalFlags) requests(rate float64) int {
	if f.duration != 0 {
		return int(math.Round(min(rate*f.duration.Seconds(), math.MaxInt32)))
	}
	return f.prompts
}

// outlineRequests stand for those of a trace that was not read yet: enough for any number of shards.
const outlineRequests = 1000

// traceTest is the test that sends a trace's requests when it had them; before the trace was read, its outline.
func (f *loadFlags) traceTest(excluded string) ([]record.Test, error) {
	if excluded != "" {
		return nil, usagef("--%s is of a load that is sent at a rate: a trace has instants of its own", excluded)
	}
	w, times := &f.workload, record.TraceTimes{SecMultiplier: f.workload.secMultiplier()}
	n := len(w.due)
	if n > 0 {
		times.LengthS = w.due[n-1].Seconds()
	} else {
		n = outlineRequests
	}
	t := f.shaped(runner.OpenTest(record.Arrivals{Trace: &times}, f.shape(), f.runs, n, f.arrivals.most))
	if err := runner.CheckTest(t); err != nil {
		return nil, usageError{err}
	}
	return []record.Test{t}, nil
}
