package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/renameio/v2"
)

// Names inside a result folder.
const (
	RunFile        = "run.json"
	VerifyFile     = "verify.json"
	BaselineFile   = "baseline_results.json"
	ConcurrentFile = "concurrent_results.json"
	OpenFile       = "open_results.json"
	AnalysisFile   = "analysis.json"
	SizingFile     = "sizing.json"

	requestsDir = "requests"
	probesDir   = "probes"
	memoryDir   = "memory_logs"
	metricsDir  = "server_metrics"
	flightDir   = "flight"
	lockName    = ".lock"
)

// Folder is one environment's results. At most one process holds it for writing.
type Folder struct {
	dir  string
	lock *os.File // nil when opened for reading
	made []string // folders that were made to hold it, innermost first
}

// OpenFolder opens an existing folder for reading.
func OpenFolder(dir string) (*Folder, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no result folder %s: run `bench run --out %s` first", dir, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("result folder: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is a file, not a result folder", dir)
	}
	return &Folder{dir: dir}, nil
}

// LockFolder opens dir for writing, making it if need be, and holds it until Close or the end of
// the process, however it ends.
func LockFolder(dir string) (*Folder, error) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is a file, not a result folder: name another with --out", dir)
	}
	f := &Folder{dir: dir, made: missing(dir)}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("result folder: %w; name a writable one with --out", err)
	}
	var err error
	if f.lock, err = lockFile(f.Path(lockName)); err != nil {
		return nil, fmt.Errorf("result folder %s: %w", dir, err)
	}
	return f, nil
}

// missing are the folders on the way to dir that do not exist, innermost first.
func missing(dir string) (out []string) {
	for d := filepath.Clean(dir); ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) || d == filepath.Dir(d) {
			return out
		}
		out = append(out, d)
	}
}

// Close lets another process write to the folder. One that was made for nothing, as for a server that did not answer,
// is removed again.
func (f *Folder) Close() error {
	if f.lock == nil {
		return nil
	}
	if entries, err := os.ReadDir(f.dir); err == nil && len(f.made) > 0 && len(entries) == 1 && entries[0].Name() == lockName {
		// Removing what is no longer empty fails, which is right: somebody else has put something there.
		if os.Remove(f.lock.Name()) == nil {
			for _, d := range f.made {
				if os.Remove(d) != nil {
					break
				}
			}
		}
	}
	return f.lock.Close()
}

// Dir is the folder's path as it was named.
func (f *Folder) Dir() string { return f.dir }

