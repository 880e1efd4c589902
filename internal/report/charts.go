package report

import (
	"fmt"
	"slices"

	"bench/internal/record"
)

// figure is one chart, ready in both formats. Its text is English in every report.
type figure struct {
	name    string // of its files, without folder and ending
	alt     string // what a reader who cannot see it is told
	caption string
	svg     []byte
	png     []byte
}

// drawFigures draws what the input has data for: charts over concurrency, of single requests, and over time.
// A data file that cannot be read costs its line in the chart over time; missing names it.
func drawFigures(in Input) (figures []figure, missing []string, err error) {
	add := func(c *chart) error {
		f, err := c.render()
		if err != nil {
			return fmt.Errorf("drawing chart %s: %w", c.name, err)
		}
		figures = append(figures, f)
		return nil
	}
	for _, name := range in.Missing {
		missing = append(missing, name+" is missing: what it held is in no chart")
	}
	shapes := ladders(in.Tests)
	for _, m := range metrics() {
		if c := concurrencyChart(m, shapes, in); c != nil {
			if err := add(c); err != nil {
				return nil, nil, err
			}
		}
	}
	if c := ratesChart(in); c != nil {
		if err := add(c); err != nil {
			return nil, nil, err
		}
	}
	spread, err := spreadFigure(in)
	if err != nil {
		return nil, nil, err
	}
	figures = append(figures, spread...)
	c, unread := memoryChart(in)
	missing = append(missing, unread...)
	if c != nil {
		if err := add(c); err != nil {
			return nil, nil, err
		}
	}
	timeline, unread := timelineChart(in)
	missing = append(missing, unread...)
	if timeline != nil {
		if err := add(timeline); err != nil {
			return nil, nil, err
		}
	}
	sized, err := drawSizing(in.Sizing)
	return append(figures, sized...), missing, err
}

// metric is one figure of the records that a chart shows over concurrency.
type metric struct {
	name, title, axis string
	mean              func(record.Record) *float64
	repeat            func(record.Repeat) *float64 // nil where there is none for each repeat
	scale             float64                      // from the record's unit to the axis's
	baseline          bool                         // also shows 2 × baseline, and where latency passes it
	saturates         bool                         // also shows where it is saturated
}

func metrics() []metric {
	return []metric{
		{name: "throughput", title: "Throughput over concurrency", axis: "output tokens/s", scale: 1, saturates: true,
			mean:   func(r record.Record) *float64 { return r.Results.ThroughputTokensPerSec },
			repeat: func(p record.Repeat) *float64 { return p.ThroughputTokensPerSec }},
		{name: "ttft", title: "Time to first token over concurrency", axis: "TTFT, ms", scale: 1,
			mean:   func(r record.Record) *float64 { return r.Results.AvgTTFTMS },
			repeat: func(p record.Repeat) *float64 { return p.AvgTTFTMS }},
		{name: "tpot", title: "Time per output token over concurrency", axis: "TPOT, ms", scale: 1,
			mean:   func(r record.Record) *float64 { return r.Results.AvgTPOTMS },
			repeat: func(p record.Repeat) *float64 { return p.AvgTPOTMS }},
		{name: "latency", title: "Latency over concurrency", axis: "latency, s", scale: 1e-3, baseline: true,
			mean:   func(r record.Record) *float64 { return r.Results.AvgTotalLatencyMS },
			repeat: func(p record.Repeat) *float64 { return p.AvgTotalLatencyMS }},
		{name: "energy", title: "Energy per output token over concurrency", axis: "J per output token, all GPUs", scale: 1,
			mean: energyOf},
	}
}

func energyOf(r record.Record) *float64 {
	if e := r.Detail.Energy; e != nil {
		return e.PerTokenJ
	}
	return nil
}

// maxSeries is the number of ladders a chart can hold with colours that stay apart.
const maxSeries = 6

