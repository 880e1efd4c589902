package report

import (
	"bytes"
	"image/color"
	"io"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	xfont "golang.org/x/image/font"

	"bench/internal/unit"
)

// Sizes of a chart, in points of 1/72 inch.
const (
	chartWidth  = 560.0
	panelHeight = 300.0 // of a single panel, title and legend included
	stackHeight = 420.0 // of two panels
	morePanel   = 110.0 // and of each further one
	margin      = 14.0
	plotWidth   = 480.0 // of the data area, near enough to place labels
	pngDPI      = 120
)

// chart is one picture: title, legend, one panel or two on the same x axis.
type chart struct {
	name, title string
	legend      []entry
	panels      []panel
}

// panel is one pair of axes with what is drawn in it.
type panel struct {
	xLabel, yLabel string
	xLog           bool
	xMin, xMax     float64
	xTicks         []plot.Tick
	yTop           float64 // top of the y axis; 0: taken from the data
	series         []series
	lines          []polyline
	bars           []hbar
	whole          bool // the y axis counts things: no ticks between whole numbers
	levels         []level
	spans          []span
	nameSpans      bool
	failed         []point
	marks          []limitMark
}

type point struct{ x, y float64 }

// series is a ladder: its repeats as small points, their means joined by straight lines.
type series struct {
	label          string
	style          int
	repeats, means []point
}

type polyline struct {
	points []point
	style  int
}

// level is a dashed horizontal line.
type level struct {
	y     float64
	style int
}

// span is a test's stretch of time.
type span struct {
	from, to float64
	label    string
}

// entry is one item of a legend.
type entry struct {
	label string
	style int
	mark  mark
}

type mark int

const (
	markNone mark = iota
	markMean
	markLine
	markLevel
	markFailed
	markSpan
	markFill
	markTick
	markDot
	markWait
	markAnswer
	markLimit
	markSpreadDot
	markSpreadRange
	markSpreadBox
)

// neutral is the style of what belongs to no series.
const neutral = -1

// colourOf is a colour of Okabe and Ito's set, which stay apart for colour-blind readers and in
// grey; orange and sky blue are left out as too light on white for thin lines.
func colourOf(style int) color.Color {
	palette := [maxSeries]color.RGBA{
		{0x00, 0x72, 0xB2, 0xff}, {0xD5, 0x5E, 0x00, 0xff}, {0x00, 0x9E, 0x73, 0xff},
		{0xCC, 0x79, 0xA7, 0xff}, {0x8A, 0x6D, 0x00, 0xff}, {0x30, 0x30, 0x30, 0xff},
	}
	if style < 0 {
		return color.Gray{0x70}
	}
	return palette[style%maxSeries]
}

// glyphOf tells series apart without colour.
func glyphOf(style int) draw.GlyphDrawer {
	return [maxSeries]draw.GlyphDrawer{draw.CircleGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{},
		draw.SquareGlyph{}, draw.RingGlyph{}, draw.TriangleGlyph{}}[max(style, 0)%maxSeries]
}

// textStyle is upright sans-serif, the only face the charts use.
func textStyle(size float64, weight xfont.Weight) text.Style {
	return text.Style{
		Color:   color.Gray{0x20},
		Font:    font.Font{Typeface: "Liberation", Variant: "Sans", Weight: weight, Size: vg.Points(size)},
		Handler: plot.DefaultTextHandler,
	}
}

// render draws the chart in both formats.
func (c *chart) render() (figure, error) {
	height := vg.Points(panelHeight)
	if n := len(c.panels); n > 1 {
		height = vg.Points(stackHeight + float64(n-2)*morePanel)
	}
	return paint(c.name, c.title, height, c.draw)
}

