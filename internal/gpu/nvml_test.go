//go:build linux && cgo

package gpu

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bench/internal/record"
)

// twoGPUs are the readings of the stand-in library: a 3090 and an A100.
const twoGPUs = `count 2
0.name NVIDIA GeForce RTX 3090
0.uuid GPU-aaaaaaaa-0000-0000-0000-000000000000
0.capability 86
0.power_limit 350000
0.used 23622320128
0.reserved 419430400
0.total 25769803776
0.gpu_util 97
0.memory_util 61
0.power 341250
0.sm_clock 1695
0.mem_clock 9501
0.temperature 71
0.energy 123456789
0.event_reasons 4
0.pcie_tx 2048
0.pcie_rx 4096
0.mig 0
0.processes 4242:23000000000 4343 17:1048576
process.4242 VLLM::EngineCore
1.name NVIDIA A100-SXM4-40GB
1.uuid GPU-bbbbbbbb-0000-0000-0000-000000000000
1.capability 80
1.power_limit 400000
1.used 0
1.reserved 629145600
1.total 42949672960
1.gpu_util 0
1.memory_util 0
1.power 52004
1.sm_clock 210
1.mem_clock 1215
1.temperature 29
1.energy 1000
1.event_reasons 1
1.ecc 3
1.xid 0
1.pcie_tx 0
1.pcie_rx 0
1.mig 0
`

// wantSamples is what a Sample of twoGPUs reads.
func wantSamples(atNS int64) []record.GPUSample {
	return []record.GPUSample{
		{AtNS: atNS, Index: 0, MemoryUsedMiB: new(22528.0), MemoryTotalMiB: new(24576.0), GPUUtil: new(97.0), MemoryUtil: new(61.0),
			PowerW: new(341.25), PowerLimitW: new(350.0), EnergyJ: new(123456.789), SMClockMHz: new(1695.0), MemClockMHz: new(9501.0),
			TemperatureC: new(71.0), ClockEvents: new(4.0)},
		{AtNS: atNS, Index: 1, MemoryUsedMiB: new(0.0), MemoryTotalMiB: new(40960.0), GPUUtil: new(0.0), MemoryUtil: new(0.0),
			PowerW: new(52.004), PowerLimitW: new(400.0), EnergyJ: new(1.0), SMClockMHz: new(210.0), MemClockMHz: new(1215.0),
			TemperatureC: new(29.0), ClockEvents: new(1.0)},
	}
}

// withSlow adds the columns that are read once a second.
func withSlow(samples []record.GPUSample) []record.GPUSample {
	samples[0].PCIeTxKBps, samples[0].PCIeRxKBps = new(2048.0), new(4096.0)
	samples[1].ECCUncorrected = new(3.0)
	samples[1].PCIeTxKBps, samples[1].PCIeRxKBps = new(0.0), new(0.0)
	return samples
}

