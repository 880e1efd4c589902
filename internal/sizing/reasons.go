package sizing

import (
	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/unit"
)

// reasons say in words why a set-up that vLLM does not refuse got its verdict.
func reasons(req Request, c candidate, mem capacity.Memory) []record.Text {
	d, held := req.Demand, c.setup.Concurrency
	var out []record.Text
	if !mem.Fits {
		out = append(out, noPool(mem, c.engine))
	} else {
		context := unit.Count(d.ContextTokens)
		out = append(out, say(
			"%[1]v free for KV per GPU, %[2]v per request of %[3]s tokens: %[4]s requests run in steady state, %[5]s are guaranteed at start",
			"GPU당 KV 여유 %[1]v, %[3]s 토큰 요청당 %[2]v: 안정 상태에서 %[4]s개 동시 처리, 시작 시 보장은 %[5]s개",
			mem.KVCache, c.needBytes, context, unit.Count(held.Steady), unit.Count(held.Guaranteed)))
		switch {
		case held.Steady < held.Demand:
			perReplica := (held.Demand + c.setup.Replicas - 1) / c.setup.Replicas
			missing := unit.Bytes(perReplica)*c.needBytes - mem.KVCache
			out = append(out, say("%[1]s of the %[2]s asked for; %[3]v more per GPU would be needed",
				"요구 %[2]s개 중 %[1]s개만 수용; GPU당 %[3]v 부족",
				unit.Count(held.Steady), unit.Count(held.Demand), missing))
		case !c.setup.Fits:
			out = append(out, say("max_num_seqs %[1]d allows %[2]s requests at once, %[3]s are asked for: raise it",
				"max_num_seqs %[1]d로는 동시에 %[2]s개까지만 실행되고 요구는 %[3]s개: 값을 올려야 함",
				c.engine.MaxNumSeqs, unit.Count(c.setup.Replicas*c.engine.MaxNumSeqs), unit.Count(held.Demand)))
		default:
			out = append(out, say("%[1]s above the demand of %[2]s", "요구 %[2]s개 대비 여유 %[1]s", percent(held.Headroom), unit.Count(held.Demand)))
		}
		// The activation peak is the largest unknown: say so where it would turn the verdict.
		spread := mem.ActivationHigh - mem.Activation
		atWorst := int(float64(held.Steady) * (1 - float64(spread)/float64(mem.KVCache)))
		if c.setup.Fits && atWorst < held.Demand {
			out = append(out, say("if activations peak at %[1]v instead of %[2]v, only about %[3]s fit",
				"활성화 메모리 최대치가 %[2]v가 아니라 %[1]v이면 약 %[3]s개만 수용",
				mem.ActivationHigh, mem.Activation, unit.Count(max(atWorst, 0))))
		}
	}
	if slots := c.engine.MaxNumSeqs; req.Engine.MaxNumSeqs == 0 && c.setup.Fits {
		req.Engine.TensorParallel, req.Engine.PipelineParallel = c.engine.TensorParallel, c.engine.PipelineParallel
		if byDefault := req.Engine.WithDefaults(req.Model, c.gpu).MaxNumSeqs; byDefault < slots {
			out = append(out, say("needs --max-num-seqs %[1]d (vLLM's default here is %[2]d)",
				"--max-num-seqs %[1]d 필요 (여기서 vLLM 기본값은 %[2]d)", slots, byDefault))
		}
	}
	if trap := trapOf(c); trap != nil {
		out = append(out, *trap)
	}
	if c.gpu.MemoryTorchEstimated {
		out = append(out, say("memory that torch sees on this card is estimated: %[1]v", "이 카드에서 torch가 보는 메모리는 추정값: %[1]v", mem.Total))
	}
	return out
}

// noPool says why no KV pool remains, or none that holds one request.
func noPool(mem capacity.Memory, e capacity.Engine) record.Text {
	weights := mem.Weights - mem.RopeTables
	others := mem.RopeTables + mem.Activation + mem.NonTorch + mem.CUDAGraph
	switch {
	case weights >= mem.Budget:
		return say("%[1]v of weights in a budget of %[2]v (%[3]s × %[4]v) leave nothing for KV",
			"가중치 %[1]v가 사용 한도 %[2]v (%[3]s × %[4]v)를 넘어 KV 캐시 공간이 없음",
			weights, mem.Budget, num(e.GPUMemoryUtilization), mem.Total)
	case mem.KVCache < mem.BlockBytes:
		return say("%[1]v of weights and %[2]v of activations and overhead in a budget of %[3]v (%[4]s × %[5]v) leave nothing for KV",
			"가중치 %[1]v와 활성화·오버헤드 %[2]v가 사용 한도 %[3]v (%[4]s × %[5]v)를 채워 KV 캐시 공간이 없음",
			weights, others, mem.Budget, num(e.GPUMemoryUtilization), mem.Total)
	}
	return say("%[1]v free for KV per GPU do not hold one request of max_model_len %[2]s as vLLM reserves it at start",
		"GPU당 KV 여유 %[1]v로는 max_model_len %[2]s 요청 하나의 시작 시 예약량도 수용하지 못함",
		mem.KVCache, unit.Count(e.MaxModelLen))
}

