package term

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Keys that a terminal in raw mode hands over as what they are: Ctrl-C and Ctrl-Z.
const (
	interruptKey = 3
	suspendKey   = 26
)

// Keyboard reads single keys from a terminal.
type Keyboard struct {
	file *os.File
	mode *term.State // the terminal's before it was changed; nil until then

	mu   sync.Mutex // a key that comes after the end is nobody's
	over bool
}

// NewKeyboard is the keyboard behind r, nil where nobody can type.
func NewKeyboard(r io.Reader) *Keyboard {
	if f, ok := Terminal(r); ok {
		return &Keyboard{file: f}
	}
	return nil
}

// raw puts the terminal into raw mode, in which a key arrives when it is pressed.
func (k *Keyboard) raw() {
	if mode, err := term.MakeRaw(int(k.file.Fd())); err == nil && k.mode == nil {
		k.mode = mode
	}
}

// restore puts the terminal back. In the background it is another's, and changing it would stop this program.
func (k *Keyboard) restore() {
	if fd := int(k.file.Fd()); k.mode != nil && foreground(fd) {
		term.Restore(fd, k.mode)
	}
}

// listen calls press with each key until end. Its goroutine goes on waiting for a key that may never come: nothing can
// wake it, and it ends with the process.
func (k *Keyboard) listen(press func(key byte)) {
	go func() {
		var sequence escape
		for keys := make([]byte, 16); ; {
			n, err := k.file.Read(keys)
			if err != nil && !foreground(int(k.file.Fd())) {
				time.Sleep(redrawPeriod) // the terminal is another program's for a while
				continue
			}
			if err != nil || !k.take(keys[:n], &sequence, press) {
				return
			}
		}
	}()
}

// take hands over what was read; it is false after end.
func (k *Keyboard) take(keys []byte, sequence *escape, press func(key byte)) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range keys {
		if !k.over && !sequence.takes(key) {
			press(key)
		}
	}
	return !k.over
}

// end ends listening.
func (k *Keyboard) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.over = true
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
