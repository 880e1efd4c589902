package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// throughServer puts a load on a server's own engine in virtual time, one goroutine a client, and says how it went.
func throughServer(t *testing.T, target string, l Load) (out Result) {
	t.Helper()
	bubble(t, target, func(t *testing.T, s *Server) {
		out.Requests = make([]Timing, len(l.Requests))
		send := func(i int) {
			ask := l.Requests[i]
			r := &request{order: fmt.Sprintf("%08d", i), promptTokens: ask.PromptTokens, maxTokens: ask.OutputTokens, ignoreEOS: true,
				seed: uint64(i), salt: fmt.Sprint(i), out: newOutbox(), arrived: time.Now()}
			r.prompt = make([]int, ask.PromptTokens)
			s.core.submit(r)
			for finish := ""; finish == ""; {
				_, finish, _, _ = r.out.take(nil)
			}
			s.core.mu.Lock()
			defer s.core.mu.Unlock()
			out.Requests[i] = Timing{Arrived: r.queuedAt.Sub(epoch), Scheduled: r.scheduledAt.Sub(epoch), FirstToken: r.firstAt.Sub(epoch),
				LastToken: r.lastAt.Sub(epoch), Tokens: r.made}
		}
		var clients sync.WaitGroup
		if l.InFlight > 0 {
			var mu sync.Mutex
			next := 0
			for range l.InFlight {
				clients.Go(func() {
					for {
						mu.Lock()
						i := next
						next++
						mu.Unlock()
						if i >= len(l.Requests) {
							return
						}
						send(i)
					}
				})
			}
		} else {
			for i, ask := range l.Requests {
				clients.Go(func() {
					time.Sleep(ask.Arrival)
					send(i)
				})
			}
		}
		clients.Wait()
		s.core.mu.Lock()
		defer s.core.mu.Unlock()
		out.Preemptions = int(s.core.stats.preemptions)
		out.OutputTokens = int(s.core.stats.generationTokens)
	})
	return out
}

// A run without a server and the server's engine, which makes every step by itself, agree to the nanosecond.
func TestRunIsTheServersEngine(t *testing.T) {
	for target, preempts := range map[string]bool{
		"sim:": false, // windows and the whole context, groups of both
		"sim:gpu=h100-sxm,model=meta-llama/Llama-3.1-8B-Instruct":                    false,
		"sim:max-num-seqs=5,max-num-batched-tokens=300":                              false, // queue and chunks
		"sim:num-gpu-blocks-override=2300":                                           true,
		"sim:num-gpu-blocks-override=2300,max-num-batched-tokens=64,max-num-seqs=40": true,
		"sim:gpu=h100-sxm,model=Qwen/Qwen3-30B-A3B,version=0.8.5":                    false,
	} {
		for _, kind := range []string{"closed", "open", "burst", "alone"} {
			rnd := rand.New(rand.NewPCG(1, uint64(len(target))))
			var l Load
			n := 60
			switch kind {
			case "closed":
				l.InFlight = 24
			case "alone":
				l.InFlight, n = 1, 8
			}
			for range n {
				ask := Ask{PromptTokens: 1 + rnd.IntN(1400), OutputTokens: 1 + rnd.IntN(500)}
				if kind == "open" {
					ask.Arrival = time.Duration(rnd.ExpFloat64() * 3e9)
				}
				l.Requests = append(l.Requests, ask)
			}
			want := throughServer(t, target, l)
			got, err := Run(parse(t, target), l)
			if err != nil {
				t.Fatal(err)
			}
			differ := 0
			for i := range want.Requests {
				if got.Requests[i] != want.Requests[i] {
					if differ++; differ == 1 {
						t.Errorf("%s, %s: request %d: %+v, through the server %+v", target, kind, i, got.Requests[i], want.Requests[i])
					}
				}
			}
			if differ > 0 || got.Preemptions != want.Preemptions || got.OutputTokens != want.OutputTokens {
				t.Errorf("%s, %s: %d of %d requests differ; %d preemptions and %d tokens, through the server %d and %d",
					target, kind, differ, n, got.Preemptions, got.OutputTokens, want.Preemptions, want.OutputTokens)
			}
			if crowded := kind == "closed" || kind == "burst"; preempts && crowded && got.Preemptions == 0 {
				t.Errorf("%s, %s: nothing was preempted, so nothing is known about it", target, kind)
			}
		}
	}
}

