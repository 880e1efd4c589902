// Package display lays out text in the columns of a terminal, which are not its bytes and not its runes. What comes from
// elsewhere is made safe to show first.
package display

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes text that came from elsewhere, such as a server's name for its model, safe to show in one line: nothing
// in it drives the terminal, turns the direction of writing or is without width where it seems to have one.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == utf8.RuneError, r == '\u2028', r == '\u2029':
			return -1
		}
		return r
	}, s)
}

// runeWidth is the number of columns a terminal gives a rune: two for East Asian wide ones and pictures, none for
// marks that stand on the rune before them.
func runeWidth(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r >= 0x1160 && r <= 0x11ff: // vowels and finals join the consonant before them
		return 0
	case r >= 0x1100 && r <= 0x115f,
		r >= 0x2e80 && r <= 0xa4cf && r != 0x303f,
		r >= 0xa960 && r <= 0xa97f,
		r >= 0xac00 && r <= 0xd7a3,
		r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe30 && r <= 0xfe6f,
		r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6,
		r >= 0x1f000 && r <= 0x1faff,
		r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// Width is the number of columns s takes.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// Cut shortens s to at most width columns, with an ellipsis where something is left out.
func Cut(s string, width int) string {
	if Width(s) <= width {
		return s
	}
	n := 0
	for i, r := range s {
		if n+runeWidth(r) > width-1 {
			if width < 1 {
				return ""
			}
			return s[:i] + "…"
		}
		n += runeWidth(r)
	}
	return s
}

// Pad is s in exactly width columns; right puts it at their right end.
func Pad(s string, width int, right bool) string {
	s = Cut(s, width)
	space := strings.Repeat(" ", width-Width(s))
	if right {
		return space + s
	}
	return s + space
}

// Wrap breaks s at spaces into lines of at most width columns. A word that is longer is broken after a hyphen where that
// helps, else anywhere.
func Wrap(s string, width int) []string {
	if width < 1 {
		return nil
	}
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		for Width(word) > width {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			n := breakAt(word, width)
			if n == 0 {
				return lines // not even one rune fits
			}
			lines, word = append(lines, word[:n]), word[n:]
		}
		switch {
		case word == "":
		case line == "":
			line = word
		case Width(line)+1+Width(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// breakAt is after how many bytes a word that is wider than width is broken.
func breakAt(word string, width int) int {
	n, columns := 0, 0
	for _, r := range word {
		if columns+runeWidth(r) > width {
			break
		}
		n, columns = n+utf8.RuneLen(r), columns+runeWidth(r)
	}
	if hyphen := strings.LastIndexByte(word[:n], '-'); hyphen > 0 {
		return hyphen + 1
	}
	return n
}
