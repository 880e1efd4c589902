package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"bench/internal/schema"

	"github.com/spf13/cobra"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [NAME]",
		Short: "Print the JSON Schema of a file that bench writes; without a name, list them",
		Long: `schema describes every file that bench writes as JSON Schema (draft 2020-12), made from the
types the program encodes. For a file of lines it describes one line. A row of a CSV file is
described as an object with its cells under the names of their columns.`,
		Example: `  bench schema
  bench schema record`,
		Args: words(0, 1, "the name of one file"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listSchemas()
			}
			d, err := schema.Find(args[0])
			if err != nil {
				return usageError{err}
			}
			return a.printJSON(d.Schema())
		},
	}
}

func (a *app) listSchemas() error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, d := range schema.Documents() {
		fmt.Fprintf(w, "%s\t%s\n", d.Name, d.Files)
	}
	w.Flush()
	_, err := fmt.Fprint(a.Out, b.String())
	return err
}
