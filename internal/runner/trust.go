package runner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"bench/internal/load"
	"bench/internal/record"
)

// Thresholds of the findings, each with its reason.
const (
	// lateSend is the lag of a send behind its schedule above which it is counted as late: ten times the
	// usual wake-up of a goroutine, a hundredth of the shortest TTFT that matters.
	lateSend = time.Millisecond
	// lateShare is the share of sends from which the client did not keep its schedule, if each was late and by more than
	// lateTTFTShare of the mean TTFT: less than that does not show beside what the server's own queue adds.
	lateShare     = 0.1
	lateTTFTShare = 0.05
	// behindShare is the share of its schedule by which the last send of an open load may be late: beyond it the client sent
	// another rate than the one asked for.
	behindShare = 0.1
	// coalescedShare is the share of coalesced token chunks above which inter-token times mean nothing.
	coalescedShare = 0.5
	// sendSkewShare is the share of the mean TTFT by which a burst's sends may lie apart: beyond it the burst
	// was none, and the client's own lag shows in what it measured.
	sendSkewShare = 0.2
	// prefixHitShare is the share of prompt tokens served from the prefix cache above which a test is not
	// what it claims: prompts share the chat template's first tokens, less than one block of 16.
	prefixHitShare = 0.01
	// cacheBlock is the block of vLLM's prefix cache, in tokens: servers that keep single tokens find the template's
	// beginning there, which is shorter.
	cacheBlock = 16
	// prefixVoidShare is the share from which TTFT is not the time of computing a prompt any more.
	prefixVoidShare = 0.1
	// prefixSlack is how many tokens of a prompt that shares a prefix may be found beyond it: those of the chat template, and
	// as far as the block in which the prefix ends.
	prefixSlack = 48
	// gaugeSlack is how old what a scrape shows may be: an engine updates its gauges once a step, and answers a
	// scrape between steps.
	gaugeSlack = 250 * time.Millisecond
	// foreignSamples is the number of scrapes that must show more than this client sent: one may have caught a
	// request that had just ended.
	foreignSamples = 2
	// foreignMiB is the memory from which another process on a GPU counts: a desktop or a monitor holds less
	// than any model.
	foreignMiB = 1024
	// throttleShare is the share of samples with lowered clocks from which speed is not the card's. A single
	// sample in a hundred is an edge of a power state.
	throttleShare = 0.05
)

// Findings of a server that ends answers when it likes, and of one that may.
const (
	notEnforced = "the server does not honour ignore_eos"
	notKnown    = "the server is not known to honour ignore_eos"
)

// throttled are the reasons for lowered clocks that say the card could not hold what it was built for. The
// power limit is not among them: it is the usual state of a busy card, and a cause of its own.
var throttled = []string{"hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown", "reliability"}

// judgement collects findings. The verdict is doubtful where something may have changed the figures, invalid
// where a figure cannot mean what it says: a burst that was none, prompts that were not computed, answers
// from a server whose counters do not know them.
type judgement struct{ record.Trust }

func (j *judgement) doubt(check, format string, args ...any) {
	if j.Verdict == record.TrustSound {
		j.Verdict = record.TrustDoubtful
	}
	j.note(check, format, args...)
}

func (j *judgement) void(check, format string, args ...any) {
	j.Verdict = record.TrustInvalid
	j.note(check, format, args...)
}

func (j *judgement) note(check, format string, args ...any) {
	j.Findings = append(j.Findings, record.Finding{Check: check, Evidence: fmt.Sprintf(format, args...)})
}

// trust says whether the record is to be believed.
func (s *summary) trust(rec record.Record, all []record.Request) record.Trust {
	j := &judgement{record.Trust{Verdict: record.TrustSound, Findings: []record.Finding{}}}
	if s.simulated {
		j.note("simulated", "the server is the embedded simulator: nothing here was measured on a GPU")
	}
	s.lengthsProven(j, rec.Detail)
	if s.busy != "" {
		j.doubt("idle", "%s after %.0f s of waiting before the test", s.busy, s.idleWait.Seconds())
	}
	s.clientKeptUp(j, rec, all)
	if s.test.Shard == nil {
		s.prefixCache(j, rec.Detail.ServerDelta, all)
		ours := slices.Concat(all, s.allProbes())
		s.foreignTraffic(j, ours)
		s.books(j, rec.Detail.ServerDelta, ours)
	} else {
		j.note("shard", "one of %d machines: what the server counted is held against all of them by `bench merge`", s.test.Shard.Of)
	}
	s.foreignProcesses(j)
	s.throttling(j, rec.Detail.GPU)
	return j.Trust
}

