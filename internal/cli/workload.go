package cli

import (
	"time"

	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/runner"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// workloadFlags say what requests are beyond one length for all, under the names of vLLM's bench serve.
type workloadFlags struct {
	rangeRatio float64
	prefixLen  int
	dataset    string
	path       string
	skip       bool
	multiplier float64
	chunk      int

	samples []runner.Sample // of the dataset, counted by the server
	due     []time.Duration // of a trace: when each of them is sent
	of      record.Workload // what is known of the dataset by then
}

func (f *workloadFlags) register(fs *pflag.FlagSet) {
	fs.Float64Var(&f.rangeRatio, "random-range-ratio", 0, "draw each length evenly from (1-ratio) to (1+ratio) times --input-tokens, --output-tokens")
	fs.IntVar(&f.prefixLen, "random-prefix-len", 0, "tokens before --input-tokens that all prompts of a test share, for the prefix cache to find")
	fs.StringVar(&f.dataset, "dataset-name", "", "take requests from --dataset-path: sharegpt (JSON), custom (JSONL with prompt, or OpenAI's messages); mooncake (JSONL) and azure (CSV) are traces, sent as they were")
	fs.StringVar(&f.path, "dataset-path", "", "the file of --dataset-name")
	fs.Float64Var(&f.multiplier, "timed-trace-sec-multiplier", 0, "seconds for each unit of a trace's stamps (mooncake 0.001, azure 1): half of that is twice as fast")
	fs.IntVar(&f.chunk, "timed-trace-chunk-hash-size", 0, "tokens of a block that a hash id of a trace stands for (mooncake 512)")
	fs.BoolVar(&f.skip, "skip-bad-lines", false, "leave out what is no request, or too long for the server, and say so")
}

// check refuses workload flags that do not go with the tests or each other.
func (f *workloadFlags) check(c *cobra.Command, matrix bool) error {
	given := func(names ...string) string { return givenFlag(c, names...) }
	if name := given("random-range-ratio", "random-prefix-len", "dataset-name", "dataset-path", "skip-bad-lines"); matrix && name != "" {
		return usagef("--%s needs --concurrent, --request-rate or an objective: the matrix has one length for all requests of a test", name)
	}
	if err := f.checkTrace(given("timed-trace-sec-multiplier", "timed-trace-chunk-hash-size")); err != nil {
		return err
	}
	if (f.dataset == "") != (f.path == "") {
		return usagef("--dataset-name and --dataset-path need each other")
	}
	if f.dataset == "" {
		if f.skip {
			return usagef("--skip-bad-lines needs --dataset-name")
		}
		return nil
	}
	if f.dataset != load.ShareGPT && f.dataset != load.Custom && !load.IsTrace(f.dataset) {
		return usagef("--dataset-name %q: want %s, %s, %s or %s", f.dataset, load.ShareGPT, load.Custom, load.Mooncake, load.Azure)
	}
	if name := given("output-tokens"); name != "" && load.IsTrace(f.dataset) {
		return usagef("--%s: the answers of a trace have lengths of their own", name)
	}
	if name := given("random-range-ratio", "random-prefix-len", "input-tokens"); name != "" {
		return usagef("--%s is of random prompts: those of a dataset have lengths of their own", name)
	}
	return nil
}

// workload is what was asked for; empty where each request has the lengths of its test.
func (f *workloadFlags) workload() record.Workload {
	if f.dataset != "" {
		return f.of
	}
	return record.Workload{RangeRatio: f.rangeRatio, PrefixTokens: f.prefixLen}
}

// shape is that of the requests: the shared prefix stands before the input.
func (f *loadFlags) shape() runner.Shape {
	return runner.Shape{InputTokens: f.input + f.workload.prefixLen, OutputTokens: f.output}
}

// shaped is a test with the workload asked for.
func (f *loadFlags) shaped(t record.Test) record.Test {
	return runner.WithWorkload(t, f.workload.workload())
}
