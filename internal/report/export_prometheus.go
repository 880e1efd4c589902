package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"bench/internal/record"
)

// sample is one line of a metric: labels and a value.
type sample struct {
	labels labels
	value  float64
}

// labels are names and values in turn.
type labels []string

// Prometheus writes the figures of the tests and the limits found in Prometheus' text format, all of them gauges in
// base units; a figure that is not known is not written. No sample has a time: the figures are final, and what reads the
// file (node exporter's textfile collector, for one) refuses times.
func Prometheus(w io.Writer, in Input) error {
	var b bytes.Buffer
	recs := slices.Concat(in.Baselines, in.Tests, in.Open)
	id := in.Run.Identity
	family(&b, "bench_run_info", "What was measured.", []sample{{labels{"model", id.ModelRoot, "engine_version", id.EngineVersion,
		"gpus", gpuNames(in.Run.GPUs), "bench_version", in.Run.ToolVersion, "simulated", strconv.FormatBool(in.Run.Simulated)}, 1}})
	family(&b, "bench_run_created_timestamp_seconds", "When the results were begun, in Unix time.",
		[]sample{{labels{"simulated", strconv.FormatBool(in.Run.Simulated)}, float64(in.Run.CreatedAt.UnixMilli()) / 1e3}})
	var info []sample
	for i := range recs {
		info = append(info, sample{append(testLabels(&recs[i]), "kind", recs[i].Detail.Kind, "status", string(recs[i].Status), "trust", recs[i].Trust.Verdict), 1})
	}
	family(&b, "bench_test_info", "The tests, with the judgement of each.", info)
	for _, m := range prometheusFigures {
		var samples []sample
		for i := range recs {
			if v := m.of(&recs[i]); v != nil {
				samples = append(samples, sample{testLabels(&recs[i]), *v * m.factor})
			}
		}
		family(&b, m.name, m.help, samples)
	}
	for _, m := range prometheusQuantiles {
		var samples []sample
		for i := range recs {
			samples = append(samples, quantiles(&recs[i], m.of(&recs[i].Detail))...)
		}
		family(&b, m.name, m.help, samples)
	}
	var failed []sample
	for i := range recs {
		for _, e := range recs[i].Results.Errors {
			failed = append(failed, sample{append(testLabels(&recs[i]), "class", string(e.Class)), float64(e.Count)})
		}
	}
	family(&b, "bench_requests_failed", "Requests that failed, by class.", failed)
	family(&b, "bench_limit_concurrent_requests", "Limits that were reached and the recommended concurrency, in requests in flight.", limitSamples(in.Analysis))
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("writing Prometheus' text format: %w", err)
	}
	return nil
}

// prometheusFigures are one value a test; factor takes the record's unit to the base unit.
var prometheusFigures = []struct {
	name, help string
	factor     float64
	of         func(*record.Record) *float64
}{
	{"bench_ttft_seconds", "Mean time to the first token of successful requests.", 1e-3, func(r *record.Record) *float64 { return r.Results.AvgTTFTMS }},
	{"bench_tpot_seconds", "Mean time per output token after the first of successful requests.", 1e-3, func(r *record.Record) *float64 { return r.Results.AvgTPOTMS }},
	{"bench_latency_seconds", "Mean time to the last token of successful requests.", 1e-3, func(r *record.Record) *float64 { return r.Results.AvgTotalLatencyMS }},
	{"bench_throughput_tokens_per_second", "Output tokens of successful requests a second, mean over repeats.", 1, func(r *record.Record) *float64 { return r.Results.ThroughputTokensPerSec }},
	{"bench_success_ratio", "Share of requests that succeeded, 0 to 1.", 1, func(r *record.Record) *float64 { return r.Results.SuccessRate }},
	{"bench_requests", "Requests sent, warm-up left out.", 1, func(r *record.Record) *float64 { return new(float64(r.Detail.Requests)) }},
	{"bench_gpu_memory_peak_bytes", "Most memory in use on the fullest GPU of the server.", 1 << 20, func(r *record.Record) *float64 { return r.Results.PeakMemoryMB }},
	{"bench_kv_cache_usage_peak_ratio", "Highest share of the KV cache in use, 0 to 1, as the server says.", 1, func(r *record.Record) *float64 {
		if r.Detail.ServerDelta == nil {
			return nil
		}
		return r.Detail.ServerDelta.MaxKVUsage
	}},
	{"bench_gpu_energy_joules", "Energy of the server's GPUs during the repeats, idle power included.", 1, func(r *record.Record) *float64 {
		if r.Detail.Energy == nil {
			return nil
		}
		return &r.Detail.Energy.Joules
	}},
}

