package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	_ "image/jpeg" // formats of images that are taken
	_ "image/png"
	"strings"
	"unicode/utf8"
)

// message is one message of a chat: texts and images in their order.
type message struct {
	role  string
	parts []part
}

// part is a text, or an image by the hash of its bytes.
type part struct {
	text    string
	picture uint64 // 0 for a text
}

// text is a message's text without its images.
func (m message) text() string {
	var b strings.Builder
	for _, p := range m.parts {
		b.WriteString(p.text)
	}
	return b.String()
}

// messages reads a chat. A content is a text or a list of texts and images; sound and video are refused. Calls of tools in an
// answer that is given count as its text.
func (f fields) messages() ([]message, *apiError) {
	if _, ok := f["messages"]; !ok {
		return nil, f.missing("messages")
	}
	var list []struct {
		Role      string          `json:"role"`
		Content   json.RawMessage `json:"content"`
		ToolCalls json.RawMessage `json:"tool_calls"`
	}
	if json.Unmarshal(f["messages"], &list) != nil {
		return nil, f.wrongType("messages", "list_type", "Input should be a valid list")
	}
	if len(list) == 0 {
		return nil, badRequest("", "Cannot apply chat template to an empty conversation. Provide at least one message.")
	}
	var out []message
	for _, m := range list {
		parts, bad := f.content(m.Content)
		if bad != nil {
			return nil, bad
		}
		if len(m.ToolCalls) > 0 && string(m.ToolCalls) != "null" {
			parts = append(parts, part{text: string(m.ToolCalls)})
		}
		out = append(out, message{m.Role, parts})
	}
	return out, nil
}

func (f fields) content(raw json.RawMessage) ([]part, *apiError) {
	var text string
	if len(raw) == 0 || json.Unmarshal(raw, &text) == nil {
		return []part{{text: text}}, nil
	}
	var list []struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		ImageURL struct {
			URL string `json:"url"`
		} `json:"image_url"`
	}
	if json.Unmarshal(raw, &list) != nil {
		return nil, f.wrongType("messages", "string_type", "Input should be a valid string")
	}
	var parts []part
	for _, p := range list {
		switch p.Type {
		case "text":
			parts = append(parts, part{text: p.Text})
		case "image_url":
			hash, bad := readImage(p.ImageURL.URL)
			if bad != nil {
				return nil, bad
			}
			parts = append(parts, part{picture: hash})
		default:
			return nil, unsupported("messages", "content of type "+p.Type)
		}
	}
	return parts, nil
}

// readImage reads the head of an image given as a data URI and returns a hash of its bytes, which is never 0.
func readImage(uri string) (uint64, *apiError) {
	_, data, ok := strings.Cut(uri, ";base64,")
	if !ok || !strings.HasPrefix(uri, "data:image/") {
		return 0, unsupported("messages", "an image that is no data URI")
	}
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return 0, badRequest("", "Failed to load image: %v", err)
	}
	if _, _, err := image.DecodeConfig(bytes.NewReader(raw)); err != nil {
		return 0, badRequest("", "Failed to load image: %v", err)
	}
	return hashText(0, string(raw)) | 1, nil
}

// chat is what a chat asks the engine to read.
type chat struct {
	messages []message
	tools    string // as JSON; "" for none
}

// images is how many images the messages have.
func (c chat) images() int {
	n := 0
	for _, m := range c.messages {
		for _, p := range m.parts {
			if p.picture != 0 {
				n++
			}
		}
	}
	return n
}

func (c chat) textLength() int {
	n := utf8.RuneCountInString(c.tools)
	for _, m := range c.messages {
		for _, p := range m.parts {
			n += utf8.RuneCountInString(p.text)
		}
	}
	return n
}

// readChat reads the messages and tools of a request, and refuses images that the model cannot see.
func (s *Server) readChat(f fields) (c chat, bad *apiError) {
	if c.messages, bad = f.messages(); bad != nil {
		return c, bad
	}
	if f.given("tools") && string(f["tools"]) != "[]" {
		var compact bytes.Buffer
		if json.Compact(&compact, f["tools"]) == nil {
			c.tools = compact.String()
		}
	}
	if c.images() > 0 {
		switch v := s.config.Model.Vision; {
		case v == nil:
			return c, badRequest("", "%s is not a multimodal model", s.root)
		case v.TokensPerImage != imageTokens:
			return c, unsupported("messages", "images of "+s.root+": it knows what those of Gemma 3 cost")
		}
	}
	return c, nil
}

// function is a tool, or the choice of one.
type function struct {
	Function struct {
		Name string `json:"name"`
	} `json:"function"`
}

// readTools is how many functions a request offers and which one its answer calls: the one it must, else the first; "" for
// none.
func readTools(f fields) (offered int, called string) {
	var tools []function
	var choice string
	var named function
	_ = json.Unmarshal(f["tools"], &tools) // what is none offers none
	if json.Unmarshal(f["tool_choice"], &choice) == nil && choice == "none" || len(tools) == 0 {
		return len(tools), ""
	}
	if json.Unmarshal(f["tool_choice"], &named) == nil && named.Function.Name != "" {
		return len(tools), named.Function.Name
	}
	return len(tools), tools[0].Function.Name
}

// What an image is to Gemma 3: two new lines, its begin, 256 places for what the encoder saw, its end, two new lines.
const (
	imageTokens     = 256
	tokenImageStart = 255_999
	tokenImageEnd   = 256_000
	tokenImageSoft  = 262_144
)

// chatPrompt renders messages as Gemma 3's template does: a system message is folded into the turn
// after it, texts are trimmed, and the answer's turn is opened. One user turn costs 9 tokens besides
// its text. Tools, for which that template has no place, stand before the first turn's text as they were sent.
// pictures says for each place of an image what is to be seen there.
func (t *tokenizer) chatPrompt(c chat, openAnswer bool) (ids []int, pictures map[int]uint64) {
	ids = []int{tokenBOS}
	system := c.tools
	if system != "" {
		system += "\n\n"
	}
	for _, m := range c.messages {
		if m.role == "system" {
			system += strings.TrimSpace(m.text()) + "\n\n"
			continue
		}
		role := m.role
		if role == "assistant" {
			role = "model"
		}
		ids = append(t.openTurn(ids, role), tokenNewline)
		ids = t.encode(ids, system) // it ends with new lines, so that what follows makes the same tokens by itself
		for _, p := range m.parts {
			if p.picture == 0 {
				ids = t.encode(ids, strings.TrimSpace(p.text))
				continue
			}
			if pictures == nil {
				pictures = map[int]uint64{}
			}
			ids = append(ids, tokenNewline+1, tokenImageStart)
			for range imageTokens {
				pictures[len(ids)] = p.picture
				ids = append(ids, tokenImageSoft)
			}
			ids = append(ids, tokenImageEnd, tokenNewline+1)
		}
		ids = append(ids, tokenTurnEnd, tokenNewline)
		system = ""
	}
	if openAnswer {
		ids = append(t.openTurn(ids, "model"), tokenNewline)
	}
	return ids, pictures
}

func (t *tokenizer) openTurn(ids []int, role string) []int {
	return t.encode(append(ids, tokenTurnStart), role)
}
