//go:build !linux

package vllm

import (
	"os/exec"
	"time"
)

func onSlowDisk(mount, store string, delay time.Duration, name string, args ...string) *exec.Cmd {
	return nil
}

func serveSlowDisk(string) {}
