package term

import (
	"fmt"
	"strings"
	"sync"
	"time"

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
	screen  Screen
	restore func() // the terminal's mode

	mu    sync.Mutex
	state state
	said  transcript
	lines []string // that stay, for when the view is gone

	stop  chan struct{}
	drawn chan struct{}
	once  sync.Once
}

// Sequences that a view begins and ends with: the alternate screen, no cursor, no wrapping of long lines.
const (
	enterView = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	leaveView = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// NewView takes the screen, which must be live, until [View.Done]. Keys are read from in; nil is no keyboard.
func NewView(screen Screen, in *Keyboard, plan Plan, wishes Wishes) *View {
	v := &View{screen: screen, stop: make(chan struct{}), drawn: make(chan struct{}), state: newState(plan, time.Now())}
	if in != nil {
		v.state.keys = true
		v.restore = in.listen(func(key byte) { v.press(key, wishes) })
	}
	go v.draw()
	return v
}

// draw shows the state until stop, off the measuring path: the lock is held only to copy what is shown.
func (v *View) draw() {
	defer close(v.drawn)
	tick := time.NewTicker(redrawPeriod)
	defer tick.Stop()
	fmt.Fprint(v.screen.W, enterView)
	shown, width, height := "", 0, 0
	for {
		w, h := v.screen.Size()
		v.mu.Lock()
		lines := v.state.frame(time.Now(), w, h)
		v.mu.Unlock()
		var b strings.Builder
		for i, l := range lines {
			if i > 0 {
				b.WriteString("\r\n")
			}
			b.WriteString("\x1b[K") // before the text: after a line as wide as the screen it would take its last column
			b.WriteString(l.render(true))
		}
		if frame := b.String(); frame != shown || w != width || h != height {
			if w != width || h != height {
				fmt.Fprint(v.screen.W, "\x1b[2J") // what a terminal makes of lines when it is resized is its own
			}
			fmt.Fprint(v.screen.W, "\x1b[H"+frame+"\x1b[J")
			shown, width, height = frame, w, h
		}
		select {
		case <-v.stop:
			return
		case <-tick.C:
		}
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
	v.state.step = Clean(fmt.Sprintf(format, args...))
}

// Line implements [Progress].
func (v *View) Line(format string, args ...any) {
	text := Clean(fmt.Sprintf(format, args...))
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state.say(text)
	v.lines = append(v.lines, text)
}

// Done implements [Progress]: it gives the terminal back as it was and prints the lines that stay. It may be called
// again, and by a goroutine that is about to end the process.
func (v *View) Done() {
	v.once.Do(func() {
		close(v.stop)
		<-v.drawn
		fmt.Fprint(v.screen.W, leaveView)
		if v.restore != nil {
			v.restore()
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, line := range v.lines {
			fmt.Fprintln(v.screen.W, line)
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
	}
}
