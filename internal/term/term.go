// Package term owns what a person sees while the program works: progress, and whether the output is a
// terminal at all. It renders what it is told and decides nothing; results are rendered by report.
package term

import (
	"io"
	"os"

	"golang.org/x/term"
)

// plainWidth is assumed where the width is not known: what tables of this program fit in.
const plainWidth = 100

// Screen is one output stream and what it can do.
type Screen struct {
	W io.Writer
	// Live says that lines can be redrawn: the stream is a terminal.
	Live bool
	// Colour says that colour is wanted: a terminal and no NO_COLOR.
	Colour bool
	fd     int
}

// NewScreen looks at a stream. noColour is the value of NO_COLOR: any non-empty one switches colour off.
func NewScreen(w io.Writer, noColour string) Screen {
	s := Screen{W: w, fd: -1}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.fd = int(f.Fd())
		s.Live = os.Getenv("TERM") != "dumb"
		s.Colour = s.Live && noColour == ""
	}
	return s
}

// Width is the number of columns now; a resized terminal answers anew.
func (s Screen) Width() int {
	if s.fd >= 0 {
		if w, _, err := term.GetSize(s.fd); err == nil && w > 0 {
			return w
		}
	}
	return plainWidth
}

// IsTerminal says whether a person can type into r.
func IsTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
