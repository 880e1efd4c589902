package sizing

import (
	"math"
	"strings"
	"testing"

	"bench/internal/capacity"
	"bench/internal/record"
)

// measuredOn is a folder with one lone request, that took factor times what is computed.
func measuredOn(t *testing.T, slug, root string, input int, factor, prefill float64) Results {
	t.Helper()
	r := Results{Folder: "results", Run: record.Run{
		Server: record.Server{ServedModel: "m", ModelRoot: root, EngineVersion: "0.28.0", MaxModelLen: 8192},
		GPUs:   []record.GPUInfo{{Name: card(t, slug).Name}},
	}}
	m, g, e, why := measuredEngine(r)
	if why != (record.Text{}) {
		t.Fatal(why.En)
	}
	rec := record.Record{TestID: "T1", ConcurrentRequests: 1, InputTokens: input, MaxOutputTokens: 100, Status: record.StatusSuccess, Trust: record.Trust{Verdict: record.TrustSound}}
	lone, err := loneRequest(m, g, e, rec)
	if err != nil {
		t.Fatal(err)
	}
	rec.Results.AvgTPOTMS, rec.Results.AvgTTFTMS = new(lone.tpotMS*factor), new(lone.ttftMS*prefill)
	r.Records = []record.Record{rec}
	return r
}

func TestCalibrate(t *testing.T) {
	c := Calibrate(measuredOn(t, "rtx-3090", "gaunernst/gemma-3-12b-it-int4-awq", 100, 1.2, 1))
	if math.Abs(c.Factors.StepFactor-1.2) > 1e-9 || c.Factors.PrefillFactor != 1 || c.Factors.Class != "4-bit weights, Ampere 8.6, V1" {
		t.Errorf("factors %+v", c.Factors)
	}
	if d := c.Document; d.PrefillFactor != nil || d.StepFactor == nil || d.Machine != "1 × NVIDIA GeForce RTX 3090, google/gemma-3-12b-it, awq" {
		t.Errorf("document %+v", d)
	}
	// A long prompt tells both.
	c = Calibrate(measuredOn(t, "rtx-3090", "gaunernst/gemma-3-12b-it-int4-awq", 4000, 1.2, 1.5))
	if math.Abs(c.Factors.StepFactor-1.2) > 1e-9 || math.Abs(c.Factors.PrefillFactor-1.5) > 1e-6 {
		t.Errorf("with a long prompt: factors %+v", c.Factors)
	}
}

// TestCalibratedPrediction: what was calibrated by a test predicts that test.
func TestCalibratedPrediction(t *testing.T) {
	r := measuredOn(t, "rtx-3090", "gaunernst/gemma-3-12b-it-int4-awq", 4000, 1.3, 0.9)
	c := Calibrate(r)
	m, g, e, _ := measuredEngine(r)
	rec := r.Records[0]
	p, err := capacity.Predict(m, g, e, capacity.Load{Concurrent: 1, InputTokens: rec.InputTokens, OutputTokens: rec.MaxOutputTokens}, &c.Factors)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(p.TPOTMS.Value / *rec.Results.AvgTPOTMS - 1) > 1e-9 || math.Abs(p.TTFTMS.Value / *rec.Results.AvgTTFTMS - 1) > 1e-9 {
		t.Errorf("predicts %.2f and %.1f ms, measured %.2f and %.1f", p.TPOTMS.Value, p.TTFTMS.Value, *rec.Results.AvgTPOTMS, *rec.Results.AvgTTFTMS)
	}
}

