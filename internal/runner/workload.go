package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"bench/internal/load"
	"bench/internal/record"
)

// WithWorkload gives a test its workload, and a name that says so.
func WithWorkload(t record.Test, w record.Workload) record.Test {
	if w == (record.Workload{}) {
		return t
	}
	t.Workload = &w
	if t.Kind == record.KindConcurrent && t.Purpose != sloPurpose { // no row of the plan's matrix
		t.ID, t.Purpose = fmt.Sprintf("c%d-%s", t.Concurrent, ShapeOf(t)), ""
	}
	var more []string
	if w.PrefixTokens > 0 {
		more = append(more, fmt.Sprintf("p%d", w.PrefixTokens))
	}
	if w.Dataset != "" {
		more = append(more, w.Dataset+w.SHA256[:min(6, len(w.SHA256))])
	}
	if w.RangeRatio > 0 {
		more = append(more, "r"+number(w.RangeRatio))
	}
	t.ID += "-" + strings.Join(more, "-")
	return t
}

// checkWorkload refuses what cannot be meant.
func checkWorkload(t record.Test) error {
	w := t.Workload
	switch {
	case w.Dataset != "" && (w.RangeRatio != 0 || w.PrefixTokens != 0):
		return errors.New("the requests of a dataset have lengths of their own")
	case !(w.RangeRatio >= 0 && w.RangeRatio < 1):
		return fmt.Errorf("the range ratio %g is out of range: want 0 or more and less than 1", w.RangeRatio)
	case w.PrefixTokens < 0 || w.PrefixTokens >= t.InputTokens:
		return fmt.Errorf("%d shared tokens are out of range: the prompt has %d", w.PrefixTokens, t.InputTokens)
	}
	return nil
}

// work is what each request of one repeat asks for.
type work struct{ input, output []int }

// work draws the lengths of a repeat's requests; they depend on the seed, the test and the repeat.
func (r *run) work(t record.Test, n int) work {
	var w work
	if t.Workload == nil || t.Workload.RangeRatio == 0 {
		return w
	}
	shared, ratio := t.Workload.PrefixTokens, t.Workload.RangeRatio
	w.input = load.Lengths(t.Requests, t.InputTokens-shared, ratio, load.Stream(r.Settings.Seed, "input-lengths", t.ID, n))
	for i := range w.input {
		w.input[i] += shared
	}
	w.output = load.Lengths(t.Requests, t.OutputTokens, ratio, load.Stream(r.Settings.Seed, "output-lengths", t.ID, n))
	return w
}

// ask is what one request of a test asks for. Those of a repeat have lengths of their own where w has them.
func (r *run) ask(ctx context.Context, t record.Test, w work, key load.Key) (Prompt, error) {
	p := Prompt{Tokens: t.InputTokens, OutputTokens: t.OutputTokens, Salt: r.Prompts.Salt(key)}
	if t.Workload != nil && t.Workload.Dataset != "" && !key.Warmup {
		s := r.Samples[key.Index]
		p.Tokens, p.OutputTokens = s.InputTokens, s.OutputTokens
		if s.PromptTokens > 0 && len(s.Blocks) == 0 { // of a trace that does not tell what its requests have in common
			var err error
			p.Text, err = r.Prompts.Make(ctx, p.Tokens, key)
			return p, err
		}
		// One salt a repeat: what the requests of a dataset have in common the server may find, what an earlier repeat
		// left not.
		p.Salt = r.Prompts.Salt(load.Key{Test: t.ID, Run: key.Run, Attempt: key.Attempt})
		if len(s.Blocks) > 0 {
			var err error
			p.Text, err = r.Prompts.MakeBlocks(ctx, s.Blocks, t.Workload.BlockTokens, p.Tokens, key)
			return p, err
		}
		if p.Text = s.Messages[0].Content; len(s.Messages) > 1 || s.Messages[0].Role != "user" {
			p.Text, p.Messages = "", s.Messages
		}
		return p, nil
	}
	if w.input != nil {
		p.Tokens, p.OutputTokens = w.input[key.Index], w.output[key.Index]
	}
	shared := 0
	if t.Workload != nil && t.Workload.PrefixTokens > 0 {
		shared = t.Workload.PrefixTokens
		p.Salt = r.Prompts.Salt(load.Key{Test: t.ID}) // one for all, or nothing would be shared
	}
	var err error
	p.Text, err = r.Prompts.MakeShared(ctx, shared, p.Tokens, key)
	return p, err
}

// hash is the beginning of the hash of what a prompt asks.
func (p Prompt) hash() string {
	text := p.Text
	for _, m := range p.Messages {
		text += m.Role + "\x00" + m.Content + "\x00"
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\x00%s", p.OutputTokens, text))
	return hex.EncodeToString(sum[:8])
}

// sentHash is the hash of all that was asked, in order of repeat and index; "" where a request has none.
func sentHash(all []record.Request) string {
	h := sha256.New()
	for _, r := range all {
		if r.PromptSHA256 == "" {
			return ""
		}
		fmt.Fprintf(h, "%d %d %s\n", r.Run, r.Index, r.PromptSHA256)
	}
	if len(all) == 0 {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}
