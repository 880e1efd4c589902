package catalog

import (
	"encoding/csv"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// csvRow is a row of an embedded table; its columns are read by name.
type csvRow struct {
	column map[string]int
	field  []string
}

// csvRows yields the rows of an embedded table. The table is part of the program: what cannot be
// read is a bug and panics.
func csvRows(text string) iter.Seq[csvRow] {
	return func(yield func(csvRow) bool) {
		records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			panic(fmt.Sprintf("catalog: embedded table: %v", err))
		}
		column := make(map[string]int)
		for i, name := range records[0] {
			column[name] = i
		}
		for _, r := range records[1:] {
			if !yield(csvRow{column, r}) {
				return
			}
		}
	}
}

// text is the named column. A column the table lacks panics.
func (r csvRow) text(name string) string {
	i, ok := r.column[name]
	if !ok {
		panic(fmt.Sprintf("catalog: embedded table has no column %q", name))
	}
	return r.field[i]
}

// optional is the named column as a number, nil where it is blank.
func (r csvRow) optional(name string) *float64 {
	s := r.text(name)
	if s == "" {
		return nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(fmt.Sprintf("catalog: embedded table, column %s: %v", name, err))
	}
	return &v
}

// number is the named column as a number, 0 where it is blank.
func (r csvRow) number(name string) float64 {
	if v := r.optional(name); v != nil {
		return *v
	}
	return 0
}

// nearest returns the n candidates that begin most like name, nearest first; of those that begin alike the ones that take
// the fewest edits to become name. A candidate that contains name, or is contained in it, comes before any that is only
// similar.
func nearest(name string, candidates []string, n int) []string {
	name = strings.ToLower(name)
	cost := make(map[string]int)
	for _, c := range candidates {
		lower := strings.ToLower(c)
		whole, begin := EditDistance(name, lower)
		cost[c] = 1000*begin + whole
		if name != "" && (strings.Contains(lower, name) || strings.Contains(name, lower)) {
			cost[c] -= 1000_000
		}
	}
	sorted := slices.SortedFunc(maps.Keys(cost), func(a, b string) int {
		if cost[a] != cost[b] {
			return cost[a] - cost[b]
		}
		return strings.Compare(a, b)
	})
	return sorted[:min(n, len(sorted))]
}

// EditDistance is the number of insertions, deletions and replacements from a to b (Levenshtein), and from a to the
// beginning of b that is nearest to it. Only the first 100 bytes count, so that a hostile name costs nothing.
func EditDistance(a, b string) (whole, begin int) {
	a, b = a[:min(100, len(a))], b[:min(100, len(b))]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)], slices.Min(row)
}
