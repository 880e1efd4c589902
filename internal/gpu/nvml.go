//go:build linux && cgo

package gpu

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/dl"
	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"bench/internal/record"
)

const nvmlLibrary = "libnvidia-ml.so.1"

// How long a driver may take. Opening wakes every GPU, seconds each where no process holds the driver
// awake; a reading takes well under a millisecond a GPU.
const (
	nvmlOpenBound = 30 * time.Second
	nvmlCallBound = 2 * time.Second
)

// nvmlSource reads GPUs through the driver's library.
type nvmlSource struct {
	owner *owner
	bound time.Duration
	lib   *nvmlLib // touched only in calls of owner
}

// nvmlLib is the loaded library with what it offers. The bindings bind a function at its first call
// and the process dies if the library lacks it, so every one is looked up here first.
type nvmlLib struct {
	api     nvml.Interface
	handle  *dl.DynamicLibrary
	devices []nvmlDevice
	mig     []int // indexes of GPUs in MIG mode
	driver  string

	name, uuid, capability, powerLimit      bool
	memory, memoryV2, utilisation, power    bool
	clocks, temperature, processes, migMode bool
	errorText                               bool
}

type nvmlDevice struct {
	index  int
	handle nvml.Device
}

func openNVML(indexes []int) (Source, string, error) {
	return openNVMLWithin(nvmlLibrary, indexes, nvmlOpenBound, nvmlCallBound)
}

func openNVMLWithin(library string, indexes []int, openBound, callBound time.Duration) (Source, string, error) {
	o := newOwner()
	lib, err := do(o, openBound, func() (*nvmlLib, error) { return loadNVML(library, indexes) })
	if err != nil {
		o.end()
		return nil, "", err
	}
	return &nvmlSource{owner: o, bound: callBound, lib: lib}, migNote(lib.mig), nil
}

// Name implements [Source].
func (s *nvmlSource) Name() string { return NVML }

// GPUs implements [Source].
func (s *nvmlSource) GPUs() ([]record.GPUInfo, error) {
	return do(s.owner, s.bound, func() ([]record.GPUInfo, error) { return s.lib.describe(), nil })
}

// Sample implements [Source].
func (s *nvmlSource) Sample(atNS int64) ([]record.GPUSample, error) {
	return do(s.owner, s.bound, func() ([]record.GPUSample, error) { return s.lib.sample(atNS), nil })
}

// Processes implements [Source].
func (s *nvmlSource) Processes() (map[int][]int, error) {
	return do(s.owner, s.bound, func() (map[int][]int, error) { return s.lib.computeProcesses(), nil })
}

// Close implements [Source].
func (s *nvmlSource) Close() error { return s.owner.close(s.bound, func() { s.lib.unload() }) }

// loadNVML loads the library and opens the GPUs with the given indexes, all when empty.
func loadNVML(library string, indexes []int) (*nvmlLib, error) {
	l := &nvmlLib{handle: dl.New(library, dl.RTLD_LAZY|dl.RTLD_GLOBAL)}
	if err := l.handle.Open(); err != nil {
		if strings.Contains(err.Error(), "No such file") {
			return nil, fmt.Errorf("this machine has no %s", library)
		}
		return nil, fmt.Errorf("load the NVIDIA driver library: %w", err)
	}
	for _, names := range [][]string{
		{"nvmlInit_v2", "nvmlInit"}, {"nvmlShutdown"}, {"nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"},
		{"nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"},
	} {
		if !l.offers(names...) {
			l.handle.Close()
			return nil, fmt.Errorf("%s lacks %s: it is no NVIDIA driver library", library, names[0])
		}
	}
	l.lookUp()
	l.api = nvml.New(nvml.WithLibraryPath(library))
	if ret := l.api.Init(); ret != nvml.SUCCESS {
		// Not shut down: that is for a library that was initialised.
		l.handle.Close()
		return nil, fmt.Errorf("initialise NVML: %s", l.text(ret))
	}
	if err := l.openDevices(indexes); err != nil {
		l.unload()
		return nil, err
	}
	return l, nil
}

// lookUp notes which optional calls this driver has; one it lacks costs its column and nothing else.
func (l *nvmlLib) lookUp() {
	l.errorText = l.offers("nvmlErrorString")
	l.name = l.offers("nvmlDeviceGetName")
	l.uuid = l.offers("nvmlDeviceGetUUID")
	l.capability = l.offers("nvmlDeviceGetCudaComputeCapability")
	l.powerLimit = l.offers("nvmlDeviceGetEnforcedPowerLimit")
	l.memory = l.offers("nvmlDeviceGetMemoryInfo")
	l.memoryV2 = l.offers("nvmlDeviceGetMemoryInfo_v2")
	l.utilisation = l.offers("nvmlDeviceGetUtilizationRates")
	l.power = l.offers("nvmlDeviceGetPowerUsage")
	l.clocks = l.offers("nvmlDeviceGetClockInfo")
	l.temperature = l.offers("nvmlDeviceGetTemperature")
	l.migMode = l.offers("nvmlDeviceGetMigMode")
	l.processes = l.offers("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2",
		"nvmlDeviceGetComputeRunningProcesses")
}

// offers says whether the library has one of the symbols.
func (l *nvmlLib) offers(symbols ...string) bool {
	return slices.ContainsFunc(symbols, func(symbol string) bool { return l.handle.Lookup(symbol) == nil })
}

