package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"bench/internal/record"
)

// Requests gives the requests of a data file that figures rest on, one at a time; *record.Folder is one.
type Requests interface {
	EachRequest(name string, do func(*record.Request) error) error
}

// eachRequest calls do with the requests of all tests, in the records' order.
func eachRequest(in Input, from Requests, do func(record.ExportedRequest) error) error {
	for _, recs := range [][]record.Record{in.Baselines, in.Tests, in.Open} {
		for i := range recs {
			if err := from.EachRequest(recs[i].Detail.Files.Requests, func(r *record.Request) error {
				return do(record.Export(&recs[i], r))
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// JSONLRequests writes a line of JSON for each request of all tests; it keeps one at a time.
func JSONLRequests(w io.Writer, in Input, from Requests) error {
	enc := json.NewEncoder(w)
	return eachRequest(in, from, func(r record.ExportedRequest) error {
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("writing requests as JSON Lines: %w", err)
		}
		return nil
	})
}

// requestColumns are those of [CSVRequests]: the fields of a [record.ExportedRequest] that are one value.
var requestColumns = []struct {
	name string
	of   func(*record.ExportedRequest) string
}{
	{"test_id", func(r *record.ExportedRequest) string { return harmless(r.TestID) }},
	{"kind", func(r *record.ExportedRequest) string { return harmless(r.Kind) }},
	{"concurrent_requests", func(r *record.ExportedRequest) string { return strconv.Itoa(r.ConcurrentRequests) }},
	{"simulated", func(r *record.ExportedRequest) string { return strconv.FormatBool(r.Simulated) }},
	{"run", func(r *record.ExportedRequest) string { return strconv.Itoa(r.Run) }},
	{"attempt", func(r *record.ExportedRequest) string { return strconv.Itoa(r.Attempt) }},
	{"index", func(r *record.ExportedRequest) string { return strconv.Itoa(r.Index) }},
	{"success", func(r *record.ExportedRequest) string { return strconv.FormatBool(r.Success) }},
	{"error", func(r *record.ExportedRequest) string { return harmless(string(r.Error)) }},
	{"message", func(r *record.ExportedRequest) string { return harmless(r.Message) }},
	{"http_status", func(r *record.ExportedRequest) string { return unlessZero(r.HTTPStatus) }},
	{"finish_reason", func(r *record.ExportedRequest) string { return harmless(r.FinishReason) }},
	{"done", func(r *record.ExportedRequest) string { return strconv.FormatBool(r.Done) }},
	{"ttft_ms", func(r *record.ExportedRequest) string { return decimal(r.TTFTMS) }},
	{"tpot_ms", func(r *record.ExportedRequest) string { return decimal(r.TPOTMS) }},
	{"total_latency_ms", func(r *record.ExportedRequest) string { return decimal(r.LatencyMS) }},
	{"output_tokens", func(r *record.ExportedRequest) string { return strconv.Itoa(r.OutputTokens) }},
	{"asked_prompt_tokens", func(r *record.ExportedRequest) string { return strconv.Itoa(r.AskedPromptTokens) }},
	{"prompt_tokens", func(r *record.ExportedRequest) string { return integer(r.PromptTokens) }},
	{"cached_tokens", func(r *record.ExportedRequest) string { return integer(r.CachedTokens) }},
	{"asked_output_tokens", func(r *record.ExportedRequest) string { return strconv.Itoa(r.AskedOutputTokens) }},
	{"completion_tokens", func(r *record.ExportedRequest) string { return integer(r.CompletionTokens) }},
	{"counted_tokens", func(r *record.ExportedRequest) string { return strconv.Itoa(r.CountedTokens) }},
	{"content_events", func(r *record.ExportedRequest) string { return strconv.Itoa(r.ContentEvents) }},
	{"coalesced", func(r *record.ExportedRequest) string { return strconv.Itoa(r.Coalesced) }},
	{"scheduled_ns", func(r *record.ExportedRequest) string { return integer(&r.ScheduledNS) }},
	{"connected_ns", func(r *record.ExportedRequest) string { return integer(r.ConnectedNS) }},
	{"dial_ns", func(r *record.ExportedRequest) string { return integer(r.DialNS) }},
	{"tls_ns", func(r *record.ExportedRequest) string { return integer(r.TLSNS) }},
	{"sent_ns", func(r *record.ExportedRequest) string { return integer(&r.SentNS) }},
	{"headers_ns", func(r *record.ExportedRequest) string { return integer(r.HeadersNS) }},
	{"first_token_ns", func(r *record.ExportedRequest) string { return integer(r.FirstTokenNS) }},
	{"first_text_ns", func(r *record.ExportedRequest) string { return integer(r.FirstTextNS) }},
	{"last_token_ns", func(r *record.ExportedRequest) string { return integer(r.LastTokenNS) }},
	{"end_ns", func(r *record.ExportedRequest) string { return integer(&r.EndNS) }},
	{"conversation", func(r *record.ExportedRequest) string { return unlessZero(r.Conversation) }},
	{"turn", func(r *record.ExportedRequest) string { return unlessZero(r.Turn) }},
	{"turns", func(r *record.ExportedRequest) string { return unlessZero(r.Turns) }},
	{"adapter", func(r *record.ExportedRequest) string { return harmless(r.Adapter) }},
	{"images", func(r *record.ExportedRequest) string { return unlessZero(r.Images) }},
	{"tools", func(r *record.ExportedRequest) string { return unlessZero(r.Tools) }},
	{"tool_calls", func(r *record.ExportedRequest) string { return unlessZero(r.ToolCalls) }},
	{"reasoning_tokens", func(r *record.ExportedRequest) string { return integer(r.ReasoningTokens) }},
	{"first_reasoning_ns", func(r *record.ExportedRequest) string { return integer(r.FirstReasoningNS) }},
	{"first_tool_call_ns", func(r *record.ExportedRequest) string { return integer(r.FirstToolCallNS) }},
	{"first_answer_ns", func(r *record.ExportedRequest) string { return integer(r.FirstAnswerNS) }},
}

// CSVRequests writes a row for each request of all tests, with an empty cell for what is not known; it keeps one row
// at a time.
func CSVRequests(w io.Writer, in Input, from Requests) error {
	out := csv.NewWriter(w)
	row := make([]string, len(requestColumns))
	for i, c := range requestColumns {
		row[i] = c.name
	}
	err := out.Write(row)
	if err == nil {
		err = eachRequest(in, from, func(r record.ExportedRequest) error {
			for i, c := range requestColumns {
				row[i] = c.of(&r)
			}
			if err := out.Write(row); err != nil {
				return fmt.Errorf("writing requests as CSV: %w", err)
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("writing requests as CSV: %w", err)
	}
	return nil
}

// harmless keeps a spreadsheet from taking a server's text for a formula: what begins as one (also in full width, as
// East Asian versions read it) gets an apostrophe before it, which spreadsheets take for "this is text".
func harmless(text string) string {
	if strings.IndexAny(strings.TrimLeft(text, " \t\r\n"), "=+-@＝＋－＠") == 0 || strings.IndexAny(text, "\t\r\n") == 0 {
		return "'" + text
	}
	return text
}

func unlessZero(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func integer[T int | int64](v *T) string {
	if v == nil {
		return ""
	}
	return strconv.FormatInt(int64(*v), 10)
}

func decimal(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}
