package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// decodeJSON reads one JSON object into v. Its errors are one line and name line, field and value.
// A name that stands twice in one object is refused: readers disagree on which one counts.
func decodeJSON(data []byte, v any) error {
	if err := repeatedName(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return describeJSONError(data, err)
	}
	return nil
}

// describeJSONError says where the JSON is broken, in one line.
func describeJSONError(data []byte, err error) error {
	if typ, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && typ.Field != "" {
		return fmt.Errorf("line %d: %s is %s, %s is needed", lineAt(data, typ.Offset), oneLine(typ.Field), valueBefore(data, typ), kindNeeded(typ))
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		at := min(int(syntax.Offset), len(data))
		line := lineAt(data, syntax.Offset)
		before := bytes.TrimRight(data[:max(at-1, 0)], " \t\r\n")
		switch {
		case at > 0 && (data[at-1] == '/' || data[at-1] == '#'):
			return fmt.Errorf("line %d has a comment, JSON has none; remove it", line)
		case at > 0 && (data[at-1] == '}' || data[at-1] == ']') && bytes.HasSuffix(before, []byte(",")):
			return fmt.Errorf("line %d has a comma before the %c, JSON has none; remove it", line, data[at-1])
		case at == len(data):
			return fmt.Errorf("the file ends in the middle, at line %d", line)
		}
		return fmt.Errorf("line %d is not JSON: %w", line, err)
	}
	return fmt.Errorf("not readable as JSON: %w", err)
}

func lineAt(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(int(offset), len(data))], []byte("\n"))
}

// valueBefore is the value that did not fit, as the file has it, where it is short.
func valueBefore(data []byte, typ *json.UnmarshalTypeError) string {
	text := data[:min(int(typ.Offset), len(data))]
	if typ.Value == "string" && bytes.HasSuffix(text, []byte(`"`)) {
		if start := bytes.LastIndexByte(text[:len(text)-1], '"'); start >= 0 && len(text)-start <= 40 {
			return "the text " + oneLine(string(text[start:]))
		}
	}
	return oneLine(typ.Value)
}

func kindNeeded(typ *json.UnmarshalTypeError) string {
	switch typ.Type.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	}
	return "an object"
}

// repeatedName finds a name that stands twice in one object. The end of the data and broken
// JSON end the search: the decoder describes the latter.
func repeatedName(data []byte) error {
	type scope struct {
		names map[string]bool // nil: a list
		value bool            // the next token of an object is a value
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var open []scope
	for {
		token, err := dec.Token()
		if err != nil {
			return nil
		}
		if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
			open = open[:len(open)-1]
			continue
		}
		if n := len(open) - 1; n >= 0 && open[n].names != nil {
			s := &open[n]
			if !s.value {
				name, _ := token.(string) // in an object, names are texts
				// encoding/json takes names whatever their case.
				key := strings.ToLower(name)
				if s.names[key] {
					return fmt.Errorf("line %d: %s is given twice", lineAt(data, dec.InputOffset()), oneLine(name))
				}
				s.names[key], s.value = true, true
				continue
			}
			s.value = false
		}
		switch token {
		case json.Delim('{'):
			open = append(open, scope{names: make(map[string]bool)})
		case json.Delim('['):
			open = append(open, scope{})
		}
	}
}
