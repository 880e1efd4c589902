package report

import (
	"fmt"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"bench/internal/record"
)

// maxTimelineRequests is how many requests of a test are read for its timeline: more bars than that are a grey area.
const maxTimelineRequests = 2000

// timelineChart is one repeat of one test on one clock: its requests, what the server had running and waiting, how
// full its KV cache was, and what the GPUs drew; nil where there is no test with requests on disk.
func timelineChart(in Input) (c *chart, missing []string) {
	if in.Samples == nil {
		return nil, nil
	}
	rec, ok := telling(in)
	if !ok {
		return nil, nil
	}
	all, err := in.Samples.ReadRequests(rec.Detail.Files.Requests)
	if err != nil {
		return nil, []string{err.Error()}
	}
	run, requests := firstRepeat(rec, all)
	if len(requests) == 0 {
		return nil, nil
	}
	begin, end := requests[0].SentNS, int64(0)
	for _, r := range requests {
		begin, end = min(begin, r.SentNS), max(end, r.EndNS)
	}
	at := func(ns int64) float64 { return float64(ns-begin) / 1e9 }
	c = &chart{name: "timeline", title: fmt.Sprintf("%s, run %d: %d at once, %s tokens in/out, on one clock", shortName(rec.TestID), run+1, rec.ConcurrentRequests,
		shapeOf(rec.InputTokens, rec.MaxOutputTokens))}
	if simulated(in) {
		c.title += " (simulated)"
	}
	bars := panel{yLabel: "request", whole: true, yTop: float64(len(requests)) + 0.5}
	for i, r := range requests {
		b := hbar{from: at(r.SentNS), to: at(r.EndNS), y: float64(i + 1), failed: !r.Success}
		if r.FirstTokenNS != nil {
			b.tick = new(at(*r.FirstTokenNS))
		}
		bars.bars = append(bars.bars, b)
	}
	c.panels = append(c.panels, bars)
	c.legend = append(c.legend, entry{"waiting for the first token", 0, markWait}, entry{"answering", 0, markAnswer})
	if slices.ContainsFunc(requests, func(r record.Request) bool { return !r.Success }) {
		c.legend = append(c.legend, entry{"failed", 0, markFailed})
	}
	missing = append(missing, c.addServer(in, rec, begin, end, at)...)
	missing = append(missing, c.addPower(in, rec, begin, end, at)...)
	for i := range c.panels {
		c.panels[i].seconds(at(end))
		if i == len(c.panels)-1 {
			c.panels[i].xLabel = "seconds of the repeat"
		}
	}
	return c, missing
}

// telling is the test at the limit: the first that broke a rule of operation, else the largest.
func telling(in Input) (record.Record, bool) {
	var best record.Record
	for _, r := range in.Tests {
		if r.Detail.Requests == 0 || r.Detail.Requests > maxTimelineRequests || r.Detail.Files.Requests == "" {
			continue
		}
		broke, bestBroke := r.Status != record.StatusSuccess, best.Status != record.StatusSuccess && best.TestID != ""
		switch {
		case best.TestID == "", broke && !bestBroke,
			broke && bestBroke && r.ConcurrentRequests < best.ConcurrentRequests,
			!broke && !bestBroke && r.ConcurrentRequests > best.ConcurrentRequests:
			best = r
		}
	}
	return best, best.TestID != ""
}

// firstRepeat is the first repeat the record counts, in the order in which its requests were sent.
func firstRepeat(rec record.Record, all []record.Request) (run int, requests []record.Request) {
	if len(rec.Detail.Repeats) == 0 {
		return 0, nil
	}
	first := rec.Detail.Repeats[0]
	for _, r := range all {
		if r.Run == first.Run && r.Attempt == first.Attempt {
			requests = append(requests, r)
		}
	}
	slices.SortStableFunc(requests, func(a, b record.Request) int { return int(min(max(a.SentNS-b.SentNS, -1), 1)) })
	return first.Run, requests
}

