package gpu

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"bench/internal/record"
)

const (
	// smiOpenBound is how long the first run may take: seconds a GPU where no process keeps the driver awake.
	smiOpenBound = 15 * time.Second
	// smiGrace is for its pipes after it was killed.
	smiGrace = time.Second
	// smiPeriod is how often GPUs may be read: a run costs some ten milliseconds of a core, a hundredth
	// of it at one a second.
	smiPeriod = time.Second
)

// smiColumn is a column of the memory log with the field that nvidia-smi has for it; the newer name
// comes first, an older nvidia-smi knows the other.
type smiColumn struct {
	name   string
	fields []string
	whole  bool // a figure of the whole GPU, which in MIG mode is not that of the server's instance
	at     func(*record.GPUSample) **float64
}

// smiColumns are all columns that nvidia-smi has. Its counter of energy, its PCIe throughput and the
// last XID cannot be queried.
func smiColumns() []smiColumn {
	return []smiColumn{
		{"memory_used_mib", []string{"memory.used"}, true, func(s *record.GPUSample) **float64 { return &s.MemoryUsedMiB }},
		{"memory_total_mib", []string{"memory.total"}, true, func(s *record.GPUSample) **float64 { return &s.MemoryTotalMiB }},
		{"gpu_util_percent", []string{"utilization.gpu"}, true, func(s *record.GPUSample) **float64 { return &s.GPUUtil }},
		{"memory_util_percent", []string{"utilization.memory"}, true, func(s *record.GPUSample) **float64 { return &s.MemoryUtil }},
		{"power_w", []string{"power.draw"}, true, func(s *record.GPUSample) **float64 { return &s.PowerW }},
		{"power_limit_w", []string{"enforced.power.limit", "power.limit"}, false, func(s *record.GPUSample) **float64 { return &s.PowerLimitW }},
		{"sm_clock_mhz", []string{"clocks.sm"}, false, func(s *record.GPUSample) **float64 { return &s.SMClockMHz }},
		{"memory_clock_mhz", []string{"clocks.mem"}, false, func(s *record.GPUSample) **float64 { return &s.MemClockMHz }},
		{"temperature_c", []string{"temperature.gpu"}, false, func(s *record.GPUSample) **float64 { return &s.TemperatureC }},
		{"clock_events", []string{"clocks_event_reasons.active", "clocks_throttle_reasons.active"}, false,
			func(s *record.GPUSample) **float64 { return &s.ClockEvents }},
		{"ecc_uncorrected", []string{"ecc.errors.uncorrected.volatile.total"}, true, func(s *record.GPUSample) **float64 { return &s.ECCUncorrected }},
	}
}

// smiInfoFields are the fields of a description. The name comes last because it is the one value that
// might hold a comma.
func smiInfoFields() []string {
	return []string{"index", "uuid", "driver_version", "compute_cap", "mig.mode.current", "name"}
}

// smiSource runs nvidia-smi anew for each reading.
type smiSource struct {
	program string
	chosen  string      // the indexes, for -i
	columns []smiColumn // those that this nvidia-smi knows, each with the one field it knows
	infos   []record.GPUInfo
}

func openSMI(indexes []int) (Source, string, error) {
	program, err := exec.LookPath("nvidia-smi")
	if err != nil {
		return nil, "", errors.New("no nvidia-smi on the PATH")
	}
	ctx, cancel := context.WithTimeout(context.Background(), smiOpenBound)
	defer cancel()
	return openSMIProgram(ctx, program, indexes)
}

func openSMIProgram(ctx context.Context, program string, indexes []int) (Source, string, error) {
	s := &smiSource{program: program}
	rows, err := s.query(ctx, smiInfoFields())
	if err != nil {
		return nil, "", err
	}
	if len(rows) == 0 {
		return nil, "", errors.New("nvidia-smi sees no GPU")
	}
	var have []int
	for _, row := range rows {
		info, err := row.info()
		if err != nil {
			return nil, "", err
		}
		have = append(have, info.Index)
		s.infos = append(s.infos, info)
	}
	chosen, err := pick(have, indexes)
	if err != nil {
		return nil, "", err
	}
	s.infos = slices.DeleteFunc(s.infos, func(i record.GPUInfo) bool { return !slices.Contains(chosen, i.Index) })
	s.chosen = strings.ReplaceAll(list(chosen), " ", "")
	if err := s.chooseColumns(ctx); err != nil {
		return nil, "", err
	}
	var mig []int
	for _, info := range s.infos {
		if info.MIG {
			mig = append(mig, info.Index)
		}
	}
	return s, migNote(mig), nil
}

