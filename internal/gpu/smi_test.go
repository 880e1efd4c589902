package gpu

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"bench/internal/record"
)

// fakeSMI answers as nvidia-smi does, from a file "values" beside it with lines "INDEX.FIELD VALUE". Fields
// listed in a file "unknown" are refused as an older nvidia-smi refuses them.
const fakeSMI = `#!/bin/sh
dir=$(dirname "$0")
case $1 in --query-compute-apps=*) cat "$dir/apps"; exit ;; esac
fields=$(echo "${1#--query-gpu=}" | tr , ' ')
for f in $fields; do
  if grep -qx "$f" "$dir/unknown"; then echo "Field \"$f\" is not a valid field to query."; echo; exit 2; fi
done
indexes=$(sed -n 's/^\([0-9]*\)\.index .*/\1/p' "$dir/values")
if [ "$3" = -i ]; then indexes=$(echo "$4" | tr , ' '); fi
for i in $indexes; do
  line=
  for f in $fields; do
    line="$line${line:+, }$(sed -n "s/^$i\.$f //p" "$dir/values")"
  done
  echo "$line"
done
`

const smiTwoGPUs = `0.index 0
0.uuid GPU-aaaa
0.driver_version 570.86.15
0.name NVIDIA GeForce RTX 3090
0.memory.used 22528
0.memory.total 24576
0.utilization.gpu 97
0.utilization.memory 61
0.power.draw 341.25
0.clocks.sm 1695
0.clocks.mem 9501
0.temperature.gpu 71
0.compute_cap 8.6
0.enforced.power.limit 350.00
0.mig.mode.current [N/A]
1.index 1
1.uuid GPU-bbbb
1.driver_version 570.86.15
1.name Odd, Card
1.memory.used [N/A]
1.memory.total [N/A]
1.utilization.gpu [Not Supported]
1.utilization.memory [Unknown Error]
1.power.draw N/A
1.clocks.sm 0
1.clocks.mem [GPU is lost]
1.temperature.gpu 29
1.compute_cap 8.0
1.enforced.power.limit [N/A]
1.mig.mode.current Enabled
`

// installSMI puts a stand-in nvidia-smi on the PATH.
func installSMI(t *testing.T, values, unknown, apps string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in nvidia-smi is a shell script")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"nvidia-smi": fakeSMI, "values": values, "unknown": unknown, "apps": apps} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestSMI(t *testing.T) {
	installSMI(t, smiTwoGPUs, "", "GPU-aaaa, 4242\nGPU-aaaa, 17\nMIG-cccc, 18\n")
	source, note, err := Open(NvidiaSMI, nil)
	if err != nil {
		t.Fatal(err)
	}
	if source.Name() != "nvidia-smi" || !strings.HasPrefix(note, "MIG is on for GPU 1:") {
		t.Errorf("name %q, note %q", source.Name(), note)
	}
	infos, err := source.GPUs()
	want := []record.GPUInfo{
		{Index: 0, UUID: "GPU-aaaa", Name: "NVIDIA GeForce RTX 3090", MemoryTotalMiB: new(24576.0), MemoryUsedMiB: new(22528.0),
			DriverVersion: "570.86.15", ComputeCap: "8.6", PowerLimitW: new(350.0), Source: "nvidia-smi"},
		{Index: 1, UUID: "GPU-bbbb", Name: "Odd, Card", DriverVersion: "570.86.15", ComputeCap: "8.0", Source: "nvidia-smi"},
	}
	if err != nil || !reflect.DeepEqual(infos, want) {
		t.Errorf("GPUs: %v\n got %+v\nwant %+v", err, infos, want)
	}
	samples, err := source.Sample(5)
	if err != nil {
		t.Fatal(err)
	}
	sameSamples(t, samples, []record.GPUSample{
		{AtNS: 5, Index: 0, MemoryUsedMiB: new(22528.0), MemoryTotalMiB: new(24576.0), GPUUtil: new(97.0), MemoryUtil: new(61.0),
			PowerW: new(341.25), SMClockMHz: new(1695.0), MemClockMHz: new(9501.0), TemperatureC: new(71.0)},
		{AtNS: 5, Index: 1, SMClockMHz: new(0.0), TemperatureC: new(29.0)},
	})
	pids, err := source.Processes()
	if want := map[int][]int{0: {4242, 17}, 1: {}}; err != nil || !reflect.DeepEqual(pids, want) {
		t.Errorf("processes: %v, %v; want %v", pids, err, want)
	}
	if err := source.Close(); err != nil {
		t.Error(err)
	}
}

func TestSMIChosen(t *testing.T) {
	installSMI(t, smiTwoGPUs, "", "")
	source, note, err := Open(NvidiaSMI, []int{0})
	if err != nil || note != "" {
		t.Fatal(err, note)
	}
	samples, err := source.Sample(5)
	if err != nil || len(samples) != 1 || samples[0].Index != 0 {
		t.Errorf("samples %+v, %v", samples, err)
	}
	if _, _, err := Open(NvidiaSMI, []int{3}); err == nil || !strings.Contains(err.Error(), "index 3; this machine has 0, 1") {
		t.Errorf("error %v", err)
	}
}

