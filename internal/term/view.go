package term

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"bench/internal/display"
	"bench/internal/record"
	"bench/internal/runner"
)

// Plan is what a view says of a run before it begins.
type Plan struct {
	Title      string        // the server and what it serves
	Tests      []record.Test // a search for a limit adds to them
	Simulated  bool
	HasMetrics bool // the server's /metrics is read
}

// Wishes are what a person can ask for with a key. Each must return at once.
type Wishes struct {
	SkipCooldown  func()
	StopAfterTest func(yes bool)
	Interrupt     func() // as the terminal's interrupt key would
}

// View shows a run on one screen, drawn anew four times a second by a goroutine of its own. Events only change what it
// will show: whoever tells them waits for no terminal.
type View struct {
	screen   Screen
	keyboard *Keyboard // nil where nobody can type
	guard    *guard    // nil where there is none
	shown    bool      // the view has the screen, and the keyboard its mode; known to draw alone

	mu    sync.Mutex
	state state
	said  transcript
	lines []string // that stay, for when the view is gone

	suspend   chan struct{} // the wish to stop this program for a while
	continued chan os.Signal
	stop      chan struct{}
	drawn     chan struct{}
	once      sync.Once
}

// Sequences that a view begins and ends with: the alternate screen, no cursor, no wrapping of long lines.
const (
	enterView = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leaveView = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// NewView takes the screen, which must be live, until [View.Done]. Keys are read from in; nil is no keyboard.
func NewView(screen Screen, in *Keyboard, plan Plan, wishes Wishes) *View {
	v := &View{screen: screen, keyboard: in, suspend: make(chan struct{}, 1), continued: make(chan os.Signal, 1),
		stop: make(chan struct{}), drawn: make(chan struct{}), state: newState(plan, time.Now())}
	if screen.fd >= 0 {
		watchContinued(v.continued)
	}
	if in != nil {
		v.state.keys = true
		v.guard = startGuard(screen, in)
		in.listen(func(key byte) { v.press(key, wishes) })
	}
	go v.draw()
	return v
}

// take takes the screen and the keyboard.
func (v *View) take() {
	v.guard.tell(guardOn)
	if v.keyboard != nil {
		v.keyboard.raw()
	}
	fmt.Fprint(v.screen.W, enterView)
	v.shown = true
}

// leave gives them back.
func (v *View) leave() {
	if !v.shown {
		return
	}
	fmt.Fprint(v.screen.W, leaveView)
	if v.keyboard != nil {
		v.keyboard.restore()
	}
	v.guard.tell(guardOff)
	v.shown = false
}

// draw shows the state until stop, off the measuring path: the lock is held only to copy what is shown. While the
// program is in the background it draws nothing.
func (v *View) draw() {
	defer close(v.drawn)
	defer v.leave()
	tick := time.NewTicker(redrawPeriod)
	defer tick.Stop()
	last, width, height := "", 0, 0
	for {
		switch here := v.screen.fd < 0 || foreground(v.screen.fd); {
		case here && !v.shown:
			v.take()
			last = ""
		case !here:
			v.leave()
		}
		if v.shown {
			w, h := v.screen.Size()
			clear := ""
			if last == "" || w != width || h != height {
				clear = "\x1b[2J" // what a terminal makes of lines when it is resized is its own
			}
			if frame := v.frame(w, h); frame != last || clear != "" {
				fmt.Fprint(v.screen.W, clear+"\x1b[H"+frame+"\x1b[J")
				last, width, height = frame, w, h
			}
		}
		select {
		case <-v.stop:
			return
		case <-tick.C:
		case <-v.suspend:
			v.leave()
			v.sleep()
		case <-v.continued: // after a stop that no program can see coming, which left the terminal to somebody else
			v.shown = false
		}
	}
}

// frame is what a terminal of that size is sent.
func (v *View) frame(width, height int) string {
	v.mu.Lock()
	lines := v.state.frame(time.Now(), width, height)
	v.mu.Unlock()
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString("\x1b[K") // before the text: after a line as wide as the screen it would take its last column
		b.WriteString(l.render(true))
	}
	return b.String()
}

// sleep stops the program until the shell continues it. A client that stands still measures nothing, which is said.
func (v *View) sleep() {
	began := time.Now()
	stopJob()
	select {
	case <-v.continued:
	case <-time.After(redrawPeriod):
	}
	if gone := time.Since(began); gone > 2*redrawPeriod {
		v.Line("stopped for %s: what was being measured is to be measured again", Span(gone))
	}
}

// Observe implements [Progress].
func (v *View) Observe(e runner.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state.observe(e, time.Now())
	v.lines = append(v.lines, v.said.lasting(e)...)
}

// Status implements [Progress].
func (v *View) Status(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state.step = display.Clean(fmt.Sprintf(format, args...))
}

// Line implements [Progress].
func (v *View) Line(format string, args ...any) {
	text := display.Clean(fmt.Sprintf(format, args...))
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state.say(text)
	v.lines = append(v.lines, text)
}

// Done implements [Progress]: it gives the terminal back as it was and prints the lines that stay. It may be called
// again, and by a goroutine that is about to end the process.
func (v *View) Done() {
	v.once.Do(func() {
		if v.keyboard != nil {
			v.keyboard.end()
		}
		close(v.stop)
		<-v.drawn
		v.guard.end()
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, line := range v.lines {
			fmt.Fprintln(v.screen.W, v.screen.Fold(line))
		}
	})
}

// press is a key of the person at the terminal.
func (v *View) press(key byte, w Wishes) {
	switch key {
	case 's', 'S', '\r', '\n':
		w.SkipCooldown()
	case 'q', 'Q':
		v.mu.Lock()
		v.state.stopping = !v.state.stopping
		yes := v.state.stopping
		v.mu.Unlock()
		w.StopAfterTest(yes)
	case interruptKey:
		w.Interrupt()
	case suspendKey:
		select {
		case v.suspend <- struct{}{}:
		default:
		}
	}
}
