package analysis

import (
	"cmp"
	"math"
	"reflect"
	"slices"
	"strconv"

	"bench/internal/record"
)

// rateLadder is all open loads that differ in nothing but their rate, by ascending rate.
type rateLadder struct {
	first   record.Record // for what they have in common
	rungs   []record.Record
	leftOut []record.LeftOut
}

// buildRates groups the open loads of a constant rate. Of two of one rate the one with more repeats counts: it was made to be
// sure.
func buildRates(in Input) []*rateLadder {
	var ladders []*rateLadder
	for _, rec := range in.Open {
		if o := rec.Detail.OpenLoad; o == nil || o.Arrivals.RequestRate == 0 {
			continue
		}
		i := slices.IndexFunc(ladders, func(l *rateLadder) bool { return alikeButRate(l.first, rec) })
		if i < 0 {
			i, ladders = len(ladders), append(ladders, &rateLadder{first: rec})
		}
		l := ladders[i]
		if why, out := leaveOut(rec); out {
			l.leftOut = append(l.leftOut, record.LeftOut{TestID: rec.TestID, Reason: why.En, ReasonKO: why.Ko})
			continue
		}
		l.rungs = append(l.rungs, rec)
	}
	for _, l := range ladders {
		slices.SortStableFunc(l.rungs, func(a, b record.Record) int {
			return cmp.Or(cmp.Compare(rateOf(a), rateOf(b)), cmp.Compare(len(b.Detail.Repeats), len(a.Detail.Repeats)))
		})
		l.rungs = slices.CompactFunc(l.rungs, func(a, b record.Record) bool { return rateOf(a) == rateOf(b) })
	}
	slices.SortStableFunc(ladders, func(a, b *rateLadder) int {
		return cmp.Or(cmp.Compare(a.first.InputTokens, b.first.InputTokens), cmp.Compare(a.first.MaxOutputTokens, b.first.MaxOutputTokens))
	})
	return ladders
}

func rateOf(rec record.Record) float64 { return rec.Detail.OpenLoad.Arrivals.RequestRate }

// alikeButRate says whether two open loads are of one ladder.
func alikeButRate(a, b record.Record) bool {
	x, y := *a.Detail.OpenLoad, *b.Detail.OpenLoad
	x.Arrivals.RequestRate, y.Arrivals.RequestRate = 0, 0
	return a.InputTokens == b.InputTokens && a.MaxOutputTokens == b.MaxOutputTokens && workloadOf(a) == workloadOf(b) &&
		x.MaxConcurrency == y.MaxConcurrency && reflect.DeepEqual(x.Arrivals, y.Arrivals) && sloKey(a.Detail.SLO) == sloKey(b.Detail.SLO)
}

// judge states the ladder's limits.
func (l *rateLadder) judge() record.RateLadder {
	doc := record.RateLadder{InputTokens: l.first.InputTokens, MaxOutputTokens: l.first.MaxOutputTokens, LeftOut: l.leftOut, Tests: []string{}}
	for _, r := range l.rungs {
		doc.Tests = append(doc.Tests, r.TestID)
	}
	doc.Sustained = l.sustained()
	if l.first.Detail.SLO != nil {
		doc.SLO = new(l.sloRate())
	}
	return doc
}

// sustained is the highest rate at which a steady part was found in half of the repeats or more, below the lowest at which
// the load was stopped. A load that ended before either showed decides nothing.
func (l *rateLadder) sustained() record.RateLimit {
	var out record.RateLimit
	var evidence []record.Text
	for _, r := range l.rungs {
		evidence = append(evidence, l.keptEvidence(r))
		switch {
		case r.Detail.OpenLoad.Oversaturated != nil || r.Detail.Incident != nil:
			if out.High == nil {
				out.High, out.Reached = new(rateOf(r)), true
			}
		case out.High == nil && steadyRepeats(r)*2 >= len(r.Detail.Repeats):
			out.RequestRate, out.Low = new(rateOf(r)), new(rateOf(r))
		}
	}
	note := say("no load was long enough to tell", "판단할 만큼 긴 부하가 없음")
	switch {
	case out.High == nil && out.Low != nil:
		note = say("the server kept up with %s requests/s; none above it was stopped", "초당 %s건까지 감당함; 그보다 높은 요청률에서 중단된 부하는 없음", rateText(*out.Low))
	case out.High != nil && out.Low == nil:
		note = say("over-saturated at %s requests/s, and steady at none", "초당 %s건에서 과포화, 정상 상태에 이른 요청률 없음", rateText(*out.High))
	case out.High != nil:
		note = say("the server kept up with %s requests/s and not with %s", "초당 %s건은 감당했고 %s건은 감당하지 못함", rateText(*out.Low), rateText(*out.High))
	}
	return notedRate(out, note, evidence...)
}