// concurrencyChart shows a metric over concurrency, a series a ladder; nil where no test has it.
func concurrencyChart(m metric, shapes [][]record.Record, in Input) *chart {
	if len(shapes) == 0 {
		return nil
	}
	title := m.title
	if simulated(in) {
		title += " (simulated)"
	}
	p := panel{xLabel: "concurrent requests", yLabel: m.axis}
	var tested []float64
	failures, known := false, false
	for i, recs := range shapes[:min(len(shapes), maxSeries)] {
		s := series{label: shapeOf(recs[0].InputTokens, recs[0].MaxOutputTokens) + " tokens in/out", style: i}
		for _, r := range recs {
			n := float64(r.ConcurrentRequests)
			tested = append(tested, n)
			v := m.mean(r)
			switch {
			case v != nil:
				s.means = append(s.means, point{n, *v * m.scale})
				known = true
			case r.Results.SuccessRate != nil && *r.Results.SuccessRate == 0:
				p.failed = append(p.failed, point{x: n})
				failures = true
			}
			for _, rep := range r.Detail.Repeats {
				if m.repeat == nil {
					break
				}
				if v := m.repeat(rep); v != nil {
					s.repeats = append(s.repeats, point{n, *v * m.scale})
				}
			}
		}
		p.series = append(p.series, s)
		if b := baselineOf(in, recs[0]); m.baseline && b != nil {
			p.levels = append(p.levels, level{y: 2 * b.AvgTotalLatencyMS * m.scale, style: i})
		}
		p.marks = append(p.marks, m.marks(in, recs, s)...)
	}
	if !known && m.repeat == nil {
		return nil
	}
	slices.Sort(tested)
	p.concurrencyAxis(slices.Compact(tested))
	c := &chart{name: m.name, title: title, panels: []panel{p}}
	for _, s := range p.series {
		c.legend = append(c.legend, entry{s.label, s.style, markMean})
	}
	if len(p.levels) > 0 {
		c.legend = append(c.legend, entry{"2 × baseline", 0, markLevel})
	}
	for _, k := range []limitKind{limitRecommended, limitSurge, limitSaturated, limitMemory} {
		if slices.ContainsFunc(p.marks, func(x limitMark) bool { return x.kind == k }) {
			c.legend = append(c.legend, entry{k.label(), int(k), markLimit})
		}
	}
	if failures {
		c.legend = append(c.legend, entry{"no request succeeded", 0, markFailed})
	}
	if more := len(shapes) - maxSeries; more > 0 {
		c.legend = append(c.legend, entry{label: fmt.Sprintf("%d more shapes not drawn", more), mark: markNone})
	}
	return c
}

// shortName is a test's name as a drawing can hold it: one that was read from a file may be anything.
func shortName(id string) string {
	const most = 24
	if r := []rune(clean(id)); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return clean(id)
}

// ladderOf is the judgement of a record's ladder; nil where there is none.
func ladderOf(in Input, rec record.Record) *record.Ladder {
	if in.Analysis == nil {
		return nil
	}
	for i, l := range in.Analysis.Ladders {
		if l.InputTokens == rec.InputTokens && l.MaxOutputTokens == rec.MaxOutputTokens {
			return &in.Analysis.Ladders[i]
		}
	}
	return nil
}

// baselineOf is the baseline that the analysis judged a record's ladder by.
func baselineOf(in Input, rec record.Record) *record.Baseline {
	if l := ladderOf(in, rec); l != nil {
		return l.Baseline
	}
	return nil
}

// memoryChart shows GPU memory, and beside it the KV cache, over the run's clock; nil without samples.
func memoryChart(in Input) (c *chart, missing []string) {
	if in.Samples == nil {
		return nil, nil
	}
	recs := slices.Concat(in.Baselines, in.Tests)
	slices.SortStableFunc(recs, func(a, b record.Record) int {
		return int(min(max(a.Detail.StartNS-b.Detail.StartNS, -1), 1))
	})
	axis := newTimeAxis(recs)
	parts := max(20, maxParts/max(1, len(recs)))
	gpu := panel{yLabel: "GPU memory, GiB"}
	kv := panel{yLabel: "KV cache, %", yTop: 100}
	for _, r := range recs {
		if name := r.Detail.Files.MemoryLog; name != "" {
			samples, err := in.Samples.ReadGPUSamples(name)
			if err != nil {
				missing = append(missing, err.Error())
			}
			gpu.addMemory(samples, axis, parts)
		}
		if name := r.Detail.Files.ServerMetrics; name != "" {
			rows, err := in.Samples.ReadServerRows(name)
			if err != nil {
				missing = append(missing, err.Error())
			}
			var line []point
			for _, row := range rows {
				if row.KVUsage != nil {
					line = append(line, point{axis.minutes(row.AtNS), 100 * *row.KVUsage})
				}
			}
			if len(line) > 0 {
				kv.lines = append(kv.lines, polyline{thin(line, parts), kvStyle})
			}
		}
	}
	c = &chart{name: "memory", title: "GPU memory and KV cache over the run"}
	if simulated(in) {
		c.title += " (simulated)"
	}
	for _, p := range []panel{gpu, kv} {
		if len(p.lines) == 0 {
			continue
		}
		p.spans = axis.spans
		p.xLabel = axis.label()
		p.timeAxis(axis.end)
		c.panels = append(c.panels, p)
	}
	if len(c.panels) == 0 {
		return nil, missing
	}
	c.panels[0].nameSpans = true
	if len(c.panels) == 2 {
		c.panels[0].xLabel = "" // the panel below carries it
	}
	c.memoryLegend()
	return c, missing
}

