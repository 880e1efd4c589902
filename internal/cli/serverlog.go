package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/sizing"
	"bench/internal/vllm"
)

// readServerLog reads the log named by --server-log; nil when none was.
func (f *engineFlags) readServerLog() (*record.Startup, error) {
	if f.serverLog == "" {
		return nil, nil
	}
	file, err := os.Open(f.serverLog)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("--server-log %s: no such file", f.serverLog)
	}
	if err != nil {
		return nil, usagef("--server-log: %w", err)
	}
	defer file.Close()
	s, err := vllm.ReadStartupLog(file)
	if err != nil {
		return nil, usagef("--server-log %s: %w", f.serverLog, err)
	}
	s.File = filepath.Base(f.serverLog)
	return &s, nil
}

// readResults reads the results folder named by --from, to calibrate by.
func readResults(dir string) (*sizing.Measured, error) {
	folder, err := record.OpenFolder(dir)
	if err != nil {
		return nil, usagef("--from: %w", err)
	}
	run, ok, err := folder.ReadRun()
	switch {
	case err != nil:
		return nil, fmt.Errorf("--from: %w", err)
	case !ok:
		return nil, usagef("--from %s: it holds no run: measure one with `bench run --out %s`", dir, dir)
	}
	return calibrate(folder, run)
}

// calibrate compares what a folder's tests measured with what is computed for them.
func calibrate(folder *record.Folder, run record.Run) (*sizing.Measured, error) {
	r := sizing.Results{Folder: folder.Dir(), Run: run}
	var errs [3]error
	var baselines []record.Record
	r.Verify, errs[0] = folder.ReadVerify()
	baselines, errs[1] = folder.ReadRecords(record.BaselineFile)
	r.Records, errs[2] = folder.ReadRecords(record.ConcurrentFile)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("reading results to calibrate by: %w", err)
	}
	r.Records = append(r.Records, baselines...)
	return sizing.Calibrate(r), nil
}

// logModel is the catalogue's model behind a start-up log.
func logModel(s *record.Startup) (m catalog.Model, ok bool) {
	if s == nil {
		return m, false
	}
	m, _, ok = catalog.GuessModel(s.Model)
	return m, ok
}
