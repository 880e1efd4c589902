package vllm

import "encoding/json"

// maxDepth is how deep JSON may nest, the same as in encoding/json.
const maxDepth = 10000

// scanner walks one JSON text without allocating. The first violation of RFC 8259 sets bad, after
// which every method returns at once; so a caller checks only at the end.
type scanner struct {
	b     []byte
	i     int
	depth int
	bad   bool
}

// peek is the next byte that is not blank, or 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// open enters an object or array.
func (s *scanner) open() {
	s.i++
	if s.depth++; s.depth > maxDepth {
		s.bad = true
	}
}

// more steps to the next member of what was opened, or past its end.
func (s *scanner) more(first bool, end byte) bool {
	if s.bad {
		return false
	}
	c := s.peek()
	if c == end {
		s.i++
		s.depth--
		return false
	}
	if first {
		return true
	}
	if c != ',' {
		s.bad = true
		return false
	}
	s.i++
	return true
}

// key steps to the next member of an object and returns its name; ok is false at the end.
func (s *scanner) key(first bool) (name []byte, ok bool) {
	if !s.more(first, '}') {
		return nil, false
	}
	if s.peek() != '"' {
		s.bad = true
		return nil, false
	}
	raw, escaped := s.str()
	if s.peek() != ':' {
		s.bad = true
	}
	if s.bad {
		return nil, false
	}
	s.i++
	if escaped {
		return []byte(unquote(raw)), true
	}
	return raw, true
}

// str reads a string and returns what stands between its quotes, escapes and all.
func (s *scanner) str() (raw []byte, escaped bool) {
	b, start := s.b, s.i+1
	for i := start; i < len(b); i++ {
		switch c := b[i]; {
		case c > '"' && c != '\\': // most of what there is
		case c == '"':
			s.i = i + 1
			return b[start:i], escaped
		case c == '\\':
			escaped, s.i = true, i
			if !s.escape() {
				s.bad = true
				return nil, false
			}
			i = s.i - 1
		case c < 0x20:
			s.bad = true
			return nil, false
		}
	}
	s.bad = true
	return nil, false
}

// escape passes one escape sequence.
func (s *scanner) escape() bool {
	s.i++
	if s.i >= len(s.b) {
		return false
	}
	switch s.b[s.i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.i++
		return true
	case 'u':
		if s.i+5 > len(s.b) {
			return false
		}
		for _, c := range s.b[s.i+1 : s.i+5] {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return false
			}
		}
		s.i += 5
		return true
	}
	return false
}

// number passes a number and returns its text.
func (s *scanner) number() []byte {
	start := s.i
	if s.i < len(s.b) && s.b[s.i] == '-' {
		s.i++
	}
	switch {
	case s.i < len(s.b) && s.b[s.i] == '0':
		s.i++
	case !s.digits():
		s.bad = true
		return nil
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if !s.digits() {
			s.bad = true
			return nil
		}
	}
	if s.i < len(s.b) && s.b[s.i]|0x20 == 'e' {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		if !s.digits() {
			s.bad = true
			return nil
		}
	}
	return s.b[start:s.i]
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

func (s *scanner) literal(word string) {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		s.bad = true
		return
	}
	s.i += len(word)
}

// skip passes one value of any type.
func (s *scanner) skip() {
	if s.bad {
		return
	}
	switch c := s.peek(); c {
	case '{':
		s.open()
		for _, ok := s.key(true); ok; _, ok = s.key(false) {
			s.skip()
		}
	case '[':
		s.open()
		for ok := s.more(true, ']'); ok; ok = s.more(false, ']') {
			s.skip()
		}
	case '"':
		s.str()
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	case 'n':
		s.literal("null")
	default:
		s.number()
	}
}

// raw passes one value and returns its text.
func (s *scanner) raw() []byte {
	s.peek()
	start := s.i
	s.skip()
	if s.bad {
		return nil
	}
	return s.b[start:s.i]
}

// text passes one value and returns its string, still escaped; nil if it is no string.
func (s *scanner) text() []byte {
	if s.peek() != '"' {
		s.skip()
		return nil
	}
	raw, _ := s.str()
	return raw
}

// count passes one value and returns it as a count; ok is false if it is none.
func (s *scanner) count() (n int, ok bool) {
	c := s.peek()
	if c < '0' || c > '9' {
		s.skip()
		return 0, false
	}
	digits := s.number()
	if len(digits) == 0 || len(digits) > 15 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

// end says whether the whole text was one valid value.
func (s *scanner) end() bool { return s.peek() == 0 && s.i == len(s.b) && !s.bad }

// unquote is the value of a string that has been scanned.
func unquote(raw []byte) string {
	quoted := make([]byte, 0, len(raw)+2)
	quoted = append(append(append(quoted, '"'), raw...), '"')
	var out string
	if json.Unmarshal(quoted, &out) != nil {
		return string(raw)
	}
	return out
}
