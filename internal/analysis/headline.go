package analysis

import (
	"fmt"
	"strings"

	"bench/internal/record"
	"bench/internal/unit"
)

// headline is the three sentences for a manager: how fast one request is, at how many to run, and
// which GPUs the target needs.
func headline(in Input, ladders []*ladder, judged []record.Ladder, rates []record.RateLadder, simulated bool) []record.Text {
	speed, load := baselineSentence(in, ladders), concurrencySentence(ladders, judged)
	if len(ladders) == 0 && len(rates) > 0 {
		load = rateSentence(rates)
	}
	if simulated {
		speed = join("", say("Simulated, not measured: ", "시뮬레이션(실측 아님): "), speed)
		load = join("", say("Simulated, not measured: ", "시뮬레이션(실측 아님): "), load)
	}
	return []record.Text{speed, load, sizingSentence(in.Sizing)}
}

func baselineSentence(in Input, ladders []*ladder) record.Text {
	rec := singleRequest(in, ladders)
	if rec == nil {
		return say("The speed of a single request was not measured: run `bench baseline`.",
			"단일 요청의 속도는 측정되지 않았습니다: `bench baseline`을 실행하십시오.")
	}
	shape := fmt.Sprintf("%d/%d", rec.InputTokens, rec.MaxOutputTokens)
	res := rec.Results
	lat := millis(*res.AvgTotalLatencyMS)
	if res.AvgTTFTMS == nil || res.AvgTPOTMS == nil || *res.AvgTPOTMS <= 0 {
		return say("A single request (%s tokens in/out) takes %s.", "단일 요청(입력/출력 %s 토큰)의 전체 응답 시간은 %s입니다.", shape, lat)
	}
	return say("A single request (%s tokens in/out) gets its first token after %s, then %s, and is complete after %s.",
		"단일 요청(입력/출력 %s 토큰)은 첫 토큰까지 %s, 이후 %s 속도로 생성되어 %s 만에 완료됩니다.",
		shape, millis(*res.AvgTTFTMS), unit.Rate(1000 / *res.AvgTPOTMS), lat)
}

// singleRequest is the record of one request at a time, of the shortest shape there is.
func singleRequest(in Input, ladders []*ladder) *record.Record {
	var best *record.Record
	consider := func(rec *record.Record) {
		if rec.ConcurrentRequests != 1 || rec.Results.AvgTotalLatencyMS == nil {
			return
		}
		if _, out := leaveOut(*rec); out {
			return
		}
		if best == nil || rec.InputTokens+rec.MaxOutputTokens < best.InputTokens+best.MaxOutputTokens {
			best = rec
		}
	}
	for i := range in.Baselines {
		consider(&in.Baselines[i])
	}
	if best != nil {
		return best
	}
	for _, l := range ladders {
		for i := range l.rungs {
			consider(&l.rungs[i].rec)
		}
	}
	return best
}

func concurrencySentence(ladders []*ladder, judged []record.Ladder) record.Text {
	if len(ladders) == 0 {
		return say("How many requests it can serve at once was not measured: run `bench stress`.",
			"동시 처리 가능한 요청 수는 측정되지 않았습니다: `bench stress`를 실행하십시오.")
	}
	l, doc := ladders[0], judged[0]
	if doc.SLO != nil { // what was asked for by name comes first
		return say("For %d/%d tokens, %s.", "%d/%d 토큰 기준, %s.", l.input, l.output, record.Text{En: doc.SLO.Note, Ko: doc.SLO.NoteKO})
	}
	if doc.Recommended.Concurrent == nil {
		return join("", say("No concurrency can be recommended for %d/%d tokens: ", "%d/%d 토큰에 대해 권장할 동시 요청 수가 없습니다: ", l.input, l.output),
			record.Text{En: doc.Recommended.Note, Ko: doc.Recommended.NoteKO}, say(".", "."))
	}
	text := say("Run it at %s requests at once (%d/%d tokens)", "권장 동시 요청 수는 %s개(%d/%d 토큰)입니다", count(*doc.Recommended.Concurrent), l.input, l.output)
	if r := l.at(*doc.Recommended.Concurrent); r != nil {
		lat := *r.rec.Results.AvgTotalLatencyMS
		if tps := r.rec.Results.ThroughputTokensPerSec; tps != nil {
			text = join("", text, say(": %s in all", ": 전체 %s", unit.Rate(*tps)))
		}
		text = join("", text, say(", each answer in %s, %s × a single request, and every request answered",
			", 응답 시간 %s(단일 요청의 %s배), 모든 요청 성공", millis(lat), ratio(lat/l.base.AvgTotalLatencyMS)))
	}
	text = join("", text, l.beyond(doc))
	return join("", text, otherShapes(ladders[1:], judged[1:]), say(".", "."))
}

