package vllm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"bench/internal/catalog"
	"bench/internal/record"
)

const (
	// manyRequests is how many requests the largest folder holds.
	manyRequests = 1_000_000
	// manyTests is how many tests the folder with the longest report holds.
	manyTests = 200
	// restBound is the memory that the largest folder may take: more than thrice what a small one needs is a
	// sign that requests are kept.
	restBound = 150 << 20
)

// digits is a time with three digits, as the pages show it.
func digits(d time.Duration) string {
	unit, in := "s", time.Second
	for _, x := range []struct {
		name string
		d    time.Duration
	}{{"ms", time.Millisecond}, {"µs", time.Microsecond}} {
		if d < in {
			unit, in = x.name, x.d
		}
	}
	return fmt.Sprintf("%.3g %s", float64(d)/float64(in), unit)
}

// TestRest prints time and memory of what follows a measurement: analysis of many requests, a report of many tests, and
// sizing of every model on every card.
func TestRest(t *testing.T) {
	if os.Getenv("BENCH_COST") == "" {
		t.Skip("make bench runs this: it takes minutes")
	}
	bin := buildBench(t)
	rows := [][]string{{"what", "time", "processor", "memory", "ratio"}}
	add := func(what string, r ran, units int, unit, ratio string) {
		rows = append(rows, []string{what, fmt.Sprintf("%.2f s", r.wall.Seconds()), digits(r.cpu/time.Duration(units)) + " " + unit,
			fmt.Sprintf("%d MiB", r.memory>>20), ratio})
	}

	few := folderOf(t, bin, 9, 96)
	plain := timed(t, bin, "analyze", "--out", few)
	add("`bench analyze`, 9 tests, 96 requests each", plain, 9, "a test", "")

	// Half of the requests in tests small enough that each is read and drawn, half in tests whose records alone are.
	million := folderOf(t, bin, 250, 2000)
	multiply(t, million, 20, manyRequests/2/20)
	many := timed(t, bin, "analyze", "--out", million)
	lines := timed(t, "sh", "-c", `cat "$0"/* | wc -l`, filepath.Join(million, "requests"))
	add(fmt.Sprintf("`bench analyze`, %d requests in 270 tests", manyRequests), many, manyRequests, "a request",
		fmt.Sprintf("%.0f × wc -l of the same files", many.cpu.Seconds()/lines.cpu.Seconds()))
	exported := timed(t, bin, "export", "--format", "csv", "--out", os.DevNull, million) // reads every request
	add(fmt.Sprintf("`bench export --format csv`, the same %d requests", manyRequests), exported, manyRequests, "a request",
		fmt.Sprintf("%.0f × wc -l of the same files", exported.cpu.Seconds()/lines.cpu.Seconds()))
	if most := max(many.memory, exported.memory); most > restBound {
		t.Errorf("%d requests took %d MiB, at most %d are allowed", manyRequests, most>>20, restBound>>20)
	}

	long := timed(t, bin, "analyze", "--out", folderOf(t, bin, manyTests, 96))
	add(fmt.Sprintf("`bench analyze`, report of %d tests, 96 requests each", manyTests), long, manyTests, "a test",
		fmt.Sprintf("%.1f × that of 9 tests", long.cpu.Seconds()/plain.cpu.Seconds()))

	var all, help ran
	models := catalog.ModelIDs()
	for _, id := range models {
		all = all.and(timed(t, bin, "size", "--model", id, "--json"))
		help = help.and(timed(t, bin, "size", "--help"))
	}
	add(fmt.Sprintf("`bench size`, %d models on %d cards, a start each", len(models), len(catalog.GPUs())), all, len(models), "a model",
		fmt.Sprintf("%.1f × starting as often", all.cpu.Seconds()/help.cpu.Seconds()))
	publish(t, "The rest", rows)
}

// ran is what a command took.
type ran struct {
	wall, cpu time.Duration
	memory    int64 // bytes
}

// and is one after the other.
func (r ran) and(o ran) ran { return ran{r.wall + o.wall, r.cpu + o.cpu, max(r.memory, o.memory)} }

// timed runs a command; of size, exit code 3 says that the demand fits nowhere.
func timed(t *testing.T, name string, args ...string) ran {
	t.Helper()
	cmd := exec.Command(name, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	began := time.Now()
	if err := cmd.Run(); err != nil && (cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 3) {
		t.Fatalf("%v: %v\n%s", args, err, said.String())
	}
	return ran{time.Since(began), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), mostMemory(cmd.ProcessState)}
}

// folderOf is a result folder with so many tests of so many requests each, and the one they were made of.
func folderOf(t *testing.T, bin string, tests, requests int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "r")
	timed(t, bin, "stress", "--base-url", "sim:", "--concurrent", "32", "--output-tokens", "2", "--out", dir)
	multiply(t, dir, tests, requests)
	return dir
}

// multiply adds so many tests to a folder, each with so many requests like those of its first test.
func multiply(t *testing.T, dir string, tests, requests int) {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var records []map[string]any
	if err := json.Unmarshal(read(record.ConcurrentFile), &records); err != nil {
		t.Fatal(err)
	}
	first := records[0]
	name := first["detail"].(map[string]any)["files"].(map[string]any)["requests"].(string)
	lines := bytes.SplitAfter(read(name), []byte("\n"))
	header, answers := lines[0], lines[1:len(lines)-1]
	for range tests {
		id := fmt.Sprintf("many-%d", len(records))
		file := "requests/" + id + ".jsonl"
		f, err := os.Create(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		w := bufio.NewWriter(f)
		w.Write(header)
		for i := range requests {
			w.Write(answers[i%len(answers)])
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		more, detail := maps.Clone(first), maps.Clone(first["detail"].(map[string]any))
		files := maps.Clone(detail["files"].(map[string]any))
		files["requests"] = file
		detail["requests"], detail["succeeded"], detail["files"] = requests, requests, files
		more["test_id"], more["concurrent_requests"], more["detail"] = id, len(records), detail
		records = append(records, more)
	}
	data, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, record.ConcurrentFile), data, 0o644); err != nil {
		t.Fatal(err)
	}
}
