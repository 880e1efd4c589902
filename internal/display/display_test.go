package display

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWidth(t *testing.T) {
	for s, want := range map[string]int{"": 0, "abc": 3, "한국": 4, "e\u0301": 1, "模型": 4, "ﾊﾝ": 2, "…–×": 3, "▁█": 2, "🙂": 2} {
		if got := Width(s); got != want {
			t.Errorf("%q: %d columns, want %d", s, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		s     string
		width int
		want  string
	}{
		{"a bb ccc", 4, "a bb|ccc"},
		{"abcdefgh", 3, "abc|def|gh"},
		{"한국어", 3, "한|국|어"},
		{"한", 1, ""},
		{"", 5, ""},
		{"x", 0, ""},
		{"a abcd b", 2, "a|ab|cd|b"},
		{"baseline-100-100", 9, "baseline-|100-100"},
		{"-abc", 3, "-ab|c"},
	} {
		if got := strings.Join(Wrap(c.s, c.width), "|"); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.s, c.width, got, c.want)
		}
	}
}

// hostile drives a terminal, turns the direction of writing and breaks lines.
const hostile = "mo\x1b[2Jdel\x1b]0;owned\x07\u202e\u009b31m\r\nname\u2028 한국어 모델"

// Whatever a server says is one line of text when it is clean, and fits where it is cut and wrapped.
func FuzzClean(f *testing.F) {
	for _, seed := range []string{hostile, "plain", "\x00\xff\xfe", "가\u0301나", "a\u200db"} {
		f.Add(seed, 7)
	}
	f.Fuzz(func(t *testing.T, s string, width int) {
		got := Clean(s)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\x1b\n\r\t\a\u009b\u202e\u2028") || Clean(got) != got {
			t.Errorf("%q becomes %q", s, got)
		}
		if width < 0 || width > 500 {
			return
		}
		if w := Width(Cut(got, width)); w > width {
			t.Errorf("%q cut to %d columns has %d", got, width, w)
		}
		if w := Width(Pad(got, width, true)); w != width {
			t.Errorf("%q padded to %d columns has %d", got, width, w)
		}
		for _, l := range Wrap(got, width) {
			if Width(l) > width {
				t.Errorf("%q wrapped to %d has %q", got, width, l)
			}
		}
	})
}
