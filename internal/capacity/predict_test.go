package capacity

import (
	"math"
	"testing"

	"bench/internal/catalog"
)

func predict(t *testing.T, m catalog.Model, g catalog.GPU, e Engine, l Load) Prediction {
	t.Helper()
	p, err := Predict(m, g, e, l, nil)
	if err != nil {
		t.Fatalf("%s on %s, %+v: %v", m.ID, g.Slug, l, err)
	}
	return p
}

// TestPredictLaws holds for every card that carries the model: what no engine can do is not predicted.
func TestPredictLaws(t *testing.T) {
	m := model(t, gemma)
	tried := 0
	for _, g := range catalog.GPUs() {
		e := Engine{MaxModelLen: 8192}
		if len(Refusals(m, g, e)) > 0 {
			continue
		}
		if mem, err := PlanMemory(m, g, e); err != nil || !mem.Fits {
			continue
		}
		tried++
		last := Prediction{}
		for _, n := range []int{1, 2, 4, 8, 16, 32, 64, 128} {
			p := predict(t, m, g, e, Load{LoadClosed, n, 1000, 200})
			if n > 1 {
				if p.TPOTMS.Value < last.TPOTMS.Value || p.TTFTMS.Value < last.TTFTMS.Value {
					t.Errorf("%s: %d in flight are faster each than half as many: %+v after %+v", g.Slug, n, p, last)
				}
				if p.OutputTokensPerSec.Value < last.OutputTokensPerSec.Value*0.999 {
					t.Errorf("%s: %d in flight make fewer tokens a second than half as many", g.Slug, n)
				}
			}
			for _, r := range []Range{p.TTFTMS, p.TPOTMS, p.LatencyMS, p.OutputTokensPerSec} {
				if !(r.Low > 0 && r.Low <= r.Value && r.Value <= r.High) || math.IsInf(r.High, 0) {
					t.Errorf("%s at %d: %+v is no range around its value", g.Slug, n, r)
				}
			}
			if p.Basis == "" || p.Running < 1 || p.Running > n {
				t.Errorf("%s at %d: basis %q, %d running", g.Slug, n, p.Basis, p.Running)
			}
			// Little's law: requests in flight = rate × time in the system.
			if got := p.OutputTokensPerSec.Value / 200 * p.LatencyMS.Value / 1000; math.Abs(got/float64(n)-1) > 0.01 {
				t.Errorf("%s at %d: rate × latency is %.2f requests", g.Slug, n, got)
			}
			last = p
		}
		long := predict(t, m, g, e, Load{LoadClosed, 1, 4000, 200})
		if short := predict(t, m, g, e, Load{LoadClosed, 1, 1000, 200}); long.TTFTMS.Value < short.TTFTMS.Value || long.TPOTMS.Value < short.TPOTMS.Value {
			t.Errorf("%s: a longer prompt is faster", g.Slug)
		}
		wide := g
		wide.BandwidthGBs *= 2
		if p := predict(t, m, wide, e, Load{LoadClosed, 8, 1000, 200}); p.TPOTMS.Value > predict(t, m, g, e, Load{LoadClosed, 8, 1000, 200}).TPOTMS.Value {
			t.Errorf("%s: twice the bandwidth is slower", g.Slug)
		}
		laws := LawsOf(m, g, e)
		one := predict(t, m, g, e, Load{LoadClosed, 1, 1000, 200})
		if one.TPOTMS.Value < 1000*laws.WeightReadSeconds || one.TTFTMS.Value < 1000*laws.PromptSeconds(1000) {
			t.Errorf("%s: faster than its card: %+v", g.Slug, one)
		}
	}
	if tried < 10 {
		t.Errorf("only %d cards carry %s", tried, gemma)
	}
}

