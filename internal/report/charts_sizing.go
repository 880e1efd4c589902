package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	xfont "golang.org/x/image/font"

	"bench/internal/record"
	"bench/internal/unit"
)

// drawSizing draws where the memory of the set-ups goes and what speed costs; nothing where there is
// nothing to show.
func drawSizing(doc *record.Sizing) ([]figure, error) {
	if doc == nil {
		return nil, nil
	}
	var out []figure
	if bars := memoryBars(doc); len(bars) > 0 {
		height := vg.Points(110 + barStep*float64(len(bars)))
		title := fmt.Sprintf("Memory of one GPU for %s requests of %s tokens (calculated)", unit.Count(doc.Demand.Concurrent), unit.Count(doc.Demand.ContextTokens))
		f, err := paint("sizing-memory", title, height, func(dc draw.Canvas) { drawBars(dc, title, bars) })
		if err != nil {
			return nil, fmt.Errorf("drawing chart sizing-memory: %w", err)
		}
		out = append(out, f)
	}
	if dots := priceDots(doc); len(dots) > 1 {
		title := fmt.Sprintf("Price against throughput at %s in flight (calculated)", unit.Count(doc.Demand.Concurrent))
		f, err := paint("sizing-price", title, vg.Points(panelHeight+60), func(dc draw.Canvas) { drawDots(dc, title, dots) })
		if err != nil {
			return nil, fmt.Errorf("drawing chart sizing-price: %w", err)
		}
		out = append(out, f)
	}
	return out, nil
}

// Rows of the memory chart.
const (
	maxBars   = 16
	barStep   = 20.0 // points from one bar to the next
	barHeight = 12.0
)

// Fills of the memory chart.
const (
	fillWeights = iota
	fillOther
	fillNeeded
	fillFree
)

// fillOf is a fill of the memory chart: colours of Okabe and Ito's set, apart also in grey.
func fillOf(style int) color.Color {
	return [...]color.RGBA{{0x00, 0x72, 0xB2, 0xff}, {0x8C, 0x8C, 0x8C, 0xff}, {0xE6, 0x9F, 0x00, 0xff}, {0xF5, 0xE1, 0xB0, 0xff}}[style]
}

func needStyle() draw.LineStyle { return draw.LineStyle{Color: color.Gray{0x10}, Width: 1.6} }

// bar is the memory of one GPU of a set-up, in GiB.
type bar struct {
	label                       string
	weights, other, needed, end float64 // needed: KV the demand takes, 0 where not known; end: usable memory
	kv                          float64
	fits                        bool
}

// memoryBars are the best set-ups of each card, then the nearest misses.
func memoryBars(doc *record.Sizing) []bar {
	var out []bar
	for _, s := range bestOfEach(doc.Setups) {
		m := s.Memory
		if m == nil || len(out) == maxBars {
			continue
		}
		g := func(b int64) float64 { return unit.Bytes(b).GiB() }
		b := bar{label: setupName(s.GPU, s.Count), weights: g(m.WeightsBytes), other: g(m.ActivationBytes + m.NonTorchBytes + m.CUDAGraphBytes),
			kv: g(m.KVCacheBytes), end: g(m.BudgetBytes), fits: s.Fits}
		if held := m.SteadyConcurrency * float64(s.Replicas); held > 0 {
			b.needed = b.kv * float64(doc.Demand.Concurrent) / held
		}
		out = append(out, b)
	}
	return out
}

