package sim

import (
	"context"
	"net/http"
)

var doneEvent = []byte("data: [DONE]\n\n")

// progress is an answer as far as it has come.
type progress struct {
	g           *generation
	detokenizer detokenizer
	tokens      []int  // that came last
	text        []byte // and what they add to the answer
	thought     []byte // and to what was thought before it
	completed   int    // tokens
	finish      string
	stopID      int
}

// told is the finish reason as the client is told it.
func (p *progress) told() string {
	if p.finish == finishStop && p.g.tool != "" {
		return "tool_calls"
	}
	return p.finish
}

// begin makes the progress of an answer to x; call done when it has ended.
func (s *Server) begin(x *exchange, g *generation) (p *progress, done func() bool) {
	return &progress{g: g, detokenizer: detokenizer{tokens: s.tokens}}, context.AfterFunc(x.r.Context(), g.request.out.leave)
}

// next waits for tokens; ok is false when the client has gone, which aborts the request. The tokens are
// good until the next call.
func (s *Server) next(p *progress) (ok bool) {
	r := p.g.request
	p.tokens, p.finish, p.stopID, ok = r.out.take(p.tokens)
	if !ok {
		s.core.abort(r)
		return false
	}
	p.text, p.thought = p.text[:0], p.thought[:0]
	for i, id := range p.tokens {
		// The text of the token that ended the answer is not part of it.
		if p.finish != finishStop || i < len(p.tokens)-1 {
			if text := p.detokenizer.next(id); p.completed+i < p.g.think {
				p.thought = append(p.thought, text...)
			} else {
				p.text = append(p.text, text...)
			}
		}
	}
	p.completed += len(p.tokens)
	return true
}

// streamAnswer sends tokens as they come: normally one event a token, but tokens that piled up behind
// a slow client share one, as vLLM merges them.
func (s *Server) streamAnswer(x *exchange, g *generation) {
	c := newChunks(s, g)
	p, done := s.begin(x, g)
	defer done()
	flush := http.NewResponseController(x.w).Flush
	var event []byte
	send := func() bool {
		_, err := x.w.Write(event)
		return err == nil
	}
	for first := true; p.finish == ""; first = false {
		if !s.next(p) {
			x.log.ends(OutcomeClientGone)
			return
		}
		if p.finish == finishError {
			x.log.ends(OutcomeEngineDied)
			event = append(append(event[:0], x.v.errorEvent(engineError(g.request.failure))...), doneEvent...)
			send()
			return
		}
		if g.breaksOff(p.completed) {
			s.breakOff(x, g, true)
			return
		}
		sent := true
		if first && g.chat {
			event = c.opener(event[:0])
			sent = send()
		}
		event = c.token(event[:0], p, first)
		sent = sent && send()
		if p.finish != "" {
			if g.includeUsage {
				event = c.usage(event[:0], p)
				sent = sent && send()
			}
			event = append(event[:0], doneEvent...)
			sent = sent && send()
		}
		x.log.writes(p)
		if !sent || flush() != nil {
			x.log.ends(OutcomeClientGone)
			s.core.abort(g.request)
			return
		}
	}
}

// wholeAnswer waits for the end and answers in one body.
func (s *Server) wholeAnswer(x *exchange, g *generation) {
	p, done := s.begin(x, g)
	defer done()
	var all []int
	var text, thought []byte
	for p.finish == "" {
		if !s.next(p) {
			x.log.ends(OutcomeClientGone)
			x.status = http.StatusOK // nobody is left to read one
			return
		}
		if g.breaksOff(p.completed) {
			s.breakOff(x, g, false)
			return
		}
		text, thought = append(text, p.text...), append(thought, p.thought...)
		all = append(all, p.tokens...)
	}
	if p.finish == finishError {
		x.log.ends(OutcomeEngineDied)
		if s.v.has(deathHasBody) {
			x.fail(engineError(g.request.failure))
		} else {
			x.reply(http.StatusInternalServerError, "", nil)
		}
		return
	}
	x.log.writes(p)
	x.json(http.StatusOK, newChunks(s, g).whole(p, thought, text, all))
}