func (s *summary) lengthsProven(j *judgement, d record.Detail) {
	if d.Prompt.Differed > 0 {
		j.doubt("lengths", "%d of %d prompts were not as long as asked for (%d tokens), by the server's own count", d.Prompt.Differed, d.Succeeded, s.test.InputTokens)
	}
	if c := d.Conversations; c != nil && c.HistoryDiffers > 0 {
		j.note("lengths", "%d of %d later turns had another length than answers and questions add up to: the text of an answer makes another number of tokens than was generated",
			c.HistoryDiffers, c.HistoryDiffers+c.HistoryExact)
	}
	if x := d.Images; x != nil && x.Ignored > 0 {
		j.void("lengths", "the images of %d of %d requests cost no prompt token, by the server's own count: it did not look at them", x.Ignored, x.Requests)
	}
	if n := d.Prompt.Unproven; n > 0 {
		j.doubt("lengths", "%d of %d answers came without usage: their lengths are not proven", n, d.Succeeded)
	}
	what, say := notEnforced, j.doubt
	switch {
	case s.enforced:
		return
	case s.lengthsUnknown && d.Output.Exact == d.Succeeded: // then it does not matter
		what, say = notKnown, j.note
	case s.lengthsUnknown:
		what = notKnown
	}
	say("lengths", what+": %d of %d answers had the %d tokens asked for", d.Output.Exact, d.Succeeded, s.test.OutputTokens)
}

// clientKeptUp: late sends, bursts that were none, tokens that came in one read, and a machine that had no time.
func (s *summary) clientKeptUp(j *judgement, rec record.Record, all []record.Request) {
	d := rec.Detail
	if d.Coalesced != nil && *d.Coalesced > coalescedShare {
		j.doubt("coalesced_reads", "%.0f %% of the tokens came in one read with an earlier one: inter-token times are void", 100**d.Coalesced)
	}
	if skew, ttft := d.SendSkewMS, rec.Results.AvgTTFTMS; skew != nil && ttft != nil && *skew > sendSkewShare**ttft {
		say := j.doubt
		if *skew > *ttft {
			say = j.void
		}
		say("client_lag", "the sends of one burst (run %s) lay %.1f ms apart, the mean TTFT is %.1f ms: this machine had no time for the client", s.starved(*ttft), *skew, *ttft)
	}
	s.sendsKept(j, rec.Results.AvgTTFTMS, all)
	if o := d.OpenLoad; o != nil && s.behind() && o.SentPerSec != nil && o.OfferedPerSec != nil {
		j.void("client_lag", "this client sent %.3g requests a second where %.3g were due: it cannot hold that rate; share the load among machines with --shard", *o.SentPerSec, *o.OfferedPerSec)
	}
	if c := d.Client; c != nil && c.Limited {
		j.doubt("client_lag", "client-limited: %s", c.Why)
	}
}

// sendsKept: sends that were late by what shows beside the mean TTFT.
func (s *summary) sendsKept(j *judgement, ttftMS *float64, all []record.Request) {
	bound := lateSend
	if ttftMS != nil {
		bound = max(bound, time.Duration(lateTTFTShare**ttftMS*float64(time.Millisecond)))
	}
	n := 0
	for _, r := range all {
		if late(r) > bound {
			n++
		}
	}
	if n < 2 || float64(n) <= lateShare*float64(len(all)) {
		return
	}
	worst := slices.MaxFunc(all, func(a, b record.Request) int { return int(late(a) - late(b)) })
	j.doubt("client_lag", "%d of %d sends were more than %.1f ms late, the latest by %.1f ms at %s", n, len(all), ms(bound), ms(late(worst)), clockTime(worst.SentNS))
}

