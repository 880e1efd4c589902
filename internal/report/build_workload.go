package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bench/internal/record"
	"bench/internal/unit"
)

var (
	wWorkloads  = tr("What requests were", "요청 내용")
	wPrompts    = tr("Requests", "요청")
	wByTurn     = tr("By turn: %s", "대화 순번별: %s")
	wByAdapter  = tr("By adapter: %s", "LoRA 어댑터별: %s")
	wTurn       = tr("Turn", "순번")
	wAdapter    = tr("Adapter", "어댑터")
	wPromptTok  = tr("Prompt", "프롬프트")
	wCached     = tr("Cached", "캐시")
	wAnswerTok  = tr("Answer", "응답")
	wGroupsNote = tr("Prompt, cached, answer: mean tokens by usage. Cached is there where the server tells it.",
		"프롬프트, 캐시, 응답: usage 기준 평균 토큰 수. 캐시는 서버가 알려 줄 때만 표시됩니다.")
	wTalks     = tr("Conversations", "대화")
	wWhole     = tr("Whole", "완료")
	wNotSent   = tr("Turns not sent", "보내지 않은 순번")
	wThink     = tr("Think ms", "생각 시간 ms")
	wHistory   = tr("History tokens", "이전 대화 토큰")
	wFromCache = tr("From cache", "캐시 적중")
	wTalksNote = tr("History: prompt and answer before each later turn, by usage. From cache: prompt tokens that the server's prefix cache had, by its own counter.",
		"이전 대화: 두 번째 이후 순번이 다시 보낸 직전 프롬프트와 응답(usage 기준). 캐시 적중: 서버 카운터가 말하는 prefix cache의 프롬프트 토큰.")
	wImages     = tr("Images", "이미지")
	wImagesIn   = tr("Images", "이미지 수")
	wImageTok   = tr("Tokens", "토큰")
	wPerImage   = tr("Per image", "이미지당")
	wSizes      = tr("Height × width: share", "높이 × 너비: 비율")
	wImagesNote = tr("Tokens of images: prompt tokens by the server's usage less those of the text, which was made to its length without images.",
		"이미지 토큰: 서버 usage의 프롬프트 토큰에서 이미지 없이 길이를 맞춘 텍스트의 토큰을 뺀 값.")
	wReasoning  = tr("Reasoning: first thought and first answer", "추론: 첫 생각과 첫 응답")
	wThought    = tr("Thought ms", "첫 생각 ms")
	wAnswer     = tr("Answer ms", "첫 응답 ms")
	wUnanswered = tr("No answer", "응답 없음")
	wCalls      = tr("Tool calls", "도구 호출")
	wOfferedBy  = tr("Offered", "제공")
	wCalled     = tr("Called", "호출한 요청")
	wCallCount  = tr("Calls", "호출 수")
	wFirstCall  = tr("First call ms", "첫 호출 ms")
)

// workloads shows what requests were beyond their lengths, and what only some of them have.
func (b builder) workloads(s *section) {
	all := slices.Concat(b.in.Tests, b.in.Open)
	told := &table{caption: b.t(wWorkloads), columns: []column{{title: b.t(wTest)}, {title: b.t(wPrompts), wrap: true}}}
	for _, r := range all {
		if w := r.Detail.Workload; w != nil {
			told.rows = append(told.rows, row(r.TestID, b.describe(*w)))
		}
	}
	s.table(told)
	grouped := false
	for _, r := range all {
		s.table(b.groups(r, record.ByTurn, b.f(wByTurn, r.TestID), wTurn))
		s.table(b.groups(r, record.ByAdapter, b.f(wByAdapter, r.TestID), wAdapter))
		grouped = grouped || len(r.Detail.Groups) > 0
	}
	if grouped {
		s.para(b.t(wGroupsNote))
	}
	if t := b.conversations(all); len(t.rows) > 0 {
		s.table(t)
		s.para(b.t(wTalksNote))
	}
	if t := b.images(all); len(t.rows) > 0 {
		s.table(t)
		s.para(b.t(wImagesNote))
	}
	s.table(b.reasoning(all))
	s.table(b.toolCalls(all))
}

