//go:build !linux && !darwin

package term

import "os"

// Jobs are unknown here: nothing is ever in the background, stopped or continued.

func foreground(int) bool            { return true }
func watchJob(_, _ chan<- os.Signal) {}
func stopJob(chan<- os.Signal)       {}
func outlive()                       {}
