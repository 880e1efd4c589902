package report

import (
	"io"
	"strings"

	"bench/internal/display"
	"bench/internal/record"
)

// Text writes what a terminal shows after a stress run: the three sentences, one table a ladder,
// the limits. It is English, fits width columns (at least 30 are assumed), and is coloured only if
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
	t := &textWriter{width: max(width, 30), colour: colour}
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
	for i, line := range display.Wrap(clean(text), t.width-display.Width(indent)) {
		prefix := indent
		if i == 0 && lead != "" {
			prefix = lead
		} else if i == 0 {
			prefix = ""
		}
		t.out.WriteString(prefix + line + "\n")
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

// maxText is the number of bytes of one text that a report shows: more than any sentence of its own.
const maxText = 4096

// clean makes text from a server safe to print, in one line, and gives it an end.
func clean(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return display.Clean(s)
}
