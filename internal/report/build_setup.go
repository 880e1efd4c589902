package report

import (
	"slices"
	"strconv"
	"strings"

	"bench/internal/record"
	"bench/internal/unit"
)

// sizing is which GPUs carry the demand: the three answers, all set-ups, the plan's own table.
func (b builder) sizing(doc *record.Sizing) section {
	s := section{title: b.t(wSizing)}
	s.para(b.f(wSizingFor, doc.Model.ID, unit.Count(doc.Demand.Concurrent), unit.Count(doc.Demand.ContextTokens)))
	s.table(b.optionTable(doc.Options))
	setups, caption := doc.Setups, b.t(wSetups)
	if len(setups) > maxSetups {
		setups = bestOfEach(setups)
		caption = b.f(wBestSetups, len(setups), len(doc.Setups))
	}
	s.table(b.setupTable(caption, setups))
	s.para(b.t(wMemoryOf))
	s.table(b.speedTable(setups))
	s.para(b.t(wSpeedOf))
	b.savings(&s, doc.Setups)
	var notes []string
	for _, n := range doc.Notes {
		notes = append(notes, b.t(n))
	}
	s.list(notes)
	s.table(b.reasonTable(setups))
	b.calibration(&s, doc.Calibration)
	b.explanation(&s, doc.Explain)
	if doc.Plan != nil {
		b.planReview(&s, doc.Plan)
	}
	return s
}

func (b builder) optionTable(o record.Options) *table {
	t := &table{columns: []column{{title: b.t(wOption)}, {title: b.t(wSetup), wrap: true}, {title: b.t(wLayout)},
		{title: b.t(wBuy), right: true}, {title: b.t(wHour), right: true}, {title: b.t(wWhy), wrap: true}}}
	for _, x := range []struct {
		name record.Text
		opt  *record.Option
	}{{wMinimum, o.Minimum}, {wRecommendGP, o.Recommended}, {wCloud, o.CheapestCloud}} {
		if x.opt == nil {
			t.rows = append(t.rows, row(b.t(x.name), b.t(wNone), unknown, unknown, unknown, ""))
			continue
		}
		buy, hour := prices(x.opt.Price)
		t.rows = append(t.rows, row(b.t(x.name), setupName(x.opt.GPU, x.opt.Count),
			layout(x.opt.TensorParallel, x.opt.PipelineParallel, x.opt.Replicas), buy, hour, b.t(x.opt.Why)))
	}
	return t
}

// maxSetups is the number of set-ups up to which all are shown.
const maxSetups = 20

// bestOfEach keeps the first set-up of each GPU.
func bestOfEach(setups []record.Setup) []record.Setup {
	seen := map[string]bool{}
	var out []record.Setup
	for _, s := range setups {
		if !seen[s.GPU] {
			seen[s.GPU] = true
			out = append(out, s)
		}
	}
	return out
}

func (b builder) setupTable(caption string, setups []record.Setup) *table {
	t := &table{caption: caption, columns: []column{{title: "#", right: true}, {title: b.t(wSetup), wrap: true}, {title: b.t(wLayout)},
		{title: b.t(wWeights), right: true}, {title: b.t(wKV), right: true}, {title: b.t(wGuaranteed), right: true},
		{title: b.t(wSteady), right: true}, {title: b.t(wBuy), right: true}, {title: b.t(wHour), right: true}, {title: b.t(wVerdict)}}}
	for _, x := range setups {
		weights, kv, guaranteed, steady := unknown, unknown, unknown, unknown
		if m := x.Memory; m != nil {
			weights, kv = gib(m.WeightsBytes), gib(m.KVCacheBytes)
		}
		if c := x.Concurrency; c != nil {
			guaranteed, steady = unit.Count(c.Guaranteed), unit.Count(c.Steady)
		}
		buy, hour := prices(x.Price)
		cells := row(strconv.Itoa(x.Rank), setupName(x.GPU, x.Count), layout(x.TensorParallel, x.PipelineParallel, x.Replicas),
			weights, kv, guaranteed, steady, buy, hour)
		t.rows = append(t.rows, append(cells, b.sizeVerdict(x.Verdict)))
	}
	return t
}

