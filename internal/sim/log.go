package sim

import (
	"encoding/json"
	"fmt"
	"io"
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
	EndedNS      int64  `json:"ended_ns"`       // nothing more is sent

	PromptTokens int    `json:"prompt_tokens"`
	CachedTokens int    `json:"cached_tokens"` // of them found in the prefix cache
	OutputTokens int    `json:"output_tokens"` // written to the client
	TokenWrites  int    `json:"token_writes"`  // writes that carried them
	Preemptions  int    `json:"preemptions"`
	FinishReason string `json:"finish_reason"` // as the client was told; "" where it was told none

	Outcome Outcome `json:"outcome"`

	clock   time.Time
	request *request
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
		e.OutputTokens = p.completed
		e.TokenWrites++
	}
	if p.finish != "" {
		e.FinishReason, e.Outcome = p.finish, OutcomeWhole
	}
}

// ends notes how an answer went that was not sent whole.
func (e *LogEntry) ends(o Outcome) {
	if e != nil {
		e.Outcome, e.FinishReason = o, ""
	}
}
