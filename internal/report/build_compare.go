package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"bench/internal/record"
)

// TextComparison writes a comparison for a terminal: English, within width columns, coloured only if asked.
func TextComparison(w io.Writer, c record.Comparison, width int, colour bool) error {
	return writeText(w, comparison(c), width, colour)
}

// MarkdownComparison is a comparison for a pull request, in GitHub's dialect.
func MarkdownComparison(c record.Comparison) []byte { return markdown(comparison(c)) }

func comparison(c record.Comparison) document {
	doc := document{lang: English, title: fmt.Sprintf("%s → %s: %s", c.A.Name, c.B.Name, c.Verdict), lead: comparisonLead(c)}
	if c.A.Simulated && c.B.Simulated {
		doc.banner = wSimulated.En
	}
	doc.sections = []section{compareGate(c), compareTests(c), compareSetups(c), compareLeft(c)}
	doc.sections = slices.DeleteFunc(doc.sections, func(s section) bool { return len(s.blocks) == 0 })
	return doc
}

// comparisonLead says in words what the tables hold.
func comparisonLead(c record.Comparison) []string {
	byVerdict := map[record.Change]int{}
	figures := 0
	for _, t := range c.Tests {
		for _, m := range t.Metrics {
			byVerdict[m.Verdict]++
			figures++
		}
	}
	lead := []string{fmt.Sprintf("%s against %s, %s in common: %s.", c.B.Name, c.A.Name, plural(len(c.Tests), "test"), c.Verdict)}
	lead = append(lead, fmt.Sprintf("Of %s: %d better, %d worse, %d the same, %d not to be told from chance.", plural(figures, "figure"),
		byVerdict[record.ChangeBetter], byVerdict[record.ChangeWorse], byVerdict[record.ChangeSame], byVerdict[record.ChangeUnclear]))
	if c.Unclear > 0 {
		lead = append(lead, "More repeats would tell more: measure both sides with `--runs 5` or above, or `--until-precise 2%`.")
	}
	return lead
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func compareGate(c record.Comparison) section {
	s := section{title: "Gate"}
	g := c.Gate
	if g == nil {
		return s
	}
	limit := strconv.FormatFloat(100*g.MaxRegression, 'g', 4, 64) + " %"
	switch {
	case !g.Passed:
		s.para("Failed: worse by more than " + limit + ": " + strings.Join(g.Failed, ", ") + ".")
	default:
		s.para("Passed: nothing is shown to be worse by more than " + limit + ".")
	}
	if len(g.Undecided) > 0 {
		s.para("Worse by more than that, but within what the repeats scatter: " + strings.Join(g.Undecided, ", ") + ".")
	}
	return s
}

var metricNames = map[string]string{
	"throughput_tokens_per_sec": "Throughput tok/s", "avg_ttft_ms": "TTFT ms", "avg_tpot_ms": "TPOT ms",
	"avg_total_latency_ms": "Latency ms", "success_rate": "Success",
}

func compareTests(c record.Comparison) section {
	s := section{title: "Tests"}
	tones := map[record.Change]tone{record.ChangeBetter: good, record.ChangeWorse: bad}
	t := &table{columns: []column{{title: "Test"}, {title: "Load"}, {title: "Figure"}, {title: "A", right: true}, {title: "B", right: true},
		{title: "Change", right: true}, {title: "Interval or ranges"}, {title: "Verdict"}}}
	for _, test := range c.Tests {
		load := fmt.Sprintf("%d × %s", test.ConcurrentRequests, shapeOf(test.InputTokens, test.MaxOutputTokens))
		if test.RequestsPerRepeat != test.ConcurrentRequests {
			load += fmt.Sprintf(", %d sent", test.RequestsPerRepeat)
		}
		id := test.TestID
		for _, m := range test.Metrics {
			if m.Metric == "success_rate" && m.Verdict == record.ChangeSame && *m.A == 1 {
				continue // nothing failed on either side: not worth a line in every test
			}
			print, change := figureOf, relative
			if m.Metric == "success_rate" {
				print, change = percent, points
			}
			t.rows = append(t.rows, []cell{{text: id}, {text: load}, {text: metricNames[m.Metric]}, {text: print(m.A)}, {text: print(m.B)},
				{text: change(m.Change)}, {text: changeSpread(m)}, {text: string(m.Verdict), tone: tones[m.Verdict]}})
			id, load = "", ""
		}
	}
	s.table(t)
	s.list(doubts(c))
	return s
}

// relative prints a change as "+3.1 %".
func relative(v *float64) string {
	if v == nil {
		return unknown
	}
	return fmt.Sprintf("%+.1f %%", 100**v)
}

// points prints the change of a share, which is no share of the share.
func points(v *float64) string {
	if v == nil {
		return unknown
	}
	return fmt.Sprintf("%+.1f pt", 100**v)
}

// changeSpread prints the interval of a change, or the ranges of both sides' repeats where there is none.
func changeSpread(m record.ComparedMetric) string {
	switch {
	case m.ChangeLow != nil && m.ChangeHigh != nil:
		return relative(m.ChangeLow) + " to " + relative(m.ChangeHigh)
	case m.Metric == "success_rate" || len(m.ARepeats) < 2 && len(m.BRepeats) < 2:
		return m.Note
	}
	return rangeOf(m.ARepeats) + " | " + rangeOf(m.BRepeats)
}

func rangeOf(xs []float64) string {
	if len(xs) == 0 {
		return unknown
	}
	low, high := figureOf(new(slices.Min(xs))), figureOf(new(slices.Max(xs)))
	if low == high {
		return low
	}
	return low + "–" + high
}

// doubts lists the findings of the compared records, once where many tests have the same.
func doubts(c record.Comparison) []string {
	var order []string
	tests := map[string][]string{}
	for _, t := range c.Tests {
		for _, d := range t.Doubts {
			if tests[d] == nil {
				order = append(order, d)
			}
			tests[d] = append(tests[d], t.TestID)
		}
	}
	var out []string
	for _, d := range order {
		out = append(out, fmt.Sprintf("Doubtful in %s (%s).", d, strings.Join(tests[d], ", ")))
	}
	return out
}

func compareSetups(c record.Comparison) section {
	s := section{title: "What differs between the set-ups"}
	t := &table{columns: []column{{title: "What"}, {title: "A", wrap: true}, {title: "B", wrap: true}}}
	for _, d := range c.Differs {
		t.rows = append(t.rows, row(d.What, d.A, d.B))
	}
	s.table(t)
	if len(t.rows) == 0 {
		s.para("Nothing that was recorded.")
	}
	return s
}

func compareLeft(c record.Comparison) section {
	s := section{title: "Not compared"}
	t := &table{columns: []column{{title: "Test"}, {title: "Why", wrap: true}}}
	for _, l := range c.Left {
		t.rows = append(t.rows, row(l.TestID, l.Reason))
	}
	s.table(t)
	return s
}
