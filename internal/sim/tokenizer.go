package sim

import (
	"strings"
	"unicode/utf8"
)

// The simulator's own tokenizer: deterministic, reversible, and crude. Common words with their
// leading space are one token, other words fall into pieces, digits and punctuation stand alone,
// and what is not ASCII costs a token per byte. So a client cannot guess a length; it has to ask,
// as with a real one. Every id is below 32,000, the smallest vocabulary of a known model.
//
// Ids that a client of Gemma 3 can see are Gemma's.
const (
	tokenPad       = 0
	tokenEOS       = 1
	tokenBOS       = 2
	tokenTurnStart = 105
	tokenTurnEnd   = 106
	tokenNewline   = 107 // "\n"; the following ids are two, three and four of them
	maxNewlines    = 4

	firstUnused = 6   // <unused0>; such tokens have no visible text
	firstByte   = 238 // <0x00>
	firstPiece  = firstByte + 256
)

// Pieces are runs of one to three lower-case letters, numbered by length; those of one and two
// letters exist with a leading space too.
const (
	letters       = 26
	pieces1       = letters
	pieces2       = letters * letters
	pieces3       = letters * letters * letters
	firstSpaced   = firstPiece + pieces1 + pieces2 + pieces3
	firstWord     = firstSpaced + pieces1 + pieces2
	wordForms     = 4 // each common word: as it is, with a space, capitalised, capitalised with a space
	maxPiece      = 3
	maxTokenChars = 12 // a space and the longest common word
)

// tokenizer is immutable after newTokenizer.
type tokenizer struct {
	words []string       // text of id firstWord+i
	ids   map[string]int // the reverse
}

func newTokenizer() *tokenizer {
	t := &tokenizer{ids: map[string]int{}}
	for _, w := range strings.Fields(commonWords) {
		capital := strings.ToUpper(w[:1]) + w[1:]
		for _, form := range [wordForms]string{w, " " + w, capital, " " + capital} {
			t.ids[form] = firstWord + len(t.words)
			t.words = append(t.words, form)
		}
	}
	return t
}

// size is the number of ids in use; every token the simulator makes is below it.
func (t *tokenizer) size() int { return firstWord + len(t.words) }

// encode appends the ids of text to ids.
func (t *tokenizer) encode(ids []int, text string) []int {
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '\n':
			n := 1
			for n < maxNewlines && i+n < len(text) && text[i+n] == '\n' {
				n++
			}
			ids = append(ids, tokenNewline+n-1)
			i += n
		case isLetter(c), c == ' ' && i+1 < len(text) && isLetter(text[i+1]):
			end := i + 1
			for end < len(text) && isLetter(text[end]) {
				end++
			}
			ids = t.encodeWord(ids, text[i:end])
			i = end
		default:
			ids = append(ids, firstByte+int(c))
			i++
		}
	}
	return ids
}

// encodeWord appends the ids of a run of letters with at most one leading space.
func (t *tokenizer) encodeWord(ids []int, word string) []int {
	if id, ok := t.ids[word]; ok {
		return append(ids, id)
	}
	first := firstPiece
	if word[0] == ' ' {
		if !isLower(word[1]) {
			ids = append(ids, firstByte+' ')
		} else {
			first = firstSpaced
		}
		word = word[1:]
	}
	for len(word) > 0 {
		if !isLower(word[0]) {
			ids = append(ids, firstByte+int(word[0]))
			word = word[1:]
			continue
		}
		longest := maxPiece
		if first == firstSpaced {
			longest--
		}
		n := 1
		for n < longest && n < len(word) && isLower(word[n]) {
			n++
		}
		ids = append(ids, first+pieceNumber(word[:n]))
		word, first = word[n:], firstPiece
	}
	return ids
}

func isLower(c byte) bool  { return 'a' <= c && c <= 'z' }
func isLetter(c byte) bool { return isLower(c|0x20) && c < utf8.RuneSelf }

// pieceNumber numbers runs of letters: a … z, aa … zz, aaa … zzz.
func pieceNumber(s string) int {
	n := 0
	for i := range len(s) {
		n = n*letters + int(s[i]-'a')
	}
	return n + []int{0, pieces1, pieces1 + pieces2}[len(s)-1]
}

func pieceText(n int) string {
	length := 1
	for _, count := range []int{pieces1, pieces2} {
		if n < count {
			break
		}
		n -= count
		length++
	}
	s := make([]byte, length)
	for i := length - 1; i >= 0; i-- {
		s[i] = 'a' + byte(n%letters)
		n /= letters
	}
	return string(s)
}

// text is what a token adds to the text, special tokens in their written form; of a byte token it
// is that byte. ok is false for special tokens, whose text answers leave out.
func (t *tokenizer) text(id int) (text string, ok bool) {
	switch {
	case id >= t.size():
		return "", false
	case id >= firstWord:
		return t.words[id-firstWord], true
	case id >= firstSpaced:
		return " " + pieceText(id-firstSpaced), true
	case id >= firstPiece:
		return pieceText(id - firstPiece), true
	case id >= firstByte:
		return string([]byte{byte(id - firstByte)}), true
	case id >= tokenNewline && id < tokenNewline+maxNewlines:
		return strings.Repeat("\n", id-tokenNewline+1), true
	}
	return specialText(id), false
}

func specialText(id int) string {
	switch id {
	case tokenPad:
		return "<pad>"
	case tokenEOS:
		return "<eos>"
	case tokenBOS:
		return "<bos>"
	case tokenTurnStart:
		return "<start_of_turn>"
	case tokenTurnEnd:
		return "<end_of_turn>"
	}
	return "<unused>"
}

// decode is the text of ids with special tokens written out, as /detokenize has it.
func (t *tokenizer) decode(ids []int) string {
	var b strings.Builder
	for _, id := range ids {
		text, _ := t.text(id)
		b.WriteString(text)
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// detokenizer turns generated tokens into text as they come. Special tokens have none, and bytes of
// an unfinished character are held back, so a token's text may be empty.
type detokenizer struct {
	tokens *tokenizer
	held   []byte
}

func (d *detokenizer) next(id int) string {
	text, ok := d.tokens.text(id)
	if !ok {
		return ""
	}
	if len(d.held) == 0 && (len(text) > 1 || text[0] < utf8.RuneSelf) {
		return text
	}
	d.held = append(d.held, text...)
	whole := len(d.held)
	for back := 1; back < utf8.UTFMax && back <= len(d.held); back++ {
		if tail := d.held[len(d.held)-back:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				whole = len(d.held) - back
			}
			break
		}
	}
	out := strings.ToValidUTF8(string(d.held[:whole]), "\uFFFD")
	d.held = append(d.held[:0], d.held[whole:]...)
	return out
}
