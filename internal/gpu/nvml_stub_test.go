//go:build !linux || !cgo

package gpu

import (
	"strings"
	"testing"
)

// A build without NVML says so when NVML is asked for, and goes on without when it is not.
func TestNVMLNotInBuild(t *testing.T) {
	if _, _, err := Open(NVML, nil); err == nil || !strings.Contains(err.Error(), "CGO_ENABLED=1") {
		t.Errorf("error %v", err)
	}
	t.Setenv("PATH", t.TempDir()) // no nvidia-smi
	source, note, err := Open(Auto, nil)
	if source != nil || err != nil || !strings.Contains(note, "GPU columns will be absent") {
		t.Errorf("auto: %v, %q, %v", source, note, err)
	}
}
