//go:build !linux

package vllm

import "net"

// directly is c: cheaper reads are known for Linux only.
func directly(c net.Conn) net.Conn { return c }
