package vllm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const (
	// startBound is what `bench --help` may take longer than a Go program that does nothing.
	startBound = 10 * time.Millisecond
	startRuns  = 41
	// sizeBound is the size of the stripped binary, in bytes.
	sizeBound = 30 << 20
)

// TestStart prints how long `bench --help` takes beside a Go program that does nothing, run in turns, and holds
// the difference of the medians and the size of the binary.
func TestStart(t *testing.T) {
	if os.Getenv("BENCH_COST") == "" {
		t.Skip("make bench runs this: beside other tests it would measure those")
	}
	bin := buildBench(t)
	dir := t.TempDir()
	source, nothing := filepath.Join(dir, "main.go"), filepath.Join(dir, "nothing")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", nothing, source).CombinedOutput(); err != nil {
		t.Fatalf("building an empty program: %v\n%s", err, out)
	}
	var help, empty, helpCPU, emptyCPU []time.Duration
	timed := func(wall, cpu *[]time.Duration, name string, args ...string) {
		cmd := exec.Command(name, args...)
		began := time.Now()
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		*wall = append(*wall, time.Since(began))
		*cpu = append(*cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	}
	for range startRuns {
		timed(&help, &helpCPU, bin, "--help")
		timed(&empty, &emptyCPU, nothing)
	}
	mid := func(list []time.Duration) time.Duration {
		slices.Sort(list)
		return list[len(list)/2].Round(10 * time.Microsecond)
	}
	info, err := os.Stat(bin)
	if err != nil {
		t.Fatal(err)
	}
	over := mid(help) - mid(empty)
	publish(t, "The start", [][]string{{"", "`bench --help`", "an empty Go program", "more", "at most"},
		{"time", mid(help).String(), mid(empty).String(), over.String(), startBound.String()},
		{"processor", mid(helpCPU).String(), mid(emptyCPU).String(), (mid(helpCPU) - mid(emptyCPU)).String(), ""},
		{"stripped binary", fmt.Sprintf("%.1f MiB", float64(info.Size())/(1<<20)), "", "", fmt.Sprintf("%d MiB", sizeBound>>20)}})
	if over > startBound {
		t.Errorf("bench --help takes %v more than an empty program, at most %v are allowed", over, startBound)
	}
	if info.Size() > sizeBound {
		t.Errorf("the binary has %d bytes, at most %d are allowed", info.Size(), sizeBound)
	}
}
