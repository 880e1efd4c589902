package load

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func readTrace(t *testing.T, format, text string) *Dataset {
	t.Helper()
	d, err := ReadDataset(format, false, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestReadTraces: both formats as they are published, in any order of lines, with the trace's own times between requests.
func TestReadTraces(t *testing.T) {
	moon := readTrace(t, Mooncake, `{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47, 2353]}
{"timestamp": 30535, "input_length": 6472, "output_length": 26, "hash_ids": [46, 47, 2366]}
{"timestamp": 27482.5, "input_length": 12, "output_length": 1}
`)
	for _, lines := range []string{
		"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n2023-11-16 18:17:04.0319600,3180,8\n",
		"TIMESTAMP,ContextTokens,GeneratedTokens\r\n2024-05-10 00:00:00.009930+00:00,4808,10\r\n2024-05-10 02:00:00.061930+02:00,3180,8",
	} {
		cloud := readTrace(t, Azure, lines)
		if len(cloud.Bad) > 0 || len(cloud.Samples) != 2 || cloud.Samples[1].PromptTokens != 3180 || cloud.Samples[1].OutputTokens != 8 || cloud.Samples[0].Line != 2 {
			t.Fatalf("%+v", cloud)
		}
		if due := Instants(cloud.Samples, 2); due[0] != 0 || (due[1]-104*time.Millisecond).Abs() > time.Microsecond {
			t.Errorf("%v", due)
		}
	}
	if len(moon.Bad) > 0 || len(moon.Samples) != 3 || moon.Samples[0].PromptTokens != 6955 {
		t.Fatalf("%+v", moon)
	}
	due := Instants(moon.Samples, 0.001)
	if !slices.Equal(due, []time.Duration{0, 500 * time.Microsecond, 3053 * time.Millisecond}) || moon.Samples[1].Line != 3 || moon.Samples[2].Line != 2 {
		t.Errorf("%v, %+v", due, moon.Samples)
	}
	if got := CommonTokens(moon.Samples, 512); got != 1024 { // two blocks of the first, and not its third
		t.Errorf("%d tokens in common", got)
	}
}

func TestBadTraceLines(t *testing.T) {
	good := `{"timestamp": 1, "input_length": 5, "output_length": 5, "hash_ids": [1]}` + "\n"
	for _, c := range []struct{ format, lines, says string }{
		{Mooncake, good + "{", "no JSON"},
		{Mooncake, good + `{"timestamp": 1, "input_length": 5}`, "output_length"},
		{Mooncake, good + `{"timestamp": 1, "input_length": 0, "output_length": 5}`, "0 tokens"},
		{Mooncake, good + `{"timestamp": 1, "input_length": 5, "output_length": 0}`, "0 output tokens"},
		{Mooncake, good + `{"timestamp": 1e300, "input_length": 5, "output_length": 5}`, "time"},
		{Mooncake, good + `{"timestamp": 1, "input_length": 5, "output_length": 5, "hash_ids": [[]]}`, "hash id"},
		{Mooncake, good + "\n", "empty"},
		{Mooncake, good + "\xff", "UTF-8"},
		{Azure, "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16,5,5", "time"},
		{Azure, "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,5", "2 cells"},
		{Azure, "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,5,x", "numbers"},
		{Azure, "a,b,c\n", "TIMESTAMP"},
	} {
		d := readTrace(t, c.format, c.lines)
		if len(d.Bad) != 1 || d.Bad[0].Line != strings.Count(strings.TrimSuffix(c.lines, "\n"), "\n")+1-strings.Count(c.lines, "a,b,c") && c.says != "TIMESTAMP" || !strings.Contains(d.Bad[0].Why, c.says) {
			t.Errorf("%q: %+v, want %q", c.lines, d.Bad, c.says)
		}
	}
}

// TestMakeBlocks: prompts of one block name begin alike as far as the names go and no further, each exactly as long as asked.
func TestMakeBlocks(t *testing.T) {
	text, err := os.ReadFile("testdata/mooncake.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	const block, longer = 64, 12
	counter := &tokenizer{cost: tokenizers["each word is one token"], template: 8}
	p := newPrompts(t, counter, Options{})
	costly := newPrompts(t, counter, Options{CostlyCounts: true})
	var prompts [][]string
	d := readTrace(t, Mooncake, string(text))
	for i, s := range d.Samples {
		tokens := s.PromptTokens/8 + longer // blocks of an eighth
		prompt, err := p.MakeBlocks(t.Context(), s.Blocks, block, tokens, Key{Test: "trace", Index: i})
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := counter.CountTokens(context.Background(), prompt); n != tokens {
			t.Fatalf("%d tokens, asked were %d", n, tokens)
		}
		counted := counter.counts
		if uncounted, err := costly.MakeBlocks(t.Context(), s.Blocks, block, tokens, Key{Test: "trace", Index: i}); err != nil || uncounted != prompt || counter.counts != counted {
			t.Fatalf("where counts are costly it is another prompt, or %d counts were made: %v", counter.counts-counted, err)
		}
		prompts = append(prompts, strings.Fields(prompt))
	}
	for i, a := range d.Samples {
		for j, b := range d.Samples[:i] {
			want := 1 + commonLead(a.Blocks, b.Blocks)*block // the first letter, and whole blocks
			want = min(want, len(prompts[i]), len(prompts[j]))
			if got := commonLead(prompts[i], prompts[j]); got < want || got > want+3 { // words may be equal by chance
				t.Fatalf("prompts %d and %d have %d words in common, by their blocks %d", i, j, got, want)
			}
		}
	}
}

func commonLead(a, b []string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
