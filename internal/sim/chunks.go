package sim

import (
	"fmt"
	"slices"
)

// chunks makes an answer: a stream's events, or the whole of it. What is the same in all of them is made once.
type chunks struct {
	v           release
	g           *generation
	head        []byte // up to and with `"choices":[`
	fingerprint []byte
}

func newChunks(s *Server, g *generation) *chunks {
	object, begin := "text_completion", ""
	if g.chat {
		object = "chat.completion"
	}
	if g.stream {
		begin = "data: "
		if g.chat {
			object += ".chunk"
		}
	}
	return &chunks{
		v: s.v,
		g: g,
		head: fmt.Appendf(nil, `%s{"id":%s,"object":"%s","created":%d,"model":%s,"choices":[`,
			begin, quoted(g.id), object, g.created, quoted(g.model)),
		fingerprint: quoted(s.fingerprint),
	}
}

// opener is a chat's first event. It has a role and no token.
func (c *chunks) opener(b []byte) []byte {
	b = append(b, c.head...)
	b = append(b, `{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]`...)
	b = c.runningUsage(b, 0)
	if c.v.has(tokenIDMembers) {
		b = c.ids(append(b, `,"prompt_token_ids":`...), c.g.request.prompt)
	}
	if c.v.has(newestMembers) {
		b = append(b, `,"prompt_text":null`...)
	}
	return append(b, "}\n\n"...)
}

// token is the event of the tokens that came last, with the end of the answer if they are its last.
func (c *chunks) token(b []byte, p *progress, first bool) []byte {
	b = append(b, c.head...)
	if c.g.chat {
		b = c.delta(append(b, `{"index":0,"delta":{`...), p)
		b = append(b, `},"logprobs":null,"finish_reason":`...)
		if p.finish == "" {
			b = append(b, "null"...)
		} else {
			b = p.ending(b)
		}
	} else {
		b = append(b, `{"index":0,"text":`...)
		b = appendQuoted(b, p.text)
		b = append(b, `,"logprobs":null,"finish_reason":`...)
		b = p.ending(b)
		if c.v.has(tokenIDMembers) {
			b = append(b, `,"prompt_token_ids":`...)
			if first {
				b = c.ids(b, c.g.request.prompt)
			} else {
				b = append(b, "null"...)
			}
		}
	}
	if c.v.has(tokenIDMembers) {
		b = c.ids(append(b, `,"token_ids":`...), p.tokens)
	}
	b = append(b, `}]`...)
	b = c.runningUsage(b, p.completed)
	if !c.g.chat && !c.g.continuousUsage && !c.v.has(fingerprints) {
		b = append(b, `,"usage":null`...)
	}
	if p.finish != "" && !c.g.includeUsage && c.v.has(fingerprints) {
		b = append(append(b, `,"system_fingerprint":`...), c.fingerprint...)
	}
	return append(b, "}\n\n"...)
}

// delta is what an event adds to a chat's answer: reasoning, then text or a piece of a tool call.
func (c *chunks) delta(b []byte, p *progress) []byte {
	before := p.completed - len(p.tokens)
	if before < c.g.think {
		b = c.reasoning(b, p.thought)
		if p.completed <= c.g.think {
			return b
		}
		b = append(b, ',')
	}
	if c.g.tool == "" {
		return appendQuoted(append(b, `"content":`...), p.text)
	}
	b = append(b, `"tool_calls":[{`...)
	if before <= c.g.think && p.completed > c.g.think {
		b = c.call(b)
	}
	b = append(b, `"index":0,"function":{`...)
	var arguments []byte
	if before <= c.g.think {
		b = append(appendQuoted(append(b, `"name":`...), c.g.tool), ',')
		arguments = append(arguments, callHead...)
	}
	arguments = append(arguments, inJSON(p.text)...)
	if p.finish != "" {
		arguments = append(arguments, callTail...)
	}
	return append(appendQuoted(append(b, `"arguments":`...), arguments), "}}]"...)
}

// The arguments of every call: one text.
const (
	callHead = `{"text": "`
	callTail = `"}`
)

// inJSON is a text as it stands within a JSON string.
func inJSON(text []byte) []byte {
	b := appendQuoted(nil, text)
	return b[1 : len(b)-1]
}

// call is the head of a tool call.
func (c *chunks) call(b []byte) []byte {
	return fmt.Appendf(b, `"id":"chatcmpl-tool-%016x","type":"function",`, mix(c.g.request.seed))
}

