package runner

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"bench/internal/load"
	"bench/internal/record"
)

// ShardResult is what one machine measured of a shared load, as it is on disk.
type ShardResult struct {
	Name   string // of its folder, for messages
	Run    record.Run
	Record record.Record
	File   *record.RequestFile
	GPU    []record.GPUSample
	Server []record.ServerRow
	Probes *record.RequestFile // sent beside its part; nil for none
}

// MergedResult is the load as if one machine had sent it, on the first shard's clock.
type MergedResult struct {
	Test     record.Test
	Requests []record.Request // of the newest attempts, by repeat and index
	Stops    []record.Stop
	Record   record.Record
}

// Merge joins the shards of one test. Requests are joined exactly: every index of the schedule stands once, and every shard's
// stamps are shifted by one constant a repeat, which brings the start that all had agreed on to one instant. That each request
// was due by the schedule of the seed, at the shard's own clock, is checked on the way. The server's and the GPUs' side is
// that of the first shard. Data files are for the caller to name.
func Merge(shards []ShardResult, merged record.Merged) (*MergedResult, error) {
	shards = slices.Clone(shards)
	slices.SortFunc(shards, func(a, b ShardResult) int { return a.File.Test.Shard.Index - b.File.Test.Shard.Index })
	first := shards[0]
	if err := complete(shards); err != nil {
		return nil, err
	}
	t := first.File.Test
	t.Shard = nil
	s := summary{test: t, repeats: map[int][]record.Request{}, stops: map[int]record.Stop{}, merged: &merged,
		simulated: first.Run.Simulated, endpoint: first.Run.Settings.Endpoint, gpuInfo: first.Run.GPUs, gpu: first.GPU, server: first.Server,
		scrapes: first.Record.Detail.Scrapes, gpuSampling: first.Record.Detail.GPUSampling, gpuProcesses: first.Record.Detail.GPUProcesses,
		baseline: first.Record.Detail.Baseline, enforced: !anyLength(first.Record)}
	if r := first.Record.Detail.SLO; r != nil {
		s.slo = &r.SLO
	}
	if g := first.Record.Detail.Goodput; g != nil {
		s.goodput = &record.Goodput{MaxTTFTMS: g.MaxTTFTMS, MaxTPOTMS: g.MaxTPOTMS, MaxLatencyMS: g.MaxLatencyMS}
	}
	if p := first.Record.Detail.Probe; p != nil && first.Probes != nil {
		s.probes, s.probesFile = first.Probes.Attempts(), p.File
	}
	for n := range t.Runs {
		if err := s.joinRepeat(shards, n); err != nil {
			return nil, err
		}
	}
	out := &MergedResult{Test: t, Requests: s.all(), Record: s.record()}
	for _, n := range slices.Sorted(maps.Keys(s.stops)) {
		out.Stops = append(out.Stops, s.stops[n])
	}
	s.shardDoubts(&out.Record, shards)
	return out, nil
}

// anyLength says whether a record found that the server ends answers when it likes.
func anyLength(rec record.Record) bool {
	return slices.ContainsFunc(rec.Trust.Findings, func(f record.Finding) bool {
		return f.Check == "lengths" &&
			(strings.HasPrefix(f.Evidence, notEnforced) || strings.HasPrefix(f.Evidence, notKnown))
	})
}

// complete checks that the shards are all of one load, each once.
func complete(shards []ShardResult) error {
	first := shards[0]
	for i, x := range shards {
		a, b := first.File.Test, x.File.Test
		if err := CheckTest(b); err != nil {
			return fmt.Errorf("%s: %w", x.Name, err)
		}
		if b.Shard.Index != i {
			if i > 0 && b.Shard.Index == shards[i-1].File.Test.Shard.Index {
				return fmt.Errorf("%s and %s are both shard %d", shards[i-1].Name, x.Name, b.Shard.Index)
			}
			return fmt.Errorf("%s: shard %d of %d is missing", a.ID, i, a.Shard.Of)
		}
		sa, sb := *a.Shard, *b.Shard
		sa.Index, sb.Index = 0, 0
		if !sa.StartAt.Equal(sb.StartAt) {
			return fmt.Errorf("%s began at %v, %s at %v: not shards of one load", first.Name, sa.StartAt, x.Name, sb.StartAt)
		}
		sa.StartAt, a.Shard, b.Shard = sb.StartAt, &sa, &sb
		if !reflect.DeepEqual(a, b) {
			return fmt.Errorf("%s sent %s, %s sent %s: not shards of one load", first.Name, describe(a), x.Name, describe(b))
		}
		if diff := append(first.Run.Identity.Differences(x.Run.Identity), first.Run.Settings.Differences(x.Run.Settings)...); len(diff) > 0 {
			return fmt.Errorf("%s and %s differ: %s", first.Name, x.Name, diff[0])
		}
	}
	if of := first.File.Test.Shard.Of; len(shards) != of {
		return fmt.Errorf("%s: shard %d of %d is missing", first.File.Test.ID, len(shards), of)
	}
	return nil
}

