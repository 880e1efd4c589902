//go:build linux && cgo

package gpu

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/dl"
	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"bench/internal/record"
)

// HasNVML says whether this build can read GPUs through NVML.
const HasNVML = true

const nvmlLibrary = "libnvidia-ml.so.1"

// noMemory is what NVML gives as a process's memory where it cannot tell (NVML_VALUE_NOT_AVAILABLE).
const noMemory = math.MaxUint64

const (
	// nvmlOpenBound is how long a driver may take to open: it wakes every GPU, seconds each where no
	// process holds the driver awake.
	nvmlOpenBound = 30 * time.Second
	// nvmlCloseBound is how long a call that is under way is waited for at the end.
	nvmlCloseBound = 2 * time.Second
	// nvmlPeriod is how often GPUs may be read: NVML answers in well under a millisecond a GPU.
	nvmlPeriod = 100 * time.Millisecond
	// slowPeriod is how often the columns are read that take longer: PCIe throughput blocks for 20 ms a
	// direction and GPU while the driver measures it, and errors are rare.
	slowPeriod = time.Second
)

// nvmlSource reads GPUs through the driver's library. NVML may be called by several threads: what takes
// long has an owner of its own, so that it delays no regular reading.
type nvmlSource struct {
	fast, slow *owner
	lib        *nvmlLib // as opened; only the two owners call into it

	mu     sync.Mutex         // guards what follows
	slowAt time.Time          // when the slow columns were last asked for
	fresh  []record.GPUSample // slow columns that no sample has brought yet
}

// nvmlLib is the loaded library with what it offers. The bindings bind a function at its first call
// and the process dies if the library lacks it, so every one is looked up here first.
type nvmlLib struct {
	api       nvml.Interface
	handle    *dl.DynamicLibrary
	devices   []*nvmlDevice
	driver    string
	errorText bool
}

// nvmlDevice is one GPU with the columns it gives.
type nvmlDevice struct {
	index      int
	handle     nvml.Device
	fast, slow []nvmlColumn
	absent     []record.AbsentColumn
	mig        bool
	xids       nvml.EventSet // nil where there is none
}

func openNVML(indexes []int) (Source, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), nvmlOpenBound)
	defer cancel()
	return openNVMLLibrary(ctx, nvmlLibrary, indexes)
}

func openNVMLLibrary(ctx context.Context, library string, indexes []int) (Source, string, error) {
	s := &nvmlSource{fast: newOwner(), slow: newOwner()}
	var err error
	s.lib, err = do(ctx, s.fast, func() (*nvmlLib, error) { return loadNVML(library, indexes) })
	if err != nil {
		s.fast.end()
		s.slow.end()
		return nil, "", err
	}
	var mig []int
	for _, d := range s.lib.devices {
		if d.mig {
			mig = append(mig, d.index)
		}
	}
	return s, migNote(mig), nil
}

// Name implements [Source].
func (s *nvmlSource) Name() string { return NVML }

// Period implements [Source].
func (s *nvmlSource) Period() time.Duration { return nvmlPeriod }

// GPUs implements [Source].
func (s *nvmlSource) GPUs(ctx context.Context) ([]record.GPUInfo, error) {
	return do(ctx, s.fast, func() ([]record.GPUInfo, error) { return s.lib.describe(), nil })
}

// Sample implements [Source].
func (s *nvmlSource) Sample(ctx context.Context, atNS int64) ([]record.GPUSample, error) {
	samples, err := do(ctx, s.fast, func() ([]record.GPUSample, error) { return s.lib.sample(atNS), nil })
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.readSlow()
	for i, f := range s.fresh {
		samples[i].ECCUncorrected, samples[i].XID = f.ECCUncorrected, f.XID
		if time.Since(s.slowAt) < 2*slowPeriod { // else it was measured before a pause
			samples[i].PCIeTxKBps, samples[i].PCIeRxKBps = f.PCIeTxKBps, f.PCIeRxKBps
		}
	}
	s.fresh = nil
	return samples, nil
}

// readSlow has the slow columns read when it is time; a later sample brings what was read. The caller
// holds mu.
func (s *nvmlSource) readSlow() {
	if time.Since(s.slowAt) < slowPeriod {
		return
	}
	if s.slow.offer(func() {
		fresh := s.lib.sampleSlow()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fresh = fresh
	}) {
		s.slowAt = time.Now()
	}
}

