//go:build linux || darwin

package term

import (
	"syscall"
	"unsafe"
)

// foreground says whether the terminal fd belongs to this program's process group now.
func foreground(fd int) bool {
	var group int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCGPGRP, uintptr(unsafe.Pointer(&group)))
	return errno == 0 && int(group) == syscall.Getpgrp()
}
