package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"bench/internal/record"
)

// Benchfmt writes the figures in Go's benchmark format (golang.org/design/14313-benchmark-format), one line a repeat, so
// that benchstat takes the repeat for its sample: the number after the name counts the successful requests that the
// line's times are means over. A repeat in which none succeeded has only the number that failed.
//
// What must agree for two results to compare stands in configuration lines: benchstat keeps those apart that differ.
func Benchfmt(w io.Writer, in Input) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# bench %s, %s\n", oneField(in.Run.ToolVersion), in.Run.CreatedAt.UTC().Format(time.RFC3339))
	b.WriteString("Unit tokens/s better=higher\nUnit failed-requests better=lower\n")
	id := in.Run.Identity
	configure(&b, "model", id.ModelRoot)
	configure(&b, "engine", id.EngineVersion)
	configure(&b, "gpu", gpuNames(in.Run.GPUs))
	configure(&b, "endpoint", in.Run.Settings.Endpoint)
	trust, simulated := "", ""
	for _, rec := range slices.Concat(in.Baselines, in.Tests, in.Open) {
		// These may differ between the tests of a folder; a line holds until the next of its key.
		if s := strconv.FormatBool(rec.Detail.Simulated); s != simulated {
			simulated = s
			configure(&b, "simulated", s)
		}
		if rec.Trust.Verdict != trust {
			trust = rec.Trust.Verdict
			configure(&b, "trust", trust)
		}
		for _, r := range rec.Detail.Repeats {
			// Keys and values behind slashes; the test's name is not the last, since benchstat takes a number after a last
			// hyphen for GOMAXPROCS.
			fmt.Fprintf(&b, "BenchmarkServe/test=%s/concurrent=%d/in=%d/out=%d %d", oneField(rec.TestID), rec.ConcurrentRequests,
				rec.InputTokens, rec.MaxOutputTokens, r.Succeeded)
			measured(&b, r.AvgTTFTMS, 1e6, "ttft-ns")
			measured(&b, r.AvgTPOTMS, 1e6, "tpot-ns")
			measured(&b, r.AvgTotalLatencyMS, 1e6, "latency-ns")
			measured(&b, r.ThroughputTokensPerSec, 1, "tokens/s")
			fmt.Fprintf(&b, " %d failed-requests\n", r.Requests-r.Succeeded)
		}
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing Go's benchmark format: %w", err)
	}
	return nil
}

func measured(b *bytes.Buffer, v *float64, factor float64, unit string) {
	if v != nil {
		fmt.Fprintf(b, " %s %s", strconv.FormatFloat(*v*factor, 'f', -1, 64), unit)
	}
}

// configure writes a configuration line; one without a value would clear the key, and is left out.
func configure(b *bytes.Buffer, key, value string) {
	if value = strings.Join(strings.FieldsFunc(value, unicode.IsControl), " "); value != "" {
		fmt.Fprintf(b, "%s: %s\n", key, value)
	}
}

// oneField keeps a name one field of a line and one part of a benchmark's name.
func oneField(s string) string {
	return cmp.Or(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || r == '/' {
			return '_'
		}
		return r
	}, s), "_")
}

// gpuNames lists what the server runs on: "2 × NVIDIA L4, Tesla T4".
func gpuNames(gpus []record.GPUInfo) string {
	counts := map[string]int{}
	var names []string
	for _, g := range gpus {
		if counts[g.Name]++; counts[g.Name] == 1 {
			names = append(names, g.Name)
		}
	}
	for i, name := range names {
		if counts[name] > 1 {
			names[i] = fmt.Sprintf("%d × %s", counts[name], name)
		}
	}
	return strings.Join(names, ", ")
}