// Processes implements [Source].
func (s *nvmlSource) Processes(ctx context.Context) (map[int][]record.GPUProcess, error) {
	return do(ctx, s.slow, func() (map[int][]record.GPUProcess, error) { return s.lib.computeProcesses(), nil })
}

// Close implements [Source]. A library with a call under way is not unloaded: it would fall with it.
func (s *nvmlSource) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), nvmlCloseBound)
	defer cancel()
	if err := s.slow.close(ctx); err != nil {
		s.fast.end()
		return err
	}
	_, err := do(ctx, s.fast, func() (struct{}, error) { s.lib.unload(); return struct{}{}, nil })
	if errors.Is(err, errClosed) {
		return nil
	}
	if err != nil {
		s.fast.end()
		return err
	}
	return s.fast.close(ctx)
}

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
	l.errorText = l.offers("nvmlErrorString")
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
		d := &nvmlDevice{index: index, handle: handle}
		if l.offers("nvmlDeviceGetMigMode") {
			current, _, ret := handle.GetMigMode()
			d.mig = ret == nvml.SUCCESS && current == nvml.DEVICE_MIG_ENABLE
		}
		l.watchXIDs(d)
		l.chooseColumns(d)
		l.devices = append(l.devices, d)
	}
	return nil
}

func (l *nvmlLib) unload() {
	for _, d := range l.devices {
		if d.xids != nil {
			d.xids.Free()
		}
	}
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
		info := record.GPUInfo{Index: d.index, DriverVersion: l.driver, Source: NVML, MIG: d.mig, Absent: d.absent}
		now := l.read(d, d.fast, 0)
		info.MemoryUsedMiB, info.MemoryTotalMiB, info.PowerLimitW = now.MemoryUsedMiB, now.MemoryTotalMiB, now.PowerLimitW
		if l.offers("nvmlDeviceGetName") {
			if name, ret := d.handle.GetName(); ret == nvml.SUCCESS {
				info.Name = name
			}
		}
		if l.offers("nvmlDeviceGetUUID") {
			if uuid, ret := d.handle.GetUUID(); ret == nvml.SUCCESS {
				info.UUID = uuid
			}
		}
		if l.offers("nvmlDeviceGetCudaComputeCapability") {
			if major, minor, ret := d.handle.GetCudaComputeCapability(); ret == nvml.SUCCESS {
				info.ComputeCap = fmt.Sprintf("%d.%d", major, minor)
			}
		}
		infos = append(infos, info)
	}
	return infos
}

func (l *nvmlLib) sample(atNS int64) []record.GPUSample {
	samples := make([]record.GPUSample, len(l.devices))
	for i, d := range l.devices {
		samples[i] = l.read(d, d.fast, atNS)
	}
	return samples
}

func (l *nvmlLib) sampleSlow() []record.GPUSample {
	samples := make([]record.GPUSample, len(l.devices))
	for i, d := range l.devices {
		samples[i] = l.read(d, d.slow, 0)
	}
	return samples
}

// computeProcesses lists the compute processes of each GPU. Those of a GPU in MIG mode belong to several
// tenants and are left out.
func (l *nvmlLib) computeProcesses() map[int][]record.GPUProcess {
	byGPU := map[int][]record.GPUProcess{}
	if !l.offers("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2", "nvmlDeviceGetComputeRunningProcesses") {
		return byGPU
	}
	named := l.offers("nvmlSystemGetProcessName")
	for _, d := range l.devices {
		if d.mig {
			continue
		}
		processes, ret := d.handle.GetComputeRunningProcesses()
		if ret != nvml.SUCCESS {
			continue
		}
		byGPU[d.index] = make([]record.GPUProcess, 0, len(processes))
		for _, p := range processes {
			process := record.GPUProcess{PID: int(p.Pid)}
			if p.UsedGpuMemory != noMemory {
				process.MemoryMiB = new(mib(p.UsedGpuMemory))
			}
			if named {
				if name, ret := l.api.SystemGetProcessName(process.PID); ret == nvml.SUCCESS {
					process.Name = firstLine(name)
				}
			}
			byGPU[d.index] = append(byGPU[d.index], process)
		}
	}
	return byGPU
}
