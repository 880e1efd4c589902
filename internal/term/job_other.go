//go:build !linux && !darwin

package term

import "os"

// Jobs are unknown here: nothing is ever in the background, stopped or continued.

func foreground(int) bool             { return true }
func watchContinued(chan<- os.Signal) {}
func stopJob()                        {}
func outlive()                        {}
