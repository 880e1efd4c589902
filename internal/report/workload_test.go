package report

import (
	"bytes"
	"strings"
	"testing"

	"bench/internal/record"
)

// loaded is an input whose one test has what only some workloads have.
func loaded(t testing.TB) Input {
	in := one(t)
	d := &record.Distribution{N: 40, Mean: 123.4, Min: 100, Max: 1500, P50: new(120.0)}
	id := strings.Repeat("c16-300-100-", 5) // 60 characters of 64
	for i := range in.Tests {
		r := &in.Tests[i]
		r.TestID = id
		r.Detail.Workload = &record.Workload{RangeRatio: 0.5, PrefixTokens: 256, Prefixes: 10, TokenIDFrom: 1000, TokenIDTo: 29_999, Conversations: 64, MinTurns: 2, MaxTurns: 8,
			TurnTokens: 60, ThinkMS: 2000, ThinkRangeRatio: 0.5, Adapters: "sql,chat", AdapterAssignment: record.AssignRandom, Images: 2, ImageSizes: "256x256:0.5,720x1280:0.5", Tools: 3}
		r.Detail.Conversations = &record.Conversations{Begun: 64, Whole: 63, NotSent: 5, HistoryTokens: 1_234_567, TemplateTokens: new(1), HistoryExact: 100, HistoryDiffers: 20, Think: d}
		r.Detail.Groups = []record.Group{{By: record.ByTurn, Name: "1", Requests: 64, Succeeded: 64, PromptTokens: new(300.0), OutputTokens: new(100.0), TTFT: d, TPOT: d, Latency: d},
			{By: record.ByTurn, Name: "2", Requests: 64, Succeeded: 63, PromptTokens: new(500.0), CachedTokens: new(384.0), OutputTokens: new(100.0), TTFT: d, TPOT: d, Latency: d},
			{By: record.ByAdapter, Name: "an-adapter-with-a-long-name", Requests: 64}}
		r.Detail.Images = &record.Images{Requests: 60, Images: 130, Tokens: 33_800, PerImageMin: new(256.0), PerImageMax: new(260.0)}
		r.Detail.Reasoning = &record.Reasoning{Requests: 60, Unanswered: 2, Thought: d, Answer: d}
		r.Detail.ToolCalls = &record.ToolCalls{Offered: 64, Requests: 60, Calls: 61, First: d}
	}
	return in
}

// TestWorkloadsAreShown: what requests were and what came of it stands in every form, in both languages; absent is not zero.
func TestWorkloadsAreShown(t *testing.T) {
	in := loaded(t)
	var text bytes.Buffer
	if err := Text(&text, in, 100, false); err != nil {
		t.Fatal(err)
	}
	for _, lang := range []string{English, Korean} {
		files := map[string]string{}
		if _, err := WriteAll(func(name string, data []byte) error { files[name] = string(data); return nil }, in, lang); err != nil {
			t.Fatal(err)
		}
		if lang == English {
			files["text"] = text.String()
		}
		for name, content := range files {
			if !strings.HasSuffix(name, ".html") && !strings.HasSuffix(name, ".md") && name != "text" {
				continue
			}
			for _, w := range []record.Text{wWorkloads, wTalks, wNotSent, wImages, wPerImage, wReasoning, wCalls, wCached} {
				if first := strings.Fields(w.In(lang))[0]; !strings.Contains(content, first) {
					t.Errorf("%s: %q is missing", name, first)
				}
			}
			for _, figure := range []string{"1,234,567", "33,800", "256–260", "384", "sql, chat", "1000", "2–8"} {
				if !strings.Contains(strings.Join(strings.Fields(content), " "), figure) {
					t.Errorf("%s: %s is missing", name, figure)
				}
			}
		}
	}
	for line := range strings.Lines(text.String()) {
		if strings.HasPrefix(line, "an-adapter") && strings.Count(line, unknown) < 6 {
			t.Errorf("what is not known is shown: %s", line)
		}
	}
}
