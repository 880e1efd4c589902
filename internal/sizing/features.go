package sizing

import (
	"fmt"
	"slices"
	"strings"

	"bench/internal/record"
	"bench/internal/unit"
)

// Features says what figures rest on, whether the server has it, and what follows where it has not. It judges by what
// was found out; what was not asked for (s.Stream, s.IgnoresEOS) is left out.
func Features(s record.Server) []record.Feature {
	var out []record.Feature
	add := func(name string, state record.CheckState, found, follows record.Text) {
		out = append(out, record.Feature{Name: name, State: state, Found: found, Follows: follows})
	}
	nothing := record.Text{}
	engineFeature(s, add)
	if s.Unlisted != "" {
		add("models", record.CheckFailed, record.Text{En: s.Unlisted, Ko: s.Unlisted}, say("the name is taken from --served-model; nothing else is known of the model", "이름은 --served-model에서 가져옴. 모델에 대해 그 밖에 알려진 것은 없음"))
	}
	if s.MaxModelLen > 0 {
		add("context", record.CheckOK, say("%s tokens", "%s 토큰", unit.Count(s.MaxModelLen)), nothing)
	} else {
		add("context", record.CheckFailed, say("not told", "알려 주지 않음"),
			say("a test too long for it is not refused beforehand; prompts that the server cut show in usage", "너무 긴 테스트를 미리 거절하지 못함. 잘린 프롬프트는 usage로 드러남"))
	}
	if s.HasTokenize {
		add("tokenizer", record.CheckOK, say("the server counts tokens of prompts", "서버가 프롬프트 토큰을 셈"), nothing)
	} else {
		add("tokenizer", record.CheckFailed, say("none that counts a chat with its template", "템플릿을 포함한 대화의 토큰을 세는 기능 없음"),
			say("prompt lengths are settled through usage of short requests; --dataset-name is refused", "프롬프트 길이는 짧은 요청의 usage로 맞춤. --dataset-name은 사용할 수 없음"))
	}
	metricsFeature(s, add)
	if s.Stream != nil {
		streamFeatures(s, add)
	}
	if s.Engine != record.EngineVLLM && !s.Simulated {
		add("cache_salt", record.CheckFailed, say("a field of vLLM", "vLLM 전용 필드"),
			say("prompts of a test differ from the second word on, and nothing else keeps them apart in a prefix cache", "테스트의 프롬프트는 두 번째 단어부터 서로 다르며, prefix cache에서 이들을 구분하는 다른 수단은 없음"))
	}
	return out
}

func engineFeature(s record.Server, add func(string, record.CheckState, record.Text, record.Text)) {
	if s.Engine == "" {
		add("engine", record.CheckUnknown, say("no sign of a server that is known", "알려진 서버라는 표시 없음"),
			say("nothing is taken for granted of it", "아무 것도 전제하지 않음"))
	} else {
		what := strings.TrimSpace(s.Engine+" "+s.EngineVersion) + " (" + strings.Join(s.EngineSigns, "; ") + ")"
		add("engine", record.CheckOK, record.Text{En: what, Ko: what}, record.Text{})
	}
	if s.Gateway != "" {
		add("gateway", record.CheckUnknown, record.Text{En: s.Gateway, Ko: s.Gateway},
			say("times include it; how many servers are behind it, and what they do, is not seen", "시간에는 게이트웨이가 포함됨. 그 뒤의 서버 수와 동작은 보이지 않음"))
	}
}

