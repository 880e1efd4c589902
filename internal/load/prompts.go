// Package load owns what is sent and when: prompts of an exact token count, and the executors that
// hold requests in flight. All request concurrency of a test lives here. It knows nothing of HTTP,
// of files, of results, and it never judges.
package load

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"sync"
)

// Counter tells how many prompt tokens the server would see for prompt, chat template included.
type Counter interface {
	CountTokens(ctx context.Context, prompt string) (int, error)
}

// Options of [NewPrompts].
type Options struct {
	// CostlyCounts says that each count costs a request to the engine (usage probing). Then a length
	// is settled once and prompts of that length are not counted one by one; each answer's usage is
	// the proof. Otherwise every prompt is counted before it is returned.
	CostlyCounts bool
	// Nonce goes into every salt, so that a server still holding the cache of an earlier run with the
	// same seed cannot answer from it. Prompts do not depend on it.
	Nonce string
}

// Key names one request's prompt. Two different keys never share a prompt.
type Key struct {
	Test    string
	Run     int
	Index   int
	Attempt int
	Warmup  bool
	Prefix  int // which of the test's shared beginnings; it alone does not make a prompt another one
}

// Bounds on the counts asked of the server for one prompt, or for one length where counts are costly.
const (
	maxCountsPerPrompt = 32
	countsPerDraw      = 6 // after so many the words are drawn anew
	maxCountsPerLength = 12
)

// Prompts makes prompts of exact length. It may be used by several goroutines.
type Prompts struct {
	counter Counter
	seed    int64
	opts    Options
	vocab   vocabulary

	mu      sync.Mutex
	settled map[length]int // what is asked for → word budget that gives it; only with CostlyCounts
}

// NewPrompts learns from counter which words have a known cost in tokens, with a bounded number of
// counts (about five where common words are single tokens).
func NewPrompts(ctx context.Context, counter Counter, seed int64, opts Options) (*Prompts, error) {
	limit := maxCheapCalibration
	if opts.CostlyCounts {
		limit = maxCostlyCalibration
	}
	vocab, err := learn(ctx, counter, limit)
	if err != nil {
		return nil, fmt.Errorf("learn the server's token costs: %w", err)
	}
	return &Prompts{counter: counter, seed: seed, opts: opts, vocab: vocab, settled: map[length]int{}}, nil
}

// Make is a text of exactly tokens prompt tokens, template included. It depends on nothing but the
// seed, the key and the server's tokenizer. Its words are drawn from the key's own random stream, so
// prompts differ from the second word on (the first is one fixed letter).
func (p *Prompts) Make(ctx context.Context, tokens int, key Key) (string, error) {
	return p.MakeShared(ctx, 0, tokens, key)
}

// MakeShared is [Prompts.Make] with a prompt that begins, after the first letter, with words worth shared tokens that are
// the same in all prompts of key.Test and key.Prefix. Where the words of this tokenizer cost more than one token each, the shared part
// is shorter by less than one word.
func (p *Prompts) MakeShared(ctx context.Context, shared, tokens int, key Key) (string, error) {
	if tokens < p.vocab.base {
		return "", fmt.Errorf("a prompt of %d tokens is not possible: the chat template and one letter already cost %d; ask for %d or more",
			tokens, p.vocab.base, p.vocab.base)
	}
	if shared > tokens-p.vocab.base {
		return "", fmt.Errorf("a prompt of %d tokens cannot share %d of them: the chat template and one letter already cost %d", tokens, shared, p.vocab.base)
	}
	l := length{test: key.Test, shared: shared / p.vocab.cost * p.vocab.cost, tokens: tokens}
	switch {
	case shared == 0:
		l.test = ""
	case key.Prefix > 0:
		l.test = fmt.Sprintf("%s\x00%d", key.Test, key.Prefix)
	}
	if p.opts.CostlyCounts {
		return p.makeSettled(ctx, l, key)
	}
	text, _, err := p.fit(ctx, l, key, maxCountsPerPrompt)
	return text, err
}

// length is what is asked of a prompt: its tokens, and how many of them it shares with those of its test.
type length struct {
	test           string // "" where nothing is shared
	shared, tokens int
}

// lead is what prompts of a length begin with.
func (p *Prompts) lead(l length) string {
	if l.shared == 0 {
		return head
	}
	text, _ := p.vocab.compose(head, rand.New(rand.NewChaCha8(p.digest(Key{Test: l.test}, 0, "prefix"))), l.shared) // whole words
	return text
}

// fit draws, counts and corrects until the count is exact. It returns the text and the word budget
// that gave it.
func (p *Prompts) fit(ctx context.Context, l length, key Key, maxCounts int) (text string, budget int, err error) {
	return p.fitTo(ctx, l, p.lead(l), func(draw int) *rand.Rand { return p.stream(key, draw) }, maxCounts)
}