// paint runs a drawing in both formats.
func paint(name, alt string, height vg.Length, drawing func(draw.Canvas)) (figure, error) {
	f := figure{name: name, alt: alt}
	svg := vgsvg.NewWith(vgsvg.UseWH(vg.Points(chartWidth), height))
	drawing(draw.New(svg))
	var err error
	if f.svg, err = bytesOf(svg); err != nil {
		return f, err
	}
	// The face is not embedded; a reader without it gets one of the same widths.
	f.svg = bytes.ReplaceAll(f.svg, []byte("font-family:Liberation Sans"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif"))
	img := vgimg.NewWith(vgimg.UseWH(vg.Points(chartWidth), height), vgimg.UseDPI(pngDPI))
	drawing(draw.New(img))
	f.png, err = bytesOf(vgimg.PngCanvas{Canvas: img})
	return f, err
}

func bytesOf(w io.WriterTo) ([]byte, error) {
	var buf bytes.Buffer
	_, err := w.WriteTo(&buf)
	return buf.Bytes(), err
}

// draw lays title, legend and panels out from top to bottom on a white ground, which keeps the
// chart readable on a dark page and on paper.
func (c *chart) draw(dc draw.Canvas) {
	dc = ground(dc, c.title)
	dc.Max.Y -= c.drawLegend(dc) + vg.Points(8)
	if c.panels[0].nameSpans {
		dc.Max.Y -= spanName
	}

	plots := make([][]*plot.Plot, len(c.panels))
	for i := range c.panels {
		plots[i] = []*plot.Plot{c.panels[i].plot()}
	}
	tiles := draw.Tiles{Rows: len(plots), Cols: 1, PadY: vg.Points(10)}
	canvases := plot.Align(plots, tiles, dc)
	for i := range plots {
		plots[i][0].Draw(canvases[i][0])
	}
}

// ground paints the white ground and the title, and returns what is left below.
func ground(dc draw.Canvas, title string) draw.Canvas {
	dc.SetColor(color.White)
	dc.Fill(dc.Rectangle.Path())
	dc = draw.Crop(dc, margin, -margin, margin, -margin)
	style := textStyle(13, xfont.WeightBold)
	style.YAlign = draw.YTop
	dc.FillText(style, vg.Point{X: dc.Min.X, Y: dc.Max.Y}, title)
	dc.Max.Y -= style.Height(title) + vg.Points(8)
	return dc
}

// drawLegend draws the entries side by side above the data, in as many rows as they need, and
// returns their height.
func (c *chart) drawLegend(dc draw.Canvas) vg.Length { return drawLegend(dc, c.legend) }

func drawLegend(dc draw.Canvas, legend []entry) vg.Length {
	if len(legend) == 0 {
		return 0
	}
	const rowHeight, markWidth, gap = vg.Length(14), vg.Length(20), vg.Length(16)
	style := textStyle(9.5, xfont.WeightNormal)
	style.YAlign = draw.YCenter
	x, y := dc.Min.X, dc.Max.Y-rowHeight/2
	for _, e := range legend {
		width := markWidth + 4 + style.Width(e.label)
		if x > dc.Min.X && x+width > dc.Max.X {
			x, y = dc.Min.X, y-rowHeight
		}
		e.draw(dc, x, y, markWidth)
		dc.FillText(style, vg.Point{X: x + markWidth + 4, Y: y + 1}, e.label)
		x += width + gap
	}
	return dc.Max.Y - y + rowHeight/2
}

func (e entry) draw(dc draw.Canvas, x, y, width vg.Length) {
	middle := vg.Point{X: x + width/2, Y: y}
	switch e.mark {
	case markMean:
		dc.StrokeLine2(draw.LineStyle{Color: colourOf(e.style), Width: 1.5}, x, y, x+width, y)
		dc.DrawGlyph(meanGlyph(e.style), middle)
	case markLine:
		dc.StrokeLine2(draw.LineStyle{Color: colourOf(e.style), Width: 1.5}, x, y, x+width, y)
	case markLevel:
		dc.StrokeLine2(levelStyle(neutral), x, y, x+width, y)
	case markFailed:
		dc.DrawGlyph(failedGlyph(), middle)
	case markFill:
		dc.FillPolygon(fillOf(e.style), []vg.Point{{X: x, Y: y - 4}, {X: x + width, Y: y - 4}, {X: x + width, Y: y + 4}, {X: x, Y: y + 4}})
	case markTick:
		dc.StrokeLine2(needStyle(), x+width/2, y-6, x+width/2, y+6)
	case markWait:
		dc.StrokeLine2(draw.LineStyle{Color: colourOf(neutral), Width: 1.5}, x, y, x+width, y)
	case markAnswer:
		dc.StrokeLine2(draw.LineStyle{Color: colourOf(0), Width: 5}, x, y, x+width, y)
	case markSpreadDot:
		dc.DrawGlyph(spreadDot(), middle)
	case markSpreadRange:
		dc.StrokeLine2(spreadRange(), x, y, x+width, y)
	case markSpreadBox:
		dc.FillPolygon(spreadBox(), []vg.Point{{X: x, Y: y - 4}, {X: x + width, Y: y - 4}, {X: x + width, Y: y + 4}, {X: x, Y: y + 4}})
	case markLimit:
		limitKind(e.style).draw(dc, middle, 0.6)
	case markDot:
		dc.DrawGlyph(dotOf(e.style), middle)
	case markSpan:
		dc.FillPolygon(spanColour(), []vg.Point{{X: x, Y: y - 4}, {X: x + width, Y: y - 4}, {X: x + width, Y: y + 4}, {X: x, Y: y + 4}})
	}
}

func meanGlyph(style int) draw.GlyphStyle {
	return draw.GlyphStyle{Color: colourOf(style), Radius: 3.6, Shape: glyphOf(style)}
}

func failedGlyph() draw.GlyphStyle {
	return draw.GlyphStyle{Color: color.RGBA{0xB0, 0x00, 0x20, 0xff}, Radius: 4.5, Shape: draw.CrossGlyph{}}
}

func levelStyle(style int) draw.LineStyle {
	return draw.LineStyle{Color: colourOf(style), Width: 1, Dashes: []vg.Length{4, 3}}
}

func spanColour() color.Color { return color.Gray{0xEC} }

// plot makes the panel's axes; the panel draws itself between them.
func (p *panel) plot() *plot.Plot {
	pl := plot.New()
	for _, axis := range []*plot.Axis{&pl.X, &pl.Y} {
		label, tick := textStyle(10.5, xfont.WeightNormal), textStyle(9, xfont.WeightNormal)
		label.XAlign, label.YAlign, label.Rotation = axis.Label.TextStyle.XAlign, axis.Label.TextStyle.YAlign, axis.Label.TextStyle.Rotation
		tick.XAlign, tick.YAlign = axis.Tick.Label.XAlign, axis.Tick.Label.YAlign
		axis.Label.TextStyle, axis.Tick.Label = label, tick
		axis.Label.Padding = vg.Points(4)
		axis.Padding = 0
		axis.Tick.Length = vg.Points(4)
		axis.Color, axis.Tick.Color = color.Gray{0x60}, color.Gray{0x60}
	}
	pl.X.Label.Text, pl.Y.Label.Text = p.xLabel, p.yLabel
	pl.X.Min, pl.X.Max, pl.X.Tick.Marker = p.xMin, p.xMax, plot.ConstantTicks(p.xTicks)
	if p.xLog {
		pl.X.Scale = plot.LogScale{}
	}
	ticks := niceTicks(p.highest())
	if p.whole {
		ticks = wholeTicks(ticks, p.highest())
	}
	pl.Y.Min, pl.Y.Max, pl.Y.Tick.Marker = 0, ticks[len(ticks)-1].Value, plot.ConstantTicks(ticks)
	pl.Add(p)
	return pl
}

// wholeTicks leaves out what lies between whole numbers and goes on to the top.
func wholeTicks(ticks []plot.Tick, top float64) []plot.Tick {
	ticks = slices.DeleteFunc(ticks, func(t plot.Tick) bool { return t.Value != math.Trunc(t.Value) })
	step := 1.0
	if len(ticks) > 1 {
		step = ticks[1].Value - ticks[0].Value
	}
	for v := ticks[len(ticks)-1].Value; v < top; {
		v += step
		ticks = append(ticks, plot.Tick{Value: v})
	}
	for i := range ticks {
		ticks[i].Label = unit.Count(int64(ticks[i].Value))
	}
	return ticks
}

// highest is the largest value the y axis must hold.
func (p *panel) highest() float64 {
	if p.yTop > 0 {
		return p.yTop
	}
	top := 0.0
	for _, s := range p.series {
		for _, pt := range s.means {
			top = max(top, pt.y)
		}
		for _, pt := range s.repeats {
			top = max(top, pt.y)
		}
	}
	for _, l := range p.lines {
		for _, pt := range l.points {
			top = max(top, pt.y)
		}
	}
	for _, l := range p.levels {
		top = max(top, l.y)
	}
	return 1.03 * top // keeps the highest point off the frame
}

// Plot draws the panel's data; it makes a panel a plot.Plotter.
func (p *panel) Plot(c draw.Canvas, pl *plot.Plot) {
	x, y := pl.Transforms(&c)
	at := func(pt point) vg.Point { return vg.Point{X: x(pt.x), Y: y(pt.y)} }
	p.drawSpans(c, x)
	grid := draw.LineStyle{Color: color.Gray{0xDA}, Width: 0.5}
	for _, t := range pl.Y.Tick.Marker.Ticks(pl.Y.Min, pl.Y.Max) {
		c.StrokeLine2(grid, c.Min.X, y(t.Value), c.Max.X, y(t.Value))
	}
	for _, l := range p.levels {
		c.StrokeLine2(levelStyle(l.style), c.Min.X, y(l.y), c.Max.X, y(l.y))
	}
	p.drawBars(c, at)
	for _, l := range p.lines {
		c.StrokeLines(draw.LineStyle{Color: colourOf(l.style), Width: 1.5}, project(l.points, at))
		if len(l.points) == 1 {
			c.DrawGlyph(meanGlyph(l.style), at(l.points[0]))
		}
	}
	for _, s := range p.series {
		if len(s.means) > 1 {
			c.StrokeLines(draw.LineStyle{Color: colourOf(s.style), Width: 1.5}, project(s.means, at))
		}
		for _, pt := range s.repeats {
			c.DrawGlyph(draw.GlyphStyle{Color: colourOf(s.style), Radius: 1.6, Shape: draw.CircleGlyph{}}, at(pt))
		}
		for _, pt := range s.means {
			c.DrawGlyph(meanGlyph(s.style), at(pt))
		}
	}
	for _, pt := range p.failed {
		c.DrawGlyphNoClip(failedGlyph(), at(pt))
	}
	for _, m := range p.marks {
		m.kind.draw(c, at(m.at), 1)
	}
}

func project(points []point, at func(point) vg.Point) []vg.Point {
	out := make([]vg.Point, len(points))
	for i, pt := range points {
		out[i] = at(pt)
	}
	return out
}

// spanName is the height of a test's name above the panel.
const spanName = vg.Length(8)

// drawSpans shades the time of each test and names it above the panel where its name has room.
func (p *panel) drawSpans(c draw.Canvas, x func(float64) vg.Length) {
	style := textStyle(8, xfont.WeightNormal)
	style.XAlign = draw.XCenter
	style.Color = color.Gray{0x60}
	for _, s := range p.spans {
		from, to := x(s.from), x(s.to)
		c.FillPolygon(spanColour(), []vg.Point{{X: from, Y: c.Min.Y}, {X: to, Y: c.Min.Y}, {X: to, Y: c.Max.Y}, {X: from, Y: c.Max.Y}})
		if p.nameSpans && style.Width(s.label) <= to-from {
			c.FillText(style, vg.Point{X: (from + to) / 2, Y: c.Max.Y + 3}, s.label)
		}
	}
}

// concurrencyAxis is logarithmic, with a tick at every tested concurrency. Numbers that would touch
// are left off, powers of two last.
func (p *panel) concurrencyAxis(tested []float64) {
	p.xLog = true
	p.xMin, p.xMax = tested[0]/1.25, tested[len(tested)-1]*1.25
	place := func(n float64) float64 {
		return plotWidth * math.Log(n/p.xMin) / math.Log(p.xMax/p.xMin)
	}
	style := textStyle(9, xfont.WeightNormal)
	labelled := map[float64]bool{}
	for _, powers := range []bool{true, false} {
		for _, n := range tested {
			if powers != (math.Exp2(math.Round(math.Log2(n))) == n) {
				continue
			}
			room := true
			for other := range labelled {
				apart := math.Abs(place(n) - place(other))
				need := (style.Width(concurrencyLabel(n))+style.Width(concurrencyLabel(other))).Points()/2 + 6
				room = room && apart >= need
			}
			if room {
				labelled[n] = true
			}
		}
	}
	for _, n := range tested {
		t := plot.Tick{Value: n}
		if labelled[n] {
			t.Label = concurrencyLabel(n)
		}
		p.xTicks = append(p.xTicks, t)
	}
}

func concurrencyLabel(n float64) string { return unit.Count(int64(n)) }

// timeAxis is linear from zero, in minutes.
func (p *panel) timeAxis(end float64) {
	for _, s := range p.lines {
		end = max(end, s.points[len(s.points)-1].x)
	}
	if end <= 0 {
		end = 1
	}
	p.xMax = end * 1.01
	for _, t := range niceTicks(end) {
		if t.Value <= p.xMax {
			p.xTicks = append(p.xTicks, t)
		}
	}
}

// niceTicks divides an axis from 0 to at least top into four to eight steps of 1, 2, 2.5 or 5
// times a power of ten. The last tick lies a little above top.
func niceTicks(top float64) []plot.Tick {
	if !(top > 0) || math.IsInf(top, 0) {
		top = 1
	}
	power := math.Pow(10, math.Floor(math.Log10(top/4)))
	step := power
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		step = m * power
		if top/step <= 7 {
			break
		}
	}
	decimals := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	if m := step / power; m == 2.5 && step < 25 {
		decimals++
	}
	var ticks []plot.Tick
	for i := 0; ; i++ {
		v := float64(i) * step
		label := strconv.FormatFloat(v, 'f', decimals, 64)
		if decimals == 0 {
			label = unit.Count(int64(math.Round(v)))
		}
		ticks = append(ticks, plot.Tick{Value: v, Label: label})
		if v >= top*(1-1e-9) {
			return ticks
		}
	}
}
