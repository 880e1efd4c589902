package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Bounds on the counts spent on learning the vocabulary. With a common tokenizer five are used.
const (
	maxCheapCalibration  = 96
	maxCostlyCalibration = 32
)

const (
	groupSize   = 32 // words counted together: if n words cost n tokens, each costs one
	enoughWords = 64 // 6 bits of difference a word
	fewestWords = 16 // 4 bits a word: 60 in the words of the first cache block of 16 tokens
	trialPieces = 48 // length of the mixture that checks additivity
)

// head opens every prompt. A template may glue to or trim what comes first, so what comes first is
// always the same and its cost is part of the base. One letter is one token almost everywhere.
const head = "A"

// Shortest is the shortest prompt that is made: what it costs is the least that one can.
const Shortest = head

// vocabulary is what was learned of the server's tokenizer.
type vocabulary struct {
	base    int      // tokens of the template and head
	pieces  []string // unlike each other, with leading spaces; prompts are drawn from these
	cost    int      // tokens each piece adds, on average where they differ
	fillers []string // each adds one token at the end; only where cost is above 1, and maybe none
}

// learn tries ever simpler pieces until a mixture of them costs what the parts cost: words that are
// one token each, single letters after a space, letters in one string. Where none is exact the best
// is kept: prompts are corrected by counting.
func learn(ctx context.Context, counter Counter, limit int) (vocabulary, error) {
	t := &tally{counter: counter, left: limit}
	base, err := t.count(ctx, head)
	if err != nil {
		return vocabulary{}, err
	}
	if base < 1 {
		return vocabulary{}, fmt.Errorf("the server counts %d tokens for %q", base, head)
	}
	t.base = base

	best, bestError := vocabulary{}, -1
	for _, find := range []func(context.Context) (pieces []string, cost int, err error){t.singleTokenWords, t.spacedLetters, t.gluedLetters} {
		pieces, cost, err := find(ctx)
		if err != nil {
			return vocabulary{}, err
		}
		if len(pieces) == 0 {
			continue
		}
		off, err := t.mixtureError(ctx, pieces, cost)
		if err != nil {
			return vocabulary{}, err
		}
		if bestError < 0 || off < bestError {
			best, bestError = vocabulary{base: base, pieces: pieces, cost: cost}, off
		}
		if off == 0 {
			break
		}
	}
	if bestError < 0 {
		return vocabulary{}, fmt.Errorf("the server counts %d tokens whatever the prompt", base)
	}
	if best.cost > 1 {
		if best.fillers, err = t.fillers(ctx); err != nil {
			return vocabulary{}, err
		}
	}
	return best, nil
}

// errCountsSpent ends a search early; what was found so far is used.
var errCountsSpent = errors.New("no more counts allowed")

// tally counts what is appended to the head, and how often it asked.
type tally struct {
	counter Counter
	base    int
	left    int
}

func (t *tally) count(ctx context.Context, text string) (int, error) {
	if t.left == 0 {
		return 0, errCountsSpent
	}
	t.left--
	return t.counter.CountTokens(ctx, text)
}

// cost is how many tokens texts add when appended to the head.
func (t *tally) cost(ctx context.Context, texts ...string) (int, error) {
	n, err := t.count(ctx, head+strings.Join(texts, ""))
	return n - t.base, err
}

// singleTokenWords finds words, then syllables, that cost one token each after a space; nil if too
// few do. Half of the counts are left for what comes after.
func (t *tally) singleTokenWords(ctx context.Context) (pieces []string, cost int, err error) {
	reserve := t.left / 2
	var found []string
	for _, candidates := range [][]string{strings.Fields(words), syllables()} {
		poor := 0 // groups in a row of which most words cost more than one token
		for group := range slices.Chunk(candidates, groupSize) {
			if len(found) >= enoughWords || poor == 2 || t.left <= reserve {
				break
			}
			before := len(found)
			if found, err = t.splitSingles(ctx, spaced(group), found, reserve); err != nil {
				return nil, 0, err
			}
			if len(found) == before {
				poor++
			} else {
				poor = 0
			}
		}
	}
	if len(found) < fewestWords {
		return nil, 0, nil
	}
	return found, 1, nil
}

// splitSingles appends to found those of texts that cost one token, by halving groups that cost more.
// A group of which the average costs two or more is not worth its counts.
func (t *tally) splitSingles(ctx context.Context, texts, found []string, reserve int) ([]string, error) {
	if t.left <= reserve {
		return found, nil
	}
	cost, err := t.cost(ctx, texts...)
	switch {
	case err != nil:
		return nil, err
	case cost == len(texts):
		return append(found, texts...), nil
	case len(texts) == 1 || cost < len(texts) || cost >= 2*len(texts):
		return found, nil
	}
	half := len(texts) / 2
	if found, err = t.splitSingles(ctx, texts[:half], found, reserve); err != nil {
		return nil, err
	}
	return t.splitSingles(ctx, texts[half:], found, reserve)
}

// spacedLetters are single letters and digits, each after a space: two tokens each where a space is one.
func (t *tally) spacedLetters(ctx context.Context) (pieces []string, cost int, err error) {
	return t.alike(ctx, spaced(letters()))
}

// gluedLetters are letters without spaces: one token each for a tokenizer of bytes or characters.
func (t *tally) gluedLetters(ctx context.Context) (pieces []string, cost int, err error) {
	return t.alike(ctx, letters())
}

// alike takes all texts to cost what they cost on average, at least 1; none if they cost nothing.
func (t *tally) alike(ctx context.Context, texts []string) (pieces []string, cost int, err error) {
	sum, err := t.cost(ctx, texts...)
	if errors.Is(err, errCountsSpent) {
		return nil, 0, nil
	}
	if err != nil || sum < 1 {
		return nil, 0, err
	}
	return texts, max(1, (sum+len(texts)/2)/len(texts)), nil
}

// mixtureError is by how many tokens a mixture of pieces differs from the sum of their costs.
func (t *tally) mixtureError(ctx context.Context, pieces []string, cost int) (int, error) {
	rng := rand.New(rand.NewPCG(1, 2))
	worst := 0
	for range 2 {
		mixture := make([]string, trialPieces)
		for i := range mixture {
			mixture[i] = pieces[rng.IntN(len(pieces))]
		}
		sum, err := t.cost(ctx, mixture...)
		if errors.Is(err, errCountsSpent) {
			break
		}
		if err != nil {
			return 0, err
		}
		worst = max(worst, sum-cost*trialPieces, cost*trialPieces-sum)
	}
	return worst, nil
}

// fillers are short ends that cost one token, each tried alone: marks, then letters.
func (t *tally) fillers(ctx context.Context) ([]string, error) {
	var found []string
	for _, text := range []string{",", ".", ";", "!", "?", "b", "x", "7"} {
		cost, err := t.cost(ctx, text)
		if errors.Is(err, errCountsSpent) {
			break
		}
		if err != nil {
			return nil, err
		}
		if cost == 1 {
			found = append(found, text)
		}
	}
	return found, nil
}
