package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
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
	t.ID += "-" + strings.Join(workloadNames(t), "-")
	return t
}

// workloadNames are what a test's name says of its workload.
func workloadNames(t record.Test) []string {
	var more []string
	say := func(yes bool, format string, args ...any) {
		if yes {
			more = append(more, fmt.Sprintf(format, args...))
		}
	}
	w := t.Workload
	say(w.PrefixTokens > 0 && w.Prefixes < 2, "p%d", w.PrefixTokens)
	say(w.PrefixTokens > 0 && w.Prefixes > 1, "p%dx%d", w.PrefixTokens, w.Prefixes)
	say(w.Dataset != "", "%s%s", w.Dataset, w.SHA256[:min(6, len(w.SHA256))])
	say(w.RangeRatio > 0, "r%s", number(w.RangeRatio))
	say(w.TokenIDTo > 0, "ids")
	say(w.Conversations > 0 && w.MinTurns == w.MaxTurns, "turns%d", w.MaxTurns)
	say(w.Conversations > 0 && w.MinTurns < w.MaxTurns, "turns%dto%d", w.MinTurns, w.MaxTurns)
	say(w.TurnTokens > 0 && w.TurnTokens != t.InputTokens, "u%d", w.TurnTokens)
	say(w.ThinkMS > 0, "think%d", w.ThinkMS)
	say(w.Adapters != "", "lora%d", len(adaptersOf(*w)))
	if w.Images > 0 {
		sizes := strings.Split(w.ImageSizes, ",")
		size, _, _ := strings.Cut(sizes[0], ":")
		say(true, "img%d-%s", w.Images, size)
		say(len(sizes) > 1, "mix%d", len(sizes))
	}
	return more
}

func adaptersOf(w record.Workload) []string { return strings.Split(w.Adapters, ",") }

// checkWorkload refuses what cannot be meant.
func checkWorkload(t record.Test) error {
	w := t.Workload
	ratio := func(name string, v float64, most float64) error {
		if !(v >= 0 && v <= most) {
			return fmt.Errorf("the range ratio %g of %s is out of range: want 0 to %g", v, name, most)
		}
		return nil
	}
	switch {
	case w.Dataset != "" && (w.RangeRatio != 0 || w.PrefixTokens != 0):
		return errors.New("the requests of a dataset have lengths of their own")
	case !(w.RangeRatio >= 0 && w.RangeRatio < 1):
		return fmt.Errorf("the range ratio %g is out of range: want 0 or more and less than 1", w.RangeRatio)
	case w.PrefixTokens < 0 || w.PrefixTokens >= t.InputTokens:
		return fmt.Errorf("%d shared tokens are out of range: the prompt has %d", w.PrefixTokens, t.InputTokens)
	case w.Prefixes < 0 || w.Prefixes > maxRequests:
		return fmt.Errorf("%d prefixes are out of range: want 1 to %d", w.Prefixes, maxRequests)
	case w.Images < 0 || w.Images > maxImages:
		return fmt.Errorf("%d images a request are out of range: want 1 to %d", w.Images, maxImages)
	case w.Conversations > 0 && t.Arrivals != nil:
		return errors.New("conversations are of users that are held: they cannot stand beside a rate")
	case w.Conversations > 0 && (w.MinTurns < 1 || w.MaxTurns < w.MinTurns || w.MaxTurns > maxTurns):
		return fmt.Errorf("%d to %d turns are out of range: want 1 to %d", w.MinTurns, w.MaxTurns, maxTurns)
	case w.Conversations > 0 && w.Dataset == "" && (w.TurnTokens < 1 || w.TurnTokens > maxTokens):
		return fmt.Errorf("%d tokens of a later turn are out of range: want 1 to %d", w.TurnTokens, maxTokens)
	case w.ThinkMS < 0 || w.ThinkMS > maxThinkMS:
		return fmt.Errorf("%d ms between turns are out of range: want 0 to %d", w.ThinkMS, maxThinkMS)
	}
	return errors.Join(ratio("the time between turns", w.ThinkRangeRatio, 1), ratio("the number of images", w.ImageRangeRatio, 1))
}

// Bounds of a workload: more is likelier a mistake than a wish.
const (
	maxImages  = 1000
	maxTurns   = 1000
	maxThinkMS = 3_600_000
)

// work is what each request of one repeat asks for; a list is nil where the workload has no such thing.
type work struct {
	input, output []int
	prefix        []int    // which shared beginning, from 0
	adapter       []string // by request, of conversations by conversation
	images        [][]load.Size
	turns         []int // of each conversation
}

