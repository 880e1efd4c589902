package sim

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bench/internal/capacity"
)

const chatPath, completionsPath = "/v1/chat/completions", "/v1/completions"

// chatFields is a chat of exactly prompt tokens (the template's 9 included) with that many to come.
func chatFields(seed, prompt, output int) string {
	return fmt.Sprintf(`"messages":[{"role":"user","content":"%s"}],"max_tokens":%d,"ignore_eos":true`, words(seed, prompt-9), output)
}

// burst sends n requests at once and returns their answers in order.
func burst(t *testing.T, s *Server, n int, fields func(i int) string) []answer {
	t.Helper()
	c, done := client(s)
	defer done()
	answers, errs := make([]answer, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { answers[i], errs[i] = ask(t.Context(), c, chatPath, fields(i)) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	return answers
}

// checkAnswers holds what every complete answer of exactly that shape must be.
func checkAnswers(t *testing.T, answers []answer, prompt, output int) {
	t.Helper()
	for i, a := range answers {
		if a.chunks != output || a.completion != output || a.prompt != prompt || a.finish != finishLength || !a.done || a.stopReason != nil {
			t.Errorf("request %d: %d chunks, usage %d + %d, finish %q (%v), done %v; want %d + %d by length", i, a.chunks, a.prompt, a.completion, a.finish, a.stopReason, a.done, prompt, output)
		}
		if a.headers >= a.first {
			t.Errorf("request %d: headers after %v, first token after %v", i, a.headers, a.first)
		}
		if !strings.HasPrefix(a.fingerprint, "vllm-0.32.0-") {
			t.Errorf("request %d: fingerprint %q", i, a.fingerprint)
		}
	}
}

// checkIdle holds that nothing is left in the engine.
func checkIdle(t *testing.T, s *Server) {
	t.Helper()
	synctest.Wait()
	c := s.core
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.running)+len(c.waiting)+len(c.arrivals)+c.pool.used != 0 {
		t.Errorf("left in the engine: %d running, %d waiting, %d arrived, %d blocks", len(c.running), len(c.waiting), len(c.arrivals), c.pool.used)
	}
	cache := c.pool.cache.(*hashedCache)
	for _, e := range cache.entries {
		if e.owners != 0 || e.place == nil {
			t.Fatalf("a cached block is still owned %d times", e.owners)
		}
	}
	if cached := cache.lru.Len(); cached != len(cache.entries) || cached*c.pool.perEntry > c.pool.usable {
		t.Errorf("%d cached blocks in the list, %d findable, %d fit", cached, len(cache.entries), c.pool.usable/c.pool.perEntry)
	}
}

// scrape reads /metrics: full series name → value.
func scrape(t *testing.T, s *Server) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	_, body, _ := strings.Cut(raw(t, s, "GET", "/metrics", ""), "\r\n\r\n")
	for line := range strings.SplitSeq(body, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		i := strings.LastIndex(line, " ")
		v, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			t.Fatalf("metrics line %q: %v", line, err)
		}
		if _, twice := out[line[:i]]; twice {
			t.Errorf("series %s comes twice", line[:i])
		}
		out[line[:i]] = v
	}
	return out
}

// sum adds all series of a name whose labels contain filter.
func sum(m map[string]float64, name, filter string) float64 {
	total := 0.0
	for k, v := range m {
		if n, labels, _ := strings.Cut(k, "{"); n == "vllm:"+name && strings.Contains(labels, filter) {
			total += v
		}
	}
	return total
}

