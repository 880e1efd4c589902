package vllm

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// tablesEnv names a file to which tables are added, as docs/performance.md has them; make bench shows it at the end.
const tablesEnv = "BENCH_TABLES"

// publish logs a table in Markdown, whose first row is its head.
func publish(t *testing.T, title string, rows [][]string) {
	t.Helper()
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n", title)
	for n, row := range rows {
		for i := range widths {
			cell := ""
			if i < len(row) {
				cell = row[i]
			}
			fmt.Fprintf(&b, "| %s%s ", cell, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		b.WriteString("|\n")
		if n == 0 {
			b.WriteString(strings.Repeat("|---", len(widths)) + "|\n")
		}
	}
	t.Log(b.String())
	name := os.Getenv(tablesEnv)
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(b.String()); err != nil {
		t.Fatal(err)
	}
}
