package sizing

import (
	"fmt"
	"strings"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/unit"
)

// explain shows how the figures of the set-up at rank came about; nil where vLLM refuses it.
func explain(req Request, c candidate) *record.Explanation {
	mem, err := capacity.PlanMemory(req.Model, c.gpu, c.engine)
	if err != nil || c.setup.Memory == nil {
		return nil
	}
	s, e, m := c.setup, c.engine, req.Model
	out := &record.Explanation{Rank: s.Rank, Setup: fmt.Sprintf("%d × %s, TP %d × PP %d × %d replicas", s.Count, s.GPU, s.TensorParallel, s.PipelineParallel, s.Replicas)}
	add := func(name record.Text, value any, formula, numbers string, source record.Text) {
		out.Terms = append(out.Terms, record.ExplainedTerm{Name: name, Formula: formula, Numbers: numbers, Value: fmt.Sprint(value), Source: source})
	}
	startups := say("start-up logs of vLLM 0.4 to 0.31", "vLLM 0.4~0.31 시작 로그")
	total := say("what torch sees of the card, from logs", "로그에서 확인한 torch 기준 용량")
	if c.gpu.MemoryTorchEstimated {
		total = say("estimated from the driver's figure", "드라이버 표기 용량에서 추정")
	}
	bits, _ := capacity.QuantizationBits(e.Quantization, m)
	add(say("total", "전체"), mem.Total, "as torch reports it", c.gpu.Name, total)
	add(say("budget", "사용 한도"), mem.Budget, "total × gpu_memory_utilization", fmt.Sprintf("%v × %s", mem.Total, num(e.GPUMemoryUtilization)), say("vLLM's own arithmetic", "vLLM 자체 계산식"))
	add(say("weights", "가중치"), mem.Weights, "(16-bit part × 2 B + quantised part × bits/8) / (TP × PP) + what each GPU repeats + rotary tables",
		fmt.Sprintf("%s parameters, %s bits a quantised weight, TP %d × PP %d; %v of rotary tables", unit.Count(m.ParameterCount), num(bits), e.TensorParallel, e.PipelineParallel, mem.RopeTables),
		say("the checkpoint's architecture; start-up logs", "체크포인트 구조, 시작 로그"))
	add(say("activations", "활성화"), mem.Activation, "max(forward over T tokens, image encoder, c × max_num_seqs × vocabulary × 4 B)",
		fmt.Sprintf("T %s, max_num_seqs %s, vocabulary %s; %v to %v", unit.Count(e.MaxNumBatchedTokens), unit.Count(e.MaxNumSeqs), unit.Count(m.Vocab), mem.ActivationLow, mem.ActivationHigh), startups)
	add(say("non-torch", "torch 외"), mem.NonTorch, "CUDA context, NCCL, all-reduce buffers", fmt.Sprintf("TP %d", e.TensorParallel), startups)
	add(say("CUDA graphs", "CUDA 그래프"), gib(mem.CUDAGraph), "estimate of vLLM 0.21 to 0.27; else taken from what is left free", orDefault(e.Version), startups)
	add(say("KV pool", "KV 풀"), mem.KVCache, "budget − weights − activations − non-torch − CUDA graphs", "", say("vLLM's own arithmetic", "vLLM 자체 계산식"))
	add(say("block", "블록"), mem.BlockBytes, "tokens × layers of a group × 2 × KV heads per GPU × head_dim × bytes", groupsOf(mem), say("vLLM's KV-cache manager of that version", "해당 버전 vLLM의 KV 캐시 관리자"))
	context := req.Demand.ContextTokens
	live := mem.BlocksLive(context)
	add(say("one request", "요청 하나"), unit.Bytes(live)*mem.BlockBytes, "blocks live in steady decode × block", fmt.Sprintf("%s blocks for %s", unit.Count(live), unit.Tokens(context)), say("window / 16 + 1 pages for sliding layers", "슬라이딩 레이어는 window / 16 + 1 페이지"))
	add(say("steady", "안정 상태"), fmt.Sprintf("%s requests", num(float64(int(10*mem.SteadyConcurrency(context)))/10)), "usable blocks / blocks of a request", fmt.Sprintf("%s / %s, per replica", unit.Count(mem.UsableBlocks()), unit.Count(live)), say("what runs once prefill is past", "프리필 이후 실제 동시 처리 수"))
	add(say("guaranteed", "보장"), fmt.Sprintf("%s requests", num(float64(int(10*mem.GuaranteedConcurrencyAt(context)))/10)), "blocks / blocks reserved for a request's worst moment", "", say("what vLLM prints as maximum concurrency", "vLLM이 출력하는 maximum concurrency"))
	c.explainSpeed(req, add)
	return out
}

