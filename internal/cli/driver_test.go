//go:build linux && cgo

package cli_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bench/internal/record"
)

// driver is a stand-in for the NVIDIA driver's library, for commands that run in a process of their own.
// Its top comment (in ../gpu/testdata/fakenvml.c) says which readings it takes.
type driver struct {
	t      *testing.T
	folder string
}

// newDriver builds a driver with the given readings; lacks names functions to leave out.
func newDriver(t *testing.T, readings string, lacks ...string) *driver {
	t.Helper()
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler (cc) to build the stand-in NVML with")
	}
	d := &driver{t: t, folder: t.TempDir()}
	args := []string{"-shared", "-fPIC", "-o", filepath.Join(d.folder, "libnvidia-ml.so.1"), "../gpu/testdata/fakenvml.c"}
	for _, name := range lacks {
		args = append(args, "-DLACK_"+name)
	}
	if out, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("building the stand-in NVML: %v\n%s", err, out)
	}
	d.set(readings)
	return d
}

// set changes the readings, also while a command runs.
func (d *driver) set(readings string) {
	d.t.Helper()
	path := filepath.Join(d.folder, "readings")
	if err := errors.Join(os.WriteFile(path+".new", []byte(readings), 0o644), os.Rename(path+".new", path)); err != nil {
		d.t.Fatal(err)
	}
}

// bench runs the program under this driver and returns what it said.
func (d *driver) bench(args ...string) (code int, stderr string) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+d.folder, "FAKENVML_VALUES="+filepath.Join(d.folder, "readings"))
	var said strings.Builder
	cmd.Stderr = &said
	err := cmd.Run()
	if e, ok := errors.AsType[*exec.ExitError](err); ok && ctx.Err() == nil {
		return e.ExitCode(), said.String()
	}
	if err != nil {
		d.t.Fatalf("%v: %v\n%s", args, err, said.String())
	}
	return 0, said.String()
}

// card are the readings of one GPU, too little used for the idle check to wait for it; more is added for the case at hand.
func card(index int, processes, more string) string {
	text := `name NVIDIA GeForce RTX 3090
uuid GPU-%[1]d
capability 86
total 25769803776
used 23622320128
gpu_util 3
memory_util 61
power 341000
power_limit 350000
energy +341000
sm_clock 1695
mem_clock 9501
temperature 71
event_reasons 0
pcie_tx 100
pcie_rx 100
processes %[2]s
`
	var out strings.Builder
	for line := range strings.Lines(fmt.Sprintf(text, index, processes)) {
		fmt.Fprintf(&out, "%d.%s", index, line)
	}
	return out.String() + more
}

// Among several GPUs those are read that the server's processes are on; here the server is this process.
func TestGPUsOfTheServer(t *testing.T) {
	t.Parallel()
	_, url := simulator(t, "")
	d := newDriver(t, "count 3\n"+card(0, "1:9000000000", "process.1 another program\n")+
		card(1, fmt.Sprintf("%d:15000000000 1:6442450944", os.Getpid()), "")+card(2, "", ""))
	dir := filepath.Join(t.TempDir(), "r")
	code, stderr := d.bench(stressed(url, dir)...)
	if code != 0 || !strings.Contains(stderr, "of 3 GPUs those are read that the server's processes are on: 1;") {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	rec := readOne(t, dir, record.ConcurrentFile)
	detail := rec.Detail
	if !found(rec, "foreign_process", "(pid 1) held 6144 MiB of GPU 1") {
		t.Errorf("findings %+v", rec.Trust)
	}
	if len(detail.GPU) != 1 || detail.GPU[0].UUID != "GPU-1" || *detail.GPU[0].PeakMemoryMiB != 22528 || *detail.GPU[0].PowerLimitW != 350 ||
		len(detail.GPU[0].ClockEvents) != 0 || detail.GPU[0].XIDs != nil {
		t.Errorf("GPUs %+v", detail.GPU)
	}
	server := map[int]bool{}
	for _, p := range detail.GPUProcesses {
		if p.GPUIndex != 1 || p.Server == nil || p.FirstNS > detail.StartNS || p.LastNS < detail.EndNS {
			t.Errorf("process %+v in a test from %d to %d", p, detail.StartNS, detail.EndNS)
			continue
		}
		server[p.PID] = *p.Server
	}
	if len(server) != 2 || !server[os.Getpid()] || server[1] {
		t.Errorf("processes %+v", detail.GPUProcesses)
	}
	if s := detail.GPUSampling; s == nil || s.IntervalMS != 100 || s.Samples < 4 || s.Failure != "" || s.MaxLateMS < s.MeanLateMS || s.MeanLateMS <= 0 {
		t.Errorf("sampling %+v", s)
	}
}

// Before the first request the time is computed where model and card are known, and a bound where they are not; the
// first answer makes that one a figure.
func TestExpectedTimeIsSaid(t *testing.T) {
	t.Parallel()
	_, url := simulator(t, "")
	args := []string{"baseline", "--base-url", url, "--runs", "2", "--warmup", "1", "--output-tokens", "40", "--out"}
	_, said := newDriver(t, "count 1\n"+card(0, "", "")).bench(append(args, filepath.Join(t.TempDir(), "known"))...)
	// Three answers of 40 tokens, 12 ms each.
	if want := "warm-up included, about 2 s (computed for a NVIDIA GeForce RTX 3090, not measured); results in"; !strings.Contains(said, want) {
		t.Errorf("%q is not in\n%s", want, said)
	}
	_, _, said = call(t, nil, append(args, filepath.Join(t.TempDir(), "unknown"), "--gpu-telemetry", "none")...)
	for _, want := range []string{"warm-up included, how long is known after the first answer", " s in all, by the pace of the first answer\n", "100/40 tokens, about "} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in\n%s", want, said)
		}
	}
}