// TestNVML reads GPUs through a real shared library. The loader reads LD_LIBRARY_PATH when a process
// starts and binds each function for good, so every case runs in a process of its own: the parent
// builds the library and runs this same subtest in a child.
func TestNVML(t *testing.T) {
	cases := []struct {
		name   string
		values string
		lacks  string // functions the library is built without
		check  func(t *testing.T)
	}{
		{"two GPUs", twoGPUs, "", checkTwoGPUs},
		{"slow columns", twoGPUs, "", checkSlowColumns},
		{"XID", twoGPUs, "", checkXID},
		{"chosen GPU", twoGPUs, "", checkChosen},
		{"opened twice", twoGPUs, "", checkOpenedTwice},
		{"concurrent", twoGPUs, "", checkConcurrent},
		{"not supported", "count 1\n0.used notsupported\n0.power 1000\n", "", checkNotSupported},
		{"MIG", strings.Replace(twoGPUs, "1.mig 0", "1.mig 1", 1), "", checkMIG},
		{"no GPU", "count 0\n", "", wantError("sees no GPU")},
		{"init fails", "init 9\n", "", wantError("initialise NVML: Driver Not Loaded")},
		{"init fails without error texts", "init 9\n", "ERROR_STRING", wantError("initialise NVML: NVML return code 9")},
		{"no driver library", twoGPUs, "INIT", wantError("lacks nvmlInit_v2")},
		{"old memory call", twoGPUs, "MEMORY_V2", checkOldMemory},
		{"old clock reasons", twoGPUs, "EVENT_REASONS", checkLacks(func(s *record.GPUSample) {})},
		{"lacks all", twoGPUs, "NAME UUID CAPABILITY POWER_LIMIT MEMORY MEMORY_V2 UTILISATION POWER ENERGY CLOCKS TEMPERATURE EVENT_REASONS THROTTLE_REASONS ECC XID PCIE MIG PROCESSES PROCESS_NAME ERROR_STRING", checkLacksAll},
		{"lacks memory", twoGPUs, "MEMORY MEMORY_V2", checkLacks(func(s *record.GPUSample) { s.MemoryUsedMiB, s.MemoryTotalMiB = nil, nil },
			"memory_used_mib", "memory_total_mib")},
		{"lacks utilisation", twoGPUs, "UTILISATION", checkLacks(func(s *record.GPUSample) { s.GPUUtil, s.MemoryUtil = nil, nil },
			"gpu_util_percent", "memory_util_percent")},
		{"lacks power", twoGPUs, "POWER", checkLacks(func(s *record.GPUSample) { s.PowerW = nil }, "power_w")},
		{"lacks power limit", twoGPUs, "POWER_LIMIT", checkLacks(func(s *record.GPUSample) { s.PowerLimitW = nil }, "power_limit_w")},
		{"lacks energy", twoGPUs, "ENERGY", checkLacks(func(s *record.GPUSample) { s.EnergyJ = nil }, "energy_j")},
		{"lacks clocks", twoGPUs, "CLOCKS", checkLacks(func(s *record.GPUSample) { s.SMClockMHz, s.MemClockMHz = nil, nil },
			"sm_clock_mhz", "memory_clock_mhz")},
		{"lacks temperature", twoGPUs, "TEMPERATURE", checkLacks(func(s *record.GPUSample) { s.TemperatureC = nil }, "temperature_c")},
		{"lacks clock reasons", twoGPUs, "EVENT_REASONS THROTTLE_REASONS", checkLacks(func(s *record.GPUSample) { s.ClockEvents = nil }, "clock_events")},
		{"lacks slow columns", twoGPUs, "ECC XID PCIE", checkLacks(func(s *record.GPUSample) {},
			"ecc_uncorrected", "xid", "pcie_tx_kb_per_s", "pcie_rx_kb_per_s")},
		{"hangs for a while", twoGPUs, "", checkHangs},
		{"hangs in PCIe", twoGPUs, "", checkHangsInPCIe},
		{"caller loses interest", twoGPUs, "", checkLosesInterest},
		{"hangs for good", twoGPUs, "", checkHangsForGood},
		{"hangs at open", twoGPUs + "hang.init 3600000\n", "", checkHangsAtOpen},
	}
	const child = "BENCH_TEST_NVML_CHILD"
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if os.Getenv(child) != "" {
				c.check(t)
				return
			}
			t.Parallel()
			dir := t.TempDir()
			var flags []string
			for name := range strings.FieldsSeq(c.lacks) {
				flags = append(flags, "-DLACK_"+name)
			}
			buildFakeNVML(t, filepath.Join(dir, nvmlLibrary), flags...)
			values := filepath.Join(dir, "values")
			writeFile(t, values, c.values)
			cmd := exec.Command(os.Args[0], "-test.run=^TestNVML$/^"+strings.ReplaceAll(c.name, " ", "_")+"$", "-test.count=1", "-test.v")
			// The race detector would sleep a second at each exit.
			cmd.Env = append(os.Environ(), child+"=1", "LD_LIBRARY_PATH="+dir, "FAKENVML_VALUES="+values, "GORACE=atexit_sleep_ms=0")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
				t.Errorf("child: %v\n%s", err, out)
			}
		})
	}
}

func checkTwoGPUs(t *testing.T) {
	source, note := open(t, nil)
	if source.Name() != "nvml" || note != "" {
		t.Errorf("name %q, note %q", source.Name(), note)
	}
	infos, err := source.GPUs(t.Context())
	want := []record.GPUInfo{
		{Index: 0, UUID: "GPU-aaaaaaaa-0000-0000-0000-000000000000", Name: "NVIDIA GeForce RTX 3090", MemoryTotalMiB: new(24576.0),
			MemoryUsedMiB: new(22528.0), DriverVersion: "570.86.15", ComputeCap: "8.6", PowerLimitW: new(350.0), Source: "nvml",
			Absent: []record.AbsentColumn{{Column: "ecc_uncorrected", Reason: "Not Supported"}, {Column: "xid", Reason: "Not Supported"}}},
		{Index: 1, UUID: "GPU-bbbbbbbb-0000-0000-0000-000000000000", Name: "NVIDIA A100-SXM4-40GB", MemoryTotalMiB: new(40960.0),
			MemoryUsedMiB: new(0.0), DriverVersion: "570.86.15", ComputeCap: "8.0", PowerLimitW: new(400.0), Source: "nvml"},
	}
	if err != nil || !reflect.DeepEqual(infos, want) {
		t.Errorf("GPUs: %v\n got %+v\nwant %+v", err, infos, want)
	}
	samples, err := source.Sample(t.Context(), 12345)
	if err != nil {
		t.Error(err)
	}
	sameSamples(t, samples, wantSamples(12345))
	processes, err := source.Processes(t.Context())
	// GPU 1 tells nothing of processes, and nothing is not none.
	wantProcesses := map[int][]record.GPUProcess{0: {
		{PID: 4242, Name: "VLLM::EngineCore", MemoryMiB: new(23e9 / (1 << 20))}, {PID: 4343}, {PID: 17, MemoryMiB: new(1.0)},
	}}
	if err != nil || !reflect.DeepEqual(processes, wantProcesses) {
		t.Errorf("processes: %v, %v; want %v", processes, err, wantProcesses)
	}
}

