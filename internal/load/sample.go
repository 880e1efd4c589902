package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// request is a line of a custom dataset: vLLM's own form, OpenAI's chat request, or one of its batch files with that as body.
type request struct {
	Prompt              *string           `json:"prompt"`
	OutputTokens        *int              `json:"output_tokens"`
	Messages            []json.RawMessage `json:"messages"`
	Tools               json.RawMessage   `json:"tools"`
	ToolChoice          json.RawMessage   `json:"tool_choice"`
	MaxTokens           *int              `json:"max_tokens"`
	MaxCompletionTokens *int              `json:"max_completion_tokens"`
	Body                *request          `json:"body"`
}

// wireMessage is a message as OpenAI's API has it.
type wireMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
	// What only some messages have: where one is there the message is sent as it stands.
	Name       json.RawMessage   `json:"name"`
	ToolCalls  []json.RawMessage `json:"tool_calls"`
	ToolCallID json.RawMessage   `json:"tool_call_id"`
}

func parseCustom(line []byte, conversations bool) (Sample, error) {
	var s Sample
	if !utf8.Valid(line) {
		return s, errors.New("not UTF-8")
	}
	var r request
	if err := json.Unmarshal(line, &r); err != nil {
		return s, fmt.Errorf("no JSON object of a request: %w", err)
	}
	if r.Body != nil {
		r = *r.Body
	}
	output := 0
	for _, n := range []*int{r.OutputTokens, r.MaxTokens, r.MaxCompletionTokens} {
		if n == nil {
			continue
		}
		if *n < 1 {
			return s, fmt.Errorf("asks for %d output tokens", *n)
		}
		output = *n
	}
	var list []Message
	switch {
	case r.Prompt != nil && r.Messages != nil:
		return s, errors.New("has a prompt and messages")
	case r.Prompt != nil:
		list = []Message{{Role: "user", Content: *r.Prompt}}
	case len(r.Messages) > 0:
		for _, raw := range r.Messages {
			m, err := parseMessage(raw)
			if err != nil {
				return s, err
			}
			list = append(list, m)
		}
	default:
		return s, errors.New("has neither prompt nor messages")
	}
	if err := s.offer(r.Tools, r.ToolChoice); err != nil {
		return s, err
	}
	if conversations && s.Tools != nil {
		return s, errors.New("the conversation offers tools: nobody would answer what the server's own answers call")
	}
	if err := s.take(list, conversations); err != nil {
		return s, err
	}
	s.OutputTokens = output
	for i := range s.More {
		s.More[i].OutputTokens = output
	}
	return s, nil
}

// tool is what a request offers to the model, as far as it is checked.
type tool struct {
	Function struct {
		Name string `json:"name"`
	} `json:"function"`
}

// offer takes the tools of a request.
func (s *Sample) offer(tools, choice json.RawMessage) error {
	if len(tools) == 0 || string(tools) == "null" {
		return nil
	}
	var list []tool
	if json.Unmarshal(tools, &list) != nil || len(list) == 0 || slices.ContainsFunc(list, func(t tool) bool { return t.Function.Name == "" }) {
		return errors.New("tools is no list of functions with names")
	}
	s.Tools = tools
	if len(choice) > 0 && string(choice) != "null" {
		s.ToolChoice = choice
	}
	return nil
}

