package sim

import (
	"errors"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// failures sends n requests one after another and counts how they went by the text of what failed.
func failures(t *testing.T, s *Server, n int, fields func(i int) string) map[string]int {
	t.Helper()
	c, done := client(s)
	defer done()
	c.Timeout = 5 * time.Minute
	went := map[string]int{}
	for i := range n {
		a, err := ask(t.Context(), c, chatPath, fields(i))
		text := "short"
		var timeout net.Error
		switch {
		case errors.Is(err, syscall.ECONNRESET):
			text = "reset"
		case errors.As(err, &timeout) && timeout.Timeout():
			text = "stall"
		case err != nil:
			text = err.Error()
		case a.completion == 20 && a.done:
			text = "whole"
		case a.completion != 10 || a.finish != finishLength || !a.done:
			t.Errorf("request %d: %+v", i, a)
		}
		went[text]++
	}
	return went
}

// Each fault of single requests strikes its share of them, the same ones in each run, and leaves nothing behind.
func TestFaultsOfSingleRequests(t *testing.T) {
	var before map[string]int
	for range 2 {
		bubble(t, "sim:stall=0.1,reset=0.2,in-band-error=0.1,short=0.2,http-429=0.1", func(t *testing.T, s *Server) {
			went := failures(t, s, 200, func(i int) string { return chatFields(i, 40, 20) })
			for text, share := range map[string]float64{"stall": 0.1, "reset": 0.2, "Internal server error": 0.1, "short": 0.2, "whole": 0.3,
				`429 Too Many Requests: {"error":{"message":"Rate limit exceeded.","type":"Too Many Requests","param":null,"code":429}}`: 0.1} {
				// Three standard deviations of a binomial count.
				if n := float64(went[text]); math.Abs(n-200*share) > 3*math.Sqrt(200*share*(1-share)) {
					t.Errorf("%v of 200 requests went %q, asked for a share of %v", n, text, share)
				}
			}
			if before != nil && !maps.Equal(before, went) {
				t.Errorf("one run %v, another %v", before, went)
			}
			before = went
			checkIdle(t, s)
		})
	}
}

// A fault strikes an answer that is no stream as well.
func TestFaultsWithoutAStream(t *testing.T) {
	for setting, want := range map[string]string{"in-band-error": "500 Internal Server Error", "reset": "connection reset by peer", "stall": "deadline exceeded"} {
		bubble(t, "sim:"+setting+"=1", func(t *testing.T, s *Server) {
			c, done := client(s)
			defer done()
			c.Timeout = time.Minute
			resp, err := c.Post("http://sim/v1/completions", "application/json", strings.NewReader(`{"prompt":"a","max_tokens":20,"ignore_eos":true}`))
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = resp.Status
				resp.Body.Close()
			}
			if !strings.Contains(got, want) {
				t.Errorf("%s: %s", setting, got)
			}
		})
	}
}

// Over TCP a reset is one.
func TestResetOverTCP(t *testing.T) {
	s, err := New(parse(t, "sim:reset=1"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	transport := &http.Transport{}
	resp, err := (&http.Client{Transport: transport}).Post("http://"+l.Addr().String()+"/v1/completions", "application/json",
		strings.NewReader(`{"prompt":"a","max_tokens":4,"ignore_eos":true,"stream":true}`))
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
	transport.CloseIdleConnections()
	if err := errors.Join(s.Close(), <-served); err != nil {
		t.Error(err)
	}
}

// A stalled stream does not hold up the end of its server.
func TestStalledStreamEndsWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(parse(t, "sim:stall=1"))
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		c, done := client(s)
		defer done()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if a, err := ask(t.Context(), c, chatPath, chatFields(1, 40, 20)); err == nil && a.done {
				t.Errorf("a stalled stream ended: %+v", a)
			}
		}()
		time.Sleep(time.Minute)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
}

func TestFullQueueRefuses(t *testing.T) {
	bubble(t, "sim:max-num-seqs=2,max-num-queued-reqs=3", func(t *testing.T, s *Server) {
		c, done := client(s)
		defer done()
		errs := make(chan error, 5)
		for i := range 5 {
			go func() {
				_, err := ask(t.Context(), c, chatPath, chatFields(i, 40, 20))
				errs <- err
			}()
		}
		refused := 0
		for range 5 {
			if err := <-errs; err != nil {
				refused++
				const want = `503 Service Unavailable: {"error":{"message":"The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.","type":"Service Unavailable","param":null,"code":503}}`
				if err.Error() != want {
					t.Error(err)
				}
			}
		}
		if refused != 2 {
			t.Errorf("%d of 5 requests were refused with room for 3", refused)
		}
		if n := sum(scrape(t, s), "admission_rejections_total", "max_num_queued_reqs"); n != 2 {
			t.Errorf("the server counts %v refusals", n)
		}
		checkAnswers(t, burst(t, s, 3, func(i int) string { return chatFields(10+i, 40, 20) }), 40, 20)
	})
}

// up says whether the server takes connections and is healthy.
func up(t *testing.T, s *Server) bool {
	t.Helper()
	conn, err := s.Dial(t.Context(), "", "")
	if err != nil {
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
		return false
	}
	conn.Close()
	return true
}

