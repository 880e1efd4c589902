package sim

import (
	"context"
	"fmt"
	"net/http"
)

var doneEvent = []byte("data: [DONE]\n\n")

// progress is an answer as far as it has come.
type progress struct {
	g           *generation
	detokenizer detokenizer
	tokens      []int  // that came last
	text        []byte // and what they add to the answer
	completed   int    // tokens
	finish      string
	stopID      int
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
	p.text = p.text[:0]
	for i, id := range p.tokens {
		// The text of the token that ended the answer is not part of it.
		if p.finish != finishStop || i < len(p.tokens)-1 {
			p.text = append(p.text, p.detokenizer.next(id)...)
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
			event = append(append(event[:0], engineError(g.request.failure).event()...), doneEvent...)
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

// chunks makes a stream's events. What is the same in all of them is made once.
type chunks struct {
	g           *generation
	head        []byte // up to and with `"choices":[`
	fingerprint []byte
}

func newChunks(s *Server, g *generation) *chunks {
	object := "text_completion"
	if g.chat {
		object = "chat.completion.chunk"
	}
	return &chunks{
		g: g,
		head: fmt.Appendf(nil, `data: {"id":%s,"object":"%s","created":%d,"model":%s,"choices":[`,
			quoted(g.id), object, g.created, quoted(s.name)),
		fingerprint: quoted(s.fingerprint),
	}
}

// opener is a chat's first event. It has a role and no token.
func (c *chunks) opener(b []byte) []byte {
	b = append(b, c.head...)
	b = append(b, `{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]`...)
	b = c.runningUsage(b, 0)
	b = append(b, `,"prompt_token_ids":`...)
	b = c.ids(b, c.g.request.prompt)
	return append(b, ",\"prompt_text\":null}\n\n"...)
}

// token is the event of the tokens that came last, with the end of the answer if they are its last.
func (c *chunks) token(b []byte, p *progress, first bool) []byte {
	b = append(b, c.head...)
	if c.g.chat {
		b = append(b, `{"index":0,"delta":{"content":`...)
		b = appendQuoted(b, p.text)
		b = append(b, `},"logprobs":null,"finish_reason":`...)
		if p.finish == "" {
			b = append(b, `null,"token_ids":`...)
		} else {
			b = append(p.ending(b), `,"token_ids":`...)
		}
	} else {
		b = append(b, `{"index":0,"text":`...)
		b = appendQuoted(b, p.text)
		b = append(b, `,"logprobs":null,"finish_reason":`...)
		b = append(p.ending(b), `,"prompt_token_ids":`...)
		if first {
			b = c.ids(b, c.g.request.prompt)
		} else {
			b = append(b, "null"...)
		}
		b = append(b, `,"token_ids":`...)
	}
	b = append(c.ids(b, p.tokens), `}]`...)
	b = c.runningUsage(b, p.completed)
	if p.finish != "" && !c.g.includeUsage {
		b = append(append(b, `,"system_fingerprint":`...), c.fingerprint...)
	}
	return append(b, "}\n\n"...)
}

// ending is the value of finish_reason with the member stop_reason behind it.
func (p *progress) ending(b []byte) []byte {
	if p.finish == "" {
		return append(b, `null,"stop_reason":null`...)
	}
	b = appendQuoted(b, p.finish)
	b = append(b, `,"stop_reason":`...)
	// The tokenizer's own EOS is no reason worth telling; any other stop token is.
	if p.finish == finishStop && p.stopID != tokenEOS {
		return fmt.Appendf(b, "%d", p.stopID)
	}
	return append(b, "null"...)
}

// usage is the last event before [DONE].
func (c *chunks) usage(b []byte, p *progress) []byte {
	b = append(append(b, c.head...), `],"usage":`...)
	b = append(appendUsage(b, c.g, p.completed), `},"system_fingerprint":`...)
	return append(append(b, c.fingerprint...), "}\n\n"...)
}

// runningUsage is the usage so far, where the client asked for it in every event.
func (c *chunks) runningUsage(b []byte, completed int) []byte {
	if !c.g.continuousUsage {
		return b
	}
	b = appendUsage(append(b, `,"usage":`...), c.g, completed)
	return append(b, `,"completion_tokens_details":null}`...)
}

// appendUsage appends a usage object without its closing brace.
func appendUsage(b []byte, g *generation, completed int) []byte {
	prompt := g.request.promptTokens + g.usageOff
	return fmt.Appendf(b, `{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d`, prompt, prompt+completed, completed)
}

// ids is a list of token ids where the client asked for them, else null.
func (c *chunks) ids(b []byte, list []int) []byte {
	if !c.g.tokenIDs {
		return append(b, "null"...)
	}
	return appendInts(b, list)
}

// wholeAnswer waits for the end and answers in one body.
func (s *Server) wholeAnswer(x *exchange, g *generation) {
	p, done := s.begin(x, g)
	defer done()
	var all []int
	var text []byte
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
		text = append(text, p.text...)
		all = append(all, p.tokens...)
	}
	if p.finish == finishError {
		x.log.ends(OutcomeEngineDied)
		x.fail(engineError(g.request.failure))
		return
	}
	c := newChunks(s, g)
	ending := p.ending(nil)
	answerIDs, promptIDs := c.ids(nil, all), c.ids(nil, g.request.prompt)
	usage := append(appendUsage(nil, g, p.completed), `,"prompt_tokens_details":null,"completion_tokens_details":null}`...)
	var b []byte
	if g.chat {
		b = fmt.Appendf(b, `{"id":%s,"object":"chat.completion","created":%d,"model":%s,"choices":[{"index":0,`+
			`"message":{"role":"assistant","content":%s,"refusal":null,"annotations":null,"audio":null,"function_call":null,"reasoning":null},`+
			`"logprobs":null,"finish_reason":%s,"token_ids":%s,"routed_experts":null}],"service_tier":null,"system_fingerprint":%s,"usage":%s,`+
			`"prompt_logprobs":null,"prompt_token_ids":%s,"prompt_text":null,"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null}`,
			quoted(g.id), g.created, quoted(s.name), quoted(text), ending, answerIDs, c.fingerprint, usage, promptIDs)
	} else {
		b = fmt.Appendf(b, `{"id":%s,"object":"text_completion","created":%d,"model":%s,"choices":[{"index":0,"text":%s,"logprobs":null,"finish_reason":%s,`+
			`"token_ids":%s,"prompt_logprobs":null,"prompt_token_ids":%s,"routed_experts":null}],"service_tier":null,"system_fingerprint":%s,"usage":%s,`+
			`"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null}`,
			quoted(g.id), g.created, quoted(s.name), quoted(text), ending, answerIDs, promptIDs, c.fingerprint, usage)
	}
	x.log.writes(p)
	x.json(http.StatusOK, b)
}
