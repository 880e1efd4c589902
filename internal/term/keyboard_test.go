package term

import "testing"

// Arrow and function keys are no wishes, whatever letters they are made of; what is typed around them is.
func TestEscapeSequences(t *testing.T) {
	for in, want := range map[string]string{"sq": "sq", "\x1b[As": "s", "\x1bOQq": "q", "\x1b[15~s\x1b[1;5Cq": "sq", "\x1b\x1b[Bs": "s", "\x1b\x03": "\x03",
		"\x1b[\x03s": "\x03s", "\x1bsq": "q"} {
		var e escape
		got := ""
		for _, b := range []byte(in) {
			if !e.takes(b) {
				got += string(b)
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
