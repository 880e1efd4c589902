package gpu

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
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
0.power.limit 360.00
0.clocks_event_reasons.active 0x0000000000000044
0.clocks_throttle_reasons.active 0x0000000000000044
0.ecc.errors.uncorrected.volatile.total [N/A]
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
1.power.limit [N/A]
1.clocks_event_reasons.active 0x0000000000000001
1.clocks_throttle_reasons.active 0x0000000000000001
1.ecc.errors.uncorrected.volatile.total 2
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
	installSMI(t, smiTwoGPUs, "", "GPU-aaaa, 4242, 21000, VLLM::EngineCore\nGPU-aaaa, 17, [N/A], /opt/a, b\nMIG-cccc, 18, 3, x\n")
	source, note, err := Open(NvidiaSMI, nil)
	if err != nil {
		t.Fatal(err)
	}
	if source.Name() != "nvidia-smi" || !strings.HasPrefix(note, "MIG is on for GPU 1:") {
		t.Errorf("name %q, note %q", source.Name(), note)
	}
	infos, err := source.GPUs(t.Context())
	notQueried := []record.AbsentColumn{{Column: "energy_j", Reason: "nvidia-smi has no field for it"}, {Column: "ecc_uncorrected", Reason: "nvidia-smi says [N/A]"},
		{Column: "xid", Reason: "nvidia-smi has no field for it"}, {Column: "pcie_tx_kb_per_s", Reason: "nvidia-smi has no field for it"},
		{Column: "pcie_rx_kb_per_s", Reason: "nvidia-smi has no field for it"}}
	want := record.GPUInfo{Index: 0, UUID: "GPU-aaaa", Name: "NVIDIA GeForce RTX 3090", MemoryTotalMiB: new(24576.0), MemoryUsedMiB: new(22528.0),
		DriverVersion: "570.86.15", ComputeCap: "8.6", PowerLimitW: new(350.0), Source: "nvidia-smi", Absent: notQueried}
	if err != nil || len(infos) != 2 || !reflect.DeepEqual(infos[0], want) {
		t.Errorf("GPUs: %v\n got %+v\nwant %+v", err, infos[0], want)
	}
	if odd := infos[1]; odd.Name != "Odd, Card" || !odd.MIG || odd.MemoryTotalMiB != nil || odd.Absent[0].Reason != migReason {
		t.Errorf("GPU 1: %+v", odd)
	}
	samples, err := source.Sample(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	// GPU 1 is in MIG mode: what it says of the whole card, as its ECC errors, is left out.
	sameSamples(t, samples, []record.GPUSample{
		{AtNS: 5, Index: 0, MemoryUsedMiB: new(22528.0), MemoryTotalMiB: new(24576.0), GPUUtil: new(97.0), MemoryUtil: new(61.0),
			PowerW: new(341.25), PowerLimitW: new(350.0), SMClockMHz: new(1695.0), MemClockMHz: new(9501.0), TemperatureC: new(71.0), ClockEvents: new(68.0)},
		{AtNS: 5, Index: 1, SMClockMHz: new(0.0), TemperatureC: new(29.0), ClockEvents: new(1.0)},
	})
	processes, err := source.Processes(t.Context())
	wantProcesses := map[int][]record.GPUProcess{0: {{PID: 4242, Name: "VLLM::EngineCore", MemoryMiB: new(21000.0)}, {PID: 17, Name: "/opt/a, b"}}}
	if err != nil || !reflect.DeepEqual(processes, wantProcesses) {
		t.Errorf("processes: %v, %v; want %v", processes, err, wantProcesses)
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
	samples, err := source.Sample(t.Context(), 5)
	if err != nil || len(samples) != 1 || samples[0].Index != 0 {
		t.Errorf("samples %+v, %v", samples, err)
	}
	if _, _, err := Open(NvidiaSMI, []int{3}); err == nil || !strings.Contains(err.Error(), "index 3; this machine has 0, 1") {
		t.Errorf("error %v", err)
	}
}

// A field that an older nvidia-smi does not know costs that column only.
func TestSMIUnknownFields(t *testing.T) {
	installSMI(t, smiTwoGPUs, "compute_cap\nmig.mode.current\npower.draw\nclocks_event_reasons.active\nenforced.power.limit\n", "")
	source, _, err := Open(NvidiaSMI, []int{0})
	if err != nil {
		t.Fatal(err)
	}
	samples, err := source.Sample(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	sameSamples(t, samples, []record.GPUSample{
		{AtNS: 5, Index: 0, MemoryUsedMiB: new(22528.0), MemoryTotalMiB: new(24576.0), GPUUtil: new(97.0), MemoryUtil: new(61.0),
			PowerLimitW: new(360.0), SMClockMHz: new(1695.0), MemClockMHz: new(9501.0), TemperatureC: new(71.0), ClockEvents: new(68.0)},
	})
	infos, err := source.GPUs(t.Context())
	if err != nil || infos[0].ComputeCap != "" || infos[0].Name != "NVIDIA GeForce RTX 3090" ||
		infos[0].Absent[0] != (record.AbsentColumn{Column: "power_w", Reason: "this nvidia-smi does not know power.draw"}) {
		t.Errorf("GPUs %+v, %v", infos, err)
	}
}

func TestSMIFails(t *testing.T) {
	cases := []struct{ name, script, message string }{
		{"driver not loaded", "#!/bin/sh\necho \"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\"\nexit 9\n", "couldn't communicate"},
		{"no devices", "#!/bin/sh\necho No devices were found\n", "sees no GPU"},
		{"other program", "#!/bin/sh\necho hello\n", "printed 1 values where 6 were asked for: hello"},
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
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := (&smiSource{program: program}).Sample(ctx, 1)
	if err == nil || !strings.HasPrefix(err.Error(), "nvidia-smi did not answer within") || time.Since(start) > time.Minute {
		t.Errorf("error %v after %v", err, time.Since(start))
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
		"0, 22528, 24576, 97, 61, 341.25, 350.00, 1695, 9501, 71, 0x0000000000000004, 0\n",
		"0, [N/A], [Not Supported], , N/A, 1e3, 0, -1, 0x10, 0xffffffffffffffff, 0x, 0\n",
		"No devices were found\n", "0, 1\n", ",,,,,,,,,,,\n", "\xff, NaN, Inf, 1, 1, 1, 1, 1, 1, 1, 1, 1", "0,1,2,3,4,5,6,7,8,9,10,11,12\r\n\r\n",
	} {
		f.Add(seed)
	}
	fields := []string{"index"}
	for _, c := range smiColumns() {
		fields = append(fields, c.fields[0])
	}
	f.Fuzz(func(t *testing.T, out string) {
		rows, err := parseSMI(fields, out)
		if err != nil {
			return
		}
		for _, row := range rows {
			s, err := row.sample(smiColumns(), 1)
			if err != nil {
				continue
			}
			for _, c := range smiColumns() {
				if v := *c.at(&s); v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
					t.Errorf("%s is %v in %q", c.name, *v, out)
				}
			}
			if s.Index < 0 || s.AtNS != 1 {
				t.Errorf("index %d at %d", s.Index, s.AtNS)
			}
		}
	})
}

func FuzzParseProcesses(f *testing.F) {
	f.Add("GPU-a, 17, 1024, python3\nGPU-c, 3, [N/A], a, b\n")
	f.Add("GPU-a, y, 3, x\n")
	f.Add("No running processes found\n")
	f.Fuzz(func(t *testing.T, apps string) {
		byGPU, err := parseProcesses([]record.GPUInfo{{Index: 0, UUID: "GPU-a"}, {Index: 1, UUID: "GPU-b", MIG: true}}, apps)
		if err == nil && (byGPU[0] == nil || byGPU[1] != nil) {
			t.Errorf("processes %v of %q", byGPU, apps)
		}
	})
}

// The source's columns are columns of the memory log.
func TestSMIColumnsAreTheLogs(t *testing.T) {
	for _, c := range smiColumns() {
		if !slices.Contains(record.GPUColumns(), c.name) {
			t.Errorf("no column %s in the memory log", c.name)
		}
	}
}

// BenchmarkSMITick is one reading through a stand-in program: what starting a process costs at least.
// %core is that at one reading a second, of the whole machine.
func BenchmarkSMITick(b *testing.B) {
	program := filepath.Join(b.TempDir(), "nvidia-smi")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho 0, 22528\n"), 0o755); err != nil {
		b.Fatal(err)
	}
	s := &smiSource{program: program, columns: smiColumns()[:1]}
	for b.Loop() {
		if samples, err := s.Sample(b.Context(), 1); err != nil || len(samples) != 1 {
			b.Fatal(samples, err)
		}
	}
	b.ReportMetric(100*float64(b.Elapsed())/float64(b.N)/float64(smiPeriod), "%core")
}
