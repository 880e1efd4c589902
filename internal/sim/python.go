package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What the server prints as Python does.

// pythonFloat prints x as Python's repr does.
func pythonFloat(x float64) string {
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if x == float64(int64(x)) {
		s += ".0"
	}
	return s
}

// pythonQuoted prints a text as Python's repr does, as far as texts here go.
func pythonQuoted(s string) string {
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return `"` + s + `"`
	}
	return "'" + strings.ReplaceAll(s, `\`, `\\`) + "'"
}

// pythonValue prints a JSON value as vLLM's validation errors do, without quotes.
func pythonValue(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return "None"
	}
	switch v := v.(type) {
	case nil:
		return "None"
	case string:
		return v
	case bool:
		if v {
			return "True"
		}
		return "False"
	case []any:
		return fmt.Sprintf("<list of %d items>", len(v))
	case map[string]any:
		return fmt.Sprintf("<dict of %d items>", len(v))
	}
	return string(raw)
}

// Words of Python's JSON decoder.
const (
	noProperty  = "Expecting property name enclosed in double quotes"
	noValue     = "Expecting value"
	noColon     = "Expecting ':' delimiter"
	noDelimiter = "Expecting ',' delimiter"
)

// pythonSyntaxError says a JSON syntax error as Python's decoder does, and where it sees it.
func pythonSyntaxError(body []byte, err *json.SyntaxError) (at int, message string) {
	at = max(0, int(err.Offset)-1)
	switch text := err.Error(); {
	case strings.Contains(text, "unexpected end"):
		return endOfJSON(body)
	case strings.Contains(text, "beginning of object key"):
		return at, noProperty
	case strings.Contains(text, "after object key:value pair"), strings.Contains(text, "after array element"):
		return at, noDelimiter
	case strings.Contains(text, "after object key"):
		return at, noColon
	case strings.Contains(text, "after top-level value"):
		return at, "Extra data"
	case strings.Contains(text, "escape"):
		return at - 1, `Invalid \escape`
	case strings.Contains(text, "in string"):
		return at, "Invalid control character at"
	}
	for at > 0 && 'a' <= body[at-1] && body[at-1] <= 'z' {
		at-- // a word that breaks off is wrong from its first letter on
	}
	return at, noValue
}

// endOfJSON says what is missing where a JSON text that is right so far ends.
func endOfJSON(body []byte) (at int, message string) {
	var open []byte   // objects and lists
	last := byte(':') // the last sign: a value is due
	key := false      // it is a string that names a member
	for i := 0; i < len(body); i++ {
		switch c := body[i]; c {
		case ' ', '\t', '\r', '\n':
			continue
		case '"':
			key = len(open) > 0 && open[len(open)-1] == '{' && (last == '{' || last == ',')
			start := i
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
			if i >= len(body) {
				return start, "Unterminated string starting at"
			}
		case '{', '[':
			open = append(open, c)
		case '}', ']':
			open = open[:max(0, len(open)-1)]
		}
		last = body[i]
	}
	inObject := len(open) > 0 && open[len(open)-1] == '{'
	switch {
	case inObject && (last == '{' || last == ','):
		return len(body), noProperty
	case slices.Contains([]byte(":,["), last):
		return len(body), noValue
	case key && last == '"':
		return len(body), noColon
	}
	return len(body), noDelimiter
}
