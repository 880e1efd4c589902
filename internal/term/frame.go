package term

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"bench/internal/display"
	"bench/internal/record"
)

// style is how a piece of a line is drawn.
type style string

// Styles are sequences of the terminal; their meaning never rests on colour alone, words say it too.
const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

type piece struct {
	text  string
	style style
}

// line is one line of a frame.
type line []piece

// fit shortens a line to at most width columns.
func (l line) fit(width int) line {
	var out line
	for _, p := range l {
		w := display.Width(p.text)
		if w > width {
			if p.text = display.Cut(p.text, width); p.text != "" {
				out = append(out, p)
			}
			return out
		}
		out, width = append(out, p), width-w
	}
	return out
}

func (l line) render(colour bool) string {
	var b strings.Builder
	for _, p := range l {
		if colour && p.style != plain && p.text != "" {
			fmt.Fprintf(&b, "\x1b[%sm%s\x1b[0m", p.style, p.text)
		} else {
			b.WriteString(p.text)
		}
	}
	return b.String()
}

// frame is the screen at an instant: at most height lines of at most width columns. Where not everything fits, what a
// person looks for first stays: what is done now, how far the plan is, the keys, throughput, KV cache, TTFT, the GPU.
func (s *state) frame(now time.Time, width, height int) []line {
	room := max(height, 0)
	take := func(want int) int {
		got := min(want, room)
		room -= got
		return got
	}
	step, plan, keys, title := take(1), take(1), take(1), take(1)
	rate, kv, ttft := take(1), take(1), take(1)
	gpus, server := take(min(len(s.gpus), 1)), take(1)
	rows := len(s.plan.Tests) + 1 // and the columns' names
	table := take(min(rows, 3))
	said := s.said(width)
	sayable := 0
	for _, block := range said {
		sayable += len(block)
	}
	messages := take(min(sayable, 2))
	more := take(rows - table)
	table += more
	messages += take(min(sayable, 8) - messages)
	gpus += take(len(s.gpus) - gpus)
	aboveGraphs, aboveTable, aboveSaid := take(1), take(1), take(min(messages, 1))
	messages += take(sayable - messages)

	var out []line
	add := func(n int, lines ...line) {
		for _, l := range lines[:min(n, len(lines))] {
			out = append(out, l.fit(width))
		}
	}
	blank := line{}
	add(title, s.titleLine())
	add(plan, s.planLine(now, width))
	add(step, s.stepLine())
	add(aboveGraphs, blank)
	add(rate, s.rateLine(width))
	add(ttft, s.ttftLine(width))
	add(kv, s.kvLine(width))
	add(server, s.serverLine())
	add(gpus, s.gpuLines()...)
	add(aboveTable, blank)
	add(table, s.table(table, width)...)
	add(aboveSaid, blank)
	add(messages, newestBlocks(said, messages)...)
	for len(out) < height-keys { // the keys stand on the last line
		add(1, blank)
	}
	add(keys, s.keyLine(width))
	return out
}

func (s *state) titleLine() line {
	l := line{{"bench", bold}, {"  " + s.plan.Title, plain}}
	if s.plan.Simulated {
		l = append(line{{"SIMULATED ", yellow}}, l...)
	}
	return l
}

// planLine is how far the plan is.
func (s *state) planLine(now time.Time, width int) line {
	total := len(s.plan.Tests)
	gone := now.Sub(s.began)
	share := 0.0
	if total > 0 {
		share = float64(len(s.done)) / float64(total)
	}
	words := fmt.Sprintf("%d of %d tests, %s gone", len(s.done), total, Span(gone))
	if left, ok := s.timeLeft(now); ok {
		if left > 0 {
			words += ", about " + Span(left) + " left"
		}
		if gone+left > 0 {
			share = gone.Seconds() / (gone + left).Seconds()
		}
	}
	bar := min(20, width-len("plan  ")-display.Width(words)-2)
	if bar < 5 {
		return line{{words, plain}}
	}
	full := min(bar, int(share*float64(bar)+0.5))
	return line{{"plan  ", dim}, {strings.Repeat("█", full), cyan}, {strings.Repeat("░", bar-full), dim}, {"  " + words, plain}}
}

// stepLine is what is being done now.
func (s *state) stepLine() line {
	if s.event.Test.ID == "" {
		return line{{"now   ", dim}, {s.step, plain}}
	}
	t := s.event.Test
	step := piece{s.step, plain}
	if s.event.Failed > 0 {
		step.style = red
	}
	return line{{"now   ", dim}, {t.ID, bold}, {"  ", plain}, step, {fmt.Sprintf("  (%s, %d/%d tokens)", loadOf(t), t.InputTokens, t.OutputTokens), dim}}
}

// Columns of a graph's line: its name, its value, the graph, its scale.
const (
	graphName  = 9
	graphValue = 11
	graphScale = 11
)

func graphLine(name, value string, values []float64, top float64, scale string, width int, st style) line {
	l := line{{display.Pad(name, graphName, false), dim}, {display.Pad(value, graphValue, true), plain}}
	room := width - graphName - graphValue - 2
	if room-graphScale >= 10 {
		room -= graphScale
	} else {
		scale = ""
	}
	if room < 1 {
		return l
	}
	return append(l, piece{"  " + sparkline(values, top, room), st}, piece{" " + scale, dim})
}

