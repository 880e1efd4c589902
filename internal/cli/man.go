package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manCommand writes the manual pages that a release is packed with. It is not shown: who has the program has --help.
func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the manual pages into a folder",
		Example: "  bench man man1",
		Hidden:  true,
		Args:    words(1, 1, "a folder"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("manual pages: %w", err)
			}
			pages := []*cobra.Command{c.Root()}
			for _, sub := range c.Root().Commands() {
				if sub.IsAvailableCommand() && sub.Name() != "completion" {
					pages = append(pages, sub)
				}
			}
			for _, page := range pages {
				name := filepath.Join(args[0], strings.ReplaceAll(page.CommandPath(), " ", "-")+".1")
				if err := os.WriteFile(name, []byte(manPage(page)), 0o644); err != nil {
					return fmt.Errorf("manual pages: %w", err)
				}
			}
			return nil
		},
	}
}

// manPage is a command's help in the macros of man(7).
func manPage(c *cobra.Command) string {
	var b strings.Builder
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	fmt.Fprintf(&b, ".TH %q 1 \"\" %q \"bench\"\n", strings.ToUpper(name), "bench "+version())
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(c.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(c.UseLine()))
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s", literal(c.Long))
	if c.HasAvailableSubCommands() {
		b.WriteString(".SH COMMANDS\n")
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(sub.Name()), roff(sub.Short))
			}
		}
	}
	if c.HasAvailableLocalFlags() {
		b.WriteString(".SH OPTIONS\n")
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			kind, usage := pflag.UnquoteUsage(f)
			if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" && f.DefValue != "[]" {
				usage += " (default " + f.DefValue + ")"
			}
			fmt.Fprintf(&b, ".TP\n.BI \\-\\-%s \" %s\"\n%s\n", roff(f.Name), roff(kind), roff(usage))
		})
	}
	if c.HasExample() {
		fmt.Fprintf(&b, ".SH EXAMPLES\n%s", literal(c.Example))
	}
	b.WriteString(".SH EXIT STATUS\n0 done (a limit that was found is a result), 1 failure, 2 usage, 3 the answer is no, 130 interrupted.\n")
	if c.HasParent() {
		b.WriteString(".SH SEE ALSO\n.BR bench (1)\n")
	}
	return b.String()
}

// literal keeps the line breaks and the indentation of a text.
func literal(s string) string {
	return ".nf\n" + roff(strings.Trim(s, "\n")) + "\n.fi\n"
}

// roff escapes what roff would read as its own.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
