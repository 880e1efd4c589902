//go:build unix

package cli_test

import (
	"os"
	"runtime"
	"syscall"
)

// mostMemory is the most a process had in memory, in bytes.
func mostMemory(p *os.ProcessState) (n int64, ok bool) {
	u, ok := p.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, false
	}
	if runtime.GOOS == "darwin" { // counts bytes, others KiB
		return u.Maxrss, true
	}
	return u.Maxrss << 10, true
}
