package sizing

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/unit"
)

// Claim is a set-up somebody says is running.
type Claim struct {
	Model  catalog.Model
	GPU    catalog.GPU
	Count  int // cards; 0 = as many as the layout takes
	Engine capacity.Engine
}

// Evidence is what can be known from outside; every field may be absent.
type Evidence struct {
	Server      *record.Server   // nil when none answered
	ServerError string           // why none answered
	GPUs        []record.GPUInfo // cards of the server's machine; nil when none was readable
	// TPOTMS is the time per output token with one request in flight, in milliseconds.
	TPOTMS *float64
	// Startup is what the server's start-up log says; nil when none was given.
	Startup *record.Startup
	// Model, GPU and TensorParallel stand in for what neither server nor driver tells.
	Model          *catalog.Model
	GPU            *catalog.GPU
	TensorParallel int
}

// Codes of reasons, beside those of capacity's refusals.
const (
	reasonMemory     = "memory"         // what is left of the budget holds no request
	reasonFits       = "fits"           // the claim adds up
	reasonCount      = "gpu_count"      // fewer cards than the layout takes
	reasonServerSays = "server_differs" // the server tells something else
	reasonDriverSays = "gpu_differs"    // the driver tells another card
)

// JudgeClaim says whether the claimed set-up can work at all, by vLLM's own rules and memory
// accounting, and where the evidence contradicts it. Evidence may be empty.
func JudgeClaim(claim Claim, ev Evidence) record.Claim {
	e := claim.Engine
	if e.Version == "" && ev.Server != nil {
		e.Version = ev.Server.EngineVersion
	}
	full := e.WithDefaults(claim.Model, claim.GPU)
	out := record.Claim{
		Model:                claim.Model.ID,
		GPU:                  claim.GPU.Name,
		Count:                max(claim.Count, full.GPUs()),
		DType:                full.DType,
		Quantization:         methodName(full.Quantization),
		KVCacheDType:         full.KVCacheDType,
		GPUMemoryUtilization: full.GPUMemoryUtilization,
		MaxModelLen:          full.MaxModelLen,
		TensorParallel:       full.TensorParallel,
		PipelineParallel:     full.PipelineParallel,
		VLLMVersion:          e.Version,
		Instead:              []record.Alternative{},
	}
	possible := true
	add := func(code string, decisive bool, text record.Text) {
		out.Reasons = append(out.Reasons, record.Reason{Code: code, Decisive: decisive, Text: text})
		possible = possible && !decisive
	}
	if claim.Count > 0 && claim.Count < full.GPUs() {
		out.Count = claim.Count
		add(reasonCount, true, say("TP %[1]d × PP %[2]d takes %[3]d GPUs, %[4]d are claimed",
			"TP %[1]d × PP %[2]d에는 GPU %[3]d개가 필요하지만 주장된 것은 %[4]d개", full.TensorParallel, full.PipelineParallel, full.GPUs(), claim.Count))
	}
	for _, r := range capacity.Refusals(claim.Model, claim.GPU, e) {
		// float32 starts, at twice the memory: the memory plan decides about it.
		add(r.Code, r.Code != capacity.RefusedFloat32Only, refusalReason(r, claim.Model, claim.GPU, full))
	}
	mem, err := capacity.PlanMemory(claim.Model, claim.GPU, e)
	if err == nil {
		out.Memory = memoryOf(mem, full.MaxModelLen)
		if !mem.Fits {
			add(reasonMemory, true, noPool(mem, full))
		}
	}
	if possible {
		add(reasonFits, false, say(
			"%[1]v of weights leave %[2]v for KV per GPU: %[3]s requests of %[4]s tokens in steady state, %[5]s guaranteed",
			"가중치 %[1]v를 뺀 GPU당 KV 여유 %[2]v: %[4]s 토큰 요청을 안정 상태에서 %[3]s개, 보장 %[5]s개 수용",
			mem.Weights, mem.KVCache, unit.Count(int(mem.SteadyConcurrency(full.MaxModelLen))),
			unit.Count(full.MaxModelLen), unit.Count(int(mem.GuaranteedConcurrency))))
	}
	if !possible {
		out.Instead = alternatives(claim, e)
	}
	contradictions(claim, full, ev, add)
	out.Possible = &possible
	return out
}

// refusalReason is a refusal in words, with the figure behind it.
func refusalReason(r capacity.Refusal, m catalog.Model, g catalog.GPU, e capacity.Engine) record.Text {
	if r.Code == capacity.RefusedFP16 {
		return say(
			"vLLM (from 0.9.1 on) refuses FP16 for %[1]s: its activations exceed 65504, the largest FP16 number, and earlier versions answered with garbage; use bfloat16",
			"vLLM은 0.9.1부터 %[1]s 모델의 FP16 실행을 거부함: 활성화 값이 FP16 최댓값 65504를 넘으며, 이전 버전에서는 깨진 출력이 나옴; bfloat16 사용", m.ModelType)
	}
	return refusalText(r, m, g, e)
}

