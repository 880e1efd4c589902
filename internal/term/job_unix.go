//go:build linux || darwin

package term

import (
	"os"
	"os/signal"
	"syscall"
	"unsafe"
)

// foreground says whether the terminal fd belongs to this program's process group now.
func foreground(fd int) bool {
	var group int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCGPGRP, uintptr(unsafe.Pointer(&group)))
	return errno == 0 && int(group) == syscall.Getpgrp()
}

// watchContinued has told that this job goes on. Who reads the terminal in the background gets an error instead of being
// stopped.
func watchContinued(continued chan<- os.Signal) {
	signal.Notify(continued, syscall.SIGCONT)
	signal.Ignore(syscall.SIGTTIN)
}

// stopJob stops this job as the terminal's suspend key does, a moment after it returns; where nobody could continue it,
// not at all. The signal must never have been asked for: the runtime would go on catching it.
func stopJob() { syscall.Kill(0, syscall.SIGTSTP) }

// outlive lets this process go on when its job is ended, and write to a terminal that is another's.
func outlive() {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTTOU)
}
