package record

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// column is one optional figure of a sample.
type column[S any] struct {
	name string
	at   func(*S) **float64
}

// gpuColumns are the optional columns of memory_logs/*.csv, in file order.
var gpuColumns = []column[GPUSample]{
	{"memory_used_mib", func(s *GPUSample) **float64 { return &s.MemoryUsedMiB }},
	{"memory_total_mib", func(s *GPUSample) **float64 { return &s.MemoryTotalMiB }},
	{"gpu_util_percent", func(s *GPUSample) **float64 { return &s.GPUUtil }},
	{"memory_util_percent", func(s *GPUSample) **float64 { return &s.MemoryUtil }},
	{"power_w", func(s *GPUSample) **float64 { return &s.PowerW }},
	{"power_limit_w", func(s *GPUSample) **float64 { return &s.PowerLimitW }},
	{"energy_j", func(s *GPUSample) **float64 { return &s.EnergyJ }},
	{"sm_clock_mhz", func(s *GPUSample) **float64 { return &s.SMClockMHz }},
	{"memory_clock_mhz", func(s *GPUSample) **float64 { return &s.MemClockMHz }},
	{"temperature_c", func(s *GPUSample) **float64 { return &s.TemperatureC }},
	{"clock_events", func(s *GPUSample) **float64 { return &s.ClockEvents }},
	{"ecc_uncorrected", func(s *GPUSample) **float64 { return &s.ECCUncorrected }},
	{"xid", func(s *GPUSample) **float64 { return &s.XID }},
	{"pcie_tx_kb_per_s", func(s *GPUSample) **float64 { return &s.PCIeTxKBps }},
	{"pcie_rx_kb_per_s", func(s *GPUSample) **float64 { return &s.PCIeRxKBps }},
}

// SampleLog appends samples to one CSV file. A column that the source does not have is left out of the
// file: absent, not zero. It is used by one goroutine at a time.
type SampleLog[S any] struct {
	path    string
	columns []column[S]
	served  map[string]bool // columns the source has
	kept    []column[S]
	lead    []string
	leadOf  func(*S) []string
	file    *os.File
	csv     *csv.Writer
}

// GPUColumns are the names of the memory log's optional columns, in file order.
func GPUColumns() []string { return columnNames(gpuColumns) }

// ServerColumns are the names of the server-metrics log's optional columns, in file order.
func ServerColumns() []string { return columnNames(serverColumns) }

func columnNames[S any](columns []column[S]) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return names
}

// NewGPULog prepares the memory log that goes with a request file; it has the columns that at least one
// of the GPUs gives. The file is made with the first sample.
func (f *Folder) NewGPULog(requests string, gpus []GPUInfo) (*SampleLog[GPUSample], string) {
	name, _ := dataFiles(requests)
	served := map[string]bool{}
	for _, g := range gpus {
		for _, c := range gpuColumns {
			given := !slices.ContainsFunc(g.Absent, func(a AbsentColumn) bool { return a.Column == c.name })
			served[c.name] = served[c.name] || given
		}
	}
	return &SampleLog[GPUSample]{path: f.Path(name), columns: gpuColumns, served: served, lead: []string{"at_ns", "gpu"},
		leadOf: func(s *GPUSample) []string {
			return []string{strconv.FormatInt(s.AtNS, 10), strconv.Itoa(s.Index)}
		}}, name
}

// NewServerLog prepares the server-metrics log that goes with a request file; first, a scrape of the
// same server, tells which columns it has.
func (f *Folder) NewServerLog(requests string, first *ServerSample) (*SampleLog[ServerRow], string) {
	_, name := dataFiles(requests)
	probe := Delta(first, first)
	served := map[string]bool{}
	for _, c := range serverColumns {
		served[c.name] = *c.at(&probe) != nil
	}
	return &SampleLog[ServerRow]{path: f.Path(name), columns: serverColumns, served: served, lead: []string{"at_ns"},
		leadOf: func(s *ServerRow) []string { return []string{strconv.FormatInt(s.AtNS, 10)} }}, name
}