// describe says in words what the requests of a workload are.
func (b builder) describe(w record.Workload) string {
	var parts []string
	say := func(yes bool, en, ko string, args ...any) {
		if yes {
			parts = append(parts, b.f(tr(en, ko), args...))
		}
	}
	percentOf := func(ratio float64) string { return percent(&ratio) }
	say(w.Dataset != "", "%s, %s, %d usable, %d left out", "%s, %s, 사용 가능 %d개, 제외 %d개", w.Dataset, w.File, w.Usable, w.Skipped)
	say(w.RangeRatio > 0, "lengths ± %s", "길이 ± %s", percentOf(w.RangeRatio))
	say(w.PrefixTokens > 0 && w.Prefixes < 2, "%d tokens shared by all", "모든 요청이 앞 %d 토큰을 공유", w.PrefixTokens)
	say(w.PrefixTokens > 0 && w.Prefixes > 1, "%d tokens shared by those of one of %d prefixes", "앞 %d 토큰을 접두사 %d종이 나누어 공유", w.PrefixTokens, w.Prefixes)
	say(w.TokenIDTo > 0, "token ids %d to %d", "토큰 id %d–%d", w.TokenIDFrom, w.TokenIDTo)
	turns := strconv.Itoa(w.MaxTurns)
	if w.MinTurns < w.MaxTurns {
		turns = fmt.Sprintf("%d–%d", w.MinTurns, w.MaxTurns)
	}
	say(w.Conversations > 0, "%d conversations of %s turns a repeat", "반복마다 대화 %d개, 순번 %s개", w.Conversations, turns)
	say(w.TurnTokens > 0, "later questions of %d tokens", "이후 질문 %d 토큰", w.TurnTokens)
	say(w.ThinkMS > 0 && w.ThinkRangeRatio == 0, "%d ms of thinking", "생각 시간 %d ms", w.ThinkMS)
	say(w.ThinkMS > 0 && w.ThinkRangeRatio > 0, "%d ms ± %s of thinking", "생각 시간 %d ms ± %s", w.ThinkMS, percentOf(w.ThinkRangeRatio))
	say(w.Adapters != "", "LoRA adapters %s, %s", "LoRA 어댑터 %s, %s", strings.ReplaceAll(w.Adapters, ",", ", "), w.AdapterAssignment)
	say(w.Images > 0, "images a request: %d", "요청당 이미지: %d", w.Images)
	say(w.Tools > 0, "%d of a repeat offer tools", "반복마다 %d개 요청이 도구를 제공", w.Tools)
	return strings.Join(parts, "; ")
}

func (b builder) groups(r record.Record, by, caption string, name record.Text) *table {
	t := &table{caption: b.of(caption), columns: []column{{title: b.t(name)}, {title: "n", right: true}, {title: b.t(wPromptTok), right: true},
		{title: b.t(wCached), right: true}, {title: b.t(wAnswerTok), right: true}, {title: "TTFT ms", right: true}, {title: "p50", right: true}, {title: "p95", right: true},
		{title: "TPOT ms", right: true}, {title: "Latency ms", right: true}, {title: b.t(wSuccess), right: true}}}
	for _, g := range r.Detail.Groups {
		if g.By != by {
			continue
		}
		ttft := orNone(g.TTFT)
		share := float64(g.Succeeded) / float64(g.Requests)
		t.rows = append(t.rows, row(g.Name, strconv.Itoa(g.Requests), figureOf(g.PromptTokens), figureOf(g.CachedTokens), figureOf(g.OutputTokens), figureOf(meanIn(g.TTFT)),
			figureOf(ttft.P50), figureOf(ttft.P95), figureOf(meanIn(g.TPOT)), figureOf(meanIn(g.Latency)), percent(&share)))
	}
	return t
}

