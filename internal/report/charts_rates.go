package report

import (
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"

	"bench/internal/record"
)

// ratesChart shows what 95 of 100 requests wait at most over the rate, a series a ladder of rates; nil where no ladder has two.
func ratesChart(in Input) *chart {
	if in.Analysis == nil {
		return nil
	}
	title := "Open loads: p95 from the instant due, over the rate"
	if simulated(in) {
		title += " (simulated)"
	}
	panels := []panel{{yLabel: "TTFT, ms"}, {yLabel: "latency, s", xLabel: "requests/s"}}
	c := &chart{name: "rates", title: title}
	low, high, stopped, style := math.Inf(1), 0.0, false, 0
	for _, l := range in.Analysis.Rates {
		if len(l.Tests) < 2 || style == maxSeries {
			continue
		}
		lines := [2]series{{style: style}, {style: style}}
		for _, id := range l.Tests {
			i := slices.IndexFunc(in.Open, func(r record.Record) bool { return r.TestID == id })
			if i < 0 {
				continue
			}
			o := in.Open[i].Detail.OpenLoad
			rate := o.Arrivals.RequestRate
			low, high = min(low, rate), max(high, rate)
			if o.Oversaturated != nil { // its times depend on when it was stopped
				stopped = true
				for j := range panels {
					panels[j].failed = append(panels[j].failed, point{x: rate})
				}
				continue
			}
			for j, d := range []*record.Distribution{o.TTFT, o.Latency} {
				if p95 := orNone(d).P95; p95 != nil {
					lines[j].means = append(lines[j].means, point{rate, *p95 * []float64{1, 1e-3}[j]})
				}
			}
		}
		if len(lines[0].means) == 0 {
			continue
		}
		label := shapeOf(l.InputTokens, l.MaxOutputTokens) + " tokens in/out"
		if l.SLO != nil {
			label += ", for an objective"
		}
		c.legend = append(c.legend, entry{label, style, markMean})
		for j := range panels {
			panels[j].series = append(panels[j].series, lines[j])
		}
		style++
	}
	if style == 0 {
		return nil
	}
	if stopped {
		c.legend = append(c.legend, entry{"over-saturated and stopped", 0, markFailed})
	}
	for j := range panels {
		panels[j].rateAxis(low, high)
	}
	c.panels = panels
	return c
}

// rateAxis is logarithmic, with a tick at 1, 2, 3, 5 and 7 times each power of ten.
func (p *panel) rateAxis(low, high float64) {
	p.xLog, p.xMin, p.xMax = true, low/1.25, high*1.25
	for power := math.Pow(10, math.Floor(math.Log10(p.xMin))); power <= p.xMax; power *= 10 {
		for _, m := range []float64{1, 2, 3, 5, 7} {
			if v := m * power; v >= p.xMin && v <= p.xMax {
				p.xTicks = append(p.xTicks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 3, 64)})
			}
		}
	}
}
