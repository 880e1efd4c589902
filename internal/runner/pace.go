package runner

import (
	"context"
	"sync"
	"time"
)

// pace calls something regularly and says how regularly that was.
type pace struct {
	mu           sync.Mutex
	calls        int
	missed       int           // instants that passed while a call was under way
	late, latest time.Duration // behind the instants asked for: sum, and the worst
}

// run calls f at each whole period after now until ctx ends. An instant that passes while f runs is
// missed, not made up.
func (p *pace) run(ctx context.Context, period time.Duration, f func()) {
	next := time.Now().Add(period)
	timer := time.NewTimer(period)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		p.called(time.Since(next))
		f()
		next = next.Add(period)
		if behind := time.Since(next); behind > 0 {
			passed := int(behind/period) + 1
			p.miss(passed)
			next = next.Add(time.Duration(passed) * period)
		}
		timer.Reset(time.Until(next))
	}
}

func (p *pace) called(late time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	p.late += late
	p.latest = max(p.latest, late)
}

func (p *pace) miss(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.missed += n
}

// lateness is the mean and the worst lateness in milliseconds, and the number of missed instants.
func (p *pace) lateness() (meanMS, maxMS float64, missed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls > 0 {
		meanMS = ms(p.late) / float64(p.calls)
	}
	return meanMS, ms(p.latest), p.missed
}

// turn lets one caller in at a time. It is a channel because waiting for a mutex neither ends with a context nor lets
// virtual time go on: one reading that hangs would hold up the other's.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// take waits for the turn; false when ctx ended first.
func (t turn) take(ctx context.Context) bool {
	select {
	case t <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t turn) pass() { <-t }