func (b builder) reasonTable(setups []record.Setup) *table {
	t := &table{caption: b.t(wReasons), columns: []column{{title: "#", right: true}, {title: b.t(wSetup), wrap: true},
		{title: b.t(wPriceDate)}, {title: b.t(wReasons), wrap: true}}}
	for _, x := range setups {
		var reasons []string
		for _, r := range x.Reasons {
			reasons = append(reasons, b.t(r))
		}
		asOf := unknown
		if x.Price != nil {
			asOf = orUnknown(x.Price.AsOf)
		}
		t.rows = append(t.rows, row(strconv.Itoa(x.Rank), setupName(x.GPU, x.Count), asOf, strings.Join(reasons, "; ")))
	}
	return t
}

func (b builder) planReview(s *section, p *record.PlanReview) {
	s.para(b.t(p.Summary))
	t := &table{caption: b.t(wPlanErrors), columns: []column{{title: "#", right: true}, {title: b.t(wTopic), wrap: true},
		{title: b.t(wPlanSays), wrap: true}, {title: b.t(wTruth), wrap: true}, {title: b.t(wWhy), wrap: true}}}
	for _, e := range p.Errors {
		t.rows = append(t.rows, row(strconv.Itoa(e.Number), b.t(e.Topic), b.t(e.Plan), b.t(e.Truth), b.t(e.Why)))
	}
	s.table(t)
	t = &table{caption: b.t(wPlanTable), columns: []column{{title: b.t(wSetup)}, {title: b.t(wPlanReq), right: true},
		{title: b.t(wGuaranteed), right: true}, {title: b.t(wSteady), right: true}, {title: "TPOT ms", right: true}, {title: "tokens/s", right: true},
		{title: b.t(wVerdict)}, {title: b.t(wComment), wrap: true}}}
	for _, c := range p.Candidates {
		expected := strconv.Itoa(c.ExpectedLow) + "+"
		if c.ExpectedHigh != 0 {
			expected = strconv.Itoa(c.ExpectedLow) + "–" + strconv.Itoa(c.ExpectedHigh)
		}
		tpot, rate := unknown, unknown
		if c.Speed != nil {
			tpot, rate = figureOf(&c.Speed.TPOTMS), figureOf(&c.Speed.OutputTokensPerSec)
		}
		cells := row(c.Name, expected, whole(c.Guaranteed), whole(c.Steady), tpot, rate)
		t.rows = append(t.rows, append(cells, b.sizeVerdict(c.Verdict), cell{text: b.t(c.Comment)}))
	}
	s.table(t)
}

func prices(p *record.Price) (buy, hour string) {
	if p == nil {
		return unknown, unknown
	}
	return usd(p.BuyUSD), usd(p.HourUSD)
}

func whole(v *int) string {
	if v == nil {
		return unknown
	}
	return unit.Count(*v)
}

func (b builder) sizeVerdict(v record.Verdict) cell {
	switch v {
	case record.VerdictRecommended:
		return cell{b.t(wSizeRec), good}
	case record.VerdictGood:
		return cell{b.t(wSizeGood), good}
	case record.VerdictTight:
		return cell{b.t(wSizeTight), warn}
	case record.VerdictTooSlow:
		return cell{b.t(wTooSlow), bad}
	case record.VerdictDoesNotFit:
		return cell{b.t(wSizeNoFit), bad}
	case record.VerdictNotEligible:
		return cell{b.t(wSizeForbidden), bad}
	}
	return cell{text: string(v)}
}

// verify is what is loaded, the checks of phase 1 and the judgement of the claimed set-up.
func (b builder) verify(doc *record.Verify) section {
	s := section{title: b.t(wVerify)}
	if doc.Server == nil && doc.ServerError != "" {
		s.para(b.f(wNoServer, doc.ServerError))
	}
	s.para(b.t(doc.Loaded.Summary))
	t := &table{columns: []column{{title: b.t(wCheck)}, {title: b.t(wState)}, {title: b.t(wEvidence), wrap: true}}}
	for _, c := range doc.Checks {
		t.rows = append(t.rows, []cell{{text: c.Name}, b.checkState(c.State), {text: b.t(c.Evidence)}})
	}
	s.table(t)
	if doc.Server != nil {
		s.table(b.features(doc.Server.Features))
	}
	t = &table{caption: b.t(wConclusions), columns: []column{{title: b.t(wEvidence)}, {title: b.t(wPointsTo)}, {title: b.t(wStrength)}, {title: b.t(wSays), wrap: true}}}
	for _, c := range doc.Loaded.Conclusions {
		t.rows = append(t.rows, row(c.Evidence, orUnknown(c.Quantization), b.strength(c.Strength), b.t(c.Text)))
	}
	s.table(t)
	if doc.Claim != nil {
		b.claim(&s, doc.Claim)
	}
	return s
}