func metricsFeature(s record.Server, add func(string, record.CheckState, record.Text, record.Text)) {
	blind := say("queueing, the KV cache and requests of others are not seen: a limit is found, its cause mostly not", "대기열, KV cache, 다른 클라이언트의 요청을 볼 수 없음: 한계는 찾지만 원인은 대부분 알 수 없음")
	if !s.HasMetrics {
		add("metrics", record.CheckFailed, say("/metrics cannot be read (%s)", "/metrics를 읽을 수 없음 (%s)", s.MetricsAbsent), blind)
		return
	}
	lacks := strings.Join(s.MetricsLack, ", ")
	follows := record.Text{}
	state := record.CheckOK
	if slices.Contains(s.MetricsLack, "running") || slices.Contains(s.MetricsLack, "waiting") {
		state, follows = record.CheckFailed, blind
	} else if slices.Contains(s.MetricsLack, "kv_usage") || slices.Contains(s.MetricsLack, "preemptions") {
		state = record.CheckFailed
		follows = say("a full KV cache cannot be told from full slots, so neither is named a cause", "KV cache 포화와 슬롯 포화를 구분할 수 없어 어느 쪽도 원인으로 지목하지 않음")
		if s.Slots > 0 {
			follows = say("a full KV cache is not seen; full slots are, because the server tells that it has %d", "KV cache 포화는 보이지 않음. 서버가 슬롯 수(%d)를 알려 주므로 슬롯 포화는 보임", s.Slots)
		}
	}
	if lacks == "" {
		add("metrics", state, say("/metrics tells all that is asked of it", "/metrics가 필요한 값을 모두 제공"), follows)
		return
	}
	add("metrics", state, say("/metrics, without %s", "/metrics 있음, 없는 값: %s", lacks), follows)
}

func streamFeatures(s record.Server, add func(string, record.CheckState, record.Text, record.Text)) {
	st := s.Stream
	switch {
	case !st.Usage:
		add("usage", record.CheckFailed, say("streams tell no token counts", "스트림에 토큰 수가 없음"),
			say("chunks are counted as tokens: throughput and TPOT are of chunks, and no length is proven", "청크를 토큰으로 셈: 처리량과 TPOT은 청크 기준이며 길이는 증명되지 않음"))
	case st.Tokens != nil && st.Chunks < *st.Tokens:
		add("usage", record.CheckOK, say("%d tokens came in %d chunks", "토큰 %d개가 청크 %d개로 옴", *st.Tokens, st.Chunks),
			say("gaps (ITL) are between chunks; TPOT and throughput go by usage", "간격(ITL)은 청크 사이의 값. TPOT과 처리량은 usage 기준"))
	default:
		add("usage", record.CheckOK, say("streams tell token counts", "스트림이 토큰 수를 알려 줌"), record.Text{})
	}
	if s.Refuses != "" {
		add("fields", record.CheckFailed, record.Text{En: s.Refuses, Ko: s.Refuses}, say("requests are sent without them", "해당 필드 없이 요청을 보냄"))
	}
	free := say("answers are as long as the model makes them: compare TPOT, not latency or throughput of tests", "답변 길이는 모델이 정함: 지연이나 처리량보다 TPOT을 비교할 것")
	switch {
	case s.IgnoresEOS == nil:
		add("ignore_eos", record.CheckUnknown, say("this model ends no short answer by itself, so nothing shows it", "이 모델은 짧은 답변을 스스로 끝내지 않아 확인할 수 없음"),
			say("answers that end early are no failures; tests with such answers are marked", "일찍 끝난 답변을 실패로 보지 않으며, 그런 테스트에는 표시를 남김"))
	case *s.IgnoresEOS:
		add("ignore_eos", record.CheckOK, say("honoured: answers have the length asked for", "지원: 답변이 요청한 길이로 옴"), record.Text{})
	default:
		add("ignore_eos", record.CheckFailed, say("not honoured: answers end when the model ends them", "미지원: 모델이 끝내는 곳에서 답변이 끝남"), free)
	}
	if !st.KeepsConnection {
		add("connections", record.CheckFailed, say("closed after each streamed answer", "스트림 답변마다 연결을 닫음"),
			say("each request gets a connection of its own, opened before it is sent; connecting is in no latency", "요청마다 새 연결을 보내기 전에 엶. 연결 시간은 지연에 포함되지 않음"))
	}
	if !st.Done {
		add("done", record.CheckFailed, say("no [DONE] at the end of a stream", "스트림 끝에 [DONE]이 없음"),
			say("an answer is whole by its finish reason and a clean end", "finish_reason과 정상 종료로 답변 완료를 판단"))
	}
}

// Lacking is what follows of the features that a server has not, a line each.
func Lacking(features []record.Feature) []string {
	var out []string
	for _, f := range features {
		if f.State != record.CheckOK && f.Follows.En != "" {
			out = append(out, fmt.Sprintf("%s: %s: %s", f.Name, f.Found.En, f.Follows.En))
		}
	}
	return out
}
