package report

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bench/internal/display"
	"bench/internal/record"
)

// views are all texts for a terminal.
func views(in Input) map[string]func(io.Writer, int, bool) error {
	out := map[string]func(io.Writer, int, bool) error{
		"tests": func(w io.Writer, width int, colour bool) error { return Text(w, in, width, colour) },
	}
	if in.Verify != nil {
		out["verify"] = func(w io.Writer, width int, colour bool) error { return TextVerify(w, in.Verify, width, colour) }
	}
	if in.Sizing != nil {
		for _, lang := range []string{English, Korean} {
			out["sizing "+lang] = func(w io.Writer, width int, colour bool) error {
				return TextSizing(w, in.Sizing, lang, width, colour)
			}
		}
	}
	return out
}

func TestTextFits(t *testing.T) {
	escape := regexp.MustCompile("\x1b\\[[0-9]*m")
	for name, in := range inputs(t) {
		for view, write := range views(in) {
			for _, width := range []int{30, 40, 60, 80, 100, 140} {
				t.Run(fmt.Sprintf("%s/%s/%d", name, view, width), func(t *testing.T) {
					var plain, coloured bytes.Buffer
					if err := write(&plain, width, false); err != nil {
						t.Fatal(err)
					}
					if err := write(&coloured, width, true); err != nil {
						t.Fatal(err)
					}
					for _, line := range strings.Split(plain.String(), "\n") {
						if n := display.Width(line); n > width {
							t.Errorf("line of %d columns: %s", n, line)
						}
						if strings.TrimRight(line, " ") != line {
							t.Errorf("line ends in blanks: %q", line)
						}
					}
					if strings.Contains(plain.String(), "\x1b") {
						t.Error("colour without being asked")
					}
					bare := regexp.MustCompile(` +\n`).ReplaceAllString(escape.ReplaceAllString(coloured.String(), ""), "\n")
					if bare != plain.String() {
						t.Error("colour changes more than colour")
					}
				})
			}
		}
	}
}

func TestTextShowsEveryTest(t *testing.T) {
	in := nine(t)
	var out bytes.Buffer
	if err := Text(&out, in, 100, false); err != nil {
		t.Fatal(err)
	}
	for _, r := range append(in.Baselines, in.Tests...) {
		if !regexp.MustCompile(`(?m)^` + r.TestID + ` `).Match(out.Bytes()) {
			t.Errorf("no row of test %s", r.TestID)
		}
	}
}

func TestTextSaysSimulated(t *testing.T) {
	in := forty(t)
	in.Verify.Simulated = true
	for _, write := range []func(io.Writer) error{
		func(w io.Writer) error { return Text(w, in, 100, false) },
		func(w io.Writer) error { return TextVerify(w, in.Verify, 100, false) },
	} {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(out.String(), "! Simulated") {
			t.Errorf("does not begin with the word simulated:\n%.80s", out.String())
		}
	}
}

// What is not known is a dash, never a zero; what is zero is a zero.
func TestUnknownIsNotZero(t *testing.T) {
	rec := record.Record{TestID: "T1", ConcurrentRequests: 1, Status: record.StatusFailure,
		Results: record.Results{SuccessRate: new(0.0)}}
	b := builder{Input{}, English}
	got := b.testTable("", []record.Record{rec}).rows[0]
	want := []string{"T1", "1", unknown, unknown, unknown, unknown, unknown, unknown, "0 %", "failure"}
	for i := range want {
		if got[i].text != want[i] {
			t.Errorf("column %d is %q, want %q", i, got[i].text, want[i])
		}
	}
}

func TestFigureOf(t *testing.T) {
	for _, c := range []struct {
		v    float64
		want string
	}{{0, "0.00"}, {0.123, "0.12"}, {9.994, "9.99"}, {9.996, "10.0"}, {99.94, "99.9"}, {99.96, "100"}, {12345.6, "12,346"}} {
		if got := figureOf(&c.v); got != c.want {
			t.Errorf("%v prints as %s, want %s", c.v, got, c.want)
		}
	}
	if got := figureOf(nil); got != unknown {
		t.Errorf("nothing prints as %s", got)
	}
}

func TestPercentOnlyWholeIsWhole(t *testing.T) {
	for _, c := range []struct {
		v    float64
		want string
	}{{1, "100 %"}, {0.9999, "99.9 %"}, {0, "0 %"}, {0.5, "50 %"}, {0.333, "33.3 %"}} {
		if got := percent(&c.v); got != c.want {
			t.Errorf("%v prints as %s, want %s", c.v, got, c.want)
		}
	}
}

func TestSpread(t *testing.T) {
	repeats := func(values ...float64) []record.Repeat {
		var out []record.Repeat
		for _, v := range values {
			out = append(out, record.Repeat{AvgTTFTMS: &v})
		}
		return out
	}
	metric := func(p record.Repeat) *float64 { return p.AvgTTFTMS }
	if got := spread(repeats(98.2, 97, 99.4), metric); got != "98.2 · 97.0 · 99.4" {
		t.Errorf("three repeats print as %s", got)
	}
	if got := spread(repeats(12.1, 11.8, 12.6, 12.0, 12.4), metric); got != "12.2 (11.8 – 12.6, n = 5)" {
		t.Errorf("five repeats print as %s", got)
	}
	if got := spread([]record.Repeat{{}, {}}, metric); got != "– · –" {
		t.Errorf("failed repeats print as %s", got)
	}
}

// However narrow it is, every figure and every word of a table is there whole, but for words that are broken at a hyphen.
func TestTablesBreakNoWord(t *testing.T) {
	for name, in := range inputs(t) {
		b := builder{in, English}
		for _, s := range []section{b.tests(), b.limits(false), b.expectations()} {
			for _, block := range s.blocks {
				for width := 30; block.table != nil && width <= 120; width += 5 {
					w := &textWriter{width: width}
					w.table(block.table)
					shown := strings.Fields(w.out.String())
					for _, r := range block.table.rows {
						for _, c := range r {
							for _, word := range strings.Fields(clean(c.text)) {
								if !strings.Contains(word, "-") && !slices.ContainsFunc(shown, func(s string) bool { return strings.Trim(s, ";.") == strings.Trim(word, ";.") }) {
									t.Fatalf("%s at %d columns: %q is not in\n%s", name, width, word, w.out.String())
								}
							}
						}
					}
				}
			}
		}
	}
}
