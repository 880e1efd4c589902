package analysis

import (
	"math"
	"slices"

	"bench/internal/record"
	"bench/internal/unit"
)

// advised adds what would move a limit: the flag where vLLM has one, else what has to change.
func (l *ladder) advised(limit record.Limit) record.Limit {
	advice := l.advice(limit.Cause)
	limit.Advice, limit.AdviceKO = advice.En, advice.Ko
	return limit
}

func (l *ladder) advice(cause record.Cause) record.Text {
	if l.other != "" {
		if text, ok := l.adviceElsewhere(cause); ok {
			return text
		}
	}
	switch cause {
	case record.CauseKVCache:
		return l.moreKV()
	case record.CauseSchedulerSlots:
		return l.moreSlots()
	case record.CauseCompute:
		return say("no flag moves it: the card's arithmetic is used up. Shorter prompts, a faster card or more of them; `bench size` says which",
			"옵션으로는 옮길 수 없음: GPU 연산 성능을 다 씀. 프롬프트를 줄이거나 더 빠른 GPU 또는 더 많은 GPU가 필요하며, 어떤 것인지는 `bench size`로 확인")
	case record.CauseMemoryBandwidth:
		return say("each step reads the weights and the KV cache: fewer bits for either (quantised weights, `--kv-cache-dtype fp8`), or a card with faster memory; `bench size` says which",
			"매 스텝마다 가중치와 KV cache를 읽음: 둘 중 하나의 비트를 줄이거나(양자화 가중치, `--kv-cache-dtype fp8`) 메모리가 더 빠른 GPU가 필요하며, 어떤 것인지는 `bench size`로 확인")
	case record.CausePower:
		return say("`nvidia-smi -pl` raises the power limit, as far as the card's own maximum and its cooling allow",
			"`nvidia-smi -pl`로 전력 한도를 올림(카드의 최대치와 냉각이 허용하는 범위에서)")
	case record.CauseThermal:
		return say("better cooling: the card lowers its clocks; no flag of the server moves it", "냉각 개선이 필요함: GPU가 스스로 클럭을 낮추며, 서버 옵션으로는 옮길 수 없음")
	case record.CauseClient:
		return say("the server may do better than this: run `bench` on a machine with more free processors, not beside the server",
			"서버는 이보다 나을 수 있음: 여유 프로세서가 더 많은 장비에서, 서버와 분리하여 `bench`를 실행")
	case record.CauseNetwork:
		return say("the server is faster than it seems from here: measure nearer to it, or without the gateway between",
			"서버는 여기서 보이는 것보다 빠름: 더 가까운 곳에서, 또는 중간 게이트웨이 없이 측정")
	case record.CauseOutOfMemory:
		return say("a step needs more than is left beside the KV cache: lower `--max-num-batched-tokens` or `--max-num-seqs`, or leave more free with a lower `--gpu-memory-utilization`",
			"한 스텝에 필요한 메모리가 KV cache 외에 남은 것보다 큼: `--max-num-batched-tokens`나 `--max-num-seqs`를 줄이거나, `--gpu-memory-utilization`을 낮춰 여유를 둠")
	case record.CauseEngineDeath:
		return say("what the server and the cards did in the last seconds is in the folder's flight file; the reason is in the server's own log",
			"마지막 몇 초간 서버와 GPU의 상태는 결과 폴더의 flight 파일에 있고, 원인은 서버 로그에 있음")
	case record.CauseUnknown:
		return l.moreToKnow()
	}
	return record.Text{}
}

// slotFlags are what other servers call the number of requests they compute at once.
var slotFlags = map[string]string{record.EngineLlamaCpp: "--parallel", record.EngineSGLang: "--max-running-requests", record.EngineOllama: "OLLAMA_NUM_PARALLEL"}

