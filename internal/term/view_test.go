package term

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bench/internal/record"
	"bench/internal/runner"
)

// slowScreen takes its time for each write, as a terminal at the end of a slow line does.
type slowScreen struct {
	mu     sync.Mutex
	takes  time.Duration
	writes []string
}

func (s *slowScreen) Write(p []byte) (int, error) {
	time.Sleep(s.takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = append(s.writes, string(p))
	return len(p), nil
}

// However many events come, a view is drawn four times a second at most, and who tells them waits for no terminal. When it
// ends, the screen is given back first and then the lines that stay are printed, once.
func TestViewIsOffThePath(t *testing.T) {
	for _, takes := range []time.Duration{0, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			screen := &slowScreen{takes: takes}
			v := NewView(Screen{W: screen, Live: true, fd: -1, width: 80}, nil, Plan{Title: hostile, Tests: runner.Matrix(1), HasMetrics: true}, Wishes{})
			began := time.Now()
			const seconds = 10
			for i := range seconds * 1000 {
				v.Observe(runner.Event{Kind: runner.ServerSampled, Number: 1, Server: &record.ServerRow{AtNS: int64(i) * 1e6, GenerationTokens: new(float64(i)), KVUsage: new(0.5)}})
				time.Sleep(time.Millisecond)
			}
			if took := time.Since(began); took != seconds*time.Second {
				t.Errorf("telling %d events took %v longer than it should", seconds*1000, took-seconds*time.Second)
			}
			v.Line("a line that %s", "stays\x1b[2J")
			v.Done()
			v.Done()
			frames, after := 0, ""
			for i, w := range screen.writes {
				if strings.Contains(w, "\x1b[H") {
					frames++
				}
				if w == leaveView {
					after = strings.Join(screen.writes[i+1:], "")
				}
			}
			if most := seconds*4 + 1; frames > most || frames < 2 {
				t.Errorf("%d frames in %d s", frames, seconds)
			}
			if screen.writes[0] != enterView || after != "a line that stays[2J\n" {
				t.Errorf("begins with %q, leaves %q", screen.writes[0], after)
			}
			if all := strings.Join(screen.writes, ""); strings.Contains(all, "owned\x07") || strings.Contains(all, "\u202e") {
				t.Error("what a server says drives the terminal")
			}
		})
	}
}

// q is a wish that can be taken back, s skips a cooldown, and Ctrl-C is an interrupt.
func TestKeys(t *testing.T) {
	var got []string
	w := Wishes{SkipCooldown: func() { got = append(got, "skip") }, Interrupt: func() { got = append(got, "interrupt") },
		StopAfterTest: func(yes bool) { got = append(got, map[bool]string{true: "stop", false: "go on"}[yes]) }}
	v := &View{}
	for _, key := range []byte("s\rxq Q\x03") {
		v.press(key, w)
	}
	if all := strings.Join(got, ","); all != "skip,skip,stop,go on,interrupt" {
		t.Errorf("wishes are %s", all)
	}
}
