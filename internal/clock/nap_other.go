//go:build !linux

package clock

import "time"

// Nap sleeps for a short time.
func Nap(d time.Duration) { time.Sleep(d) }
