package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"slices"
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
	switch syntax, malformed := errors.AsType[*json.SyntaxError](err); {
	case len(body) == 0, err == nil && f == nil:
		return nil, invalid("body", problem("missing", "body", "Field required", "None"))
	case malformed:
		at, message := pythonSyntaxError(body, syntax)
		where := fmt.Sprintf("body.%d", at)
		return nil, invalid(where, fmt.Sprintf("{'type': 'json_invalid', 'loc': '%s', 'msg': 'JSON decode error', 'input': '<dict of 0 items>', 'ctx': {'error': %s}}", where, pythonQuoted(message)))
	case err != nil:
		return nil, invalid("body", problem("model_attributes_type", "body", notAnObject, pythonValue(body)))
	}
	return f, nil
}

const notAnObject = "Input should be a valid dictionary or object to extract fields from"

// problem is one finding of vLLM's validation library as the server prints it.
func problem(kind, where, message, input string) string {
	return fmt.Sprintf("{'type': '%s', 'loc': '%s', 'msg': %s, 'input': %s}", kind, where, pythonQuoted(message), pythonQuoted(input))
}

func (f fields) given(name string) bool {
	raw, ok := f[name]
	return ok && !bytes.Equal(raw, []byte("null"))
}

// missing is the error for members that are required, of which one would do.
func (f fields) missing(names ...string) *apiError {
	var problems []string
	for _, name := range names {
		problems = append(problems, problem("missing", "body."+name, "Field required", fmt.Sprintf("<dict of %d items>", len(f))))
	}
	return invalid("body."+names[0], problems...)
}

// wrongType is the error for a member of another type than kind, a word of the validation library.
func (f fields) wrongType(name, kind, message string) *apiError {
	return invalid("body."+name, problem(kind, "body."+name, message, pythonValue(f[name])))
}

// integer reads a whole number; a text that holds one will do, and true is 1, as in vLLM.
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
	number, ok := asNumber(raw)
	switch {
	case !ok:
		return 0, false, f.wrongType(name, "int_type", "Input should be a valid integer")
	case math.Abs(number) > 1<<53:
		return 0, false, f.wrongType(name, "int_parsing_size", "Unable to parse input string as an integer, exceeded maximum size")
	case number != math.Trunc(number):
		return 0, false, f.wrongType(name, "int_from_float", "Input should be a valid integer, got a number with a fractional part")
	}
	return int(number), true, nil
}

// asNumber is a JSON number, or a truth as 0 or 1.
func asNumber(raw json.RawMessage) (x float64, ok bool) {
	var b bool
	if json.Unmarshal(raw, &b) == nil {
		if b {
			x = 1
		}
		return x, true
	}
	return x, json.Unmarshal(raw, &x) == nil
}

// number reads a number; a text that holds one will do.
func (f fields) number(name string) (x float64, given bool, _ *apiError) {
	if !f.given(name) {
		return 0, false, nil
	}
	var text string
	if json.Unmarshal(f[name], &text) == nil {
		x, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			return 0, false, f.wrongType(name, "float_parsing", "Input should be a valid number, unable to parse string as a number")
		}
		return x, true, nil
	}
	x, ok := asNumber(f[name])
	if !ok {
		return 0, false, f.wrongType(name, "float_type", "Input should be a valid number")
	}
	return x, true, nil
}

// boolean reads a flag, which some words and numbers will do for; missing is the default.
func (f fields) boolean(name string, missing bool) (bool, *apiError) {
	if !f.given(name) {
		return missing, nil
	}
	var text string
	number, isNumber := asNumber(f[name])
	switch isText := json.Unmarshal(f[name], &text) == nil; {
	case isNumber && (number == 0 || number == 1):
		return number == 1, nil
	case isText && slices.Contains([]string{"1", "on", "t", "true", "y", "yes"}, strings.ToLower(text)):
		return true, nil
	case isText && slices.Contains([]string{"0", "off", "f", "false", "n", "no"}, strings.ToLower(text)):
		return false, nil
	case isText, isNumber && number == math.Trunc(number):
		return false, f.wrongType(name, "bool_parsing", "Input should be a valid boolean, unable to interpret input")
	}
	return false, f.wrongType(name, "bool_type", "Input should be a valid boolean")
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

// integers reads a list of whole numbers of at least least.
func (f fields) integers(name string, least int) (out []int, _ *apiError) {
	if !f.given(name) {
		return nil, nil
	}
	var list []json.RawMessage
	if json.Unmarshal(f[name], &list) != nil {
		return nil, f.wrongType(name, "list_type", "Input should be a valid list")
	}
	for i, raw := range list {
		element := fmt.Sprintf("%s.%d", name, i)
		n, given, bad := fields{element: raw}.integer(element)
		switch {
		case bad != nil:
			return nil, bad
		case !given:
			return nil, fields{element: raw}.wrongType(element, "int_type", "Input should be a valid integer")
		case n < least:
			problem := problem("greater_than_equal", "body."+element, fmt.Sprintf("Input should be greater than or equal to %d", least), pythonValue(raw))
			return nil, invalid("body."+element, fmt.Sprintf("%s, 'ctx': {'ge': %d}}", strings.TrimSuffix(problem, "}"), least))
		}
		out = append(out, n)
	}
	return out, nil
}

// object reads a nested object; nil when not given.
func (f fields) object(name string) (fields, *apiError) {
	if !f.given(name) {
		return nil, nil
	}
	var o fields
	if json.Unmarshal(f[name], &o) != nil {
		return nil, f.wrongType(name, "model_attributes_type", notAnObject)
	}
	return o, nil
}

// unsupported is the error for what vLLM can do and the simulator cannot. It is an error rather than
// silence, since a client would take the answer for what it asked.
func unsupported(param, what string) *apiError {
	return &apiError{http.StatusBadRequest, kindBadRequest, param, "the simulated vLLM does not support " + what}
}
