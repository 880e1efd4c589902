package vllm

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// events parses text in pieces: the first cut bytes, then piece bytes at a time.
func events(t testing.TB, text []byte, cut, piece int) []string {
	t.Helper()
	var p eventParser
	var out []string
	for len(text) > 0 {
		n := min(len(text), max(cut, 1))
		for b := text[:n:n]; len(b) > 0; {
			ev, used, ok, err := p.next(b)
			if err != nil {
				return append(out, err.Error())
			}
			if used == 0 {
				t.Fatal("the parser took nothing")
			}
			b = b[used:]
			if ok {
				kind := "data "
				if ev.failed {
					kind = "error "
				}
				out = append(out, kind+string(ev.data))
			}
		}
		text, cut = text[n:], piece
	}
	return out
}

func TestEventParser(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"plain", "data: a\n\ndata: b\n\n", []string{"data a", "data b"}},
		{"no blank after the colon", "data:a\n\n", []string{"data a"}},
		{"only one blank is dropped", "data:  a\n\n", []string{"data  a"}},
		{"CR LF", "data: a\r\n\r\ndata: b\r\n\r\n", []string{"data a", "data b"}},
		{"CR", "data: a\r\rdata: b\r\r", []string{"data a", "data b"}},
		{"joined", "data: a\ndata: b\n\n", []string{"data a\nb"}},
		{"mark", "\xef\xbb\xbfdata: a\n\n", []string{"data a"}},
		{"mark only at the start", "data: a\n\n\xef\xbb\xbfdata: b\n\n", []string{"data a"}},
		{"comments", ": ping\n\n:\ndata: a\n:x\n\n", []string{"data a"}},
		{"other fields", "id: 1\nretry: 5\n\nid: 2\ndata: a\n\n", []string{"data a"}},
		{"empty data is no event", "data:\n\ndata\n\ndata: a\n\n", []string{"data a"}},
		{"type error", "event: error\ndata: a\n\ndata: b\n\n", []string{"error a", "data b"}},
		{"field error", "error: a\n\n", []string{"error a"}},
		{"unfinished", "data: a\n\ndata: b\n", []string{"data a"}},
		{"unicode separators end nothing", "data: a\u2028b\u0085c\n\n", []string{"data a\u2028b\u0085c"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for piece := 1; piece <= len(tc.text); piece++ {
				if got := events(t, []byte(tc.text), piece, piece); !slices.Equal(got, tc.want) {
					t.Errorf("%d bytes at a time: %q, want %q", piece, got, tc.want)
				}
			}
		})
	}
}

func TestEventParserBounds(t *testing.T) {
	var p eventParser
	line := append([]byte("data: "), bytes.Repeat([]byte{'x'}, 1<<20)...)
	for i := range 32 {
		if _, _, _, err := p.next(line); err != nil {
			if !errors.Is(err, errEventTooLarge) || i < 8 {
				t.Fatalf("after %d MiB: %v", i, err)
			}
			return
		}
	}
	t.Fatal("a line of 32 MiB was taken")
}

func FuzzEventParser(f *testing.F) {
	f.Add([]byte("data: a\r\n\r\nevent: error\rdata:b\n\n: c\n\ndata: d\ndata: e\r\r"), 3, 5)
	f.Add([]byte("\xef\xbb\xbfdata: [DONE]\n\nerror: x\n\n"), 1, 1)
	f.Fuzz(func(t *testing.T, text []byte, cut, piece int) {
		whole := events(t, text, len(text), len(text))
		if got := events(t, text, cut, max(piece, 1)); !slices.Equal(got, whole) {
			t.Errorf("cut at %d, then by %d: %q, whole %q", cut, piece, got, whole)
		}
	})
}

func TestChunk(t *testing.T) {
	for _, tc := range []struct {
		name, text            string
		valid, token, visible bool
		finish                string
	}{
		{"opener", `{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`, true, false, false, ""},
		{"opener with null", `{"choices":[{"delta":{"role":"assistant","content":null}}]}`, true, false, false, ""},
		{"empty text is a token", `{"choices":[{"delta":{"content":""}}]}`, true, true, false, ""},
		{"role and text", `{"choices":[{"delta":{"role":"assistant","content":"a"},"finish_reason":""}]}`, true, true, true, ""},
		{"reasoning", `{"choices":[{"delta":{"reasoning":"a"}}]}`, true, true, true, ""},
		{"older reasoning", `{"choices":[{"delta":{"reasoning_content":"a"}}]}`, true, true, true, ""},
		{"tool call", `{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}`, true, true, true, ""},
		{"no tool calls", `{"choices":[{"delta":{"role":"assistant","tool_calls":[]}}]}`, true, false, false, ""},
		{"finish", `{"choices":[{"delta":{},"finish_reason":"length"}]}`, true, false, false, "length"},
		{"completion", `{"choices":[{"text":" the","finish_reason":"stop"}]}`, true, true, true, "stop"},
		{"annotation", `{"choices":[{"index":0,"finish_reason":null}]}`, true, false, false, ""},
		{"usage only", `{"choices":[],"usage":{"prompt_tokens":3}}`, true, false, false, ""},
		{"escaped name", `{"ch\u006fices":[{"delta":{"content":"a"}}]}`, true, true, true, ""},
		{"odd types", `{"id":1,"created":1.5,"choices":{"a":1},"usage":[],"x":[[{}]]}`, true, false, false, ""},
		{"cut", `{"choices":[{"delta":{"content":"a"}`, false, false, false, ""},
		{"no object", `[1]`, true, false, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var c chunk
			if valid := c.parse([]byte(tc.text)); valid != tc.valid || c.token() != tc.token || c.visible() != tc.visible || string(c.finish) != tc.finish {
				t.Errorf("valid %v, token %v, visible %v, finish %q", valid, c.token(), c.visible(), c.finish)
			}
		})
	}
}

