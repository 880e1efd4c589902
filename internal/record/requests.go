package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Test is one row of a matrix: what is sent, not how it went.
type Test struct {
	ID           string `json:"test_id"`
	Kind         string `json:"kind"` // KindBaseline, KindConcurrent or KindOpen
	Purpose      string `json:"purpose,omitempty"`
	Concurrent   int    `json:"concurrent_requests"`
	InputTokens  int    `json:"input_tokens"` // means, where the workload has several
	OutputTokens int    `json:"max_output_tokens"`
	Runs         int    `json:"runs"`
	Requests     int    `json:"requests"` // per repeat
	// Arrivals is the schedule of an open load; Concurrent is then the most in flight, 0 for no bound.
	Arrivals *Arrivals `json:"arrivals,omitempty"`
	Shard    *Shard    `json:"shard,omitempty"`    // nil: one machine sends all of it
	Workload *Workload `json:"workload,omitempty"` // nil: every request has the lengths above
	Probe    *Probe    `json:"probe,omitempty"`    // nil: nothing is sent beside the load
}

// Kinds of test; each has its own record file. [KindOpen] is a third.
const (
	KindBaseline   = "baseline"
	KindConcurrent = "concurrent"
)

// RecordFile is the file that holds the test's record.
func (t Test) RecordFile() string {
	switch t.Kind {
	case KindBaseline:
		return BaselineFile
	case KindOpen:
		return OpenFile
	}
	return ConcurrentFile
}

// RequestHeader is the first line of a request file: what the lines below are requests of.
type RequestHeader struct {
	Schema string `json:"schema"`
	Test   Test   `json:"test"`
}

// AbandonedLine is a line that voids what a repeat's earlier attempt had written.
type AbandonedLine struct {
	Abandoned Attempt `json:"abandoned"`
}

// Attempt is one try at a repeat, both counted from 0.
type Attempt struct {
	Run     int `json:"run"`
	Attempt int `json:"attempt"`
}

// RequestFile is the content of one request file.
type RequestFile struct {
	Test     Test
	Requests []Request // every line, abandoned attempts included
	Stops    []Stop    // of loads that were ended early
	Torn     bool      // the last line was cut and is left out
	size     int64     // bytes up to and including the last whole line
}

// Attempts holds, for each repeat, the requests of its newest attempt.
func (f *RequestFile) Attempts() map[int][]Request {
	newest := map[int]int{}
	for _, r := range f.Requests {
		newest[r.Run] = max(newest[r.Run], r.Attempt)
	}
	out := map[int][]Request{}
	for _, r := range f.Requests {
		if r.Attempt == newest[r.Run] {
			out[r.Run] = append(out[r.Run], r)
		}
	}
	for _, rs := range out {
		slices.SortFunc(rs, func(a, b Request) int { return a.Index - b.Index })
	}
	return out
}

// maxRequestLine bounds a line: a request of 100,000 tokens needs about 2 MB.
const maxRequestLine = 64 << 20

