package term

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"time"

	"golang.org/x/term"
)

// GuardCommand is the argument with which this program, started by itself, does [Guard].
const GuardCommand = "restore-terminal"

// What a guard is told: the terminal is taken, is given back. Anything else is how a breakdown begins.
const (
	guardOn  = '+'
	guardOff = '-'
)

// guard is a process that puts the terminal back where this one ends without: Go has no last word for a panic in any
// goroutine, and none for being killed. It reads a pipe that ends with this process.
type guard struct {
	cmd  *exec.Cmd
	pipe *os.File
}

// startGuard starts one, before the terminal is touched; nil where that does not work, which is no reason not to measure.
func startGuard(screen Screen, k *Keyboard) *guard {
	g, err := newGuard(screen, k)
	if err != nil {
		return nil
	}
	return g
}

func newGuard(screen Screen, k *Keyboard) (*guard, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	orders, pipe, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer orders.Close()
	answer, ready, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, pipe.Close())
	}
	defer answer.Close()
	g := &guard{exec.Command(self, GuardCommand), pipe}
	g.cmd.Stdin, g.cmd.Stdout, g.cmd.ExtraFiles = orders, screen.W, []*os.File{k.file, ready}
	err = errors.Join(g.cmd.Start(), ready.Close())
	if err == nil {
		// It is there once it knows the terminal's mode; a machine on which that takes longer goes without.
		answer.SetReadDeadline(time.Now().Add(2 * time.Second))
		_, err = answer.Read(make([]byte, 1))
	}
	if err == nil {
		err = debug.SetCrashOutput(pipe, debug.CrashOptions{})
	}
	if err != nil {
		g.end()
		return nil, err
	}
	return g, nil
}

func (g *guard) tell(what byte) {
	if g != nil {
		g.pipe.Write([]byte{what})
	}
}

// end lets it go.
func (g *guard) end() {
	if g == nil {
		return
	}
	debug.SetCrashOutput(nil, debug.CrashOptions{})
	g.pipe.Close()
	if g.cmd.Process != nil {
		g.cmd.Wait()
	}
}

// Guard is what the process does that a view starts: it puts the terminal back when what it reads from orders breaks
// down or ends while a view has the screen, and then shows why on out. It says on ready that it is there.
func Guard(orders io.Reader, out io.Writer, terminal *os.File, ready io.WriteCloser) error {
	outlive()
	fd := int(terminal.Fd())
	mode, err := term.GetState(fd)
	if err != nil {
		return fmt.Errorf("%s is started by bench itself, beside a view: %w", GuardCommand, err)
	}
	if _, err := ready.Write([]byte{guardOn}); err != nil {
		return fmt.Errorf("telling that the terminal is guarded: %w", err)
	}
	ready.Close()
	in := bufio.NewReader(orders)
	for taken := false; ; {
		order, err := in.ReadByte()
		if err == nil && (order == guardOn || order == guardOff) {
			taken = order == guardOn
			continue
		}
		if !taken { // what is said then is seen where it is said
			io.Copy(io.Discard, in)
			return nil
		}
		// The mode at once, for the shell goes on with what it finds when the program is gone; the screen when it has
		// said its last word on it, which is lost with it and said again here.
		term.Restore(fd, mode)
		var last []byte
		if err == nil {
			in.UnreadByte()
			last, _ = io.ReadAll(in)
		}
		fmt.Fprintf(out, "%s%s", leaveView, last)
		return nil
	}
}
