package runner

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A call that lasts over several instants misses them, and the next one comes at a whole period again.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1050*time.Millisecond)
		defer cancel()
		start := time.Now()
		var p pace
		var at []time.Duration
		p.run(ctx, 100*time.Millisecond, func() {
			at = append(at, time.Since(start))
			if len(at) == 2 {
				time.Sleep(350 * time.Millisecond)
			}
		})
		want := []time.Duration{100, 200, 600, 700, 800, 900, 1000}
		if len(at) != len(want) {
			t.Fatalf("called at %v, want %v ms", at, want)
		}
		for i := range want {
			if at[i] != want[i]*time.Millisecond {
				t.Errorf("call %d at %v, want %v ms", i, at[i], want[i])
			}
		}
		if mean, most, missed := p.lateness(); mean != 0 || most != 0 || missed != 3 {
			t.Errorf("late by %v ms, at most %v ms, %d missed; want 0, 0, 3", mean, most, missed)
		}
	})
}

func TestLateness(t *testing.T) {
	var p pace
	if mean, most, missed := p.lateness(); mean != 0 || most != 0 || missed != 0 {
		t.Errorf("nothing called: %v, %v, %v", mean, most, missed)
	}
	p.called(time.Millisecond)
	p.called(3 * time.Millisecond)
	if mean, most, _ := p.lateness(); mean != 2 || most != 3 {
		t.Errorf("late by %v ms, at most %v ms; want 2, 3", mean, most)
	}
}