func drawBars(dc draw.Canvas, title string, bars []bar) {
	dc = ground(dc, title)
	dc.Max.Y -= drawLegend(dc, []entry{{"weights", fillWeights, markFill}, {"activations, CUDA, graphs", fillOther, markFill},
		{"KV the demand needs", fillNeeded, markFill}, {"KV left", fillFree, markFill}, {"where the demand's KV ends", 0, markTick}})
	style := textStyle(9, xfont.WeightNormal)
	style.YAlign = draw.YCenter
	left, longest := vg.Length(0), 0.0
	for _, b := range bars {
		left = max(left, style.Width(b.label))
		longest = max(longest, b.end, b.weights+b.other+b.needed)
	}
	right := style
	right.XAlign = draw.XRight
	x0 := dc.Min.X + left + 8
	ticks := niceTicks(longest)
	top := ticks[len(ticks)-1].Value
	x := func(v float64) vg.Length { return x0 + vg.Length(v/top)*(dc.Max.X-x0-10) }
	axis := dc.Min.Y + 28
	tick := style
	tick.XAlign, tick.YAlign = draw.XCenter, draw.YTop
	for _, t := range ticks {
		dc.StrokeLine2(draw.LineStyle{Color: color.Gray{0xDA}, Width: 0.5}, x(t.Value), axis, x(t.Value), dc.Max.Y-4)
		dc.FillText(tick, vg.Point{X: x(t.Value), Y: axis - 3}, t.Label)
	}
	dc.FillText(tick, vg.Point{X: (x0 + dc.Max.X) / 2, Y: axis - 16}, "GiB of one GPU that vLLM may use")
	y := dc.Max.Y - 4 - barStep/2
	for _, b := range bars {
		dc.FillText(right, vg.Point{X: x0 - 6, Y: y}, b.label)
		at := 0.0
		for i, part := range []float64{b.weights, b.other, min(b.needed, b.kv), b.kv - min(b.needed, b.kv)} {
			box(dc, fillOf(i), x(at), x(min(at+part, max(b.end, at))), y)
			at += part
		}
		need := needStyle()
		if !b.fits {
			need.Color = failedGlyph().Color
		}
		if b.needed > 0 {
			end := x(b.weights + b.other + b.needed)
			dc.StrokeLine2(need, end, y-barHeight/2-2, end, y+barHeight/2+2)
		}
		y -= barStep
	}
}

func box(dc draw.Canvas, fill color.Color, from, to, y vg.Length) {
	if to > from {
		dc.FillPolygon(fill, []vg.Point{{X: from, Y: y - barHeight/2}, {X: to, Y: y - barHeight/2}, {X: to, Y: y + barHeight/2}, {X: from, Y: y + barHeight/2}})
	}
}

// dot is a set-up that carries the demand: what its cards cost and what it does.
type dot struct {
	label       string
	usd, tokens float64
	front       bool // none is both cheaper and faster
	recommended bool
}

// priceDots are the set-ups with a price, cheapest first, with the Pareto front marked.
func priceDots(doc *record.Sizing) []dot {
	var out []dot
	for _, s := range doc.Setups {
		if !s.Fits || s.Verdict == record.VerdictTooSlow || s.Speed == nil || s.Price == nil || s.Price.BuyUSD == nil {
			continue
		}
		out = append(out, dot{label: setupName(s.GPU, s.Count), usd: *s.Price.BuyUSD, tokens: s.Speed.OutputTokensPerSec, recommended: s.Verdict == record.VerdictRecommended})
	}
	slices.SortStableFunc(out, func(a, b dot) int {
		if a.usd != b.usd {
			return int(math.Copysign(1, a.usd-b.usd))
		}
		return int(math.Copysign(1, b.tokens-a.tokens))
	})
	best := 0.0
	for i := range out {
		if out[i].tokens > best {
			out[i].front, best = true, out[i].tokens
		}
	}
	return out
}

// Styles of the price chart's dots.
const (
	dotOther = iota
	dotFront
	dotRecommended
)

func dotOf(style int) draw.GlyphStyle {
	switch style {
	case dotFront:
		return draw.GlyphStyle{Color: colourOf(0), Radius: 3.6, Shape: draw.CircleGlyph{}}
	case dotRecommended:
		return draw.GlyphStyle{Color: colourOf(1), Radius: 5, Shape: draw.BoxGlyph{}}
	}
	return draw.GlyphStyle{Color: color.Gray{0x9C}, Radius: 2.4, Shape: draw.CircleGlyph{}}
}

