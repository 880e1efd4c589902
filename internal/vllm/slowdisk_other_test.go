//go:build !linux

package vllm

import (
	"os/exec"
	"time"
)

const (
	slowDiskEnv    = "BENCH_SLOW_DISK"
	slowDiskAbsent = 77
)

func onSlowDisk(mount, store string, delay time.Duration, name string, args ...string) *exec.Cmd {
	return nil
}

func serveSlowDisk(string) {}
