package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"strings"
	"testing"
)

// picture is a PNG of one pixel as a data URI.
func picture(t *testing.T, shade byte) string {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 1, 1))
	img.Pix[0] = shade
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
}

// TestImagesCostTokens: each image costs 260 tokens of Gemma 3, one that was seen before comes from the prefix cache, another does
// not, and a model that sees nothing refuses.
func TestImagesCostTokens(t *testing.T) {
	body := func(uris ...string) string {
		parts := []string{`{"type":"text","text":"the"}`}
		for _, uri := range uris {
			parts = append(parts, fmt.Sprintf(`{"type":"image_url","image_url":{"url":"%s"}}`, uri))
		}
		return fmt.Sprintf(`{"messages":[{"role":"user","content":[%s]}],"max_tokens":1}`, strings.Join(parts, ","))
	}
	bubble(t, "sim:gpu=h100-sxm,model=google/gemma-3-4b-it", func(t *testing.T, s *Server) {
		var log bytes.Buffer
		s.LogRequests(&log)
		one, two := picture(t, 1), picture(t, 2)
		for _, uris := range [][]string{{}, {one}, {one}, {two}, {two, one}} {
			if got := raw(t, s, "POST", chatPath, body(uris...), jsonType); !strings.Contains(got, fmt.Sprintf(`"prompt_tokens":%d,`, 10+260*len(uris))) {
				t.Errorf("%d images: %s", len(uris), got)
			}
		}
		// The third has all whole blocks of the second before its last token; the last those of the fourth's image.
		if cached := cachedTokens(t, log.Bytes()); fmt.Sprint(cached) != "[0 0 256 0 256]" {
			t.Errorf("from the prefix cache came %v", cached)
		}
		for _, bad := range []string{"http://elsewhere/x.png", "data:image/png;base64,AAAA", "data:image/png;base64,%"} {
			if got := raw(t, s, "POST", chatPath, body(bad), jsonType); !strings.HasPrefix(got, "HTTP/1.1 400") {
				t.Errorf("%s: %s", bad, got)
			}
		}
	})
	bubble(t, "sim:gpu=h100-sxm,model=google/gemma-3-1b-it", func(t *testing.T, s *Server) {
		if got := raw(t, s, "POST", chatPath, body(picture(t, 1)), jsonType); !strings.HasPrefix(got, "HTTP/1.1 400") || !strings.Contains(got, "not a multimodal model") {
			t.Error(got)
		}
	})
}

// cachedTokens are what each request of a log found in the prefix cache.
func cachedTokens(t *testing.T, log []byte) (out []int) {
	t.Helper()
	for _, e := range logFrom(t, log) {
		out = append(out, e.CachedTokens)
	}
	return out
}

// TestAdapters: they are listed as children of the model, answer under their names, and share no prefix with each other.
func TestAdapters(t *testing.T) {
	bubble(t, "sim:gpu=h100-sxm,model=google/gemma-3-1b-it,lora-modules=sql+chat", func(t *testing.T, s *Server) {
		var log bytes.Buffer
		s.LogRequests(&log)
		if got := raw(t, s, "GET", "/v1/models", ""); strings.Count(got, `"parent":"`+s.ServedModel()+`"`) != 2 || !strings.Contains(got, `"id":"sql"`) {
			t.Error(got)
		}
		prompt := strings.Repeat(" the", 40)
		for _, model := range []string{s.ServedModel(), "sql", "chat", "sql"} {
			if got := raw(t, s, "POST", completionsPath, fmt.Sprintf(`{"model":"%s","prompt":"%s","max_tokens":1}`, model, prompt), jsonType); !strings.Contains(got, `"model":"`+model+`"`) {
				t.Errorf("%s: %s", model, got)
			}
		}
		if got := raw(t, s, "POST", completionsPath, `{"model":"law","prompt":"x"}`, jsonType); !strings.HasPrefix(got, "HTTP/1.1 404") {
			t.Error(got)
		}
		if cached := cachedTokens(t, log.Bytes()); fmt.Sprint(cached) != "[0 0 0 32 0]" {
			t.Errorf("from the prefix cache came %v", cached)
		}
	})
}

// TestToolCalls: pieces add up to one call with JSON as its arguments, streamed or not, in every version, with reasoning before it
// where that was asked for.
func TestToolCalls(t *testing.T) {
	for _, version := range []string{"0.8.5", "0.12.0", "0.32.0"} {
		bubble(t, "sim:reasoning=0.25,version="+version, func(t *testing.T, s *Server) {
			const ask = `{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}],"max_tokens":20,"ignore_eos":true`
			var name, arguments, thought string
			for line := range strings.Lines(raw(t, s, "POST", chatPath, ask+`,"stream":true}`, jsonType)) {
				data, ok := strings.CutPrefix(line, "data: {")
				if !ok {
					continue
				}
				var c struct {
					Choices []struct {
						Delta struct {
							Reasoning        string
							ReasoningContent string `json:"reasoning_content"`
							Content          string
							ToolCalls        []struct {
								Function struct{ Name, Arguments string }
							} `json:"tool_calls"`
						}
					}
				}
				if err := json.Unmarshal([]byte("{"+data), &c); err != nil {
					t.Fatalf("%s: %v", data, err)
				}
				for _, choice := range c.Choices {
					d := choice.Delta
					if parseRelease(version).has(reasoningMember) {
						thought += d.Reasoning
					} else {
						thought += d.ReasoningContent
					}
					for _, call := range d.ToolCalls {
						name, arguments = name+call.Function.Name, arguments+call.Function.Arguments
					}
					if d.Content != "" {
						t.Errorf("%s: content %q", version, d.Content)
					}
				}
			}
			var args map[string]string
			if name != "f" || thought == "" || json.Unmarshal([]byte(arguments), &args) != nil || args["text"] == "" {
				t.Errorf("%s: calls %q with %q after %q", version, name, arguments, thought)
			}
			var whole struct {
				Choices []struct {
					Message struct {
						Reasoning        string
						ReasoningContent string `json:"reasoning_content"`
						ToolCalls        []struct {
							Function struct{ Name, Arguments string }
						} `json:"tool_calls"`
					}
				}
			}
			answer := raw(t, s, "POST", chatPath, ask+"}", jsonType)
			if err := json.Unmarshal([]byte(answer[strings.Index(answer, "\r\n\r\n"):]), &whole); err != nil {
				t.Fatalf("%s: %v", answer, err)
			}
			m := whole.Choices[0].Message
			if len(m.ToolCalls) != 1 || m.ToolCalls[0].Function.Name != "f" || json.Unmarshal([]byte(m.ToolCalls[0].Function.Arguments), &args) != nil || m.Reasoning+m.ReasoningContent == "" {
				t.Errorf("%s: %s", version, answer)
			}
		})
	}
	bubble(t, "sim:", func(t *testing.T, s *Server) {
		if got := raw(t, s, "POST", chatPath, `{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none","max_tokens":5}`, jsonType); strings.Contains(got, `"name":"f"`) {
			t.Error(got)
		}
	})
}
