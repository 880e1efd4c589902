//go:build !linux

package cli

import "bench/internal/record"

// hostClock is not known here.
func hostClock() *record.Clock { return nil }
