package clock

import (
	"testing"
	"time"
)

// TestNap: naps that end early are few enough to cost no processor.
func TestNap(t *testing.T) {
	start := time.Now()
	naps := 0
	for until := start.Add(3 * time.Millisecond); time.Until(until) > 0; naps++ {
		Nap(time.Until(until))
	}
	if naps > 1000 {
		t.Errorf("%d naps took %v", naps, time.Since(start))
	}
}
