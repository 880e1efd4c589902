package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// fields are the members of a JSON request body, read one by one so that an error can say which one
// is wrong, as vLLM's does. A member that is null counts as not given.
type fields map[string]json.RawMessage

// readFields reads the body of a POST request.
func readFields(contentType string, body []byte) (fields, *apiError) {
	if t, _, err := mime.ParseMediaType(contentType); err != nil || t != "application/json" {
		return nil, wrongMediaType
	}
	var f fields
	err := json.Unmarshal(body, &f)
	if err == nil && f != nil {
		return f, nil
	}
	syntax, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return nil, invalid("body", "{'type': 'model_attributes_type', 'loc': 'body', 'msg': 'Input should be a valid dictionary or object to extract fields from'}")
	}
	where := fmt.Sprintf("body.%d", max(0, syntax.Offset-1))
	return nil, invalid(where, fmt.Sprintf("{'type': 'json_invalid', 'loc': '%s', 'msg': 'JSON decode error', 'input': '<dict of 0 items>', 'ctx': {'error': '%s'}}", where, pythonSyntaxError(syntax)))
}

// pythonSyntaxError says a JSON syntax error as Python's decoder does.
func pythonSyntaxError(err *json.SyntaxError) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "beginning of object key"):
		return "Expecting property name enclosed in double quotes"
	case strings.Contains(text, "after object key:value pair"), strings.Contains(text, "after array element"):
		return "Expecting ',' delimiter"
	case strings.Contains(text, "after object key"):
		return "Expecting ':' delimiter"
	case strings.Contains(text, "after top-level value"):
		return "Extra data"
	case strings.Contains(text, "in string"):
		return "Invalid control character at"
	}
	return "Expecting value"
}

func (f fields) given(name string) bool {
	raw, ok := f[name]
	return ok && !bytes.Equal(raw, []byte("null"))
}

// missing is the error for a member that is required.
func (f fields) missing(name string) *apiError {
	return invalid("body."+name, fmt.Sprintf("{'type': 'missing', 'loc': 'body.%s', 'msg': 'Field required', 'input': '<dict of %d items>'}", name, len(f)))
}

// wrongType is the error for a member of another type than kind, a word of the validation library.
func (f fields) wrongType(name, kind, message string) *apiError {
	return invalid("body."+name, fmt.Sprintf("{'type': '%s', 'loc': 'body.%s', 'msg': '%s', 'input': %s}", kind, name, message, pythonValue(f[name])))
}

// pythonValue prints a JSON value as vLLM's validation errors do.
func pythonValue(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return "None"
	}
	switch v := v.(type) {
	case string:
		return "'" + v + "'"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case []any:
		return fmt.Sprintf("'<list of %d items>'", len(v))
	case map[string]any:
		return fmt.Sprintf("'<dict of %d items>'", len(v))
	}
	return string(raw)
}

// integer reads a whole number; a string that holds one will do, as in vLLM.
func (f fields) integer(name string) (n int, given bool, _ *apiError) {
	if !f.given(name) {
		return 0, false, nil
	}
	raw := f[name]
	var text string
	if json.Unmarshal(raw, &text) == nil {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return 0, false, f.wrongType(name, "int_parsing", "Input should be a valid integer, unable to parse string as an integer")
		}
		return n, true, nil
	}
	var number float64
	if json.Unmarshal(raw, &number) != nil {
		return 0, false, f.wrongType(name, "int_type", "Input should be a valid integer")
	}
	if number != math.Trunc(number) || math.Abs(number) > 1<<53 {
		return 0, false, f.wrongType(name, "int_from_float", "Input should be a valid integer, got a number with a fractional part")
	}
	return int(number), true, nil
}

func (f fields) number(name string) (x float64, given bool, _ *apiError) {
	if !f.given(name) {
		return 0, false, nil
	}
	if json.Unmarshal(f[name], &x) != nil {
		return 0, false, f.wrongType(name, "float_type", "Input should be a valid number")
	}
	return x, true, nil
}

// boolean reads a flag; missing is the default.
func (f fields) boolean(name string, missing bool) (bool, *apiError) {
	if !f.given(name) {
		return missing, nil
	}
	var b bool
	if json.Unmarshal(f[name], &b) != nil {
		return false, f.wrongType(name, "bool_type", "Input should be a valid boolean")
	}
	return b, nil
}

func (f fields) text(name string) (string, *apiError) {
	if !f.given(name) {
		return "", nil
	}
	var s string
	if json.Unmarshal(f[name], &s) != nil {
		return "", f.wrongType(name, "string_type", "Input should be a valid string")
	}
	return s, nil
}

func (f fields) integers(name string) ([]int, *apiError) {
	if !f.given(name) {
		return nil, nil
	}
	var list []int
	if json.Unmarshal(f[name], &list) != nil {
		return nil, f.wrongType(name, "list_type", "Input should be a valid list")
	}
	return list, nil
}

// object reads a nested object; nil when not given.
func (f fields) object(name string) (fields, *apiError) {
	if !f.given(name) {
		return nil, nil
	}
	var o fields
	if json.Unmarshal(f[name], &o) != nil {
		return nil, f.wrongType(name, "model_attributes_type", "Input should be a valid dictionary or object to extract fields from")
	}
	return o, nil
}

// message is one turn of a chat.
type message struct{ role, content string }

// messages reads a chat. A content is a text or a list of text parts; images and sound are refused.
func (f fields) messages() ([]message, *apiError) {
	if _, ok := f["messages"]; !ok {
		return nil, f.missing("messages")
	}
	var list []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	if json.Unmarshal(f["messages"], &list) != nil {
		return nil, f.wrongType("messages", "list_type", "Input should be a valid list")
	}
	if len(list) == 0 {
		return nil, badRequest("messages", "The messages are empty.")
	}
	var out []message
	for _, m := range list {
		var text string
		if len(m.Content) > 0 && json.Unmarshal(m.Content, &text) != nil {
			var parts []struct{ Type, Text string }
			if json.Unmarshal(m.Content, &parts) != nil {
				return nil, f.wrongType("messages", "string_type", "Input should be a valid string")
			}
			for _, p := range parts {
				if p.Type != "text" {
					return nil, unsupported("messages", "content of type "+p.Type)
				}
				text += p.Text
			}
		}
		out = append(out, message{m.Role, text})
	}
	return out, nil
}

// unsupported is the error for what vLLM can do and the simulator cannot. It is an error rather than
// silence, since a client would take the answer for what it asked.
func unsupported(param, what string) *apiError {
	return &apiError{http.StatusBadRequest, kindBadRequest, param, "the simulated vLLM does not support " + what}
}
