package runner

import (
	"context"
	"slices"
	"time"

	"bench/internal/load"
	"bench/internal/record"
)

// talk is one conversation of a repeat. Its first request is ready; each other one is made of the answers before it.
type talk struct {
	number    int // in the repeat, from 1
	index     int // of its first request
	questions []Prompt
	think     []time.Duration // before each question after the first
	first     Send
	answer    string // the latest
}

// talks makes the conversations of a repeat: every question is there before the first is asked.
func (r *run) talks(ctx context.Context, t record.Test, w work, n, attempt int) ([]*talk, error) {
	think := load.Counts(t.Requests, t.Workload.ThinkMS, t.Workload.ThinkRangeRatio, load.Stream(r.Settings.Seed, "think", t.ID, n))
	var out []*talk
	index := 0
	for c, turns := range w.turns {
		k := &talk{number: c + 1, index: index}
		// One salt a conversation: its turns may find each other, and nothing else. Those of a dataset may find what they have
		// in common, as its single requests do, and what is shared by intent has its own.
		key := load.Key{Test: t.ID, Run: n, Index: c, Attempt: attempt}
		if t.Workload.Dataset != "" {
			key.Index = 0
		}
		salt := r.Prompts.Salt(key)
		for i := range turns {
			p, err := r.question(ctx, t, w, load.Key{Test: t.ID, Run: n, Index: index, Attempt: attempt}, c, i)
			if err != nil {
				return nil, r.promptError(ctx, t, p, err)
			}
			if t.Workload.PrefixTokens == 0 {
				p.Salt = salt
			}
			if w.adapter != nil {
				p.Adapter = w.adapter[c]
			}
			k.questions = append(k.questions, p)
			if i > 0 {
				k.think = append(k.think, time.Duration(think[index])*time.Millisecond)
			}
			index++
		}
		p := k.questions[0]
		p.Answer = &k.answer
		var err error
		if k.first, err = r.ready(p, p.hash()); err != nil {
			return nil, err
		}
		out = append(out, k)
		if r.draining.Load() {
			return nil, ErrInterrupted
		}
	}
	return out, nil
}

// question is what a user asks at one turn, from 0, of a conversation, from 0: of the first turn all that stands before it too.
func (r *run) question(ctx context.Context, t record.Test, w work, key load.Key, conversation, turn int) (Prompt, error) {
	if t.Workload.Dataset != "" {
		s := r.Samples[conversation]
		p := Prompt{Tokens: s.InputTokens, OutputTokens: s.OutputTokens}
		said := s.Turn
		if turn > 0 {
			said = s.More[turn-1]
			p.Tokens, p.OutputTokens = s.MoreTokens[turn-1], said.OutputTokens
		}
		p.say(said.Messages)
		return p, nil
	}
	p := Prompt{Tokens: w.input[key.Index], OutputTokens: w.output[key.Index], Salt: r.Prompts.Salt(load.Key{Test: t.ID})}
	shared := 0
	if turn == 0 {
		shared = t.Workload.PrefixTokens
		if w.prefix != nil {
			key.Prefix = w.prefix[conversation]
		}
	}
	var err error
	p.Text, err = r.Prompts.MakeShared(ctx, shared, p.Tokens, key)
	return p, err
}

// hold leads the conversation to its end, or to the first request that fails; ended gets each request when it has.
func (k *talk) hold(ctx context.Context, r *run, scheduledNS int64, ended func(index int, scheduledNS int64, req record.Request)) error {
	send, history := k.first, slices.Clone(k.questions[0].messages()) // which may be a dataset's own
	for i := range k.questions {
		req := send(ctx)
		req.Conversation, req.Turn, req.Turns = k.number, i+1, len(k.questions)
		ended(k.index+i, scheduledNS, req)
		if !req.Success || i+1 == len(k.questions) {
			return nil
		}
		// Made while its user thinks, so that nothing is left to do when it is due.
		p := k.questions[i+1]
		hash := p.hash() // of what the client chose; the answers before it are the server's
		history = append(history, load.Message{Role: "assistant", Content: k.answer})
		history = append(history, p.messages()...)
		p.Text, p.Messages, p.Answer = "", history, &k.answer
		p.Tokens += orElse(req.PromptTokens, req.AskedPromptTokens) + req.OutputTokens()
		var err error
		if send, err = r.ready(p, hash); err != nil {
			return err
		}
		scheduledNS = req.EndNS + int64(k.think[i])
		if !load.WaitUntil(ctx, scheduledNS, r.Clock.Now, nil, func() bool { return r.draining.Load() || ctx.Err() != nil }) {
			return nil
		}
	}
	return nil
}

// unsent is how many turns of conversations were not sent because the one before them failed.
func unsent(rs []record.Request) int {
	n := 0
	for _, r := range rs {
		if !r.Success {
			n += r.Turns - r.Turn
		}
	}
	return n
}