// Append writes samples taken at one instant.
func (l *SampleLog[S]) Append(samples ...S) error {
	if len(samples) == 0 {
		return nil
	}
	if l.file == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	for i := range samples {
		row := l.leadOf(&samples[i])
		for _, c := range l.kept {
			cell := ""
			if v := *c.at(&samples[i]); v != nil {
				cell = strconv.FormatFloat(*v, 'f', -1, 64)
			}
			row = append(row, cell)
		}
		l.csv.Write(row) // its error stays and comes out of Flush
	}
	l.csv.Flush()
	if err := l.csv.Error(); err != nil {
		return fmt.Errorf("recording samples in %s: %w", l.path, err)
	}
	return nil
}

// open makes the file, or goes on with that of an interrupted session under its own columns.
func (l *SampleLog[S]) open() error {
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return fmt.Errorf("making the folder of %s: %w", l.path, err)
	}
	names, err := mendCSV(l.path)
	if err != nil {
		return err
	}
	for _, c := range l.columns {
		if names == nil && l.served[c.name] || slices.Contains(names, c.name) {
			l.kept = append(l.kept, c)
		}
	}
	l.file, err = os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("making %s: %w", l.path, err)
	}
	l.csv = csv.NewWriter(l.file)
	if names == nil {
		row := slices.Clone(l.lead)
		for _, c := range l.kept {
			row = append(row, c.name)
		}
		l.csv.Write(row)
	}
	return nil
}

// Close ends the log; a log that never got a sample leaves no file.
func (l *SampleLog[S]) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

// mendCSV cuts a torn last line off an existing file and returns its header; nil when there is none.
func mendCSV(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	whole := len(data)
	for whole > 0 && data[whole-1] != '\n' {
		whole--
	}
	if whole < len(data) {
		if err := os.Truncate(path, int64(whole)); err != nil {
			return nil, fmt.Errorf("cutting the torn last line of %s: %w", path, err)
		}
	}
	if whole == 0 {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	defer file.Close()
	names, err := csv.NewReader(file).Read()
	if err != nil {
		return nil, fmt.Errorf("%s:1: %w", path, err)
	}
	return names, nil
}

// ReadGPUSamples reads a memory log; a missing file or name is an empty log.
func (f *Folder) ReadGPUSamples(name string) ([]GPUSample, error) {
	return readSamples(f, name, gpuColumns, func(s *GPUSample, col, v string) (err error) {
		switch col {
		case "at_ns":
			s.AtNS, err = strconv.ParseInt(v, 10, 64)
		case "gpu":
			s.Index, err = strconv.Atoi(v)
		}
		return err
	})
}

// ReadServerRows reads a server-metrics log; a missing file or name is an empty log.
func (f *Folder) ReadServerRows(name string) ([]ServerRow, error) {
	return readSamples(f, name, serverColumns, func(s *ServerRow, col, v string) (err error) {
		if col == "at_ns" {
			s.AtNS, err = strconv.ParseInt(v, 10, 64)
		}
		return err
	})
}

func readSamples[S any](f *Folder, name string, columns []column[S], lead func(*S, string, string) error) ([]S, error) {
	if name == "" {
		return nil, nil
	}
	path := f.Path(name)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading samples: %w", err)
	}
	data = data[:bytes.LastIndexByte(data, '\n')+1] // a torn last line, the trace of a killed writer
	in := csv.NewReader(bytes.NewReader(data))
	names, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	var out []S
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		var s S
		for i, col := range names {
			if err := fill(&s, col, row[i], columns, lead); err != nil {
				line, _ := in.FieldPos(i)
				return nil, fmt.Errorf("%s:%d: column %s: %w", path, line, col, err)
			}
		}
		out = append(out, s)
	}
}

// fill stores one cell; an empty cell is absent, an unknown column is left alone.
func fill[S any](s *S, col, v string, columns []column[S], lead func(*S, string, string) error) error {
	i := slices.IndexFunc(columns, func(c column[S]) bool { return c.name == col })
	if i < 0 {
		return lead(s, col, v)
	}
	if v == "" {
		return nil
	}
	x, err := strconv.ParseFloat(v, 64)
	if err != nil {
		return err
	}
	*columns[i].at(s) = &x
	return nil
}
