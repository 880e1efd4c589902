package runner

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"bench/internal/record"
)

// special fills what only some workloads have.
func (s *summary) special(d *record.Detail, all, ok []record.Request) {
	d.Conversations = s.conversations(all)
	d.Groups = append(groups(all, record.ByTurn, func(r record.Request) string { return turnName(r.Turn) }),
		groups(all, record.ByAdapter, func(r record.Request) string { return r.Adapter })...)
	d.Images, d.Reasoning, d.ToolCalls = images(ok), reasoning(ok), toolCalls(ok)
}

func turnName(turn int) string {
	if turn == 0 {
		return ""
	}
	return strconv.Itoa(turn)
}

// groups are the requests by a name, turns by their number and others by the name; those without one are in none.
func groups(all []record.Request, by string, name func(record.Request) string) []record.Group {
	of := map[string][]record.Request{}
	for _, r := range all {
		if n := name(r); n != "" {
			of[n] = append(of[n], r)
		}
	}
	names := slices.Sorted(maps.Keys(of))
	if by == record.ByTurn { // 10 comes after 9
		slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
	}
	var out []record.Group
	for _, n := range names {
		ok := successes(of[n])
		out = append(out, record.Group{By: by, Name: n, Requests: len(of[n]), Succeeded: len(ok),
			PromptTokens: meanCount(ok, func(r record.Request) *int { return r.PromptTokens }),
			CachedTokens: meanCount(ok, func(r record.Request) *int { return r.CachedTokens }),
			OutputTokens: meanCount(ok, func(r record.Request) *int { return r.CompletionTokens }),
			TTFT:         distribution(durations(ok, (*record.Request).TTFT)), TPOT: distribution(durations(ok, (*record.Request).TPOT)),
			Latency: distribution(durations(ok, (*record.Request).Latency))})
	}
	return out
}

// meanCount is the mean of what the server counted.
func meanCount(rs []record.Request, of func(record.Request) *int) *float64 {
	var xs []float64
	for _, r := range rs {
		if n := of(r); n != nil {
			xs = append(xs, float64(*n))
		}
	}
	return mean(xs)
}

// conversations says how the conversations went, and what the server counted of their histories; nil where there is none.
func (s *summary) conversations(all []record.Request) *record.Conversations {
	if s.test.Workload == nil || s.test.Workload.Conversations == 0 {
		return nil
	}
	out := &record.Conversations{NotSent: unsent(all)}
	var think []float64
	extra := map[int]int{} // tokens of the template → later turns that had so many
	for i, r := range all {
		if r.Turn == 1 {
			out.Begun++
		}
		if r.Success && r.Turn == r.Turns {
			out.Whole++
		}
		if r.Turn < 2 || i == 0 {
			continue
		}
		before := all[i-1] // by index, so the turn before
		think = append(think, ms(time.Duration(r.SentNS-before.EndNS)))
		if r.Success && r.PromptTokens != nil && before.PromptTokens != nil && before.CompletionTokens != nil {
			out.HistoryTokens += *before.PromptTokens + *before.CompletionTokens
			extra[*r.PromptTokens-r.AskedPromptTokens]++
		}
	}
	out.Think = distribution(think)
	for tokens, n := range extra {
		if n > out.HistoryExact || n == out.HistoryExact && tokens < *out.TemplateTokens {
			out.TemplateTokens, out.HistoryExact = new(tokens), n
		}
		out.HistoryDiffers += n
	}
	out.HistoryDiffers -= out.HistoryExact
	return out
}

// provable are the requests whose prompts had a length asked for: not the later turns of conversations, which repeat what the
// server answered, nor those with images, whose tokens are the server's affair.
func provable(rs []record.Request) []record.Request {
	return slices.DeleteFunc(slices.Clone(rs), func(r record.Request) bool { return r.Turn > 1 || r.Images > 0 })
}

// images says what images cost; nil where no request had any.
func images(ok []record.Request) *record.Images {
	out := &record.Images{}
	for _, r := range ok {
		if r.Images == 0 || r.PromptTokens == nil {
			continue
		}
		tokens := *r.PromptTokens - r.AskedPromptTokens
		out.Requests++
		out.Images += r.Images
		out.Tokens += tokens
		if tokens <= 0 {
			out.Ignored++
		}
		each := float64(tokens) / float64(r.Images)
		highest(&out.PerImageMax, &each)
		if out.PerImageMin == nil || each < *out.PerImageMin {
			out.PerImageMin = &each
		}
	}
	if out.Requests == 0 {
		return nil
	}
	return out
}

// reasoning says when answers were thought about first; nil where none was.
func reasoning(ok []record.Request) *record.Reasoning {
	out := &record.Reasoning{}
	var thought []record.Request
	for _, r := range ok {
		if r.FirstReasoningNS == nil {
			continue
		}
		thought = append(thought, r)
		if r.FirstAnswerNS == nil {
			out.Unanswered++
		}
	}
	if len(thought) == 0 {
		return nil
	}
	out.Requests = len(thought)
	out.Thought = distribution(since(thought, func(r record.Request) *int64 { return r.FirstReasoningNS }))
	out.Answer = distribution(since(thought, func(r record.Request) *int64 { return r.FirstAnswerNS }))
	out.Tokens = meanCount(thought, func(r record.Request) *int { return r.ReasoningTokens })
	return out
}

// toolCalls says when answers called tools; nil where none were offered or called.
func toolCalls(ok []record.Request) *record.ToolCalls {
	out := &record.ToolCalls{}
	for _, r := range ok {
		if r.Tools > 0 {
			out.Offered++
		}
		if r.FirstToolCallNS != nil {
			out.Requests++
			out.Calls += r.ToolCalls
		}
	}
	if out.Offered+out.Requests == 0 {
		return nil
	}
	out.First = distribution(since(ok, func(r record.Request) *int64 { return r.FirstToolCallNS }))
	return out
}

// since are the times from the send to a stamp, in milliseconds, of the requests that have it.
func since(rs []record.Request, stamp func(record.Request) *int64) []float64 {
	var out []float64
	for _, r := range rs {
		if at := stamp(r); at != nil {
			out = append(out, ms(time.Duration(*at-r.SentNS)))
		}
	}
	return out
}
