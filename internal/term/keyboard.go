package term

import (
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// interruptKey is Ctrl-C, which a terminal in raw mode hands over as what it is.
const interruptKey = 3

// Keyboard reads single keys from a terminal.
type Keyboard struct{ file *os.File }

// NewKeyboard is the keyboard behind r, nil where nobody can type.
func NewKeyboard(r io.Reader) *Keyboard {
	if f, ok := Terminal(r); ok {
		return &Keyboard{f}
	}
	return nil
}

// listen puts the terminal into raw mode, so that a key arrives when it is pressed, and calls press with each until
// the returned function has put the terminal back. Its goroutine goes on waiting for a key that may never come: nothing
// can wake it, and it ends with the process. Ctrl-Z does nothing: a client that is stopped would spoil what it measures.
func (k *Keyboard) listen(press func(key byte)) (restore func()) {
	fd := int(k.file.Fd())
	mode, err := term.MakeRaw(fd)
	if err != nil {
		return func() {}
	}
	var mu sync.Mutex // a key that comes after the end is nobody's
	over := false
	go func() {
		var sequence escape
		for keys := make([]byte, 16); ; {
			n, err := k.file.Read(keys)
			if err != nil {
				return
			}
			mu.Lock()
			if over {
				mu.Unlock()
				return
			}
			for _, key := range keys[:n] {
				if !sequence.takes(key) {
					press(key)
				}
			}
			mu.Unlock()
		}
	}()
	return func() {
		mu.Lock()
		over = true
		mu.Unlock()
		term.Restore(fd, mode)
	}
}

// escape is where in the several bytes of an arrow or function key the input is.
type escape int

const (
	outside escape = iota
	begun          // after ESC
	inside         // after ESC [ or ESC O
)

// takes says whether a byte belongs to such a key.
func (e *escape) takes(b byte) bool {
	switch {
	case b == '\x1b':
		*e = begun
	case b == interruptKey: // whatever came before
		*e = outside
		return false
	case *e == outside:
		return false
	case *e == begun && (b == '[' || b == 'O'):
		*e = inside
	case *e == inside && (b < '@' || b > '~'): // numbers and separators
	default:
		*e = outside
	}
	return true
}