// behind says whether the client fell so far behind the schedule of an open load that it sent another one.
func (s *summary) behind() bool {
	for n := range s.test.Runs {
		rs := s.repeats[n]
		if len(rs) < 2 {
			continue
		}
		first, last := rs[0], rs[len(rs)-1]
		if lag := late(last); lag > lateSend && lag.Seconds() > behindShare*time.Duration(last.ScheduledNS-first.ScheduledNS).Seconds() {
			return true
		}
	}
	return false
}

// starved names the repeats whose burst lay further apart than a share of the mean TTFT.
func (s *summary) starved(ttftMS float64) string {
	var runs []string
	for n := range s.test.Runs {
		if skew, ok := s.skewOf(n); ok && skew > sendSkewShare*ttftMS {
			runs = append(runs, fmt.Sprint(n+1))
		}
	}
	return strings.Join(runs, ", ")
}

// prefixCache holds the hits against what the prompts have in common: by the server's counters, or by the usage of its
// answers where it has none.
func (s *summary) prefixCache(j *judgement, v *record.ServerDelta, all []record.Request) {
	hits, queries, most, told := cachedOf(all)
	switch {
	case v != nil && v.PrefixHits != nil && v.PrefixQueries != nil:
		hits, queries = *v.PrefixHits, *v.PrefixQueries
	case !told:
		return
	}
	if w := s.test.Workload; w != nil && w.BlockTokens > 0 {
		s.tracePrefix(j, hits, queries)
		return
	}
	if c := s.conversations(all); c != nil {
		j.note("prefix_cache", "%.0f of %.0f prompt tokens came from the prefix cache; %d repeated what had been said in the conversation before", hits, queries, c.HistoryTokens)
		return
	}
	if w := s.test.Workload; w != nil && w.Dataset != "" && !load.IsTrace(w.Dataset) {
		if s.noCacheSalt && s.test.Runs > 1 && hits > prefixHitShare*queries {
			j.doubt("prefix_cache", "%.0f of %.0f prompt tokens came from the prefix cache: what the requests of the dataset have in common, and what this server, which knows no cache_salt, kept of the repeat before; --runs 1 has none",
				hits, queries)
			return
		}
		j.note("prefix_cache", "%.0f of %.0f prompt tokens came from the prefix cache: what the requests of the dataset have in common", hits, queries)
		return
	}
	if s.test.Workload != nil && s.test.Workload.PrefixTokens > 0 {
		s.sharedPrefix(j, hits, queries)
		return
	}
	if hits <= prefixHitShare*queries {
		return
	}
	if told && most < cacheBlock {
		j.note("prefix_cache", "%.0f of %.0f prompt tokens came from the prefix cache, %d of a prompt at most: the beginning that the template gives to all", hits, queries, most)
		return
	}
	say := j.doubt
	if hits > prefixVoidShare*queries {
		say = j.void
	}
	say("prefix_cache", "%.0f of %.0f prompt tokens came from the prefix cache", hits, queries)
}

// cachedOf adds up what usage tells of the prefix cache, and the most that one prompt found there; told is false where an
// answer tells nothing of it.
func cachedOf(all []record.Request) (hits, queries float64, most int, told bool) {
	for _, r := range all {
		if !r.Success {
			continue
		}
		if r.CachedTokens == nil || r.PromptTokens == nil {
			return 0, 0, 0, false
		}
		hits, queries, told = hits+float64(*r.CachedTokens), queries+float64(*r.PromptTokens), true
		most = max(most, *r.CachedTokens)
	}
	return hits, queries, most, told
}

