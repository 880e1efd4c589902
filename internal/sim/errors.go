package sim

import (
	"fmt"
	"net/http"
)

// apiError is an error as vLLM answers it.
type apiError struct {
	status  int
	kind    string
	param   string // "" = null
	message string
}

// badRequest is a request that makes no sense to the engine. param may be "".
func badRequest(param, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "BadRequestError", param, fmt.Sprintf(format, args...)}
}

// invalid is a request that fails validation of its form; problem is written as vLLM's web framework
// lists it.
func invalid(param, problem string) *apiError {
	return &apiError{http.StatusBadRequest, "Bad Request", param, "1 validation error:\n  " + problem}
}

// body is the error object of a reply.
func (e *apiError) body() []byte {
	b := append([]byte(nil), `{"error":{"message":`...)
	b = appendQuoted(b, e.message)
	b = append(b, `,"type":`...)
	b = appendQuoted(b, e.kind)
	b = append(b, `,"param":`...)
	if e.param == "" {
		b = append(b, "null"...)
	} else {
		b = appendQuoted(b, e.param)
	}
	return fmt.Appendf(b, `,"code":%d}}`, e.status)
}

// event is the same error inside a stream, where vLLM writes it with blanks.
func (e *apiError) event() []byte {
	b := appendQuoted([]byte(`data: {"error": {"message": `), e.message)
	b = appendQuoted(append(b, `, "type": `...), e.kind)
	return fmt.Appendf(b, ", \"param\": null, \"code\": %d}}\n\n", e.status)
}

// appendQuoted appends s as a JSON string the way Python's compact encoders do: only what must be
// escaped is.
func appendQuoted[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		default:
			if c < 0x20 {
				b = fmt.Appendf(b, `\u%04x`, c)
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}
