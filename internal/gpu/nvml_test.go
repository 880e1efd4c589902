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
0.mig 0
0.pids 4242 4343 17
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
1.mig 0
`

// wantSamples is what a Sample of twoGPUs reads.
func wantSamples(atNS int64) []record.GPUSample {
	return []record.GPUSample{
		{AtNS: atNS, Index: 0, MemoryUsedMiB: new(22528.0), MemoryTotalMiB: new(24576.0), GPUUtil: new(97.0), MemoryUtil: new(61.0),
			PowerW: new(341.25), SMClockMHz: new(1695.0), MemClockMHz: new(9501.0), TemperatureC: new(71.0)},
		{AtNS: atNS, Index: 1, MemoryUsedMiB: new(0.0), MemoryTotalMiB: new(40960.0), GPUUtil: new(0.0), MemoryUtil: new(0.0),
			PowerW: new(52.004), SMClockMHz: new(210.0), MemClockMHz: new(1215.0), TemperatureC: new(29.0)},
	}
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
		{"lacks all", twoGPUs, "NAME UUID CAPABILITY POWER_LIMIT MEMORY MEMORY_V2 UTILISATION POWER CLOCKS TEMPERATURE MIG PROCESSES ERROR_STRING", checkLacksAll},
		{"lacks memory", twoGPUs, "MEMORY MEMORY_V2", checkLacks(func(s *record.GPUSample) { s.MemoryUsedMiB, s.MemoryTotalMiB = nil, nil })},
		{"lacks utilisation", twoGPUs, "UTILISATION", checkLacks(func(s *record.GPUSample) { s.GPUUtil, s.MemoryUtil = nil, nil })},
		{"lacks power", twoGPUs, "POWER", checkLacks(func(s *record.GPUSample) { s.PowerW = nil })},
		{"lacks clocks", twoGPUs, "CLOCKS", checkLacks(func(s *record.GPUSample) { s.SMClockMHz, s.MemClockMHz = nil, nil })},
		{"lacks temperature", twoGPUs, "TEMPERATURE", checkLacks(func(s *record.GPUSample) { s.TemperatureC = nil })},
		{"hangs for a while", twoGPUs, "", checkHangs},
		{"hangs for good", twoGPUs + "hang.power 3600000\n", "", checkHangsForGood},
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
	infos, err := source.GPUs()
	want := []record.GPUInfo{
		{Index: 0, UUID: "GPU-aaaaaaaa-0000-0000-0000-000000000000", Name: "NVIDIA GeForce RTX 3090", MemoryTotalMiB: new(24576.0),
			MemoryUsedMiB: new(22528.0), DriverVersion: "570.86.15", ComputeCap: "8.6", PowerLimitW: new(350.0), Source: "nvml"},
		{Index: 1, UUID: "GPU-bbbbbbbb-0000-0000-0000-000000000000", Name: "NVIDIA A100-SXM4-40GB", MemoryTotalMiB: new(40960.0),
			MemoryUsedMiB: new(0.0), DriverVersion: "570.86.15", ComputeCap: "8.0", PowerLimitW: new(400.0), Source: "nvml"},
	}
	if err != nil || !reflect.DeepEqual(infos, want) {
		t.Errorf("GPUs: %v\n got %+v\nwant %+v", err, infos, want)
	}
	samples, err := source.Sample(12345)
	if err != nil {
		t.Error(err)
	}
	sameSamples(t, samples, wantSamples(12345))
	pids, err := source.Processes()
	// GPU 1 tells nothing of processes, and nothing is not none.
	if want := map[int][]int{0: {4242, 4343, 17}}; err != nil || !reflect.DeepEqual(pids, want) {
		t.Errorf("processes: %v, %v; want %v", pids, err, want)
	}
}

func checkChosen(t *testing.T) {
	source, _ := open(t, []int{1, 1})
	samples, err := source.Sample(7)
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
		samples, err := source.Sample(1)
		if err != nil {
			t.Error(err)
		}
		sameSamples(t, samples, wantSamples(1))
		for range 2 {
			if err := source.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := source.Sample(2); !errors.Is(err, errClosed) {
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
				samples, err := source.Sample(int64(i))
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
	samples, err := source.Sample(1)
	if err != nil {
		t.Error(err)
	}
	sameSamples(t, samples, []record.GPUSample{{AtNS: 1, PowerW: new(1.0)}})
	infos, err := source.GPUs()
	if want := []record.GPUInfo{{DriverVersion: "570.86.15", Source: "nvml"}}; err != nil || !reflect.DeepEqual(infos, want) {
		t.Errorf("GPUs: %+v, %v; want %+v", infos, err, want)
	}
}

func checkMIG(t *testing.T) {
	if _, note := open(t, nil); !strings.HasPrefix(note, "MIG is on for GPU 1:") {
		t.Errorf("note %q", note)
	}
	if _, note := open(t, []int{0}); note != "" {
		t.Errorf("note %q for the GPU without MIG", note)
	}
}

func checkOldMemory(t *testing.T) {
	source, _ := open(t, nil)
	samples, err := source.Sample(1)
	if err != nil {
		t.Error(err)
	}
	want := wantSamples(1)
	want[0].MemoryUsedMiB, want[1].MemoryUsedMiB = new(22928.0), new(600.0)
	sameSamples(t, samples, want)
}

func checkLacks(drop func(*record.GPUSample)) func(t *testing.T) {
	return func(t *testing.T) {
		source, _ := open(t, nil)
		samples, err := source.Sample(1)
		if err != nil {
			t.Error(err)
		}
		want := wantSamples(1)
		for i := range want {
			drop(&want[i])
		}
		sameSamples(t, samples, want)
	}
}

func checkLacksAll(t *testing.T) {
	source, _ := open(t, nil)
	samples, err := source.Sample(1)
	if err != nil {
		t.Error(err)
	}
	sameSamples(t, samples, []record.GPUSample{{AtNS: 1, Index: 0}, {AtNS: 1, Index: 1}})
	if pids, err := source.Processes(); err != nil || len(pids) != 0 {
		t.Errorf("processes: %v, %v", pids, err)
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

// checkHangs lets one call hang: its caller leaves in time, the next ones are refused at once, and
// when the driver is back so are the readings, none of them late.
func checkHangs(t *testing.T) {
	values := os.Getenv("FAKENVML_VALUES")
	const bound, hang = 100 * time.Millisecond, 2 * time.Second
	source, _, err := openNVMLWithin(nvmlLibrary, nil, nvmlOpenBound, bound)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, values, twoGPUs+fmt.Sprintf("hang.power %d\n", hang.Milliseconds()))
	start := time.Now()
	if _, err := source.Sample(1); !errors.Is(err, errStuck) {
		t.Errorf("hanging call: %v", err)
	}
	if took := time.Since(start); took < bound || took >= hang {
		t.Errorf("hanging call was left after %v, bound %v", took, bound)
	}
	writeFile(t, values, twoGPUs)
	if _, err := source.Sample(2); err != errStuck {
		t.Errorf("call beside a hanging one: %v", err)
	}
	if took := time.Since(start); took >= hang {
		t.Errorf("call beside a hanging one waited until %v", took)
	}
	for {
		samples, err := source.Sample(3)
		if err == nil {
			sameSamples(t, samples, wantSamples(3))
			break
		}
		if !errors.Is(err, errStuck) || time.Since(start) > time.Minute {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	if err := source.Close(); err != nil {
		t.Error(err)
	}
}

func checkHangsForGood(t *testing.T) {
	source, _, err := openNVMLWithin(nvmlLibrary, nil, nvmlOpenBound, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := source.Sample(1); !errors.Is(err, errStuck) {
			t.Errorf("hanging call: %v", err)
		}
	}
	if err := source.Close(); !errors.Is(err, errStuck) {
		t.Errorf("Close: %v", err)
	}
}

func checkHangsAtOpen(t *testing.T) {
	source, _, err := openNVMLWithin(nvmlLibrary, nil, 50*time.Millisecond, nvmlCallBound)
	if source != nil || !errors.Is(err, errStuck) {
		t.Errorf("%v, %v", source, err)
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

// BenchmarkNVMLSample is the client's part of reading two GPUs: the owner's hand-over and fourteen
// calls into C, without the driver's own work.
func BenchmarkNVMLSample(b *testing.B) {
	library := filepath.Join(b.TempDir(), nvmlLibrary)
	buildFakeNVML(b, library, "-DFIXED")
	source, _, err := openNVMLWithin(library, nil, nvmlOpenBound, nvmlCallBound)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if samples, err := source.Sample(1); err != nil || len(samples) != 2 {
			b.Fatal(samples, err)
		}
	}
	if err := source.Close(); err != nil {
		b.Fatal(err)
	}
}

// The bindings are imported by one file only, so that a build without cgo needs none of them.
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
	if !slices.Equal(importers, []string{"nvml.go"}) {
		t.Errorf("go-nvml is imported by %v", importers)
	}
}
