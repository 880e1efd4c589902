//go:build unix

package record

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile takes an advisory lock that the kernel drops when the process ends, so a killed run
// never leaves a folder locked.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%w; name a writable one with --out", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("another bench is writing there: wait for it, or name another folder with --out")
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if held, err := f.Stat(); err == nil {
		if now, err := os.Stat(path); err != nil || !os.SameFile(held, now) { // its holder removed it on leaving
			f.Close()
			return nil, errors.New("another bench was just leaving it: do that again")
		}
	}
	return f, nil
}