// ReadRequests reads a request file. A torn last line, the trace of a killed writer, is left out
// and reported by Torn; any other bad line is an error that names file and line.
func ReadRequests(path string) (*RequestFile, error) {
	out := &RequestFile{}
	var err error
	stop := func(s Stop) { out.Stops = append(out.Stops, s) }
	out.Test, out.size, out.Torn, err = scanRequests(path, stop, func(n int, line []byte) error {
		r, err := decodeRequest(line)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		out.Requests = append(out.Requests, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// decodeRequest reads one line. Whoever reads a request that succeeded relies on its tokens' stamps.
func decodeRequest(line []byte) (r Request, err error) {
	if err := json.Unmarshal(line, &r); err != nil {
		return r, err
	}
	if r.Success && (r.FirstTokenNS == nil || r.LastTokenNS == nil) {
		return r, errors.New("a request that succeeded has no stamps of its first and last token")
	}
	return r, nil
}

// scanRequests calls do with each line that holds a request and its number, and returns what the header says, the
// bytes up to and including the last whole line, and whether a torn one came after it. stop, where not nil, gets the lines
// that end a load early. It keeps one line at a time.
func scanRequests(path string, stop func(Stop), do func(n int, line []byte) error) (test Test, size int64, torn bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return test, 0, false, fmt.Errorf("reading requests: %w", err)
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 1<<16)
	for n := 1; ; n++ {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			if n == 1 {
				return test, 0, false, fmt.Errorf("%s:1: no header line: the file is empty or torn", path)
			}
			return test, size, len(line) > 0, nil
		}
		if err != nil {
			return test, size, false, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		size += int64(len(line))
		switch {
		case n == 1:
			var h RequestHeader
			if err := json.Unmarshal(line, &h); err != nil {
				return test, size, false, fmt.Errorf("%s:1: header line: %w", path, err)
			}
			if err := checkSchema(path, h.Schema, SchemaRequest); err != nil {
				return test, size, false, err
			}
			test = h.Test
		case bytes.HasPrefix(line, []byte(`{"abandoned"`)):
			// Said for human readers; a newer attempt already outranks the old one.
		case bytes.HasPrefix(line, []byte(`{"stopped"`)):
			var l StoppedLine
			if err := json.Unmarshal(line, &l); err != nil {
				return test, size, false, fmt.Errorf("%s:%d: %w", path, n, err)
			}
			if stop != nil {
				stop(l.Stopped)
			}
		default:
			if err := do(n, line); err != nil {
				return test, size, false, err
			}
		}
	}
}

// firstAttempt stands in the line of a request of a repeat's first attempt, and in no other: in a text its quotes would
// be escaped.
var firstAttempt = []byte(`"attempt":0,`)

// EachRequest calls do with every request of a data file that figures rest on: of each repeat those of its newest
// attempt, in the order in which they ended. The file is read twice and one line is kept at a time; do must not keep
// the request. An error of do ends it and is returned as it is.
func (f *Folder) EachRequest(name string, do func(*Request) error) error {
	path := f.Path(name)
	newest := map[int]int{}
	_, _, _, err := scanRequests(path, nil, func(n int, line []byte) error {
		if bytes.Contains(line, firstAttempt) {
			return nil // nearly all are, and a line is long
		}
		var a Attempt
		if err := json.Unmarshal(line, &a); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		newest[a.Run] = max(newest[a.Run], a.Attempt)
		return nil
	})
	if err != nil {
		return err
	}
	_, _, _, err = scanRequests(path, nil, func(n int, line []byte) error {
		r, err := decodeRequest(line)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
		if r.Attempt != newest[r.Run] {
			return nil
		}
		return do(&r)
	})
	return err
}

// readLine returns one line with its newline; io.EOF comes with what stands after the last newline.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > maxRequestLine {
			return nil, fmt.Errorf("line is longer than %d bytes", maxRequestLine)
		}
	}
}

// RequestLog appends to a request file, a line a call. It is used by one goroutine at a time.
type RequestLog struct {
	file *os.File
	size int64 // of whole lines
	name string
}

// Name is the file's name relative to the folder.
func (l *RequestLog) Name() string { return l.name }

