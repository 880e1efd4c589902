package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	xfont "golang.org/x/image/font"

	"bench/internal/record"
)

// Bounds of the chart of single requests.
const (
	maxSpreadRows = 48   // tests; more are named as not drawn
	spreadStep    = 15.0 // points from one test to the next
	spreadDots    = 1000 // requests drawn as dots, over all tests: each costs a hundred bytes of the page
)

// spreadRow is one test: how its requests' TTFT and latency are spread, in milliseconds.
type spreadRow struct {
	label         string
	ttft, latency *record.Distribution
	dots          [2][]float64 // single requests, ascending; thinned where there are many
}

// spreadFigure draws how single requests are spread around each test's mean; nothing where no request succeeded.
func spreadFigure(in Input) ([]figure, error) {
	var rows []spreadRow
	more := 0
	for _, recs := range append([][]record.Record{in.Baselines}, ladders(in.Tests)...) {
		for _, r := range recs {
			if r.Detail.Latency == nil || r.Detail.TTFT == nil {
				continue
			}
			if len(rows) == maxSpreadRows {
				more++
				continue
			}
			rows = append(rows, spreadRow{label: fmt.Sprintf("%s (%d × %s)", shortName(r.TestID), r.ConcurrentRequests, shapeOf(r.InputTokens, r.MaxOutputTokens)),
				ttft: r.Detail.TTFT, latency: r.Detail.Latency, dots: requestDots(in, r)})
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	title := "Single requests: TTFT and latency of each test"
	if simulated(in) {
		title += " (simulated)"
	}
	each := max(8, spreadDots/2/len(rows))
	for i := range rows {
		for j := range rows[i].dots {
			rows[i].dots[j] = thinSorted(rows[i].dots[j], each)
		}
	}
	f, err := paint("requests", title, vg.Points(110+spreadStep*float64(len(rows))), func(dc draw.Canvas) { drawSpread(dc, title, rows, more) })
	if err != nil {
		return nil, fmt.Errorf("drawing chart requests: %w", err)
	}
	return []figure{f}, nil
}

// requestDots reads a test's single requests, as far as they are few enough to be seen as such. That a file cannot be
// read is said once, by the chart over time; the spread of this test comes from its record all the same.
func requestDots(in Input, rec record.Record) (dots [2][]float64) {
	if in.Samples == nil || rec.Detail.Files.Requests == "" || rec.Detail.Requests > maxTimelineRequests {
		return dots
	}
	all, err := in.Samples.ReadRequests(rec.Detail.Files.Requests)
	if err != nil {
		return dots
	}
	for i := range all {
		r := &all[i]
		counted := slices.ContainsFunc(rec.Detail.Repeats, func(p record.Repeat) bool { return p.Run == r.Run && p.Attempt == r.Attempt })
		ttft, ok1 := r.TTFT()
		latency, ok2 := r.Latency()
		if counted && r.Success && ok1 && ok2 {
			dots[0] = append(dots[0], float64(ttft)/1e6)
			dots[1] = append(dots[1], float64(latency)/1e6)
		}
	}
	slices.Sort(dots[0])
	slices.Sort(dots[1])
	return dots
}

// thinSorted keeps n of the values, evenly by rank, the lowest and the highest among them.
func thinSorted(values []float64, n int) []float64 {
	if len(values) <= n || n < 2 {
		return values
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = values[i*(len(values)-1)/(n-1)]
	}
	return out
}

func drawSpread(dc draw.Canvas, title string, rows []spreadRow, more int) {
	dc = ground(dc, title)
	legend := []entry{{"a request", 0, markSpreadDot}, {"lowest to highest", 0, markSpreadRange}, {"median to p90", 0, markSpreadBox}, {"median", 0, markTick}}
	if more > 0 {
		legend = append(legend, entry{label: fmt.Sprintf("%d more tests not drawn", more), mark: markNone})
	}
	dc.Max.Y -= drawLegend(dc, legend)
	label := textStyle(8.5, xfont.WeightNormal)
	label.YAlign, label.XAlign = draw.YCenter, draw.XRight
	left := vg.Length(0)
	for _, r := range rows {
		left = max(left, label.Width(r.label))
	}
	x0 := dc.Min.X + left + 8
	const gap = 36
	width := (dc.Max.X - x0 - gap - 6) / 2
	axis := dc.Min.Y + 30
	top := dc.Max.Y - 4 - spreadStep/2
	for i, r := range rows {
		dc.FillText(label, vg.Point{X: x0 - 6, Y: top - vg.Length(i)*spreadStep}, r.label)
	}
	for side, name := range []string{"TTFT", "latency"} {
		from := x0 + vg.Length(side)*(width+gap)
		of := func(r spreadRow) *record.Distribution { return []*record.Distribution{r.ttft, r.latency}[side] }
		highest := 0.0
		for _, r := range rows {
			highest = max(highest, of(r).Max)
		}
		scale, unitName := 1.0, "ms"
		if highest >= 10_000 {
			scale, unitName = 1e-3, "s"
		}
		ticks := niceTicks(highest * scale)
		end := ticks[len(ticks)-1].Value
		x := func(ms float64) vg.Length { return from + vg.Length(ms*scale/end)*width }
		tick := textStyle(8.5, xfont.WeightNormal)
		tick.XAlign, tick.YAlign = draw.XCenter, draw.YTop
		last := vg.Length(math.Inf(-1))
		for _, t := range ticks {
			at := x(t.Value / scale)
			dc.StrokeLine2(draw.LineStyle{Color: color.Gray{0xDA}, Width: 0.5}, at, axis, at, top+spreadStep/2)
			if half := tick.Width(t.Label) / 2; at-half > last+4 { // labels that would touch are left off
				dc.FillText(tick, vg.Point{X: at, Y: axis - 3}, t.Label)
				last = at + half
			}
		}
		dc.FillText(tick, vg.Point{X: from + width/2, Y: axis - 16}, name+", "+unitName)
		for i, r := range rows {
			drawSpreadRow(dc, of(r), r.dots[side], x, top-vg.Length(i)*spreadStep)
		}
	}
}

func drawSpreadRow(dc draw.Canvas, d *record.Distribution, dots []float64, x func(float64) vg.Length, y vg.Length) {
	dc.StrokeLine2(spreadRange(), x(d.Min), y, x(d.Max), y)
	if d.P50 != nil && d.P90 != nil {
		dc.FillPolygon(spreadBox(), []vg.Point{{X: x(*d.P50), Y: y - 4}, {X: x(*d.P90), Y: y - 4}, {X: x(*d.P90), Y: y + 4}, {X: x(*d.P50), Y: y + 4}})
	}
	for i, v := range dots {
		dc.DrawGlyph(spreadDot(), vg.Point{X: x(v), Y: y + vg.Length(i%5-2)*1.3}) // rows of five: equal values stay apart
	}
	if d.P50 != nil {
		dc.StrokeLine2(needStyle(), x(*d.P50), y-5, x(*d.P50), y+5)
	}
}

func spreadRange() draw.LineStyle { return draw.LineStyle{Color: color.Gray{0x90}, Width: 1} }

func spreadBox() color.Color { return color.RGBA{0xA9, 0xD3, 0xEA, 0xff} }

func spreadDot() draw.GlyphStyle {
	return draw.GlyphStyle{Color: colourOf(0), Radius: 1.1, Shape: draw.CircleGlyph{}}
}
