package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bench/internal/record"
	"bench/internal/stats"
)

// builder turns an input into a document in one language.
type builder struct {
	in   Input
	lang string
}

func (b builder) t(w record.Text) string { return w.In(b.lang) }

func (b builder) f(w record.Text, args ...any) string { return fmt.Sprintf(w.In(b.lang), args...) }

// of marks the caption of measured figures where they were not measured but simulated.
func (b builder) of(caption string) string {
	switch {
	case !simulated(b.in):
		return caption
	case caption == "":
		return b.t(wSimulatedTable)
	}
	return caption + " (" + b.t(wSimulatedTable) + ")"
}

// build arranges the whole report: what a manager needs first, how it was measured last.
func build(in Input, lang string, figures []figure, missing []string) document {
	b := builder{in, lang}
	doc := document{lang: lang, title: b.t(wTitle), subtitle: b.subtitle(), lead: b.lead()}
	if simulated(in) {
		doc.banner = b.t(wSimulated)
	}
	add := func(s section) {
		if len(s.blocks) > 0 {
			doc.sections = append(doc.sections, s)
		}
	}
	add(b.limits(true))
	add(b.tests())
	add(b.expectations())
	add(b.charts(figures, missing))
	if in.Sizing != nil {
		add(b.sizing(in.Sizing))
	}
	if in.Verify != nil {
		add(b.verify(in.Verify))
	}
	add(b.telemetry())
	add(b.method())
	add(b.environment())
	add(b.findings())
	return doc
}

func (b builder) subtitle() string {
	var parts []string
	if m := b.in.Run.Server.ServedModel; m != "" {
		parts = append(parts, m)
	}
	if len(b.in.Run.GPUs) > 0 {
		parts = append(parts, setupName(b.in.Run.GPUs[0].Name, len(b.in.Run.GPUs)))
	} else if s := b.in.Run.Simulation; s != nil {
		parts = append(parts, s.GPU)
	}
	if !b.in.Run.CreatedAt.IsZero() {
		parts = append(parts, wallTime(b.in.Run.CreatedAt))
	}
	return strings.Join(parts, " · ")
}

func (b builder) lead() []string {
	switch {
	case b.in.Analysis == nil:
		return nil
	case b.lang == Korean:
		return b.in.Analysis.HeadlineKO
	}
	return b.in.Analysis.Headline
}

// limits is the verdict of each ladder, with the evidence where asked.
func (b builder) limits(withEvidence bool) section {
	s := section{title: b.t(wLimits)}
	if b.in.Analysis == nil {
		return s
	}
	for _, l := range b.in.Analysis.Ladders {
		t := &table{caption: b.of(b.f(wLadder, l.InputTokens, l.MaxOutputTokens)), columns: []column{
			{title: b.t(wLimit)}, {title: b.t(wConcurrent), right: true}, {title: b.t(wCause)}, {title: b.t(wNote), wrap: true}}}
		var evidence, advice []string
		type named struct {
			name  string
			limit record.Limit
			tone  tone
		}
		var slo []named
		if l.SLO != nil {
			slo = []named{{b.t(wSLO), *l.SLO, good}}
		}
		for _, x := range append(slo, []named{
			{b.memoryName(l.OOM), l.OOM, bad}, {b.t(wSurge), l.LatencySurge, warn},
			{b.t(wSaturation), l.Saturation, warn}, {b.t(wRecommended), l.Recommended, good},
		}...) {
			t.rows = append(t.rows, b.limitRow(x.name, x.limit, x.tone))
			lines := x.limit.Evidence
			if b.lang == Korean {
				lines = x.limit.EvidenceKO
			}
			if len(lines) > 0 {
				evidence = append(evidence, x.name+": "+strings.Join(lines, "; "))
			}
			if a := (record.Text{En: x.limit.Advice, Ko: x.limit.AdviceKO}).In(b.lang); a != "" {
				a = b.cause(x.limit.Cause) + ": " + a
				if !slices.Contains(advice, a) {
					advice = append(advice, a)
				}
			}
		}
		s.table(t)
		for _, a := range advice {
			s.para(b.t(wAdvice) + " – " + a)
		}
		if l.Baseline != nil {
			s.para(b.f(wBaselineOf, l.Baseline.TestID, figureOf(&l.Baseline.AvgTotalLatencyMS)))
		} else {
			s.para(b.t(wBaselineNone))
		}
		for _, out := range l.LeftOut {
			s.para(b.f(wLeftOut, out.TestID, record.Text{En: out.Reason, Ko: out.ReasonKO}.In(b.lang)))
		}
		if withEvidence && len(evidence) > 0 {
			s.para(b.t(wEvidence) + ":")
			s.list(evidence)
		}
	}
	b.rates(&s, withEvidence)
	return s
}

