//go:build !go1.26 || go1.28

package sim

// InVirtualTime reports false without running f: with this Go version the program knows no way
// into virtual time, and the caller runs f in real time.
func InVirtualTime(f func()) bool { return false }