// sharedPrefix holds a workload that is to hit the prefix cache against the server's counter: whole blocks of the shared
// tokens, and of the template before them, are found there by each request, and nothing else is.
func (s *summary) sharedPrefix(j *judgement, hits, queries float64) {
	n := 0
	for _, rs := range s.repeats {
		n += len(rs)
	}
	// The warm-ups brought the first; each other one has to be computed once.
	asked := float64(max(0, n+1-max(1, s.test.Workload.Prefixes)) * s.test.Workload.PrefixTokens)
	j.note("prefix_cache", "%.0f of %.0f prompt tokens came from the prefix cache, %.0f were shared", hits, queries, asked)
	switch {
	case hits > asked+float64(n*prefixSlack):
		j.doubt("prefix_cache", "that is more than the requests had in common")
	case hits < asked/2:
		j.doubt("prefix_cache", "that is less than half of what was shared: the server does not keep prefixes, or had no room for them")
	}
}

// tracePrefix holds a trace that tells which blocks its prompts have in common against the server's counter. Less than all of
// them may be found: the cache has an end, and a prompt may come before the one it shares with was computed.
func (s *summary) tracePrefix(j *judgement, hits, queries float64) {
	n, repeats := 0, 0
	for _, rs := range s.repeats {
		if n += len(rs); len(rs) > 0 {
			repeats++
		}
	}
	common := float64(repeats * s.test.Workload.CommonTokens)
	j.note("prefix_cache", "%.0f of %.0f prompt tokens came from the prefix cache; by the trace %.0f are in blocks that an earlier prompt had", hits, queries, common)
	if hits > common+float64(n*prefixSlack) {
		j.doubt("prefix_cache", "that is more than the requests had in common")
	}
}

// foreignTraffic: the server had more requests than this client had in flight.
func (s *summary) foreignTraffic(j *judgement, all []record.Request) {
	ours := flightOf(all)
	seen, worst := 0, record.ServerRow{}
	excess := 0.0
	for _, row := range s.server {
		if row.Running == nil || !s.measuredAt(row.AtNS) {
			continue
		}
		has := *row.Running + orZero(row.Waiting)
		over := has - float64(ours.between(row.AtNS-int64(gaugeSlack), row.AtNS))
		if over <= 0 {
			continue
		}
		seen++
		if over > excess {
			excess, worst = over, row
		}
	}
	if seen >= foreignSamples {
		j.doubt("foreign_traffic", "in %d scrapes the server had more requests than this client had in flight; at %s %.0f running and %.0f waiting, of them %.0f not from here",
			seen, clockTime(worst.AtNS), *worst.Running, orZero(worst.Waiting), excess)
	}
}

// flight is when requests were sent and ended, each in ascending order.
type flight struct{ sent, ended []int64 }

func flightOf(all []record.Request) flight {
	f := flight{make([]int64, len(all)), make([]int64, len(all))}
	for i, r := range all {
		f.sent[i], f.ended[i] = r.SentNS, r.EndNS
	}
	slices.Sort(f.sent)
	slices.Sort(f.ended)
	return f
}

// between is how many requests were in flight at any time between two instants.
func (f flight) between(fromNS, toNS int64) int {
	begun, _ := slices.BinarySearch(f.sent, toNS+1)
	over, _ := slices.BinarySearch(f.ended, fromNS)
	return begun - over
}

// books holds the client's totals against the server's counters. Requests that succeeded here must all have been
// finished there; those that failed here may have been. Each total therefore lies between the successes' and
// the successes' and failures' together, and outside of that one of the two is wrong, or somebody else asks
// the same server. By name, too: what succeeded here must be among what the server neither aborted nor ended
// with an error. (A request whose client goes away is in no count of current versions.)
func (s *summary) books(j *judgement, v *record.ServerDelta, all []record.Request) {
	if v == nil || !v.Complete {
		return
	}
	var requests, prompt, output account
	for _, r := range all {
		requests.enter(r.Success, 1)
		prompt.enter(r.Success, orElse(r.PromptTokens, r.AskedPromptTokens))
		output.enter(r.Success, orElse(r.CompletionTokens, max(r.CountedTokens, r.AskedOutputTokens)))
	}
	// How long a prompt was that failed is not known where the client did not choose all of it.
	open := slices.ContainsFunc(all, func(r record.Request) bool { return !r.Success && (r.Turn > 1 || r.Images > 0) })
	unproven := slices.ContainsFunc(all, func(r record.Request) bool { return r.Success && (r.PromptTokens == nil || r.CompletionTokens == nil) })
	requests.compare(j, "finished requests", v.FinishedRequests, finishedBy(v))
	broken := v.FinishedBy["abort"] + v.FinishedBy["error"]
	if n, sure := v.FinishedRequests, float64(requests.sure); n != nil && *n >= sure && *n-broken < sure {
		j.void("books", "finished requests: %d succeeded here, the server finished %.0f of them whole%s", requests.sure, *n-broken, finishedBy(v))
	}
	if !unproven {
		if !open {
			prompt.compare(j, "prompt tokens", v.PromptTokens, "")
		}
		output.compare(j, "output tokens", v.GenerationTokens, "")
	}
}