// What a client of the server measures on virtual time is what a run says.
func TestRunIsWhatAClientMeasures(t *testing.T) {
	const prompt, output = 200, 50
	bubble(t, "sim:max-num-seqs=4", func(t *testing.T, s *Server) {
		answers := burst(t, s, 9, func(i int) string { return chatFields(i, prompt, output) })
		got, err := Run(parse(t, "sim:max-num-seqs=4"), ClosedLoop(9, 9, prompt, output))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[[2]time.Duration]int{}
		for i, a := range answers {
			seen[[2]time.Duration{a.first, a.last}]++
			seen[[2]time.Duration{got.Requests[i].TTFT(), got.Requests[i].Latency()}]--
		}
		for times, n := range seen {
			if n != 0 {
				t.Errorf("first and last token after %v: %d times more with the client than in the run", times, n)
			}
		}
	})
}

// Little's law, and what is in the result adds up.
func TestRunAddsUp(t *testing.T) {
	const inFlight, n, prompt, output = 16, 400, 100, 100
	got, err := Run(parse(t, "sim:"), ClosedLoop(inFlight, n, prompt, output))
	if err != nil {
		t.Fatal(err)
	}
	var sum time.Duration
	for _, r := range got.Requests {
		perToken, ok := r.TPOT()
		if !(r.Arrived <= r.Scheduled && r.Scheduled < r.FirstToken && r.FirstToken < r.LastToken) || !ok || perToken <= 0 || r.Tokens != output {
			t.Errorf("%+v", r)
		}
		sum += r.Latency()
	}
	if mean := sum.Seconds() / got.Duration.Seconds(); math.Abs(mean-inFlight) > 0.05*inFlight || got.PeakRunning != inFlight {
		t.Errorf("%v requests in flight on average, at most %d in a step", mean, got.PeakRunning)
	}
	if got.OutputTokens != n*output || math.Abs(got.TokensPerSecond()*got.Duration.Seconds()-n*output) > 1 || got.PeakKVUsage <= 0 || got.PeakKVUsage > 1 || got.Preemptions != 0 {
		t.Errorf("%+v", got)
	}
}

func TestRunRefuses(t *testing.T) {
	faulty := parse(t, "sim:die-at=3")
	for want, err := range map[string]error{
		"no faults":           second(Run(faulty, ClosedLoop(1, 1, 1, 1))),
		"fit the context":     second(Run(parse(t, "sim:"), ClosedLoop(1, 1, 4000, 97))),
		"each is at least 1":  second(Run(parse(t, "sim:"), ClosedLoop(1, 1, 10, 0))),
		"neither is below 0":  second(Run(parse(t, "sim:"), Load{Requests: []Ask{{-1, 1, 1}}})),
		"vLLM does not start": second(Run(Config{}, Load{})),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if got, err := Run(parse(t, "sim:"), Load{}); err != nil || got.Duration != 0 {
		t.Errorf("an empty load: %+v, %v", got, err)
	}
}

func second[T any](_ T, err error) error { return err }

// How many tokens a second of the computer's time a run makes on one core.
func BenchmarkRun(b *testing.B) {
	for _, c := range []struct {
		name, target             string
		inFlight, prompt, output int
	}{
		{"c1-100-100", "sim:", 1, 100, 100},
		{"c8-500-200", "sim:", 8, 500, 200},
		{"c32-100-100", "sim:", 32, 100, 100},
		{"c256-100-100", "sim:gpu=h100-sxm,model=meta-llama/Llama-3.1-8B-Instruct", 256, 100, 100},
		{"c256-1000-500", "sim:gpu=h100-sxm,model=meta-llama/Llama-3.1-8B-Instruct", 256, 1000, 500},
	} {
		b.Run(c.name, func(b *testing.B) {
			cfg, load := parse(b, c.target), ClosedLoop(c.inFlight, max(400, 20*c.inFlight), c.prompt, c.output)
			tokens := 0
			for b.Loop() {
				r, err := Run(cfg, load)
				if err != nil {
					b.Fatal(err)
				}
				tokens += r.OutputTokens
			}
			b.ReportMetric(float64(tokens)/b.Elapsed().Seconds()/1e6, "Mtokens/s")
		})
	}
}
