package report

import (
	"slices"
	"strings"
	"testing"
)

// TestRatesAreShown: the border, the steady part and why there is none, and the probes stand in both languages; the chart has the
// steps that were measured, and a mark where one was stopped.
func TestRatesAreShown(t *testing.T) {
	in := rates(t)
	for lang, wants := range map[string][]string{
		English: {"holds at 8 requests/s (1 of 1 repeats), broken at 9.5", "8.00 … 9.50", "the server kept up with 8 requests/s and not with 16", "88 %",
			"no steady part: the number in flight went from 20.0 to 80.0", "64/16, 0.5/s", "97 %", "not decided"},
		Korean: {"초당 8건에서 만족(반복 1/1), 9.5건에서 깨짐", "초당 8건은 감당했고 16건은 감당하지 못함", "정상 상태 구간 없음: 처리 중인 요청 수가", "64/16, 0.5/s", "판단 불가"},
	} {
		page := string(markdown(build(in, lang, nil, nil)))
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s: nothing says %q", lang, want)
			}
		}
	}
	c := ratesChart(in)
	if c == nil || len(c.panels) != 2 {
		t.Fatalf("%+v", c)
	}
	for _, p := range c.panels {
		if len(p.series) != 1 || len(p.series[0].means) != 5 || len(p.failed) != 1 || p.failed[0].x != 16 {
			t.Errorf("%+v", p)
		}
		if !slices.IsSortedFunc(p.series[0].means, func(a, b point) int { return int(a.x*100 - b.x*100) }) || p.xMin > 0.25 || p.xMax < 16 || len(p.xTicks) < 4 {
			t.Errorf("%+v", p)
		}
	}
	in.Open = in.Open[:1]
	in.Analysis.Rates[0].Tests = in.Analysis.Rates[0].Tests[:1]
	if ratesChart(in) != nil {
		t.Error("one rate is drawn as a line")
	}
}
