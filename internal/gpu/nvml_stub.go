//go:build !linux || !cgo

package gpu

import "errors"

// HasNVML says whether this build can read GPUs through NVML.
const HasNVML = false

// openNVML has no NVML in this build: the bindings need cgo and Linux.
func openNVML([]int) (Source, string, error) {
	return nil, "", errors.New("this build of bench has no NVML; use nvidia-smi, or build with CGO_ENABLED=1 on Linux")
}