// features are what a server has of what figures rest on; no table where that was not asked.
func (b builder) features(features []record.Feature) *table {
	t := &table{caption: b.t(wFeatures), columns: []column{{title: b.t(wFeature)}, {title: b.t(wHas)}, {title: b.t(wFound), wrap: true}, {title: b.t(wFollows), wrap: true}}}
	for _, f := range features {
		t.rows = append(t.rows, []cell{{text: f.Name}, b.has(f.State), {text: b.t(f.Found)}, {text: b.t(f.Follows)}})
	}
	return t
}

func (b builder) claim(s *section, c *record.Claim) {
	t := &table{caption: b.t(wClaim), columns: []column{{title: b.t(wItem)}, {title: b.t(wValue), wrap: true}}}
	t.rows = append(t.rows, row(b.t(wModel), c.Model), row(b.t(wGPU), setupName(c.GPU, c.Count)),
		row("dtype", orUnknown(c.DType)), row(b.t(wQuantization), orUnknown(c.Quantization)),
		row("kv-cache-dtype", orUnknown(c.KVCacheDType)),
		row("gpu-memory-utilization", strconv.FormatFloat(c.GPUMemoryUtilization, 'g', -1, 64)),
		row("max-model-len", number(c.MaxModelLen)), row(b.t(wLayout), layout(c.TensorParallel, c.PipelineParallel, 1)))
	if m := c.Memory; m != nil {
		t.rows = append(t.rows, row(b.t(wWeights), gib(m.WeightsBytes)), row(b.t(wKV), gib(m.KVCacheBytes)))
	}
	s.table(t)
	switch {
	case c.Possible == nil:
		s.para(b.t(wUndecided))
	case *c.Possible:
		s.para(b.t(wPossible))
	default:
		s.para(b.t(wImpossible))
	}
	t = &table{columns: []column{{title: b.t(wWeight)}, {title: b.t(wReason), wrap: true}}}
	for _, r := range c.Reasons {
		weight := cell{text: b.t(wSupporting)}
		if r.Decisive {
			weight = cell{b.t(wDecisive), plain}
			if c.Possible != nil && !*c.Possible {
				weight.tone = bad
			}
		}
		t.rows = append(t.rows, []cell{weight, {text: b.t(r.Text)}})
	}
	s.table(t)
	t = &table{caption: b.t(wInstead), columns: []column{{title: b.t(wQuantization)}, {title: b.t(wWeights), right: true},
		{title: b.t(wKV), right: true}, {title: b.t(wSteady), right: true}, {title: b.t(wNote), wrap: true}}}
	for _, a := range c.Instead {
		t.rows = append(t.rows, row(a.Quantization, gib(a.WeightsBytes), gib(a.KVCacheBytes), figureOf(&a.SteadyConcurrency), b.t(a.Text)))
	}
	s.table(t)
}

func (b builder) checkState(c record.CheckState) cell {
	switch c {
	case record.CheckOK:
		return cell{b.t(wOK), good}
	case record.CheckFailed:
		return cell{b.t(wFailed), bad}
	}
	return cell{text: b.t(wUnknownState)}
}

// has is the state of a feature: to lack one is no failure.
func (b builder) has(c record.CheckState) cell {
	switch c {
	case record.CheckOK:
		return cell{b.t(wYes), good}
	case record.CheckFailed:
		return cell{b.t(wNo), warn}
	}
	return cell{text: b.t(wUnknownState)}
}

func (b builder) strength(s record.Strength) string {
	switch s {
	case record.StrengthProven:
		return b.t(wProven)
	case record.StrengthLikely:
		return b.t(wLikely)
	case record.StrengthHint:
		return b.t(wHint)
	}
	return b.t(wUnknownState)
}