// fitTo is fit behind a lead, with words drawn from a stream of one's own.
func (p *Prompts) fitTo(ctx context.Context, l length, lead string, stream func(draw int) *rand.Rand, maxCounts int) (text string, budget int, err error) {
	tokens := l.tokens
	budget = tokens - p.vocab.base - l.shared
	var low, high int // nearest counts seen on either side of tokens
	for n := range maxCounts {
		draw := n / countsPerDraw
		composed, ok := p.vocab.compose(lead, stream(draw), budget)
		if !ok {
			return "", 0, fmt.Errorf("a prompt of %d tokens is not possible: this server's tokenizer gives no text that costs exactly %d more than the shortest prompt",
				tokens, budget)
		}
		count, err := p.counter.CountTokens(ctx, composed)
		if err != nil {
			return "", 0, fmt.Errorf("count the tokens of a prompt: %w", err)
		}
		switch {
		case count == tokens:
			return composed, budget, nil
		case count < tokens && (low == 0 || count > low):
			low = count
		case count > tokens && (high == 0 || count < high):
			high = count
		}
		budget = max(0, budget+tokens-count)
	}
	return "", 0, fmt.Errorf("a prompt of %d tokens could not be met in %d counts: nearest were %s; ask for another length",
		tokens, maxCounts, nearest(low, high))
}

func nearest(low, high int) string {
	switch {
	case low == 0:
		return fmt.Sprint(high)
	case high == 0:
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d and %d", low, high)
}

// makeSettled relies on additivity: a budget that was exact for two prompts is taken as exact for all.
func (p *Prompts) makeSettled(ctx context.Context, l length, key Key) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock() // held while counting: a second caller would only ask the same again
	budget, ok := p.settled[l]
	if !ok {
		var err error
		if budget, err = p.settle(ctx, l); err != nil {
			return "", err
		}
		p.settled[l] = budget
	}
	text, ok := p.vocab.compose(p.lead(l), p.stream(key, 0), budget)
	if !ok {
		return "", fmt.Errorf("a prompt of %d tokens is not possible with this server's tokenizer", l.tokens)
	}
	return text, nil
}

// settle finds the word budget for a length with prompts of its own, so that the result does not
// depend on which key asked first.
func (p *Prompts) settle(ctx context.Context, l length) (int, error) {
	tokens := l.tokens
	_, budget, err := p.fit(ctx, l, Key{Test: "settle"}, maxCountsPerLength)
	if err != nil {
		return 0, err
	}
	text, _ := p.vocab.compose(p.lead(l), p.stream(Key{Test: "settle", Index: 1}, 0), budget)
	count, err := p.counter.CountTokens(ctx, text)
	if err != nil {
		return 0, fmt.Errorf("count the tokens of a prompt: %w", err)
	}
	if count != tokens {
		return 0, fmt.Errorf("prompts of %d tokens cannot be made without counting each: the same number of words cost %d, then %d; this needs a server with /tokenize",
			tokens, tokens, count)
	}
	return budget, nil
}

// MakeIDs is a prompt of exactly so many token ids, drawn evenly from low to high, both included, of which the first shared
// are the same in all prompts of key.Test and key.Prefix. Nothing has to be counted.
func (p *Prompts) MakeIDs(shared, tokens, low, high int, key Key) []int {
	ids := make([]int, tokens)
	draw := func(ids []int, rng *rand.Rand) {
		for i := range ids {
			ids[i] = low + rng.IntN(high-low+1)
		}
	}
	draw(ids[:shared], rand.New(rand.NewChaCha8(p.digest(Key{Test: key.Test, Index: key.Prefix}, 0, "prefix-ids"))))
	draw(ids[shared:], p.stream(key, 0))
	return ids
}

// Image is the image number n of a request, of its own.
func (p *Prompts) Image(s Size, n int, key Key) string {
	return Noise(s, rand.New(rand.NewChaCha8(p.digest(key, n, "image"))))
}

// Salt is a cache_salt for key: a prefix cache of another request or another run cannot match it.
// It is 32 hexadecimal digits, which every vLLM version accepts.
func (p *Prompts) Salt(key Key) string {
	sum := p.digest(key, 0, "salt\x00"+p.opts.Nonce)
	return hex.EncodeToString(sum[:16])
}

// stream is the random stream of one key; draw distinguishes fresh starts for the same key.
func (p *Prompts) stream(key Key, draw int) *rand.Rand {
	return rand.New(rand.NewChaCha8(p.digest(key, draw, "prompt")))
}

// digest is injective up to SHA-256: fixed-width numbers first, then the two strings, the first with its length.
func (p *Prompts) digest(key Key, draw int, purpose string) [sha256.Size]byte {
	warmup := uint64(0)
	if key.Warmup {
		warmup = 1
	}
	var b []byte
	for _, v := range []uint64{uint64(p.seed), uint64(key.Run), uint64(key.Index), uint64(key.Attempt), warmup, uint64(draw), uint64(len(key.Test))} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = append(b, key.Test...)
	b = append(b, purpose...)
	return sha256.Sum256(b)
}
