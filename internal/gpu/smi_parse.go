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
		if line == "" || line == "No devices were found" || line == "No running processes found" {
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

// has says whether the field was asked for.
func (r smiRow) has(field string) bool {
	_, asked := r[field]
	return asked
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
	if digits, ok := strings.CutPrefix(text, "0x"); ok { // a set of bits
		if bits, err := strconv.ParseUint(digits, 16, 53); err == nil {
			return new(float64(bits)), nil
		}
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
	return record.GPUInfo{
		Index: index, UUID: r.text("uuid"), Name: r.text("name"), DriverVersion: r.text("driver_version"),
		ComputeCap: r.text("compute_cap"), Source: NvidiaSMI, MIG: r["mig.mode.current"] == "Enabled",
	}, nil
}

func (r smiRow) sample(columns []smiColumn, atNS int64) (record.GPUSample, error) {
	index, err := r.index()
	if err != nil {
		return record.GPUSample{}, err
	}
	s := record.GPUSample{AtNS: atNS, Index: index}
	for _, c := range columns {
		if *c.at(&s), err = r.number(c.fields[0]); err != nil {
			return record.GPUSample{}, err
		}
	}
	return s, nil
}

// smiProcessFields are the fields of a process. The name comes last because it might hold a comma.
func smiProcessFields() []string { return []string{"gpu_uuid", "pid", "used_memory", "process_name"} }

// parseProcesses sorts the answer for smiProcessFields by GPU.
func parseProcesses(gpus []record.GPUInfo, apps string) (map[int][]record.GPUProcess, error) {
	rows, err := parseSMI(smiProcessFields(), apps)
	if err != nil {
		return nil, err
	}
	byGPU := map[int][]record.GPUProcess{}
	byUUID := map[string]int{}
	for _, g := range gpus {
		if !g.MIG {
			byUUID[g.UUID], byGPU[g.Index] = g.Index, []record.GPUProcess{}
		}
	}
	for _, row := range rows {
		index, known := byUUID[row["gpu_uuid"]]
		if !known {
			continue // a MIG device, or a GPU that was not chosen
		}
		pid, err := strconv.Atoi(row["pid"])
		if err != nil {
			return nil, fmt.Errorf("nvidia-smi printed a process id as %q", firstLine(row["pid"]))
		}
		memory, err := row.number("used_memory")
		if err != nil {
			return nil, err
		}
		byGPU[index] = append(byGPU[index], record.GPUProcess{PID: pid, Name: firstLine(row.text("process_name")), MemoryMiB: memory})
	}
	return byGPU, nil
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
