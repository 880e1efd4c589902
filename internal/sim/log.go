package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
)

// SchemaLog names the form of a request log: one [LogEntry] a line.
const SchemaLog = "bench.simlog/1"

// LogEntry is one request for text as the server saw it, so that what a client measured can be judged. Its stamps are
// Unix nanoseconds of one monotonic clock: each is true to its neighbours, all of them to the time of day when the
// server was made. A stamp of something that did not happen is null.
type LogEntry struct {
	Schema string `json:"schema"`
	ID     string `json:"id"` // of the answer; "" where the request was refused
	Path   string `json:"path"`
	Stream bool   `json:"stream"` // false too where the request was refused
	Status int    `json:"status"` // of HTTP

	ArrivedNS    int64  `json:"arrived_ns"`     // the whole request was read
	ScheduledNS  *int64 `json:"scheduled_ns"`   // the engine first planned it into a step
	FirstWriteNS *int64 `json:"first_write_ns"` // the write of its first token began; without streaming that of the answer
	LastWriteNS  *int64 `json:"last_write_ns"`  // the write of its last token began
	// FirstAnswerWriteNS is when the write of the first token began that was no reasoning, where there was some.
	FirstAnswerWriteNS *int64 `json:"first_answer_write_ns,omitempty"`
	EndedNS            int64  `json:"ended_ns"` // nothing more is sent

	Model           string `json:"model,omitempty"`    // asked for, or an adapter
	Messages        int    `json:"messages,omitempty"` // of a chat
	Images          int    `json:"images,omitempty"`
	Tools           int    `json:"tools,omitempty"`            // offered
	ReasoningTokens int    `json:"reasoning_tokens,omitempty"` // of the output
	PromptSHA256    string `json:"prompt_sha256,omitempty"`    // of the prompt's token ids, in decimal with blanks between

	PromptTokens int    `json:"prompt_tokens"`
	CachedTokens int    `json:"cached_tokens"` // of them found in the prefix cache
	OutputTokens int    `json:"output_tokens"` // written to the client
	TokenWrites  int    `json:"token_writes"`  // writes that carried them
	Preemptions  int    `json:"preemptions"`
	FinishReason string `json:"finish_reason"` // as the client was told; "" where it was told none

	Outcome Outcome `json:"outcome"`

	clock   time.Time
	request *request
	think   int // tokens of reasoning at most
}

// Outcome is how the answer to a request went.
type Outcome string

// Outcomes. A server that is stopped ends its answers whole, with finish reason abort.
const (
	OutcomeWhole      Outcome = "whole"       // sent to its end
	OutcomeRefused    Outcome = "refused"     // an error took its place
	OutcomeClientGone Outcome = "client_gone" // the client did not wait for its end
	OutcomeEngineDied Outcome = "engine_died" // it ended with the engine's death
	OutcomeFault      Outcome = "fault"       // it was broken off because the simulator was told to
)

// LogRequests makes the server write a line of JSON, a [LogEntry], to w for each request for text when it has ended,
// with one Write each. Call it before the first request. Where a write fails no more are made, and Close says so.
func (s *Server) LogRequests(w io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log, s.logClock = w, time.Now()
}

// logged begins the entry of an exchange, if a log is kept; call done when the exchange has ended.
func (s *Server) logged(x *exchange) (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log == nil {
		return func() {}
	}
	x.log = &LogEntry{Schema: SchemaLog, Path: x.r.URL.Path, Outcome: OutcomeRefused, clock: s.logClock}
	x.log.ArrivedNS = x.log.at(x.start)
	return func() { s.writeLog(x) }
}

func (s *Server) writeLog(x *exchange) {
	e := x.log
	e.EndedNS = e.at(time.Now())
	e.Status = x.status
	if r := e.request; r != nil {
		e.PromptTokens = r.promptTokens
		s.core.mu.Lock()
		e.CachedTokens, e.Preemptions = r.cached, r.preempted
		if !r.scheduledAt.IsZero() {
			e.ScheduledNS = new(e.at(r.scheduledAt))
		}
		s.core.mu.Unlock()
	}
	line, err := json.Marshal(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logErr != nil {
		return
	}
	if err == nil {
		_, err = s.log.Write(append(line, '\n'))
	}
	if err != nil {
		s.logErr = fmt.Errorf("writing the request log: %w", err)
	}
}

// at is a stamp of the log.
func (e *LogEntry) at(t time.Time) int64 { return e.clock.UnixNano() + t.Sub(e.clock).Nanoseconds() }

// accepted notes what is generated.
func (e *LogEntry) accepted(g *generation) {
	if e == nil {
		return
	}
	e.ID, e.Stream, e.request = g.id, g.stream, g.request
	e.Model, e.Messages, e.Images, e.Tools, e.think = g.model, g.messages, g.images, g.tools, g.think
	var ids []byte
	for i, id := range g.request.prompt {
		if i > 0 {
			ids = append(ids, ' ')
		}
		ids = strconv.AppendInt(ids, int64(id), 10)
	}
	sum := sha256.Sum256(ids)
	e.PromptSHA256 = hex.EncodeToString(sum[:])
}

// writes notes, just before it is done, a write of an answer's last tokens. Before, because a client may have read
// them when the write returns.
func (e *LogEntry) writes(p *progress) {
	if e == nil {
		return
	}
	if e.OutputTokens < p.completed {
		now := e.at(time.Now())
		if e.FirstWriteNS == nil {
			e.FirstWriteNS = &now
		}
		e.LastWriteNS = &now
		if e.think > 0 && e.FirstAnswerWriteNS == nil && p.completed > e.think {
			e.FirstAnswerWriteNS = &now
		}
		e.ReasoningTokens = min(p.completed, e.think)
		e.OutputTokens = p.completed
		e.TokenWrites++
	}
	if p.finish != "" {
		e.FinishReason, e.Outcome = p.told(), OutcomeWhole
	}
}

// ends notes how an answer went that was not sent whole.
func (e *LogEntry) ends(o Outcome) {
	if e != nil {
		e.Outcome, e.FinishReason = o, ""
	}
}
