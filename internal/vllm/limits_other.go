//go:build !unix

package vllm

// openFilesAllowed is not known here.
func openFilesAllowed() (n uint64, ok bool) { return 0, false }
