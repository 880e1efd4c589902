package term

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"bench/internal/display"
	"bench/internal/record"
	"bench/internal/runner"
)

// hostile is what a server may call itself: it would clear the screen, set the title, turn the direction of writing and
// break the line, were it drawn as it is.
const hostile = "mo\x1b[2Jdel\x1b]0;owned\x07\u202e\u009b31m\r\nname\u2028 한국어 모델 모델"

func busyState(begin time.Time) state {
	tests := runner.Matrix(3)
	s := newState(Plan{Title: hostile, Tests: tests[: len(tests)-1 : len(tests)-1], HasMetrics: true, Simulated: true}, begin)
	s.keys = true
	now := begin
	for i, t := range tests { // the last one is one more than planned
		e := runner.Event{Test: t, Number: i + 1, Total: len(tests)}
		send := func(kind runner.EventKind, set func(*runner.Event)) {
			x := e
			x.Kind = kind
			if set != nil {
				set(&x)
			}
			now = now.Add(time.Second)
			s.observe(x, now)
		}
		left := time.Duration(len(tests)-i) * time.Minute
		send(runner.TestStarted, func(e *runner.Event) { e.Left = &left })
		send(runner.RepeatStarted, nil)
		for j := range 20 {
			at := now.UnixNano()
			send(runner.ServerSampled, func(e *runner.Event) {
				e.Server = &record.ServerRow{AtNS: at, Running: new(float64(t.Concurrent)), Waiting: new(1e9), KVUsage: new(float64(j) / 19),
					GenerationTokens: new(float64(100 * t.Concurrent)), Preemptions: new(3.0)}
			})
			send(runner.GPUSampled, func(e *runner.Event) {
				for g := range 8 {
					e.GPUs = append(e.GPUs, record.GPUSample{AtNS: at, Index: g, GPUUtil: new(100.0), MemoryUsedMiB: new(81000.0), MemoryTotalMiB: new(81920.0),
						PowerW: new(699.0), PowerLimitW: new(700.0), TemperatureC: new(85.0), SMClockMHz: new(1980.0), ClockEvents: new(float64(record.ClockSWPowerCap | record.ClockHWSlowdown))})
				}
			})
			sent := at
			send(runner.RequestDone, func(e *runner.Event) {
				e.Done, e.Failed = j+1, j/10
				e.Request = &record.Request{SentNS: sent, FirstTokenNS: new(sent + 5e7), LastTokenNS: new(sent + 1e9), CompletionTokens: new(100), Success: true}
			})
		}
		rec := record.Record{TestID: t.ID, Status: record.StatusWarning}
		rec.Results.AvgTTFTMS, rec.Results.AvgTPOTMS, rec.Results.AvgTotalLatencyMS, rec.Results.ThroughputTokensPerSec = new(12345.0), new(999.0), new(math.MaxInt32*1.0), new(1e6)
		rec.Trust = record.Trust{Verdict: record.TrustDoubtful, Findings: []record.Finding{{Check: "throttling", Evidence: hostile + strings.Repeat(" evidence", 30)}}}
		send(runner.TestDone, func(e *runner.Event) { e.Record = &rec })
		send(runner.Note, func(e *runner.Event) { e.Text = strings.Repeat("long", 60) })
		send(runner.CoolingDown, func(e *runner.Event) { e.Remaining = 12 * time.Second })
	}
	return s
}

// At any size no line is wider than the screen, there are no more lines than it has, and nothing in them drives the
// terminal.
func TestFramesFit(t *testing.T) {
	begin := time.Unix(1e9, 0)
	busy := busyState(begin)
	stopping := busyState(begin)
	stopping.stopping, stopping.plan.HasMetrics = true, false
	empty := newState(Plan{}, begin)
	for name, s := range map[string]*state{"empty": &empty, "busy": &busy, "stopping": &stopping} {
		for _, width := range []int{0, 1, 2, 3, 7, 20, 39, 40, 41, 79, 80, 81, 120, 300} {
			for _, height := range []int{0, 1, 2, 3, 5, 10, 15, 23, 24, 25, 40, 100} {
				lines := s.frame(begin.Add(time.Hour), width, height)
				if len(lines) != height && name != "empty" || len(lines) > height {
					t.Errorf("%s, %d×%d: %d lines", name, width, height, len(lines))
				}
				for _, l := range lines {
					drawn := l.render(false)
					if w := display.Width(drawn); w > width {
						t.Errorf("%s, %d×%d: %d columns in %q", name, width, height, w, drawn)
					}
					if clean := display.Clean(drawn); clean != drawn {
						t.Errorf("%s, %d×%d: %q is drawn", name, width, height, drawn)
					}
				}
			}
		}
	}
}

func drawn(lines []line) string {
	var out []string
	for _, l := range lines {
		out = append(out, strings.TrimRight(l.render(false), " "))
	}
	return strings.Join(out, "\n")
}