// adviceElsewhere is what would move a limit of another server than vLLM, where vLLM's flags would be the answer.
func (l *ladder) adviceElsewhere(cause record.Cause) (record.Text, bool) {
	switch cause {
	case record.CauseSchedulerSlots:
		if flag := slotFlags[l.other]; flag != "" {
			return say("a higher `%[1]s` of %[2]s lets more run at once, as far as its memory allows", "%[2]s의 `%[1]s`를 높이면 메모리가 허용하는 만큼 더 많은 요청이 함께 실행됨", flag, l.other), true
		}
		return say("the server's own setting for requests at once lets more run", "서버의 동시 처리 수 설정을 높이면 더 많은 요청이 함께 실행됨"), true
	case record.CauseKVCache, record.CauseOutOfMemory:
		return say("more room for requests: a smaller context for each, quantised weights or KV cache, or another card", "요청에 쓸 메모리를 늘림: 요청당 컨텍스트 축소, 가중치나 KV cache 양자화, 또는 다른 GPU"), true
	case record.CauseMemoryBandwidth:
		return say("each step reads the weights and the KV cache: fewer bits for either, or a card with faster memory", "매 스텝마다 가중치와 KV cache를 읽음: 둘 중 하나의 비트를 줄이거나 메모리가 더 빠른 GPU가 필요함"), true
	case record.CauseUnknown:
		return say("what this server does not tell cannot prove a cause; the list of what it has and lacks is with the environment", "이 서버가 알려 주지 않는 것으로는 원인을 증명할 수 없음. 지원 여부 목록은 환경 항목에 있음"), true
	}
	return record.Text{}, false
}

// moreSlots is what `--max-num-seqs` would do, with how much room the KV cache had.
func (l *ladder) moreSlots() record.Text {
	for _, r := range slices.Backward(l.rungs) {
		if l.slotsFull(r) == nil {
			continue
		}
		s := r.rec.Detail.ServerDelta
		text := say("`--max-num-seqs` above %s lets more run at once; the KV cache was at most %s full", "`--max-num-seqs`를 %s보다 크게 하면 더 많은 요청이 함께 실행됨. KV cache 사용률은 최대 %s였음",
			count(*s.MaxRunning), percent(*s.MaxKVUsage))
		if *s.MaxKVUsage >= nearlyFullUsage {
			text = join("", text, say(", so it is the next limit", "으며, 이것이 다음 한계임"))
		}
		return text
	}
	return record.Text{}
}

// moreKV names the flags that leave more memory to requests, as the memory plan of the set-up has them.
func (l *ladder) moreKV() record.Text {
	if l.machine == nil || len(l.machine.Savings) == 0 {
		return say("more room for the KV cache: `--kv-cache-dtype fp8`, a higher `--gpu-memory-utilization`, quantised weights or another card; `bench size` computes what each gives",
			"KV cache 공간을 늘림: `--kv-cache-dtype fp8`, 더 높은 `--gpu-memory-utilization`, 양자화 가중치 또는 다른 GPU. 각각의 효과는 `bench size`로 계산")
	}
	var flags []record.Text
	for _, s := range l.machine.Savings {
		gib := math.Round(10*unit.Bytes(s.FreedBytes).GiB()) / 10
		flags = append(flags, say("`%s` (room for %.1f GiB more of requests; %s)", "`%s` (요청에 %.1f GiB 여유 추가, 단 %s)", s.Flag, gib, s.Price))
	}
	return join("", say("by the memory plan, not measured: ", "측정이 아닌 메모리 계산 기준: "), join(", ", flags...))
}

// moreToKnow says which of the records that name causes were missing.
func (l *ladder) moreToKnow() record.Text {
	switch {
	case l.fullest().n == 0:
		return say("the server's `/metrics` could not be read: with it a full KV cache and full scheduler slots can be told", "서버의 `/metrics`를 읽을 수 없었음: 읽을 수 있으면 KV cache 포화와 스케줄러 슬롯 부족을 구별할 수 있음")
	case l.machine == nil:
		return say("card, model or quantisation are not known: measure on the server's machine, or give `bench verify` the start-up log (`--server-log`)",
			"GPU, 모델 또는 양자화를 알 수 없음: 서버가 있는 장비에서 측정하거나 `bench verify`에 시작 로그를 지정(`--server-log`)")
	}
	return say("neither memory, slots, client, network nor the card's computed rates account for it; the rest is the engine's own overhead and queueing",
		"메모리, 슬롯, 클라이언트, 네트워크, 계산된 GPU 성능으로 설명되지 않음. 나머지는 엔진 자체의 오버헤드와 대기임")
}
