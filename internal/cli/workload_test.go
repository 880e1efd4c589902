package cli_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bench/internal/load"
	"bench/internal/record"
	"bench/internal/sim"
)

// observed runs a test against a simulator and returns what was recorded of the one test that is no baseline, and what the
// server's log has of as many requests, the latest, in order of arrival.
func observed(t *testing.T, settings string, args ...string) (record.Record, []record.Request, []sim.LogEntry) {
	t.Helper()
	s, url := simulator(t, settings)
	var log lockedBuffer
	s.LogRequests(&log)
	dir := filepath.Join(t.TempDir(), "out")
	code, _, stderr := call(t, nil, append([]string{"stress", "--base-url", url, "--runs", "1", "--cooldown", "0s", "--gpu-telemetry", "none", "--out", dir}, args...)...)
	if code != 0 {
		t.Fatalf("%v: exit code %d: %s", args, code, stderr)
	}
	if err := s.Close(); err != nil { // every line of the log is there then
		t.Fatal(err)
	}
	rec, requests := readTest(t, dir)
	var entries []sim.LogEntry
	for line := range strings.Lines(log.String()) {
		var e sim.LogEntry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b sim.LogEntry) int { return int(a.ArrivedNS - b.ArrivedNS) })
	if len(entries) < len(requests) {
		t.Fatalf("the server saw %d requests, %d are recorded", len(entries), len(requests))
	}
	return rec, requests, entries[len(entries)-len(requests):]
}

// readTest reads the one concurrent test of a folder, its requests by repeat and index.
func readTest(t *testing.T, dir string) (record.Record, []record.Request) {
	t.Helper()
	rec := readOne(t, dir, record.ConcurrentFile)
	folder, err := record.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	requests, err := folder.ReadRequests(rec.Detail.Files.Requests)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(requests, func(a, b record.Request) int { return (a.Run-b.Run)*1_000_000 + a.Index - b.Index })
	return rec, requests
}

// small is a model that answers fast.
const small = "gpu=h100-sxm,model=google/gemma-3-1b-it"

// count is how many entries are so.
func count[T any](list []T, so func(T) bool) int {
	n := 0
	for _, x := range list {
		if so(x) {
			n++
		}
	}
	return n
}

