package term

import (
	"fmt"
	"strings"

	"bench/internal/display"
	"bench/internal/record"
)

// column is one of the table of tests; cells are made from a test and its record, which may be nil.
type column struct {
	name  string
	right bool
	keep  int // order in which columns are left out of a narrow screen, highest first
	cell  func(t record.Test, r *record.Record) string
}

// figure makes a cell of a figure of the record.
func figure(pick func(record.Results) *float64, print func(float64) string) func(record.Test, *record.Record) string {
	return func(_ record.Test, r *record.Record) string {
		if r == nil {
			return ""
		}
		v := pick(r.Results)
		if v == nil {
			return "–"
		}
		return print(*v)
	}
}

var columns = [...]column{
	{"test", false, 0, func(t record.Test, _ *record.Record) string { return t.ID }},
	{"at once", true, 4, func(t record.Test, r *record.Record) string {
		switch {
		case t.Arrivals == nil:
			return fmt.Sprint(t.Concurrent)
		case r == nil:
			return "–" // of an open load that is a result
		}
		return fmt.Sprint(r.ConcurrentRequests)
	}},
	{"tokens", true, 6, func(t record.Test, _ *record.Record) string {
		return fmt.Sprintf("%d/%d", t.InputTokens, t.OutputTokens)
	}},
	{"TTFT", true, 3, figure(func(r record.Results) *float64 { return r.AvgTTFTMS }, millis)},
	{"TPOT", true, 5, figure(func(r record.Results) *float64 { return r.AvgTPOTMS }, millis)},
	{"latency", true, 7, figure(func(r record.Results) *float64 { return r.AvgTotalLatencyMS }, millis)},
	{"tok/s", true, 2, figure(func(r record.Results) *float64 { return r.ThroughputTokensPerSec }, func(v float64) string { return fmt.Sprintf("%.0f", v) })},
}

// table is the plan's tests with what came out, in at most height lines: those around the one that runs.
func (s *state) table(height, width int) []line {
	if height < 1 {
		return nil
	}
	shown := s.visible(height - 1)
	cells := make([][]string, len(shown)+1)
	for i := range columns {
		cells[0] = append(cells[0], columns[i].name)
		for j, n := range shown {
			var r *record.Record
			if d := s.done[n]; d != nil {
				r = d.record
			}
			cells[j+1] = append(cells[j+1], display.Clean(columns[i].cell(s.plan.Tests[n], r)))
		}
	}
	widths := make([]int, len(columns))
	for _, row := range cells {
		for i, c := range row {
			widths[i] = max(widths[i], display.Width(c))
		}
	}
	status := len("success")
	for _, n := range shown {
		status = max(status, display.Width(s.statusOf(n).text))
	}
	dropColumns(widths, width-len("  ")-len("  ")-status)
	out := []line{{{"  " + join(cells[0], widths) + "  status", dim}}}
	for j, n := range shown {
		mark, st := "  ", dim
		status := s.statusOf(n)
		switch {
		case s.done[n] != nil:
			st = plain
		case n == s.event.Number-1:
			mark, st = "▸ ", bold
		}
		out = append(out, line{{mark + join(cells[j+1], widths) + "  ", st}, status})
	}
	return out
}

// visible are the numbers of the tests in n rows.
func (s *state) visible(n int) []int {
	total := len(s.plan.Tests)
	n = min(n, total)
	first := max(0, min(s.event.Number-1-n/2, total-n))
	var out []int
	for i := range n {
		out = append(out, first+i)
	}
	return out
}

// statusOf is how a test ended, or that it runs.
func (s *state) statusOf(n int) piece {
	d := s.done[n]
	switch {
	case d == nil && n == s.event.Number-1:
		return piece{"running", bold}
	case d == nil:
		return piece{"", dim}
	case d.record == nil:
		return piece{"measured before", dim}
	}
	st := map[record.Status]style{record.StatusSuccess: green, record.StatusWarning: yellow, record.StatusFailure: red}[d.record.Status]
	word := string(d.record.Status)
	if v := d.record.Trust.Verdict; v != record.TrustSound && len(findings(*d.record)) > 0 {
		word += ", " + v
	}
	return piece{word, st}
}

// dropColumns sets the widths of columns to 0 until the rest has room.
func dropColumns(widths []int, width int) {
	for {
		total, worst := 0, -1
		for i, w := range widths {
			if w > 0 {
				total += w + 2
				if columns[i].keep > 0 && (worst < 0 || columns[i].keep > columns[worst].keep) {
					worst = i
				}
			}
		}
		if total-2 <= width || worst < 0 {
			return
		}
		widths[worst] = 0
	}
}

func join(cells []string, widths []int) string {
	var parts []string
	for i, c := range cells {
		if widths[i] > 0 {
			parts = append(parts, display.Pad(c, widths[i], columns[i].right))
		}
	}
	return strings.Join(parts, "  ")
}
