package term

import (
	"math"
	"strings"
)

const (
	// bucketNS is the time one column of a sparkline stands for: a terminal's width is then about a minute.
	bucketNS = int64(1e9)
	// seriesMax is how many columns are kept: more than any terminal has.
	seriesMax = 1024
)

// series is a measure over time, a column a second. Seconds in which nothing was measured, as those of a cooldown,
// leave one empty column, however many they were.
type series struct {
	values []float64 // NaN is an empty column
	bucket int64     // of the last column
}

// at is the column of an instant, nil where it lies before the last one.
func (s *series) at(ns int64) *float64 {
	b := ns / bucketNS
	n := len(s.values)
	if n > 0 && b < s.bucket {
		return nil
	}
	if n > 0 && b > s.bucket+1 {
		s.gap()
	}
	if n = len(s.values); n == 0 || b > s.bucket || math.IsNaN(s.values[n-1]) {
		s.add(0)
	}
	s.bucket = b
	return &s.values[len(s.values)-1]
}

// highest keeps the highest value of each second.
func (s *series) highest(ns int64, v float64) {
	if p := s.at(ns); p != nil {
		*p = max(*p, v)
	}
}

// spread adds an amount that came between two instants, in equal parts to the time between them.
func (s *series) spread(from, to int64, amount float64) {
	for a := from; a < to; {
		b := min((a/bucketNS+1)*bucketNS, to)
		if p := s.at(a); p != nil {
			*p += amount * float64(b-a) / float64(to-from)
		}
		a = b
	}
}

// whole are the columns whose second is over.
func (s *series) whole() []float64 { return s.values[:max(0, len(s.values)-1)] }

// add appends a column that stands for no time.
func (s *series) add(v float64) {
	s.values = append(s.values, v)
	if n := len(s.values); n > seriesMax {
		s.values = append(s.values[:0], s.values[n-seriesMax:]...)
	}
}

// gap appends an empty column unless the last one is.
func (s *series) gap() {
	if n := len(s.values); n > 0 && !math.IsNaN(s.values[n-1]) {
		s.add(math.NaN())
	}
}

var sparks = []rune("▁▂▃▄▅▆▇█")

// sparkline draws the last values as columns between 0 and top, at the right end of width columns.
func sparkline(values []float64, top float64, width int) string {
	values = newest(values, width)
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", max(0, width-len(values))))
	for _, v := range values {
		switch {
		case math.IsNaN(v):
			b.WriteByte(' ')
		case !(top > 0) || v <= 0:
			b.WriteRune(sparks[0])
		default:
			b.WriteRune(sparks[min(len(sparks)-1, int(v/top*float64(len(sparks))))])
		}
	}
	return b.String()
}

// newest are the last n values.
func newest(values []float64, n int) []float64 { return values[max(0, len(values)-max(n, 0)):] }

// highestOf is the highest of some values, 0 where there is none.
func highestOf(values []float64) float64 {
	top := 0.0
	for _, v := range values {
		if v > top { // false for NaN
			top = v
		}
	}
	return top
}
