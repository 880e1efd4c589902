package main

import (
	"math"

	"bench/internal/capacity"
	"bench/internal/stats"
)

// residual is one figure of one measurement beside its prediction.
type residual struct {
	measurement
	metric    string
	measured  float64 // ms, or output tokens a second of the whole set-up
	predicted float64
	unsound   string // why the measurement is not scored; "" = it is
}

// ratio is measured / predicted.
func (r residual) ratio() float64 { return r.measured / r.predicted }

// relative is how far the prediction lies from the measurement, as a share of it.
func (r residual) relative() float64 { return r.predicted/r.measured - 1 }

// openLoopShare is the load above which an open loop is not predicted: near its capacity the number in
// flight depends on how long the run was.
const openLoopShare = 0.8

const overLoad = "open loop above 80 % of what the set-up can take"

// predictAll compares every figure of every measurement. Set-ups that the memory model would not
// start, though they ran, are counted.
func predictAll(ms []measurement) (out []residual, refused int) {
	for _, m := range ms {
		p, reason, err := m.predict()
		if err != nil {
			refused++
			continue
		}
		add := func(metric string, measured, predicted float64) {
			r := residual{measurement: m, metric: metric, measured: measured, predicted: predicted, unsound: m.unsound()}
			if r.unsound == "" {
				r.unsound = reason
			}
			if r.unsound == "" {
				r.unsound = m.impossible(metric, measured)
			}
			out = append(out, r)
		}
		if v, ok := m.first("ttft_ms_mean", "ttft_ms_median"); ok {
			add(capacity.MetricTTFT, v, p.TTFTMS.Value)
		}
		if v, ok := m.first("tpot_ms_mean", "tpot_ms_median"); ok {
			add(capacity.MetricTPOT, v, p.TPOTMS.Value)
		}
		if v, ok := m.number("output_tok_s"); ok {
			switch {
			case m.row["load_kind"] == "single_stream":
				// One request after another: the rate is the time per token, its prompt inside it.
				add(capacity.MetricTPOT, 1000/v, p.LatencyMS.Value/float64(m.load.OutputTokens))
			case m.openRate == 0:
				add(capacity.MetricThroughput, v, float64(m.replicas)*p.OutputTokensPerSec.Value)
			}
		}
	}
	return out, refused
}

// predict is what the model says of a measurement; unscored says why it cannot be held against it.
func (m measurement) predict() (p capacity.Prediction, unscored string, err error) {
	if m.openRate == 0 {
		p, err = capacity.Predict(m.model, m.gpu, m.engine, m.load, nil)
		return p, "", err
	}
	// The number in flight of an open loop is rate × time in the system, found by repetition.
	m.load.Concurrent = 1
	for range 60 {
		if p, err = capacity.Predict(m.model, m.gpu, m.engine, m.load, nil); err != nil {
			return p, "", err
		}
		next := max(1, int(math.Round(m.openRate*p.LatencyMS.Value/1000)))
		if next == m.load.Concurrent {
			break
		}
		m.load.Concurrent = min(next, 4096)
	}
	full := m.load
	full.Concurrent = 4096
	top, err := capacity.Predict(m.model, m.gpu, m.engine, full, nil)
	if err != nil {
		return p, "", err
	}
	if m.openRate*float64(m.load.OutputTokens) > openLoopShare*top.OutputTokensPerSec.Value {
		return p, overLoad, nil
	}
	return p, "", nil
}

// unsound says by rules on what the source itself prints why a measurement is not scored; it never looks
// at the prediction.
func (m measurement) unsound() string {
	if m.row["trust"] == "C" {
		return "trust C"
	}
	if m.row["model_id"] == "nvidia/Llama-3.1-8B-Instruct-FP8" {
		return "prompts came from the prefix cache: up to 90 % of the FP8 peak over the whole run"
	}
	if m.row["note"] != "" {
		return m.row["note"]
	}
	if m.engine.EnforceEager {
		return "run without CUDA graphs, whose cost is not modelled"
	}
	if v, ok := m.number("consistency"); ok && (v < 0.8 || v > 1.25) {
		return "its latencies and its run time differ by more than a quarter"
	}
	if v, ok := m.number("steadiness"); ok && v < 0.5 {
		return "its slowest minute ran at less than half the rate of its fastest"
	}
	if m.load.Concurrent > 256 && m.row["load_kind"] == "closed_loop" {
		return "more in flight than the scheduler's slots: its TTFT is a queue's"
	}
	return ""
}

// impossible says which law of the card a figure would break: more than 97 % of its bandwidth for the
// weights alone, or more than 90 % of its peak for one prompt.
func (m measurement) impossible(metric string, measured float64) string {
	l := capacity.LawsOf(m.model, m.gpu, m.engine)
	switch {
	case metric == capacity.MetricTPOT && l.WeightReadSeconds*1000 > 0.97*measured:
		return "faster than the weights can be read"
	case metric == capacity.MetricTTFT && m.load.Concurrent == 1 && l.PromptSeconds(m.load.InputTokens)*1000 > 0.9*measured:
		return "faster than the prompt can be computed"
	}
	return ""
}

// sound are the residuals of one metric that are scored.
func sound(rs []residual, metric string) []residual {
	var out []residual
	for _, r := range rs {
		if r.metric == metric && r.unsound == "" {
			out = append(out, r)
		}
	}
	return out
}

// errorsOf summarises residuals: median and 90th percentile of |predicted / measured − 1|, the median of
// the signed one, and the share within a tenth and a fifth.
type errorSummary struct {
	rows, series                          int
	median, p90, bias, within10, within20 float64
}

func errorsOf(rs []residual) errorSummary {
	var abs, signed []float64
	series := map[string]bool{}
	for _, r := range rs {
		abs, signed = append(abs, math.Abs(r.relative())), append(signed, r.relative())
		series[r.row["series_id"]] = true
	}
	share := func(bound float64) float64 {
		n := 0
		for _, x := range abs {
			if x <= bound {
				n++
			}
		}
		return float64(n) / float64(len(abs))
	}
	return errorSummary{len(rs), len(series), quantile(abs, 0.5), quantile(abs, 0.9), quantile(signed, 0.5), share(0.1), share(0.2)}
}

// quantile of any number of values above none.
func quantile(xs []float64, q float64) float64 {
	v, _ := stats.Quantile(xs, q)
	return v
}