// work draws what is different between a repeat's requests; it depends on the seed, the test and the repeat.
func (r *run) work(t record.Test, n int) (work, error) {
	var w work
	x := t.Workload
	if x == nil {
		return w, nil
	}
	stream := func(purpose string) *rand.Rand { return load.Stream(r.Settings.Seed, purpose, t.ID, n) }
	units := t.Requests // what is assigned as a whole
	if x.Conversations > 0 {
		w.turns = r.turns(t)
		units = len(w.turns)
	}
	if x.RangeRatio > 0 || x.Conversations > 0 && x.Dataset == "" {
		shared := x.PrefixTokens
		w.input = load.Lengths(t.Requests, t.InputTokens-shared, x.RangeRatio, stream("input-lengths"))
		for i := range w.input {
			w.input[i] += shared
		}
		w.output = load.Lengths(t.Requests, t.OutputTokens, x.RangeRatio, stream("output-lengths"))
	}
	if x.Conversations > 0 && x.Dataset == "" {
		later, i := load.Lengths(t.Requests, x.TurnTokens, x.RangeRatio, stream("turn-lengths")), 0
		for _, turns := range w.turns {
			copy(w.input[i+1:i+turns], later[i+1:i+turns])
			i += turns
		}
	}
	if x.Prefixes > 1 {
		w.prefix = stream("prefixes").Perm(units)
		for i := range w.prefix {
			w.prefix[i] %= x.Prefixes // as many of each, in an order that is drawn
		}
	}
	if x.Adapters != "" {
		names, rng := adaptersOf(*x), stream("adapters")
		for i := range units {
			at := i % len(names)
			if x.AdapterAssignment == record.AssignRandom {
				at = rng.IntN(len(names))
			}
			w.adapter = append(w.adapter, names[at])
		}
	}
	if x.Images > 0 {
		mix, err := load.ReadImageMix(x.ImageSizes)
		if err != nil {
			return w, err
		}
		rng := stream("images")
		for range t.Requests {
			sizes := make([]load.Size, load.Counts(1, x.Images, x.ImageRangeRatio, rng)[0])
			for i := range sizes {
				sizes[i] = mix.Draw(rng)
			}
			w.images = append(w.images, sizes)
		}
	}
	return w, nil
}

// turns is how many turns each conversation of a repeat has: as many in every repeat.
func (r *run) turns(t record.Test) []int {
	if t.Workload.Dataset == "" {
		return Turns(t, r.Settings.Seed)
	}
	var out []int
	for _, s := range r.Samples {
		out = append(out, 1+len(s.More))
	}
	return out
}

// Turns draws how many turns each conversation of a test's repeats has; together they are its requests.
func Turns(t record.Test, seed int64) []int {
	w := t.Workload
	return load.Turns(w.Conversations, w.MinTurns, w.MaxTurns, load.Stream(seed, "turns", t.ID, 0))
}

// ask is what one request of a test asks for. Those of a repeat have lengths of their own where w has them.
func (r *run) ask(ctx context.Context, t record.Test, w work, key load.Key) (Prompt, error) {
	p := Prompt{Tokens: t.InputTokens, OutputTokens: t.OutputTokens, Salt: r.Prompts.Salt(key)}
	if key.Warmup {
		key.Prefix = 0
	} else if w.prefix != nil {
		key.Prefix = w.prefix[key.Index]
	}
	switch {
	case w.adapter != nil:
		p.Adapter = w.adapter[key.Index]
	case t.Workload != nil && t.Workload.Adapters != "": // a warm-up: each adapter is loaded when it is first used
		names := adaptersOf(*t.Workload)
		p.Adapter = names[key.Index%len(names)]
	}
	if t.Workload != nil && t.Workload.Dataset != "" && !key.Warmup {
		s := r.Samples[key.Index]
		p.Tokens, p.OutputTokens, p.Tools, p.ToolChoice = s.InputTokens, s.OutputTokens, s.Tools, s.ToolChoice
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
		p.say(s.Messages)
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
	if t.Workload != nil && t.Workload.TokenIDTo > 0 {
		p.IDs = r.Prompts.MakeIDs(shared, p.Tokens, t.Workload.TokenIDFrom, t.Workload.TokenIDTo, key)
		return p, nil
	}
	var err error
	if p.Text, err = r.Prompts.MakeShared(ctx, shared, p.Tokens, key); err != nil || t.Workload == nil || t.Workload.Images == 0 {
		return p, err
	}
	var sizes []load.Size
	if w.images != nil {
		sizes = w.images[key.Index]
	} else if mix, err := load.ReadImageMix(t.Workload.ImageSizes); err == nil { // a warm-up has one image
		sizes = append(sizes, mix.Draw(load.Stream(r.Settings.Seed, "warm-up-image", t.ID, key.Index)))
	}
	for i, size := range sizes {
		p.Images = append(p.Images, r.Prompts.Image(size, i, key))
	}
	return p, nil
}

// say puts messages into a prompt: a single question as a text.
func (p *Prompt) say(list []load.Message) {
	if len(list) == 1 && list[0].Role == "user" && list[0].Raw == nil && p.Tools == nil {
		p.Text = list[0].Content
		return
	}
	p.Messages = list
}

// messages are what a prompt says, as messages.
func (p Prompt) messages() []load.Message {
	if p.Messages != nil {
		return p.Messages
	}
	return []load.Message{{Role: "user", Content: p.Text, Images: p.Images}}
}

// tools is how many tools a prompt offers.
func (p Prompt) tools() int {
	var list []json.RawMessage
	_ = json.Unmarshal(p.Tools, &list) // checked when it was read
	return len(list)
}

// hash is the beginning of the hash of what a prompt asks.
func (p Prompt) hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\x00%s", p.OutputTokens, p.Text)
	for _, m := range p.Messages {
		fmt.Fprintf(h, "%s\x00%s\x00%s", m.Role, m.Content, m.Raw)
	}
	for _, id := range p.IDs {
		fmt.Fprintf(h, " %d", id)
	}
	for _, uri := range p.Images {
		fmt.Fprintf(h, "\x00%s", uri)
	}
	if p.Tools != nil {
		fmt.Fprintf(h, "\x00%s\x00%s", p.Tools, p.ToolChoice)
	}
	if p.Adapter != "" {
		fmt.Fprintf(h, "\x00%s", p.Adapter)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
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
