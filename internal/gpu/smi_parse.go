package gpu

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"bench/internal/record"
)

// smiRow is one line of nvidia-smi's answer, by field.
type smiRow map[string]string

// parseSMI splits the CSV that nvidia-smi prints without header and units: one line a GPU, values
// separated by a comma and a space, nothing quoted.
func parseSMI(fields []string, out string) ([]smiRow, error) {
	var rows []smiRow
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if line == "" || line == "No devices were found" {
			continue
		}
		values := strings.SplitN(line, ",", len(fields))
		if len(values) != len(fields) {
			return nil, fmt.Errorf("nvidia-smi printed %d values where %d were asked for: %s", len(values), len(fields), firstLine(line))
		}
		row := make(smiRow, len(fields))
		for i, field := range fields {
			row[field] = strings.TrimSpace(values[i])
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// parseEach parses out and turns each row into what make makes of it.
func parseEach[T any](fields []string, out string, make func(smiRow) (T, error)) ([]T, error) {
	rows, err := parseSMI(fields, out)
	if err != nil {
		return nil, err
	}
	var all []T
	for _, row := range rows {
		one, err := make(row)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (r smiRow) index() (int, error) {
	index, err := strconv.Atoi(r["index"])
	if err != nil || index < 0 {
		return 0, fmt.Errorf("nvidia-smi printed no GPU index but %q", firstLine(r["index"]))
	}
	return index, nil
}

// number is the value of a field; nil where nvidia-smi does not say it or was not asked.
func (r smiRow) number(field string) (*float64, error) {
	text := r[field]
	if silent(text) {
		return nil, nil
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
		return nil, fmt.Errorf("nvidia-smi printed %s as %q, not as a number", field, firstLine(text))
	}
	return &value, nil
}

// text is the value of a field, empty where nvidia-smi does not say it.
func (r smiRow) text(field string) string {
	if silent(r[field]) {
		return ""
	}
	return r[field]
}

// silent says whether a value stands for no value: [N/A], [Not Supported], [Unknown Error], [GPU is
// lost] and others in brackets, also N/A without.
func silent(value string) bool {
	return value == "" || value == "N/A" || strings.HasPrefix(value, "[")
}

func (r smiRow) info() (record.GPUInfo, error) {
	index, err := r.index()
	if err != nil {
		return record.GPUInfo{}, err
	}
	info := record.GPUInfo{
		Index: index, UUID: r.text("uuid"), Name: r.text("name"), DriverVersion: r.text("driver_version"),
		ComputeCap: r.text("compute_cap"), Source: NvidiaSMI,
	}
	err = r.numbers(map[string]**float64{
		"memory.used": &info.MemoryUsedMiB, "memory.total": &info.MemoryTotalMiB, "enforced.power.limit": &info.PowerLimitW,
	})
	return info, err
}

func (r smiRow) sample(atNS int64) (record.GPUSample, error) {
	index, err := r.index()
	if err != nil {
		return record.GPUSample{}, err
	}
	s := record.GPUSample{AtNS: atNS, Index: index}
	err = r.numbers(map[string]**float64{
		"memory.used": &s.MemoryUsedMiB, "memory.total": &s.MemoryTotalMiB, "utilization.gpu": &s.GPUUtil,
		"utilization.memory": &s.MemoryUtil, "power.draw": &s.PowerW, "clocks.sm": &s.SMClockMHz,
		"clocks.mem": &s.MemClockMHz, "temperature.gpu": &s.TemperatureC,
	})
	return s, err
}

func (r smiRow) numbers(targets map[string]**float64) error {
	for field, target := range targets {
		value, err := r.number(field)
		if err != nil {
			return err
		}
		*target = value
	}
	return nil
}

// parseProcesses joins the answers for index,uuid and gpu_uuid,pid.
func parseProcesses(gpus, apps string) (map[int][]int, error) {
	gpuRows, err := parseSMI([]string{"index", "uuid"}, gpus)
	if err != nil {
		return nil, err
	}
	appRows, err := parseSMI([]string{"gpu_uuid", "pid"}, apps)
	if err != nil {
		return nil, err
	}
	pids := map[int][]int{}
	byUUID := map[string]int{}
	for _, row := range gpuRows {
		index, err := row.index()
		if err != nil {
			return nil, err
		}
		byUUID[row["uuid"]], pids[index] = index, []int{}
	}
	for _, row := range appRows {
		index, known := byUUID[row["gpu_uuid"]]
		if !known {
			continue // a MIG device, or a GPU that was not chosen
		}
		pid, err := strconv.Atoi(row["pid"])
		if err != nil {
			return nil, fmt.Errorf("nvidia-smi printed a process id as %q", firstLine(row["pid"]))
		}
		pids[index] = append(pids[index], pid)
	}
	return pids, nil
}

// unknownField is the field that nvidia-smi refuses in its message, or empty.
func unknownField(message string) string {
	_, rest, ok := strings.Cut(message, `Field "`)
	if !ok {
		return ""
	}
	field, rest, _ := strings.Cut(rest, `"`)
	if !strings.HasPrefix(rest, " is not a valid field") {
		return ""
	}
	return field
}
