package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// BenchmarkAnalyzeMillion is `bench analyze` of a folder of a million requests, in a process of its own: wall time, and
// the most memory it held. Half of the tests are small enough that their requests are drawn one by one, half are not.
func BenchmarkAnalyzeMillion(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "results")
	if out, err := exec.Command(binary, "stress", "--base-url", "sim:", "--concurrent", "32", "--output-tokens", "2", "--out", dir).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	multiply(b, dir, 60, 2000)
	multiply(b, dir, 22, 40_000)
	for b.Loop() {
		cmd := exec.Command(binary, "analyze", "--out", dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		b.ReportMetric(float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)/1024, "MiB")
	}
}

// multiply adds so many tests to a folder, each with so many requests like those of its last test.
func multiply(b *testing.B, dir string, tests, requests int) {
	b.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		return data
	}
	var records []map[string]any
	if err := json.Unmarshal(read("concurrent_results.json"), &records); err != nil {
		b.Fatal(err)
	}
	first := records[0]
	name := first["detail"].(map[string]any)["files"].(map[string]any)["requests"].(string)
	lines := bytes.SplitAfter(bytes.TrimSpace(read(name)), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	header, answers := lines[0], lines[1:]
	for range tests {
		file := fmt.Sprintf("requests/many-%d.jsonl", len(records))
		f, err := os.Create(filepath.Join(dir, file))
		if err != nil {
			b.Fatal(err)
		}
		w := bufio.NewWriter(f)
		w.Write(header)
		for i := range requests {
			w.Write(answers[i%len(answers)])
		}
		if err := w.Flush(); err != nil {
			b.Fatal(err)
		}
		f.Close()
		data, _ := json.Marshal(first)
		var more map[string]any
		json.Unmarshal(data, &more)
		more["test_id"], more["concurrent_requests"] = fmt.Sprintf("many-%d", len(records)), len(records)
		detail := more["detail"].(map[string]any)
		detail["requests"], detail["succeeded"] = requests, requests
		detail["files"].(map[string]any)["requests"] = file
		records = append(records, more)
	}
	data, err := json.Marshal(records)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "concurrent_results.json"), data, 0o644); err != nil {
		b.Fatal(err)
	}
}
