package load

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestReadDataset(t *testing.T) {
	for _, c := range []struct {
		file, format string
		lines        []int
		last         []string // content of the last message
		output       []int
		turns        []int
		reply        string // of the first
	}{
		{"testdata/chats.jsonl", Custom, []int{1, 2, 3, 4, 5, 6}, []string{"Why is", "List", "What is a light", "It is two", "한국어로", "Write"},
			[]int{40, 0, 25, 30, 12, 60}, []int{1, 1, 2, 3, 1, 1}, ""},
		{"testdata/talks.json", ShareGPT, []int{2, 5, 10}, []string{"How do I", "Name a river", "What does"}, []int{0, 0, 0}, []int{1, 1, 1}, "Fold the sheet"},
	} {
		text, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		d, err := ReadDataset(c.format, false, strings.NewReader(string(text)))
		if err != nil || len(d.Bad) != 0 || len(d.Samples) != len(c.lines) || d.SHA256 != fmt.Sprintf("%x", sha256.Sum256(text)) {
			t.Fatalf("%s: %+v, %v", c.file, d, err)
		}
		for i, s := range d.Samples {
			if last := s.Messages[len(s.Messages)-1]; s.Line != c.lines[i] || !strings.HasPrefix(last.Content, c.last[i]) || s.OutputTokens != c.output[i] || len(s.Messages) != c.turns[i] {
				t.Errorf("%s, sample %d: %+v", c.file, i, s)
			}
		}
		if !strings.HasPrefix(d.Samples[0].Reply, c.reply) || (c.reply == "") != (d.Samples[0].Reply == "") {
			t.Errorf("%s: reply %q", c.file, d.Samples[0].Reply)
		}
	}
}

// TestBadLines: each is named by its line with what is wrong, and the good ones around it are read.
func TestBadLines(t *testing.T) {
	good := `{"prompt": "a"}`
	huge := `{"prompt": "` + strings.Repeat("x", maxSampleBytes) + `"}`
	for bad, why := range map[string]string{
		"": "empty", "  \t": "empty", "nonsense": "no JSON object", `{"prompt": 7}`: "no JSON object", `{"prompt": "a"`: "no JSON object",
		`{"text": "a"}`: "neither prompt nor messages", `{"prompt": ""}`: "the prompt is empty", `{"prompt": "a", "messages": []}`: "a prompt and messages",
		`{"messages": []}`: "neither", `{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}`: "no text",
		`{"messages": [{"role": "tool", "content": "x"}]}`: `which call it answers`, `{"messages": [{"role": "assistant", "content": "x"}]}`: "not of the user",
		`{"prompt": "a", "output_tokens": 0}`: "0 output tokens", "{\"prompt\": \"\xff\"}": "not UTF-8", huge: "longer than",
	} {
		for _, end := range []string{"\n", "\r\n"} {
			d, err := ReadDataset(Custom, false, strings.NewReader(strings.Join([]string{good, bad, good}, end)))
			if err != nil || len(d.Bad) != 1 || d.Bad[0].Line != 2 || !strings.Contains(d.Bad[0].Why, why) || len(d.Samples) != 2 || d.Samples[1].Line != 3 {
				t.Errorf("%.40q: %v, want %q", bad, err, why)
				if d != nil {
					t.Errorf("%+v, %d samples", d.Bad, len(d.Samples))
				}
			}
		}
	}
	entry := `{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}`
	for bad, why := range map[string]string{
		`{"conversations": []}`: "question and its answer", `{"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "q"}]}`: "question and its answer",
		`{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": ""}]}`: "the answer is empty", `7`: "no conversation",
		`{"conversations": [{"from": "human", "value": " "}, {"from": "gpt", "value": "a"}]}`: "the prompt is empty",
	} {
		d, err := ReadDataset(ShareGPT, false, strings.NewReader("[\n"+entry+",\n"+bad+",\n"+entry+"]"))
		if err != nil || len(d.Bad) != 1 || d.Bad[0].Line != 3 || !strings.Contains(d.Bad[0].Why, why) || len(d.Samples) != 2 || d.Samples[1].Line != 4 {
			t.Errorf("%s: %+v, %v", bad, d, err)
		}
	}
	for text, why := range map[string]string{"": "does not begin", "{}": "does not begin", "[]": "no request", "[\n" + entry: "torn", "[\n" + entry + ",\n{": "unexpected EOF"} {
		if d, err := ReadDataset(ShareGPT, false, strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %+v, %v", text, d, err)
		}
	}
	if _, err := ReadDataset(Custom, false, strings.NewReader("")); err == nil {
		t.Error("an empty file was taken")
	}
	if _, err := ReadDataset(Custom, false, strings.NewReader(strings.Repeat("x\n", maxBadLines+2))); err == nil || !strings.Contains(err.Error(), "the first is line 1") {
		t.Errorf("a file of another format: %v", err)
	}
	if _, err := ReadDataset("sonnet", false, strings.NewReader(good)); err == nil {
		t.Error("a format that does not exist was taken")
	}
}

