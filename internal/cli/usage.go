package cli

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"bench/internal/catalog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError says what is wrong with a flag, in the words of the person who typed it.
func flagError(c *cobra.Command, err error) error {
	see := "see `" + c.CommandPath() + " --help`"
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return usagef("--%s %w; %s", invalid.GetFlag().Name, wrongValue(invalid), see)
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return usagef("--%s needs a value; %s", missing.GetSpecifiedName(), see)
	}
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	switch {
	case !ok:
		return usagef("%w; %s", err, see)
	case unknown.GetSpecifiedShortnames() != "":
		return usagef("unknown flag: -%s: flags have two dashes and their whole name; %s", unknown.GetSpecifiedName(), see)
	}
	if near := nearestFlag(c, unknown.GetSpecifiedName()); near != "" {
		see = "did you mean --" + near + "?"
	}
	return usagef("unknown flag: --%s; %s", unknown.GetSpecifiedName(), see)
}

// wrongValue says of what kind a flag's value is, in the place of what a parser says.
func wrongValue(e *pflag.InvalidValueError) error {
	wants := map[string]string{"int": "a whole number", "int64": "a whole number", "float64": "a number", "bool": "true or false",
		"duration": "a time with its unit, such as 30s or 5m", "intSlice": "whole numbers with commas between them"}
	want, ok := wants[e.GetFlag().Value.Type()]
	switch {
	case !ok:
		return fmt.Errorf("%q: %w", e.GetValue(), e.Unwrap())
	case errors.Is(e, strconv.ErrRange):
		want += fmt.Sprintf(" up to %d", math.MaxInt)
	}
	return fmt.Errorf("%q: want %s", e.GetValue(), want)
}

// nearestFlag is the flag that a mistyped name may mean, "" where none is near: two letters off, or the beginning of one
// alone.
func nearestFlag(c *cobra.Command, name string) string {
	var best string
	least := 3
	var begun []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if d, _ := catalog.EditDistance(name, f.Name); d < least && !f.Hidden {
			best, least = f.Name, d
		}
		if strings.HasPrefix(f.Name, name) {
			begun = append(begun, f.Name)
		}
	})
	if best == "" && len(begun) == 1 {
		best = begun[0]
	}
	return best
}

// words are how many a command takes beside its flags, and what they are.
func words(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		see := "see `" + c.CommandPath() + " --help`"
		switch {
		case len(args) < least:
			return usagef("%s needs %s; %s", c.CommandPath(), what, see)
		case len(args) <= most:
			return nil
		}
		extra := args[most]
		if f := c.Flags().Lookup(extra); f != nil {
			see = "did you mean --" + extra + "?"
		}
		return usagef("%s does not take %q%s; %s", c.CommandPath(), extra, orOnly(what), see)
	}
}

// noWords is of a command that takes none.
func noWords() cobra.PositionalArgs { return words(0, 0, "") }

func orOnly(what string) string {
	if what == "" {
		return ""
	}
	return ": only " + what
}

// knownShells are what completion is there for.
var knownShells = [...]string{"bash", "zsh", "fish", "powershell"}

// strictHelpers makes the commands that come with the library answer a wrong word as all others do.
func strictHelpers(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "completion":
			c.Args = func(_ *cobra.Command, args []string) error {
				if len(args) > 0 && !slices.Contains(knownShells[:], args[0]) {
					return usagef("no completion for %q: there is %s", args[0], strings.Join(knownShells[:], ", "))
				}
				return nil
			}
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		case "help":
			c.Args = func(c *cobra.Command, args []string) error {
				if found, rest, err := root.Find(args); err != nil || found == root && len(rest) > 0 {
					return root.Args(root, args)
				}
				return nil
			}
		}
	}
}