// joinRepeat joins one repeat on the first shard's clock.
func (s *summary) joinRepeat(shards []ShardResult, n int) error {
	due := s.dueBySeed(shards[0].Run.Settings.Seed, n)
	var baseNS int64
	var stops []record.Stop
	sent, dueThere := 0, 0
	for _, x := range shards {
		rs := x.File.Attempts()[n]
		stop := x.stopOf(n, rs)
		if len(rs) == 0 {
			if len(stops) > 0 || x.stopped() {
				continue // it did not begin a repeat after one that was stopped
			}
			return fmt.Errorf("%s has nothing of repeat %d: go on there with --resume, or measure again", x.Name, n+1)
		}
		if stop == nil && !whole(rs, x.File.Test.Share()) {
			return fmt.Errorf("%s has %d of %d requests of repeat %d: it was interrupted; measure again", x.Name, len(rs), x.File.Test.Share(), n+1)
		}
		mine := part(x.File.Test)
		for i, r := range rs {
			if i >= len(mine) || r.Index != mine[i] {
				return fmt.Errorf("%s, repeat %d: request %d stands in place %d of its part: the books of the shards do not balance", x.Name, n+1, r.Index, i)
			}
		}
		startNS := rs[0].ScheduledNS - int64(due(rs[0]))
		if baseNS == 0 {
			baseNS = startNS
		}
		for _, r := range rs {
			if s.planned(r) && r.ScheduledNS-startNS != int64(due(r)) {
				return fmt.Errorf("%s, repeat %d: request %d was due %v after the start, by the load that all were to send %v", x.Name, n+1, r.Index,
					time.Duration(r.ScheduledNS-startNS), due(r))
			}
			s.repeats[n] = append(s.repeats[n], shifted(r, baseNS-startNS))
		}
		sent += len(rs)
		if stop == nil {
			dueThere += len(rs)
		} else {
			dueThere += stop.Due
			stop.AtNS += baseNS - startNS
			stops = append(stops, *stop)
		}
	}
	slices.SortFunc(s.repeats[n], func(a, b record.Request) int { return a.Index - b.Index })
	if len(stops) > 0 {
		at := slices.MinFunc(stops, func(a, b record.Stop) int { return int(a.AtNS - b.AtNS) })
		at.Due = max(dueThere, sent)
		s.stops[n] = at
	}
	return nil
}

// dueBySeed is when a request of a repeat was due after the start of its load: by the schedule of the seed or the trace; at
// once where it is of the opening burst of a closed load.
func (s *summary) dueBySeed(seed int64, n int) func(record.Request) time.Duration {
	switch a := s.test.Arrivals; {
	case a == nil:
		return func(record.Request) time.Duration { return 0 }
	case a.Trace != nil:
		return func(r record.Request) time.Duration { return time.Duration(orZero(r.DueNS)) }
	default:
		due := load.Schedule(*a, s.test.Requests, load.Stream(seed, "arrivals", s.test.ID, n))
		return func(r record.Request) time.Duration { return due[r.Index] }
	}
}

// planned says whether a request's instant was known before the load began; those of a closed load that follow another are
// sent when that has ended.
func (s *summary) planned(r record.Request) bool {
	return s.test.Arrivals != nil || r.Index < s.test.Concurrent
}

// stopOf is how a repeat's newest attempt was ended early; nil where it was not.
func (x *ShardResult) stopOf(n int, rs []record.Request) *record.Stop {
	for _, stop := range x.File.Stops {
		if stop.Run == n && len(rs) > 0 && rs[0].Attempt == stop.Attempt {
			return &stop
		}
	}
	return nil
}

func (x *ShardResult) stopped() bool { return len(x.File.Stops) > 0 }

// shifted is a request on a clock that shows byNS more. The attempt is the shard's own affair.
func shifted(r record.Request, byNS int64) record.Request {
	r.Attempt = 0
	r.ScheduledNS, r.SentNS, r.EndNS = r.ScheduledNS+byNS, r.SentNS+byNS, r.EndNS+byNS
	for _, at := range []**int64{&r.ConnectedNS, &r.HeadersNS, &r.FirstTokenNS, &r.FirstTextNS, &r.FirstReasoningNS,
		&r.FirstToolCallNS, &r.FirstAnswerNS, &r.LastTokenNS} {
		if *at != nil {
			*at = new(**at + byNS)
		}
	}
	r.TokenNS = slices.Clone(r.TokenNS)
	for i := range r.TokenNS {
		r.TokenNS[i] += byNS
	}
	return r
}

// shardDoubts keeps what the shards themselves had found of their machines.
func (s *summary) shardDoubts(rec *record.Record, shards []ShardResult) {
	j := &judgement{rec.Trust}
	for i, x := range shards {
		if c := x.Record.Detail.Client; c != nil && c.Limited {
			j.doubt("client_lag", "shard %d was client-limited: %s", i, c.Why)
		}
	}
	rec.Trust = j.Trust
}

// ClockError is a bound on how far apart the clocks of the shards were; ok is false where a machine does not know its own.
// Machines that run the same kernel have the same clock.
func ClockError(shards []ShardResult) (d time.Duration, ok bool) {
	one := func(x ShardResult) *record.Clock { return x.Run.Host.Clock }
	same := !slices.ContainsFunc(shards, func(x ShardResult) bool {
		return one(x) == nil || one(x).BootID == "" || one(x).BootID != one(shards[0]).BootID
	})
	if same {
		return 0, true
	}
	var errs []float64
	for _, x := range shards {
		if one(x) == nil || one(x).MaxErrorMS == nil {
			return 0, false
		}
		errs = append(errs, *one(x).MaxErrorMS)
	}
	slices.Sort(errs)
	two := errs[len(errs)-1] + errs[len(errs)-2]
	return time.Duration(two * float64(time.Millisecond)), true
}