func (l *nvmlLib) openDevices(indexes []int) error {
	if l.offers("nvmlSystemGetDriverVersion") {
		if version, ret := l.api.SystemGetDriverVersion(); ret == nvml.SUCCESS {
			l.driver = version
		}
	}
	count, ret := l.api.DeviceGetCount()
	if ret != nvml.SUCCESS {
		return fmt.Errorf("count GPUs: %s", l.text(ret))
	}
	if count == 0 {
		return errors.New("the NVIDIA driver sees no GPU")
	}
	all := make([]int, count)
	for i := range all {
		all[i] = i
	}
	chosen, err := pick(all, indexes)
	if err != nil {
		return err
	}
	for _, index := range chosen {
		handle, ret := l.api.DeviceGetHandleByIndex(index)
		if ret != nvml.SUCCESS {
			return fmt.Errorf("open GPU %d: %s", index, l.text(ret))
		}
		l.devices = append(l.devices, nvmlDevice{index, handle})
		if l.migMode {
			if current, _, ret := handle.GetMigMode(); ret == nvml.SUCCESS && current == nvml.DEVICE_MIG_ENABLE {
				l.mig = append(l.mig, index)
			}
		}
	}
	return nil
}

func (l *nvmlLib) unload() {
	l.api.Shutdown()
	l.handle.Close()
}

// text is the library's own message for a return code, where the library can say it.
func (l *nvmlLib) text(ret nvml.Return) string {
	if l.errorText {
		return ret.Error()
	}
	return fmt.Sprintf("NVML return code %d", ret)
}

func (l *nvmlLib) describe() []record.GPUInfo {
	infos := make([]record.GPUInfo, 0, len(l.devices))
	for _, d := range l.devices {
		info := record.GPUInfo{Index: d.index, DriverVersion: l.driver, Source: NVML}
		info.MemoryUsedMiB, info.MemoryTotalMiB = l.memoryMiB(d.handle)
		if l.name {
			if name, ret := d.handle.GetName(); ret == nvml.SUCCESS {
				info.Name = name
			}
		}
		if l.uuid {
			if uuid, ret := d.handle.GetUUID(); ret == nvml.SUCCESS {
				info.UUID = uuid
			}
		}
		if l.capability {
			if major, minor, ret := d.handle.GetCudaComputeCapability(); ret == nvml.SUCCESS {
				info.ComputeCap = fmt.Sprintf("%d.%d", major, minor)
			}
		}
		if l.powerLimit {
			info.PowerLimitW = watts(d.handle.GetEnforcedPowerLimit())
		}
		infos = append(infos, info)
	}
	return infos
}

// sample reads all GPUs. A code other than success (not supported, no permission, GPU lost) means
// that there is no reading, which is nil.
func (l *nvmlLib) sample(atNS int64) []record.GPUSample {
	samples := make([]record.GPUSample, 0, len(l.devices))
	for _, d := range l.devices {
		s := record.GPUSample{AtNS: atNS, Index: d.index}
		s.MemoryUsedMiB, s.MemoryTotalMiB = l.memoryMiB(d.handle)
		if l.utilisation {
			if rates, ret := d.handle.GetUtilizationRates(); ret == nvml.SUCCESS {
				s.GPUUtil, s.MemoryUtil = new(float64(rates.Gpu)), new(float64(rates.Memory))
			}
		}
		if l.power {
			s.PowerW = watts(d.handle.GetPowerUsage())
		}
		if l.clocks {
			s.SMClockMHz = reading(d.handle.GetClockInfo(nvml.CLOCK_SM))
			s.MemClockMHz = reading(d.handle.GetClockInfo(nvml.CLOCK_MEM))
		}
		if l.temperature {
			s.TemperatureC = reading(d.handle.GetTemperature(nvml.TEMPERATURE_GPU))
		}
		samples = append(samples, s)
	}
	return samples
}

// memoryMiB reads memory as nvidia-smi prints it. The second form of the call (driver 510 and later)
// keeps what the driver itself reserves out of "used"; the first form counts that in, some hundred
// MiB more. nvidia-smi of a driver uses the newest form the driver has, so the same is done here.
func (l *nvmlLib) memoryMiB(handle nvml.Device) (used, total *float64) {
	switch {
	case l.memoryV2:
		if m, ret := handle.GetMemoryInfo_v2(); ret == nvml.SUCCESS {
			return new(mib(m.Used)), new(mib(m.Total))
		}
	case l.memory:
		if m, ret := handle.GetMemoryInfo(); ret == nvml.SUCCESS {
			return new(mib(m.Used)), new(mib(m.Total))
		}
	}
	return nil, nil
}

func (l *nvmlLib) computeProcesses() map[int][]int {
	pids := map[int][]int{}
	if !l.processes {
		return pids
	}
	for _, d := range l.devices {
		processes, ret := d.handle.GetComputeRunningProcesses()
		if ret != nvml.SUCCESS {
			continue
		}
		pids[d.index] = make([]int, 0, len(processes))
		for _, process := range processes {
			pids[d.index] = append(pids[d.index], int(process.Pid))
		}
	}
	return pids
}

// watts turns a reading in milliwatts into watts.
func watts(milliwatts uint32, ret nvml.Return) *float64 {
	if ret != nvml.SUCCESS {
		return nil
	}
	return new(float64(milliwatts) / 1000)
}

func reading(value uint32, ret nvml.Return) *float64 {
	if ret != nvml.SUCCESS {
		return nil
	}
	return new(float64(value))
}

// mib is bytes in MiB, the unit nvidia-smi prints.
func mib(bytes uint64) float64 { return float64(bytes) / (1 << 20) }
