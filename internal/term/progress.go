package term

import (
	"fmt"
	"sync"
	"time"

	"bench/internal/display"
	"bench/internal/record"
	"bench/internal/runner"
)

// Progress shows a run.
type Progress interface {
	// Observe shows one event of it.
	Observe(runner.Event)
	// Status shows what is being done before or between tests; the next takes its place where that can be.
	Status(format string, args ...any)
	// Line shows a line that stays.
	Line(format string, args ...any)
	// Done ends showing and leaves the lines that stay.
	Done()
}

// Lines shows a run as lines that stay, for a pipe, a log or a dumb terminal. On a live screen what is being
// done stands in one more line, which is redrawn.
type Lines struct {
	screen  Screen
	virtual bool

	mu    sync.Mutex
	said  transcript
	live  string    // what the live line shows
	drawn time.Time // when it was drawn last
}

// NewLines shows a run on screen. On virtual time nothing lasts long enough to be said while it is done.
func NewLines(screen Screen, virtual bool) *Lines { return &Lines{screen: screen, virtual: virtual} }

// redrawPeriod bounds how often the live line or the view is drawn: more often nobody reads.
const redrawPeriod = 250 * time.Millisecond

// Observe implements [Progress].
func (p *Lines) Observe(e runner.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.said.lasting(e) {
		p.line(line)
	}
	switch {
	case p.virtual && e.Kind != runner.TestStarted:
	case p.screen.Live:
		p.draw(phase(e))
	case !p.virtual:
		for _, line := range p.said.passing(e) {
			p.line(line)
		}
	}
}

// Status implements [Progress].
func (p *Lines) Status(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := display.Clean(fmt.Sprintf(format, args...))
	if !p.screen.Live {
		p.line(text)
		return
	}
	p.drawn = time.Time{}
	p.draw(text)
}

// Line implements [Progress].
func (p *Lines) Line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(display.Clean(fmt.Sprintf(format, args...)))
}

// Done implements [Progress].
func (p *Lines) Done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *Lines) line(text string) {
	p.clear()
	fmt.Fprintln(p.screen.W, p.screen.Fold(text))
}

func (p *Lines) draw(text string) {
	if text != "" && time.Since(p.drawn) >= redrawPeriod {
		p.live, p.drawn = text, time.Now()
		fmt.Fprintf(p.screen.W, "\r\x1b[K%s", display.Cut(text, p.screen.Width()-1))
	}
}

func (p *Lines) clear() {
	if p.live != "" {
		fmt.Fprint(p.screen.W, "\r\x1b[K")
		p.live = ""
	}
}

// transcript makes lines of a run's events.
type transcript struct {
	cooled string // test whose cooldown was said
	waited string // test after which waiting for the server was said
}

// lasting are the lines that tell what came out.
func (t *transcript) lasting(e runner.Event) []string {
	switch e.Kind {
	case runner.TestSkipped:
		return []string{fmt.Sprintf("%s (%d/%d)  already measured", e.Test.ID, e.Number, e.Total)}
	case runner.TestDone:
		lines := []string{ResultLine(*e.Record)}
		for _, f := range findings(*e.Record) {
			lines = append(lines, fmt.Sprintf("%s  %s: %s", e.Test.ID, f.Check, display.Clean(f.Evidence)))
		}
		return lines
	case runner.WaitingForServer:
		if t.waited != e.Test.ID {
			t.waited = e.Test.ID
			return []string{fmt.Sprintf("%s  the server stopped answering (%s): waiting up to %s for its return", e.Test.ID, display.Clean(e.Text), Span(e.Remaining))}
		}
	case runner.Note:
		if e.Test.ID == "" {
			return []string{"note: " + display.Clean(e.Text)}
		}
		return []string{fmt.Sprintf("%s  note: %s", e.Test.ID, display.Clean(e.Text))}
	}
	return nil
}