// method is how the figures came about, with the figures behind the means.
func (b builder) method() section {
	s := section{title: b.t(wMethod)}
	if len(b.in.Tests)+len(b.in.Baselines)+len(b.in.Open) == 0 {
		return s
	}
	set := b.in.Run.Settings
	num := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	s.para(b.f(wMethodText[0], set.Warmup, num(set.CooldownS), num(set.TimeoutS), num(set.Temperature), set.Seed))
	for _, w := range wMethodText[1:] {
		s.para(b.t(w))
	}
	s.table(b.repeats())
	s.para(b.t(wOneByOne))
	if b.in.Analysis != nil {
		var notes []string
		for _, n := range b.in.Analysis.Repeats {
			notes = append(notes, n.TestID+": "+record.Text{En: n.Note, Ko: n.NoteKO}.In(b.lang))
		}
		s.list(notes)
	}
	s.table(b.percentiles())
	s.para(b.t(wTooFew))
	return s
}

func (b builder) environment() section {
	s := section{title: b.t(wEnvironment)}
	run := b.in.Run
	if run.Schema == "" {
		return s
	}
	t := &table{columns: []column{{title: b.t(wItem)}, {title: b.t(wValue), wrap: true}}}
	add := func(name, value string) { t.rows = append(t.rows, row(name, orUnknown(value))) }
	add(b.t(wServer), run.Server.BaseURL)
	add(b.t(wServed), run.Server.ServedModel)
	add(b.t(wRoot), run.Server.ModelRoot)
	add(b.t(wEngine), strings.TrimSpace(run.Server.Engine+" "+run.Server.EngineVersion))
	add(b.t(wMaxLen), number(run.Server.MaxModelLen))
	add(b.t(wKVDType), run.Identity.KVCacheDType)
	if len(run.GPUs) == 0 {
		add(b.t(wGPU), b.t(wNoGPU))
	}
	for _, g := range run.GPUs {
		add(b.f(wGPUNumber, g.Index), b.f(wGPUFacts, g.Name, figureOf(g.MemoryTotalMiB), orUnknown(g.DriverVersion), g.Source))
		if len(g.Absent) > 0 {
			add(b.f(wGPUNotRead, g.Index), g.NotRead())
		}
	}
	if text := b.gpuSampling(); text != "" {
		add(b.t(wGPUSamples), text)
	}
	if sim := run.Simulation; sim != nil {
		add(b.t(wSimOf), strings.Join([]string{sim.GPU, sim.Model, sim.Quant}, ", "))
	}
	add(b.t(wEndpoint), run.Settings.Endpoint)
	add(b.t(wClient), b.f(wClientIs, run.Host.OS, run.Host.Arch, run.Host.CPUs))
	add(b.t(wTool), run.ToolVersion)
	add(b.t(wBegun), wallTime(run.CreatedAt))
	s.table(t)
	if slices.ContainsFunc(run.Server.Features, func(f record.Feature) bool { return f.State != record.CheckOK }) {
		s.table(b.features(run.Server.Features))
	}
	return s
}

// findings is what casts doubt on single measurements.
func (b builder) findings() section {
	s := section{title: b.t(wFindings)}
	t := &table{columns: []column{{title: b.t(wTest)}, {title: b.t(wTrust)}, {title: b.t(wCheck)}, {title: b.t(wFinding), wrap: true}}}
	for _, recs := range [][]record.Record{b.in.Baselines, b.in.Tests, b.in.Open} {
		for _, r := range recs {
			verdict := b.trust(r.Trust.Verdict)
			for _, f := range r.Trust.Findings {
				t.rows = append(t.rows, []cell{{text: r.TestID}, verdict, {text: f.Check}, {text: f.Evidence}})
			}
		}
	}
	s.table(t)
	if len(t.rows) == 0 && len(b.in.Tests)+len(b.in.Baselines)+len(b.in.Open) > 0 {
		s.para(b.t(wNoFindings))
	}
	return s
}

func (b builder) trust(verdict string) cell {
	switch verdict {
	case record.TrustSound:
		return cell{b.t(wSound), good}
	case record.TrustDoubtful:
		return cell{b.t(wDoubtful), warn}
	case record.TrustInvalid:
		return cell{b.t(wInvalid), bad}
	}
	return cell{text: orUnknown(verdict)}
}