func (b builder) conversations(all []record.Record) *table {
	t := &table{caption: b.of(b.t(wTalks)), columns: []column{{title: b.t(wTest)}, {title: b.t(wTalks), right: true}, {title: b.t(wWhole), right: true},
		{title: b.t(wNotSent), right: true}, {title: b.t(wThink), right: true}, {title: b.t(wHistory), right: true}, {title: b.t(wFromCache), right: true}}}
	for _, r := range all {
		c := r.Detail.Conversations
		if c == nil {
			continue
		}
		var hits *float64
		if d := r.Detail.ServerDelta; d != nil {
			hits = d.PrefixHits
		}
		t.rows = append(t.rows, row(r.TestID, strconv.Itoa(c.Begun), strconv.Itoa(c.Whole), strconv.Itoa(c.NotSent), figureOf(meanIn(c.Think)),
			unit.Count(c.HistoryTokens), count(hits)))
	}
	return t
}

func (b builder) images(all []record.Record) *table {
	t := &table{caption: b.of(b.t(wImages)), columns: []column{{title: b.t(wTest)}, {title: b.t(wPrompts), right: true}, {title: b.t(wImagesIn), right: true},
		{title: b.t(wImageTok), right: true}, {title: b.t(wPerImage), right: true}, {title: b.t(wSizes), wrap: true}}}
	for _, r := range all {
		x := r.Detail.Images
		if x == nil {
			continue
		}
		each := count(x.PerImageMin)
		if most := count(x.PerImageMax); most != each {
			each += "–" + most
		}
		sizes := ""
		if w := r.Detail.Workload; w != nil {
			sizes = strings.ReplaceAll(strings.ReplaceAll(w.ImageSizes, "x", " × "), ",", ", ")
		}
		t.rows = append(t.rows, row(r.TestID, strconv.Itoa(x.Requests), strconv.Itoa(x.Images), unit.Count(x.Tokens), each, orUnknown(sizes)))
	}
	return t
}

func (b builder) reasoning(all []record.Record) *table {
	t := &table{caption: b.of(b.t(wReasoning)), columns: []column{{title: b.t(wTest)}, {title: "n", right: true},
		{title: b.t(wThought), right: true}, {title: "p50", right: true}, {title: "p95", right: true},
		{title: b.t(wAnswer), right: true}, {title: "p50", right: true}, {title: "p95", right: true}, {title: b.t(wUnanswered), right: true}}}
	for _, r := range slices.Concat(b.in.Baselines, all) {
		x := r.Detail.Reasoning
		if x == nil {
			continue
		}
		thought, answer := orNone(x.Thought), orNone(x.Answer)
		t.rows = append(t.rows, row(r.TestID, strconv.Itoa(x.Requests), figureOf(meanIn(x.Thought)), figureOf(thought.P50), figureOf(thought.P95),
			figureOf(meanIn(x.Answer)), figureOf(answer.P50), figureOf(answer.P95), strconv.Itoa(x.Unanswered)))
	}
	return t
}

func (b builder) toolCalls(all []record.Record) *table {
	t := &table{caption: b.of(b.t(wCalls)), columns: []column{{title: b.t(wTest)}, {title: b.t(wOfferedBy), right: true}, {title: b.t(wCalled), right: true},
		{title: b.t(wCallCount), right: true}, {title: b.t(wFirstCall), right: true}, {title: "p50", right: true}, {title: "p95", right: true}}}
	for _, r := range all {
		x := r.Detail.ToolCalls
		if x == nil {
			continue
		}
		first := orNone(x.First)
		t.rows = append(t.rows, row(r.TestID, strconv.Itoa(x.Offered), strconv.Itoa(x.Requests), strconv.Itoa(x.Calls), figureOf(meanIn(x.First)),
			figureOf(first.P50), figureOf(first.P95)))
	}
	return t
}
