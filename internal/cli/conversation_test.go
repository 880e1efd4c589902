package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bench/internal/record"
)

// talker is a server that keeps what it was asked and what it answered. A word is a token, and so is each of three marks around
// a message, and two more before the answer.
type talker struct {
	mu    sync.Mutex
	asked []asked
}

// asked is a chat that a talker was asked, and its answer.
type asked struct {
	Messages []struct {
		Role    string
		Content string
	}
	CacheSalt string `json:"cache_salt"`
	MaxTokens int    `json:"max_tokens"`
	Stream    bool

	arrived, ended time.Time
	answer         string
}

func (a asked) tokens() int {
	n := 2
	for _, m := range a.Messages {
		n += 3 + len(strings.Fields(m.Content))
	}
	return n
}

func (s *talker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := asked{arrived: time.Now()}
	if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&a) != nil {
		http.Error(w, "{}", http.StatusBadRequest)
		return
	}
	switch r.URL.Path {
	case "/v1/models":
		fmt.Fprint(w, `{"object":"list","data":[{"id":"talker","root":"talker","parent":null,"max_model_len":4000}]}`)
	case "/health":
	case "/tokenize":
		fmt.Fprintf(w, `{"count":%d}`, a.tokens())
	case "/v1/chat/completions":
		s.talk(w, a)
	default:
		http.NotFound(w, r)
	}
}

func (s *talker) talk(w http.ResponseWriter, a asked) {
	w.Header().Set("Content-Type", "text/event-stream")
	s.mu.Lock()
	number := len(s.asked)
	s.mu.Unlock()
	for i := range a.MaxTokens {
		word := fmt.Sprintf(` w%d-%d-\"é\n`, number, i) // what JSON escapes comes back as it was
		finish := "null"
		if i+1 == a.MaxTokens {
			finish = `"length"`
		}
		var text string
		_ = json.Unmarshal([]byte(`"`+word+`"`), &text)
		a.answer += text
		fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"},\"finish_reason\":%s}]}\n\n", word, finish)
	}
	fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d}}\n\ndata: [DONE]\n\n", a.tokens(), a.MaxTokens)
	a.ended = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, a)
}

// TestHistoryIsWhatWasAnswered: each later request of a conversation is the one before it, the server's very answer, and a new
// question of the length asked for; it comes no earlier than the think time after that answer, and nothing else has its salt.
func TestHistoryIsWhatWasAnswered(t *testing.T) {
	for _, c := range []struct {
		name, args string
		turns      []int // of the conversations, ascending
		question   int   // tokens of each later one as a prompt of its own; 0: a dataset's
	}{
		{"made", "--requests 6 --multi-turn-num-turns 3 --per-turn-input-len 12 --input-tokens 20 --output-tokens 4", []int{3, 3, 3, 3, 3, 3}, 12},
		{"read", "--requests 3 --dataset-name sharegpt --dataset-path ../load/testdata/talks.json --output-tokens 3", []int{1, 1, 2}, 0},
	} {
		s := &talker{}
		server := httptest.NewServer(s)
		defer server.Close()
		dir := filepath.Join(t.TempDir(), "out")
		args := append([]string{"stress", "--base-url", server.URL, "--concurrent", "2", "--runs", "1", "--warmup", "0", "--cooldown", "0s", "--gpu-telemetry", "none",
			"--multi-turn", "--multi-turn-delay-ms", "60", "--out", dir}, strings.Fields(c.args)...)
		if code, _, stderr := call(t, nil, args...); code != 0 {
			t.Fatalf("%s: exit code %d: %s", c.name, code, stderr)
		}
		rec, requests := readTest(t, dir)
		s.mu.Lock()
		measured := slices.Clone(s.asked[len(s.asked)-len(requests):])
		s.mu.Unlock()
		var turns []int
		salts := map[string]int{}
		for _, a := range measured {
			n := (len(a.Messages) + 1) / 2
			salts[a.CacheSalt]++
			if n == 1 {
				continue
			}
			last := slices.IndexFunc(measured, func(b asked) bool {
				return len(b.Messages) == len(a.Messages)-2 && slices.Equal(b.Messages, a.Messages[:len(b.Messages)])
			})
			if last < 0 {
				t.Fatalf("%s: turn %d repeats no request before it: %+v", c.name, n, a.Messages)
			}
			before := measured[last]
			if said := a.Messages[len(a.Messages)-2]; said.Role != "assistant" || said.Content != before.answer {
				t.Errorf("%s: turn %d has the answer %q, the server's was %q", c.name, n, said.Content, before.answer)
			}
			if a.CacheSalt != before.CacheSalt || a.arrived.Sub(before.ended) < 60*time.Millisecond {
				t.Errorf("%s: turn %d came %v after the answer, with the salt %s after %s", c.name, n, a.arrived.Sub(before.ended), a.CacheSalt, before.CacheSalt)
			}
			question := asked{Messages: a.Messages[len(a.Messages)-1:]}
			if c.question > 0 && question.tokens() != c.question {
				t.Errorf("%s: turn %d has a question of %d tokens, want %d", c.name, n, question.tokens(), c.question)
			}
		}
		for _, n := range salts {
			turns = append(turns, n)
		}
		slices.Sort(turns)
		if c.question == 0 {
			if len(salts) != 1 { // conversations of a dataset may have something in common
				t.Errorf("%s: salts %v", c.name, salts)
			}
			turns = turnsOf(requests)
		}
		if !slices.Equal(turns, c.turns) {
			t.Errorf("%s: conversations of %v turns, want %v", c.name, turns, c.turns)
		}
		// The answers' words are as many as their tokens, so that every prompt is the sum of its parts and of the marks.
		later := len(requests) - len(c.turns)
		if x := rec.Detail.Conversations; x.HistoryExact != later || x.HistoryDiffers != 0 || x.TemplateTokens == nil || *x.TemplateTokens != 3-2 {
			t.Errorf("%s: %+v", c.name, x)
		}
	}
}

// turnsOf are the turns of each conversation, ascending.
func turnsOf(requests []record.Request) []int {
	var out []int
	for _, r := range requests {
		if r.Turn == r.Turns {
			out = append(out, r.Turns)
		}
	}
	slices.Sort(out)
	return out
}
