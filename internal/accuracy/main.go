// Accuracy holds the model of "how big, how fast" against published start-ups and measurements, and
// writes what comes out: docs/accuracy.md, a page of residuals by class, and the bounds that predictions
// carry (internal/capacity/residuals.csv). Run it from the repository's root: go run ./internal/accuracy
package main

import (
	"fmt"
	"os"
)

const (
	pageFile      = "docs/accuracy.md"
	residualsFile = "internal/capacity/residuals.csv"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
}

func run() error {
	files, summary, err := evaluate()
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return fmt.Errorf("writing what was found: %w", err)
		}
	}
	fmt.Print(summary)
	fmt.Printf("\nwrote %s and %s\n", pageFile, residualsFile)
	return nil
}

// evaluate holds the model against all rows: the files to write, by name, and what to print.
func evaluate() (files map[string]string, summary string, err error) {
	ms, skipped, err := measurements()
	if err != nil {
		return nil, "", err
	}
	rs, refused := predictAll(ms)
	memory, err := memoryTables()
	if err != nil {
		return nil, "", err
	}
	return map[string]string{residualsFile: residualsTable(rs), pageFile: page(rs, refused, skipped) + "\n" + memory}, summaryTable(rs), nil
}
