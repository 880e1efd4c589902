package capacity

import (
	"math"
	"testing"
	"time"

	"bench/internal/catalog"
)

func stepTime(s Stepper, decodes, length, prefill int) time.Duration {
	var st Step
	s.AddDecodes(&st, decodes, length)
	s.AddPrefill(&st, prefill, 0)
	return s.StepTime(st)
}

// TestStepAnchors holds hand-computed steps.
func TestStepAnchors(t *testing.T) {
	tests := []struct {
		what                   string
		id, card               string
		engine                 Engine
		decodes, length, chunk int
		want                   time.Duration
	}{
		// 23.5 GB of weights and 30.2 GB of KV at 80 % of 3,350 GB/s, 48 × 40 µs and 50 × 25 µs.
		{"Gemma 3 12B on an H100, 50 × 4096", gemma, "h100", Engine{}, 50, 4096, 0, 23200 * time.Microsecond},
		// 15.0 GB of weights at 80 % of 1,555 GB/s, and 32 × 40 µs; 75 tokens/s were measured.
		{"Llama 3.1 8B on an A100 40 GB alone", "meta-llama/Llama-3.1-8B-Instruct", "a100-40gb", Engine{}, 1, 100, 0, 13400 * time.Microsecond},
		// 89 ms of products at peak and 4 ms of attention, at 60 %.
		{"4096 tokens of Gemma 3 12B on an H100", gemma, "h100", Engine{}, 0, 0, 4096, 160 * time.Millisecond},
		// 7 ms + 0.7 ms × 32 of launches hide the compute of so few tokens.
		{"short prompt on an idle H100", "meta-llama/Llama-3.1-8B-Instruct", "h100", Engine{}, 0, 0, 16, 29400 * time.Microsecond},
		// V0: 14.1 GB of weights at 92 % of 768 GB/s, 28 × 75 µs + 1.4 ms + 64 × 75 µs.
		{"V0, 64 requests", "Qwen/Qwen2.5-7B-Instruct", "a6000", Engine{Version: "0.6.3", DType: "bfloat16"}, 64, 1, 0, 28900 * time.Microsecond},
	}
	for _, tc := range tests {
		s := NewStepper(model(t, tc.id), gpu(t, tc.card), tc.engine)
		got := stepTime(s, tc.decodes, tc.length, tc.chunk)
		if d := float64(got)/float64(tc.want) - 1; math.Abs(d) > 0.03 {
			t.Errorf("%s: %v, want %v", tc.what, got, tc.want)
		}
	}
}

// TestStepLaws: more work never takes less time, more GPUs over a fast link never take more, and an
// empty step takes none.
func TestStepLaws(t *testing.T) {
	for _, id := range catalog.ModelIDs() {
		m := model(t, id)
		for _, g := range catalog.GPUs() {
			s := NewStepper(m, g, Engine{})
			if d := s.StepTime(Step{}); d != 0 {
				t.Errorf("%s on %s: an empty step takes %v", id, g.Name, d)
			}
			var last time.Duration
			for _, n := range []int{1, 2, 8, 32, 128} {
				d := stepTime(s, n, 1000, 0)
				if d < last || d <= 0 || d > time.Minute {
					t.Errorf("%s on %s: %d requests take %v, fewer %v", id, g.Name, n, d, last)
				}
				if longer := stepTime(s, n, 2000, 0); longer < d {
					t.Errorf("%s on %s: %d longer requests take %v instead of %v", id, g.Name, n, longer, d)
				}
				if mixed := stepTime(s, n, 1000, 512); mixed <= d {
					t.Errorf("%s on %s: a prefill beside %d requests costs nothing", id, g.Name, n)
				}
				last = d
			}
			if one, two := stepTime(s, 0, 0, 512), stepTime(s, 0, 0, 1024); two < one {
				t.Errorf("%s on %s: 1024 prompt tokens take %v, 512 %v", id, g.Name, two, one)
			}
		}
	}
	m, g := model(t, "meta-llama/Llama-3.1-70B-Instruct"), gpu(t, "h100")
	last := time.Hour
	for _, tp := range []int{1, 2, 4, 8} {
		d := stepTime(NewStepper(m, g, Engine{TensorParallel: tp}), 16, 1000, 0)
		if d >= last {
			t.Errorf("TP %d takes %v, half of it %v", tp, d, last)
		}
		last = d
	}
}

