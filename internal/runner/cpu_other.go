//go:build !unix

package runner

import "time"

// processorTime is not known here; a share of 0 limits nothing.
func processorTime() time.Duration { return 0 }
