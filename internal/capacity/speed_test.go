package capacity

import (
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var engineVersion = regexp.MustCompile(`vLLM (\d[\w.]*)`)

// quantizationNamed maps how the tables name a checkpoint's weights to vLLM's name.
func quantizationNamed(s string) string {
	switch s = strings.ToLower(s); {
	case strings.HasPrefix(s, "fp8"):
		return "fp8"
	case strings.Contains(s, "int8"):
		return "int8"
	case strings.Contains(s, "gptq"):
		return "gptq"
	case strings.Contains(s, "awq"):
		return "awq"
	}
	return ""
}

// TestDecodeMeasurements holds step times against published measurements with a steady number of
// requests in flight: time per output token is a step, and the prompts of the others that run in
// between. The bounds are a little wider than what the model reaches; -v prints each card.
func TestDecodeMeasurements(t *testing.T) {
	byCard := make(map[string][]float64)
	var all []float64
	for _, r := range readTable(t, "testdata/decode_measurements.csv") {
		m, known := modelOfStartup(r["model_id"])
		g, knownGPU := gpuNamed(r["gpu_name"])
		if !known || !knownGPU {
			t.Errorf("%s: %s on %s is not in the catalogue", r["case_id"], r["model_id"], r["gpu_name"])
			continue
		}
		e := Engine{TensorParallel: r.int("tensor_parallel"), Quantization: quantizationNamed(r["quantization"])}
		if v := engineVersion.FindStringSubmatch(r["engine"]); v != nil {
			e.Version = v[1]
		}
		replicas := max(r.int("gpu_count")/e.TensorParallel, 1)
		requests := max(r.int("concurrency")/replicas, 1)
		input, output := r.int("input_tokens"), r.int("output_tokens")

		predicted := tpot(NewStepper(m, g, e), requests, input, output)
		measured := r.number("tpot_ms")
		if measured == nil {
			// One request at a time, tokens over the whole call: its prompt is in the time.
			measured = new(1000 / *r.number("output_tok_s"))
			predicted += prefillMS(NewStepper(m, g, e), input) / float64(output)
		}
		d := predicted / *measured - 1
		byCard[r["gpu_name"]] = append(byCard[r["gpu_name"]], d)
		all = append(all, d)
	}
	for _, card := range slices.Sorted(maps.Keys(byCard)) {
		median, within := medianAbs(byCard[card])
		t.Logf("%-18s %3d rows, median error %4.1f %%, %3.0f %% within 10 %%", card, len(byCard[card]), 100*median, 100*within)
	}
	median, within := medianAbs(all)
	t.Logf("%-18s %3d rows, median error %4.1f %%, %3.0f %% within 10 %%", "all", len(all), 100*median, 100*within)
	if len(all) < 200 || median > 0.06 || within < 0.7 {
		t.Errorf("%d rows, median error %.1f %%, %.0f %% within 10 %%; want 200, at most 6 %%, at least 70 %%", len(all), 100*median, 100*within)
	}
}

// tpot is the time per output token in milliseconds with so many requests in flight.
func tpot(s Stepper, requests, input, output int) float64 {
	var st Step
	s.AddDecodes(&st, requests, input+output/2)
	step := s.StepTime(st).Seconds() * 1000
	return step + float64(requests-1)/float64(output)*prefillMS(s, input)
}

// prefillMS is what a prompt adds to the step it shares with decoding requests, in milliseconds.
func prefillMS(s Stepper, tokens int) float64 {
	var decode Step
	s.AddDecodes(&decode, 1, 1)
	both := decode
	s.AddPrefill(&both, tokens, 0)
	return (s.StepTime(both) - s.StepTime(decode)).Seconds() * 1000
}

// TestSpeedCaveats names what no measurement stands behind.
func TestSpeedCaveats(t *testing.T) {
	m := model(t, gemma)
	if got := SpeedCaveats(m, gpu(t, "h100"), Engine{}); len(got) != 0 {
		t.Errorf("a dense model on one H100: %q", got)
	}
	got := SpeedCaveats(m, gpu(t, "rtx-4090"), Engine{TensorParallel: 4, EnforceEager: true})
	if len(got) != 2 || !strings.Contains(got[0], "GeForce") || !strings.Contains(got[1], "--enforce-eager") {
		t.Errorf("four RTX 4090, eager: %q", got)
	}
	if d := math.Abs(peakTFLOPS(Engine{DType: "float32"}, scheme{bits: 16, computeBits: 16}, gpu(t, "v100-32gb")) - 15.6); d > 0.1 {
		t.Errorf("float32 on a V100 is %.1f TFLOPS off", d)
	}
}
