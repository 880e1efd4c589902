package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/runner"
	"bench/internal/vllm"
)

// readDataset takes the n requests of each repeat from the dataset, in an order drawn from the seed, and has the server count
// their tokens. An answer is asked to be as long as outputTokens says, else as the dataset does, else as its own answer is.
func (a *app) readDataset(ctx context.Context, l *loadFlags, s *server, seed int64, n, outputTokens int) error {
	f := &l.workload
	file, err := os.Open(f.path)
	if err != nil {
		return usagef("--dataset-path: %w", err)
	}
	defer file.Close()
	d, err := load.ReadDataset(f.dataset, file)
	if err != nil {
		return usagef("--dataset-path %s: %w", f.path, err)
	}
	if len(d.Bad) > 0 && !f.skip {
		return usagef("%s:%d: %s%s; mend the file, or leave out what is no request with --skip-bad-lines", f.path, d.Bad[0].Line, d.Bad[0].Why, andMore(len(d.Bad)))
	}
	if !s.info.HasTokenize {
		return fmt.Errorf("--dataset-name needs a server with a tokenizer to ask (vLLM's /tokenize, or llama.cpp's): without it the lengths of a dataset's requests are not known before they are sent")
	}
	usable := len(d.Samples)
	f.samples = nil
	for _, i := range load.Stream(seed, "dataset", d.SHA256, 0).Perm(usable) {
		if len(f.samples) == n {
			break
		}
		sample, err := l.count(ctx, s, d.Samples[i], outputTokens)
		if err != nil {
			return fmt.Errorf("%s:%d: counting its tokens: %w", f.path, d.Samples[i].Line, err)
		}
		if all, most := sample.InputTokens+sample.OutputTokens, s.info.MaxModelLen; most > 0 && all > most {
			bad := load.BadLine{Line: sample.Line, Why: fmt.Sprintf("it needs %d tokens, %d of them for the answer, and the server's context holds %d", all, sample.OutputTokens, most)}
			if !f.skip {
				return usagef("%s:%d: %s; leave such requests out with --skip-bad-lines", f.path, bad.Line, bad.Why)
			}
			d.Bad = append(d.Bad, bad)
			continue
		}
		f.samples = append(f.samples, sample)
	}
	if len(f.samples) < n {
		return usagef("%s holds %d requests that can be sent, a repeat needs %d: none is sent twice, because the prefix cache would answer", f.path, len(f.samples), n)
	}
	if len(d.Bad) > 0 {
		a.status("note: %s:%d was left out: %s%s", f.path, d.Bad[0].Line, d.Bad[0].Why, andMore(len(d.Bad)))
	}
	input, output := 0, 0
	for _, x := range f.samples {
		input, output = input+x.InputTokens, output+x.OutputTokens
	}
	l.input, l.output = (input+n/2)/n, (output+n/2)/n
	f.of = record.Workload{Dataset: f.dataset, File: filepath.Base(f.path), SHA256: d.SHA256, Usable: usable, Skipped: len(d.Bad)}
	return nil
}

// andMore counts what is not named.
func andMore(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", n-1)
}

// count settles the lengths of a request.
func (l *loadFlags) count(ctx context.Context, s *server, x load.Sample, outputTokens int) (runner.Sample, error) {
	out := runner.Sample{Sample: x}
	var err error
	if len(x.Messages) == 1 {
		out.InputTokens, err = s.client.CountTokens(ctx, l.endpoint, x.Messages[0].Content)
	} else {
		out.InputTokens, err = s.client.CountMessages(ctx, turns(x.Messages))
	}
	if err != nil {
		return out, err
	}
	out.OutputTokens = cmp.Or(outputTokens, x.OutputTokens)
	if out.OutputTokens == 0 && strings.TrimSpace(x.Reply) != "" {
		with, err := s.client.CountTokens(ctx, vllm.Completions, "a"+x.Reply)
		if err != nil {
			return out, err
		}
		without, err := s.client.CountTokens(ctx, vllm.Completions, "a") // with the tokens that begin any text
		if err != nil {
			return out, err
		}
		out.OutputTokens = max(with-without, 1)
	}
	out.OutputTokens = cmp.Or(out.OutputTokens, l.output)
	return out, nil
}