// A field that an older nvidia-smi does not know costs that column only.
func TestSMIUnknownFields(t *testing.T) {
	installSMI(t, smiTwoGPUs, "compute_cap\nmig.mode.current\npower.draw\n", "")
	source, _, err := Open(NvidiaSMI, []int{0})
	if err != nil {
		t.Fatal(err)
	}
	samples, err := source.Sample(5)
	if err != nil {
		t.Fatal(err)
	}
	sameSamples(t, samples, []record.GPUSample{
		{AtNS: 5, Index: 0, MemoryUsedMiB: new(22528.0), MemoryTotalMiB: new(24576.0), GPUUtil: new(97.0), MemoryUtil: new(61.0),
			SMClockMHz: new(1695.0), MemClockMHz: new(9501.0), TemperatureC: new(71.0)},
	})
	infos, err := source.GPUs()
	if err != nil || infos[0].ComputeCap != "" || infos[0].Name != "NVIDIA GeForce RTX 3090" {
		t.Errorf("GPUs %+v, %v", infos, err)
	}
}

func TestSMIFails(t *testing.T) {
	cases := []struct{ name, script, message string }{
		{"driver not loaded", "#!/bin/sh\necho \"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\"\nexit 9\n", "couldn't communicate"},
		{"no devices", "#!/bin/sh\necho No devices were found\n", "sees no GPU"},
		{"other program", "#!/bin/sh\necho hello\n", "printed 1 values where 9 were asked for: hello"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			installSMI(t, "", "", "")
			dir, _, _ := strings.Cut(os.Getenv("PATH"), string(os.PathListSeparator))
			if err := os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte(c.script), 0o755); err != nil {
				t.Fatal(err)
			}
			if _, _, err := Open(NvidiaSMI, nil); err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("error %v, want one with %q", err, c.message)
			}
		})
	}
}

// A nvidia-smi that hangs is killed at its bound.
func TestSMIHangs(t *testing.T) {
	program := filepath.Join(t.TempDir(), "nvidia-smi")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec sleep 600\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &smiSource{program: program, bound: 50 * time.Millisecond, sampleFields: smiSampleFields}
	if _, err := s.Sample(1); err == nil || err.Error() != "nvidia-smi did not answer within 50ms" {
		t.Errorf("error %v", err)
	}
}

func TestSMIAbsent(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, _, err := Open(NvidiaSMI, nil); err == nil || err.Error() != "GPU telemetry nvidia-smi: no nvidia-smi on the PATH" {
		t.Errorf("error %v", err)
	}
}

func FuzzParseSMI(f *testing.F) {
	for _, seed := range []string{
		"0, 22528, 24576, 97, 61, 341.25, 1695, 9501, 71\n", "0, [N/A], [Not Supported], , N/A, 1e3, 0, -1, 0x10\n",
		"No devices were found\n", "0, 1\n", ",,,,,,,,\n", "\xff, NaN, Inf, 1, 1, 1, 1, 1, 1", "0,1,2,3,4,5,6,7,8,9\r\n\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, out string) {
		samples, err := parseEach(smiSampleFields, out, func(row smiRow) (record.GPUSample, error) { return row.sample(1) })
		if err != nil {
			return
		}
		for _, s := range samples {
			for _, v := range []*float64{s.MemoryUsedMiB, s.MemoryTotalMiB, s.GPUUtil, s.MemoryUtil, s.PowerW, s.SMClockMHz, s.MemClockMHz, s.TemperatureC} {
				if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
					t.Errorf("reading %v of %q", *v, out)
				}
			}
			if s.Index < 0 || s.AtNS != 1 {
				t.Errorf("index %d at %d", s.Index, s.AtNS)
			}
		}
	})
}

func FuzzParseProcesses(f *testing.F) {
	f.Add("0, GPU-a\n1, GPU-b\n", "GPU-a, 17\nGPU-c, 3\n")
	f.Add("x, GPU-a\n", "GPU-a, y\n")
	f.Fuzz(func(t *testing.T, gpus, apps string) {
		pids, err := parseProcesses(gpus, apps)
		if err == nil && pids == nil {
			t.Error("neither processes nor error")
		}
	})
}

// BenchmarkSMISample is one reading through the stand-in program: what starting a process costs at least.
func BenchmarkSMISample(b *testing.B) {
	program := filepath.Join(b.TempDir(), "nvidia-smi")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho 0, 22528, 24576, 97, 61, 341.25, 1695, 9501, 71\n"), 0o755); err != nil {
		b.Fatal(err)
	}
	s := &smiSource{program: program, bound: smiBound, sampleFields: smiSampleFields}
	for b.Loop() {
		if samples, err := s.Sample(1); err != nil || len(samples) != 1 {
			b.Fatal(samples, err)
		}
	}
}
