package runner

import (
	"fmt"
	"slices"
	"time"

	"bench/internal/record"
	"bench/internal/stats"
)

// The plan's bounds (3.3).
const (
	maxLatency    = 60 * time.Second
	warningFactor = 2
)

// summary turns what was recorded about a test into its record. It is pure.
type summary struct {
	test     record.Test
	repeats  map[int][]record.Request
	enforced bool
	// lengthsUnknown: whether lengths are enforced did not show.
	lengthsUnknown bool
	noCacheSalt    bool
	simulated      bool
	endpoint       string
	gpuInfo        []record.GPUInfo
	gpu            []record.GPUSample
	server         []record.ServerRow
	idleWait       time.Duration
	busy           string
	baseline       *record.Baseline
	files          record.Files

	scrapes      *record.Scrapes
	client       *watch // nil on simulated time
	precision    *record.Precision
	stops        map[int]record.Stop // repeats of an open load that ended early
	merged       *record.Merged      // nil: one machine sent it
	slo          *record.SLO         // nil where none was asked for
	goodput      *record.Goodput     // its limits, likewise
	gpuSampling  *record.GPUSampling
	gpuProcesses []record.GPUProcessSeen
	probes       map[int][]record.Request // sent beside each repeat
	probesFile   string                   // "" where none were
}

func (s *summary) record() record.Record {
	t := s.test
	rec := record.Record{Schema: record.SchemaRecord, TestID: t.ID, ConcurrentRequests: t.Concurrent, InputTokens: t.InputTokens,
		MaxOutputTokens: t.OutputTokens}
	rec.Detail = record.Detail{Kind: t.Kind, Purpose: t.Purpose, Simulated: s.simulated, Endpoint: s.endpoint, Baseline: s.baseline,
		IdleWaitMS: ms(s.idleWait), Files: s.files, Repeats: []record.Repeat{}}
	all := s.all()
	rec.Results = s.results(all)
	s.detail(&rec.Detail, all)
	rec.Results.ThroughputTokensPerSec = meanOf(rec.Detail.Repeats, func(r record.Repeat) *float64 { return r.ThroughputTokensPerSec })
	rec.Results.PeakMemoryMB = fullest(rec.Detail.GPU)
	if open := rec.Detail.OpenLoad; open != nil {
		rec.ConcurrentRequests = open.PeakInFlight
	}
	rec.Status, rec.Detail.Reason = s.judge(rec, all)
	rec.Trust = s.trust(rec, all)
	return rec
}

// all lists the requests of every repeat in order.
func (s *summary) all() []record.Request {
	var out []record.Request
	for n := range s.test.Runs {
		out = append(out, s.repeats[n]...)
	}
	return out
}

func (s *summary) results(all []record.Request) record.Results {
	res := record.Results{Errors: []record.ErrorCount{}}
	ok := successes(all)
	res.AvgTTFTMS = mean(durations(ok, (*record.Request).TTFT))
	res.AvgTPOTMS = mean(durations(ok, (*record.Request).TPOT))
	res.AvgTotalLatencyMS = mean(durations(ok, (*record.Request).Latency))
	if len(all) > 0 {
		res.SuccessRate = new(float64(len(ok)) / float64(len(all)))
	}
	for _, r := range all {
		if r.Success {
			continue
		}
		i := slices.IndexFunc(res.Errors, func(e record.ErrorCount) bool { return e.Class == r.Error })
		if i < 0 {
			res.Errors = append(res.Errors, record.ErrorCount{Class: r.Error, Message: r.Message})
			i = len(res.Errors) - 1
		}
		res.Errors[i].Count++
	}
	return res
}