// commonMethods are the ways this kind of model is published quantised, the commonest first.
func commonMethods() []string { return []string{"w4a16", "fp8", "bitsandbytes"} }

// alternatives are the claimed model in forms that would run on the claimed cards: first in 16 bits
// as vLLM loads it by itself, where only the claim's dtype was in the way, then quantised.
func alternatives(claim Claim, e capacity.Engine) []record.Alternative {
	out := []record.Alternative{}
	e.DType = "auto"
	for _, method := range append([]string{""}, commonMethods()...) {
		e.Quantization = method
		if len(capacity.Refusals(claim.Model, claim.GPU, e)) > 0 {
			continue
		}
		mem, err := capacity.PlanMemory(claim.Model, claim.GPU, e)
		if err != nil || !mem.Fits {
			continue
		}
		full := e.WithDefaults(claim.Model, claim.GPU)
		out = append(out, record.Alternative{
			Quantization:      methodName(full.Quantization),
			WeightsBytes:      int64(mem.Weights),
			KVCacheBytes:      int64(mem.KVCache),
			SteadyConcurrency: mem.SteadyConcurrency(full.MaxModelLen),
			Text: say("%[1]s: %[2]v of weights leave %[3]v for KV, %[4]s requests of %[5]s tokens in steady state",
				"%[1]s: 가중치 %[2]v, KV 여유 %[3]v, %[5]s 토큰 요청을 안정 상태에서 %[4]s개 수용",
				methodTitle(full.Quantization), mem.Weights, mem.KVCache,
				unit.Count(int(mem.SteadyConcurrency(full.MaxModelLen))), unit.Count(full.MaxModelLen)),
		})
	}
	return out
}

// methodName is a resolved quantisation method as documents name it.
func methodName(method string) string {
	if method == "" {
		return "none"
	}
	return method
}

// methodTitle is a method as a reader knows it.
func methodTitle(method string) string {
	switch method {
	case "", "none":
		return "16 bit"
	case "w4a16":
		return "4 bit W4A16 (QAT, AWQ, GPTQ)"
	case "fp8":
		return "8 bit FP8"
	case "bitsandbytes":
		return "4 bit bitsandbytes"
	}
	return method
}

// contradictions are where server or driver tell something other than the claim.
func contradictions(claim Claim, full capacity.Engine, ev Evidence, add func(code string, decisive bool, text record.Text)) {
	if s := ev.Server; s != nil {
		if s.MaxModelLen > 0 && s.MaxModelLen != full.MaxModelLen {
			add(reasonServerSays, false, say("the server's max_model_len is %[1]s, not %[2]s",
				"서버의 max_model_len은 %[2]s이(가) 아니라 %[1]s", unit.Count(s.MaxModelLen), unit.Count(full.MaxModelLen)))
		}
		if u, err := strconv.ParseFloat(s.CacheConfig["gpu_memory_utilization"], 64); err == nil && u != full.GPUMemoryUtilization {
			add(reasonServerSays, false, say("the server's gpu_memory_utilization is %[1]s, not %[2]s",
				"서버의 gpu_memory_utilization은 %[2]s이(가) 아니라 %[1]s", num(u), num(full.GPUMemoryUtilization)))
		}
		if m, quant, ok := guessModel(*s); ok && m.ID != claim.Model.ID {
			add(reasonServerSays, false, say("the server serves %[1]s, not %[2]s", "서버가 제공하는 모델은 %[2]s이(가) 아니라 %[1]s", m.ID, claim.Model.ID))
		} else if quant != "" && full.Quantization == "" {
			add(reasonServerSays, false, say("the model's name says %[1]s, the claim is unquantised", "모델 이름은 %[1]s 양자화를 가리키지만 주장은 비양자화", quant))
		}
	}
	var others []string
	for _, info := range ev.GPUs {
		g, err := catalog.FindGPU(info.Name)
		if (err != nil || g.Name != claim.GPU.Name) && !slices.Contains(others, info.Name) {
			others = append(others, info.Name)
		}
	}
	if len(others) > 0 {
		add(reasonDriverSays, false, say("the driver reports %[1]s, not %[2]s", "드라이버가 보고한 카드는 %[2]s이(가) 아니라 %[1]s", strings.Join(others, ", "), claim.GPU.Name))
	}
}

// guessModel is the known model a server's names point to. The root says more than the served name,
// which is free text.
func guessModel(s record.Server) (m catalog.Model, quant string, ok bool) {
	for _, name := range []string{s.ModelRoot, s.ServedModel} {
		found, method, known := catalog.GuessModel(name)
		if quant == "" {
			quant = method
		}
		if known && !ok {
			m, ok = found, true
		}
	}
	return m, quant, ok
}

// describe is a claim in one line.
func describe(c record.Claim) string {
	return fmt.Sprintf("%s, %s, quantization %s, %d× %s at %s, max_model_len %d",
		c.Model, c.DType, c.Quantization, c.Count, c.GPU, num(c.GPUMemoryUtilization), c.MaxModelLen)
}