// chooseColumns asks for every column once and notes for each GPU which of them it does not have and why.
func (s *smiSource) chooseColumns(ctx context.Context) error {
	fields := []string{"index"}
	for _, c := range smiColumns() {
		fields = append(fields, c.fields...)
	}
	rows, err := s.query(ctx, fields)
	if err != nil {
		return err
	}
	columns := smiColumns()
	for _, name := range record.GPUColumns() {
		at := slices.IndexFunc(columns, func(c smiColumn) bool { return c.name == name })
		if at < 0 {
			s.absent(func(record.GPUInfo) string { return "nvidia-smi has no field for it" }, name)
			continue
		}
		column := columns[at]
		known := slices.IndexFunc(column.fields, func(field string) bool { return len(rows) > 0 && rows[0].has(field) })
		if known < 0 {
			s.absent(func(record.GPUInfo) string { return "this nvidia-smi does not know " + column.fields[0] }, name)
			continue
		}
		field := column.fields[known]
		column.fields = []string{field}
		s.columns = append(s.columns, column)
		s.absent(func(info record.GPUInfo) string {
			if info.MIG && column.whole {
				return migReason
			}
			for _, row := range rows {
				if row["index"] == strconv.Itoa(info.Index) && silent(row[field]) {
					return "nvidia-smi says " + firstLine(row[field])
				}
			}
			return ""
		}, name)
	}
	return nil
}

// absent notes a column for the GPUs that have a reason to lack it.
func (s *smiSource) absent(reason func(record.GPUInfo) string, column string) {
	for i := range s.infos {
		if why := reason(s.infos[i]); why != "" {
			s.infos[i].Absent = append(s.infos[i].Absent, record.AbsentColumn{Column: column, Reason: why})
		}
	}
}

// Name implements [Source].
func (s *smiSource) Name() string { return NvidiaSMI }

// Period implements [Source].
func (s *smiSource) Period() time.Duration { return smiPeriod }

// Close implements [Source].
func (s *smiSource) Close() error { return nil }

// GPUs implements [Source].
func (s *smiSource) GPUs(ctx context.Context) ([]record.GPUInfo, error) {
	samples, err := s.Sample(ctx, 0)
	if err != nil {
		return nil, err
	}
	infos := slices.Clone(s.infos)
	for i := range infos {
		for _, now := range samples {
			if now.Index == infos[i].Index {
				infos[i].MemoryUsedMiB, infos[i].MemoryTotalMiB, infos[i].PowerLimitW = now.MemoryUsedMiB, now.MemoryTotalMiB, now.PowerLimitW
			}
		}
	}
	return infos, nil
}

// Sample implements [Source].
func (s *smiSource) Sample(ctx context.Context, atNS int64) ([]record.GPUSample, error) {
	fields := []string{"index"}
	for _, c := range s.columns {
		fields = append(fields, c.fields[0])
	}
	out, err := s.run(ctx, "--query-gpu="+strings.Join(fields, ","))
	if err != nil {
		return nil, err
	}
	rows, err := parseSMI(fields, out)
	if err != nil {
		return nil, err
	}
	var samples []record.GPUSample
	for _, row := range rows {
		sample, err := row.sample(s.columns, atNS)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(s.infos, func(i record.GPUInfo) bool { return i.Index == sample.Index && i.MIG }) {
			for _, c := range s.columns {
				if c.whole {
					*c.at(&sample) = nil
				}
			}
		}
		samples = append(samples, sample)
	}
	return samples, nil
}

// Processes implements [Source].
func (s *smiSource) Processes(ctx context.Context) (map[int][]record.GPUProcess, error) {
	apps, err := s.run(ctx, "--query-compute-apps="+strings.Join(smiProcessFields(), ","))
	if err != nil {
		return nil, err
	}
	return parseProcesses(s.infos, apps)
}

// query asks for fields and leaves out those this nvidia-smi does not know.
func (s *smiSource) query(ctx context.Context, fields []string) ([]smiRow, error) {
	known := slices.Clone(fields)
	for range fields {
		out, err := s.run(ctx, "--query-gpu="+strings.Join(known, ","))
		unknown := unknownField(out)
		switch {
		case err == nil:
			return parseSMI(known, out)
		case unknown == "" || !slices.Contains(known, unknown) || unknown == "index":
			return nil, err
		}
		known = slices.DeleteFunc(known, func(field string) bool { return field == unknown })
	}
	return nil, errors.New("nvidia-smi knows none of the fields asked for")
}

// run runs nvidia-smi once and returns what it printed, also with an error.
func (s *smiSource) run(ctx context.Context, query string) (string, error) {
	args := []string{query, "--format=csv,noheader,nounits"}
	if s.chosen != "" {
		args = append(args, "-i", s.chosen)
	}
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.WaitDelay = smiGrace
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	start := time.Now()
	err := cmd.Run()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "", fmt.Errorf("nvidia-smi did not answer within %v", time.Since(start).Round(time.Millisecond))
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		// nvidia-smi complains on its standard output, the loader on standard error.
		said := out.String() + "\n" + complaint.String()
		return said, fmt.Errorf("nvidia-smi: %w: %s", err, firstLine(said))
	}
	return out.String(), nil
}

// firstLine is the first line of s that says something, bounded.
func firstLine(s string) string {
	const most = 200
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	line = strings.ToValidUTF8(strings.TrimSpace(line), "?")
	if runes := []rune(line); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return line
}