// TestReadConversations: every answer ends a turn; what stands before the first question goes with it.
func TestReadConversations(t *testing.T) {
	text, err := os.ReadFile("testdata/talks.json")
	if err != nil {
		t.Fatal(err)
	}
	d, err := ReadDataset(ShareGPT, true, strings.NewReader(string(text)))
	if err != nil || len(d.Samples) != 3 || len(d.Samples[0].More) != 0 || len(d.Samples[1].More) != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	if m := d.Samples[1].More[0]; m.Messages[0].Content != "And a second one?" || m.Reply != "The Nakdong." || len(m.Messages) != 1 {
		t.Errorf("%+v", m)
	}
	system, user, answer := `{"role":"system","content":"s"}`, `{"role":"user","content":"q"}`, `{"role":"assistant","content":"a"}`
	for messages, want := range map[string]string{
		system + "," + user:                              "2/",
		user + "," + answer + "," + user:                 "1/a 1/",
		user + "," + answer + "," + user + "," + answer:  "1/a 1/a",
		user + "," + user + "," + answer + "," + user:    "2/a 1/",
		answer + "," + user:                              "!a question is due",
		system:                                           "!not of the user",
		user + "," + answer + "," + answer + "," + user:  "!a question is due",
		user + `,{"role":"assistant","tool_calls":[{}]}`: "!calls tools",
	} {
		d, err := ReadDataset(Custom, true, strings.NewReader(`{"messages":[`+messages+`],"max_tokens":7}`))
		if err != nil {
			t.Fatal(err)
		}
		if why, refused := strings.CutPrefix(want, "!"); refused {
			if len(d.Bad) != 1 || !strings.Contains(d.Bad[0].Why, why) {
				t.Errorf("%s: %+v, want %q", messages, d.Bad, why)
			}
			continue
		}
		var got []string
		for _, s := range d.Samples {
			for _, turn := range append([]Turn{s.Turn}, s.More...) {
				got = append(got, fmt.Sprintf("%d/%s", len(turn.Messages), turn.Reply))
				if turn.OutputTokens != 7 {
					t.Errorf("%s: %+v", messages, turn)
				}
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %+v, want %s", messages, got, d.Bad, want)
		}
	}
}

// TestReadTools: tools and what only some messages have are sent as they stand.
func TestReadTools(t *testing.T) {
	text, err := os.ReadFile("testdata/tools.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	d, err := ReadDataset(Custom, false, strings.NewReader(string(text)))
	if err != nil || len(d.Bad) != 0 || len(d.Samples) != 4 {
		t.Fatalf("%+v, %v", d, err)
	}
	s := d.Samples[1]
	if len(s.Tools) == 0 || string(s.ToolChoice) != `"auto"` || s.Messages[0].Raw != nil || s.Messages[1].Raw == nil || s.Messages[2].Raw == nil || s.Messages[2].Role != "tool" {
		t.Errorf("%+v", s)
	}
	if d.Samples[3].Tools != nil || d.Samples[2].Messages[1].Raw != nil || d.Samples[2].Messages[1].Content != "Which bus goes to the harbour?" {
		t.Errorf("%+v", d.Samples[2:])
	}
	for bad, why := range map[string]string{
		`"tools":{}`: "no list of functions", `"tools":[]`: "no list of functions", `"tools":[{"type":"function"}]`: "no list of functions", `"tools":[7]`: "no list of functions",
	} {
		d, err := ReadDataset(Custom, false, strings.NewReader(`{"prompt":"q",`+bad+`}`))
		if err != nil || len(d.Bad) != 1 || !strings.Contains(d.Bad[0].Why, why) {
			t.Errorf("%s: %+v, %v", bad, d, err)
		}
	}
	if d, err := ReadDataset(Custom, true, strings.NewReader(`{"prompt":"q","tools":[{"function":{"name":"f"}}]}`)); err != nil || len(d.Bad) != 1 || !strings.Contains(d.Bad[0].Why, "offers tools") {
		t.Errorf("tools in a conversation: %+v, %v", d, err)
	}
}

// FuzzReadDataset: whatever the bytes, no sample is without a question, and lines ascend.
func FuzzReadDataset(f *testing.F) {
	for _, name := range []string{"testdata/chats.jsonl", "testdata/talks.json", "testdata/mooncake.jsonl", "testdata/azure.csv"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("{\"body\": {\"body\": {}}}\n\n[{}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, format := range []string{Custom, ShareGPT, Mooncake, Azure} {
			for _, whole := range []bool{false, true} {
				d, err := ReadDataset(format, whole, strings.NewReader(string(text)))
				if err != nil {
					continue
				}
				last := 0
				for _, s := range d.Samples {
					if IsTrace(format) {
						if s.Line <= last || s.PromptTokens < 1 || s.OutputTokens < 1 || s.At != s.At {
							t.Errorf("%s: %+v after line %d", format, s, last)
						}
						last = s.Line
						continue
					}
					if s.Line < last || !whole && len(s.More) > 0 {
						t.Errorf("%s: %+v after line %d", format, s, last)
					}
					for _, turn := range append([]Turn{s.Turn}, s.More...) {
						if err := checkQuestion(turn.Messages); err != nil {
							t.Errorf("%s: %+v: %v", format, turn, err)
						}
					}
					last = s.Line
				}
			}
		}
	})
}
