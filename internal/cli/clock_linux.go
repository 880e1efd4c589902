package cli

import (
	"os"
	"strings"
	"syscall"

	"bench/internal/record"
)

// timeUnsynchronised is the kernel's STA_UNSYNC: no daemon keeps the clock.
const timeUnsynchronised = 0x40

// hostClock is what the kernel knows of its clock: adjtimex(2) holds a bound on its error while a daemon keeps it.
func hostClock() *record.Clock {
	c := &record.Clock{}
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		c.BootID = strings.TrimSpace(string(id))
	}
	var t syscall.Timex
	if _, err := syscall.Adjtimex(&t); err == nil && t.Status&timeUnsynchronised == 0 {
		c.MaxErrorMS = new(float64(t.Maxerror) / 1000) // the kernel counts microseconds
	}
	return c
}
