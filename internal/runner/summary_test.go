package runner

import (
	"strings"
	"testing"
	"time"

	"bench/internal/record"
)

const msNS = int64(time.Millisecond)

// answer is a successful request sent at sent ms whose n tokens came every gap ms from first ms on.
func answer(index int, sent, first, gap int64, n int) record.Request {
	r := record.Request{Index: index, ScheduledNS: sent * msNS, SentNS: sent * msNS, AskedPromptTokens: 100, AskedOutputTokens: n,
		PromptTokens: new(100), CompletionTokens: new(n), CountedTokens: n, FinishReason: "length", Success: true}
	for i := range int64(n) {
		r.TokenNS = append(r.TokenNS, (sent+first+i*gap)*msNS)
	}
	r.FirstTokenNS, r.LastTokenNS = new(r.TokenNS[0]), new(r.TokenNS[n-1])
	r.EndNS = *r.LastTokenNS + msNS
	return r
}

func failure(index int, class record.ErrorClass, message string) record.Request {
	return record.Request{Index: index, SentNS: msNS, EndNS: 2 * msNS, Error: class, Message: message, AskedPromptTokens: 100}
}

func summarise(repeats ...[]record.Request) summary {
	s := summary{test: record.Test{ID: "T2", Kind: record.KindConcurrent, Concurrent: 2, InputTokens: 100, OutputTokens: 11, Runs: len(repeats), Requests: 2},
		repeats: map[int][]record.Request{}, enforced: true}
	for i, rs := range repeats {
		s.repeats[i] = rs
	}
	return s
}

