// Package clock owns the one clock of a result folder: nanoseconds since the folder was begun.
// Requests, GPU samples and server samples are stamped with it. It never formats a time.
package clock

import "time"

// Clock counts monotonic nanoseconds. A resumed folder goes on where wall time stands now, so
// stamps of all its sessions share one axis. Its zero value is not usable; make one with [New].
type Clock struct {
	start  time.Time // carries the monotonic reading
	offset time.Duration
}

// New starts a clock that reads offset now; offset is 0 for a fresh folder.
func New(offset time.Duration) *Clock {
	return &Clock{start: time.Now(), offset: offset}
}

// Now is the clock's reading in nanoseconds.
func (c *Clock) Now() int64 { return int64(time.Since(c.start) + c.offset) }

// At converts an instant taken with time.Now in this process.
func (c *Clock) At(t time.Time) int64 { return int64(t.Sub(c.start) + c.offset) }

// Time is the instant of a reading of this clock, for timers and deadlines.
func (c *Clock) Time(ns int64) time.Time { return c.start.Add(time.Duration(ns) - c.offset) }
