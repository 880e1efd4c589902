package load

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// tokenizer is a stand-in for a server's: a template of some tokens around a text.
type tokenizer struct {
	template int
	cost     func(text string) int
	counts   int
	failAt   int // the count that fails, from 1; 0 for none
}

var errServer = errors.New("connection refused")

func (t *tokenizer) CountTokens(ctx context.Context, prompt string) (int, error) {
	t.counts++
	if t.counts == t.failAt {
		return 0, errServer
	}
	return t.template + t.cost(prompt), ctx.Err()
}

func hash(s string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(s))
	return h.Sum32()
}

// perWord adds up what cost says of each word, where words are what spaces separate.
func perWord(cost func(word string) int) func(string) int {
	return func(text string) int {
		sum := 0
		for word := range strings.FieldsSeq(text) {
			sum += cost(word)
		}
		return sum
	}
}

// tokenizers are named for what is odd about each.
var tokenizers = map[string]func(text string) int{
	"each word is one token": perWord(func(string) int { return 1 }),
	"bytes":                  func(text string) int { return len(text) },
	"small vocabulary of syllables": perWord(func(word string) int {
		return (len(word) + 1) / 2
	}),
	"some words of two or three tokens": perWord(func(word string) int {
		if len(word) == 1 {
			return 1
		}
		return 1 + int(hash(word)%3)
	}),
	"few words": perWord(func(word string) int {
		if hash(word)%16 == 0 || len(word) == 1 {
			return 1
		}
		return len(word)
	}),
	// A space, then pieces of two letters or one mark.
	"word and space apart": func(text string) int {
		sum := strings.Count(text, " ")
		for word := range strings.FieldsSeq(text) {
			bare := strings.TrimRight(word, ",.;!?")
			sum += (len(bare)+1)/2 + len(word) - len(bare)
		}
		return sum
	},
	// One pair of neighbours in eight is a single token, as with tokenizers that merge over spaces.
	"merges over spaces": func(text string) int {
		words := strings.Fields(text)
		sum := 0
		for i := 0; i < len(words); i++ {
			sum++
			if i+1 < len(words) && hash(words[i]+" "+words[i+1])%8 == 0 {
				i++
			}
		}
		return sum
	},
	"letters merge in pairs": func(text string) int {
		sum := 0
		for i := 0; i < len(text); i++ {
			sum++
			if i+1 < len(text) && hash(text[i:i+2])%5 == 0 {
				i++
			}
		}
		return sum
	},
	"unknown words in a row are one token": func(text string) int {
		sum, unknown := 0, false
		for word := range strings.FieldsSeq(text) {
			if len(word) > 1 && unknown {
				continue
			}
			unknown = len(word) > 1
			sum++
		}
		return sum
	},
	"runs of one letter are one token": func(text string) int {
		return len(slices.Compact([]rune(text)))
	},
	"template trims and lowers": func(text string) int {
		return len(strings.Fields(strings.ToLower(strings.TrimSpace(text))))
	},
	"template drops what follows the last letter": func(text string) int {
		return len(strings.TrimRightFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }))
	},
	"opening letter costs three": func(text string) int { return 2 + len(strings.Fields(text)) },
}