// Path is the path of a file of the folder.
func (f *Folder) Path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// WriteFile puts a whole file in place by one rename, so that a reader sees the old or the new one.
// Missing parent folders inside the folder are made.
func (f *Folder) WriteFile(name string, data []byte) error {
	path := f.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := renameio.WriteFile(path, data, 0o644, renameio.WithTempDir(filepath.Dir(path)), renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// WriteJSON puts a document in place as indented JSON.
func (f *Folder) WriteJSON(name string, doc any) error {
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return f.WriteFile(name, append(data, '\n'))
}

// ReadRun reads run.json; ok is false when the folder has none yet.
func (f *Folder) ReadRun() (run Run, ok bool, err error) {
	ok, err = f.readJSON(RunFile, &run)
	if ok && err == nil {
		err = checkSchema(f.Path(RunFile), run.Schema, SchemaRun)
	}
	return run, ok, err
}

// ReadVerify reads verify.json; nil when there is none.
func (f *Folder) ReadVerify() (*Verify, error) {
	var doc Verify
	ok, err := f.readJSON(VerifyFile, &doc)
	if !ok || err != nil {
		return nil, err
	}
	return &doc, checkSchema(f.Path(VerifyFile), doc.Schema, SchemaVerify)
}

// ReadSizing reads sizing.json; nil when there is none.
func (f *Folder) ReadSizing() (*Sizing, error) {
	var doc Sizing
	ok, err := f.readJSON(SizingFile, &doc)
	if !ok || err != nil {
		return nil, err
	}
	return &doc, checkSchema(f.Path(SizingFile), doc.Schema, SchemaSizing)
}

// ReadRecords reads baseline_results.json, concurrent_results.json or open_results.json; none is no error.
func (f *Folder) ReadRecords(name string) ([]Record, error) {
	var recs []Record
	if _, err := f.readJSON(name, &recs); err != nil {
		return nil, err
	}
	for _, r := range recs {
		if err := checkSchema(f.Path(name), r.Schema, SchemaRecord); err != nil {
			return nil, err
		}
	}
	return recs, nil
}

// PutRecord puts rec in the place of the record of the same test, or inserts it in matrix order:
// T1 … T9 by number, then the others in the order they were measured.
func (f *Folder) PutRecord(name string, rec Record) error {
	recs, err := f.ReadRecords(name)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(recs, func(r Record) bool { return r.TestID == rec.TestID }); i >= 0 {
		recs[i] = rec
	} else {
		recs = append(recs, rec)
	}
	slices.SortStableFunc(recs, func(a, b Record) int { return matrixRank(a.TestID) - matrixRank(b.TestID) })
	return f.WriteJSON(name, recs)
}

// matrixRank is the number of a matrix test, or a rank after all of them.
func matrixRank(id string) int {
	if n, err := strconv.Atoi(strings.TrimPrefix(id, "T")); err == nil && strings.HasPrefix(id, "T") {
		return n
	}
	return 1 << 20
}

// readJSON decodes a document; ok is false when the file does not exist. Errors name file and line.
func (f *Folder) readJSON(name string, doc any) (ok bool, err error) {
	path := f.Path(name)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", path, err)
	}
	if err := json.Unmarshal(data, doc); err != nil {
		return true, fmt.Errorf("%s:%d: %w; restore the file or move the folder away", path, lineOf(data, err), err)
	}
	return true, nil
}

// lineOf is the 1-based line at which decoding failed.
func lineOf(data []byte, err error) int {
	offset := int64(len(data))
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = e.Offset
	} else if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = e.Offset
	}
	offset = min(offset, int64(len(data)))
	return 1 + bytes.Count(data[:offset], []byte("\n"))
}

// checkSchema refuses a document of another kind or of a newer major version.
func checkSchema(path, got, want string) error {
	gotName, gotMajor, _ := strings.Cut(got, "/")
	wantName, wantMajor, _ := strings.Cut(want, "/")
	if gotName != wantName {
		return fmt.Errorf("%s: schema is %q, want %q: not a file of this tool", path, got, want)
	}
	g, err := strconv.Atoi(gotMajor)
	w, _ := strconv.Atoi(wantMajor)
	if err != nil || g < 1 {
		return fmt.Errorf("%s: schema %q has no version", path, got)
	}
	if g > w {
		return fmt.Errorf("%s: schema %s is newer than this bench understands (%s): use a newer bench", path, got, want)
	}
	return nil
}

// Differences names what differs between two identities, one phrase a difference.
func (id Identity) Differences(other Identity) []string {
	var out []string
	diff := func(what, a, b string) {
		if a != b {
			out = append(out, fmt.Sprintf("%s was %q, now %q", what, a, b))
		}
	}
	diff("model", id.ModelRoot, other.ModelRoot)
	diff("engine version", id.EngineVersion, other.EngineVersion)
	diff("max_model_len", strconv.Itoa(id.MaxModelLen), strconv.Itoa(other.MaxModelLen))
	diff("KV-cache dtype", id.KVCacheDType, other.KVCacheDType)
	diff("GPUs", strings.Join(id.GPUUUIDs, " "), strings.Join(other.GPUUUIDs, " "))
	diff("tool major version", strconv.Itoa(id.ToolMajor), strconv.Itoa(other.ToolMajor))
	return out
}

// Differences names what differs between two settings.
func (s Settings) Differences(other Settings) []string {
	var out []string
	diff := func(flag string, a, b any) {
		if a != b {
			out = append(out, fmt.Sprintf("%s was %v, now %v", flag, a, b))
		}
	}
	diff("--endpoint", s.Endpoint, other.Endpoint)
	diff("--temperature", s.Temperature, other.Temperature)
	diff("--seed", s.Seed, other.Seed)
	diff("--timeout", s.TimeoutS, other.TimeoutS)
	diff("--warmup", s.Warmup, other.Warmup)
	diff("--cooldown", s.CooldownS, other.CooldownS)
	diff("--gpu-telemetry", s.GPUTelemetry, other.GPUTelemetry)
	return out
}