// What a person looks for first is there on a small screen; on one of 80 × 24 everything is.
func TestFramesSay(t *testing.T) {
	begin := time.Unix(1e9, 0)
	s := busyState(begin)
	s.event.Number = len(s.plan.Tests)
	delete(s.done, len(s.plan.Tests)-1)
	s.left = new(2 * time.Hour)
	for _, c := range []struct {
		width, height int
		says          []string
	}{
		{40, 2, []string{"now   T9", "tests"}},
		{40, 15, []string{"now   T9  cooling down 12 s", "8 of 9", "output", "KV cache", "100.0 %", "GPU 0", "▸ T9", "^C"}},
		{80, 24, []string{"SIMULATED bench", "about", "output", "TTFT", "50.0 ms", "KV cache", "1000000000 waiting", "GPU 0", "100 %", "79.1/80.0 GiB",
			"▸ T9", "running", "warning, doubtful", "Enter or s", "▁", "█"}},
		{200, 60, []string{"GPU 7", "T1 ", "hw_slowdown", "throttling"}},
	} {
		frame := drawn(s.frame(begin.Add(time.Hour), c.width, c.height))
		for _, want := range c.says {
			if !strings.Contains(frame, want) {
				t.Errorf("%d×%d lacks %q:\n%s", c.width, c.height, want, frame)
			}
		}
	}
}

// A view's colours come from the view alone, and a frame without them says the same.
func TestColourAddsNothing(t *testing.T) {
	s := busyState(time.Unix(1e9, 0))
	for _, l := range s.frame(time.Unix(1e9+60, 0), 80, 24) {
		coloured := l.render(true)
		for _, st := range []style{bold, dim, red, green, yellow, cyan, "0"} {
			coloured = strings.ReplaceAll(coloured, fmt.Sprintf("\x1b[%sm", st), "")
		}
		if coloured != l.render(false) {
			t.Errorf("%q and %q differ", coloured, l.render(false))
		}
	}
}

// The scrapes' token counts, spread over seconds, stay the same in sum, however irregular the scrapes are.
func TestSpreadKeepsTheSum(t *testing.T) {
	var s series
	at, sum := int64(5e8), 0.0
	for i := range 100 {
		next := at + int64(3e7*(1+i%40))
		s.spread(at, next, float64(i))
		at, sum = next, sum+float64(i)
	}
	got := 0.0
	for _, v := range s.values {
		got += v
	}
	if math.Abs(got-sum) > 1e-6 {
		t.Errorf("%v tokens of %v are drawn", got, sum)
	}
	if want := int((at-1)/bucketNS) + 1; len(s.values) != want {
		t.Errorf("%d columns for %d seconds", len(s.values), want)
	}
}

func TestSeriesLeaveOneGap(t *testing.T) {
	var s series
	s.highest(1e9, 1)
	s.gap()
	s.gap()
	s.highest(60e9, 2)
	s.highest(1e9, 9) // of the past: not drawn
	s.highest(200e9, 3)
	if got := fmt.Sprint(s.values); got != "[1 NaN 2 NaN 3]" {
		t.Errorf("columns are %s", got)
	}
	for i := range 3 * seriesMax {
		s.add(float64(i))
	}
	if len(s.values) != seriesMax {
		t.Errorf("%d columns are kept", len(s.values))
	}
}

func TestSparkline(t *testing.T) {
	for _, c := range []struct {
		values []float64
		top    float64
		width  int
		want   string
	}{
		{nil, 1, 3, "   "},
		{[]float64{0, 0.5, 1}, 1, 5, "  ▁▅█"},
		{[]float64{9, 0, 1}, 1, 2, "▁█"},
		{[]float64{1, math.NaN(), 1}, 1, 3, "█ █"},
		{[]float64{0, 0}, 0, 2, "▁▁"},
		{[]float64{2}, 1, 0, ""},
	} {
		if got := sparkline(c.values, c.top, c.width); got != c.want {
			t.Errorf("%v to %v in %d: %q, want %q", c.values, c.top, c.width, got, c.want)
		}
	}
}

// Without /metrics, throughput is a repeat's so far: tokens of finished requests by the time since its first send.
func TestRateWithoutMetrics(t *testing.T) {
	s := newState(Plan{Tests: runner.Matrix(1)}, time.Unix(0, 0))
	s.observe(runner.Event{Kind: runner.RepeatStarted, Number: 1}, time.Unix(1, 0))
	for i := range int64(4) {
		r := record.Request{SentNS: 1e9, FirstTokenNS: new(int64(2e9)), LastTokenNS: new(3e9 + i*1e9), CompletionTokens: new(100), Success: i != 3}
		s.observe(runner.Event{Kind: runner.RequestDone, Number: 1, Request: &r}, time.Unix(2, 0))
	}
	if s.rate == nil || *s.rate != 75 { // 300 tokens in 4 s; the one that failed does not count
		t.Errorf("rate is %v", s.rate)
	}
}

// What one redraw costs; there are four a second.
func BenchmarkFrame(b *testing.B) {
	s := busyState(time.Unix(1e9, 0))
	for b.Loop() {
		for _, l := range s.frame(time.Unix(1e9+60, 0), 120, 40) {
			l.render(true)
		}
	}
}
