//go:build unix

package runner

import (
	"syscall"
	"time"
)

// processorTime is the time that this process has used of all processors; ok is false where the kernel does not tell.
func processorTime() (d time.Duration, ok bool) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}