func (s *summary) detail(d *record.Detail, all []record.Request) {
	ok := successes(all)
	d.Requests, d.Succeeded = len(all), len(ok)
	d.TTFT = distribution(durations(ok, (*record.Request).TTFT))
	d.TPOT = distribution(durations(ok, (*record.Request).TPOT))
	d.Latency = distribution(durations(ok, (*record.Request).Latency))
	d.ITL = distribution(gaps(ok))
	d.TokensFrom = tokensFrom(ok)
	d.Prompt = lengths(provable(ok), func(r record.Request) (int, *int) { return r.AskedPromptTokens, r.PromptTokens })
	d.Output = lengths(ok, func(r record.Request) (int, *int) { return r.AskedOutputTokens, r.CompletionTokens })
	d.Coalesced = coalesced(ok)
	for n := range s.test.Runs {
		if rs := s.repeats[n]; len(rs) > 0 {
			d.Repeats = append(d.Repeats, repeatOf(n, rs))
		}
	}
	if len(all) > 0 {
		d.StartNS, d.EndNS = window(all)
		d.SendSkewMS = s.sendSkew()
	}
	for _, r := range all {
		if late(r) > lateSend {
			d.LateSends++
		}
	}
	d.GPU, d.GPUSampling, d.GPUProcesses = s.gpuPeaks(), s.gpuSampling, s.gpuProcesses
	d.ServerDelta, d.Scrapes = s.serverDelta(), s.scrapes
	d.Phases, d.Energy, d.Precision = phases(all), s.energy(ok), s.precision
	d.Shard, d.Merged = s.test.Shard, s.merged
	d.Workload, d.SentSHA256 = s.test.Workload, sentHash(all)
	s.special(d, all, ok)
	d.OpenLoad, d.SLO, d.Goodput = s.openFigures(all, ok), s.sloResult(all), s.goodputOf(all)
	d.Probe = s.probeResult()
	d.Client = s.client.load(mean(durations(ok, (*record.Request).TPOT)))
}

// repeatOf summarises one repeat. Throughput is completion tokens of successful requests over first
// send → last token.
func repeatOf(n int, rs []record.Request) record.Repeat {
	ok := successes(rs)
	out := record.Repeat{Run: n, Attempt: rs[0].Attempt, Requests: len(rs), Succeeded: len(ok),
		AvgTTFTMS:         mean(durations(ok, (*record.Request).TTFT)),
		AvgTPOTMS:         mean(durations(ok, (*record.Request).TPOT)),
		AvgTotalLatencyMS: mean(durations(ok, (*record.Request).Latency)),
	}
	out.StartNS, out.EndNS = window(rs)
	if latency := durations(ok, (*record.Request).Latency); len(latency) > 0 {
		out.MaxTotalLatencyMS = new(slices.Max(latency))
	}
	tokens, last := 0, int64(0)
	for _, r := range ok {
		tokens += r.OutputTokens()
		last = max(last, *r.LastTokenNS)
	}
	if span := last - out.StartNS; tokens > 0 && span > 0 {
		out.ThroughputTokensPerSec = new(float64(tokens) / time.Duration(span).Seconds())
	}
	return out
}

// judge is the plan's 3.3.
func (s *summary) judge(rec record.Record, all []record.Request) (record.Status, string) {
	if len(all) == 0 {
		return record.StatusFailure, "no request was sent"
	}
	for _, stop := range s.stops {
		return record.StatusFailure, describeStop(stop)
	}
	if n := len(all) - rec.Detail.Succeeded; n > 0 {
		first := rec.Results.Errors[0]
		return record.StatusFailure, fmt.Sprintf("%d of %d requests failed: %s (%s)", n, len(all), first.Class, first.Message)
	}
	if slow := rec.Detail.Latency.Max; slow >= ms(maxLatency) {
		return record.StatusWarning, fmt.Sprintf("slowest request took %.1f s, the plan's bound is %.0f s", slow/1e3, maxLatency.Seconds())
	}
	avg := *rec.Results.AvgTotalLatencyMS
	if b := s.baseline; b != nil && avg > warningFactor*b.AvgTotalLatencyMS {
		return record.StatusWarning, fmt.Sprintf("latency %.0f ms is %.1f × that of %s (%.0f ms)", avg, avg/b.AvgTotalLatencyMS, b.TestID, b.AvgTotalLatencyMS)
	}
	return record.StatusSuccess, "all requests succeeded in time"
}

func successes(rs []record.Request) []record.Request {
	var out []record.Request
	for _, r := range rs {
		if r.Success {
			out = append(out, r)
		}
	}
	return out
}

// durations collects a metric in milliseconds where it is defined.
func durations(rs []record.Request, metric func(*record.Request) (time.Duration, bool)) []float64 {
	var out []float64
	for i := range rs {
		if d, ok := metric(&rs[i]); ok {
			out = append(out, ms(d))
		}
	}
	return out
}