func drawDots(dc draw.Canvas, title string, dots []dot) {
	dc = ground(dc, title)
	dc.Max.Y -= drawLegend(dc, []entry{{"set-ups that carry the demand", dotOther, markDot}, {"none is both cheaper and faster", dotFront, markDot}, {"recommended", dotRecommended, markDot}}) + 6
	p := panel{xLabel: "price of the cards, $", yLabel: "output tokens/s"}
	low, high := math.Inf(1), 0.0
	for _, d := range dots {
		low, high = min(low, d.usd), max(high, d.usd)
		p.yTop = max(p.yTop, d.tokens)
	}
	p.yTop *= 1.08
	p.priceAxis(low, high)
	pl := p.plot()
	pl.Add(pricePlot(dots))
	pl.Draw(dc)
}

// priceAxis is logarithmic, with ticks at 1, 2 and 5 times powers of ten.
func (p *panel) priceAxis(low, high float64) {
	p.xLog = true
	p.xMin, p.xMax = low/1.15, high*1.35
	for power := math.Pow(10, math.Floor(math.Log10(p.xMin))); power <= p.xMax; power *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if v := m * power; v >= p.xMin && v <= p.xMax {
				p.xTicks = append(p.xTicks, plot.Tick{Value: v, Label: unit.Count(int64(v))})
			}
		}
	}
}

// pricePlot draws the dots, joins the front by steps and names its members where there is room.
type pricePlot []dot

// Plot makes it a plot.Plotter.
func (dots pricePlot) Plot(c draw.Canvas, pl *plot.Plot) {
	x, y := pl.Transforms(&c)
	place := func(d dot) vg.Point { return vg.Point{X: x(d.usd), Y: y(d.tokens)} }
	var front []vg.Point
	for _, d := range dots {
		if d.front {
			if len(front) > 0 { // it costs that much more before it does more
				front = append(front, vg.Point{X: place(d).X, Y: front[len(front)-1].Y})
			}
			front = append(front, place(d))
		}
	}
	c.StrokeLines(draw.LineStyle{Color: colourOf(0), Width: 1}, front)
	for _, d := range dots {
		style := dotOther
		switch {
		case d.recommended:
			style = dotRecommended
		case d.front:
			style = dotFront
		}
		c.DrawGlyph(dotOf(style), place(d))
	}
	text := textStyle(8.5, xfont.WeightNormal)
	var taken []vg.Rectangle
	for _, first := range []bool{true, false} { // the recommended one is named whatever happens
		for _, d := range dots {
			if d.recommended != first || !d.recommended && !d.front {
				continue
			}
			label := strings.ReplaceAll(strings.TrimSuffix(d.label, " Edition"), "GeForce ", "")
			w, h := text.Width(label), text.Height(label)
			fewest, at := len(dots)+1, vg.Rectangle{}
			for _, corner := range []vg.Point{{X: -w - 6, Y: 3}, {X: 6, Y: -h - 2}, {X: 6, Y: 3}, {X: -w - 6, Y: -h - 2}} {
				min := place(d).Add(corner)
				box := vg.Rectangle{Min: min, Max: min.Add(vg.Point{X: w, Y: h})}
				if box.Min.X < c.Min.X || box.Max.X > c.Max.X || box.Max.Y > c.Max.Y || box.Min.Y < c.Min.Y || slices.ContainsFunc(taken, func(r vg.Rectangle) bool { return overlap(r, box) }) {
					continue
				}
				hidden := 0
				for _, other := range dots {
					if o := place(other); o.X > box.Min.X-3 && o.X < box.Max.X+3 && o.Y > box.Min.Y-3 && o.Y < box.Max.Y+3 {
						hidden++
					}
				}
				if hidden < fewest {
					fewest, at = hidden, box
				}
			}
			if fewest <= len(dots) {
				taken = append(taken, at)
				c.FillPolygon(color.RGBA{0xd8, 0xd8, 0xd8, 0xd8}, []vg.Point{at.Min, {X: at.Max.X, Y: at.Min.Y}, at.Max, {X: at.Min.X, Y: at.Max.Y}})
				c.FillText(text, at.Min, label)
			}
		}
	}
}

func overlap(a, b vg.Rectangle) bool {
	return a.Min.X < b.Max.X && b.Min.X < a.Max.X && a.Min.Y < b.Max.Y && b.Min.Y < a.Max.Y
}
