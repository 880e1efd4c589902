package report

import (
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"bench/internal/record"
)

// limitKind is a judgement that a chart over concurrency marks. It is marked by a sign around a measured point, so that
// no label can hide a point or another label.
type limitKind int

const (
	limitRecommended limitKind = iota
	limitSurge
	limitSaturated
	limitMemory
)

func (k limitKind) label() string {
	return [...]string{"recommended", "latency surge", "saturated", "memory gave out or KV cache full"}[k]
}

// limitMark is where a limit lies on a chart.
type limitMark struct {
	at   point
	kind limitKind
}

// marks are the limits of a ladder that a chart of this metric shows.
func (m metric) marks(in Input, recs []record.Record, s series) []limitMark {
	l := ladderOf(in, recs[0])
	if l == nil {
		return nil
	}
	var out []limitMark
	on := func(kind limitKind, limit record.Limit) {
		if !limit.Reached || limit.Concurrent == nil {
			return
		}
		if i := slices.IndexFunc(s.means, func(p point) bool { return p.x == *limit.Concurrent }); i >= 0 {
			out = append(out, limitMark{s.means[i], kind})
		} else if kind == limitMemory { // nothing was answered there
			out = append(out, limitMark{point{x: *limit.Concurrent}, kind})
		}
	}
	on(limitRecommended, l.Recommended)
	on(limitMemory, l.OOM)
	if m.saturates {
		on(limitSaturated, l.Saturation)
	}
	if surge := l.LatencySurge; m.baseline && surge.Reached && surge.Concurrent != nil && l.Baseline != nil {
		out = append(out, limitMark{point{*surge.Concurrent, 2 * l.Baseline.AvgTotalLatencyMS * m.scale}, limitSurge})
	}
	return out
}

// draw puts a sign around a point: each kind has its own form and size, so that they tell apart in grey and on one
// point. A legend draws them at half the size.
func (k limitKind) draw(c draw.Canvas, at vg.Point, size vg.Length) {
	line := draw.LineStyle{Color: [...]color.Color{color.RGBA{0x0a, 0x6b, 0x3d, 0xff}, color.Gray{0x10}, color.RGBA{0x8a, 0x53, 0x00, 0xff}, color.RGBA{0xb0, 0x00, 0x20, 0xff}}[k], Width: 1.4}
	r := size * [...]vg.Length{6.5, 7, 7.5, 10}[k]
	around := func(corners ...vg.Point) {
		for i := range corners {
			corners[i] = at.Add(vg.Point{X: corners[i].X * r, Y: corners[i].Y * r})
		}
		c.StrokeLines(line, append(corners, corners[0]))
	}
	switch k {
	case limitRecommended:
		c.SetLineStyle(line)
		var ring vg.Path
		ring.Move(vg.Point{X: at.X + r, Y: at.Y})
		ring.Arc(at, r, 0, 2*math.Pi)
		c.Stroke(ring)
	case limitSurge:
		line.Width = 2
		c.StrokeLine2(line, at.X, at.Y-r, at.X, at.Y+r)
	case limitSaturated:
		around(vg.Point{X: -1, Y: -1}, vg.Point{X: 1, Y: -1}, vg.Point{X: 1, Y: 1}, vg.Point{X: -1, Y: 1})
	case limitMemory:
		around(vg.Point{X: -0.87, Y: -0.5}, vg.Point{X: 0.87, Y: -0.5}, vg.Point{X: 0, Y: 1})
	}
}