func TestFiguresByHand(t *testing.T) {
	s := summarise(
		[]record.Request{answer(0, 0, 50, 10, 11), answer(1, 0, 70, 10, 11)},
		[]record.Request{answer(0, 1000, 50, 20, 11), answer(1, 1000, 50, 20, 11)},
	)
	rec := s.record()
	near := func(what string, got *float64, want float64) {
		t.Helper()
		if got == nil || *got < want-1e-9 || *got > want+1e-9 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	near("TTFT", rec.Results.AvgTTFTMS, (50+70+50+50)/4.0)
	near("TPOT", rec.Results.AvgTPOTMS, (10+10+20+20)/4.0)
	near("latency", rec.Results.AvgTotalLatencyMS, (150+170+250+250)/4.0)
	// 22 tokens in 170 ms and 22 in 250 ms: the mean of the repeats, not of the pool.
	near("throughput", rec.Results.ThroughputTokensPerSec, (22/0.17+22/0.25)/2)
	near("success rate", rec.Results.SuccessRate, 1)
	near("send skew", rec.Detail.SendSkewMS, 0)
	if rec.Detail.TTFT.P50 != nil {
		t.Error("a median of four values was printed")
	}
	if rec.Results.PeakMemoryMB != nil || rec.Detail.ServerDelta != nil {
		t.Error("absent figures are not null")
	}
	if rec.Status != record.StatusSuccess || rec.Trust.Verdict != record.TrustSound {
		t.Errorf("%s, %+v", rec.Status, rec.Trust)
	}
}

func TestAveragesAreOverSuccesses(t *testing.T) {
	s := summarise([]record.Request{answer(0, 0, 50, 10, 11), failure(1, record.ErrReset, "connection reset by peer")})
	rec := s.record()
	if *rec.Results.AvgTTFTMS != 50 || *rec.Results.SuccessRate != 0.5 || rec.Status != record.StatusFailure {
		t.Errorf("%+v %s", rec.Results, rec.Status)
	}
	if e := rec.Results.Errors; len(e) != 1 || e[0].Class != record.ErrReset || e[0].Count != 1 {
		t.Errorf("errors are %+v", e)
	}
	if !strings.Contains(rec.Detail.Reason, "1 of 2") || !strings.Contains(rec.Detail.Reason, "connection reset") {
		t.Errorf("reason is %q", rec.Detail.Reason)
	}
	none := summarise([]record.Request{failure(0, record.ErrTimeout, "x"), failure(1, record.ErrTimeout, "x")})
	rec = none.record()
	if r := rec.Results; r.AvgTTFTMS != nil || r.AvgTPOTMS != nil || r.ThroughputTokensPerSec != nil || *r.SuccessRate != 0 || r.Errors[0].Count != 2 {
		t.Errorf("all failed: %+v", r)
	}
}

func TestStatusBorders(t *testing.T) {
	for _, c := range []struct {
		what     string
		gap      int64 // latency is 10 gaps
		baseline *record.Baseline
		want     record.Status
	}{
		{"exactly twice the baseline", 20, &record.Baseline{TestID: "T1", AvgTotalLatencyMS: 100}, record.StatusSuccess},
		{"just above", 20, &record.Baseline{TestID: "T1", AvgTotalLatencyMS: 99.9}, record.StatusWarning},
		{"no baseline", 20, nil, record.StatusSuccess},
		{"just below a minute", 5999, nil, record.StatusSuccess},
		{"a minute", 6000, nil, record.StatusWarning},
	} {
		s := summarise([]record.Request{answer(0, 0, 0, c.gap, 11), answer(1, 0, 0, c.gap, 11)})
		s.baseline = c.baseline
		if rec := s.record(); rec.Status != c.want {
			t.Errorf("%s: %s (%s), want %s", c.what, rec.Status, rec.Detail.Reason, c.want)
		}
	}
}

func TestDoubts(t *testing.T) {
	for _, c := range []struct {
		check  string
		change func(*summary)
	}{
		{"lengths", func(s *summary) { s.repeats[0][1].PromptTokens = new(101) }},
		{"lengths", func(s *summary) { s.repeats[0][0].PromptTokens = nil }},
		{"lengths", func(s *summary) { s.enforced = false }},
		{"idle", func(s *summary) { s.busy = "the server had 3 running" }},
		{"client_lag", func(s *summary) { s.repeats[0][1].SentNS += 30 * msNS }},
		{"coalesced_reads", func(s *summary) { s.repeats[0][0].Coalesced, s.repeats[0][1].Coalesced = 10, 10 }},
		{"prefix_cache", func(s *summary) {
			s.server = []record.ServerRow{{AtNS: 500 * msNS, GenerationTokens: new(22.0), PrefixCacheQueries: new(200.0), PrefixCacheHits: new(3.0)}}
		}},
	} {
		s := summarise([]record.Request{answer(0, 0, 50, 10, 11), answer(1, 0, 70, 10, 11)})
		c.change(&s)
		got := s.record().Trust
		if got.Verdict != record.TrustDoubtful || len(got.Findings) != 1 || got.Findings[0].Check != c.check || got.Findings[0].Evidence == "" {
			t.Errorf("%s: %+v", c.check, got)
		}
	}
}

// The server's counters grow outside of repeats too, in the warm-ups of this session and of a later one;
// and they may grow after the client has read the end.
func TestServerDeltaIsOfTheRepeats(t *testing.T) {
	s := summarise([]record.Request{answer(0, 100, 50, 10, 11), answer(1, 100, 50, 10, 11)}, []record.Request{answer(0, 1000, 50, 10, 11)})
	row := func(at int64, running, tokens float64) record.ServerRow {
		return record.ServerRow{AtNS: at * msNS, Running: new(running), GenerationTokens: new(tokens)}
	}
	s.server = []record.ServerRow{row(90, 0, 33), row(200, 2, 12), row(251, 1, 9), row(260, 0, 1),
		{AtNS: 800 * msNS, Running: new(0.0)}, row(900, 0, 44), row(1100, 1, 6), row(1200, 0, 4), row(1250, 0, 1)}
	d := s.record().Detail.ServerDelta
	if d == nil || *d.GenerationTokens != 33 || *d.MaxRunning != 2 || d.Samples != 6 || d.Preemptions != nil {
		t.Errorf("delta is %+v", d)
	}
}

// TestServerDeltaOfAnEngineThatCameBack: what was counted around the restart is not known, so the counters
// are not whole, and nothing is negative.
func TestServerDeltaOfAnEngineThatCameBack(t *testing.T) {
	before := record.ServerSample{AtNS: 150 * msNS, GenerationTokens: new(500.0), FinishedRequests: new(5.0)}
	after := record.ServerSample{AtNS: 220 * msNS, GenerationTokens: new(7.0), FinishedRequests: new(0.0)}
	row := record.Delta(&before, &after)
	if row.GenerationTokens != nil || row.FinishedRequests != nil {
		t.Fatalf("growth over a restart: %+v", row)
	}
	s := summarise([]record.Request{answer(0, 100, 50, 10, 11), answer(1, 100, 50, 10, 11)})
	s.server = []record.ServerRow{{AtNS: 50 * msNS, GenerationTokens: new(0.0)}, {AtNS: 120 * msNS, GenerationTokens: new(9.0)}, row, {AtNS: 240 * msNS, GenerationTokens: new(4.0)}}
	d := s.record().Detail.ServerDelta
	if d == nil || d.Complete || *d.GenerationTokens != 13 {
		t.Errorf("delta is %+v", d)
	}
	// Neither are they where the last scrape came before the repeat ended.
	s.server = []record.ServerRow{{AtNS: 50 * msNS, GenerationTokens: new(0.0)}, {AtNS: 120 * msNS, GenerationTokens: new(9.0)}}
	if d := s.record().Detail.ServerDelta; d.Complete {
		t.Errorf("delta without a scrape after the end is %+v", d)
	}
}

// TestServerTimes are means over the repeats, null where nothing was counted.
func TestServerTimes(t *testing.T) {
	s := summarise([]record.Request{answer(0, 100, 50, 10, 11)})
	row := record.ServerRow{AtNS: 150 * msNS, GenerationTokens: new(11.0)}
	row.Times[record.TimeQueue] = record.Timing{Sum: new(0.3), Count: new(2.0)}
	row.Times[record.TimeDecode] = record.Timing{Sum: new(0.0), Count: new(0.0)}
	row.FinishedBy[1] = new(2.0)
	s.server = []record.ServerRow{row, row}
	s.server[1].AtNS = 300 * msNS
	d := s.record().Detail.ServerDelta
	if d.QueueMS == nil || *d.QueueMS != 150 || d.DecodeMS != nil || d.TTFTMS != nil || d.FinishedBy["length"] != 4 || len(d.FinishedBy) != 1 || !d.Complete {
		t.Errorf("delta is %+v", d)
	}
}

func TestPeakIsThatOfTheFullestGPU(t *testing.T) {
	s := summarise([]record.Request{answer(0, 0, 50, 10, 11)})
	s.gpuInfo = []record.GPUInfo{{Index: 0, UUID: "a"}, {Index: 1, UUID: "b"}, {Index: 2, UUID: "silent"}}
	s.gpu = []record.GPUSample{{Index: 0, MemoryUsedMiB: new(900.0)}, {Index: 1, MemoryUsedMiB: new(1200.0), PowerW: new(80.0)}, {Index: 0, MemoryUsedMiB: new(950.0)}}
	rec := s.record()
	if *rec.Results.PeakMemoryMB != 1200 || len(rec.Detail.GPU) != 2 || *rec.Detail.GPU[0].PeakMemoryMiB != 950 || rec.Detail.GPU[0].MaxPowerW != nil {
		t.Errorf("%v %+v", rec.Results.PeakMemoryMB, rec.Detail.GPU)
	}
}
