//go:build unix

package vllm

import (
	"os"
	"runtime"
	"syscall"
)

// mostMemory is the most a process had in memory, in bytes; 0 where the system does not tell.
func mostMemory(p *os.ProcessState) int64 {
	u, ok := p.SysUsage().(*syscall.Rusage)
	switch {
	case !ok:
		return 0
	case runtime.GOOS == "darwin": // counts bytes, others KiB
		return u.Maxrss
	}
	return u.Maxrss << 10
}