// rateSentence is the load sentence where only rates were tested: what was asked for by name comes first.
func rateSentence(rates []record.RateLadder) record.Text {
	l := rates[0]
	for _, other := range rates {
		if l.SLO == nil && other.SLO != nil {
			l = other
		}
	}
	limit := l.Sustained
	if l.SLO != nil {
		limit = *l.SLO
	}
	return say("For open loads of %d/%d tokens, %s.", "%d/%d 토큰 open load 기준, %s.", l.InputTokens, l.MaxOutputTokens, record.Text{En: limit.Note, Ko: limit.NoteKO})
}

// otherShapes adds what to run the longer requests at.
func otherShapes(ladders []*ladder, judged []record.Ladder) record.Text {
	var text record.Text
	none := 0
	for i, doc := range judged {
		if doc.Recommended.Concurrent == nil {
			none++
			continue
		}
		text = join("", text, say("; with longer requests (%d/%d) at %s", "; 긴 요청(%d/%d)에서는 %s개",
			ladders[i].input, ladders[i].output, count(*doc.Recommended.Concurrent)))
	}
	if none > 0 {
		text = join("", text, say("; none can be recommended for %d other shape(s)", "; 다른 길이 %d종에 대해서는 권장할 값이 없음", none))
	}
	return text
}

// beyond says why not more: what the next rung up breaks, or that none was tested.
func (l *ladder) beyond(doc record.Ladder) record.Text {
	n := *doc.Recommended.Concurrent
	next := l.nextAbove(n)
	if next == nil {
		return say("; more than %s was not tested", "; %s개 초과는 시험하지 않음", count(n))
	}
	return join("", say("; at %s ", "; %s개에서는 ", count(next.n)), l.broken(*next, doc.Saturation))
}

// at is the highest-ranked rung of a concurrency that completed.
func (l *ladder) at(n float64) *rung {
	for i := range l.rungs {
		if l.rungs[i].n == n && l.rungs[i].complete() && l.rungs[i].rec.Results.AvgTotalLatencyMS != nil {
			return &l.rungs[i]
		}
	}
	return nil
}

func sizingSentence(s *record.Sizing) record.Text {
	if s == nil {
		return say("Which GPUs the target needs was not calculated: run `bench size`.",
			"목표에 필요한 GPU는 계산되지 않았습니다: `bench size`를 실행하십시오.")
	}
	demand := say("%d concurrent requests of %s (%s tokens each)", "%[2]s 동시 요청 %[1]d개(요청당 %[3]s 토큰)",
		s.Demand.Concurrent, s.Model.ID, unit.Count(s.Demand.ContextTokens))
	if s.Options.Minimum == nil && s.Options.Recommended == nil {
		return join("", say("None of the GPU set-ups considered carries ", "검토한 GPU 구성 중 다음을 처리할 수 있는 것이 없습니다: "), demand, say(".", "."))
	}
	text := join("", say("Calculated, not measured: ", "계산값(실측 아님): "), demand, say(" need", "에는"))
	least, recommended := s.Options.Minimum, s.Options.Recommended
	switch {
	case least != nil && recommended != nil && least.Rank == recommended.Rank:
		text = join("", text, say(" %s, the minimum and the recommended set-up", " 최소이자 권장 사양인 %s 구성이 필요", setup(*least)))
	case least != nil && recommended != nil:
		text = join("", text, say(" at least %s; recommended is %s", " 최소 %s, 권장 %s 구성이 필요", setup(*least), setup(*recommended)))
	case least != nil:
		text = join("", text, say(" at least %s", " 최소 %s 구성이 필요", setup(*least)))
	default:
		text = join("", text, say(" %s", " %s 구성이 필요", setup(*recommended)))
	}
	if o := s.Options.CheapestCloud; o != nil && o.Price != nil && o.Price.HourUSD != nil {
		rented := *o
		rented.Price = nil // the sentence names its price by the hour
		return join("", text, say("; the cheapest in the cloud is %s at %s an hour.", "하며, 클라우드 최저가는 %s, 시간당 %s입니다.", setup(rented), unit.USD(*o.Price.HourUSD)))
	}
	return join("", text, say(".", "합니다."))
}

// setup names GPUs, how they split the model, and what the cards cost: "2 × A100 80GB (TP 2, $30,000)".
func setup(o record.Option) string {
	var more []string
	if o.TensorParallel > 1 {
		more = append(more, fmt.Sprintf("TP %d", o.TensorParallel))
	}
	if o.PipelineParallel > 1 {
		more = append(more, fmt.Sprintf("PP %d", o.PipelineParallel))
	}
	if o.Price != nil && o.Price.BuyUSD != nil {
		more = append(more, unit.USD(*o.Price.BuyUSD))
	}
	name := fmt.Sprintf("%d × %s", o.Count, strings.TrimPrefix(o.GPU, "NVIDIA "))
	if len(more) > 0 {
		name += " (" + strings.Join(more, ", ") + ")"
	}
	return name
}
