package vllm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	openai "github.com/sashabaranov/go-openai"

	"bench/internal/record"
)

const (
	errBadPayload = record.ErrBadPayload
	maxMessage    = 300 // bytes
)

var errNoAnswer = errors.New("the server closed the connection without an answer")

// Error is a failure to get an answer from the server.
type Error struct {
	Class   record.ErrorClass
	Status  int    // HTTP status, 0 when none came
	Message string // one line, bounded, free of control characters, keys and prompts
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Known causes; each beats the place where it showed.
var (
	outOfMemory   = regexp.MustCompile(`(?i)out of memory|OutOfMemoryError`)
	engineDead    = regexp.MustCompile(`(?i)EngineCore encountered|EngineDeadError|engine (core )?(process )?(is dead|died|is not running)|background loop (has errored|is not running)`)
	contextLength = regexp.MustCompile(`(?i)maximum (context|model) length|longer than the maximum model length|max_(completion_)?tokens.*(too large|cannot be greater|at least 1)`)
)

// causeOf is the class that a server's own words tell, or place.
func causeOf(text string, place record.ErrorClass) record.ErrorClass {
	switch {
	case outOfMemory.MatchString(text):
		return record.ErrOutOfMemory
	case engineDead.MatchString(text):
		return record.ErrEngineDead
	case contextLength.MatchString(text):
		return record.ErrContextLength
	}
	return place
}

// failure turns whatever went wrong in an exchange, which had limit to end in, into a class and a line.
func (c *Client) failure(ctx context.Context, err error, limit time.Duration) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if api, ok := errors.AsType[*openai.APIError](err); ok {
		return statusFailure(api.HTTPStatusCode, api.Message, api.Message == "")
	}
	if req, ok := errors.AsType[*openai.RequestError](err); ok {
		return statusFailure(req.HTTPStatusCode, errorText(req.Body), len(req.Body) == 0)
	}
	_, connecting := errors.AsType[*connectError](err)
	at := c.BaseURL()
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return &Error{Class: record.ErrCancelled, Message: "cancelled"}
	case connecting:
		return connectFailure(at, err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded) || isTimeout(err):
		return &Error{Class: record.ErrTimeout, Message: fmt.Sprintf("no end of the answer within %s", limit)}
	case errors.Is(err, errNoAnswer):
		return &Error{Class: record.ErrReset, Message: errNoAnswer.Error()}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &Error{Class: record.ErrTruncated, Message: "the connection closed in the middle of the answer"}
	case errors.Is(err, errEventTooLarge), errors.Is(err, errBadFraming), errors.Is(err, errHeaderTooLarge), notHTTP(err):
		return &Error{Class: record.ErrBadPayload, Message: clean(err.Error())}
	}
	return &Error{Class: record.ErrReset, Message: clean("the connection broke: " + rootCause(err))}
}

// notHTTP says whether net/http or gzip could not make sense of the bytes.
func notHTTP(err error) bool {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "malformed") || strings.Contains(text, "gzip:") || strings.Contains(text, "flate:") ||
		strings.Contains(text, "unsupported transfer encoding") || strings.Contains(text, "http: message cannot")
}

// connectFailure is for connections that never came to be.
func connectFailure(at string, err error) *Error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && !dns.IsTimeout {
		return &Error{Class: record.ErrRefused, Message: clean(fmt.Sprintf("the host of %s is not known: check --base-url", at))}
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Error{Class: record.ErrRefused, Message: clean(fmt.Sprintf(
			"nothing listens at %s (connection refused): start the server, or wait for a loading one with --wait", at))}
	case isTimeout(err) || errors.Is(err, context.DeadlineExceeded):
		return &Error{Class: record.ErrTimeout, Message: clean(fmt.Sprintf("no connection to %s within %s", at, connectLimit))}
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return &Error{Class: record.ErrRefused, Message: "too many open files on this machine: raise the limit (ulimit -n)"}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return &Error{Class: record.ErrRefused, Message: "no local port is left on this machine: widen net.ipv4.ip_local_port_range, or ask for fewer at once"}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Class: record.ErrReset, Message: clean(fmt.Sprintf("the connection to %s broke while it was being set up", at))}
	}
	return &Error{Class: record.ErrRefused, Message: clean(fmt.Sprintf("no connection to %s: %s", at, rootCause(err)))}
}

// rootCause is the innermost text of an error that wraps addresses around it.
func rootCause(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		return op.Err.Error()
	}
	return err.Error()
}

// statusFailure is for answers whose status is the failure. Before 0.17 a dead engine answers 500
// with an empty body and nothing else does.
func statusFailure(status int, text string, empty bool) *Error {
	place := record.ErrHTTP5xx
	if status < 500 {
		place = record.ErrHTTP4xx
	}
	class := causeOf(text, place)
	switch {
	case status == 500 && empty:
		class, text = record.ErrEngineDead, "empty answer, as vLLM gives when its engine is dead"
	case status == 401:
		text = join(text, "the server wants a valid API key: set VLLM_API_KEY or OPENAI_API_KEY, or pass --api-key-file")
	}
	return &Error{Class: class, Status: status, Message: clean(join(fmt.Sprintf("HTTP %d", status), text))}
}

func join(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return a + ": " + b
}

// errorText finds the message in an error body: vLLM's object, its older flat form, an error that
// is a plain string, the web framework's detail, a web page's title, or the text as it is.
func errorText(body []byte) string {
	var doc struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &doc) == nil {
		for _, raw := range []json.RawMessage{doc.Error, doc.Detail} {
			if text := messageOf(raw); text != "" {
				return text
			}
		}
		if doc.Message != "" {
			return doc.Message
		}
	}
	if isHTML(body) {
		if title := htmlTitle.FindSubmatch(body); title != nil {
			return "a web page, titled " + strings.TrimSpace(string(title[1]))
		}
		return "a web page"
	}
	return string(body)
}

var htmlTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

// messageOf is the text of an error given as a string, as an object, or as anything else.
func messageOf(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var api openai.APIError
	if json.Unmarshal(raw, &api) == nil && api.Message != "" {
		return api.Message
	}
	return string(raw)
}

func isHTML(body []byte) bool {
	head := strings.ToLower(strings.TrimSpace(string(body[:min(len(body), 256)])))
	return strings.HasPrefix(head, "<!doctype html") || strings.HasPrefix(head, "<html") || strings.HasPrefix(head, "<head")
}

var ansi = regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)?|.)?")

// clean makes one bounded line of text that a terminal can be trusted with.
func clean(text string) string {
	text = ansi.ReplaceAllString(strings.ToValidUTF8(text[:min(len(text), 64<<10)], "\ufffd"), "")
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage - len("…")
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// quoted is how many bytes in a row of a prompt make a quotation of it.
const quoted = 16

// withoutSecrets is clean without the key and the prompt in a server's words: validation errors quote what they
// were sent, from any place on. The text ends where a quotation begins.
func withoutSecrets(text, key, prompt string) string {
	if key != "" {
		text = strings.ReplaceAll(text, key, "[key]")
	}
	text = clean(text)
	for _, label := range []string{"'input':", "\"input\":"} { // what validation errors of Python frameworks quote under
		if i := strings.Index(text, label); i >= 0 {
			text = text[:i] + "[…]"
		}
	}
	prompt = strings.Join(strings.Fields(prompt), " ")
	for i := 0; i+quoted <= len(text); i++ {
		if strings.Contains(prompt, text[i:i+quoted]) {
			return strings.TrimSpace(strings.TrimSpace(text[:i]) + " […]")
		}
	}
	return text
}
