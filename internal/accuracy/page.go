package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"bench/internal/capacity"
)

// farOff is the error from which a sound row is listed by name.
const farOff = 0.5

// page is docs/accuracy.md.
func page(rs []residual, refused int, skipped map[string]int) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Accuracy")
	p("")
	p("How far the arithmetic behind `bench size` and the simulator lies from what others published. This page is made by `make accuracy` from the")
	p("rows in the repository; nothing here was measured by this project. The error is |predicted / measured − 1|; the bias is the median of predicted /")
	p("measured − 1. One average over everything says little: look for your card and your weights.")
	p("")
	p("The constants of the speed model were chosen with these rows in sight, so its errors on other rows are larger. A measurement of your own")
	p("machine is worth more than any of them: `bench size --from DIR` scales predictions by it.")
	p("")
	p("## Speed")
	p("")
	b.WriteString(summaryTable(rs))
	p("")
	for _, t := range []struct {
		title string
		name  func(residual) string
	}{
		{"By card", func(r residual) string { return r.row["gpu_name"] }},
		{"By model", func(r residual) string { return r.row["model_id"] }},
		{"By weights, engine and load", func(r residual) string {
			c := r.class()
			load := c.Load
			if r.openRate > 0 {
				load = "open"
			}
			return fmt.Sprintf("%s, %s, %s", c.Weights, c.Engine, load)
		}},
		{"By tensor parallel size", func(r residual) string { return fmt.Sprintf("TP %d", r.engine.TensorParallel) }},
	} {
		p("### %s", t.title)
		p("")
		p("| | figure | rows | median error | 90 %% within | bias |")
		p("|---|---|---|---|---|---|")
		for _, metric := range metrics {
			for _, g := range grouped(sound(rs, metric), t.name) {
				e := errorsOf(g.rs)
				p("| %s | %s | %d | %s | %s | %s |", g.name, metricName(metric), e.rows, percent(e.median), percent(e.p90), signed(e.bias))
			}
		}
		p("")
	}
	p("### The simulator beside the formula")
	p("")
	p("`bench size` prices a load by a formula; the simulator puts each of its requests through V1's scheduler, with the same times of a step. Here are both on the")
	p("rows of V1 under load. Where a source does not say how many requests it sent, the simulator sends %d for each in flight; lengths lie within %.0f %% of", wavesOfLoop, 100*spreadOfLengths)
	p("those named, because real requests do not end in lock-step.")
	p("")
	b.WriteString(simulatorTable(rs))
	p("")
	p("The shares in the formula's TTFT were fitted to such rows, the simulator has nothing that was; it has neither the API process nor the way to the client, so its first")
	p("tokens come early. `bench size` therefore uses the formula. For open loops, which `size` is not asked for, the simulator is the better one, on few rows.")
	p("")
	p("### Rows that are not explained")
	p("")
	p("Sound rows more than %s off. Where several figures of one series are off alike, the machine or its client is the likeliest cause.", percent(farOff))
	p("")
	p("| row | set-up | load | figure | measured | predicted |")
	p("|---|---|---|---|---|---|")
	for _, metric := range metrics {
		for _, r := range sound(rs, metric) {
			if math.Abs(r.relative()) > farOff {
				p("| %s | %s, %s × %d, %s | %s | %s | %.4g | %.4g |", r.row["case_id"], short(r.row["model_id"]), r.row["gpu_name"], r.row.int("gpu_count"), r.row["engine"],
					describe(r), metricName(metric), r.measured, r.predicted)
			}
		}
	}
	p("")
	p("Best guesses. 0.5B models are bound by the host: the same engine steps in 2 to 5 ms on different machines, and V0's API process sends between 1,400")
	p("and 6,100 tokens/s. H20-3e and H200 rows of one source decode at a quarter of their bandwidth with one request in flight, on hosts that")
	p("are slow throughout. L4 and RTX 6000 Ada fall behind under full batches: their power limit, which no row states, keeps them from the peak.")
	p("")
	p("### What is not scored")
	p("")
	p("Decided by what a source prints of its own run, and by what no card can do; never by the size of the error.")
	p("")
	p("| reason | figures |")
	p("|---|---|")
	reasons := map[string]int{}
	for _, r := range rs {
		if r.unsound != "" {
			reasons[r.unsound]++
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		p("| %s | %d |", reason, reasons[reason])
	}
	for _, reason := range slices.Sorted(maps.Keys(skipped)) {
		p("| %s | %d rows |", reason, skipped[reason])
	}
	if refused > 0 {
		p("| ran, though the memory model would not start it | %d rows |", refused)
	}
	return b.String()
}

// summaryTable is the errors over all sound rows.
func summaryTable(rs []residual) string {
	var b strings.Builder
	b.WriteString("| figure | sound rows | series | median error | 90 % within | within 10 % | within 20 % | bias |\n|---|---|---|---|---|---|---|---|\n")
	for _, metric := range metrics {
		e := errorsOf(sound(rs, metric))
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %s | %s | %s |\n", metricName(metric), e.rows, e.series, percent(e.median), percent(e.p90), percent(e.within10), percent(e.within20), signed(e.bias))
	}
	return b.String()
}

func metricName(metric string) string {
	switch metric {
	case capacity.MetricTPOT:
		return "TPOT"
	case capacity.MetricTTFT:
		return "TTFT"
	}
	return metric
}

func short(model string) string { return model[strings.LastIndex(model, "/")+1:] }

func describe(r residual) string {
	if r.openRate > 0 {
		return fmt.Sprintf("open loop, %s/s, %d/%d", r.row["request_rate"], r.load.InputTokens, r.load.OutputTokens)
	}
	return fmt.Sprintf("%d in flight (%s), %d/%d", r.load.Concurrent, r.load.Kind, r.load.InputTokens, r.load.OutputTokens)
}

func percent(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }

func signed(x float64) string { return fmt.Sprintf("%+.1f %%", 100*x) }
