//go:build !unix

package runner

import "time"

// processorTime is not known here.
func processorTime() (d time.Duration, ok bool) { return 0, false }
