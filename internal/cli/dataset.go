package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/runner"
	"bench/internal/vllm"
)

// settleWorkload finds out from the server what of a workload only it can tell, and refuses what it does not serve.
// plan is the tests as far as they are known, answers the length of answers that was asked for; 0 for none.
func (a *app) settleWorkload(ctx context.Context, l *loadFlags, s *server, plan []record.Test, answers int) error {
	f := &l.workload
	for _, name := range f.lora.modules {
		if slices.Contains(s.info.Adapters, name) {
			continue
		}
		if len(s.info.Adapters) == 0 {
			return usagef("--lora-modules %s: the server serves no adapter, only %s; start vLLM with --enable-lora --lora-modules", name, s.info.ServedModel)
		}
		return usagef("--lora-modules %s: the server does not serve it, its adapters are %s", name, strings.Join(s.info.Adapters, ", "))
	}
	if f.tokenIDs {
		if err := a.settleTokenIDs(ctx, f, s); err != nil {
			return err
		}
	}
	if f.dataset == datasetImages {
		if err := a.settleImages(ctx, l, s); err != nil {
			return err
		}
	}
	if f.fromFile() {
		return a.readRequests(ctx, l, s, plan, answers)
	}
	return nil
}

// readRequests takes the requests, or conversations, that the tests need from the dataset or the trace.
func (a *app) readRequests(ctx context.Context, l *loadFlags, s *server, plan []record.Test, outputTokens int) error {
	n := 0
	for _, t := range plan {
		if t.Workload != nil && t.Workload.Conversations > 0 {
			n = max(n, t.Workload.Conversations)
		} else {
			n = max(n, t.Requests)
		}
	}
	if !load.IsTrace(l.workload.dataset) {
		return a.readDataset(ctx, l, s, n, outputTokens)
	}
	if plan[0].Arrivals != nil && plan[0].Arrivals.Trace != nil {
		n = l.arrivals.prompts // 0: as many as there are
	}
	return a.readTrace(ctx, l, s, n)
}

// Token ids are drawn from a range below most special tokens of the vocabularies in use, and above those that some begin with;
// it is halved until the server takes its last.
const (
	firstTokenID = 1000
	lastTokenID  = 29_999
	fewestIDs    = 64
)

// settleTokenIDs finds the range of token ids that the server takes.
func (a *app) settleTokenIDs(ctx context.Context, f *workloadFlags, s *server) error {
	var refusal error
	for high := lastTokenID; high >= 2*fewestIDs; high /= 2 {
		low := min(firstTokenID, high/2)
		_, err := s.client.ProbeRequest(ctx, vllm.Generate{Endpoint: vllm.Completions, PromptIDs: []int{low, high}})
		if err == nil {
			f.lowID, f.highID = low, high
			a.status("token ids are drawn from %d to %d", low, high)
			return nil
		}
		if e, ok := errors.AsType[*vllm.Error](err); !ok || e.Class != record.ErrHTTP4xx && e.Class != record.ErrInBand {
			return err
		}
		refusal = err
	}
	return fmt.Errorf("--prompt-token-ids: the server takes no token ids: %w", refusal)
}

// settleImages finds out what an image of each size costs, so that a server that takes none is known before the test.
func (a *app) settleImages(ctx context.Context, l *loadFlags, s *server) error {
	mix, err := load.ParseImageMix(l.workload.images.buckets)
	if err != nil {
		return usageError{err}
	}
	const question = "What is this?"
	without, err := s.client.ProbeTokens(ctx, vllm.Chat, question)
	if err != nil {
		return err
	}
	var costs []string
	most := 0
	for i, b := range mix {
		image := load.Noise(b.Size, load.Stream(l.workload.seed, "probe-image", b.String(), i))
		with, err := s.client.ProbeRequest(ctx, vllm.Generate{Endpoint: vllm.Chat, Prompt: question, Images: []string{image}})
		if err != nil {
			return fmt.Errorf("asking about an image of %v: %w", b.Size, err)
		}
		if with <= without {
			return fmt.Errorf("an image of %v costs no prompt token at this server: it does not look at it", b.Size)
		}
		most = max(most, with-without)
		costs = append(costs, fmt.Sprintf("%v: %d", b.Size, with-without))
	}
	a.status("prompt tokens of one image, by the server's usage: %s", strings.Join(costs, ", "))
	images := int(math.Ceil(float64(l.workload.images.items) * (1 + l.workload.images.itemsRatio)))
	if need := l.input + l.output + images*most; s.info.MaxModelLen > 0 && need > s.info.MaxModelLen {
		return usagef("a request needs up to %d tokens, %d of them for images, and the server's context holds %d", need, images*most, s.info.MaxModelLen)
	}
	return nil
}