// refusalText puts a refusal into both languages. The English sentence is capacity's.
func refusalText(r capacity.Refusal, m catalog.Model, g catalog.GPU, e capacity.Engine) record.Text {
	ko := r.Reason
	switch r.Code {
	case capacity.RefusedFP16:
		ko = say("", "vLLM은 %s 모델의 FP16 실행을 거부함: 활성화 값이 FP16 범위를 넘음(수치 불안정); bfloat16 사용", m.ModelType).Ko
	case capacity.RefusedBF16:
		ko = say("", "%s (compute capability %.1f)은(는) 8.0 이상이 필요한 BF16을 지원하지 않음", g.Name, g.ComputeCapability).Ko
	case capacity.RefusedFloat32Only:
		ko = say("", "%s에는 BF16이 없고 vLLM은 %s의 FP16을 거부함; 남는 float32는 메모리가 두 배이고 텐서 코어를 쓰지 못함", g.Name, m.ModelType).Ko
	case capacity.RefusedQuantization:
		ko = say("", "%s 양자화는 이 체크포인트 또는 %s (compute capability %.1f)에서 사용할 수 없음", e.Quantization, g.Name, g.ComputeCapability).Ko
	case capacity.RefusedHeads:
		ko = say("", "tensor parallel 크기 %d은(는) 이 모델의 헤드 수로 나눌 수 없음", e.TensorParallel).Ko
	case capacity.RefusedLayers:
		ko = say("", "pipeline parallel 크기 %d이(가) 레이어 수 %d보다 큼", e.PipelineParallel, m.NumLayers()).Ko
	case capacity.RefusedContext:
		ko = say("", "max_model_len %s이(가) 모델의 최대 컨텍스트 %s보다 큼", unit.Count(e.MaxModelLen), unit.Count(m.MaxPositionEmbeddings)).Ko
	case capacity.RefusedSettings:
		ko = say("", "설정값이 허용 범위를 벗어남: %s", r.Reason).Ko
	}
	return record.Text{En: r.Reason, Ko: ko}
}

// decides says which capacity carries the verdicts, and why it may.
func decides(candidates []candidate) record.Decides {
	out := record.Decides{Capacity: record.DecidesSteady}
	for _, c := range candidates {
		if held := c.setup.Concurrency; held != nil && held.Guaranteed < held.Steady*9/10 {
			out.Why = say(
				"steady concurrency decides: the guaranteed figure reserves for every request the worst moment of its prefill at once, but prefills share one step's token budget, so few requests are in that state together; once past it, sliding layers keep only their window",
				"안정 상태 동시 처리 수로 판정함: 보장 수치는 모든 요청이 프리필의 최악 순간에 동시에 있다고 보고 예약하지만, 프리필은 한 스텝의 토큰 예산을 나누어 쓰므로 그 상태에 함께 있는 요청은 소수임; 프리필이 지나면 슬라이딩 레이어는 윈도 크기만큼만 유지함")
			return out
		}
	}
	out.Why = say(
		"steady concurrency decides; for this model and engine it differs little from the guaranteed one, since every layer keeps the whole context",
		"안정 상태 동시 처리 수로 판정함; 이 모델과 엔진에서는 모든 레이어가 전체 컨텍스트를 유지하므로 보장 수치와 거의 같음")
	return out
}

// notes hold for every set-up.
func notes() []record.Text {
	return []record.Text{
		say("Memory per GPU is what vLLM would account for; activations are its largest unknown.",
			"GPU당 메모리는 vLLM의 계산 방식에 따른 값이며, 활성화 메모리가 가장 불확실한 항목임."),
		say("Steady concurrency counts requests that all hold the full context at once; shorter ones fit in greater number.",
			"안정 상태 동시 처리 수는 모든 요청이 동시에 전체 컨텍스트를 차지하는 경우이며, 더 짧은 요청은 더 많이 수용됨."),
		say("Buying prices are for the cards alone, without the machine around them; every price moves, so its date stands beside it.",
			"구매 가격은 서버를 제외한 카드만의 가격이며, 가격은 변하므로 기준 날짜를 함께 표시함."),
		say("Times and rates are computed, not measured on these set-ups; four of five published measurements lie between low and high.",
			"시간과 처리량은 해당 구성에서 측정한 값이 아니라 계산값이며, 공개 측정값의 5분의 4가 표시된 범위 안에 있음."),
		say("The price of a million output tokens assumes the demand around the clock.",
			"출력 토큰 100만 개당 비용은 요구 부하가 24시간 계속된다고 가정한 값임."),
	}
}
