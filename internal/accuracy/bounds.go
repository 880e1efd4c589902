package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"bench/internal/capacity"
)

// The bounds a prediction carries hold four of five measurements: from the 10th to the 90th percentile.
const lowQuantile, highQuantile = 0.1, 0.9

// metrics in the order of every table.
var metrics = []string{capacity.MetricTPOT, capacity.MetricThroughput, capacity.MetricTTFT}

// residualsTable is residuals.csv: measured / predicted of every class and of its parents.
func residualsTable(rs []residual) string {
	type key struct {
		metric string
		class  capacity.Class
	}
	ratios := map[key][]float64{}
	for _, metric := range metrics {
		for _, r := range sound(rs, metric) {
			seen := map[capacity.Class]bool{}
			for _, c := range r.class().Parents() {
				if !seen[c] {
					seen[c] = true
					ratios[key{metric, c}] = append(ratios[key{metric, c}], r.ratio())
				}
			}
		}
	}
	var lines []string
	for k, xs := range ratios {
		lines = append(lines, fmt.Sprintf("%s,%s,%s,%s,%s,%d,%.4f,%.4f\n", k.metric, k.class.GPU, k.class.Weights, k.class.Engine, k.class.Load,
			len(xs), quantile(xs, lowQuantile), quantile(xs, highQuantile)))
	}
	slices.Sort(lines)
	return "metric,gpu,weights,engine,load,rows,low,high\n" + strings.Join(lines, "")
}

// class is what the program groups a prediction for that measurement by.
func (m measurement) class() capacity.Class {
	return capacity.ClassOf(m.model, m.gpu, m.engine, m.load.Kind)
}

// group is the residuals of one class of a table.
type group struct {
	name string
	rs   []residual
}

// grouped splits residuals by a name, most rows first.
func grouped(rs []residual, name func(residual) string) []group {
	at := map[string]int{}
	var out []group
	for _, r := range rs {
		n := name(r)
		i, ok := at[n]
		if !ok {
			i = len(out)
			at[n] = i
			out = append(out, group{name: n})
		}
		out[i].rs = append(out[i].rs, r)
	}
	slices.SortStableFunc(out, func(a, b group) int {
		return cmp.Or(cmp.Compare(len(b.rs), len(a.rs)), cmp.Compare(a.name, b.name))
	})
	return out
}
