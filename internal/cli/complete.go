package cli

import (
	"bench/internal/catalog"

	"github.com/spf13/cobra"
)

// completeFlags lets a shell complete the values of a command's flags that have a known set.
func completeFlags(c *cobra.Command) {
	words := map[string][]string{
		"model":         catalog.ModelIDs(),
		"lang":          {"en", "ko"},
		"gpu-telemetry": telemetryModes[:],
		"endpoint":      {"chat", "completions"},
		"load":          {"closed", "burst"},
		"format":        {"csv", "jsonl", "benchfmt", "prometheus"},
		"base-url":      {defaultURL, "sim:"},
	}
	for _, g := range catalog.GPUs() {
		words["gpu"] = append(words["gpu"], g.Slug)
	}
	for name, values := range words {
		if c.Flags().Lookup(name) != nil {
			// It fails for a flag that is not there or has completions already.
			_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
		}
	}
}
