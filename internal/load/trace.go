package load

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Formats of a trace: when requests came and how long they were, without their texts.
const (
	Mooncake = "mooncake" // a JSON object a line: {"timestamp": ms, "input_length": …, "output_length": …, "hash_ids": […]}
	Azure    = "azure"    // CSV: TIMESTAMP,ContextTokens,GeneratedTokens
)

// IsTrace says whether a format of datasets is one of traces.
func IsTrace(format string) bool { return format == Mooncake || format == Azure }

// TraceDefaults are how many seconds a unit of a trace's stamps is, and how many tokens a block has whose identity it tells; 0
// where it tells none.
func TraceDefaults(format string) (secMultiplier float64, blockTokens int) {
	if format == Mooncake {
		return 0.001, 512
	}
	return 1, 0
}

// maxTraceTokens bounds a length of a trace: more than any model's context is likelier a mistake.
const maxTraceTokens = 10_000_000

// errNoRequest is said of a line that is meant to be none.
var errNoRequest = errors.New("a header")

// parseMooncake reads a line of the traces that were published with Mooncake (FAST 2025), which vLLM's bench serve calls
// timed_trace.
func parseMooncake(line []byte) (Sample, error) {
	var s Sample
	if !utf8.Valid(line) {
		return s, errors.New("not UTF-8")
	}
	var r struct {
		Timestamp *float64          `json:"timestamp"`
		Input     *int              `json:"input_length"`
		Output    *int              `json:"output_length"`
		HashIDs   []json.RawMessage `json:"hash_ids"`
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return s, fmt.Errorf("no JSON object of a request: %w", err)
	}
	if r.Timestamp == nil || r.Input == nil || r.Output == nil {
		return s, errors.New("has no timestamp, input_length or output_length")
	}
	for _, id := range r.HashIDs {
		if id[0] == '{' || id[0] == '[' || id[0] == 'n' {
			return s, fmt.Errorf("the hash id %s is neither a number nor a string", id)
		}
		s.Blocks = append(s.Blocks, string(id))
	}
	return s.timed(*r.Timestamp, *r.Input, *r.Output)
}

// azure reads Azure's public traces of LLM inference (2023 and 2024).
type azure struct{ columns map[string]int }

func (a *azure) parse(line []byte) (Sample, error) {
	var s Sample
	if !utf8.Valid(line) {
		return s, errors.New("not UTF-8")
	}
	cells := strings.Split(string(line), ",")
	if a.columns == nil {
		a.columns = map[string]int{}
		for i, name := range cells {
			a.columns[strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))] = i
		}
		for _, name := range []string{"TIMESTAMP", "ContextTokens", "GeneratedTokens"} {
			if _, ok := a.columns[name]; !ok {
				return s, fmt.Errorf("the header names no column %s", name)
			}
		}
		return s, errNoRequest
	}
	if len(cells) != len(a.columns) {
		return s, fmt.Errorf("%d cells, the header has %d", len(cells), len(a.columns))
	}
	cell := func(name string) string { return strings.TrimSpace(cells[a.columns[name]]) }
	at, err := time.Parse("2006-01-02 15:04:05Z07:00", cell("TIMESTAMP"))
	if err != nil {
		at, err = time.Parse(time.DateTime, cell("TIMESTAMP"))
	}
	if err != nil {
		return s, fmt.Errorf("the time %q is not of the form 2023-11-16 18:17:03.979", cell("TIMESTAMP"))
	}
	input, errIn := strconv.Atoi(cell("ContextTokens"))
	output, errOut := strconv.Atoi(cell("GeneratedTokens"))
	if errIn != nil || errOut != nil {
		return s, fmt.Errorf("%q and %q are not two numbers of tokens", cell("ContextTokens"), cell("GeneratedTokens"))
	}
	return s.timed(float64(at.UnixMicro())/1e6, input, output)
}

// timed is a request of a trace, if it can be one.
func (s Sample) timed(at float64, input, output int) (Sample, error) {
	switch {
	case !(math.Abs(at) < 1e15):
		return s, fmt.Errorf("the time %v is out of range", at)
	case input < 1 || input > maxTraceTokens:
		return s, fmt.Errorf("a prompt of %d tokens is out of range", input)
	case output < 1 || output > maxTraceTokens:
		return s, fmt.Errorf("asks for %d output tokens", output)
	}
	s.At, s.PromptTokens, s.OutputTokens = at, input, output
	return s, nil
}

// Instants are when the requests of a trace are due after the first of them, which they are brought into the order of.
func Instants(samples []Sample, secMultiplier float64) []time.Duration {
	slices.SortStableFunc(samples, func(a, b Sample) int { return cmp.Compare(a.At, b.At) })
	due := make([]time.Duration, len(samples))
	for i, s := range samples {
		due[i] = time.Duration((s.At - samples[0].At) * secMultiplier * float64(time.Second))
	}
	return due
}

// CommonTokens are how many tokens of the prompts lie in whole blocks with which an earlier one began, too.
func CommonTokens(samples []Sample, blockTokens int) int {
	seen, common := map[string]bool{}, 0
	for _, s := range samples {
		leads := true
		for i, id := range s.Blocks {
			if leads = leads && seen[id]; leads {
				common += min(blockTokens, max(0, s.PromptTokens-i*blockTokens))
			}
			seen[id] = true
		}
	}
	return common
}
