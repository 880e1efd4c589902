package capacity

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
)

// residualsTable holds, for each class of published measurements and each of its parents, how far
// they lie from what [Predict] says: measured / predicted at the 10th and the 90th percentile. It is
// made by `make accuracy`.
//
//go:embed residuals.csv
var residualsTable string

// spread is measured / predicted of one figure in one class.
type spread struct {
	low, high float64
	rows      int
}

// around puts the bounds around a predicted value; the value itself always lies inside.
func (s spread) around(v float64) Range {
	return Range{v, v * min(s.low, 1), v * max(s.high, 1)}
}

// residuals are the spreads that hold for a class.
type residuals struct {
	ttft, tpot, throughput spread
	basis                  string
	measured               bool
}

// AnyOf in a class stands for every value of that field.
const AnyOf = "*"

// minRows is the number of measurements below which the 10th and the 90th percentile are those of the
// parent class: fewer than eight of them are hardly more than their extremes.
const minRows = 8

// Parents lists c and the classes it is part of, nearest first: a host's and an engine's habits matter
// less than the card, the card less than the width of the weights.
func (c Class) Parents() []Class {
	return []Class{
		c,
		{c.GPU, c.Weights, c.Engine, AnyOf},
		{c.GPU, c.Weights, AnyOf, AnyOf},
		{AnyOf, c.Weights, c.Engine, c.Load},
		{AnyOf, c.Weights, AnyOf, AnyOf},
		{AnyOf, AnyOf, AnyOf, AnyOf},
	}
}

// String names a class in a table's words.
func (c Class) String() string {
	var out []string
	for _, x := range []struct{ value, format string }{{c.GPU, "%s"}, {c.Weights, "%s weights"}, {c.Engine, "%s"}, {c.Load, "%s load"}} {
		if x.value != AnyOf {
			out = append(out, fmt.Sprintf(x.format, x.value))
		}
	}
	if len(out) == 0 {
		return "all cards and weights"
	}
	return strings.Join(out, ", ")
}

// residualsOf finds the nearest class with enough rows of each figure.
func residualsOf(c Class) residuals {
	table := readResiduals()
	var out residuals
	find := func(metric string) spread {
		for _, parent := range c.Parents() {
			s, ok := table[metricClass{metric, parent}]
			if !ok || s.rows < minRows {
				continue
			}
			if metric == MetricTPOT {
				out.basis = fmt.Sprintf("%s: %d measurements", parent, s.rows)
			}
			return s
		}
		return spread{low: 0, high: math.Inf(1)}
	}
	out.ttft, out.tpot, out.throughput = find(MetricTTFT), find(MetricTPOT), find(MetricThroughput)
	_, out.measured = table[metricClass{MetricTPOT, Class{c.GPU, c.Weights, AnyOf, AnyOf}}]
	return out
}

// The figures whose residuals are kept.
const (
	MetricTTFT       = "ttft"
	MetricTPOT       = "tpot"
	MetricThroughput = "throughput"
)

type metricClass struct {
	metric string
	class  Class
}

// readResiduals parses the embedded table once; it is part of the program, so a bad line is a bug.
var readResiduals = sync.OnceValue(func() map[metricClass]spread {
	lines, err := csv.NewReader(strings.NewReader(residualsTable)).ReadAll()
	if err != nil {
		panic("residuals.csv: " + err.Error())
	}
	out := make(map[metricClass]spread, len(lines))
	for i, f := range lines[min(1, len(lines)):] {
		rows, err1 := strconv.Atoi(f[5])
		low, err2 := strconv.ParseFloat(f[6], 64)
		high, err3 := strconv.ParseFloat(f[7], 64)
		if err1 != nil || err2 != nil || err3 != nil {
			panic(fmt.Sprintf("residuals.csv:%d: not a number in %q", i+2, f))
		}
		out[metricClass{f[0], Class{f[1], f[2], f[3], f[4]}}] = spread{low, high, rows}
	}
	return out
})