// TestPredictLoads: a burst's and a fixed batch's last token lies where its prompts and its steps end.
func TestPredictLoads(t *testing.T) {
	m, g := model(t, "meta-llama/Llama-3.1-8B-Instruct"), gpu(t, "h100")
	one := predict(t, m, g, Engine{}, Load{LoadClosed, 1, 500, 200})
	for _, kind := range []LoadKind{LoadBurst, LoadStatic} {
		if p := predict(t, m, g, Engine{}, Load{kind, 1, 500, 200}); math.Abs(p.LatencyMS.Value/one.LatencyMS.Value-1) > 0.01 {
			t.Errorf("one request as %s takes %.1f ms, alone %.1f", kind, p.LatencyMS.Value, one.LatencyMS.Value)
		}
	}
	few := predict(t, m, g, Engine{MaxNumSeqs: 4}, Load{LoadBurst, 16, 500, 200})
	all := predict(t, m, g, Engine{}, Load{LoadBurst, 16, 500, 200})
	if few.Running != 4 || all.Running != 16 || few.TTFTMS.Value < 5*all.TTFTMS.Value || few.OutputTokensPerSec.Value > all.OutputTokensPerSec.Value {
		t.Errorf("16 at once in 4 places: %+v, in 16: %+v", few, all)
	}
}

// TestPredictCalibration: a factor scales its own class of kernels and no other.
func TestPredictCalibration(t *testing.T) {
	m, g := model(t, gemma), gpu(t, "rtx-3090")
	e := Engine{Quantization: "w4a16", MaxModelLen: 4096}
	load := Load{LoadClosed, 1, 100, 100}
	plain := predict(t, m, g, e, load)
	c := &Calibration{StepFactor: 1.5, PrefillFactor: 2, Class: KernelClass(m, g, e)}
	scaled, err := Predict(m, g, e, load, c)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(scaled.TPOTMS.Value/plain.TPOTMS.Value-1.5) > 1e-9 || math.Abs(scaled.TTFTMS.Value/plain.TTFTMS.Value-2) > 1e-9 {
		t.Errorf("scaled %+v, plain %+v", scaled, plain)
	}
	h := gpu(t, "a100-80gb")
	other, err := Predict(m, h, Engine{MaxModelLen: 4096}, load, c)
	if err != nil {
		t.Fatal(err)
	}
	if other.TPOTMS != predict(t, m, h, Engine{MaxModelLen: 4096}, load).TPOTMS {
		t.Error("a factor of W4A16 on a 3090 moved BF16 on an A100")
	}
}

// TestPredictRefuses what cannot be predicted.
func TestPredictRefuses(t *testing.T) {
	m := model(t, gemma)
	for name, try := range map[string]func() error{
		"no output": func() error {
			_, err := Predict(m, gpu(t, "h100"), Engine{}, Load{LoadClosed, 1, 10, 0}, nil)
			return err
		},
		"no memory": func() error {
			_, err := Predict(m, gpu(t, "rtx-3060"), Engine{}, Load{LoadClosed, 1, 10, 10}, nil)
			return err
		},
	} {
		if try() == nil {
			t.Errorf("%s: predicted", name)
		}
	}
}

// TestUnmeasured: no row covers a card that nobody published figures of.
func TestUnmeasured(t *testing.T) {
	m := model(t, gemma)
	if p := predict(t, m, gpu(t, "l40"), Engine{}, Load{LoadClosed, 4, 100, 100}); p.Measured {
		t.Errorf("an L40 is measured by %s", p.Basis)
	}
	if p := predict(t, m, gpu(t, "h100"), Engine{}, Load{LoadClosed, 4, 100, 100}); !p.Measured {
		t.Errorf("an H100 is not measured: %s", p.Basis)
	}
}

func BenchmarkPredict(b *testing.B) {
	m, err := catalog.FindModel(gemma)
	if err != nil {
		b.Fatal(err)
	}
	g, err := catalog.FindGPU("h100")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Predict(m, g, Engine{}, Load{LoadClosed, 50, 3072, 1024}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
