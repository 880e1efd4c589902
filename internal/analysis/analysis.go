// Package analysis owns the judgements about a folder's records: where a ladder's limits lie, what
// concurrency to run at, what a manager is told. It is pure: records in, one document out; it
// measures nothing, reads no file and knows no flag's value.
package analysis

import (
	"cmp"
	"errors"
	"slices"

	"bench/internal/record"
)

// Input is what is judged. Tests and Baselines may be incomplete, failed or missing in any mixture.
type Input struct {
	Run       record.Run
	Baselines []record.Record
	Tests     []record.Record
	Open      []record.Record // open loads: no ladder rests on them
	Sizing    *record.Sizing  // nil when none was made
	Machine   *Machine        // nil where model, card or quantisation are not known
}

// ErrNothing is returned where there is no record at all to judge.
var ErrNothing = errors.New("no test results to analyse: run `bench stress` (or `bench run`) first")

// Analyze judges the records. It fails only with [ErrNothing].
func Analyze(in Input) (record.Analysis, error) {
	if len(in.Baselines)+len(in.Tests)+len(in.Open) == 0 {
		return record.Analysis{}, ErrNothing
	}
	doc := record.Analysis{
		Schema:    record.SchemaAnalysis,
		Simulated: simulated(in),
		Ladders:   []record.Ladder{},
		Rates:     []record.RateLadder{},
	}
	for _, l := range buildRates(in) {
		doc.Rates = append(doc.Rates, l.judge())
	}
	ladders := buildLadders(in)
	for _, l := range ladders {
		doc.Ladders = append(doc.Ladders, l.judge())
	}
	doc.Repeats = oddities(slices.Concat(in.Baselines, in.Tests))
	doc.Expectations = expectations(in, ladders, doc.Ladders)
	for _, s := range headline(in, ladders, doc.Ladders, doc.Rates, doc.Simulated) {
		doc.Headline = append(doc.Headline, s.En)
		doc.HeadlineKO = append(doc.HeadlineKO, s.Ko)
	}
	return doc, nil
}

// simulated is true if any part of the input comes from the simulator.
func simulated(in Input) bool {
	one := func(r record.Record) bool { return r.Detail.Simulated }
	return in.Run.Simulated || slices.ContainsFunc(in.Tests, one) || slices.ContainsFunc(in.Baselines, one)
}

// ladder is all concurrent tests of one shape, by ascending concurrency.
type ladder struct {
	input, output int
	slo           string // objective that its tests were made for, by sloKey; a sustained load is another than a burst
	workload      record.Workload
	rungs         []rung           // what judgements rest on
	all           []rung           // also the left-out ones
	leftOut       []record.LeftOut // in the order of all
	base          *record.Baseline // of this shape; nil where none was measured
	machine       *Machine         // nil where it is not known
	other         string           // which other server than vLLM was measured; "" for vLLM
	slots         int              // requests the server says to compute at once; 0 where it does not
}

// rung is one test of a ladder.
type rung struct {
	n   float64 // requests in flight
	rec record.Record
}

// buildLadders groups the tests by shape, shortest prompt first.
func buildLadders(in Input) []*ladder {
	type shape struct {
		input, output int
		slo           string
		workload      record.Workload
	}
	byShape := map[shape]*ladder{}
	var ladders []*ladder
	for _, rec := range in.Tests {
		key := shape{rec.InputTokens, rec.MaxOutputTokens, sloKey(rec.Detail.SLO), workloadOf(rec)}
		l := byShape[key]
		if l == nil {
			l = &ladder{input: key.input, output: key.output, slo: key.slo, workload: key.workload, machine: in.Machine, other: otherServer(in.Run.Server), slots: in.Run.Server.Slots}
			byShape[key] = l
			ladders = append(ladders, l)
		}
		l.all = append(l.all, rung{n: float64(rec.ConcurrentRequests), rec: rec})
	}
	for _, l := range ladders {
		slices.SortStableFunc(l.all, func(a, b rung) int { return cmp.Compare(a.n, b.n) })
		for _, r := range l.all {
			if why, out := leaveOut(r.rec); out {
				l.leftOut = append(l.leftOut, record.LeftOut{TestID: r.rec.TestID, Reason: why.En, ReasonKO: why.Ko})
				continue
			}
			l.rungs = append(l.rungs, r)
		}
		l.base = l.baseline(in.Baselines)
	}
	slices.SortStableFunc(ladders, func(a, b *ladder) int {
		return cmp.Or(cmp.Compare(a.input, b.input), cmp.Compare(a.output, b.output), cmp.Compare(a.slo, b.slo))
	})
	return ladders
}