func (c candidate) explainSpeed(req Request, add func(record.Text, any, string, string, record.Text)) {
	s := c.setup.Speed
	if s == nil {
		return
	}
	perReplica := (req.Demand.Concurrent + c.setup.Replicas - 1) / c.setup.Replicas
	load := capacity.Load{Kind: loads[req.Demand.Load], Concurrent: perReplica, InputTokens: max(req.Demand.InputTokens, 1), OutputTokens: max(req.Demand.OutputTokens, 1)}
	p, err := capacity.Predict(req.Model, c.gpu, c.engine, load, nil)
	if err != nil {
		return
	}
	parts := p.Parts
	rows := say("published measurements, see accuracy.md", "공개 측정값, accuracy.md 참조")
	add(say("decode step", "디코드 스텝"), duration(parts.StepMS), "∛(weights³ + compute³) + KV + all-reduce + host",
		fmt.Sprintf("%d running: %s, %s, %s, %s, %s", p.Running, duration(parts.WeightsMS), duration(parts.ComputeMS), duration(parts.KVMS), duration(parts.ReduceMS), duration(parts.HostMS)), rows)
	add(say("one prompt", "프롬프트 하나"), duration(parts.PromptMS), "FLOPs / (TP × peak × share) + all-reduces", fmt.Sprintf("%s; alone %s to its first token", unit.Tokens(load.InputTokens), duration(parts.LoneMS)), rows)
	add(say("TPOT", "TPOT"), duration(s.TPOTMS), "step + (running − 1) / output tokens × one prompt", fmt.Sprintf("%s to %s", duration(s.TPOTMSLow), duration(s.TPOTMSHigh)), record.Text{En: s.Basis, Ko: s.Basis})
	add(say("TTFT", "TTFT"), duration(s.TTFTMS), "lone prompt + share of the prompts and steps in flight + queue", fmt.Sprintf("%s to %s", duration(s.TTFTMSLow), duration(s.TTFTMSHigh)), rows)
	add(say("throughput", "처리량"), unit.Rate(s.OutputTokensPerSec), "requests × output tokens / (TTFT + (output tokens − 1) × TPOT)",
		fmt.Sprintf("%s to %s", unit.Rate(s.OutputTokensPerSecLow), unit.Rate(s.OutputTokensPerSecHigh)), rows)
	if price := c.setup.Price; price != nil && price.PerMillionUSD != nil {
		add(say("a million output tokens", "출력 토큰 100만 개"), unit.USD(*price.PerMillionUSD), "price per hour / (throughput × 3600) × 10⁶", unit.USD(*price.HourUSD)+" an hour, "+price.Hour.Provider+", "+price.Hour.AsOf, price.Hour.Basis)
	}
}

// groupsOf describes what a block is shared by.
func groupsOf(mem capacity.Memory) string {
	var out []string
	for _, g := range mem.Groups {
		text := fmt.Sprintf("%d × %d layers", g.Count, g.Layers)
		switch {
		case g.Window > 0:
			text += fmt.Sprintf(" with a window of %s", unit.Count(g.Window))
		case g.Kind == catalog.LinearAttention:
			text += " of linear attention"
		}
		out = append(out, text)
	}
	return fmt.Sprintf("%d tokens; %s", mem.BlockTokens, strings.Join(out, ", "))
}

func orDefault(version string) string {
	if version == "" {
		return "newest vLLM known"
	}
	return "vLLM " + version
}