// checkSlowColumns: what takes long comes with one later sample, and delays none.
func checkSlowColumns(t *testing.T) {
	source, _ := open(t, nil)
	quick := func() {
		t.Helper()
		samples, err := source.Sample(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		sameSamples(t, samples, wantSamples(1))
	}
	quick()
	deadline := time.Now().Add(time.Minute)
	for {
		samples, err := source.Sample(t.Context(), 2)
		if err != nil || time.Now().After(deadline) {
			t.Fatal("no slow columns came: ", err)
		}
		if samples[0].PCIeTxKBps != nil {
			sameSamples(t, samples, withSlow(wantSamples(2)))
			break
		}
		time.Sleep(time.Millisecond)
	}
	quick()
}

// checkXID: an XID that was there before is no event, a new one is told once.
func checkXID(t *testing.T) {
	source, _ := open(t, nil)
	lib := source.(*nvmlSource).lib
	read := func() *float64 {
		samples, err := do(t.Context(), source.(*nvmlSource).slow, func() ([]record.GPUSample, error) { return lib.sampleSlow(), nil })
		if err != nil || samples[0].XID != nil {
			t.Fatal(samples, err)
		}
		return samples[1].XID
	}
	if x := read(); x != nil {
		t.Errorf("XID %v before one came", *x)
	}
	writeFile(t, os.Getenv("FAKENVML_VALUES"), strings.Replace(twoGPUs, "1.xid 0", "1.xid 79", 1))
	if x := read(); x == nil || *x != 79 {
		t.Errorf("XID %v, want 79", x)
	}
	if x := read(); x != nil {
		t.Errorf("XID %v told twice", *x)
	}
}

// absent are the columns that a GPU does not give.
func absent(t *testing.T, source Source, gpu int) (columns []string) {
	t.Helper()
	infos, err := source.GPUs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range infos[gpu].Absent {
		if a.Reason == "" {
			t.Errorf("%s is absent for no reason", a.Column)
		}
		columns = append(columns, a.Column)
	}
	return columns
}

func checkChosen(t *testing.T) {
	source, _ := open(t, []int{1, 1})
	samples, err := source.Sample(t.Context(), 7)
	if err != nil {
		t.Error(err)
	}
	sameSamples(t, samples, wantSamples(7)[1:])

	for _, mode := range []string{Auto, NVML} {
		_, _, err = Open(mode, []int{0, 2})
		if err == nil || !strings.Contains(err.Error(), "index 2; this machine has 0, 1") {
			t.Errorf("%s: error %v", mode, err)
		}
	}
}

func checkOpenedTwice(t *testing.T) {
	for range 3 {
		source, _, err := Open(NVML, nil)
		if err != nil {
			t.Fatal(err)
		}
		samples, err := source.Sample(t.Context(), 1)
		if err != nil {
			t.Error(err)
		}
		sameSamples(t, samples, wantSamples(1))
		for range 2 {
			if err := source.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := source.Sample(t.Context(), 2); !errors.Is(err, errClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func checkConcurrent(t *testing.T) {
	source, _ := open(t, nil)
	done := make(chan error)
	for i := range 8 {
		go func() {
			for range 50 {
				samples, err := source.Sample(t.Context(), int64(i))
				if err == nil && (len(samples) != 2 || samples[1].AtNS != int64(i)) {
					err = fmt.Errorf("got %+v", samples)
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func checkNotSupported(t *testing.T) {
	source, _ := open(t, nil)
	samples, err := source.Sample(t.Context(), 1)
	if err != nil {
		t.Error(err)
	}
	sameSamples(t, samples, []record.GPUSample{{AtNS: 1, PowerW: new(1.0)}})
	want := slices.DeleteFunc(record.GPUColumns(), func(c string) bool { return c == "power_w" })
	if got := absent(t, source, 0); !slices.Equal(got, want) {
		t.Errorf("absent %v, want %v", got, want)
	}
}

// checkMIG: a GPU in MIG mode gives what holds for each instance, and nothing that is of the whole GPU.
func checkMIG(t *testing.T) {
	source, note := open(t, nil)
	if !strings.HasPrefix(note, "MIG is on for GPU 1:") {
		t.Errorf("note %q", note)
	}
	samples, err := source.Sample(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	want := wantSamples(1)
	want[1] = record.GPUSample{AtNS: 1, Index: 1, PowerLimitW: new(400.0), SMClockMHz: new(210.0), MemClockMHz: new(1215.0),
		TemperatureC: new(29.0), ClockEvents: new(1.0)}
	sameSamples(t, samples, want)
	infos, err := source.GPUs(t.Context())
	if err != nil || !infos[1].MIG || infos[0].MIG || infos[1].MemoryTotalMiB != nil || infos[1].Absent[0] != (record.AbsentColumn{Column: "memory_used_mib", Reason: migReason}) {
		t.Errorf("%+v, %v", infos, err)
	}
	if processes, err := source.Processes(t.Context()); err != nil || processes[1] != nil {
		t.Errorf("processes %v, %v", processes, err)
	}
	if _, note := open(t, []int{0}); note != "" {
		t.Errorf("note %q for the GPU without MIG", note)
	}
}

func checkOldMemory(t *testing.T) {
	source, _ := open(t, nil)
	samples, err := source.Sample(t.Context(), 1)
	if err != nil {
		t.Error(err)
	}
	want := wantSamples(1)
	want[0].MemoryUsedMiB, want[1].MemoryUsedMiB = new(22928.0), new(600.0)
	sameSamples(t, samples, want)
}

// checkLacks checks that a driver without a function loses its columns and nothing else.
func checkLacks(drop func(*record.GPUSample), columns ...string) func(t *testing.T) {
	return func(t *testing.T) {
		source, _ := open(t, nil)
		samples, err := source.Sample(t.Context(), 1)
		if err != nil {
			t.Error(err)
		}
		want := wantSamples(1)
		for i := range want {
			drop(&want[i])
		}
		sameSamples(t, samples, want)
		if got := absent(t, source, 1); !slices.Equal(got, columns) {
			t.Errorf("absent %v, want %v", got, columns)
		}
	}
}

func checkLacksAll(t *testing.T) {
	source, _ := open(t, nil)
	samples, err := source.Sample(t.Context(), 1)
	if err != nil {
		t.Error(err)
	}
	sameSamples(t, samples, []record.GPUSample{{AtNS: 1, Index: 0}, {AtNS: 1, Index: 1}})
	if got := absent(t, source, 1); !slices.Equal(got, record.GPUColumns()) {
		t.Errorf("absent %v", got)
	}
	if processes, err := source.Processes(t.Context()); err != nil || len(processes) != 0 {
		t.Errorf("processes: %v, %v", processes, err)
	}
}

// wantError checks that NVML cannot be had, and that auto goes on to say so in a note only.
func wantError(message string) func(t *testing.T) {
	return func(t *testing.T) {
		t.Setenv("PATH", t.TempDir()) // no nvidia-smi
		_, _, err := Open(NVML, nil)
		if err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("error %v, want one with %q", err, message)
		}
		source, note, err := Open(Auto, nil)
		if source != nil || err != nil || !strings.Contains(note, "GPU columns will be absent") {
			t.Errorf("auto: %v, %q, %v", source, note, err)
		}
	}
}

func open(t *testing.T, indexes []int) (Source, string) {
	t.Helper()
	source, note, err := Open(Auto, indexes)
	if err != nil || source == nil {
		t.Fatalf("source %v, note %q, error %v", source, note, err)
	}
	t.Cleanup(func() {
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	})
	return source, note
}

// buildFakeNVML compiles the stand-in driver library.
func buildFakeNVML(t testing.TB, path string, flags ...string) {
	t.Helper()
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler (cc) to build the stand-in NVML with")
	}
	args := append(flags, "-shared", "-fPIC", "-o", path, "testdata/fakenvml.c")
	if out, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("build the stand-in NVML: %v\n%s", err, out)
	}
}

// writeFile puts a whole file in place at once: the library may be reading the old one.
func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// The columns of NVML are all columns of the memory log.
func TestNVMLColumnsAreTheLogs(t *testing.T) {
	var names []string
	for _, c := range nvmlColumns() {
		names = append(names, c.names...)
	}
	want := record.GPUColumns()
	slices.Sort(names)
	slices.Sort(want)
	if names = slices.Compact(names); !slices.Equal(names, want) {
		t.Errorf("NVML gives %v, the log has %v", names, want)
	}
}

// The bindings are imported by these files only, so that a build without cgo needs none of them.
func TestOnlyImporter(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var importers []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), "\"github.com/NVIDIA/"+"go-nvml") {
			importers = append(importers, file)
		}
	}
	if !slices.Equal(importers, []string{"nvml.go", "nvml_columns.go"}) {
		t.Errorf("go-nvml is imported by %v", importers)
	}
}