// TestPrefillPairs: chunks of a prompt make as many pairs as the prompt in one piece.
func TestPrefillPairs(t *testing.T) {
	s := NewStepper(model(t, gemma), gpu(t, "h100"), Engine{})
	for _, cuts := range [][]int{{4096}, {1024, 3072}, {100, 1000, 2996}, {4000, 96}} {
		var st Step
		context := 0
		for _, n := range cuts {
			s.AddPrefill(&st, n, context)
			context += n
		}
		wantFull := 4096.0 * 4096 / 2
		wantWindow := 1024.0*1024/2 + 3072*1024
		if st.PrefillTokens != 4096 || math.Abs(st.PrefillPairs-wantFull) > 1 || math.Abs(st.PrefillWindowPairs-wantWindow) > 1 {
			t.Errorf("%v: %d tokens, %.0f and %.0f pairs, want %.0f and %.0f", cuts, st.PrefillTokens, st.PrefillPairs, st.PrefillWindowPairs, wantFull, wantWindow)
		}
	}
}

func TestAllReduce(t *testing.T) {
	table := reduceTableFor(gpu(t, "h100"), 2)
	for _, tc := range []struct{ bytes, want float64 }{
		{1, 4.5e-6}, {16 << 10, 4.5e-6}, {1 << 20, 8.3e-6}, {64 << 20, 307e-6}, {128 << 20, 614e-6},
	} {
		if got := table.seconds(tc.bytes); math.Abs(got/tc.want-1) > 1e-9 {
			t.Errorf("%.0f B: %.2g s, want %.2g", tc.bytes, got, tc.want)
		}
	}
	last := 0.0
	for b := 1.0; b < 1<<30; b *= 1.3 {
		if got := table.seconds(b); got < last {
			t.Errorf("%.0f B take less than fewer", b)
		} else {
			last = got
		}
	}
	// One 4096-token prompt of Gemma 3 12B: about 15 ms of all-reduces on two H100, 0.17 s on two
	// L40S, 1.3 s on four.
	for _, tc := range []struct {
		card string
		tp   int
		want float64
	}{{"h100", 2, 0.015}, {"l40s", 2, 0.17}, {"l40s", 4, 1.3}} {
		got := 2 * 48 * reduceTableFor(gpu(t, tc.card), tc.tp).seconds(4096*3840*2)
		if math.Abs(got/tc.want-1) > 0.15 {
			t.Errorf("%d × %s: %.3f s, want about %.3f", tc.tp, tc.card, got, tc.want)
		}
	}
	if got := reduceTableFor(gpu(t, "h100"), 1).seconds(1e9); got != 0 {
		t.Errorf("one GPU reduces for %v s", got)
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	s := NewStepper(model(t, "Qwen/Qwen3-235B-A22B"), gpu(t, "h100"), Engine{TensorParallel: 8})
	if n := testing.AllocsPerRun(100, func() {
		var st Step
		s.AddDecodes(&st, 8, 1000)
		s.AddPrefill(&st, 100, 0)
		_ = s.StepTime(st)
	}); n != 0 {
		t.Errorf("%v allocations a step", n)
	}
}

func BenchmarkStepTime(b *testing.B) {
	s := NewStepper(model(b, gemma), gpu(b, "h100"), Engine{TensorParallel: 2})
	st := Step{Decodes: 32, DecodeContextTokens: 32000, DecodeWindowTokens: 32000, PrefillTokens: 100}
	for b.Loop() {
		_ = s.StepTime(st)
	}
}

// TestDecodeTimer: the shorter way to a step's time is not another time.
func TestDecodeTimer(t *testing.T) {
	for _, e := range []Engine{{}, {TensorParallel: 4}, {PipelineParallel: 2}, {Version: "0.6.3"}} {
		m, err := catalog.FindModel("google/gemma-3-12b-it")
		if err != nil {
			t.Fatal(err)
		}
		g, err := catalog.FindGPU("h100")
		if err != nil {
			t.Fatal(err)
		}
		s := NewStepper(m, g, e)
		for _, n := range []int{1, 3, 17, 256} {
			timer := s.Decodes(n)
			for _, length := range []int{1, 100, 1023, 1024, 1025, 30_000} {
				var st Step
				s.AddDecodes(&st, n, length)
				if got, want := timer.StepTime(&st), s.StepTime(st); got != want {
					t.Errorf("%d requests of %d tokens: %v, and %v by itself", n, length, got, want)
				}
			}
		}
	}
}