// addMemory adds one line a GPU, and the size of the largest as a level.
func (p *panel) addMemory(samples []record.GPUSample, axis *timeAxis, parts int) {
	lines := map[int][]point{}
	var order []int
	for _, s := range samples {
		if s.MemoryTotalMiB != nil {
			total := *s.MemoryTotalMiB / 1024
			if len(p.levels) == 0 {
				p.levels = []level{{y: total, style: neutral}}
			}
			p.levels[0].y = max(p.levels[0].y, total)
		}
		if s.MemoryUsedMiB == nil {
			continue
		}
		if lines[s.Index] == nil {
			order = append(order, s.Index)
		}
		lines[s.Index] = append(lines[s.Index], point{axis.minutes(s.AtNS), *s.MemoryUsedMiB / 1024})
	}
	slices.Sort(order)
	for _, i := range order {
		p.lines = append(p.lines, polyline{thin(lines[i], parts), i})
	}
}

// kvStyle is the KV cache's line; the first GPUs take the styles below it.
const kvStyle = maxSeries - 1

// memoryLegend names the lines: the GPUs by number where there are several.
func (c *chart) memoryLegend() {
	for _, p := range c.panels {
		var seen []int
		for _, l := range p.lines {
			if !slices.Contains(seen, l.style) {
				seen = append(seen, l.style)
			}
		}
		slices.Sort(seen)
		if seen[0] == kvStyle {
			c.legend = append(c.legend, entry{"KV cache usage", kvStyle, markLine})
			continue
		}
		for _, i := range seen[:min(len(seen), maxSeries)] {
			c.legend = append(c.legend, entry{fmt.Sprintf("GPU %d memory used", i), i, markLine})
		}
		if len(p.levels) > 0 {
			c.legend = append(c.legend, entry{"memory of the GPU", neutral, markLevel})
		}
	}
	c.legend = append(c.legend, entry{"test running", 0, markSpan})
}

// timeAxis turns stamps into minutes of the run. A pause between tests that is longer than
// longestPause is cut to it, so that a run resumed a day later still shows its tests.
type timeAxis struct {
	spans []span
	from  []int64   // start of each stretch, ns
	shift []float64 // minutes cut away before it
	begin int64
	end   float64
	cut   bool
}

// longestPause is in minutes.
const longestPause = 2.0

func newTimeAxis(recs []record.Record) *timeAxis {
	a := &timeAxis{}
	if len(recs) == 0 {
		return a
	}
	a.begin = recs[0].Detail.StartNS
	last, away := a.begin, 0.0
	for _, r := range recs {
		if pause := minutes(r.Detail.StartNS - last); pause > longestPause {
			away += pause - longestPause
			a.cut = true
		}
		a.from = append(a.from, r.Detail.StartNS)
		a.shift = append(a.shift, away)
		last = max(last, r.Detail.EndNS)
		s := span{from: a.minutes(r.Detail.StartNS), label: shortName(r.TestID)}
		s.to = minutes(r.Detail.EndNS-a.begin) - away
		a.spans = append(a.spans, s)
		a.end = max(a.end, s.to)
	}
	return a
}

func minutes(ns int64) float64 { return float64(ns) / 60e9 }

// minutes places a stamp on the axis. Samples between tests belong to the test before.
func (a *timeAxis) minutes(ns int64) float64 {
	i, found := slices.BinarySearch(a.from, ns)
	if !found {
		i--
	}
	x := minutes(ns - a.begin)
	if i >= 0 {
		x -= a.shift[i]
	}
	return max(0, x)
}

func (a *timeAxis) label() string {
	if a.cut {
		return fmt.Sprintf("minutes of the run, pauses cut to %g", longestPause)
	}
	return "minutes of the run"
}

// maxParts is how many parts a line over the whole run is drawn in; the data area has no more
// columns that an eye can tell apart.
const maxParts = 800

// thin keeps two points of each part of a line, the lowest and the highest, so that no peak is lost.
func thin(line []point, parts int) []point {
	if len(line) <= 2*parts {
		return line
	}
	out := make([]point, 0, 2*parts)
	for i := range parts {
		part := line[i*len(line)/parts : (i+1)*len(line)/parts]
		lo, hi := 0, 0
		for j := range part {
			if part[j].y < part[lo].y {
				lo = j
			}
			if part[j].y > part[hi].y {
				hi = j
			}
		}
		out = append(out, part[min(lo, hi)])
		if lo != hi {
			out = append(out, part[max(lo, hi)])
		}
	}
	return out
}