// memoryName names the memory limit as what it was.
func (b builder) memoryName(l record.Limit) string {
	switch {
	case l.Reached && l.Cause == record.CauseKVCache:
		return b.t(wKVFull)
	case l.Reached && l.Cause == record.CauseEngineDeath:
		return b.t(wEngineDeath)
	}
	return b.t(wOOM)
}

func (b builder) limitRow(name string, l record.Limit, reached tone) []cell {
	at := cell{text: count(l.Concurrent), tone: reached}
	if !l.Reached {
		at.tone = plain
		if l.Low != nil {
			at.text = "> " + count(l.Low)
		}
	}
	note := record.Text{En: l.Note, Ko: l.NoteKO}.In(b.lang)
	return []cell{{text: name}, at, {text: b.cause(l.Cause)}, {text: note}}
}

func (b builder) cause(c record.Cause) string {
	switch c {
	case record.CauseKVCache:
		return b.t(wKVCause)
	case record.CauseSchedulerSlots:
		return b.t(wSlotsCause)
	case record.CauseOutOfMemory:
		return b.t(wOOMCause)
	case record.CauseEngineDeath:
		return b.t(wDeathCause)
	case record.CauseCompute:
		return b.t(wComputeCause)
	case record.CauseMemoryBandwidth:
		return b.t(wBandwidthCause)
	case record.CausePower:
		return b.t(wPowerCause)
	case record.CauseThermal:
		return b.t(wThermalCause)
	case record.CauseClient:
		return b.t(wClientCause)
	case record.CauseNetwork:
		return b.t(wNetworkCause)
	case record.CauseUnknown:
		return b.t(wUnknownState)
	}
	return orUnknown(string(c))
}

// tests holds one table a ladder, the baselines first.
func (b builder) tests() section {
	s := section{title: b.t(wTests)}
	if len(b.in.Baselines) > 0 {
		s.table(b.testTable(b.t(wBaseline), b.in.Baselines))
	}
	shapes := b.shapes()
	for _, recs := range shapes {
		s.table(b.testTable(b.f(wLadder, recs[0].InputTokens, recs[0].MaxOutputTokens), recs))
	}
	b.openTests(&s)
	b.workloads(&s)
	s.table(b.probes())
	s.table(b.goodput())
	if len(shapes)+len(b.in.Open) == 0 {
		s.para(b.t(wNoTests))
	}
	s.table(b.errorTable())
	return s
}

// shapes groups the concurrent tests into ladders, in the order of the analysis: shortest first.
func (b builder) shapes() [][]record.Record { return ladders(b.in.Tests) }

func ladders(tests []record.Record) [][]record.Record {
	var out [][]record.Record
	for _, rec := range tests {
		i := slices.IndexFunc(out, func(l []record.Record) bool {
			return l[0].InputTokens == rec.InputTokens && l[0].MaxOutputTokens == rec.MaxOutputTokens
		})
		if i < 0 {
			out = append(out, nil)
			i = len(out) - 1
		}
		out[i] = append(out[i], rec)
	}
	for _, l := range out {
		slices.SortStableFunc(l, func(a, b record.Record) int { return a.ConcurrentRequests - b.ConcurrentRequests })
	}
	slices.SortStableFunc(out, func(a, b []record.Record) int {
		if d := a[0].InputTokens - b[0].InputTokens; d != 0 {
			return d
		}
		return a[0].MaxOutputTokens - b[0].MaxOutputTokens
	})
	return out
}