// checkMetrics holds the identities that are true of any snapshot of an idle engine nobody left.
func checkMetrics(t *testing.T, s *Server) map[string]float64 {
	t.Helper()
	m := scrape(t, s)
	equal := func(what string, a, b float64) {
		t.Helper()
		if math.Abs(a-b) > 1e-6*max(1, math.Abs(a)) {
			t.Errorf("%s: %v is not %v", what, a, b)
		}
	}
	finished := sum(m, "request_success_total", "")
	for _, h := range []string{"request_prompt_tokens", "request_generation_tokens", "request_params_n", "request_params_max_tokens",
		"request_max_num_generation_tokens", "request_time_per_output_token_seconds", "e2e_request_latency_seconds", "request_queue_time_seconds",
		"request_inference_time_seconds", "request_prefill_time_seconds", "request_decode_time_seconds", "request_num_preemptions",
		"request_prefill_kv_computed_tokens", "time_to_first_token_seconds"} {
		equal(h+"_count", sum(m, h+"_count", ""), finished)
		equal(h+" +Inf bucket", sum(m, h+"_bucket", `le="+Inf"`), finished)
	}
	equal("TTFT + ITL counts", sum(m, "time_to_first_token_seconds_count", "")+sum(m, "inter_token_latency_seconds_count", ""), sum(m, "generation_tokens_total", ""))
	equal("by source", sum(m, "prompt_tokens_by_source_total", ""), sum(m, "prompt_tokens_total", ""))
	equal("prefill + decode", sum(m, "request_prefill_time_seconds_sum", "")+sum(m, "request_decode_time_seconds_sum", ""), sum(m, "request_inference_time_seconds_sum", ""))
	equal("e2e", sum(m, "e2e_request_latency_seconds_sum", ""), sum(m, "request_queue_time_seconds_sum", "")+sum(m, "request_inference_time_seconds_sum", ""))
	equal("iteration tokens", sum(m, "iteration_tokens_total_sum", ""), sum(m, "generation_tokens_total", "")+sum(m, "prompt_tokens_by_source_total", "local_compute"))
	equal("waiting", sum(m, "num_requests_waiting", ""), sum(m, "num_requests_waiting_by_reason", ""))
	equal("cached", sum(m, "prompt_tokens_cached_total", ""), sum(m, "prompt_tokens_by_source_total", "local_cache_hit"))
	equal("preemptions", sum(m, "request_num_preemptions_sum", ""), sum(m, "num_preemptions_total", ""))
	return m
}

func TestEveryRequestGetsItsTokens(t *testing.T) {
	for _, c := range []struct {
		target                string
		n, prompt, output     int
		preempts, mustPreempt bool
	}{
		{"sim:", 1, 100, 100, false, false},
		{"sim:", 32, 100, 100, false, false},
		{"sim:", 16, 500, 200, false, false},
		{"sim:max-num-seqs=3", 10, 64, 20, false, false},
		{"sim:max-num-batched-tokens=64", 6, 300, 20, false, false},
		{"sim:max-model-len=640,num-gpu-blocks-override=300", 8, 200, 200, true, true},
		{"sim:max-model-len=640,num-gpu-blocks-override=300,max-num-batched-tokens=128", 8, 200, 200, true, true},
		{"sim:gpu=a100-80gb,model=meta-llama/Llama-3.1-8B-Instruct,max-model-len=640,num-gpu-blocks-override=60", 8, 200, 200, true, true},
		{"sim:gpu=h100-sxm,model=Qwen/Qwen3-32B,tp=2", 8, 128, 16, false, false},
	} {
		t.Run(fmt.Sprintf("%s %d×%d+%d", c.target, c.n, c.prompt, c.output), func(t *testing.T) {
			bubble(t, c.target, func(t *testing.T, s *Server) {
				answers := burst(t, s, c.n, func(i int) string { return chatFields(i, c.prompt, c.output) })
				checkAnswers(t, answers, c.prompt, c.output)
				checkIdle(t, s)
				m := checkMetrics(t, s)
				if got := sum(m, "generation_tokens_total", ""); got != float64(c.n*c.output) {
					t.Errorf("the server counts %v tokens, want %d", got, c.n*c.output)
				}
				if got := sum(m, "prompt_tokens_total", ""); got != float64(c.n*c.prompt) {
					t.Errorf("the server counts %v prompt tokens, want %d", got, c.n*c.prompt)
				}
				if got := sum(m, "request_success_total", "length"); got != float64(c.n) {
					t.Errorf("the server counts %v requests, want %d", got, c.n)
				}
				if got := sum(m, "prefix_cache_hits_total", ""); got != 0 {
					t.Errorf("different prompts hit the prefix cache for %v tokens", got)
				}
				switch got := sum(m, "num_preemptions_total", ""); {
				case c.mustPreempt && got == 0:
					t.Error("no preemption in a small pool")
				case !c.preempts && got != 0:
					t.Errorf("%v preemptions in a large pool", got)
				}
			})
		})
	}
}