// passing are the lines that tell a log what is being done.
func (t *transcript) passing(e runner.Event) []string {
	switch e.Kind {
	case runner.TestStarted:
		line := describe(e)
		if e.Left != nil {
			line += ", about " + Span(*e.Left) + " left"
		}
		return []string{line}
	case runner.CoolingDown:
		if t.cooled != e.Test.ID {
			t.cooled = e.Test.ID
			return []string{fmt.Sprintf("%s  cooling down %s", e.Test.ID, Span(e.Remaining))}
		}
	}
	return nil
}

// findings are those of a record worth a line: all but that it is simulated, which is said once for the run.
func findings(r record.Record) (out []record.Finding) {
	for _, f := range r.Trust.Findings {
		if f.Check != "simulated" {
			out = append(out, f)
		}
	}
	return out
}

// describe names a test and its place in the plan.
func describe(e runner.Event) string {
	return fmt.Sprintf("%s (%d/%d)  %s, %d/%d tokens", e.Test.ID, e.Number, e.Total, loadOf(e.Test), e.Test.InputTokens, e.Test.OutputTokens)
}

// phase is what is being done after an event, "" where that is not changed by it.
func phase(e runner.Event) string {
	switch e.Kind {
	case runner.CoolingDown:
		return fmt.Sprintf("%s (%d/%d)  cooling down %s", e.Test.ID, e.Number, e.Total, Span(e.Remaining))
	case runner.WaitingForServer:
		return fmt.Sprintf("%s (%d/%d)  waiting for the server's return, %s left", e.Test.ID, e.Number, e.Total, Span(e.Remaining))
	}
	if step := step(e); step != "" {
		return describe(e) + "  " + step
	}
	return ""
}

// step is where in its test an event is, "" where it does not tell.
func step(e runner.Event) string {
	switch e.Kind {
	case runner.TestStarted:
		return "starting"
	case runner.WaitingForIdle:
		return "waiting for an idle server"
	case runner.WarmingUp:
		return fmt.Sprintf("warm-up %d", e.Done+1)
	case runner.RepeatStarted:
		return fmt.Sprintf("run %d/%d", e.Run+1, e.Test.Runs)
	case runner.RequestDone:
		text := fmt.Sprintf("run %d/%d  %d/%d requests", e.Run+1, e.Test.Runs, e.Done, e.Test.Share())
		if e.Failed > 0 {
			text += fmt.Sprintf("  %d FAILED", e.Failed)
		}
		return text
	}
	return ""
}

// Span prints a time as people say it, to the second below an hour.
func Span(d time.Duration) string {
	s := int(max(d, 0).Round(time.Second).Seconds())
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d:%02d min", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d h", s/3600, s%3600/60)
}

// loadOf is a test's load in words: how many at once, or when they are due.
func loadOf(t record.Test) string {
	if t.Arrivals != nil {
		return t.Purpose
	}
	return fmt.Sprintf("%d at once", t.Concurrent)
}

// ResultLine is one test's outcome in a line of at most 100 columns.
func ResultLine(r record.Record) string {
	text := fmt.Sprintf("%-16s %4d × %d/%d", r.TestID, r.ConcurrentRequests, r.InputTokens, r.MaxOutputTokens)
	text = fmt.Sprintf("%-31s", text)
	for _, f := range []struct {
		name string
		v    *float64
	}{{" TTFT ", r.Results.AvgTTFTMS}, {"  TPOT ", r.Results.AvgTPOTMS}, {"  latency ", r.Results.AvgTotalLatencyMS}} {
		if f.v != nil {
			text += f.name + millis(*f.v)
		}
	}
	if v := r.Results.ThroughputTokensPerSec; v != nil {
		text += fmt.Sprintf("  %.0f tok/s", *v)
	}
	text += "  " + string(r.Status)
	if r.Status != record.StatusSuccess {
		text += ": " + display.Clean(r.Detail.Reason)
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