// TestTokenIDsAsTheServerSawThem: the server gets the very ids that the seed draws, and counts as many tokens.
func TestTokenIDsAsTheServerSawThem(t *testing.T) {
	rec, requests, log := observed(t, small, "--endpoint", "completions", "--prompt-token-ids", "--concurrent", "2", "--requests", "8", "--seed", "7",
		"--random-prefix-len", "32", "--random-range-ratio", "0.5", "--input-tokens", "60", "--output-tokens", "5")
	seen := map[string]int{}
	for _, e := range log {
		seen[e.PromptSHA256]++
		if e.CachedTokens != 32 { // two whole blocks are what they share, and ids that are drawn share nothing else
			t.Errorf("%d tokens came from the prefix cache", e.CachedTokens)
		}
	}
	prompts, err := load.NewPrompts(t.Context(), words{}, 7, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range requests {
		ids := prompts.MakeIDs(32, r.AskedPromptTokens, rec.Detail.Workload.TokenIDFrom, rec.Detail.Workload.TokenIDTo, load.Key{Test: rec.TestID, Index: r.Index})
		text := strings.Trim(fmt.Sprint(ids), "[]")
		if seen[fmt.Sprintf("%x", sha256.Sum256([]byte(text)))] != 1 {
			t.Errorf("request %d: the server did not get its %d ids once", r.Index, len(ids))
		}
	}
	if d := rec.Detail; d.Prompt.Exact != 8 || d.Output.Exact != 8 || rec.Trust.Verdict == record.TrustInvalid || d.Workload.TokenIDTo != 29_999 {
		t.Errorf("%+v, %+v, %+v", d.Prompt, d.Workload, rec.Trust)
	}
	lengths := map[int]bool{}
	for _, r := range requests {
		lengths[r.AskedPromptTokens] = true
	}
	if len(lengths) < 3 {
		t.Errorf("%d different lengths", len(lengths))
	}
}

// words counts words.
type words struct{}

func (words) CountTokens(_ context.Context, prompt string) (int, error) {
	return len(strings.Fields(prompt)), nil
}

// TestAdaptersAsTheServerSawThem: each request names the adapter that its record says, as often as the assignment has it.
func TestAdaptersAsTheServerSawThem(t *testing.T) {
	for _, c := range []struct {
		assignment string
		want       map[string][2]int // requests, at least and at most
	}{
		{"round-robin", map[string][2]int{"sql": {7, 7}, "chat": {7, 7}, "law": {6, 6}}},
		{"random", map[string][2]int{"sql": {1, 15}, "chat": {1, 15}, "law": {1, 15}}},
	} {
		rec, requests, log := observed(t, small+",lora-modules=law+chat+sql", "--concurrent", "2", "--requests", "20", "--input-tokens", "30", "--output-tokens", "3",
			"--lora-assignment", c.assignment, "--lora-modules", "sql", "chat", "law")
		total := 0
		for name, want := range c.want {
			sent := count(requests, func(r record.Request) bool { return r.Adapter == name })
			seen := count(log, func(e sim.LogEntry) bool { return e.Model == name })
			if sent != seen || seen < want[0] || seen > want[1] {
				t.Errorf("%s: %d requests for %s are recorded, the server saw %d, want %v", c.assignment, sent, name, seen, want)
			}
			total += seen
		}
		var names []string
		for _, g := range rec.Detail.Groups {
			names = append(names, g.By+" "+g.Name)
			if g.Requests != count(requests, func(r record.Request) bool { return r.Adapter == g.Name }) || g.TTFT == nil || g.Succeeded != g.Requests {
				t.Errorf("%+v", g)
			}
		}
		if total != 20 || !slices.Equal(names, []string{"adapter chat", "adapter law", "adapter sql"}) {
			t.Errorf("%s: %d requests, groups %v", c.assignment, total, names)
		}
	}
}

// TestImagesAsTheServerSawThem: the server gets as many images as recorded, none twice, and usage proves what they cost.
func TestImagesAsTheServerSawThem(t *testing.T) {
	rec, requests, log := observed(t, "gpu=h100-sxm,model=google/gemma-3-4b-it", "--concurrent", "2", "--requests", "6", "--input-tokens", "40", "--output-tokens", "3",
		"--dataset-name", "random-mm", "--random-mm-base-items-per-request", "2", "--random-mm-num-mm-items-range-ratio", "1",
		"--random-mm-bucket-config", "{(32, 48, 1): 0.5, (64, 64, 1): 0.5}")
	sent, seen, tokens := 0, 0, 0
	for _, r := range requests {
		sent += r.Images
	}
	for _, e := range log {
		seen += e.Images
		tokens += e.PromptTokens - 40
		if e.CachedTokens >= 48 {
			t.Errorf("%d tokens came from the prefix cache: an image was sent twice", e.CachedTokens)
		}
	}
	x := rec.Detail.Images
	if x == nil || sent == 0 || sent != seen || x.Images != seen || x.Tokens != tokens || tokens != 260*seen || *x.PerImageMin != 260 || *x.PerImageMax != 260 || x.Ignored != 0 {
		t.Errorf("%d images sent, %d seen, %d tokens: %+v", sent, seen, tokens, x)
	}
	if rec.Trust.Verdict == record.TrustInvalid || rec.Detail.Prompt.Differed > 0 || !strings.Contains(rec.Detail.Baseline.TestID, "img2") {
		t.Errorf("%+v, %+v, %+v", rec.Trust, rec.Detail.Prompt, rec.Detail.Baseline)
	}
}

// TestToolsAsTheServerSawThem: requests offer the tools of their lines, their calls are counted, and their tokens are output.
func TestToolsAsTheServerSawThem(t *testing.T) {
	rec, requests, log := observed(t, small, "--concurrent", "2", "--requests", "4", "--dataset-name", "custom", "--dataset-path", "../load/testdata/tools.jsonl")
	offered := count(log, func(e sim.LogEntry) bool { return e.Tools > 0 })
	if offered != 3 || count(requests, func(r record.Request) bool { return r.Tools > 0 }) != 3 {
		t.Errorf("the server saw %d requests that offer tools", offered)
	}
	if x := rec.Detail.ToolCalls; x == nil || x.Offered != 3 || x.Requests != 3 || x.Calls != 3 || x.First == nil || x.First.N != 3 {
		t.Errorf("%+v", x)
	}
	written, usage, prompt := 0, 0, 0
	for _, e := range log {
		written, prompt = written+e.OutputTokens, prompt+e.PromptTokens
	}
	for _, r := range requests {
		usage, prompt = usage+*r.CompletionTokens, prompt-r.AskedPromptTokens
	}
	if written != usage || prompt != 0 || rec.Detail.Prompt.Exact != 4 || rec.Detail.Workload.Tools != 3 {
		t.Errorf("%d output tokens were written, %d told; prompts lie %d tokens apart; %+v", written, usage, prompt, rec.Detail.Prompt)
	}
}

// TestPrefixesAsTheServerSawThem: each of several prefixes is in as many prompts, and the cache finds it and nothing else.
func TestPrefixesAsTheServerSawThem(t *testing.T) {
	rec, requests, log := observed(t, small, "--concurrent", "1", "--requests", "12", "--warmup", "1", "--dataset-name", "prefix_repetition",
		"--prefix-repetition-prefix-len", "64", "--prefix-repetition-suffix-len", "40", "--prefix-repetition-num-prefixes", "3", "--prefix-repetition-output-len", "3")
	found := count(log, func(e sim.LogEntry) bool { return e.CachedTokens >= 64 && e.CachedTokens < 64+32 })
	missed := count(log, func(e sim.LogEntry) bool { return e.CachedTokens < 32 })
	if found != 10 || missed != 2 || len(requests) != 12 { // the warm-up brought one prefix, two are computed once
		t.Errorf("the cache had the prefix of %d requests, of %d nothing", found, missed)
	}
	if d := rec.Detail; d.Prompt.Exact != 12 || d.Prompt.Asked != 104 || d.Output.Asked != 3 || d.Workload.Prefixes != 3 {
		t.Errorf("%+v, %+v", d.Prompt, d.Workload)
	}
}

// TestWorkloadsRefused: what cannot be meant, and what the server does not serve, is one line before anything is measured.
func TestWorkloadsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "talks.json")
	long := strings.Repeat("word ", 5000)
	if err := os.WriteFile(path, []byte(`[{"conversations":[{"from":"human","value":"`+long+`"},{"from":"gpt","value":"a"}]},
{"conversations":[{"from":"gpt","value":"a"}]},
{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"},{"from":"human","value":"c"}]}]`), 0o644); err != nil {
		t.Fatal(err)
	}
	talks := " --dataset-name sharegpt --dataset-path " + path
	for _, c := range []struct {
		target string
		code   int
		args   string
		says   string
	}{
		{"", 2, "--prompt-token-ids", "--endpoint completions"},
		{"", 2, "--multi-turn --endpoint completions", "--endpoint chat"},
		{"", 2, "--multi-turn-delay-ms 5", "needs --multi-turn"},
		{"", 2, "--per-turn-input-len 5", "needs --multi-turn"},
		{"", 2, "--multi-turn --multi-turn-min-turns 3", "--multi-turn-max-turns"},
		{"", 2, "--multi-turn --multi-turn-num-turns 0", "turns are out of range"},
		{"", 2, "--multi-turn --multi-turn-min-turns 5 --multi-turn-max-turns 3", "turns are out of range"},
		{"", 2, "--multi-turn --multi-turn-delay-ms -1", "between turns"},
		{"", 2, "--multi-turn --max-ttft 1s", "--concurrent alone"},
		{"", 2, "--multi-turn --per-turn-input-len -4", "later turn"},
		{"", 1, "--multi-turn --multi-turn-num-turns 40", "context holds 4096"},
		{"", 2, "--lora-modules sql", "serves no adapter"},
		{",lora-modules=chat+law", 2, "--lora-modules chat sql", "its adapters are chat, law"},
		{",lora-modules=chat", 2, "--lora-modules chat chat", "twice"},
		{"", 2, "--lora-modules a --lora-assignment least", "least"},
		{"", 2, "--lora-assignment random", "needs --lora-modules"},
		{"", 1, "--dataset-name random-mm", "not a multimodal model"},
		{"", 2, "--dataset-name random-mm --random-mm-bucket-config {}", "--random-mm-bucket-config"},
		{"", 2, "--dataset-name random-mm --random-mm-base-items-per-request 0", "1 or more"},
		{"", 2, "--random-mm-base-items-per-request 2", "needs --dataset-name random-mm"},
		{"", 2, "--dataset-name prefix_repetition --input-tokens 5", "--prefix-repetition-prefix-len"},
		{"", 2, "--dataset-name prefix_repetition --prefix-repetition-num-prefixes 0", "--prefix-repetition-num-prefixes"},
		{"", 2, "--multi-turn" + talks, "talks.json:2: an answer stands where a question is due"},
		{"", 2, "--multi-turn --requests 2 --skip-bad-lines" + talks, "holds 1 conversations that can be sent"},
		{"", 0, "--multi-turn --skip-bad-lines" + talks, "talks.json:2 was left out"},
		{"", 2, "--multi-turn --skip-bad-lines --multi-turn-min-turns 3 --multi-turn-max-turns 4" + talks, "holds 0 conversations"},
	} {
		args := append([]string{"stress", "--base-url", "sim:" + small + c.target, "--concurrent", "1", "--runs", "1", "--cooldown", "0s", "--out", filepath.Join(t.TempDir(), "out")}, strings.Fields(c.args)...)
		code, _, stderr := call(t, nil, args...)
		if code != c.code || !strings.Contains(stderr, c.says) || code == 2 && strings.Count(stderr, "\n") > 1 {
			t.Errorf("%s: exit code %d, %q", c.args, code, stderr)
		}
	}
	if code, _, stderr := call(t, nil, "stress", "--base-url", "sim:"+small, "--multi-turn", "--out", filepath.Join(t.TempDir(), "out")); code != 2 || !strings.Contains(stderr, "needs --concurrent") {
		t.Errorf("the matrix with conversations: exit code %s, %q", strconv.Itoa(code), stderr)
	}
}
