// Package gpu reads this machine's NVIDIA GPUs, through NVML or through the nvidia-smi program. It
// only reads: it sets nothing, judges nothing and writes no file. What a driver does not say is nil.
package gpu

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bench/internal/record"
)

// Modes of [Open].
const (
	Auto      = "auto"
	NVML      = "nvml"
	NvidiaSMI = "nvidia-smi"
	None      = "none"
)

// Source reads GPUs. Its methods may be called by several goroutines; they return when their context
// ends, also where the driver does not answer.
type Source interface {
	// Name is "nvml" or "nvidia-smi".
	Name() string
	// Period is how often the GPUs may be sampled without costing the machine more than it is worth.
	Period() time.Duration
	// GPUs describes the GPUs the source was opened for, in the order of their index.
	GPUs(ctx context.Context) ([]record.GPUInfo, error)
	// Sample reads every GPU once and stamps the readings atNS, the caller's clock at the call.
	Sample(ctx context.Context, atNS int64) ([]record.GPUSample, error)
	// Processes are the compute processes on each GPU, by index. A GPU whose driver does not tell, and
	// one in MIG mode, is missing from the map; one without processes has an empty list. Inside a
	// container the ids may be those of the host, or none.
	Processes(ctx context.Context) (map[int][]record.GPUProcess, error)
	// Close ends the source. It returns an error when a driver call could not be waited for.
	Close() error
}

// Open opens a source for the GPUs with the given indexes (all when empty), as nvidia-smi numbers them.
//
// Auto takes NVML, else nvidia-smi, else none; none is then no error: the source is nil and note says
// why. An explicit mode that cannot be had is an error, and so is an index that does not exist. note
// is a remark to show once, or empty.
func Open(mode string, indexes []int) (source Source, note string, err error) {
	switch mode {
	case None:
		return nil, "", nil
	case NVML:
		source, note, err = openNVML(indexes)
	case NvidiaSMI:
		source, note, err = openSMI(indexes)
	case Auto:
		return openAuto(indexes)
	default:
		return nil, "", fmt.Errorf("unknown GPU telemetry %q: use auto, nvml, nvidia-smi or none", mode)
	}
	if err != nil {
		return nil, "", fmt.Errorf("GPU telemetry %s: %w", mode, err)
	}
	return source, note, nil
}

func openAuto(indexes []int) (Source, string, error) {
	source, note, nvmlErr := openNVML(indexes)
	if nvmlErr == nil {
		return source, note, nil
	}
	if errors.Is(nvmlErr, errNoSuchGPU) {
		return nil, "", nvmlErr
	}
	source, note, smiErr := openSMI(indexes)
	if errors.Is(smiErr, errNoSuchGPU) {
		return nil, "", smiErr
	}
	if smiErr == nil {
		return source, join(fmt.Sprintf("GPU samples come from nvidia-smi, which is slower than NVML (%v)", nvmlErr), note), nil
	}
	return nil, fmt.Sprintf("no GPU can be read (%v; %v): GPU columns will be absent", nvmlErr, smiErr), nil
}

// errNoSuchGPU marks an index the machine does not have.
var errNoSuchGPU = errors.New("no such GPU")

// pick checks wanted against the indexes there are and returns it sorted and without doubles; all of
// them when nothing is wanted.
func pick(have, wanted []int) ([]int, error) {
	if len(wanted) == 0 {
		return have, nil
	}
	for _, index := range wanted {
		if !slices.Contains(have, index) {
			return nil, fmt.Errorf("%w: index %d; this machine has %s", errNoSuchGPU, index, list(have))
		}
	}
	wanted = slices.Sorted(slices.Values(wanted))
	return slices.Compact(wanted), nil
}

// migReason is why a figure of a GPU split by MIG is refused.
const migReason = "MIG is on: the figure is that of the whole GPU, not of the server's instance"

// migNote says what a GPU split by MIG means for its readings.
func migNote(indexes []int) string {
	if len(indexes) == 0 {
		return ""
	}
	return fmt.Sprintf("MIG is on for GPU %s: memory, utilisation, power and processes are those of the whole GPU and are not recorded", list(indexes))
}

func list(indexes []int) string {
	texts := make([]string, len(indexes))
	for i, index := range indexes {
		texts[i] = fmt.Sprint(index)
	}
	return strings.Join(texts, ", ")
}

func join(notes ...string) string {
	return strings.Join(slices.DeleteFunc(notes, func(s string) bool { return s == "" }), "; ")
}
