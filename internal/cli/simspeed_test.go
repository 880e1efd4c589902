package cli_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bench/internal/clock"
	"bench/internal/sim"
	"bench/internal/vllm"
)

// BenchmarkVirtualTime is how many tokens a second of the computer's time pass from the simulator through HTTP to the
// program's own client, for 256 streams at once, on one core.
func BenchmarkVirtualTime(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const streams, tokens = 256, 400
	cfg, err := sim.ParseTarget("sim:gpu=h100-sxm,model=meta-llama/Llama-3.1-8B-Instruct")
	if err != nil {
		b.Fatal(err)
	}
	once := func(t *testing.T) {
		simulator, err := sim.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		simulator.Start()
		defer simulator.Close()
		client, err := vllm.New(vllm.Options{BaseURL: "http://simulator", Timeout: time.Hour, Clock: clock.New(0), Dial: simulator.Dial})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, err := client.Server(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := client.Open(context.Background(), streams); err != nil {
			t.Fatal(err)
		}
		var sent sync.WaitGroup
		for i := range streams {
			p, err := client.Prepare(vllm.Generate{Endpoint: vllm.Chat, Prompt: fmt.Sprintf("%d times the same", i), MaxTokens: tokens, IgnoreEOS: true})
			if err != nil {
				t.Fatal(err)
			}
			sent.Go(func() {
				if r := client.Send(context.Background(), p); r.Error != "" || len(r.TokenNS) != tokens {
					t.Errorf("%d tokens, %s", len(r.TokenNS), r.Error)
				}
			})
		}
		sent.Wait()
	}
	// The way into virtual time takes a *testing.T only, and clocks inside are no measure.
	start, rounds := time.Now(), 0
	always := func(string, string) (bool, error) { return true, nil }
	if !testing.RunTests(always, []testing.InternalTest{{Name: "streams", F: func(t *testing.T) {
		for b.Loop() {
			rounds++
			synctest.Test(t, once)
		}
	}}}) {
		b.Error("a stream went wrong")
	}
	b.ReportMetric(float64(rounds*streams*tokens)/time.Since(start).Seconds(), "tokens/s")
}