// addServer adds what /metrics showed: requests, and the KV cache's usage.
func (c *chart) addServer(in Input, rec record.Record, begin, end int64, at func(int64) float64) (missing []string) {
	rows, err := in.Samples.ReadServerRows(rec.Detail.Files.ServerMetrics)
	if err != nil {
		return []string{err.Error()}
	}
	var running, waiting, usage []point
	for _, row := range rows {
		if row.AtNS < begin || row.AtNS > end {
			continue
		}
		if row.Running != nil {
			running = append(running, point{at(row.AtNS), *row.Running})
		}
		if row.Waiting != nil {
			waiting = append(waiting, point{at(row.AtNS), *row.Waiting})
		}
		if row.KVUsage != nil {
			usage = append(usage, point{at(row.AtNS), 100 * *row.KVUsage})
		}
	}
	if len(running) > 0 {
		p := panel{yLabel: "at the server", whole: true, lines: []polyline{{running, 0}}}
		c.legend = append(c.legend, entry{"running", 0, markLine})
		if len(waiting) > 0 {
			p.lines = append(p.lines, polyline{waiting, 1})
			c.legend = append(c.legend, entry{"waiting", 1, markLine})
		}
		c.panels = append(c.panels, p)
	}
	if len(usage) > 0 {
		c.panels = append(c.panels, panel{yLabel: "KV cache, %", yTop: 100, lines: []polyline{{usage, kvStyle}}})
		c.legend = append(c.legend, entry{"KV cache usage", kvStyle, markLine})
	}
	return nil
}

// addPower adds what the GPUs drew, all of them together, and their limit.
func (c *chart) addPower(in Input, rec record.Record, begin, end int64, at func(int64) float64) (missing []string) {
	samples, err := in.Samples.ReadGPUSamples(rec.Detail.Files.MemoryLog)
	if err != nil {
		return []string{err.Error()}
	}
	power, limit := map[int64]float64{}, 0.0
	var order []int64
	limits := map[int]float64{}
	for _, s := range samples {
		if s.AtNS < begin || s.AtNS > end || s.PowerW == nil {
			continue
		}
		if _, seen := power[s.AtNS]; !seen {
			order = append(order, s.AtNS)
		}
		power[s.AtNS] += *s.PowerW
		if s.PowerLimitW != nil {
			limits[s.Index] = *s.PowerLimitW
		}
	}
	if len(order) == 0 {
		return nil
	}
	var line []point
	for _, ns := range order {
		line = append(line, point{at(ns), power[ns]})
	}
	p := panel{yLabel: "GPU power, W", lines: []polyline{{thin(line, maxParts), 2}}}
	c.legend = append(c.legend, entry{"power of all GPUs", 2, markLine})
	for _, w := range limits {
		limit += w
	}
	if limit > 0 {
		p.levels = []level{{y: limit, style: neutral}}
		c.legend = append(c.legend, entry{"their limit", neutral, markLevel})
	}
	c.panels = append(c.panels, p)
	return nil
}

// hbar is a request on the time axis: a thin line until its first token, a thick one after it.
type hbar struct {
	from, to, y float64
	tick        *float64 // first token
	failed      bool
}

// seconds is a linear axis from zero.
func (p *panel) seconds(end float64) {
	p.xMax = max(end, 1e-3) * 1.01
	for _, t := range niceTicks(p.xMax) {
		if t.Value <= p.xMax {
			p.xTicks = append(p.xTicks, plot.Tick{Value: t.Value, Label: t.Label})
		}
	}
}

// drawBars draws the requests, as thick as there is room for.
func (p *panel) drawBars(c draw.Canvas, at func(point) vg.Point) {
	if len(p.bars) == 0 {
		return
	}
	thick := min(6, max(0.4, 0.7*(c.Max.Y-c.Min.Y)/vg.Length(len(p.bars)+1)))
	for _, b := range p.bars {
		first := b.to
		if b.tick != nil {
			first = *b.tick
		}
		from, mid, to := at(point{b.from, b.y}), at(point{first, b.y}), at(point{b.to, b.y})
		c.StrokeLine2(draw.LineStyle{Color: colourOf(neutral), Width: thick / 3}, from.X, from.Y, mid.X, mid.Y)
		c.StrokeLine2(draw.LineStyle{Color: colourOf(0), Width: thick}, mid.X, mid.Y, to.X, to.Y)
		if b.failed {
			g := failedGlyph()
			g.Radius = min(g.Radius, max(2, thick))
			c.DrawGlyph(g, to)
		}
	}
}
