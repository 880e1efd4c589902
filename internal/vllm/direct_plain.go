//go:build !linux || race

package vllm

import "net"

// directly is c: cheaper reads are known for Linux only, and the race detector knows that what was written to a socket happened
// before it was read only of reads that the syscall package makes.
func directly(c net.Conn) net.Conn { return c }
