package term

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

// textWidth is the number of columns s takes.
func textWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// cut shortens s to at most width columns, with an ellipsis where something is left out.
func cut(s string, width int) string {
	if textWidth(s) <= width {
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

// pad is s in exactly width columns; right puts it at their right end.
func pad(s string, width int, right bool) string {
	s = cut(s, width)
	space := strings.Repeat(" ", width-textWidth(s))
	if right {
		return space + s
	}
	return s + space
}

// wrap breaks s at spaces into lines of at most width columns; a word that is longer is cut into pieces.
func wrap(s string, width int) []string {
	if width < 1 {
		return nil
	}
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		for textWidth(word) > width {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			n, columns := 0, 0
			for _, r := range word {
				if columns+runeWidth(r) > width {
					break
				}
				n, columns = n+utf8.RuneLen(r), columns+runeWidth(r)
			}
			if n == 0 {
				return lines // not even one rune fits
			}
			lines, word = append(lines, word[:n]), word[n:]
		}
		switch {
		case word == "":
		case line == "":
			line = word
		case textWidth(line)+1+textWidth(word) <= width:
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
