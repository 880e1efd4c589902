//go:build unix

package vllm

import "syscall"

// openFilesAllowed is how many files this process may have open; ok is false where the system does not tell.
func openFilesAllowed() (n uint64, ok bool) {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return 0, false
	}
	return uint64(r.Cur), true
}
