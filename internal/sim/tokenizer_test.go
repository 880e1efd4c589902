package sim

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTokenCounts(t *testing.T) {
	tok := newTokenizer()
	for text, want := range map[string]int{
		"":                      0,
		"the":                   1,
		" the":                  1,
		"The model":             2,
		"the\n\nmodel":          3,
		"2048":                  4, // digits stand alone
		"a, b":                  3,
		"benchmark":             3, // three letters a piece
		" benchmark":            4, // the space takes the place of one
		"Benchmark":             4,
		"한":                     3, // a token per byte
		"  two":                 2,
		"\n\n\n\n\n":            2,
		strings.Repeat(" x", 5): 5,
	} {
		if ids := tok.encode(nil, text); len(ids) != want {
			t.Errorf("%q: %d tokens %v, want %d", text, len(ids), ids, want)
		}
	}
}

func TestTokenizerFacts(t *testing.T) {
	tok := newTokenizer()
	const smallestVocabulary = 32000
	if tok.size() > smallestVocabulary {
		t.Errorf("%d ids, the smallest known vocabulary has %d", tok.size(), smallestVocabulary)
	}
	longest := 0
	for _, w := range tok.words {
		longest = max(longest, len(w))
	}
	if longest != maxTokenChars {
		t.Errorf("the longest token has %d characters, maxTokenChars is %d", longest, maxTokenChars)
	}
	if len(tok.ids) != len(tok.words) {
		t.Errorf("%d words, %d of them different", len(tok.words), len(tok.ids))
	}
	for id := firstByte; id < tok.size(); id++ {
		if text, ok := tok.text(id); !ok || text == "" {
			t.Fatalf("id %d has no text", id)
		}
	}
	one := chat{messages: []message{{"user", []part{{text: " the "}}}}}
	if ids, _ := tok.chatPrompt(one, true); len(ids) != 10 {
		t.Errorf("a turn of one token is %d tokens, want 9 more", len(ids))
	}
	one.messages[0].parts = append(one.messages[0].parts, part{picture: 7})
	if ids, pictures := tok.chatPrompt(one, true); len(ids) != 10+imageTokens+4 || len(pictures) != imageTokens {
		t.Errorf("with an image it is %d tokens, %d places of it", len(ids), len(pictures))
	}
}

func FuzzTokenizer(f *testing.F) {
	for _, s := range []string{"The quick 42 brown foxes", "한국어 text", "\n\n\n\n\n  x", "aBcD  E"} {
		f.Add(s)
	}
	tok := newTokenizer()
	f.Fuzz(func(t *testing.T, s string) {
		ids := tok.encode(nil, s)
		if !utf8.ValidString(s) {
			return
		}
		if got := tok.decode(ids); got != s {
			t.Errorf("%q comes back as %q", s, got)
		}
		var text strings.Builder
		d := detokenizer{tokens: tok}
		for _, id := range ids {
			piece := d.next(id)
			if !utf8.ValidString(piece) {
				t.Errorf("%q is given out in the middle of a character", piece)
			}
			text.WriteString(piece)
		}
		if text.String() != s {
			t.Errorf("%q comes out token by token as %q", s, text.String())
		}
		if len(s) > 0 && (len(ids) == 0 || slices.Max(ids) >= tok.size()) {
			t.Errorf("%q: ids %v", s, ids)
		}
	})
}
