package cli

import (
	"bench/internal/record"
	"bench/internal/runner"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// workloadFlags say what requests are beyond one length for all, under the names of vLLM's bench serve.
type workloadFlags struct {
	rangeRatio float64
	prefixLen  int
}

func (f *workloadFlags) register(fs *pflag.FlagSet) {
	fs.Float64Var(&f.rangeRatio, "random-range-ratio", 0, "draw each length evenly from (1-ratio) to (1+ratio) times --input-tokens, --output-tokens")
	fs.IntVar(&f.prefixLen, "random-prefix-len", 0, "tokens before --input-tokens that all prompts of a test share, for the prefix cache to find")
}

// check refuses workload flags where the tests are those of a matrix.
func (f *workloadFlags) check(c *cobra.Command, matrix bool) error {
	for _, name := range []string{"random-range-ratio", "random-prefix-len"} {
		if flag := c.Flags().Lookup(name); matrix && flag != nil && flag.Changed {
			return usagef("--%s needs --concurrent, --request-rate or an objective: the matrix has one length for all requests of a test", name)
		}
	}
	return nil
}

// workload is what was asked for; empty where each request has the lengths of its test.
func (f *workloadFlags) workload() record.Workload {
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