// graphRoom is how many columns of a graph can be seen at most.
func graphRoom(width int) int { return max(width-graphName-graphValue-2, 0) }

func (s *state) rateLine(width int) line {
	values := s.throughput.whole()
	top := highestOf(newest(values, graphRoom(width)))
	if s.rate != nil {
		top = max(top, *s.rate)
	}
	return graphLine("output", value(s.rate, "%.0f tok/s"), values, top, upTo(top, "%.0f"), width, green)
}

func (s *state) ttftLine(width int) line {
	values := s.ttft.values
	top := highestOf(newest(values, graphRoom(width)))
	shown, scale := "–", ""
	if s.lastTTFT != nil {
		shown, scale = millis(*s.lastTTFT), "≤ "+millis(top)
	}
	return graphLine("TTFT", shown, values, top, scale, width, cyan)
}

func (s *state) kvLine(width int) line {
	shown := "–"
	if s.lastRow != nil && s.lastRow.KVUsage != nil {
		shown = fmt.Sprintf("%.1f %%", 100**s.lastRow.KVUsage)
	}
	st := green
	if s.lastRow != nil && s.lastRow.KVUsage != nil && *s.lastRow.KVUsage >= 0.99 {
		st = red
	}
	return graphLine("KV cache", shown, s.kv.values, 1, "of 100 %", width, st)
}

func upTo(top float64, format string) string {
	if top == 0 {
		return ""
	}
	return "≤ " + fmt.Sprintf(format, top)
}

// value prints a figure, or a dash where there is none.
func value(v *float64, format string) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf(format, *v)
}

func (s *state) serverLine() line {
	l := line{{display.Pad("server", graphName, false), dim}}
	switch row := s.lastRow; {
	case !s.plan.HasMetrics:
		return append(l, piece{"its /metrics are not readable", dim})
	case row == nil:
		return append(l, piece{"not asked between tests", dim})
	default:
		l = append(l, piece{value(row.Running, "%.0f running"), plain}, piece{value(row.Waiting, ", %.0f waiting"), plain})
		if row.Preemptions != nil && *row.Preemptions > 0 {
			l = append(l, piece{fmt.Sprintf(", %.0f preempted", *row.Preemptions), red})
		}
		return l
	}
}

func (s *state) gpuLines() []line {
	var out []line
	for _, g := range s.gpus {
		l := line{{display.Pad(fmt.Sprintf("GPU %d", g.Index), graphName, false), dim}}
		var parts []string
		if g.GPUUtil != nil {
			parts = append(parts, fmt.Sprintf("%3.0f %%", *g.GPUUtil))
		}
		if g.MemoryUsedMiB != nil && g.MemoryTotalMiB != nil {
			parts = append(parts, fmt.Sprintf("%.1f/%.1f GiB", *g.MemoryUsedMiB/1024, *g.MemoryTotalMiB/1024))
		}
		if g.PowerW != nil {
			power := fmt.Sprintf("%.0f W", *g.PowerW)
			if g.PowerLimitW != nil {
				power = fmt.Sprintf("%.0f/%.0f W", *g.PowerW, *g.PowerLimitW)
			}
			parts = append(parts, power)
		}
		if g.TemperatureC != nil {
			parts = append(parts, fmt.Sprintf("%.0f °C", *g.TemperatureC))
		}
		if g.SMClockMHz != nil {
			parts = append(parts, fmt.Sprintf("%.0f MHz", *g.SMClockMHz))
		}
		l = append(l, piece{strings.Join(parts, "  "), plain})
		if g.ClockEvents != nil {
			if e := record.ClockEvents(*g.ClockEvents) &^ record.ClockGPUIdle; e != 0 {
				l = append(l, piece{"  " + strings.Join(e.Names(), ", "), yellow})
			}
		}
		out = append(out, l)
	}
	return out
}

// newestBlocks are the last blocks that fit n lines together; where not even the last does, its beginning.
func newestBlocks(blocks [][]line, n int) []line {
	var out []line
	for i := len(blocks) - 1; i >= 0; i-- {
		if len(out) > 0 && len(out)+len(blocks[i]) > n {
			break
		}
		out = append(slices.Clone(blocks[i]), out...)
	}
	return out[:min(n, len(out))]
}

// said are the messages, each wrapped, oldest first.
func (s *state) said(width int) [][]line {
	var out [][]line
	for _, m := range s.messages {
		mark, st := "· ", dim
		if m.finding {
			mark, st = "! ", yellow
		}
		if m.bad {
			st = red
		}
		var block []line
		for i, part := range display.Wrap(m.text, width-2) {
			lead := "  "
			if i == 0 {
				lead = mark
			}
			block = append(block, line{{lead, st}, {part, plain}})
		}
		out = append(out, block)
	}
	return out
}

func (s *state) keyLine(width int) line {
	long, short := "Enter or s: skip the cooldown   q: stop after this test   Ctrl-C: stop now", "s: skip  q: stop after test  ^C: stop"
	switch {
	case s.stopping:
		long, short = "stopping after this test   q: go on after all   Ctrl-C: stop now", "stops after test  q: go on  ^C: stop"
	case !s.keys:
		long, short = "Ctrl-C: stop", "^C: stop"
	}
	st := dim
	if s.stopping {
		st = yellow
	}
	if display.Width(long) > width {
		long = short
	}
	return line{{long, st}}
}
