package report

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"bench/internal/record"
)

// Text writes what a terminal shows after a stress run: the three sentences, one table a ladder,
// the limits. It is English, fits width columns (at least 60 are assumed), and is coloured only if
// asked.
func Text(w io.Writer, in Input, width int, colour bool) error {
	b := builder{in, English}
	doc := document{lead: b.lead()}
	if simulated(in) {
		doc.banner = b.t(wSimulated)
	}
	doc.sections = []section{b.tests(), b.limits(false), b.expectations()}
	return writeText(w, doc, width, colour)
}

// TextVerify writes what was found loaded and what that says of the claimed set-up.
func TextVerify(w io.Writer, v *record.Verify, width int, colour bool) error {
	b := builder{Input{Verify: v}, English}
	doc := document{sections: []section{b.verify(v)}}
	if v.Simulated {
		doc.banner = b.t(wSimulated)
	}
	return writeText(w, doc, width, colour)
}

// TextSizing writes which GPUs carry the demand, each with its reasons.
func TextSizing(w io.Writer, s *record.Sizing, lang string, width int, colour bool) error {
	b := builder{Input{Sizing: s}, lang}
	return writeText(w, document{lang: lang, sections: []section{b.sizing(s)}}, width, colour)
}

// textWriter lays a document out in a fixed number of columns.
type textWriter struct {
	out    strings.Builder
	width  int
	colour bool
}

func writeText(w io.Writer, doc document, width int, colour bool) error {
	t := &textWriter{width: max(width, 60), colour: colour}
	if doc.banner != "" {
		t.lines(t.paint(warn, "! "), "  ", doc.banner)
		t.out.WriteByte('\n')
	}
	for _, s := range doc.lead {
		t.lines("", "  ", s)
	}
	for i, s := range doc.sections {
		if len(s.blocks) == 0 {
			continue
		}
		if i > 0 || len(doc.lead) > 0 {
			t.out.WriteByte('\n')
		}
		t.out.WriteString(t.bold(s.title) + "\n")
		for n, b := range s.blocks {
			if b.table != nil || n > 0 && s.blocks[n-1].table != nil {
				t.out.WriteByte('\n')
			}
			t.block(b)
		}
	}
	_, err := io.WriteString(w, t.out.String())
	return err
}

func (t *textWriter) block(b block) {
	switch {
	case b.para != "":
		t.lines("", "", b.para)
	case b.list != nil:
		for _, item := range b.list {
			t.lines("- ", "  ", item)
		}
	case b.table != nil:
		t.table(b.table)
	}
}

// lines writes text wrapped, its first line after lead, the others after indent.
func (t *textWriter) lines(lead, indent, text string) {
	for i, line := range wrap(clean(text), t.width-utf8.RuneCountInString(indent)) {
		prefix := indent
		if i == 0 && lead != "" {
			prefix = lead
		} else if i == 0 {
			prefix = ""
		}
		t.out.WriteString(prefix + line + "\n")
	}
}

// columnGap separates columns.
const columnGap = "  "

func (t *textWriter) table(tab *table) {
	if tab.caption != "" {
		t.out.WriteString(clean(tab.caption) + "\n")
	}
	widths := t.widths(tab)
	header := make([]cell, len(tab.columns))
	for i, c := range tab.columns {
		header[i].text = c.title
	}
	t.row(tab.columns, widths, header, true)
	for _, r := range tab.rows {
		t.row(tab.columns, widths, r, false)
	}
}

// widths gives every column its natural width. Where that is too much, prose is wrapped, then
// headers, and at last names, so that nothing runs over the edge or is lost.
func (t *textWriter) widths(tab *table) []int {
	const prose, name = 12, 4 // narrower is not readable
	n := len(tab.columns)
	widths, wrapped, headed, least := make([]int, n), make([]int, n), make([]int, n), make([]int, n)
	for i, c := range tab.columns {
		cells := 0
		for _, r := range tab.rows {
			cells = max(cells, utf8.RuneCountInString(clean(r[i].text)))
		}
		title := utf8.RuneCountInString(c.title)
		widths[i] = max(title, cells)
		wrapped[i], headed[i], least[i] = widths[i], widths[i], min(name, widths[i])
		if c.wrap {
			wrapped[i], headed[i] = min(prose, widths[i]), min(prose, widths[i])
		} else {
			headed[i] = max(longestWord(c.title), cells)
		}
	}
	for _, floor := range [][]int{wrapped, headed, least} {
		t.squeeze(widths, floor)
	}
	return widths
}

// squeeze narrows the widest columns, none below its floor, until the table fits.
func (t *textWriter) squeeze(widths, floor []int) {
	total := len(columnGap) * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for ; total > t.width; total-- {
		widest := -1
		for i := range widths {
			if widths[i] > floor[i] && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

func longestWord(s string) int {
	longest := 0
	for _, w := range strings.Fields(s) {
		longest = max(longest, utf8.RuneCountInString(w))
	}
	return longest
}

func (t *textWriter) row(columns []column, widths []int, cells []cell, head bool) {
	lines := make([][]string, len(cells))
	height := 1
	for i, c := range cells {
		text := clean(c.text)
		lines[i] = wrap(text, widths[i])
		height = max(height, len(lines[i]))
	}
	for n := range height {
		var line strings.Builder
		for i := range cells {
			text := ""
			if n < len(lines[i]) {
				text = lines[i][n]
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if i > 0 {
				line.WriteString(columnGap)
			}
			shown := t.paint(cells[i].tone, text)
			if head {
				shown = t.bold(text)
			}
			if columns[i].right {
				line.WriteString(pad + shown)
			} else {
				line.WriteString(shown + pad)
			}
		}
		t.out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

func (t *textWriter) bold(s string) string {
	if !t.colour || s == "" {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

func (t *textWriter) paint(as tone, s string) string {
	code := map[tone]string{good: "32", warn: "33", bad: "31"}[as]
	if !t.colour || code == "" || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// wrap breaks text into lines of at most width runes, at spaces where there are any.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		for utf8.RuneCountInString(word) > width {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			r := []rune(word)
			lines, word = append(lines, string(r[:width])), string(r[width:])
		}
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}

// maxText is the number of bytes of one text that a report shows: more than any sentence of its own.
const maxText = 4096

// clean makes text from a server safe to print: no control characters, which could drive a
// terminal or break a table, no marks that turn the direction of writing, and an end.
func clean(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError:
			return -1
		}
		return r
	}, s)
}
