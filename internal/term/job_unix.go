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

// watchJob has a shell's wish to stop this job told on stop, and that it goes on on continued. Who reads the terminal in
// the background gets an error instead of being stopped.
func watchJob(stop, continued chan<- os.Signal) {
	if !signal.Ignored(syscall.SIGTSTP) {
		signal.Notify(stop, syscall.SIGTSTP)
	}
	signal.Notify(continued, syscall.SIGCONT)
	signal.Ignore(syscall.SIGTTIN)
}

// stopJob stops this job as the terminal's suspend key does. Where nobody could continue it nothing happens.
func stopJob(stop chan<- os.Signal) {
	if signal.Ignored(syscall.SIGTSTP) {
		return
	}
	signal.Reset(syscall.SIGTSTP)
	syscall.Kill(0, syscall.SIGTSTP)
	signal.Notify(stop, syscall.SIGTSTP)
}

// outlive lets this process go on when its job is ended, and write to a terminal that is another's.
func outlive() {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTTOU)
}