// readDataset takes the n requests, or conversations, of each repeat from the dataset, in an order drawn from the seed, and has
// the server count their tokens. An answer is asked to be as long as outputTokens says, else as the dataset does, else as its
// own answer is.
func (a *app) readDataset(ctx context.Context, l *loadFlags, s *server, n, outputTokens int) error {
	f := &l.workload
	d, err := f.read()
	if err != nil {
		return err
	}
	if !s.info.HasTokenize {
		return fmt.Errorf("--dataset-name needs a server with a tokenizer to ask (vLLM's /tokenize, or llama.cpp's): without it the lengths of a dataset's requests are not known before they are sent")
	}
	usable := len(d.Samples)
	f.samples = nil
	for _, i := range load.Stream(f.seed, "dataset", d.SHA256, 0).Perm(usable) {
		if len(f.samples) == n {
			break
		}
		sample, why, err := l.count(ctx, s, d.Samples[i], outputTokens)
		if err != nil {
			return fmt.Errorf("%s:%d: counting its tokens: %w", f.path, d.Samples[i].Line, err)
		}
		if why != "" {
			bad := load.BadLine{Line: sample.Line, Why: why}
			if !f.skip {
				return usagef("%s:%d: %s; leave such requests out with --skip-bad-lines", f.path, bad.Line, bad.Why)
			}
			d.Bad = append(d.Bad, bad)
			continue
		}
		f.samples = append(f.samples, sample)
	}
	if len(f.samples) < n {
		return usagef("%s holds %d %s that can be sent, a repeat needs %d: none is sent twice, because the prefix cache would answer", f.path, len(f.samples),
			map[bool]string{false: "requests", true: "conversations"}[f.turns.on], n)
	}
	if len(d.Bad) > 0 {
		a.status("note: %s:%d was left out: %s%s", f.path, d.Bad[0].Line, d.Bad[0].Why, andMore(len(d.Bad)))
	}
	input, output, answers, tools := 0, 0, 0, 0
	for _, x := range f.samples {
		input += x.InputTokens
		for _, turn := range append([]load.Turn{x.Turn}, x.More...) {
			output, answers = output+turn.OutputTokens, answers+1
		}
		if x.Tools != nil {
			tools++
		}
	}
	l.input, l.output = (input+n/2)/n, (output+answers/2)/answers
	f.of = record.Workload{Dataset: f.dataset, File: filepath.Base(f.path), SHA256: d.SHA256, Usable: usable, Skipped: len(d.Bad), Tools: tools}
	return nil
}

// read reads the file of the dataset; bad lines are an error unless they may be left out.
func (f *workloadFlags) read() (*load.Dataset, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, usagef("--dataset-path: %w", err)
	}
	defer file.Close()
	d, err := load.ReadDataset(f.dataset, f.turns.on, file)
	if err != nil {
		return nil, usagef("--dataset-path %s: %w", f.path, err)
	}
	if len(d.Bad) > 0 && !f.skip {
		return nil, usagef("%s:%d: %s%s; mend the file, or leave out what is no request with --skip-bad-lines", f.path, d.Bad[0].Line, d.Bad[0].Why, andMore(len(d.Bad)))
	}
	return d, nil
}

// andMore counts what is not named.
func andMore(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", n-1)
}

// count settles the lengths of a request, or of a conversation, of which more turns than asked for are left out; why says what
// keeps it from being sent.
func (l *loadFlags) count(ctx context.Context, s *server, x load.Sample, outputTokens int) (out runner.Sample, why string, err error) {
	t := &l.workload.turns
	if t.on && t.most > 0 && len(x.More) >= t.most {
		x.More = x.More[:t.most-1]
	}
	x.More = slices.Clone(x.More) // lengths are put in below
	out = runner.Sample{Sample: x}
	if t.on && 1+len(x.More) < t.fewest {
		return out, fmt.Sprintf("it has %d turns, fewer than --multi-turn-min-turns %d", 1+len(x.More), t.fewest), nil
	}
	if l.endpoint != vllm.Chat && (x.Tools != nil || len(x.Messages) > 1) {
		return out, "it has messages or tools, which only the chat endpoint takes", nil
	}
	all, answer := 0, 0 // tokens of the whole, and of its last answer
	for i := range 1 + len(out.More) {
		turn := &out.Turn
		if i > 0 {
			turn = &out.More[i-1]
		}
		input, err := l.countQuestion(ctx, s, turn.Messages, x.Tools)
		if err != nil {
			return out, "", err
		}
		if turn.OutputTokens, err = l.answerTokens(ctx, s, *turn, outputTokens); err != nil {
			return out, "", err
		}
		if i == 0 {
			out.InputTokens = input
		} else {
			out.MoreTokens = append(out.MoreTokens, input)
			all += runner.TemplateTokens
		}
		answer = turn.OutputTokens
		all += input + answer
	}
	if most := s.info.MaxModelLen; most > 0 && all > most {
		return out, fmt.Sprintf("it needs %d tokens, %d of them for the last answer, and the server's context holds %d", all, answer, most), nil
	}
	return out, "", nil
}

func (l *loadFlags) countQuestion(ctx context.Context, s *server, messages []load.Message, tools json.RawMessage) (int, error) {
	if len(messages) == 1 && messages[0].Raw == nil && tools == nil {
		return s.client.CountTokens(ctx, l.endpoint, messages[0].Content)
	}
	return s.client.CountMessages(ctx, turns(messages), tools)
}

// answerTokens is how long an answer is asked to be.
func (l *loadFlags) answerTokens(ctx context.Context, s *server, t load.Turn, outputTokens int) (int, error) {
	n := cmp.Or(outputTokens, t.OutputTokens)
	if n == 0 && strings.TrimSpace(t.Reply) != "" {
		with, err := s.client.CountTokens(ctx, vllm.Completions, "a"+t.Reply)
		if err != nil {
			return 0, err
		}
		without, err := s.client.CountTokens(ctx, vllm.Completions, "a") // with the tokens that begin any text
		if err != nil {
			return 0, err
		}
		n = max(with-without, 1)
	}
	return cmp.Or(n, l.output), nil
}
