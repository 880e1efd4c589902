package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
)

// MakeBlocks is a text of exactly tokens prompt tokens, template included, that begins with the blocks named, of blockTokens
// each: two texts have in common what their blocks have, from the first on. The block that the length ends in is cut; where
// there are too few, the rest is the key's own. Blocks depend on the seed and their names alone. The template and the first
// letter stand before them.
//
// Where counts are costly the text is not counted: each answer's usage is the proof.
func (p *Prompts) MakeBlocks(ctx context.Context, blocks []string, blockTokens, tokens int, key Key) (string, error) {
	if tokens < p.vocab.base {
		return "", fmt.Errorf("a prompt of %d tokens is not possible: the chat template and one letter already cost %d", tokens, p.vocab.base)
	}
	if blockTokens < p.vocab.cost {
		return "", fmt.Errorf("a block of %d tokens is too short: a word of this server's tokenizer costs %d", blockTokens, p.vocab.cost)
	}
	whole := min(len(blocks), (tokens-p.vocab.base)/blockTokens)
	words := blockTokens / p.vocab.cost * p.vocab.cost
	var lead strings.Builder
	lead.WriteString(head)
	for _, name := range blocks[:whole] {
		text, _ := p.vocab.compose("", p.block(name), words)
		lead.WriteString(text)
	}
	rest := func(draw int) *rand.Rand { return p.stream(key, draw) }
	if whole < len(blocks) {
		rest = func(int) *rand.Rand { return p.block(blocks[whole]) }
	}
	l := length{shared: whole * words, tokens: tokens}
	if p.opts.CostlyCounts {
		text, ok := p.vocab.compose(lead.String(), rest(0), tokens-p.vocab.base-l.shared)
		if !ok {
			return "", fmt.Errorf("a prompt of %d tokens is not possible with this server's tokenizer", tokens)
		}
		return text, nil
	}
	text, _, err := p.fitTo(ctx, l, lead.String(), rest, maxCountsPerPrompt)
	return text, err
}

// block is the random stream of a block's words.
func (p *Prompts) block(name string) *rand.Rand {
	return rand.New(rand.NewChaCha8(p.digest(Key{Test: name}, 0, "block")))
}