func (b builder) testTable(caption string, recs []record.Record) *table {
	t := &table{caption: b.of(caption), columns: []column{
		{title: b.t(wID)}, {title: b.t(wConc), right: true}, {title: "TTFT ms", right: true}, {title: "TPOT ms", right: true},
		{title: "Latency ms", right: true}, {title: "× base", right: true}, {title: "tokens/s", right: true},
		{title: "Peak MiB", right: true}, {title: b.t(wSuccess), right: true}, {title: b.t(wStatus)}}}
	for _, r := range recs {
		res := r.Results
		var base *float64
		if r.Detail.Baseline != nil {
			base = &r.Detail.Baseline.AvgTotalLatencyMS
		}
		cells := row(r.TestID, strconv.Itoa(r.ConcurrentRequests), figureOf(res.AvgTTFTMS), figureOf(res.AvgTPOTMS),
			figureOf(res.AvgTotalLatencyMS), ratio(res.AvgTotalLatencyMS, base), figureOf(res.ThroughputTokensPerSec),
			figureOf(res.PeakMemoryMB), percent(res.SuccessRate), "")
		cells[len(cells)-1] = b.status(r)
		t.rows = append(t.rows, cells)
	}
	return t
}

// status is a test's status, with a mark where its measurement is not to be trusted.
func (b builder) status(r record.Record) cell {
	c := cell{text: string(r.Status)}
	switch r.Status {
	case record.StatusSuccess:
		c = cell{b.t(wStatusOK), good}
	case record.StatusWarning:
		c = cell{b.t(wStatusWarn), warn}
	case record.StatusFailure:
		c = cell{b.t(wStatusBad), bad}
	}
	switch r.Trust.Verdict {
	case record.TrustDoubtful:
		c.text += " (" + b.t(wDoubtful) + ")"
	case record.TrustInvalid:
		c.text += " (" + b.t(wInvalid) + ")"
	}
	return c
}

func (b builder) errorTable() *table {
	t := &table{caption: b.of(b.t(wErrors)), columns: []column{
		{title: b.t(wTest)}, {title: b.t(wClass)}, {title: b.t(wCount), right: true}, {title: b.t(wMessage), wrap: true}}}
	for _, r := range slices.Concat(b.in.Baselines, b.in.Tests, b.in.Open) {
		for _, e := range r.Results.Errors {
			t.rows = append(t.rows, row(r.TestID, string(e.Class), strconv.Itoa(e.Count), orUnknown(e.Message)))
		}
	}
	return t
}

// repeats shows the figures behind each test's means: the values of the repeats, or an interval
// where there are enough of them.
func (b builder) repeats() *table {
	t := &table{caption: b.of(b.t(wRepeats)), columns: []column{
		{title: b.t(wTest)}, {title: "tokens/s", wrap: true}, {title: "TTFT ms", wrap: true}, {title: "Latency ms", wrap: true}}}
	for _, r := range slices.Concat(b.in.Baselines, b.in.Tests, b.in.Open) {
		if len(r.Detail.Repeats) == 0 {
			continue
		}
		cells := row(r.TestID)
		for _, metric := range []func(record.Repeat) *float64{
			func(p record.Repeat) *float64 { return p.ThroughputTokensPerSec },
			func(p record.Repeat) *float64 { return p.AvgTTFTMS },
			func(p record.Repeat) *float64 { return p.AvgTotalLatencyMS },
		} {
			cells = append(cells, cell{text: spread(r.Detail.Repeats, metric)})
		}
		t.rows = append(t.rows, cells)
	}
	return t
}

