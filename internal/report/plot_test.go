package report

import (
	"math"
	"testing"

	xfont "golang.org/x/image/font"

	"bench/internal/record"
)

func TestNiceTicks(t *testing.T) {
	for _, top := range []float64{1e-4, 0.03, 0.7, 1, 2.5, 3.3, 7, 9.99, 24, 25, 26, 99, 100, 101, 648, 1e5, 3.7e7} {
		ticks := niceTicks(top)
		if n := len(ticks); n < 4 || n > 9 {
			t.Errorf("%v: %d ticks", top, n)
		}
		last := ticks[len(ticks)-1].Value
		if ticks[0].Value != 0 || last < top*(1-1e-6) || ticks[len(ticks)-2].Value >= top {
			t.Errorf("%v: ticks from %v to %v", top, ticks[0].Value, last)
		}
		seen := map[string]bool{}
		for _, tick := range ticks {
			if seen[tick.Label] {
				t.Errorf("%v: label %s twice", top, tick.Label)
			}
			seen[tick.Label] = true
		}
	}
	for _, top := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if n := len(niceTicks(top)); n == 0 {
			t.Errorf("%v: no ticks", top)
		}
	}
}

// Every tested concurrency has its tick; no two labels touch.
func TestConcurrencyAxis(t *testing.T) {
	style := textStyle(9, xfont.WeightNormal)
	many := make([]float64, 300)
	for i := range many {
		many[i] = float64(i + 1)
	}
	for _, tested := range [][]float64{{1}, {8}, {1, 2, 4, 8, 16, 32}, many, {1000, 1001, 1002}} {
		var p panel
		p.concurrencyAxis(tested)
		if len(p.xTicks) != len(tested) {
			t.Errorf("%d ticks for %d concurrencies", len(p.xTicks), len(tested))
		}
		end, labels := math.Inf(-1), 0
		for _, tick := range p.xTicks {
			if tick.Label == "" {
				continue
			}
			labels++
			at := plotWidth * math.Log(tick.Value/p.xMin) / math.Log(p.xMax/p.xMin)
			half := style.Width(tick.Label).Points() / 2
			if at-half < end+3 {
				t.Errorf("label %s touches the one before", tick.Label)
			}
			end = at + half
		}
		if labels == 0 || len(tested) == 6 && labels != 6 {
			t.Errorf("%d labels for %v", labels, tested)
		}
	}
}

func TestThinKeepsPeaks(t *testing.T) {
	var line []point
	for i := range 10_000 {
		line = append(line, point{float64(i), math.Sin(float64(i) / 50)})
	}
	line[7_777].y, line[3_333].y = 5, -5
	thinned := thin(line, 100)
	if len(thinned) > 200 {
		t.Errorf("%d points left, want at most 200", len(thinned))
	}
	hi, lo := math.Inf(-1), math.Inf(1)
	for i, p := range thinned {
		hi, lo = max(hi, p.y), min(lo, p.y)
		if i > 0 && p.x <= thinned[i-1].x {
			t.Errorf("point %d goes back in time", i)
		}
	}
	if hi != 5 || lo != -5 {
		t.Errorf("extremes are %v and %v, want -5 and 5", lo, hi)
	}
}

func TestTimeAxisCutsPauses(t *testing.T) {
	const minute = int64(60e9)
	at := func(from, to int64) record.Record {
		return record.Record{Detail: record.Detail{StartNS: from * minute, EndNS: to * minute}}
	}
	a := newTimeAxis([]record.Record{at(10, 12), at(13, 15), at(1000, 1001)})
	for _, c := range []struct {
		at   int64
		want float64
	}{{10, 0}, {12, 2}, {13, 3}, {15, 5}, {1000, 7}, {1001, 8}} {
		if got := a.minutes(c.at * minute); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("minute %d stands at %v, want %v", c.at, got, c.want)
		}
	}
	if !a.cut || math.Abs(a.end-8) > 1e-9 {
		t.Errorf("cut %v, end %v; want true and 8", a.cut, a.end)
	}
}

func TestSeriesColoursAndGlyphsDiffer(t *testing.T) {
	colours, glyphs := map[any]bool{}, map[any]bool{}
	for i := range maxSeries {
		colours[colourOf(i)], glyphs[glyphOf(i)] = true, true
	}
	if len(colours) != maxSeries || len(glyphs) != maxSeries {
		t.Errorf("%d colours and %d glyphs for %d series", len(colours), len(glyphs), maxSeries)
	}
}

func BenchmarkWriteAll(b *testing.B) {
	in := nine(b)
	for b.Loop() {
		if _, err := WriteAll(files{}.write, in, English); err != nil {
			b.Fatal(err)
		}
	}
}