// A card that slows down because it is hot says so in the record, and the log has the columns it gave.
func TestThrottledGPU(t *testing.T) {
	t.Parallel()
	_, url := simulator(t, "")
	d := newDriver(t, "count 1\n"+strings.Replace(card(0, "", ""), "event_reasons 0", "event_reasons 72", 1), "ECC")
	dir := filepath.Join(t.TempDir(), "r")
	if code, stderr := d.bench(stressed(url, dir)...); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	rec := readOne(t, dir, record.ConcurrentFile)
	detail := rec.Detail
	if !found(rec, "throttling", "hw_thermal_slowdown in 100 % of the samples") || rec.Trust.Verdict != record.TrustDoubtful {
		t.Errorf("findings %+v", rec.Trust)
	}
	want := []record.ClockEventShare{{Reason: "hw_slowdown", Share: 1}, {Reason: "hw_thermal_slowdown", Share: 1}}
	if !slices.Equal(detail.GPU[0].ClockEvents, want) {
		t.Errorf("clock events %+v", detail.GPU[0].ClockEvents)
	}
	log, err := os.ReadFile(filepath.Join(dir, detail.Files.MemoryLog))
	header, _, _ := strings.Cut(string(log), "\n")
	if want := "at_ns,gpu,memory_used_mib,memory_total_mib,gpu_util_percent,memory_util_percent,power_w,power_limit_w,energy_j,sm_clock_mhz," +
		"memory_clock_mhz,temperature_c,clock_events,pcie_tx_kb_per_s,pcie_rx_kb_per_s"; err != nil || header != want {
		t.Errorf("header %s, %v; want %s", header, err, want)
	}
}

// A driver that hangs in the middle of a test costs its samples and nothing else: the test goes on, it is
// said once, and the program ends although the call never does.
func TestHangingDriver(t *testing.T) {
	t.Parallel()
	_, url := simulator(t, "")
	d := newDriver(t, "count 1\n"+card(0, "", ""))
	dir := filepath.Join(t.TempDir(), "r")
	hung := make(chan struct{})
	go func() {
		defer close(hung)
		for t.Context().Err() == nil {
			if logs, _ := filepath.Glob(filepath.Join(dir, "memory_logs", "*.csv")); len(logs) > 0 {
				d.set("count 1\n" + card(0, "", "hang.power 3600000\n"))
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	start := time.Now()
	code, stderr := d.bench(stressed(url, dir)...)
	<-hung
	const said = "the GPUs were not read to the end of the test: the NVIDIA driver does not answer within 2"
	if code != 0 || strings.Count(stderr, said) != 1 || time.Since(start) > 30*time.Second {
		t.Fatalf("exit code %d after %v, want 0 and once %q\n%s", code, time.Since(start), said, stderr)
	}
	hanging, after := readOne(t, dir, record.BaselineFile), readOne(t, dir, record.ConcurrentFile)
	if s := hanging.Detail.GPUSampling; !s.Abandoned || s.Samples == 0 || s.Missed == 0 || hanging.Status != record.StatusSuccess {
		t.Errorf("%s, sampling %+v", hanging.Status, s)
	}
	// The call still hangs: the next test has no sample, and nobody waits for one again.
	if s := after.Detail.GPUSampling; s.Abandoned || s.Samples != 0 || s.Failure != "the NVIDIA driver does not answer" || after.Detail.GPU != nil || after.Status != record.StatusSuccess {
		t.Errorf("%s, GPUs %v, sampling %+v", after.Status, after.Detail.GPU, s)
	}
}
