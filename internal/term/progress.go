package term

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"bench/internal/record"
	"bench/internal/runner"
)

// redrawPeriod bounds how often the live line is drawn: more often nobody sees, and drawing costs the
// client time it should spend on reading streams.
const redrawPeriod = 100 * time.Millisecond

// Progress shows a run: on a terminal one line that is redrawn, under lines that stay; elsewhere only
// the lines that stay.
type Progress struct {
	screen  Screen
	canSkip bool // a person can press Enter

	mu     sync.Mutex
	live   string    // what the live line shows
	drawn  time.Time // when it was drawn last
	cooled string    // test whose cooldown was announced
	waited string    // test after which waiting for the server was announced
}

// NewProgress shows a run on screen. canSkip says whether Enter reaches the program.
func NewProgress(screen Screen, canSkip bool) *Progress {
	return &Progress{screen: screen, canSkip: canSkip}
}

// Observe shows one event of a run.
func (p *Progress) Observe(e runner.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what := fmt.Sprintf("%d at once", e.Test.Concurrent)
	if e.Test.Arrivals != nil {
		what = e.Test.Purpose
	}
	head := fmt.Sprintf("%s (%d/%d)  %s, %d/%d tokens", e.Test.ID, e.Number, e.Total, what, e.Test.InputTokens, e.Test.OutputTokens)
	switch e.Kind {
	case runner.TestSkipped:
		p.line("%s (%d/%d)  already measured", e.Test.ID, e.Number, e.Total)
	case runner.TestStarted:
		p.draw(true, "%s  starting", head)
	case runner.WaitingForIdle:
		p.draw(true, "%s  waiting for an idle server", head)
	case runner.WarmingUp:
		p.draw(true, "%s  warm-up %d", head, e.Done+1)
	case runner.RepeatStarted:
		p.draw(true, "%s  run %d/%d", head, e.Run+1, e.Test.Runs)
	case runner.RequestDone:
		p.draw(e.Done == e.Test.Share(), "%s  run %d/%d  %d/%d requests%s", head, e.Run+1, e.Test.Runs, e.Done, e.Test.Share(), failures(e.Failed))
	case runner.TestDone:
		p.line("%s", ResultLine(*e.Record))
	case runner.CoolingDown:
		p.cooling(e)
	case runner.WaitingForServer:
		p.waiting(e)
	case runner.Note:
		p.line("%s  note: %s", e.Test.ID, e.Text)
	}
}

// waiting says once that a dead server is waited for, and on a terminal for how long still.
func (p *Progress) waiting(e runner.Event) {
	left := e.Remaining.Round(time.Second)
	if p.waited != e.Test.ID {
		p.line("%s  the server stopped answering (%s): waiting up to %v for its return", e.Test.ID, e.Text, left)
	}
	p.waited = e.Test.ID
	p.draw(false, "%s (%d/%d)  waiting for the server's return, %v left", e.Test.ID, e.Number, e.Total, left)
}

func (p *Progress) cooling(e runner.Event) {
	seconds := int(e.Remaining.Round(time.Second).Seconds())
	skip := ""
	if p.canSkip {
		skip = " (Enter skips)"
	}
	if !p.screen.Live && p.cooled != e.Test.ID {
		p.line("%s  cooling down %d s%s", e.Test.ID, seconds, skip)
	}
	p.cooled = e.Test.ID
	p.draw(false, "%s (%d/%d)  cooling down %d s%s", e.Test.ID, e.Number, e.Total, seconds, skip)
}

func failures(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("  %d FAILED", n)
}

// Status shows what is being done before or between tests; on a terminal the line is replaced by the next.
func (p *Progress) Status(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.screen.Live {
		p.line(format, args...)
		return
	}
	p.draw(true, format, args...)
}

// Line prints a line that stays.
func (p *Progress) Line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(format, args...)
}

// Done clears the live line.
func (p *Progress) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.live = ""
}

func (p *Progress) line(format string, args ...any) {
	p.clear()
	fmt.Fprintf(p.screen.W, format+"\n", args...)
	p.live = ""
}

// draw replaces the live line. Without now it waits for its turn.
func (p *Progress) draw(now bool, format string, args ...any) {
	if !p.screen.Live || (!now && time.Since(p.drawn) < redrawPeriod) {
		return
	}
	text := fmt.Sprintf(format, args...)
	if text == p.live {
		return
	}
	if w := p.screen.Width() - 1; len(text) > w {
		text = strings.ToValidUTF8(text[:max(w, 0)], "")
	}
	fmt.Fprintf(p.screen.W, "\r\x1b[K%s", text)
	p.live, p.drawn = text, time.Now()
}

func (p *Progress) clear() {
	if p.screen.Live && p.live != "" {
		fmt.Fprint(p.screen.W, "\r\x1b[K")
	}
}

// ResultLine is one test's outcome in a line of at most 100 columns.
func ResultLine(r record.Record) string {
	text := fmt.Sprintf("%-16s %4d × %d/%d", r.TestID, r.ConcurrentRequests, r.InputTokens, r.MaxOutputTokens)
	text = fmt.Sprintf("%-31s", text)
	if v := r.Results.AvgTTFTMS; v != nil {
		text += fmt.Sprintf(" TTFT %s", millis(*v))
	}
	if v := r.Results.AvgTPOTMS; v != nil {
		text += fmt.Sprintf("  TPOT %s", millis(*v))
	}
	if v := r.Results.AvgTotalLatencyMS; v != nil {
		text += fmt.Sprintf("  latency %s", millis(*v))
	}
	if v := r.Results.ThroughputTokensPerSec; v != nil {
		text += fmt.Sprintf("  %.0f tok/s", *v)
	}
	text += "  " + string(r.Status)
	if r.Status != record.StatusSuccess {
		text += ": " + r.Detail.Reason
	}
	return text
}

// millis prints milliseconds in the unit one reads.
func millis(ms float64) string {
	switch {
	case ms >= 10_000:
		return fmt.Sprintf("%.1f s", ms/1e3)
	case ms >= 1_000:
		return fmt.Sprintf("%.2f s", ms/1e3)
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f ms", ms)
}
