package record

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var t4 = Test{ID: "T4", Kind: KindConcurrent, Concurrent: 8, InputTokens: 100, OutputTokens: 100, Runs: 3, Requests: 8}

func lockTemp(t *testing.T) *Folder {
	t.Helper()
	f, err := LockFolder(filepath.Join(t.TempDir(), "results"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func appendAll(t *testing.T, l *RequestLog, rs ...Request) {
	t.Helper()
	for _, r := range rs {
		if err := l.Append(r); err != nil {
			t.Fatal(err)
		}
	}
}

// A file cut at any byte must come back with exactly the requests whose lines were whole, and go on
// from there as if nothing had been cut.
func TestRequestFileCutAnywhere(t *testing.T) {
	f := lockTemp(t)
	log, err := f.NewRequestLog(t4)
	if err != nil {
		t.Fatal(err)
	}
	want := []Request{
		{TestID: "T4", Run: 0, Index: 0, SentNS: 5, EndNS: 9, Success: true, FirstTokenNS: new(int64(6)), LastTokenNS: new(int64(7)), TokenNS: []int64{6, 7}},
		{TestID: "T4", Run: 0, Index: 1, SentNS: 5, EndNS: 10, Error: ErrReset, Message: "connection reset"},
		{TestID: "T4", Run: 1, Index: 0, SentNS: 12, EndNS: 20, PromptTokens: new(100)},
	}
	appendAll(t, log, want...)
	log.Close()
	whole, err := os.ReadFile(f.Path(log.Name()))
	if err != nil {
		t.Fatal(err)
	}
	head := strings.IndexByte(string(whole), '\n') + 1
	for cut := head; cut <= len(whole); cut++ {
		if err := os.WriteFile(f.Path(log.Name()), whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		lines := strings.Count(string(whole[:cut]), "\n") - 1
		again, content, err := f.ReopenRequestLog(log.Name())
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if content.Torn != (whole[cut-1] != '\n') {
			t.Errorf("cut at %d: Torn = %v", cut, content.Torn)
		}
		if content.Test != t4 {
			t.Errorf("cut at %d: test is %+v", cut, content.Test)
		}
		if len(content.Requests) != lines || !reflect.DeepEqual(content.Requests, want[:lines:lines]) && lines > 0 {
			t.Fatalf("cut at %d: got %d requests, want %d", cut, len(content.Requests), lines)
		}
		appendAll(t, again, Request{TestID: "T4", Run: 2, Index: 7})
		again.Close()
		healed, err := ReadRequests(f.Path(log.Name()))
		if err != nil {
			t.Fatalf("cut at %d, appended: %v", cut, err)
		}
		if healed.Torn || len(healed.Requests) != lines+1 || healed.Requests[lines].Index != 7 {
			t.Fatalf("cut at %d: after appending there are %d requests, torn %v", cut, len(healed.Requests), healed.Torn)
		}
	}
}

func TestBadLineIsNamed(t *testing.T) {
	f := lockTemp(t)
	log, err := f.NewRequestLog(t4)
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, log, Request{TestID: "T4"})
	if _, err := log.file.WriteString("{\"test_id\": 7}\n"); err != nil {
		t.Fatal(err)
	}
	log.Close()
	_, err = ReadRequests(f.Path(log.Name()))
	if err == nil || !strings.Contains(err.Error(), "T4.jsonl:3:") {
		t.Errorf("error is %v, want one that names line 3", err)
	}
}

func TestNewestAttemptCounts(t *testing.T) {
	file := &RequestFile{Requests: []Request{
		{Run: 0, Attempt: 0, Index: 1}, {Run: 0, Attempt: 0, Index: 0},
		{Run: 1, Attempt: 0, Index: 0},
		{Run: 1, Attempt: 1, Index: 1}, {Run: 1, Attempt: 1, Index: 0},
	}}
	got := file.Attempts()
	if len(got[0]) != 2 || len(got[1]) != 2 || got[1][0].Attempt != 1 || got[0][0].Index != 0 {
		t.Errorf("attempts are %+v", got)
	}
}

// Running a test again makes new data files; what an interrupted run left is found, what a record
// names is not.
func TestUnfinishedIsTheNewestUnnamedFile(t *testing.T) {
	f := lockTemp(t)
	names := []string{}
	for range 3 {
		log, err := f.NewRequestLog(t4)
		if err != nil {
			t.Fatal(err)
		}
		log.Close()
		names = append(names, log.Name())
	}
	if want := []string{"requests/T4.jsonl", "requests/T4-2.jsonl", "requests/T4-3.jsonl"}; !slices.Equal(names, want) {
		t.Fatalf("data files are %v, want %v", names, want)
	}
	for recorded, want := range map[string]string{"": names[2], names[0]: names[2], names[2]: ""} {
		got, err := f.Unfinished(t4, recorded)
		if err != nil || got != want {
			t.Errorf("recorded %q: unfinished is %q (%v), want %q", recorded, got, err, want)
		}
	}
	if got, err := f.Unfinished(Test{ID: "T"}, ""); err != nil || got != "" {
		t.Errorf("a test without files: %q, %v", got, err)
	}
	// Killed before the header line was whole: nothing to go on with.
	if err := os.WriteFile(f.Path("requests/T4-4.jsonl"), []byte(`{"schema":"bench.req`), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Unfinished(t4, names[2]); err != nil || got != "" {
		t.Errorf("a torn header: %q, %v", got, err)
	}
}

func TestRecordsKeepMatrixOrder(t *testing.T) {
	f := lockTemp(t)
	for _, id := range []string{"c24-100-100", "T9", "T1", "T10", "T2", "T1"} {
		if err := f.PutRecord(ConcurrentFile, Record{Schema: SchemaRecord, TestID: id}); err != nil {
			t.Fatal(err)
		}
	}
	recs, err := f.ReadRecords(ConcurrentFile)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range recs {
		got = append(got, r.TestID)
	}
	if want := []string{"T1", "T2", "T9", "T10", "c24-100-100"}; !slices.Equal(got, want) {
		t.Errorf("order is %v, want %v", got, want)
	}
	left, err := filepath.Glob(f.Path(".*"))
	if err != nil || !slices.Equal(left, []string{f.Path(".lock")}) {
		t.Errorf("temporary files were left: %v, %v", left, err)
	}
}

func TestDocumentsAreRefusedByNameAndLine(t *testing.T) {
	for _, c := range []struct{ name, content, want string }{
		{"newer major", `[{"schema":"bench.record/2","test_id":"T1"}]`, "newer than this bench"},
		{"other tool", `[{"schema":"other/1"}]`, "not a file of this tool"},
		{"no version", `[{"schema":"bench.record/x"}]`, "no version"},
		{"wrong type on line 3", "[\n{\"schema\":\"bench.record/1\",\n\"test_id\": 7}]", ":3:"},
		{"torn", "[{\"schema\":", ":1:"},
	} {
		f := lockTemp(t)
		if err := os.WriteFile(f.Path(ConcurrentFile), []byte(c.content), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := f.ReadRecords(ConcurrentFile)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), ConcurrentFile) {
			t.Errorf("%s: error is %v, want %q", c.name, err, c.want)
		}
	}
	f := lockTemp(t)
	if err := os.WriteFile(f.Path(ConcurrentFile), []byte(`[{"schema":"bench.record/1","test_id":"T1","later":{"a":1}}]`), 0o644); err != nil {
		t.Fatal(err)
	}
	if recs, err := f.ReadRecords(ConcurrentFile); err != nil || len(recs) != 1 {
		t.Errorf("an unknown member of the same major: %v, %v", recs, err)
	}
}

// The plan's names are a promise: they must be in the JSON as the plan has them, null where unknown.
func TestRecordHasThePlansNames(t *testing.T) {
	f := lockTemp(t)
	rec := Record{Schema: SchemaRecord, TestID: "T4", ConcurrentRequests: 8, Results: Results{Errors: []ErrorCount{}}}
	if err := f.PutRecord(ConcurrentFile, rec); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(f.Path(ConcurrentFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"test_id": "T4"`, `"concurrent_requests": 8`, `"input_tokens": 0`, `"max_output_tokens": 0`, `"avg_ttft_ms": null`,
		`"avg_tpot_ms": null`, `"avg_total_latency_ms": null`, `"throughput_tokens_per_sec": null`, `"peak_memory_mb": null`, `"success_rate": null`, `"errors": []`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("the record lacks %s", want)
		}
	}
}

func TestOneWriterAFolder(t *testing.T) {
	f := lockTemp(t)
	if _, err := LockFolder(f.Dir()); err == nil || !strings.Contains(err.Error(), "another bench is writing") {
		t.Errorf("second lock: %v", err)
	}
	f.Close()
	again, err := LockFolder(f.Dir())
	if err != nil {
		t.Fatalf("lock after close: %v", err)
	}
	again.Close()
}

func TestGPULogRoundTrip(t *testing.T) {
	f := lockTemp(t)
	// What one of the GPUs gives has a column, what none gives has none.
	gives := func(columns ...string) (g GPUInfo) {
		for _, c := range GPUColumns() {
			if !slices.Contains(columns, c) {
				g.Absent = append(g.Absent, AbsentColumn{Column: c, Reason: "not supported"})
			}
		}
		return g
	}
	gpus := []GPUInfo{gives("memory_used_mib", "power_w", "xid"), gives("memory_used_mib")}
	log, name := f.NewGPULog("requests/T4.jsonl", gpus)
	if name != "memory_logs/T4.csv" {
		t.Errorf("name is %s", name)
	}
	samples := []GPUSample{
		{AtNS: 1, Index: 0, MemoryUsedMiB: new(22000.0), PowerW: new(31.5)},
		{AtNS: 1, Index: 1, MemoryUsedMiB: new(10.0)},
		{AtNS: 2, Index: 0, MemoryUsedMiB: new(22001.0), PowerW: new(0.0), XID: new(79.0)},
	}
	if err := log.Append(samples[:2]...); err != nil {
		t.Fatal(err)
	}
	if err := log.Append(samples[2]); err != nil {
		t.Fatal(err)
	}
	log.Close()
	got, err := f.ReadGPUSamples(name)
	if err != nil || !reflect.DeepEqual(got, samples) {
		t.Errorf("read back %+v, %v", got, err)
	}
	data, _ := os.ReadFile(f.Path(name))
	if head, _, _ := strings.Cut(string(data), "\n"); head != "at_ns,gpu,memory_used_mib,power_w,xid" {
		t.Errorf("header is %q: a column nobody can read must be absent", head)
	}
	// A later session goes on under the same columns, and a torn last line goes.
	if err := os.WriteFile(f.Path(name), append(data, "3,0,2200"...), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := f.ReadGPUSamples(name); err != nil || len(got) != 3 {
		t.Errorf("a torn last line: %d samples, %v", len(got), err)
	}
	log, _ = f.NewGPULog("requests/T4.jsonl", gpus)
	if err := log.Append(GPUSample{AtNS: 4, TemperatureC: new(60.0), PowerW: new(5.0)}); err != nil {
		t.Fatal(err)
	}
	log.Close()
	got, err = f.ReadGPUSamples(name)
	if err != nil || len(got) != 4 || got[3].TemperatureC != nil || *got[3].PowerW != 5 {
		t.Errorf("after resuming: %+v, %v", got, err)
	}
}

func TestServerLogHoldsGrowth(t *testing.T) {
	f := lockTemp(t)
	scrapes := []ServerSample{
		{AtNS: 1, Running: new(0.0), PromptTokens: new(1000.0), Preemptions: new(7.0)},
		{AtNS: 2, Running: new(4.0), PromptTokens: new(1400.0), Preemptions: new(7.0)},
		{AtNS: 3, Running: new(0.0), PromptTokens: new(30.0)}, // restarted: its counters began anew
	}
	log, name := f.NewServerLog("requests/T4-2.jsonl", &scrapes[0])
	var prev *ServerSample
	for i := range scrapes {
		if err := log.Append(Delta(prev, &scrapes[i])); err != nil {
			t.Fatal(err)
		}
		prev = &scrapes[i]
	}
	log.Close()
	want := []ServerRow{
		{AtNS: 1, Running: new(0.0)},
		{AtNS: 2, Running: new(4.0), PromptTokens: new(400.0), Preemptions: new(0.0)},
		{AtNS: 3, Running: new(0.0)},
	}
	got, err := f.ReadServerRows(name)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read back %+v, %v", got, err)
	}
	data, _ := os.ReadFile(f.Path(name))
	if head, _, _ := strings.Cut(string(data), "\n"); head != "at_ns,running,preemptions_delta,prompt_tokens_delta" {
		t.Errorf("header is %q", head)
	}
}

func TestFullDiskLeavesWholeLines(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full on this system")
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	l := &RequestLog{file: full}
	err = l.Append(Request{TestID: "T4"})
	if err == nil || !strings.Contains(err.Error(), "no space left") || !strings.Contains(err.Error(), "--resume") {
		t.Errorf("error is %v", err)
	}
}

func TestIdentityAndSettingsNameWhatDiffers(t *testing.T) {
	a := Identity{ModelRoot: "m", EngineVersion: "0.27.1", MaxModelLen: 4096, GPUUUIDs: []string{"GPU-1"}, ToolMajor: 1}
	if d := a.Differences(a); len(d) != 0 {
		t.Errorf("same identity differs: %v", d)
	}
	b := a
	b.ModelRoot, b.MaxModelLen = "n", 8192
	if d := strings.Join(a.Differences(b), "; "); d != `model was "m", now "n"; max_model_len was "4096", now "8192"` {
		t.Errorf("differences are %q", d)
	}
	s := Settings{Temperature: 0.7, Seed: 1}
	if d := s.Differences(Settings{Temperature: 0.7, Seed: 2}); len(d) != 1 || !strings.Contains(d[0], "--seed") {
		t.Errorf("differences are %v", d)
	}
}

func FuzzReadRequests(f *testing.F) {
	f.Add([]byte("{\"schema\":\"bench.request/1\",\"test\":{\"test_id\":\"T1\"}}\n{\"test_id\":\"T1\",\"sent_ns\":4}\n"))
	f.Add([]byte("{\"schema\":\"bench.request/1\"}\n{\"abandoned\":{\"run\":0}}\n{\"test"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.jsonl")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := ReadRequests(path)
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		if lines := strings.Count(string(data), "\n"); len(got.Requests) > lines-1 {
			t.Errorf("%d requests from %d lines", len(got.Requests), lines)
		}
		if got.Torn != (data[len(data)-1] != '\n') {
			t.Errorf("Torn = %v", got.Torn)
		}
	})
}

func FuzzReadSamples(f *testing.F) {
	f.Add("at_ns,gpu,power_w\n1,0,3.5\n2,0,\n")
	f.Add("at_ns,gpu,x\n1,0,\"a\nb\"\n")
	f.Fuzz(func(t *testing.T, data string) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x.csv"), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		folder := &Folder{dir: dir}
		got, err := folder.ReadGPUSamples("x.csv")
		if err == nil && len(got) > strings.Count(data, "\n")+1 {
			t.Errorf("%d samples from %d lines", len(got), strings.Count(data, "\n"))
		}
		if err != nil && !strings.Contains(err.Error(), "x.csv") {
			t.Errorf("the error does not name the file: %v", err)
		}
	})
}

func TestClockEventNames(t *testing.T) {
	// The bits as nvml.h has them.
	for bits, want := range map[ClockEvents][]string{
		0:                        nil,
		0x4:                      {"sw_power_cap"},
		0x1 | 0x40 | 0x8:         {"gpu_idle", "hw_slowdown", "hw_thermal_slowdown"},
		0x20 | 0x80 | 1<<40:      {"sw_thermal_slowdown", "hw_power_brake_slowdown"},
		ClockReliability | 0x200: {"board_limit", "reliability"},
		ClockDisplaySetting:      {"display_clocks_setting"},
	} {
		if got := bits.Names(); !slices.Equal(got, want) {
			t.Errorf("%#x: %v, want %v", uint64(bits), got, want)
		}
	}
	if n := len(ClockEvents(1<<11 - 1).Names()); n != 11 || ClockReliability != 1<<10 {
		t.Errorf("%d names, reliability is %#x", n, uint64(ClockReliability))
	}
}

func TestNotReadGroupsByReason(t *testing.T) {
	g := GPUInfo{Absent: []AbsentColumn{{"energy_j", "no field"}, {"ecc_uncorrected", "[N/A]"}, {"xid", "no field"}}}
	if got, want := g.NotRead(), "energy_j, xid (no field); ecc_uncorrected ([N/A])"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (GPUInfo{}).NotRead(); got != "" {
		t.Errorf("a GPU that gives all: %q", got)
	}
}

// A folder that was made and never written to leaves nothing, the folders made on the way to it included; one that
// was there stays, and so does one that holds anything.
func TestFolderMadeForNothing(t *testing.T) {
	root := t.TempDir()
	left := func() string {
		var out []string
		filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
			out = append(out, strings.TrimPrefix(path, root))
			return err
		})
		return strings.Join(out, " ")
	}
	use := func(dir string, write bool) {
		f, err := LockFolder(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		if write {
			err = f.WriteFile("a", nil)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	use("x/y", false)
	if got := left(); got != "" {
		t.Errorf("left: %s", got)
	}
	use("x/y", true)
	use("x/z/z", false)
	if err := os.Mkdir(filepath.Join(root, "mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	use("mine", false)
	if got, want := left(), " /mine /mine/.lock /x /x/y /x/y/.lock /x/y/a"; got != want {
		t.Errorf("left: %s, want %s", got, want)
	}
}

// FuzzReadDocuments reads the documents of a folder from any bytes: an error names the file, and what was read stays as it is
// when it is written and read again.
func FuzzReadDocuments(f *testing.F) {
	f.Add([]byte(`[{"schema":"bench.record/1","test_id":"T4","results":{"avg_ttft_ms":1.5,"errors":[{"class":"timeout","count":1}]},"detail":{"kind":"matrix"}}]`))
	f.Add([]byte(`{"schema":"bench.run/1","settings":{"seed":1}}`))
	f.Add([]byte(`{"schema":"bench.verify/1"}`))
	f.Add([]byte(`{"schema":"bench.sizing/1","setups":[{"gpu":"l4","count":1}]}`))
	f.Add([]byte(`[{"schema":"bench.record/2"}]`))
	f.Add([]byte("null\n[1,"))
	f.Fuzz(func(t *testing.T, data []byte) {
		folder := &Folder{dir: t.TempDir()}
		for name, read := range map[string]func() (any, error){
			ConcurrentFile: func() (any, error) { return folder.ReadRecords(ConcurrentFile) },
			RunFile:        func() (any, error) { run, _, err := folder.ReadRun(); return run, err },
			VerifyFile:     func() (any, error) { return folder.ReadVerify() },
			SizingFile:     func() (any, error) { return folder.ReadSizing() },
		} {
			if err := os.WriteFile(folder.Path(name), data, 0o644); err != nil {
				t.Fatal(err)
			}
			doc, err := read()
			if err != nil {
				if !strings.Contains(err.Error(), folder.Path(name)) {
					t.Errorf("the error does not name the file: %v", err)
				}
				continue
			}
			if err := folder.WriteJSON(name, doc); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			once, err := os.ReadFile(folder.Path(name))
			if err != nil {
				t.Fatal(err)
			}
			if doc, err = read(); err != nil {
				t.Fatalf("%s as written: %v", name, err)
			}
			if err := folder.WriteJSON(name, doc); err != nil {
				t.Fatal(err)
			}
			if again, err := os.ReadFile(folder.Path(name)); err != nil || !bytes.Equal(again, once) {
				t.Errorf("%s read and written again is another:\n%s\n%s", name, once, again)
			}
		}
	})
}