// otherServer names a server that is not vLLM. Folders of versions that did not look were all taken for vLLM's.
func otherServer(s record.Server) string {
	switch {
	case s.Engine == "" && s.Features != nil:
		return "this server"
	case s.Engine == record.EngineVLLM:
		return ""
	}
	return s.Engine
}

// workloadOf is what a test's requests are beyond their lengths: those of another are another ladder.
func workloadOf(rec record.Record) record.Workload {
	if w := rec.Detail.Workload; w != nil {
		return *w
	}
	return record.Workload{}
}

// leaveOut says whether no judgement may rest on a record.
func leaveOut(rec record.Record) (why record.Text, out bool) {
	switch {
	case rec.Trust.Verdict == record.TrustInvalid:
		return say("the measurement is invalid (see its findings)", "측정이 유효하지 않음 (해당 테스트의 findings 참조)"), true
	case rec.Results.SuccessRate == nil:
		return say("nothing was sent", "요청을 보내지 못함"), true
	}
	return record.Text{}, false
}

// baseline is the single-request test the ladder is held against: the one its records were judged
// by, else a baseline record of the shape, else the ladder's own test of one request.
func (l *ladder) baseline(baselines []record.Record) *record.Baseline {
	for _, r := range l.rungs {
		if b := r.rec.Detail.Baseline; b != nil && b.AvgTotalLatencyMS > 0 {
			return b
		}
	}
	for _, rec := range baselines {
		if rec.InputTokens == l.input && rec.MaxOutputTokens == l.output && rec.ConcurrentRequests == 1 {
			if b := asBaseline(rec); b != nil {
				return b
			}
		}
	}
	for _, r := range l.rungs {
		if r.n == 1 && r.complete() {
			if b := asBaseline(r.rec); b != nil {
				return b
			}
		}
	}
	return nil
}

func asBaseline(rec record.Record) *record.Baseline {
	if lat := rec.Results.AvgTotalLatencyMS; lat != nil && *lat > 0 {
		return &record.Baseline{TestID: rec.TestID, AvgTotalLatencyMS: *lat}
	}
	return nil
}

// complete is true if every request of the rung succeeded.
func (r rung) complete() bool {
	return r.rec.Results.SuccessRate != nil && *r.rec.Results.SuccessRate >= 1
}

// slowest is the longest latency of a request in ms, or the average where no more is kept.
func (r rung) slowest() (ms float64, ok bool) {
	if d := r.rec.Detail.Latency; d != nil {
		return d.Max, true
	}
	if avg := r.rec.Results.AvgTotalLatencyMS; avg != nil {
		return *avg, true
	}
	return 0, false
}

// top is the highest concurrency at which every request succeeded; 0 where there is none.
func (l *ladder) top() float64 {
	for _, r := range slices.Backward(l.rungs) {
		if r.complete() {
			return r.n
		}
	}
	return 0
}

// highest is the highest concurrency tested, however it went; 0 where there is none.
func (l *ladder) highest() float64 {
	if len(l.all) == 0 {
		return 0
	}
	return l.all[len(l.all)-1].n
}

// judge applies the rules to the ladder.
func (l *ladder) judge() record.Ladder {
	doc := record.Ladder{InputTokens: l.input, MaxOutputTokens: l.output, LeftOut: l.leftOut, Baseline: l.base}
	for _, r := range l.all {
		doc.Tests = append(doc.Tests, r.rec.TestID)
	}
	doc.OOM = l.advised(l.expects(l.oom(), say("the KV cache full", "KV cache 포화가"), fillsKV))
	doc.LatencySurge = l.advised(l.expects(l.latencySurge(), say("it", "이 지점이"), surges))
	doc.Saturation = l.advised(l.saturation())
	doc.Recommended = l.advised(l.recommended(doc.Saturation))
	if slo := l.sloLimit(); slo != nil {
		doc.SLO = new(l.advised(*slo))
	}
	return doc
}