func TestChunkFailure(t *testing.T) {
	for text, want := range map[string]string{
		`{"error":null}`:                           "",
		`{"error":{"message":"a"}}`:                "a",
		`{"error": "b"}`:                           "b",
		`{"object":"error","message":"c"}`:         "c",
		`{"error":{"code":1}}`:                     `{"code":1}`,
		`{"error":false,"choices":[]}`:             "",
		`{"object":"chat.completion.chunk","x":0}`: "",
	} {
		var c chunk
		if !c.parse([]byte(text)) || messageOf(c.failure) != want {
			t.Errorf("%s: %q, want %q", text, messageOf(c.failure), want)
		}
	}
}

// reference reads the same members with encoding/json.
func referenceChunk(data []byte) (valid bool, out chunk) {
	if !json.Valid(data) {
		return false, out
	}
	object := func(raw json.RawMessage) map[string]json.RawMessage {
		var m map[string]json.RawMessage
		json.Unmarshal(raw, &m)
		return m
	}
	list := func(raw json.RawMessage) []json.RawMessage {
		var l []json.RawMessage
		json.Unmarshal(raw, &l)
		return l
	}
	text := func(raw json.RawMessage, into *[]byte) bool {
		raw = bytes.TrimSpace(raw)
		if len(raw) == 0 || raw[0] != '"' {
			return false
		}
		if len(raw) > 2 {
			*into = raw[1 : len(raw)-1]
		}
		return true
	}
	top := object(data)
	for _, raw := range list(top["choices"]) {
		if raw = bytes.TrimSpace(raw); raw[0] != '{' {
			continue
		}
		out.choices++
		choice := object(raw)
		text(choice["finish_reason"], &out.finish)
		if text(choice["text"], &out.content) {
			out.output = true
		}
		if d := bytes.TrimSpace(choice["delta"]); len(d) > 0 && d[0] == '{' {
			out.output = true
			delta := object(d)
			var role []byte
			text(delta["role"], &role)
			out.role = out.role || role != nil
			text(delta["content"], &out.content)
			for _, call := range list(delta["tool_calls"]) {
				out.toolCalls++
				var name []byte
				if text(object(object(call)["function"])["name"], &name); name != nil {
					out.callNames++
				}
			}
		}
	}
	return true, out
}

// once says whether no object of the text names a member twice: encoding/json keeps the last one
// of two values, this scanner what both hold.
func once(data []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(data))
	type level struct {
		names map[string]bool
		name  bool // a name comes next
	}
	var stack []level
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return false
		}
		top := len(stack) - 1
		if name, ok := tok.(string); ok && top >= 0 && stack[top].names != nil && stack[top].name {
			if stack[top].names[name] {
				return false
			}
			stack[top].names[name], stack[top].name = true, false
			continue
		}
		switch tok {
		case json.Delim('{'):
			stack = append(stack, level{map[string]bool{}, true})
			continue
		case json.Delim('['):
			stack = append(stack, level{})
			continue
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
		}
		if top = len(stack) - 1; top >= 0 {
			stack[top].name = true
		}
	}
}

func FuzzChunk(f *testing.F) {
	f.Add([]byte(`{"choices":[{"index":0,"delta":{"role":"a","content":"b\u00e9\n"},"finish_reason":"stop"}],"usage":{"prompt_tokens":-1.5e3}}`))
	f.Add([]byte(` {"choices":[{"text":"","finish_reason":null},{"delta":{"tool_calls":[{}]}}], "error" : {"a":[true,false,null]}} `))
	f.Add([]byte(`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}},{"function":{"arguments":"{}"}},7]}}]}`))
	f.Add([]byte(`{"a":"\ud800","b":01}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var got chunk
		valid := got.parse(data)
		wantValid, want := referenceChunk(data)
		if valid != wantValid {
			t.Fatalf("valid %v, encoding/json says %v: %q", valid, wantValid, data)
		}
		if !valid || !once(data) || bytes.Contains(data, []byte("reasoning")) {
			return
		}
		if got.choices != want.choices || got.output != want.output || got.role != want.role || got.toolCalls != want.toolCalls || got.callNames != want.callNames ||
			!bytes.Equal(got.content, want.content) || !bytes.Equal(got.finish, want.finish) {
			t.Fatalf("%q:\n got %+v\nwant %+v", data, got, want)
		}
	})
}

func TestDeepNesting(t *testing.T) {
	for _, n := range []int{maxDepth - 1, maxDepth + 1} {
		text := `{"x":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}`
		var c chunk
		if got, want := c.parse([]byte(text)), json.Valid([]byte(text)); got != want {
			t.Errorf("depth %d: valid %v, encoding/json says %v", n, got, want)
		}
	}
}