// steadyRepeats is in how many of an open load's repeats a steady part was found.
func steadyRepeats(r record.Record) (n int) {
	for _, w := range r.Detail.OpenLoad.Steady.Windows {
		if w.StartNS != nil {
			n++
		}
	}
	return n
}

func (l *rateLadder) keptEvidence(r record.Record) record.Text {
	o := r.Detail.OpenLoad
	if x := o.Oversaturated; x != nil {
		return say("%s: over-saturated after %s s (%s from %s to %s)", "%s: %s초 뒤 과포화(%s %s→%s)", r.TestID, count(math.Round(x.AfterS)), x.Seen, count(math.Round(x.Early)), count(math.Round(x.Late)))
	}
	if steadyRepeats(r)*2 < len(r.Detail.Repeats) {
		return say("%s: not decided, steady in %d of %d repeats", "%s: 판단 불가(정상 상태 반복 %d/%d)", r.TestID, steadyRepeats(r), len(r.Detail.Repeats))
	}
	achieved, inFlight := "–", "–"
	if o.AchievedPerSec != nil && o.MeanInFlight != nil {
		achieved, inFlight = rateText(*o.AchievedPerSec), count(math.Round(10**o.MeanInFlight)/10)
	}
	return say("%s: %s/s done, %s in flight on average", "%s: 초당 %s건 완료, 평균 처리 중 %s건", r.TestID, achieved, inFlight)
}

// sloRate states the border of an objective over the rate.
func (l *rateLadder) sloRate() record.RateLimit {
	holds, breaks, low, high := border(l.rungs, func(r record.Record) *record.SLOResult { return r.Detail.SLO }, rateOf)
	out := record.RateLimit{Low: low, High: high}
	var evidence []record.Text
	for _, r := range l.rungs {
		evidence = append(evidence, sloEvidence(rung{rec: r}))
	}
	what := same(sloName(l.first.Detail.SLO.SLO))
	if holds != nil {
		out.RequestRate = new(rateOf(*holds))
	}
	out.Reached = breaks != nil
	repeats := func(r *record.Record) (rate string, held, of int) {
		return rateText(rateOf(*r)), r.Detail.SLO.HeldRepeats, r.Detail.SLO.Repeats
	}
	var note record.Text
	switch {
	case breaks == nil && holds == nil:
		note = say(": no rate was judged", ": 판정할 수 있는 요청률이 없음")
	case breaks == nil:
		note = say(": holds at %s requests/s, the highest tested", ": 시험한 최대 요청률인 초당 %s건까지 만족", rateText(rateOf(*holds)))
	case holds == nil:
		note = say(": broken at %s requests/s, the lowest tested", ": 시험한 최소 요청률인 초당 %s건에서 이미 깨짐", rateText(rateOf(*breaks)))
	default:
		at, held, of := repeats(holds)
		over, heldOver, ofOver := repeats(breaks)
		note = say(": holds at %s requests/s (%d of %d repeats), broken at %s (held in %d of %d)",
			": 초당 %s건에서 만족(반복 %d/%d), %s건에서 깨짐(만족한 반복 %d/%d)", at, held, of, over, heldOver, ofOver)
	}
	return notedRate(out, join("", what, note), evidence...)
}

// notedRate fills the statement of a judgement in, and what it rests on.
func notedRate(l record.RateLimit, note record.Text, evidence ...record.Text) record.RateLimit {
	x := noted(record.Limit{}, note, evidence...)
	l.Note, l.NoteKO, l.Evidence, l.EvidenceKO = x.Note, x.NoteKO, x.Evidence, x.EvidenceKO
	return l
}

// rateText prints a rate to three digits.
func rateText(v float64) string { return strconv.FormatFloat(roundRate(v), 'f', -1, 64) }

// roundRate rounds to three digits: nobody asks for more of a rate.
func roundRate(v float64) float64 {
	if v <= 0 {
		return v
	}
	scale := math.Pow(10, 2-math.Floor(math.Log10(v)))
	return math.Round(v*scale) / scale
}
