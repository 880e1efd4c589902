package vllm

import (
	"encoding/json"
	"reflect"
	"testing"
)

// TestBodies: what a request holds stands in its body as OpenAI's API has it, and nothing beside it.
func TestBodies(t *testing.T) {
	c := newClient(t, Options{BaseURL: "http://localhost:1"})
	user := Message{Role: "user", Content: "q"}
	tools := json.RawMessage(`[{"type":"function","function":{"name":"f"}}]`)
	for _, x := range []struct {
		g    Generate
		want map[string]string // members and their JSON; "" for absent
	}{
		{Generate{Endpoint: Completions, Prompt: "p"}, map[string]string{"prompt": `"p"`, "model": `"gemma-12b"`, "messages": ""}},
		{Generate{Endpoint: Completions, PromptIDs: []int{7, 1000, 3}, Model: "sql"}, map[string]string{"prompt": `[7,1000,3]`, "model": `"sql"`}},
		{Generate{Endpoint: Chat, Prompt: "p"}, map[string]string{"messages": `[{"role":"user","content":"p"}]`, "tools": "", "tool_choice": "", "prompt": ""}},
		{Generate{Endpoint: Chat, Prompt: "p", Images: []string{"data:image/png;base64,AA=="}},
			map[string]string{"messages": `[{"role":"user","content":[{"type":"text","text":"p"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]`}},
		{Generate{Endpoint: Chat, Messages: []Message{user, {Role: "assistant", Content: ""}, {Role: "tool", Raw: json.RawMessage(`{"role":"tool","tool_call_id":"c","content":"x"}`)}}, Tools: tools,
			ToolChoice: json.RawMessage(`"required"`)}, map[string]string{"tools": string(tools), "tool_choice": `"required"`,
			"messages": `[{"role":"user","content":"q"},{"role":"assistant","content":""},{"role":"tool","tool_call_id":"c","content":"x"}]`}},
	} {
		x.g.MaxTokens = 3
		p, err := c.Prepare(x.g)
		if err != nil {
			t.Fatal(err)
		}
		var body map[string]json.RawMessage
		if err := json.Unmarshal(p.payload, &body); err != nil {
			t.Fatal(err)
		}
		for name, want := range x.want {
			var a, b any
			_, there := body[name]
			if there != (want != "") || there && (json.Unmarshal(body[name], &a) != nil || json.Unmarshal([]byte(want), &b) != nil || !reflect.DeepEqual(a, b)) {
				t.Errorf("%+v: %s is %s, want %s", x.g, name, body[name], want)
			}
		}
	}
	for _, g := range []Generate{{Endpoint: Chat, PromptIDs: []int{1}}, {Endpoint: Completions, Images: []string{"data:"}}, {Endpoint: Completions, Tools: tools},
		{Endpoint: Completions, Messages: []Message{user}}} {
		g.MaxTokens = 1
		if _, err := c.Prepare(g); err == nil {
			t.Errorf("%+v was prepared", g)
		}
	}
}

// TestFirsts: of thoughts, calls and answers, the first of each is stamped where it came; the text that goes into a history is
// the answer's alone.
func TestFirsts(t *testing.T) {
	for _, x := range []struct {
		name                    string
		thought, called, answer bool
		calls                   int
		text                    string
	}{
		{"047-reasoning-field", true, false, true, 0, " taps the glass"},
		{"051-tool-call-only", false, true, false, 1, ""},
		{"048-role-in-every-chunk", false, false, false, 0, "A kettle hums while rain taps the glass"},
	} {
		data, ctl := readReply(t, wireFolder, x.name)
		server := startReplay(t, func(string) ([]byte, []directive) { return data, ctl })
		c := newClient(t, Options{BaseURL: server.url()})
		p, err := c.Prepare(Generate{Endpoint: Chat, Prompt: "p", MaxTokens: 8})
		if err != nil {
			t.Fatal(err)
		}
		r, text := c.SendText(t.Context(), p)
		if !r.Success || (r.FirstReasoningNS != nil) != x.thought || (r.FirstToolCallNS != nil) != x.called || (r.FirstAnswerNS != nil) != x.answer || r.ToolCalls != x.calls || text != x.text {
			t.Errorf("%s: %+v, text %q", x.name, r, text)
		}
		first := r.FirstAnswerNS
		if x.thought {
			if *r.FirstReasoningNS > *first {
				t.Errorf("%s: the answer came before the thought", x.name)
			}
			first = r.FirstReasoningNS
		}
		if x.called {
			first = r.FirstToolCallNS
		}
		if first != nil && *first != *r.FirstTextNS {
			t.Errorf("%s: first text at %d, first of its kinds at %d", x.name, *r.FirstTextNS, *first)
		}
		if again := c.Send(t.Context(), p); again.CountedTokens != r.CountedTokens || again.ContentEvents != r.ContentEvents {
			t.Errorf("%s: %d tokens with the text kept, %d without", x.name, r.CountedTokens, again.CountedTokens)
		}
	}
}

// TestReasoningTokens: usage may say how much of an answer was reasoning.
func TestReasoningTokens(t *testing.T) {
	var c chunk
	if !c.parse([]byte(`{"choices":[],"usage":{"completion_tokens":9,"completion_tokens_details":{"audio_tokens":1,"reasoning_tokens":5},"prompt_tokens_details":null}}`)) ||
		!c.hasThought || c.thought != 5 || c.hasCached {
		t.Errorf("%+v", c)
	}
}
