// Package term owns what a person sees while the program works: progress, and whether the output is a
// terminal at all. It renders what it is told and decides nothing; results are rendered by report.
package term

import (
	"io"
	"os"
	"strconv"
	"strings"

	"bench/internal/display"

	"golang.org/x/term"
)

// PlainWidth is assumed where the width is not known: what tables of this program fit in.
const PlainWidth = 100

// Screen is one output stream and what it can do.
type Screen struct {
	W io.Writer
	// Live says that the stream is a terminal that may be coloured and redrawn: not a dumb one, not one that shows
	// another program while this one is in the background, and not under NO_COLOR, whose users ask for text that stays
	// text.
	Live  bool
	fd    int
	width int // where it is no terminal
}

// NewScreen looks at a stream; env answers for NO_COLOR, TERM and, where it is no terminal, COLUMNS.
func NewScreen(w io.Writer, env func(string) string) Screen {
	s := Screen{W: w, fd: -1, width: PlainWidth}
	if n, err := strconv.Atoi(env("COLUMNS")); err == nil && n > 0 {
		s.width = n
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.fd = int(f.Fd())
		s.Live = env("TERM") != "dumb" && env("NO_COLOR") == "" && foreground(s.fd)
	}
	return s
}

// Width is the number of columns now; a resized terminal answers anew.
func (s Screen) Width() int {
	width, _ := s.Size()
	return width
}

// Size is the number of columns and lines now.
func (s Screen) Size() (width, height int) {
	if s.fd >= 0 {
		if w, h, err := term.GetSize(s.fd); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return s.width, 24
}

// Fold breaks a line between words where a terminal would break it anywhere; a file or pipe gets it whole.
func (s Screen) Fold(line string) string {
	if width := s.Width(); s.fd >= 0 && display.Width(line) > width {
		return strings.Join(display.Wrap(line, width), "\n")
	}
	return line
}

// Terminal is the terminal behind r, where a person can type and this program is the one that is listened to: a
// program in the background would be stopped for reading.
func Terminal(r io.Reader) (f *os.File, ok bool) {
	f, ok = r.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd())) && foreground(int(f.Fd()))
}
