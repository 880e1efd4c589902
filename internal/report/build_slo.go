package report

import (
	"fmt"
	"slices"
	"strings"

	"bench/internal/record"
)

var (
	wSLO      = tr("Objective (SLO)", "목표(SLO) 만족 한계")
	wGoodput  = tr("Goodput: requests within all limits, of all that were due", "Goodput: 모든 한도를 지킨 요청 (예정된 전체 요청 기준)")
	wWithin   = tr("Within", "충족")
	wShare    = tr("Share", "비율")
	wGoodSec  = tr("Good/s", "충족/s")
	wLimitsAt = tr("Limits", "한도")
)

// goodput shows what was served within the limits of --goodput.
func (b builder) goodput() *table {
	t := &table{caption: b.of(b.t(wGoodput)), columns: []column{{title: b.t(wTest)}, {title: b.t(wLimitsAt), wrap: true},
		{title: b.t(wWithin), right: true}, {title: b.t(wShare), right: true}, {title: b.t(wGoodSec), right: true}}}
	for _, r := range slices.Concat(b.in.Tests, b.in.Open) {
		g := r.Detail.Goodput
		if g == nil {
			continue
		}
		t.rows = append(t.rows, row(r.TestID, goodputLimits(*g), fmt.Sprintf("%d of %d", g.Good, g.Of), percent(g.Share), figureOf(g.PerSec)))
	}
	return t
}

func goodputLimits(g record.Goodput) string {
	var parts []string
	for _, l := range []struct {
		name string
		ms   *float64
	}{{"TTFT", g.MaxTTFTMS}, {"TPOT", g.MaxTPOTMS}, {"latency", g.MaxLatencyMS}} {
		if l.ms != nil {
			parts = append(parts, fmt.Sprintf("%s ≤ %s ms", l.name, figureOf(l.ms)))
		}
	}
	return strings.Join(parts, ", ")
}