// TestCalibrateRefuses: what cannot be believed scales nothing, and says why.
func TestCalibrateRefuses(t *testing.T) {
	good := func() Results { return measuredOn(t, "rtx-3090", "gaunernst/gemma-3-12b-it-int4-awq", 100, 1.2, 1) }
	for name, c := range map[string]struct {
		change func(*Results)
		says   string
	}{
		"too fast":     {func(r *Results) { *r.Records[0].Results.AvgTPOTMS /= 3 }, "not what it is taken for"},
		"too slow":     {func(r *Results) { *r.Records[0].Results.AvgTPOTMS *= 3 }, "not what it is taken for"},
		"no model":     {func(r *Results) { r.Run.Server.ModelRoot = "/models/own" }, "does not have its model"},
		"no GPU":       {func(r *Results) { r.Run.GPUs = nil }, "on which GPU"},
		"no width":     {func(r *Results) { r.Run.Server.ModelRoot = "google/gemma-3-12b-it" }, "quantised is not known"},
		"impossible":   {func(r *Results) { r.Run.GPUs[0].Name = card(t, "t4").Name }, "would not start"},
		"failed":       {func(r *Results) { r.Records[0].Status = record.StatusFailure }, "no test that succeeded"},
		"invalid":      {func(r *Results) { r.Records[0].Trust.Verdict = record.TrustInvalid }, "no test that succeeded"},
		"no figure":    {func(r *Results) { r.Records[0].Results.AvgTPOTMS = nil }, "no test that succeeded"},
		"nothing":      {func(r *Results) { r.Records = nil }, "no test that succeeded"},
		"not a number": {func(r *Results) { *r.Records[0].Results.AvgTPOTMS = math.NaN() }, ""},
	} {
		r := good()
		c.change(&r)
		got := Calibrate(r)
		if got.Factors.StepFactor != 1 || got.Factors.PrefillFactor != 1 || got.Document.StepFactor != nil {
			t.Errorf("%s: factors %+v", name, got.Factors)
		}
		if text := got.Document.Text; len(text) == 0 || !strings.Contains(text[0].En, c.says) || text[0].Ko == "" {
			t.Errorf("%s says %q, want %q", name, text, c.says)
		}
	}
	// The log settles what the name leaves open.
	r := good()
	r.Run.Server.ModelRoot = "google/gemma-3-12b-it"
	r.Verify = &record.Verify{ServerLog: &record.Startup{Quantization: "compressed-tensors"}}
	if got := Calibrate(r); got.Document.StepFactor == nil {
		t.Errorf("with the start-up log: %v", got.Document.Text)
	}
}

func TestLightest(t *testing.T) {
	rec := func(id string, n, input int) record.Record {
		return record.Record{TestID: id, ConcurrentRequests: n, InputTokens: input, MaxOutputTokens: 100, Results: record.Results{AvgTPOTMS: new(10.0)}}
	}
	got, ok := lightest([]record.Record{rec("T4", 8, 100), rec("T1", 1, 100), rec("baseline-500-200", 1, 500), rec("T7", 4, 500)})
	if !ok || got.TestID != "baseline-500-200" {
		t.Errorf("the lightest is %s", got.TestID)
	}
}

// TestMeasuredHoldsInItsClass: outside the class of kernels nothing is scaled, and it says so.
func TestMeasuredHoldsInItsClass(t *testing.T) {
	r := measuredOn(t, "rtx-3090", "gaunernst/gemma-3-12b-it-int4-awq", 100, 1.2, 1)
	r.Run.Simulated = true
	req := gemma(t)
	req.Measured = Calibrate(r)
	doc := sized(t, req)
	m := doc.Calibration.Measured
	if m.Setups != 0 || m.Others == 0 {
		t.Errorf("4-bit weights on an RTX 3090 scaled %d set-ups of 16-bit weights, left %d", m.Setups, m.Others)
	}
	last := m.Text[len(m.Text)-1].En
	if !strings.Contains(last, "4-bit weights, Ampere 8.6, V1 says little about 16-bit weights") {
		t.Errorf("says %q", last)
	}
	if !strings.Contains(m.Text[0].En, "SIMULATED") || !m.Simulated {
		t.Errorf("a simulated folder is not named so: %q", m.Text[0].En)
	}
	req.Engine.Quantization = "awq"
	m = sized(t, req).Calibration.Measured
	if m.Setups == 0 || m.Others == 0 {
		t.Errorf("in its own class %d set-ups are scaled, %d others", m.Setups, m.Others)
	}
	scales := func(slug string, e capacity.Engine) bool { return req.Measured.scales(req.Model, card(t, slug), e) }
	if !scales("a10", capacity.Engine{Quantization: "gptq"}) {
		t.Error("an A10 with 4-bit weights has the same kernels")
	}
	if scales("a100-80gb", capacity.Engine{Quantization: "awq"}) || scales("rtx-3090", capacity.Engine{Quantization: "awq", Version: "0.6.4"}) {
		t.Error("an A100, or V0, has other kernels")
	}
}
