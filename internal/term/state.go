package term

import (
	"fmt"
	"time"

	"bench/internal/display"
	"bench/internal/record"
	"bench/internal/runner"
)

// state is what a view shows, made from the events of a run.
type state struct {
	plan     Plan
	keys     bool // somebody can press them
	began    time.Time
	stopping bool // after this test
	step     string
	event    runner.Event         // the last that named a test
	done     map[int]*testOutcome // by the test's place in the plan, from 0
	left     *time.Duration
	leftAt   time.Time // when left was told

	throughput, kv, ttft series
	lastRow              *record.ServerRow
	rate                 *float64 // output tokens a second, of the last scrape or of the repeat so far
	lastTTFT             *float64 // ms
	repeat               repeatSoFar
	gpus                 []record.GPUSample

	messages []message
}

// testOutcome is how a test of the plan ended; a test that was there already has no record here.
type testOutcome struct{ record *record.Record }

// message is something to be read; a finding says what a figure is worth, a bad one that it is worth nothing.
type message struct {
	text         string
	finding, bad bool
}

// messagesMax is how many are kept: more than any screen shows.
const messagesMax = 50

// repeatSoFar adds up a repeat where the server does not count tokens itself.
type repeatSoFar struct {
	tokens      int
	first, last int64
}

func newState(plan Plan, now time.Time) state {
	plan.Title = display.Clean(plan.Title)
	return state{plan: plan, began: now, done: map[int]*testOutcome{}}
}

func (s *state) say(text string) { s.tell(message{text: text}) }

func (s *state) tell(m message) {
	s.messages = append(s.messages, m)
	if n := len(s.messages); n > messagesMax {
		s.messages = s.messages[n-messagesMax:]
	}
}

// observe takes in one event that came at now.
func (s *state) observe(e runner.Event, now time.Time) {
	if i := e.Number - 1; i >= 0 && i == len(s.plan.Tests) {
		s.plan.Tests = append(s.plan.Tests[:i:i], e.Test) // one more of a search
	}
	switch e.Kind {
	case runner.TestSkipped:
		s.done[e.Number-1] = &testOutcome{}
	case runner.TestStarted:
		s.left, s.leftAt = e.Left, now
		s.throughput.gap()
		s.kv.gap()
		s.ttft.gap()
		s.lastRow, s.rate, s.gpus = nil, nil, nil
	case runner.RepeatStarted:
		s.repeat = repeatSoFar{}
	case runner.RequestDone:
		s.finished(e.Request)
	case runner.TestDone:
		s.done[e.Number-1] = &testOutcome{e.Record}
		s.left, s.leftAt = e.Left, now
		if e.Record.Status == record.StatusFailure {
			s.tell(message{e.Test.ID + " failed: " + display.Clean(e.Record.Detail.Reason), true, true})
		}
		for _, f := range findings(*e.Record) {
			s.tell(message{fmt.Sprintf("%s %s, %s: %s", e.Test.ID, e.Record.Trust.Verdict, f.Check, display.Clean(f.Evidence)), true, e.Record.Trust.Verdict == record.TrustInvalid})
		}
	case runner.Note:
		text := display.Clean(e.Text)
		if e.Test.ID != "" {
			text = e.Test.ID + " " + text
		}
		s.say(text)
		return
	case runner.ServerSampled:
		s.scraped(e.Server)
		return
	case runner.GPUSampled:
		s.gpus = e.GPUs
		return
	}
	if text := s.stepOf(e); text != "" {
		s.step = text
	}
	s.event = e
}

// stepOf is what is being done after an event.
func (s *state) stepOf(e runner.Event) string {
	switch e.Kind {
	case runner.CoolingDown:
		text := "cooling down " + Span(e.Remaining)
		if e.Number < len(s.plan.Tests) {
			text += ", then " + s.plan.Tests[e.Number].ID
		}
		return text
	case runner.WaitingForServer:
		return "the server stopped answering; waiting " + Span(e.Remaining) + " for its return"
	}
	return step(e)
}

// finished takes in a request that ended.
func (s *state) finished(r *record.Request) {
	if d, ok := r.TTFT(); ok {
		s.lastTTFT = new(float64(d) / float64(time.Millisecond))
		s.ttft.add(*s.lastTTFT)
	}
	if s.plan.HasMetrics || !r.Success || r.LastTokenNS == nil {
		return
	}
	p := &s.repeat
	if p.tokens == 0 || r.SentNS < p.first {
		p.first = r.SentNS
	}
	p.tokens, p.last = p.tokens+r.OutputTokens(), max(p.last, *r.LastTokenNS)
	if p.last > p.first {
		s.rate = new(float64(p.tokens) / (float64(p.last-p.first) / 1e9))
		s.throughput.highest(p.last, *s.rate)
	}
}

// shortestScrape is the time between two scrapes from which their difference is shown as a rate: an engine counts
// a step's tokens when the step ends, so over a shorter time the rate is that of single steps.
const shortestScrape = 200 * time.Millisecond

// scraped takes in one reading of the server's counters.
func (s *state) scraped(row *record.ServerRow) {
	if row.KVUsage != nil {
		s.kv.highest(row.AtNS, *row.KVUsage)
	}
	if prev := s.lastRow; prev != nil && row.GenerationTokens != nil {
		s.throughput.spread(prev.AtNS, row.AtNS, *row.GenerationTokens)
		if d := row.AtNS - prev.AtNS; d >= int64(shortestScrape) {
			s.rate = new(*row.GenerationTokens / (float64(d) / 1e9))
		}
	}
	s.lastRow = row
}

// timeLeft is how long the plan still takes, about; ok is false where that is not known.
func (s *state) timeLeft(now time.Time) (d time.Duration, ok bool) {
	if s.left == nil {
		return 0, false
	}
	return max(0, *s.left-now.Sub(s.leftAt)), true
}