// account is one total of the client: of what succeeded, and of what failed and may have been done in part.
type account struct{ sure, perhaps int }

func (a *account) enter(success bool, n int) {
	if success {
		a.sure += n
	} else {
		a.perhaps += n
	}
}

func (a *account) compare(j *judgement, what string, server *float64, beside string) {
	if server == nil {
		return
	}
	ours := fmt.Sprint(a.sure)
	if a.perhaps > 0 {
		ours = fmt.Sprintf("%d to %d, as far as failed requests got", a.sure, a.sure+a.perhaps)
	}
	switch {
	case *server < float64(a.sure):
		j.void("books", "%s: %s here, the server counted %.0f%s: its counters do not know all that was received", what, ours, *server, beside)
	case *server > float64(a.sure+a.perhaps):
		j.doubt("books", "%s: %s here, the server counted %.0f%s: somebody else used it", what, ours, *server, beside)
	}
}

// finishedBy lists the server's own reasons, so that what was aborted there is named.
func finishedBy(v *record.ServerDelta) string {
	var parts []string
	for _, reason := range record.FinishReasons {
		if n := v.FinishedBy[reason]; n > 0 {
			parts = append(parts, fmt.Sprintf("%.0f %s", n, reason))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// foreignProcesses: somebody else's process held memory of the server's GPU during the repeats.
func (s *summary) foreignProcesses(j *judgement) {
	for _, p := range s.gpuProcesses {
		if p.Server == nil || *p.Server || p.MemoryMiB != nil && *p.MemoryMiB < foreignMiB || !s.measuredBetween(p.FirstNS, p.LastNS) {
			continue
		}
		held := "an unknown amount of memory"
		if p.MemoryMiB != nil {
			held = fmt.Sprintf("%.0f MiB", *p.MemoryMiB)
		}
		name := p.Name
		if name == "" {
			name = "a process"
		}
		j.doubt("foreign_process", "%s (pid %d) held %s of GPU %d from %s to %s", name, p.PID, held, p.GPUIndex, clockTime(p.FirstNS), clockTime(p.LastNS))
	}
}

func (s *summary) throttling(j *judgement, gpus []record.GPUPeak) {
	for _, g := range gpus {
		for _, e := range g.ClockEvents {
			if e.Share >= throttleShare && slices.Contains(throttled, e.Reason) {
				clocks := ""
				if g.MeanSMClockMHz != nil && g.MaxSMClockMHz != nil {
					clocks = fmt.Sprintf(", clock %.0f MHz on average of at most %.0f", *g.MeanSMClockMHz, *g.MaxSMClockMHz)
				}
				j.doubt("throttling", "GPU %d: %s in %.0f %% of the samples%s", g.Index, e.Reason, 100*e.Share, clocks)
			}
		}
	}
}

// measuredBetween says whether a stretch of time touches a repeat.
func (s *summary) measuredBetween(fromNS, toNS int64) bool {
	for n := range s.test.Runs {
		if len(s.repeats[n]) > 0 {
			if start, end := window(s.repeats[n]); fromNS <= end && toNS >= start {
				return true
			}
		}
	}
	return false
}

func orElse(v *int, otherwise int) int {
	if v != nil {
		return *v
	}
	return otherwise
}

// clockTime is an instant on the run's clock, as the data files have it.
func clockTime(ns int64) string { return fmt.Sprintf("%.1f s", time.Duration(ns).Seconds()) }
