package vllm

// chunk is what a benchmark needs of one event's JSON. Slices point into the event's data and
// hold strings as they stand in JSON, escapes and all.
type chunk struct {
	choices   int    // objects in choices
	output    bool   // a choice has a text, or a delta with anything in it: llama.cpp's last one is empty
	role      bool   // a choice's delta names a role
	content   []byte // delta.content or text
	reasoning []byte // delta.reasoning or its older name reasoning_content
	toolCalls int    // pieces of tool calls in a choice's delta
	callNames int    // of them that name a function: a call begins
	finish    []byte // finish_reason, if neither null nor empty
	failure   []byte // raw JSON of a top-level error; the whole event for vLLM's old flat form

	prompt, completion, cached, thought             int // usage
	hasPrompt, hasCompletion, hasCached, hasThought bool
}

// visible says whether generated output that a user could see came with the chunk.
func (c *chunk) visible() bool {
	return len(c.content) > 0 || len(c.reasoning) > 0 || c.toolCalls > 0
}

// token says whether the chunk is at least one token: a choice with a delta or a text that is not
// merely a role. A token's text may be empty.
func (c *chunk) token() bool { return c.visible() || c.output && !c.role }

// parse reads data into c and says whether it is valid JSON. Members nobody needs may have any
// type; the last of several members of one name counts, as in encoding/json.
func (c *chunk) parse(data []byte) bool {
	*c = chunk{}
	s := scanner{b: data}
	if s.peek() != '{' {
		s.skip()
		return s.end()
	}
	var flat bool
	s.open()
	for k, ok := s.key(true); ok; k, ok = s.key(false) {
		switch string(k) {
		case "choices":
			c.parseChoices(&s)
		case "usage":
			c.parseUsage(&s)
		case "error":
			c.failure = failureOf(s.raw())
		case "object":
			flat = string(s.text()) == "error"
		default:
			s.skip()
		}
	}
	if !s.end() {
		*c = chunk{}
		return false
	}
	if flat && c.failure == nil {
		c.failure = data
	}
	return true
}

// failureOf is the value of an error member, or nil where it says that there is none.
func failureOf(raw []byte) []byte {
	switch string(raw) {
	case "", "null", "false", `""`:
		return nil
	}
	return raw
}

func (c *chunk) parseChoices(s *scanner) {
	c.choices, c.output, c.role, c.toolCalls, c.callNames = 0, false, false, 0, 0
	c.content, c.reasoning, c.finish = nil, nil, nil
	if s.peek() != '[' {
		s.skip()
		return
	}
	s.open()
	for ok := s.more(true, ']'); ok; ok = s.more(false, ']') {
		if s.peek() != '{' {
			s.skip()
			continue
		}
		c.choices++
		c.parseChoice(s)
	}
}

func (c *chunk) parseChoice(s *scanner) {
	s.open()
	for k, ok := s.key(true); ok; k, ok = s.key(false) {
		switch string(k) {
		case "delta":
			if s.peek() != '{' {
				s.skip()
				continue
			}
			c.parseDelta(s)
		case "text":
			if text := s.text(); text != nil {
				c.output = true
				c.content = keep(c.content, text)
			}
		case "finish_reason":
			c.finish = keep(c.finish, s.text())
		default:
			s.skip()
		}
	}
}

func (c *chunk) parseDelta(s *scanner) {
	s.open()
	for k, ok := s.key(true); ok; k, ok = s.key(false) {
		c.output = true
		switch string(k) {
		case "role":
			c.role = len(s.text()) > 0 || c.role
		case "content":
			c.content = keep(c.content, s.text())
		case "reasoning", "reasoning_content":
			c.reasoning = keep(c.reasoning, s.text())
		case "tool_calls":
			if s.peek() != '[' {
				s.skip()
				continue
			}
			s.open()
			for ok := s.more(true, ']'); ok; ok = s.more(false, ']') {
				c.toolCalls++
				c.parseCall(s)
			}
		default:
			s.skip()
		}
	}
}

// parseCall reads a piece of a tool call: the first of a call names its function, the others bring its arguments.
func (c *chunk) parseCall(s *scanner) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	s.open()
	for k, ok := s.key(true); ok; k, ok = s.key(false) {
		if string(k) != "function" || s.peek() != '{' {
			s.skip()
			continue
		}
		s.open()
		for k, ok := s.key(true); ok; k, ok = s.key(false) {
			if string(k) == "name" && len(s.text()) > 0 {
				c.callNames++
			} else if string(k) != "name" {
				s.skip()
			}
		}
	}
}

func (c *chunk) parseUsage(s *scanner) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	s.open()
	for k, ok := s.key(true); ok; k, ok = s.key(false) {
		switch string(k) {
		case "prompt_tokens":
			set(&c.prompt, &c.hasPrompt, s)
		case "completion_tokens":
			set(&c.completion, &c.hasCompletion, s)
		case "prompt_tokens_details":
			parseDetail(s, "cached_tokens", &c.cached, &c.hasCached)
		case "completion_tokens_details":
			parseDetail(s, "reasoning_tokens", &c.thought, &c.hasThought)
		default:
			s.skip()
		}
	}
}

// parseDetail takes one count of an object over.
func parseDetail(s *scanner, name string, n *int, has *bool) {
	if s.peek() != '{' {
		s.skip()
		return
	}
	s.open()
	for k, ok := s.key(true); ok; k, ok = s.key(false) {
		if string(k) == name {
			set(n, has, s)
		} else {
			s.skip()
		}
	}
}

// set takes a count over; anything else replaces nothing.
func set(n *int, has *bool, s *scanner) {
	if v, ok := s.count(); ok {
		*n, *has = v, true
	}
}

// keep prefers text that is there: null and "" replace nothing.
func keep(old, text []byte) []byte {
	if len(text) > 0 {
		return text
	}
	return old
}