// A server is away exactly as long as it is told to, busy or idle.
func TestStartDeathAndReturn(t *testing.T) {
	for _, working := range []bool{false, true} {
		bubble(t, "sim:start-after=10s,die-after=30s,return=20s", func(t *testing.T, s *Server) {
			if working {
				go func() {
					time.Sleep(39500 * time.Millisecond)
					c, done := client(s)
					defer done()
					if _, err := ask(t.Context(), c, chatPath, chatFields(1, 100, 200)); err == nil || !strings.Contains(err.Error(), "EngineCore") {
						t.Errorf("the answer of a dying engine: %v", err)
					}
				}()
			}
			for _, at := range []struct {
				second float64
				up     bool
			}{{0, false}, {9.9, false}, {10.1, true}, {39.9, true}, {40.1, false}, {59.9, false}, {60.2, true}, {200, true}} {
				time.Sleep(time.Duration(at.second*1e9) - time.Since(epoch))
				if got := up(t, s); got != at.up {
					t.Errorf("working %v: after %v s up is %v", working, at.second, got)
				}
			}
			checkAnswers(t, burst(t, s, 2, func(i int) string { return chatFields(i, 40, 20) }), 40, 20)
		})
	}
}

// epoch is when virtual time begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func TestForeignTrafficOnDemand(t *testing.T) {
	bubble(t, "sim:foreign=3", func(t *testing.T, s *Server) {
		for range 20 {
			time.Sleep(700 * time.Millisecond)
			m := scrape(t, s)
			if n := sum(m, "num_requests_running", "") + sum(m, "num_requests_waiting", ""); n != 3 {
				t.Errorf("%v requests in flight, asked for 3", n)
			}
		}
		before := sum(scrape(t, s), "generation_tokens_total", "")
		checkAnswers(t, burst(t, s, 2, func(i int) string { return chatFields(i, 40, 20) }), 40, 20)
		if grown := sum(scrape(t, s), "generation_tokens_total", "") - before; grown <= 40 {
			t.Errorf("the server counted %v tokens, of which 40 are ours", grown)
		}
	})
}

func TestPrefixHitsOnDemand(t *testing.T) {
	ttft := map[string]time.Duration{}
	for _, target := range []string{"sim:", "sim:prefix-hits=0.5", "sim:prefix-hits=1"} {
		bubble(t, target, func(t *testing.T, s *Server) {
			answers := burst(t, s, 4, func(i int) string { return chatFields(i, 1000, 4) })
			checkAnswers(t, answers, 1000, 4)
			ttft[target] = answers[0].first
			want := map[string]float64{"sim:": 0, "sim:prefix-hits=0.5": 4 * 496, "sim:prefix-hits=1": 4 * 992}[target]
			if m := checkMetrics(t, s); sum(m, "prefix_cache_hits_total", "") != want || sum(m, "prefix_cache_queries_total", "") != 4000 {
				t.Errorf("%s: %v of %v tokens were found, want %v", target, sum(m, "prefix_cache_hits_total", ""), sum(m, "prefix_cache_queries_total", ""), want)
			}
			checkIdle(t, s)
		})
	}
	if !(ttft["sim:"] > ttft["sim:prefix-hits=0.5"] && ttft["sim:prefix-hits=0.5"] > ttft["sim:prefix-hits=1"]) {
		t.Errorf("TTFT by share found: %v", ttft)
	}
}

func TestWrongLengthsOnDemand(t *testing.T) {
	bubble(t, "sim:usage-off=3", func(t *testing.T, s *Server) {
		if a := burst(t, s, 1, func(i int) string { return chatFields(i, 40, 20) })[0]; a.prompt != 43 || a.completion != 20 {
			t.Errorf("usage says %d + %d", a.prompt, a.completion)
		}
		if text := raw(t, s, http.MethodPost, "/tokenize", `{"prompt":"a"}`, jsonType); !strings.Contains(text, `"count":2`) {
			t.Errorf("/tokenize says %s", text)
		}
	})
	bubble(t, "sim:ignore-eos=false", func(t *testing.T, s *Server) {
		byThemselves := 0
		for _, a := range burst(t, s, 50, func(i int) string { return chatFields(i, 40, 400) }) {
			if a.finish == finishStop && a.completion < 400 {
				byThemselves++
			}
		}
		if byThemselves < 25 {
			t.Errorf("%d of 50 answers ended by themselves", byThemselves)
		}
	})
}

// What the help lists can be given.
func TestSettingsHelp(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(SettingsHelp(), "\n"), "\n")
	for _, line := range lines {
		if len(line) > 100 {
			t.Errorf("wider than 100 columns: %s", line)
		}
		setting := strings.Replace(strings.Fields(line)[0], "case.http", "../vllm/testdata/wire/001-vllm-finish-with-last-text.http", 1)
		if _, err := ParseTarget("sim:" + setting); err != nil && !strings.Contains(err.Error(), "does not start") {
			t.Error(err)
		}
	}
	if len(lines) != len(settings) {
		t.Errorf("%d lines for %d settings", len(lines), len(settings))
	}
}
