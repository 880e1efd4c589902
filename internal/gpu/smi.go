package gpu

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"bench/internal/record"
)

// A run of nvidia-smi takes some ten milliseconds a GPU, and seconds where no process keeps the
// driver awake. smiGrace is for its pipes after it was killed.
const (
	smiBound = 15 * time.Second
	smiGrace = time.Second
)

// Fields of a reading and of a description, as nvidia-smi names them. The name comes last in a
// query because it is the one value that might hold a comma.
var (
	smiSampleFields = []string{"index", "memory.used", "memory.total", "utilization.gpu", "utilization.memory",
		"power.draw", "clocks.sm", "clocks.mem", "temperature.gpu"}
	smiInfoFields = []string{"index", "uuid", "driver_version", "memory.used", "memory.total", "compute_cap",
		"enforced.power.limit", "mig.mode.current", "name"}
)

// smiSource runs nvidia-smi anew for each reading.
type smiSource struct {
	program string
	bound   time.Duration
	chosen  string // the indexes, for -i
	// The fields that this nvidia-smi knows; an older one lacks some.
	sampleFields, infoFields []string
}

func openSMI(indexes []int) (Source, string, error) {
	program, err := exec.LookPath("nvidia-smi")
	if err != nil {
		return nil, "", errors.New("no nvidia-smi on the PATH")
	}
	s := &smiSource{program: program, bound: smiBound}
	var rows []smiRow
	if s.infoFields, rows, err = s.query(smiInfoFields); err != nil {
		return nil, "", err
	}
	if len(rows) == 0 {
		return nil, "", errors.New("nvidia-smi sees no GPU")
	}
	var have, mig []int
	for _, row := range rows {
		index, err := row.index()
		if err != nil {
			return nil, "", err
		}
		have = append(have, index)
	}
	chosen, err := pick(have, indexes)
	if err != nil {
		return nil, "", err
	}
	for i, row := range rows {
		if slices.Contains(chosen, have[i]) && row["mig.mode.current"] == "Enabled" {
			mig = append(mig, have[i])
		}
	}
	s.chosen = strings.ReplaceAll(list(chosen), " ", "")
	if s.sampleFields, _, err = s.query(smiSampleFields); err != nil {
		return nil, "", err
	}
	return s, migNote(mig), nil
}

// Name implements [Source].
func (s *smiSource) Name() string { return NvidiaSMI }

// Close implements [Source].
func (s *smiSource) Close() error { return nil }

// GPUs implements [Source].
func (s *smiSource) GPUs() ([]record.GPUInfo, error) {
	out, err := s.run("--query-gpu=" + strings.Join(s.infoFields, ","))
	if err != nil {
		return nil, err
	}
	return parseEach(s.infoFields, out, smiRow.info)
}

// Sample implements [Source].
func (s *smiSource) Sample(atNS int64) ([]record.GPUSample, error) {
	out, err := s.run("--query-gpu=" + strings.Join(s.sampleFields, ","))
	if err != nil {
		return nil, err
	}
	return parseEach(s.sampleFields, out, func(row smiRow) (record.GPUSample, error) { return row.sample(atNS) })
}

// Processes implements [Source].
func (s *smiSource) Processes() (map[int][]int, error) {
	gpus, err := s.run("--query-gpu=index,uuid")
	if err != nil {
		return nil, err
	}
	apps, err := s.run("--query-compute-apps=gpu_uuid,pid")
	if err != nil {
		return nil, err
	}
	return parseProcesses(gpus, apps)
}

// query asks for fields, leaves out those this nvidia-smi does not know, and returns the known ones
// with the answer.
func (s *smiSource) query(fields []string) (known []string, rows []smiRow, err error) {
	known = slices.Clone(fields)
	for range fields {
		out, err := s.run("--query-gpu=" + strings.Join(known, ","))
		unknown := unknownField(out)
		switch {
		case err == nil:
			rows, err := parseSMI(known, out)
			return known, rows, err
		case unknown == "" || !slices.Contains(known, unknown) || unknown == "index":
			return nil, nil, err
		}
		known = slices.DeleteFunc(known, func(field string) bool { return field == unknown })
	}
	return nil, nil, errors.New("nvidia-smi knows none of the fields asked for")
}

// run runs nvidia-smi once and returns what it printed, also with an error.
func (s *smiSource) run(query string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.bound)
	defer cancel()
	args := []string{query, "--format=csv,noheader,nounits"}
	if s.chosen != "" {
		args = append(args, "-i", s.chosen)
	}
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.WaitDelay = smiGrace
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", fmt.Errorf("nvidia-smi did not answer within %v", s.bound)
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
