package clock

import (
	"testing"
	"time"
)

// TestNap: naps add up to the time that was asked for, however often they end early.
func TestNap(t *testing.T) {
	start := time.Now()
	naps := 0
	for until := start.Add(3 * time.Millisecond); time.Until(until) > 0; naps++ {
		Nap(time.Until(until))
	}
	if time.Since(start) < 3*time.Millisecond || naps > 1000 {
		t.Errorf("%d naps took %v", naps, time.Since(start))
	}
}