// NewRequestLog begins the next free data file of a test: T4.jsonl, then T4-2.jsonl.
func (f *Folder) NewRequestLog(t Test) (*RequestLog, error) {
	if err := os.MkdirAll(f.Path(requestsDir), 0o755); err != nil {
		return nil, fmt.Errorf("making requests folder: %w", err)
	}
	for n := 1; ; n++ {
		name := path.Join(requestsDir, stem(t.ID, n)+".jsonl")
		file, err := os.OpenFile(f.Path(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("making %s: %w", f.Path(name), err)
		}
		return begin(file, name, t)
	}
}

// NewProbeLog begins the file of the probes of a test, whose request file is named.
func (f *Folder) NewProbeLog(t Test, requests string) (*RequestLog, error) {
	name := ProbesFile(requests)
	if err := os.MkdirAll(f.Path(probesDir), 0o755); err != nil {
		return nil, fmt.Errorf("making probes folder: %w", err)
	}
	file, err := os.OpenFile(f.Path(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("making %s: %w", f.Path(name), err)
	}
	return begin(file, name, t)
}

// begin writes the header of a new file.
func begin(file *os.File, name string, t Test) (*RequestLog, error) {
	l := &RequestLog{file: file, name: name}
	if err := l.append(RequestHeader{Schema: SchemaRequest, Test: t}); err != nil {
		file.Close()
		return nil, err
	}
	return l, nil
}

// ReopenRequestLog goes on with a data file; a torn last line is cut off.
func (f *Folder) ReopenRequestLog(name string) (*RequestLog, *RequestFile, error) {
	content, err := ReadRequests(f.Path(name))
	if err != nil {
		return nil, nil, err
	}
	file, err := os.OpenFile(f.Path(name), os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("reopening requests: %w", err)
	}
	if content.Torn {
		if err := file.Truncate(content.size); err != nil {
			file.Close()
			return nil, nil, fmt.Errorf("cutting the torn last line of %s: %w", f.Path(name), err)
		}
	}
	return &RequestLog{file: file, size: content.size, name: name}, content, nil
}

// ReadRequests reads the requests of a data file by its name in the folder, void attempts included; a missing file or
// name is none.
func (f *Folder) ReadRequests(name string) ([]Request, error) {
	if name == "" {
		return nil, nil
	}
	content, err := ReadRequests(f.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return content.Requests, nil
}

// Append writes one finished request.
func (l *RequestLog) Append(r Request) error { return l.append(r) }

// Abandon says that an attempt of a repeat is void.
func (l *RequestLog) Abandon(run, attempt int) error {
	return l.append(AbandonedLine{Attempt{Run: run, Attempt: attempt}})
}

// Stop says that a repeat's load was ended early.
func (l *RequestLog) Stop(s Stop) error { return l.append(StoppedLine{s}) }

func (l *RequestLog) append(line any) error {
	data, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("encoding a line of %s: %w", l.file.Name(), err)
	}
	n, err := l.file.Write(append(data, '\n'))
	if err != nil {
		if n > 0 { // a full disk took part of the line: leave whole lines only
			err = errors.Join(err, l.file.Truncate(l.size))
		}
		return fmt.Errorf("recording a request in %s: %w; make room and go on with --resume", l.file.Name(), err)
	}
	l.size += int64(n)
	return nil
}

// Sync forces what was appended to the disk.
func (l *RequestLog) Sync() error {
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", l.file.Name(), err)
	}
	return nil
}

// Close closes the file; what was appended stays.
func (l *RequestLog) Close() error { return l.file.Close() }

// Unfinished is the newest data file of a test that no record names, the trace of a run that was
// interrupted; "" when there is none.
func (f *Folder) Unfinished(t Test, recorded string) (string, error) {
	names, err := filepath.Glob(f.Path(path.Join(requestsDir, "*.jsonl")))
	if err != nil {
		return "", fmt.Errorf("listing data files: %w", err)
	}
	newest, name := 0, ""
	for _, full := range names {
		n, ok := stemNumber(strings.TrimSuffix(filepath.Base(full), ".jsonl"), t.ID)
		if ok && n > newest {
			newest, name = n, path.Join(requestsDir, filepath.Base(full))
		}
	}
	if name == recorded {
		return "", nil
	}
	if name == "" {
		return "", nil
	}
	if whole, err := hasHeader(f.Path(name)); err != nil {
		return "", err
	} else if !whole {
		// Killed between making the file and ending its header line: it holds no request.
		return "", os.Remove(f.Path(name))
	}
	return name, nil
}

// hasHeader says whether the file's first line is whole.
func hasHeader(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("looking for unfinished tests: %w", err)
	}
	defer file.Close()
	_, err = bufio.NewReader(file).ReadSlice('\n')
	return err == nil, nil
}

// stem is the base name of a test's nth data file.
func stem(id string, n int) string {
	if n == 1 {
		return id
	}
	return id + "-" + strconv.Itoa(n)
}

// stemNumber is the inverse of stem.
func stemNumber(s, id string) (int, bool) {
	if s == id {
		return 1, true
	}
	rest, ok := strings.CutPrefix(s, id+"-")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(rest)
	return n, err == nil && n > 1
}

// ProbesFile names the file of the requests that were sent beside a load, for the test whose request file is named.
func ProbesFile(requests string) string {
	return path.Join(probesDir, path.Base(requests))
}

// dataFiles are the sampler files that go with a request file.
func dataFiles(requests string) (memoryLog, serverMetrics string) {
	base := strings.TrimSuffix(path.Base(requests), ".jsonl")
	return path.Join(memoryDir, base+".csv"), path.Join(metricsDir, base+".csv")
}

// FlightFile names the flight recorder's file of the test whose request file is named.
func FlightFile(requests string) string {
	return path.Join(flightDir, strings.TrimSuffix(path.Base(requests), ".jsonl")+".json")
}

// LastStamp is the largest stamp of any request of the folder, 0 when there is none.
func (f *Folder) LastStamp() (int64, error) {
	names, err := filepath.Glob(f.Path(path.Join(requestsDir, "*.jsonl")))
	if err != nil {
		return 0, fmt.Errorf("listing data files: %w", err)
	}
	last := int64(0)
	for _, name := range names {
		if whole, err := hasHeader(name); err != nil || !whole {
			continue
		}
		content, err := ReadRequests(name)
		if err != nil {
			return 0, err
		}
		for _, r := range content.Requests {
			last = max(last, r.EndNS)
		}
	}
	return last, nil
}