// reasoning is a member with what was thought, under the names of the release.
func (c *chunks) reasoning(b, text []byte) []byte {
	if c.v.has(reasoningMember) {
		b = appendQuoted(append(b, `"reasoning":`...), text)
		if c.v.has(namedParameters) {
			return b
		}
		b = append(b, ',')
	}
	return appendQuoted(append(b, `"reasoning_content":`...), text)
}

// ending is the value of finish_reason with the member stop_reason behind it.
func (p *progress) ending(b []byte) []byte {
	if p.finish == "" {
		return append(b, `null,"stop_reason":null`...)
	}
	b = appendQuoted(b, p.told())
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
	b = append(appendUsage(b, c.g, p.completed), '}')
	if c.v.has(fingerprints) {
		b = append(append(b, `,"system_fingerprint":`...), c.fingerprint...)
	}
	return append(b, "}\n\n"...)
}

// runningUsage is the usage so far, where the client asked for it in every event.
func (c *chunks) runningUsage(b []byte, completed int) []byte {
	if !c.g.continuousUsage {
		return b
	}
	b = appendUsage(append(b, `,"usage":`...), c.g, completed)
	if c.g.chat && c.v.has(newestMembers) {
		b = append(b, `,"completion_tokens_details":null`...)
	}
	return append(b, '}')
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

// whole is an answer in one body. All members are there, the empty ones too.
func (c *chunks) whole(p *progress, thought, text []byte, tokens []int) []byte {
	v, r := c.v, c.g.request
	member := func(b []byte, since release, text string) []byte {
		if v.has(since) {
			b = append(b, text...)
		}
		return b
	}
	b := slices.Clone(c.head)
	if c.g.chat {
		thoughts := []byte("null")
		if c.g.think > 0 {
			thoughts = quoted(thought)
		}
		b = append(b, `{"index":0,"message":{"role":"assistant"`...)
		if !v.has(openAIMembers) {
			b = append(append(b, `,"reasoning_content":`...), thoughts...)
		}
		b = append(b, `,"content":`...)
		if c.g.tool != "" {
			b = append(b, "null"...)
		} else {
			b = appendQuoted(b, text)
		}
		b = member(b, openAIMembers, `,"refusal":null,"annotations":null,"audio":null,"function_call":null`)
		switch {
		case c.g.tool != "":
			arguments := slices.Concat([]byte(callHead), inJSON(text), []byte(callTail))
			b = appendQuoted(append(c.call(append(b, `,"tool_calls":[{`...)), `"function":{"name":`...), c.g.tool)
			b = append(appendQuoted(append(b, `,"arguments":`...), arguments), "}}]"...)
		case !v.has(fingerprints):
			b = append(b, `,"tool_calls":[]`...)
		}
		b = member(b, reasoningMember, `,"reasoning":`+string(thoughts))
		if v.has(openAIMembers) && !v.has(namedParameters) {
			b = append(append(b, `,"reasoning_content":`...), thoughts...)
		}
		b = append(b, '}')
	} else {
		b = appendQuoted(append(b, `{"index":0,"text":`...), text)
	}
	b = p.ending(append(b, `,"logprobs":null,"finish_reason":`...))
	if v.has(tokenIDMembers) {
		b = c.ids(append(b, `,"token_ids":`...), tokens)
	}
	if !c.g.chat {
		b = append(b, `,"prompt_logprobs":null`...)
		if v.has(tokenIDMembers) {
			b = c.ids(append(b, `,"prompt_token_ids":`...), r.prompt)
		}
	}
	b = append(member(b, newestMembers, `,"routed_experts":null`), `}]`...)
	b = member(b, openAIMembers, `,"service_tier":null,"system_fingerprint":`)
	switch {
	case v.has(fingerprints):
		b = append(b, c.fingerprint...)
	case v.has(openAIMembers):
		b = append(b, "null"...)
	}
	b = append(appendUsage(append(b, `,"usage":`...), c.g, p.completed), `,"prompt_tokens_details":null`...)
	b = append(member(b, newestMembers, `,"completion_tokens_details":null`), '}')
	if c.g.chat {
		b = append(b, `,"prompt_logprobs":null`...)
		if v.has(tokenIDMembers) {
			b = c.ids(append(b, `,"prompt_token_ids":`...), r.prompt)
		}
		b = member(b, newestMembers, `,"prompt_text":null`)
	}
	b = member(b, openAIMembers, `,"kv_transfer_params":null`)
	return append(member(b, newestMembers, `,"ec_transfer_params":null,"metrics":null`), '}')
}