// The limits of the scheduler hold at every instant, and queued requests show as waiting.
func TestLimitsHoldAtEveryInstant(t *testing.T) {
	bubble(t, "sim:max-num-seqs=4,max-model-len=640,num-gpu-blocks-override=500", func(t *testing.T, s *Server) {
		ctx, stop := context.WithCancel(t.Context())
		var watching sync.WaitGroup
		mostRunning, mostWaiting := 0, 0
		watching.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(777 * time.Microsecond)
				s.core.mu.Lock()
				held := 0
				for _, r := range s.core.running {
					held += r.blocks
				}
				if p := s.core.pool; held != p.used || p.used > p.usable || p.used < 0 {
					t.Errorf("%d blocks held, %d counted, %d usable", held, p.used, p.usable)
				}
				mostRunning = max(mostRunning, len(s.core.running))
				mostWaiting = max(mostWaiting, len(s.core.waiting))
				s.core.mu.Unlock()
			}
		})
		answers := burst(t, s, 12, func(i int) string { return chatFields(i, 150, 60) })
		stop()
		watching.Wait()
		checkAnswers(t, answers, 150, 60)
		if mostRunning != 4 || mostWaiting < 8 {
			t.Errorf("at most %d running and %d waiting", mostRunning, mostWaiting)
		}
	})
}

// One lone request takes exactly the steps that capacity predicts.
func TestTimesAreThoseOfCapacity(t *testing.T) {
	for _, c := range []struct {
		target         string
		prompt, budget int
	}{{"sim:", 100, 2048}, {"sim:", 3000, 2048}, {"sim:max-num-batched-tokens=256", 1000, 256}} {
		cfg := parse(t, c.target)
		stepper := capacity.NewStepper(cfg.Model, cfg.GPU, cfg.Engine.WithDefaults(cfg.Model, cfg.GPU))
		bubbleConfig(t, cfg, func(t *testing.T, s *Server) {
			var want time.Duration
			for done := 0; done < c.prompt; {
				chunk := min(c.budget, c.prompt-done)
				var step capacity.Step
				stepper.AddPrefill(&step, chunk, done)
				want += stepper.StepTime(step)
				done += chunk
			}
			a := burst(t, s, 1, func(int) string { return chatFields(1, c.prompt, 3) })[0]
			if a.first != want {
				t.Errorf("%s: first token of %d after %v, want %v", c.target, c.prompt, a.first, want)
			}
			for length := c.prompt + 1; length <= c.prompt+2; length++ {
				var step capacity.Step
				stepper.AddDecodes(&step, 1, length)
				want += stepper.StepTime(step)
			}
			if a.last != want {
				t.Errorf("%s: last token after %v, want %v", c.target, a.last, want)
			}
			if m := scrape(t, s); math.Abs(sum(m, "time_to_first_token_seconds_sum", "")-a.first.Seconds()) > 1e-9 {
				t.Errorf("the server saw a TTFT of %v, the client %v", sum(m, "time_to_first_token_seconds_sum", ""), a.first)
			}
		})
	}
}

// With one slot the second of two requests waits for the first.
func TestQueueingShowsAsTTFT(t *testing.T) {
	bubble(t, "sim:max-num-seqs=1", func(t *testing.T, s *Server) {
		alone := burst(t, s, 1, func(int) string { return chatFields(1, 100, 20) })[0]
		two := burst(t, s, 2, func(i int) string { return chatFields(2+i, 100, 20) })
		first, second := two[0], two[1]
		if first.first > second.first {
			first, second = second, first
		}
		if first.first != alone.first || second.first != first.last+alone.first {
			t.Errorf("TTFT %v and %v; want %v and %v", first.first, second.first, alone.first, first.last+alone.first)
		}
	})
}

// Two runs of the same load on virtual time see the same, to the nanosecond.
func TestRunsAreRepeatable(t *testing.T) {
	run := func() (all []answer, metrics map[string]float64) {
		bubble(t, "sim:max-model-len=640,num-gpu-blocks-override=400", func(t *testing.T, s *Server) {
			for round := range 3 {
				all = append(all, burst(t, s, 12, func(i int) string {
					return chatFields(100*round+i, 50+17*i, 20+9*i)
				})...)
			}
			metrics = scrape(t, s)
		})
		return all, metrics
	}
	answers, metrics := run()
	again, metricsAgain := run()
	for i := range answers {
		if !reflect.DeepEqual(answers[i], again[i]) {
			t.Fatalf("request %d went differently:\n%+v\n%+v", i, answers[i], again[i])
		}
	}
	if sum(metrics, "num_preemptions_total", "") == 0 {
		t.Error("the load preempts nothing: it is too easy to prove much")
	}
	for k, v := range metrics {
		if metricsAgain[k] != v {
			t.Errorf("%s: %v, then %v", k, v, metricsAgain[k])
		}
	}
}