// prometheusQuantiles are distributions over a test's requests.
var prometheusQuantiles = []struct {
	name, help string
	of         func(*record.Detail) *record.Distribution
}{
	{"bench_ttft_quantile_seconds", "Quantiles of the time to the first token, where the sample is large enough.", func(d *record.Detail) *record.Distribution { return d.TTFT }},
	{"bench_tpot_quantile_seconds", "Quantiles of the time per output token, where the sample is large enough.", func(d *record.Detail) *record.Distribution { return d.TPOT }},
	{"bench_itl_quantile_seconds", "Quantiles of the gaps between reads that brought tokens, where the sample is large enough.", func(d *record.Detail) *record.Distribution { return d.ITL }},
	{"bench_latency_quantile_seconds", "Quantiles of the time to the last token, where the sample is large enough.", func(d *record.Detail) *record.Distribution { return d.Latency }},
}

func testLabels(r *record.Record) labels {
	return labels{"test", r.TestID, "concurrent", strconv.Itoa(r.ConcurrentRequests), "input_tokens", strconv.Itoa(r.InputTokens),
		"output_tokens", strconv.Itoa(r.MaxOutputTokens), "simulated", strconv.FormatBool(r.Detail.Simulated)}
}

func quantiles(r *record.Record, d *record.Distribution) []sample {
	if d == nil {
		return nil
	}
	var out []sample
	for _, q := range []struct {
		name  string
		value *float64
	}{{"0.5", d.P50}, {"0.9", d.P90}, {"0.95", d.P95}, {"0.99", d.P99}} {
		if q.value != nil {
			out = append(out, sample{append(testLabels(r), "quantile", q.name), *q.value / 1e3})
		}
	}
	return out
}

func limitSamples(a *record.Analysis) []sample {
	if a == nil {
		return nil
	}
	var out []sample
	for _, l := range a.Ladders {
		for _, limit := range []struct {
			name string
			of   record.Limit
		}{{"oom", l.OOM}, {"latency_surge", l.LatencySurge}, {"saturation", l.Saturation}, {"recommended", l.Recommended}} {
			if limit.of.Reached && limit.of.Concurrent != nil {
				out = append(out, sample{labels{"limit", limit.name, "input_tokens", strconv.Itoa(l.InputTokens), "output_tokens", strconv.Itoa(l.MaxOutputTokens),
					"cause", string(limit.of.Cause), "simulated", strconv.FormatBool(a.Simulated)}, *limit.of.Concurrent})
			}
		}
	}
	return out
}

// family writes a metric with all its samples in one piece, as the format wants it; one without samples is left out.
func family(b *bytes.Buffer, name, help string, samples []sample) {
	if len(samples) == 0 {
		return
	}
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name)
	for _, s := range samples {
		b.WriteString(name)
		for i := 0; i < len(s.labels); i += 2 {
			b.WriteString(map[bool]string{true: "{", false: ","}[i == 0])
			fmt.Fprintf(b, `%s="%s"`, s.labels[i], labelEscapes.Replace(clean(s.labels[i+1])))
		}
		fmt.Fprintf(b, "} %s\n", strconv.FormatFloat(s.value, 'g', -1, 64))
	}
}

// labelEscapes are the characters that the format escapes in a label's value; a line end, the third, is no part of clean text.
var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
