package clock

import (
	"syscall"
	"time"
)

// Nap sleeps for a short time, to some 50 µs where a processor is free; it may wake early. A timer of Go's is kept by a wait
// for sockets that counts whole milliseconds, so it may come a millisecond late. Nap keeps a thread meanwhile, and time
// stands still for it in a synctest bubble.
func Nap(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&ts, nil) // a signal may end it: that is early
}