// gaps are the times between reads that brought tokens, in milliseconds.
func gaps(rs []record.Request) []float64 {
	n := 0
	for _, r := range rs {
		n += max(0, len(r.TokenNS)-1)
	}
	out := make([]float64, 0, n)
	for _, r := range rs {
		for i := 1; i < len(r.TokenNS); i++ {
			out = append(out, ms(time.Duration(r.TokenNS[i]-r.TokenNS[i-1])))
		}
	}
	return out
}

func mean(xs []float64) *float64 {
	if m, ok := stats.Mean(xs); ok {
		return &m
	}
	return nil
}

func meanOf(rs []record.Repeat, field func(record.Repeat) *float64) *float64 {
	var xs []float64
	for _, r := range rs {
		if v := field(r); v != nil {
			xs = append(xs, *v)
		}
	}
	return mean(xs)
}

// distribution summarises values; a percentile that n values cannot hold is left out.
func distribution(xs []float64) *record.Distribution {
	if len(xs) == 0 {
		return nil
	}
	mean := *mean(xs)
	xs = slices.Clone(xs)
	slices.Sort(xs)
	return &record.Distribution{N: len(xs), Mean: mean, Min: xs[0], Max: xs[len(xs)-1],
		P50: stats.PercentileSorted(xs, 0.5), P90: stats.PercentileSorted(xs, 0.9), P95: stats.PercentileSorted(xs, 0.95), P99: stats.PercentileSorted(xs, 0.99)}
}

func tokensFrom(rs []record.Request) string {
	usage, chunks := false, false
	for _, r := range rs {
		usage = usage || r.CompletionTokens != nil
		chunks = chunks || r.CompletionTokens == nil
	}
	switch {
	case usage && chunks:
		return "mixed"
	case chunks:
		return "chunks"
	case usage:
		return "usage"
	}
	return ""
}

func lengths(rs []record.Request, of func(record.Request) (asked int, got *int)) record.Lengths {
	var out record.Lengths
	sum := 0
	for _, r := range rs {
		asked, got := of(r)
		sum += asked
		switch {
		case got == nil:
			out.Unproven++
		case *got == asked:
			out.Exact++
		default:
			out.Differed++
		}
	}
	if len(rs) > 0 {
		out.Asked = (sum + len(rs)/2) / len(rs)
	}
	return out
}

// coalesced is the share of token chunks, after each request's first, that shared a read with another.
func coalesced(rs []record.Request) *float64 {
	shared, all := 0, 0
	for _, r := range rs {
		shared += r.Coalesced
		all += max(r.CountedTokens-1, 0)
	}
	if all == 0 {
		return nil
	}
	return new(float64(shared) / float64(all))
}

// window is first send → last end.
func window(rs []record.Request) (start, end int64) {
	start, end = rs[0].SentNS, rs[0].EndNS
	for _, r := range rs {
		start, end = min(start, r.SentNS), max(end, r.EndNS)
	}
	return start, end
}

// sendSkew is the widest first → last send of a repeat's opening burst, in milliseconds.
func (s *summary) sendSkew() *float64 {
	var widest *float64
	for n := range s.test.Runs {
		if skew, ok := s.skewOf(n); ok {
			highest(&widest, &skew)
		}
	}
	return widest
}

// skewOf is the first → last send of one repeat's opening burst, in milliseconds.
func (s *summary) skewOf(n int) (skewMS float64, ok bool) {
	if s.test.Arrivals != nil {
		return 0, false // its sends are apart by intent
	}
	burst := slices.DeleteFunc(slices.Clone(s.repeats[n]), func(r record.Request) bool { return r.Turn > 1 })
	burst = burst[:min(len(burst), s.test.Places())]
	if len(burst) < 2 {
		return 0, false
	}
	first, last := burst[0].SentNS, burst[0].SentNS
	for _, r := range burst {
		first, last = min(first, r.SentNS), max(last, r.SentNS)
	}
	return ms(time.Duration(last - first)), true
}

func highest(to **float64, v *float64) {
	if v != nil && (*to == nil || *v > **to) {
		*to = new(*v)
	}
}

func fullest(gpus []record.GPUPeak) *float64 {
	var out *float64
	for _, g := range gpus {
		highest(&out, g.PeakMemoryMiB)
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