func TestPrefixCache(t *testing.T) {
	bubble(t, "sim:", func(t *testing.T, s *Server) {
		one := func(salt string) answer {
			return burst(t, s, 1, func(int) string { return chatFields(7, 1000, 2) + `,"cache_salt":"` + salt + `"` })[0]
		}
		hits := func() float64 { return sum(scrape(t, s), "prefix_cache_hits_total", "") }
		cold := one("a")
		if hits() != 0 {
			t.Errorf("%v hits at first sight", hits())
		}
		warm := one("a")
		if hits() != 992 { // 62 whole blocks of 16
			t.Errorf("%v tokens hit, want 992", hits())
		}
		if warm.first >= cold.first {
			t.Errorf("a hit did not save time: %v, then %v", cold.first, warm.first)
		}
		if other := one("b"); hits() != 992 || other.first != cold.first {
			t.Errorf("another salt hit the cache: %v tokens, TTFT %v", hits(), other.first)
		}
		if got := sum(checkMetrics(t, s), "prefix_cache_queries_total", ""); got != 3000 {
			t.Errorf("%v tokens queried, want 3000", got)
		}
		checkIdle(t, s)
	})
}

func TestOutputsEndByThemselvesUnlessToldNotTo(t *testing.T) {
	bubble(t, "sim:", func(t *testing.T, s *Server) {
		ended, lengths := 0, map[int]bool{}
		free := func(extra string) func(i int) string {
			return func(i int) string {
				return strings.Replace(chatFields(i, 50, 200), `"ignore_eos":true`, `"ignore_eos":false`+extra, 1)
			}
		}
		for i, a := range burst(t, s, 20, free("")) {
			switch {
			case a.finish == finishStop && a.stopReason == float64(tokenTurnEnd) && a.completion == a.chunks:
				ended++
				lengths[a.completion] = true
			case a.finish == finishLength && a.completion == 200:
			default:
				t.Errorf("request %d: %d tokens, %q, %v", i, a.completion, a.finish, a.stopReason)
			}
		}
		if ended < 3 || len(lengths) < 3 {
			t.Errorf("%d of 20 outputs ended by themselves, with %d lengths", ended, len(lengths))
		}
		for i, a := range burst(t, s, 20, free(`,"min_tokens":150`)) {
			if a.completion < 151 {
				t.Errorf("request %d: %d tokens, at least 150 and one to end with were asked for", i, a.completion)
			}
		}
		emptyTexts := 0
		for _, a := range burst(t, s, 4, func(i int) string { return chatFields(i, 50, 200) }) {
			emptyTexts += a.empty
		}
		if emptyTexts == 0 {
			t.Error("no token without text in 800: real servers have them")
		}
		checkMetrics(t, s)
	})
}

// A client that hangs up frees its slot and blocks, and is not counted as finished.
func TestDisconnectAborts(t *testing.T) {
	bubble(t, "sim:max-num-seqs=1", func(t *testing.T, s *Server) {
		c, done := client(s)
		defer done()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 2 { // one runs, one waits
			wg.Go(func() {
				if _, err := ask(ctx, c, chatPath, chatFields(i, 100, 3000)); err == nil {
					t.Error("the request was cancelled and reports no error")
				}
			})
		}
		time.Sleep(time.Second)
		if m := scrape(t, s); sum(m, "num_requests_running", "") != 1 || sum(m, "num_requests_waiting", "") != 1 {
			t.Error("the requests are not where they should be")
		}
		cancel()
		wg.Wait()
		time.Sleep(100 * time.Millisecond)
		checkIdle(t, s)
		if m := scrape(t, s); sum(m, "request_success_total", "") != 0 {
			t.Error("an aborted request was counted as finished")
		}
		checkAnswers(t, burst(t, s, 1, func(int) string { return chatFields(5, 100, 10) }), 100, 10)
	})
}

// Closing ends streams as SIGTERM does on a real server: finish reason abort, usage, [DONE].
func TestCloseAborts(t *testing.T) {
	bubble(t, "sim:", func(t *testing.T, s *Server) {
		c, done := client(s)
		defer done()
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				a, err := ask(t.Context(), c, chatPath, chatFields(i, 100, 3000))
				if err != nil || a.finish != finishAbort || !a.done || a.completion == 0 || a.completion >= 3000 {
					t.Errorf("%+v, %v", a, err)
				}
			})
		}
		time.Sleep(5 * time.Second)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if _, err := s.Dial(t.Context(), "", ""); err == nil {
			t.Error("a closed server takes connections")
		}
		checkIdle(t, s)
	})
}
