package cli

import (
	"context"
	"fmt"
	"path/filepath"

	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/runner"

	"github.com/spf13/cobra"
)

// replays says whether a trace's own instants are kept, because no other load was asked for.
func (f *loadFlags) replays(c *cobra.Command) bool {
	return load.IsTrace(f.workload.dataset) && givenFlag(c, "request-rate", "ramp-up-strategy", "concurrent") == ""
}

// secMultiplier is how many seconds a unit of the trace's stamps is.
func (f *workloadFlags) secMultiplier() float64 {
	if f.multiplier != 0 {
		return f.multiplier
	}
	s, _ := load.TraceDefaults(f.dataset)
	return s
}

// chunkTokens is how many tokens a block of the trace has; 0 where it tells of none.
func (f *workloadFlags) chunkTokens() int {
	_, n := load.TraceDefaults(f.dataset)
	if f.chunk != 0 && n > 0 {
		return f.chunk
	}
	return n
}

// checkTrace refuses flags of a trace that cannot be meant.
func (f *workloadFlags) checkTrace(given string) error {
	switch {
	case given != "" && !load.IsTrace(f.dataset):
		return usagef("--%s is of a trace: name one with --dataset-name %s or %s", given, load.Mooncake, load.Azure)
	case f.chunk < 0 || f.chunk > 1<<20:
		return usagef("--timed-trace-chunk-hash-size %d: want 1 or more tokens", f.chunk)
	case !(f.multiplier >= 0):
		return usagef("--timed-trace-sec-multiplier %v: want a time above zero", f.multiplier)
	}
	return nil
}

// readTrace takes the requests of each repeat from a trace, in its order: n of them, or where n is 0 those of --num-prompts or
// --duration, or all.
func (a *app) readTrace(ctx context.Context, l *loadFlags, s *server, n int) error {
	f := &l.workload
	d, err := f.read()
	if err != nil {
		return err
	}
	least := 1
	if s.info.HasTokenize {
		if least, err = s.client.CountTokens(ctx, l.endpoint, load.Shortest); err != nil {
			return fmt.Errorf("asking how long the shortest prompt is: %w", err)
		}
	}
	f.due = load.Instants(d.Samples, f.secMultiplier())
	usable := len(d.Samples)
	f.samples = nil
	var due []int // of the samples that are sent
	for i, x := range d.Samples {
		if n > 0 && len(due) == n || l.arrivals.duration > 0 && n == 0 && f.due[i]-f.due[0] > l.arrivals.duration {
			break
		}
		if why := unfit(x, least, s.info.MaxModelLen); why != "" {
			if !f.skip {
				return usagef("%s:%d: %s; leave such requests out with --skip-bad-lines", f.path, x.Line, why)
			}
			d.Bad = append(d.Bad, load.BadLine{Line: x.Line, Why: why})
			continue
		}
		due = append(due, i)
		f.samples = append(f.samples, runner.Sample{Sample: x, InputTokens: x.PromptTokens})
	}
	if len(due) < max(n, 1) {
		return usagef("%s holds %d requests that can be sent, a repeat needs %d", f.path, len(due), max(n, 1))
	}
	for k, i := range due {
		f.due[k] = f.due[i] - f.due[due[0]]
	}
	f.due = f.due[:len(due)]
	if len(d.Bad) > 0 {
		a.status("note: %s:%d was left out: %s%s", f.path, d.Bad[0].Line, d.Bad[0].Why, andMore(len(d.Bad)))
	}
	input, output := 0, 0
	sent := make([]load.Sample, len(f.samples))
	for i, x := range f.samples {
		sent[i], input, output = x.Sample, input+x.InputTokens, output+x.OutputTokens
	}
	l.input, l.output = (input+len(sent)/2)/len(sent), (output+len(sent)/2)/len(sent)
	f.of = record.Workload{Dataset: f.dataset, File: filepath.Base(f.path), SHA256: d.SHA256, Usable: usable, Skipped: len(d.Bad), BlockTokens: f.chunkTokens()}
	f.of.CommonTokens = load.CommonTokens(sent, f.of.BlockTokens)
	return nil
}

// unfit says why a request of a trace cannot be sent; "" where it can.
func unfit(x load.Sample, least, most int) string {
	switch all := x.PromptTokens + x.OutputTokens; {
	case x.PromptTokens < least:
		return fmt.Sprintf("a prompt of %d tokens, the chat template and one letter already cost %d", x.PromptTokens, least)
	case most > 0 && all > most:
		return fmt.Sprintf("it needs %d tokens, %d of them for the answer, and the server's context holds %d", all, x.OutputTokens, most)
	}
	return ""
}
