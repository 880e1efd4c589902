package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// topicKey is the annotation that says what a flag belongs to.
const topicKey = "topic"

// topic puts the flags that are registered until the returned function is called under a heading of the help.
func topic(fs *pflag.FlagSet, title string) func() {
	fs.SortFlags = false // as they were registered: what belongs together stands together
	return func() {
		fs.VisitAll(func(f *pflag.Flag) {
			if f.Annotations[topicKey] == nil {
				f.Annotations = map[string][]string{topicKey: {title}}
			}
		})
	}
}

// usage is the part of the help that follows the description: it is cobra's, with flags under headings.
func (a *app) usage(c *cobra.Command) error {
	var b strings.Builder
	b.WriteString("Usage:")
	if c.Runnable() {
		fmt.Fprintf(&b, "\n  %s", c.UseLine())
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n  %s [command]", c.CommandPath())
	}
	b.WriteString("\n")
	if c.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", c.Example)
	}
	if c.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() || sub.Name() == "help" {
				fmt.Fprintf(&b, "  %-*s %s\n", sub.NamePadding(), sub.Name(), sub.Short)
			}
		}
	}
	for _, part := range topics(c.LocalFlags()) {
		fmt.Fprintf(&b, "\n%s:\n%s", part.title, part.flags.FlagUsagesWrapped(a.columns()))
	}
	if c.HasAvailableInheritedFlags() {
		fmt.Fprintf(&b, "\nGlobal flags:\n%s", c.InheritedFlags().FlagUsagesWrapped(a.columns()))
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n`%s COMMAND --help` says more of a command.\n", c.CommandPath())
	}
	_, err := io.WriteString(c.OutOrStdout(), b.String())
	return err
}

type flagTopic struct {
	title string
	flags *pflag.FlagSet
}

// topics are the flags by heading, in the order of registration; those without one come last.
func topics(fs *pflag.FlagSet) []flagTopic {
	var out []flagTopic
	others := flagTopic{"Flags", pflag.NewFlagSet("", pflag.ContinueOnError)}
	fs.VisitAll(func(f *pflag.Flag) {
		title := f.Annotations[topicKey]
		if len(title) == 0 {
			others.flags.AddFlag(f)
			return
		}
		i := 0
		for i < len(out) && out[i].title != title[0] {
			i++
		}
		if i == len(out) {
			out = append(out, flagTopic{title[0], pflag.NewFlagSet("", pflag.ContinueOnError)})
			out[i].flags.SortFlags = false
		}
		out[i].flags.AddFlag(f)
	})
	if len(out) > 0 {
		others.title = "Other flags"
	}
	if others.flags.HasAvailableFlags() {
		out = append(out, others)
	}
	return out
}
