package sim

import (
	"fmt"
	"net/http"
	"strings"
)

// Kinds of errors.
const (
	kindBadRequest = "BadRequestError"
	kindMalformed  = "Bad Request"
	kindInternal   = "InternalServerError"
)

// apiError is an error as the newest vLLM answers it; [release.say] has the older forms.
type apiError struct {
	status  int
	kind    string // "" = the web framework's own
	param   string // "" = null
	message string
}

// badRequest is a request that makes no sense to the engine. param may be "".
func badRequest(param, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, kindBadRequest, param, fmt.Sprintf(format, args...)}
}

// invalid is a request that fails validation of its form; problems are written as vLLM's web framework
// lists them.
func invalid(param string, problems ...string) *apiError {
	return &apiError{http.StatusBadRequest, kindMalformed, param, fmt.Sprintf("%d validation error%s:\n  %s", len(problems), []string{"", "s"}[min(1, len(problems)-1)], strings.Join(problems, "\n  "))}
}

const mediaTypeText = "Unsupported Media Type: Only 'application/json' is allowed"

var wrongMediaType = invalid("", mediaTypeText)

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