// spread prints one metric of all repeats: "98.2 · 97.0 · 99.4", or "98.2 (96.9 to 99.5)".
func spread(repeats []record.Repeat, metric func(record.Repeat) *float64) string {
	var values []float64
	var texts []string
	for _, p := range repeats {
		v := metric(p)
		texts = append(texts, figureOf(v))
		if v != nil {
			values = append(values, *v)
		}
	}
	if iv, ok := stats.OverRepeats(values); ok {
		return fmt.Sprintf("%s (%s – %s, n = %d)", figureOf(&iv.Mean), figureOf(&iv.Low), figureOf(&iv.High), len(values))
	}
	return strings.Join(texts, " · ")
}

// percentiles shows the distribution over requests, as far as there are enough of them.
func (b builder) percentiles() *table {
	t := &table{caption: b.of(b.t(wPercentiles)), columns: []column{
		{title: b.t(wTest)}, {title: "n", right: true}, {title: "TTFT p50", right: true}, {title: "p90", right: true},
		{title: "p99", right: true}, {title: "TPOT p50", right: true}, {title: "p90", right: true}, {title: "p99", right: true},
		{title: "Latency p50", right: true}, {title: "p90", right: true}, {title: "p99", right: true}}}
	for _, r := range slices.Concat(b.in.Baselines, b.in.Tests, b.in.Open) {
		d := r.Detail
		if d.Latency == nil {
			continue
		}
		cells := row(r.TestID, strconv.Itoa(d.Latency.N))
		for _, x := range []*record.Distribution{d.TTFT, d.TPOT, d.Latency} {
			if x == nil {
				x = &record.Distribution{}
			}
			cells = append(cells, row(figureOf(x.P50), figureOf(x.P90), figureOf(x.P99))...)
		}
		t.rows = append(t.rows, cells)
	}
	return t
}

func (b builder) expectations() section {
	s := section{title: b.t(wExpect)}
	if b.in.Analysis == nil {
		return s
	}
	t := &table{caption: b.of(""), columns: []column{{title: b.t(wFigure)}, {title: b.t(wExpected), right: true},
		{title: b.t(wMeasured), right: true}, {title: b.t(wVerdict)}, {title: b.t(wNote), wrap: true}}}
	names := map[string]record.Text{"stable": wStable, "maximum": wMaximum, "recommended": wOperate}
	verdicts := map[string]struct {
		word record.Text
		tone tone
	}{
		record.ExpectedAsMeasured: {wAsExpected, good}, record.ExpectedHigher: {wHigher, good},
		record.ExpectedLower: {wLower, warn}, record.ExpectedUnmeasured: {wUnmeasured, plain},
	}
	for _, e := range b.in.Analysis.Expectations {
		expected := b.f(wAtMost, count(&e.ExpectedHigh))
		if e.ExpectedLow != nil {
			expected = count(e.ExpectedLow) + "–" + count(&e.ExpectedHigh)
		}
		measured := count(e.Measured)
		if e.AtLeast {
			measured = b.f(wAtLeast, measured)
		}
		v := verdicts[e.Verdict]
		t.rows = append(t.rows, []cell{{text: b.t(names[e.Name])}, {text: expected}, {text: measured}, {b.t(v.word), v.tone},
			{text: record.Text{En: e.Note, Ko: e.NoteKO}.In(b.lang)}})
	}
	s.table(t)
	return s
}

func (b builder) charts(figures []figure, missing []string) section {
	s := section{title: b.t(wCharts)}
	captions := map[string]record.Text{"throughput": wThroughput, "ttft": wTTFT, "tpot": wTPOT, "latency": wLatency, "energy": wEnergyChart, "requests": wRequestsChart, "memory": wMemory, "timeline": wTimeline,
		"sizing-memory": wSizingMemory, "sizing-price": wSizingPrice}
	memory := false
	for i := range figures {
		f := figures[i]
		f.caption = b.t(captions[f.name])
		memory = memory || f.name == "memory"
		s.blocks = append(s.blocks, block{figure: &f})
	}
	if len(figures) > 0 && !memory {
		s.para(b.t(wNoMemory))
	}
	s.list(missing)
	return s
}