func newPrompts(t *testing.T, counter Counter, opts Options) *Prompts {
	t.Helper()
	p, err := NewPrompts(t.Context(), counter, 42, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The law of prompts: exact, the same when made anew, unlike each other from the beginning, bounded
// in the counts they take.
func TestPromptsAreExact(t *testing.T) {
	for name, cost := range tokenizers {
		t.Run(name, func(t *testing.T) {
			counter := &tokenizer{template: 9, cost: cost}
			p := newPrompts(t, counter, Options{})
			if counter.counts > maxCheapCalibration {
				t.Errorf("learning took %d counts", counter.counts)
			}
			again := newPrompts(t, &tokenizer{template: 9, cost: cost}, Options{})
			begins := map[string]Key{}
			shortest := p.vocab.base
			for _, tokens := range []int{shortest, shortest + 1, shortest + 2, shortest + 7, 100, 101, 500, 2049} {
				for _, key := range keys(4) {
					before := counter.counts
					text, err := p.Make(t.Context(), tokens, key)
					if err != nil {
						t.Fatalf("%d tokens: %v", tokens, err)
					}
					if n := counter.counts - before; n > maxCountsPerPrompt {
						t.Errorf("%d tokens took %d counts", tokens, n)
					}
					if got := 9 + cost(text); got != tokens {
						t.Errorf("asked %d tokens, got %d", tokens, got)
					}
					if strings.TrimSpace(text) != text {
						t.Errorf("%q has space at an end, which templates trim", text)
					}
					same, err := again.Make(t.Context(), tokens, key)
					if err != nil || same != text {
						t.Errorf("made anew: %q, %v; before %q", same, err, text)
					}
					if tokens == 100 {
						begin := text[:min(len(text), 40)]
						if other, ok := begins[begin]; ok {
							t.Errorf("%+v and %+v both begin with %q", other, key, begin)
						}
						begins[begin] = key
					}
				}
			}
		})
	}
}

// keys are keys that differ in one field or another.
func keys(n int) []Key {
	var all []Key
	for _, test := range []string{"T1", "T11", "baseline"} {
		for i := range n {
			all = append(all, Key{Test: test, Run: i}, Key{Test: test, Index: i + 1}, Key{Test: test, Attempt: i + 1},
				Key{Test: test, Index: i + 1, Warmup: true})
		}
	}
	return all
}

// Prompts of a common tokenizer differ within their first eight words, for as many keys as a long run has.
func TestPromptsDifferFromTheStart(t *testing.T) {
	p := newPrompts(t, &tokenizer{template: 9, cost: tokenizers["each word is one token"]}, Options{})
	begins := map[string]bool{}
	n := 0
	for _, key := range keys(500) {
		text, err := p.Make(t.Context(), 40, key)
		if err != nil {
			t.Fatal(err)
		}
		begins[strings.Join(strings.Fields(text)[:8], " ")] = true
		n++
	}
	if len(begins) != n {
		t.Errorf("%d prompts have %d beginnings of eight words", n, len(begins))
	}
}

func TestPromptsDependOnSeed(t *testing.T) {
	counter := &tokenizer{template: 9, cost: tokenizers["each word is one token"]}
	a, _ := newPrompts(t, counter, Options{}).Make(t.Context(), 50, Key{Test: "T1"})
	other, err := NewPrompts(t.Context(), counter, 43, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := other.Make(t.Context(), 50, Key{Test: "T1"}); err != nil || a == b {
		t.Errorf("seeds 42 and 43 give %q and %q, %v", a, b, err)
	}
}

// A common tokenizer is learned in a handful of counts.
func TestLearningIsCheap(t *testing.T) {
	counter := &tokenizer{template: 9, cost: tokenizers["each word is one token"]}
	p := newPrompts(t, counter, Options{CostlyCounts: true})
	if counter.counts > 5 {
		t.Errorf("learning took %d counts", counter.counts)
	}
	if _, err := p.Make(t.Context(), 100, Key{}); err != nil {
		t.Fatal(err)
	}
	if counter.counts > 7 {
		t.Errorf("learning and one length took %d counts", counter.counts)
	}
}

// With costly counts a length is settled once and later prompts of it take none.
func TestCostlyCounts(t *testing.T) {
	additive := []string{"each word is one token", "bytes", "small vocabulary of syllables", "some words of two or three tokens",
		"few words", "word and space apart", "template trims and lowers", "opening letter costs three"}
	for _, name := range additive {
		t.Run(name, func(t *testing.T) {
			cost := tokenizers[name]
			counter := &tokenizer{template: 9, cost: cost}
			p := newPrompts(t, counter, Options{CostlyCounts: true})
			if counter.counts > maxCostlyCalibration {
				t.Errorf("learning took %d counts", counter.counts)
			}
			for _, tokens := range []int{100, 501} {
				first, err := p.Make(t.Context(), tokens, Key{Test: "T1"})
				if err != nil {
					t.Fatal(err)
				}
				before := counter.counts
				for _, key := range keys(10) {
					text, err := p.Make(t.Context(), tokens, key)
					if err != nil || 9+cost(text) != tokens {
						t.Errorf("asked %d tokens, got %d, %v", tokens, 9+cost(text), err)
					}
				}
				if counter.counts != before {
					t.Errorf("%d counts for a settled length", counter.counts-before)
				}
				if same, err := p.Make(t.Context(), tokens, Key{Test: "T1"}); err != nil || same != first {
					t.Errorf("made anew: %q, %v; before %q", same, err, first)
				}
			}
		})
	}
}

// Where words do not add up, a length cannot be settled, and that is said instead of being guessed.
func TestCostlyCountsNeedAdditivity(t *testing.T) {
	p := newPrompts(t, &tokenizer{template: 9, cost: tokenizers["letters merge in pairs"]}, Options{CostlyCounts: true})
	_, err := p.Make(t.Context(), 500, Key{})
	if err == nil || !strings.Contains(err.Error(), "without counting each") && !strings.Contains(err.Error(), "could not be met") {
		t.Errorf("error %v", err)
	}
}

func TestImpossibleLengths(t *testing.T) {
	p := newPrompts(t, &tokenizer{template: 9, cost: tokenizers["each word is one token"]}, Options{})
	_, err := p.Make(t.Context(), 9, Key{})
	if want := "a prompt of 9 tokens is not possible: the chat template and one letter already cost 10; ask for 10 or more"; err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}

	// Every letter costs two: no odd length above the shortest.
	counter := &tokenizer{template: 9, cost: func(text string) int { return 2 * len(text) }}
	p = newPrompts(t, counter, Options{})
	if text, err := p.Make(t.Context(), 111, Key{}); err != nil || 9+2*len(text) != 111 {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := p.Make(t.Context(), 112, Key{}); err == nil || !strings.HasPrefix(err.Error(), "a prompt of 112 tokens is not possible") {
		t.Errorf("error %v", err)
	}
}

// A counter that does not listen or makes no sense ends in an error, after a bounded number of counts.
func TestHostileCounters(t *testing.T) {
	t.Run("constant", func(t *testing.T) {
		counter := &tokenizer{template: 9, cost: func(string) int { return 1 }}
		_, err := NewPrompts(t.Context(), counter, 1, Options{})
		if want := "learn the server's token costs: the server counts 10 tokens whatever the prompt"; err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		if _, err := NewPrompts(t.Context(), &tokenizer{cost: func(string) int { return 0 }}, 1, Options{}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("random", func(t *testing.T) {
		n := 0
		counter := &tokenizer{template: 9, cost: func(text string) int { n++; return 1 + int(hash(fmt.Sprint(text, n))%10_000) }}
		p, err := NewPrompts(t.Context(), counter, 1, Options{})
		if counter.counts > maxCheapCalibration {
			t.Errorf("learning took %d counts", counter.counts)
		}
		if err != nil {
			return
		}
		before := counter.counts
		if _, err = p.Make(t.Context(), max(20_000, p.vocab.base), Key{}); err == nil {
			t.Error("no error")
		}
		if n := counter.counts - before; n > maxCountsPerPrompt {
			t.Errorf("%d counts", n)
		}
	})
	t.Run("shrinking", func(t *testing.T) {
		counter := &tokenizer{template: 9, cost: func(text string) int { return max(1, 1000-len(text)) }}
		if _, err := NewPrompts(t.Context(), counter, 1, Options{}); err == nil {
			t.Error("no error")
		}
	})
}

// An error of the server at any of its counts comes back as that error.
func TestCounterFails(t *testing.T) {
	for failAt := 1; ; failAt++ {
		counter := &tokenizer{template: 9, cost: tokenizers["word and space apart"], failAt: failAt}
		p, err := NewPrompts(t.Context(), counter, 1, Options{})
		if err == nil {
			_, err = p.Make(t.Context(), 100, Key{})
		}
		if counter.counts < failAt {
			return
		}
		if !errors.Is(err, errServer) {
			t.Errorf("failing count %d: error %v", failAt, err)
		}
	}
}

func TestSalt(t *testing.T) {
	counter := &tokenizer{template: 9, cost: tokenizers["each word is one token"]}
	p := newPrompts(t, counter, Options{Nonce: "first"})
	salts := map[string]bool{}
	n := 0
	for _, key := range append(keys(100), Key{Test: strings.Repeat("@/\\\x00", 100)}) {
		salt := p.Salt(key)
		if len(salt) != 32 || strings.Trim(salt, "0123456789abcdef") != "" {
			t.Errorf("salt %q", salt)
		}
		salts[salt] = true
		n++
	}
	if len(salts) != n {
		t.Errorf("%d keys have %d salts", n, len(salts))
	}
	other := newPrompts(t, counter, Options{Nonce: "second"})
	if p.Salt(Key{}) == other.Salt(Key{}) {
		t.Error("two runs have the same salt")
	}
	if p.Salt(Key{}) != newPrompts(t, counter, Options{Nonce: "first"}).Salt(Key{}) {
		t.Error("a salt differs when asked again")
	}
}

func TestWords(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range slices.Concat(strings.Fields(words), syllables(), letters()) {
		if seen[w] {
			t.Errorf("%q is there twice", w)
		}
		seen[w] = true
		if strings.Trim(w, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			t.Errorf("%q is not a plain word", w)
		}
	}
}

func BenchmarkMake(b *testing.B) {
	p, err := NewPrompts(b.Context(), &tokenizer{template: 9, cost: func(text string) int { return strings.Count(text, " ") + 1 }}, 1, Options{})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if _, err := p.Make(b.Context(), 500, Key{Index: i}); err != nil {
			b.Fatal(err)
		}
	}
}