// parseMessage reads a message whose content is a text, or a list of parts that are texts.
func parseMessage(raw json.RawMessage) (Message, error) {
	var w wireMessage
	if err := json.Unmarshal(raw, &w); err != nil {
		return Message{}, fmt.Errorf("a message is none: %w", err)
	}
	m := Message{Role: w.Role}
	special := w.Role == "tool" || len(w.ToolCalls) > 0 || len(w.Name) > 0 || len(w.ToolCallID) > 0
	switch parts := []struct {
		Type string  `json:"type"`
		Text *string `json:"text"`
	}{}; {
	case len(w.Content) == 0 || string(w.Content) == "null":
		if !special {
			return m, fmt.Errorf("a message of %q has no content", w.Role)
		}
	case json.Unmarshal(w.Content, &m.Content) == nil:
	case json.Unmarshal(w.Content, &parts) == nil:
		for _, p := range parts {
			if p.Type != "text" || p.Text == nil {
				return m, fmt.Errorf("the content of a message of %q is no text but has a part of type %q", w.Role, p.Type)
			}
			m.Content += *p.Text
		}
		special = special || len(parts) > 1
	default:
		return m, fmt.Errorf("the content of a message of %q is no text", w.Role)
	}
	if special {
		m.Raw = raw
	}
	switch w.Role {
	case "system", "developer", "user", "assistant":
	case "tool":
		if len(w.ToolCallID) == 0 {
			return m, errors.New("a message of a tool does not say which call it answers (tool_call_id)")
		}
	default:
		return m, fmt.Errorf("a message has the role %q: want system, user, assistant or tool", w.Role)
	}
	return m, nil
}

// conversation is an entry of a ShareGPT file.
type conversation struct {
	Conversations []struct {
		From  string `json:"from"`
		Value string `json:"value"`
	} `json:"conversations"`
}

// shareGPTRoles are who speaks in such a file.
var shareGPTRoles = map[string]string{"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant", "system": "system"}

// parseConversation takes a conversation, or of it the first question with its answer for the length.
func parseConversation(raw []byte, whole bool) (Sample, error) {
	var s Sample
	if len(raw) > maxSampleBytes {
		return s, fmt.Errorf("longer than %d bytes", maxSampleBytes)
	}
	if !utf8.Valid(raw) {
		return s, errors.New("not UTF-8")
	}
	var c conversation
	if err := json.Unmarshal(raw, &c); err != nil {
		return s, fmt.Errorf("no conversation: %w", err)
	}
	var list []Message
	for _, turn := range c.Conversations {
		role := shareGPTRoles[turn.From]
		if role == "" {
			role = turn.From // refused where it matters
		}
		list = append(list, Message{Role: role, Content: turn.Value})
	}
	if !whole {
		if len(list) < 2 || list[0].Role != "user" || list[1].Role != "assistant" {
			return s, errors.New("does not begin with a question and its answer")
		}
		list = list[:2]
	}
	for _, m := range list {
		if m.Role != "system" && m.Role != "user" && m.Role != "assistant" {
			return s, fmt.Errorf("%q speaks in it: want human and gpt", m.Role)
		}
		if m.Role == "assistant" && m.Content == "" {
			return s, errors.New("the answer is empty")
		}
	}
	if !whole {
		s.Messages, s.Reply = list[:1], list[1].Content
		return s, checkQuestion(s.Messages)
	}
	return s, s.take(list, true)
}

// take makes turns of messages. As a single request it is all of them, and the last must be no answer. As a conversation, each
// answer ends a turn: the server will give its own.
func (s *Sample) take(list []Message, conversation bool) error {
	if !conversation {
		s.Messages = list
		return checkQuestion(list)
	}
	var turns []Turn
	var open []Message
	for _, m := range list {
		if m.Role != "assistant" {
			open = append(open, m)
			continue
		}
		if m.Raw != nil {
			return errors.New("an answer of the conversation calls tools: the server's own answer would not")
		}
		if err := checkQuestion(open); err != nil {
			return err
		}
		turns = append(turns, Turn{Messages: open, Reply: m.Content})
		open = nil
	}
	if len(open) > 0 {
		if err := checkQuestion(open); err != nil {
			return err
		}
		turns = append(turns, Turn{Messages: open})
	}
	if len(turns) == 0 {
		return errors.New("holds no question")
	}
	s.Turn, s.More = turns[0], turns[1:]
	return nil
}

// checkQuestion refuses what no server would answer.
func checkQuestion(list []Message) error {
	if len(list) == 0 {
		return errors.New("an answer stands where a question is due")
	}
	last := list[len(list)-1]
	if last.Role != "user" && last.Role != "tool" {
		return fmt.Errorf("the last message is of %q, not of the user", last.Role)
	}
	if last.Raw == nil && len(bytes.TrimSpace([]byte(last.Content))) == 0 {
		return errors.New("the prompt is empty")
	}
	return nil
}
