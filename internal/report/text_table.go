package report

import (
	"strings"

	"bench/internal/display"
)

// Columns are separated by two blanks, by one where that makes them fit.
const wideGap, narrowGap = 2, 1

// proseWidth is the least in which a sentence is read as one: about four words a line.
const proseWidth = 24

// nameWidth is the least for a name of several words, such as a set-up's.
const nameWidth = 10

// table writes a table in the first form that fits: a grid with prose in columns of its own; a grid with the prose of each
// row beneath it; each row as a paragraph. No figure and no word is broken, and none is left out.
func (t *textWriter) table(tab *table) {
	if tab.caption != "" {
		t.lines("", "", tab.caption)
	}
	var all, short, prose []int
	for i, c := range tab.columns {
		all = append(all, i)
		if name := i == 1 && numbered(tab); c.wrap && !name {
			prose = append(prose, i)
		} else {
			short = append(short, i)
		}
	}
	if widths, ok := t.widths(tab, all, wideGap); ok {
		t.grid(tab, grid{all, widths, wideGap}, nil)
		return
	}
	for _, gap := range []int{wideGap, narrowGap} {
		if widths, ok := t.widths(tab, short, gap); ok && len(short) > 2 {
			t.grid(tab, grid{short, widths, gap}, prose)
			return
		}
	}
	for _, r := range tab.rows {
		t.paragraph(tab, r)
	}
}

// numbered says whether rows begin with their number, so that what names them comes second.
func numbered(tab *table) bool { return len(tab.columns) > 1 && tab.columns[0].title == "#" }

// grid is how some columns of a table stand side by side.
type grid struct {
	columns, widths []int
	gap             int
}

// grid writes some columns side by side, with what the others hold beneath each row.
func (t *textWriter) grid(tab *table, g grid, beneath []int) {
	header := make([]cell, len(tab.columns))
	for i, c := range tab.columns {
		header[i].text = c.title
	}
	t.row(tab, g, header, true)
	for _, r := range tab.rows {
		t.row(tab, g, r, false)
		for _, i := range beneath {
			if clean(r[i].text) == "" {
				continue
			}
			text := r[i].text
			if len(beneath) > 1 {
				text = tab.columns[i].title + ": " + text
			}
			t.lines(beneathIndent, beneathIndent, text)
		}
	}
}

const beneathIndent = "    "

// paragraph writes a row as what its first cell, after its number, says, and the others with their names beneath it.
func (t *textWriter) paragraph(tab *table, r []cell) {
	head := 1 // cells
	if numbered(tab) {
		head = 2
		t.lines("", beneathIndent, r[0].text+". "+r[1].text)
	} else {
		t.lines("", beneathIndent, r[0].text)
	}
	line := ""
	flush := func() {
		if line != "" {
			t.lines(beneathIndent, beneathIndent, line)
		}
		line = ""
	}
	for i, c := range r[head:] {
		column := tab.columns[head+i]
		part := column.title + " " + clean(c.text)
		switch room := t.width - len(beneathIndent); {
		case clean(c.text) == "":
		case column.wrap:
			flush()
			t.lines(beneathIndent, beneathIndent, column.title+": "+c.text)
		case line != "" && display.Width(line+"; "+part) <= room:
			line += "; " + part
		default:
			flush()
			line = part
		}
	}
	flush()
}

// widths gives each of some columns its natural width. Where that is too much, prose is narrowed, then headers wrap, then
// names do; ok is false where not even that fits.
func (t *textWriter) widths(tab *table, columns []int, gap int) (widths []int, ok bool) {
	var wrapped, headed, least []int
	for _, i := range columns {
		c := tab.columns[i]
		cells, word := 0, longestPiece(c.title)
		for _, r := range tab.rows {
			text := clean(r[i].text)
			cells, word = max(cells, display.Width(text)), max(word, longestPiece(text))
		}
		natural := max(display.Width(c.title), cells)
		widths, least = append(widths, natural), append(least, word)
		if c.wrap {
			room := proseWidth
			if i == 1 && numbered(tab) {
				room = nameWidth
			}
			least[len(least)-1] = min(natural, max(word, room))
			wrapped, headed = append(wrapped, least[len(least)-1]), append(headed, least[len(least)-1])
		} else {
			wrapped, headed = append(wrapped, natural), append(headed, max(longestPiece(c.title), cells))
		}
	}
	for _, floor := range [][]int{wrapped, headed, least} {
		if t.squeeze(widths, floor, gap) {
			return widths, true
		}
	}
	return nil, false
}

// squeeze narrows the widest columns, none below its floor, until the table fits; it is false where it does not.
func (t *textWriter) squeeze(widths, floor []int, gap int) bool {
	total := gap * (len(widths) - 1)
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
			return false
		}
		widths[widest]--
	}
	return true
}

// longestPiece is the width of the longest part of a text that is not to be broken. Beside a hyphen it may be.
func longestPiece(s string) int {
	longest := 0
	for _, word := range strings.Fields(s) {
		for piece := range strings.SplitAfterSeq(word, "-") {
			longest = max(longest, display.Width(piece))
		}
	}
	return longest
}

func (t *textWriter) row(tab *table, g grid, cells []cell, head bool) {
	lines := make([][]string, len(g.columns))
	height := 1
	for n, i := range g.columns {
		lines[n] = display.Wrap(clean(cells[i].text), g.widths[n])
		height = max(height, len(lines[n]))
	}
	for h := range height {
		var line strings.Builder
		for n, i := range g.columns {
			text := ""
			if h < len(lines[n]) {
				text = lines[n][h]
			}
			pad := strings.Repeat(" ", g.widths[n]-display.Width(text))
			if n > 0 {
				line.WriteString(strings.Repeat(" ", g.gap))
			}
			shown := t.paint(cells[i].tone, text)
			if head {
				shown = t.bold(text)
			}
			if tab.columns[i].right {
				line.WriteString(pad + shown)
			} else {
				line.WriteString(shown + pad)
			}
		}
		t.out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}
