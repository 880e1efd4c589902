package sizing

import (
	"fmt"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/unit"
)

// The plan's own figures (its sections 1.3 and 3.1), as it prints them.
const (
	planLayers   = 36
	planKVHeads  = 16
	planHeadDim  = 128
	planPerToken = 294_912 // bytes of KV cache
	planPerReqGB = 1.15
	planKVGB     = 57.5
	planWeightGB = 24
	planTotalGB  = 94.5
)

// PlanErrors is what the plan's memory formula gets wrong about Gemma 3 12B, with the right values
// computed from the catalogue and vLLM's accounting.
func PlanErrors() ([]record.PlanError, error) {
	m, err := catalog.FindModel(planModel)
	if err != nil {
		return nil, fmt.Errorf("reviewing the plan's formula: %w", err)
	}
	return planErrors(m), nil
}

// planTruth holds the computed values the plan's are compared with.
type planTruth struct {
	full, sliding catalog.Layers
	all           int                // layers
	perToken      int64              // KV bytes of one token, every layer counted
	request       unit.Bytes         // KV of one request of planContext, sliding windows freed
	requestAll    unit.Bytes         // the same with every layer keeping everything
	mem           [3]capacity.Memory // A100 80 GB at TP 1, 2, 4
	h100, a10040  capacity.Memory
}

func truthOf(m catalog.Model) planTruth {
	t := planTruth{full: m.LayersOf(catalog.FullAttention), sliding: m.LayersOf(catalog.SlidingAttention), all: m.NumLayers()}
	t.perToken = 2 * 2 * int64(t.full.KVHeads*t.full.HeadDim*t.full.Count+t.sliding.KVHeads*t.sliding.HeadDim*t.sliding.Count)
	for i := range t.mem {
		t.mem[i] = mustPlan(m, "a100-80gb", capacity.Engine{MaxModelLen: planContext, TensorParallel: 1 << i})
	}
	t.h100 = mustPlan(m, "h100", capacity.Engine{MaxModelLen: planContext})
	t.a10040 = mustPlan(m, "a100-40gb", capacity.Engine{MaxModelLen: planContext, TensorParallel: 4})
	t.request = requestBytes(t.mem[0])
	t.requestAll = requestBytes(mustPlan(m, "a100-80gb", capacity.Engine{MaxModelLen: planContext, DisableHybridKVCacheManager: true}))
	return t
}

// mustPlan is the memory plan of a set-up this package names itself; the tests prove that there is one.
func mustPlan(m catalog.Model, gpu string, e capacity.Engine) capacity.Memory {
	mem, err := capacity.PlanMemory(m, mustGPU(gpu), e)
	if err != nil {
		panic(fmt.Sprintf("sizing: %v", err))
	}
	return mem
}

// requestBytes is the KV memory one request of planContext holds in steady state, on one GPU.
func requestBytes(mem capacity.Memory) unit.Bytes {
	return unit.Bytes(mem.BlocksLive(planContext)) * mem.BlockBytes
}

func planErrors(m catalog.Model) []record.PlanError {
	t := truthOf(m)
	count := unit.Count[int]
	a100, rtx3090 := mustGPU("a100-80gb"), mustGPU("rtx-3090")
	var out []record.PlanError
	add := func(topic, plan, truth, why record.Text) {
		out = append(out, record.PlanError{Number: len(out) + 1, Topic: topic, Plan: plan, Truth: truth, Why: why})
	}

	add(say("Layers", "레이어 수"),
		say("~%d layers", "약 %d개", planLayers),
		say("%[1]d layers: %[2]d with full attention, %[3]d with a sliding window", "%[1]d개: 전체 어텐션 %[2]d개, 슬라이딩 윈도 %[3]d개", t.all, t.full.Count, t.sliding.Count),
		say("every layer keeps its own KV cache, so the count scales the whole estimate", "레이어마다 KV 캐시를 따로 가지므로 레이어 수가 추정치 전체에 비례함"))
	add(say("KV heads", "KV 헤드 수"),
		say("%d heads", "%d개", planKVHeads),
		say("%[1]d KV heads; the %[2]d are query heads (grouped-query attention)", "KV 헤드는 %[1]d개; %[2]d개는 쿼리 헤드임 (grouped-query attention)", t.full.KVHeads, m.Heads),
		say("only KV heads are cached: query heads count the cache %[1]d times too large", "캐시에는 KV 헤드만 저장되므로 쿼리 헤드로 계산하면 %[1]d배 커짐", m.Heads/t.full.KVHeads))
	add(say("Head dimension", "헤드 차원"),
		say("head_dim %d", "head_dim %d", planHeadDim),
		say("head_dim %[1]d; hidden size ÷ heads = %[2]d would be wrong too", "head_dim %[1]d; hidden size ÷ 헤드 수 = %[2]d도 틀린 값임", t.full.HeadDim, m.HiddenSize/m.Heads),
		say("the published config.json leaves it out and the library's default holds, so it cannot be read off or derived", "공개된 config.json에는 이 값이 없고 라이브러리 기본값이 쓰이므로, 파일에서 읽거나 나눗셈으로 구할 수 없음"))
	add(say("KV bytes per token", "토큰당 KV 크기"),
		say("%s bytes", "%s바이트", count(planPerToken)),
		say("%[1]s bytes when every layer is counted; the plan's figure is %[2]s below", "모든 레이어를 셀 때 %[1]s바이트; 계획서 값은 이보다 %[2]s 작음", unit.Count(t.perToken), percent(1-planPerToken/float64(t.perToken))),
		say("the multiplication is right and its three inputs are wrong; they partly cancel, which is why the result looks plausible", "곱셈은 맞지만 입력값 세 개가 모두 틀렸고, 오차가 서로 일부 상쇄되어 결과가 그럴듯해 보임"))
	add(say("All layers alike", "모든 레이어를 동일하게 취급"),
		say("every layer keeps %s tokens", "모든 레이어가 %s 토큰을 유지", count(planContext)),
		say("%[1]d of %[2]d layers keep a window of %[3]s tokens: %[4]v a request instead of %[5]v", "%[2]d개 중 %[1]d개 레이어는 %[3]s 토큰 윈도만 유지: 요청당 %[5]v가 아니라 %[4]v", t.sliding.Count, t.all, count(t.sliding.Window), t.request, t.requestAll),
		say("%[1]d requests need %[2]v of KV, not %[3]v: this alone decides between one card and two", "요청 %[1]d개에 필요한 KV는 %[3]v가 아니라 %[2]v: 이 차이만으로 카드가 1장인지 2장인지 갈림", planConcurrent, planConcurrent*t.request, planConcurrent*t.requestAll))
	perRequest := unit.Bytes(planPerToken * planContext)
	add(say("Units", "단위"),
		say("%[1]s GB a request, %[2]s GB for %[3]d", "요청당 %[1]sGB, %[3]d개에 %[2]sGB", num(planPerReqGB), num(planKVGB), planConcurrent),
		say("its own product is %[1]s = %[2]v; %[3]s is neither", "계획서의 곱셈 결과는 %[1]s = %[2]v; %[3]s는 둘 중 어느 것도 아님", decimalGB(perRequest), perRequest, num(planPerReqGB)),
		say("cards are counted in GiB and checkpoints in GB; mixing them is a 7 %% error before anything else", "카드 용량은 GiB, 체크포인트는 GB로 세므로 섞어 쓰면 그것만으로 7 %% 오차가 생김"))
	windowPages := t.mem[0].BlocksLive(planContext) - planContext/t.mem[0].BlockTokens
	groups := 0
	for _, g := range t.mem[0].Groups {
		if g.Window > 0 {
			groups += g.Count
		}
	}
	add(say("Pages", "페이지 단위"),
		say("KV memory is counted by the token", "KV 메모리를 토큰 단위로 계산"),
		say("vLLM hands out pages of %[1]d tokens; each of the %[2]d sliding groups holds up to %[3]d pages, one more than its window", "vLLM은 %[1]d토큰 페이지로 할당하며, 슬라이딩 그룹 %[2]d개는 각각 윈도보다 1개 많은 최대 %[3]d페이지를 차지", t.mem[0].BlockTokens, groups, windowPages/groups),
		say("a request of %[1]s tokens takes %[2]d blocks of %[3]v; short requests are rounded up the most", "%[1]s 토큰 요청은 %[3]v 블록 %[2]d개를 차지하며, 짧은 요청일수록 올림의 영향이 큼", count(planContext), t.mem[0].BlocksLive(planContext), t.mem[0].BlockBytes))
	add(say("Weights", "모델 가중치"),
		say("12B × 2 bytes = %d GB", "12B × 2바이트 = %dGB", planWeightGB),
		say("%[1]s = %[2]v: %[3]s parameters, of which %[4]s are the image encoder", "%[1]s = %[2]v: 파라미터 %[3]s개, 그중 %[4]s개는 이미지 인코더", decimalGB(t.mem[0].Weights-t.mem[0].RopeTables), t.mem[0].Weights-t.mem[0].RopeTables, unit.Count(m.ParameterCount), unit.Count(m.Parameters.Vision)),
		say("the \"12B\" is a name, not a count; bytes come from the checkpoint", "\"12B\"는 이름일 뿐 정확한 개수가 아니므로 크기는 체크포인트에서 읽어야 함"))
	add(say("Activations", "활성화 메모리"),
		say("~10 %% of the rest = 8 GB", "약 10 %% = 8GB"),
		say("%[1]v on an A100 80 GB, %[2]v on an H100 (range there %[3]v to %[4]v)", "A100 80GB에서 %[1]v, H100에서 %[2]v (범위 %[3]v~%[4]v)", t.mem[0].Activation, t.h100.Activation, t.h100.ActivationLow, t.h100.ActivationHigh),
		say("the peak follows max_num_batched_tokens and max_num_seqs × vocabulary (%[1]s), not the weights or the cache; fewer sequences free memory", "최대치는 가중치나 캐시가 아니라 max_num_batched_tokens와 max_num_seqs × 어휘 수(%[1]s)로 정해지므로, 시퀀스 수를 줄이면 메모리가 확보됨", count(m.Vocab)))
	add(say("Overhead", "시스템 오버헤드"),
		say("~5 %% of the total = 5 GB", "약 5 %% = 5GB"),
		say("a constant of each GPU: %[1]s alone, %[2]s at TP 2, %[3]s at TP 4", "GPU마다 고정값: 단독 %[1]s, TP 2에서 %[2]s, TP 4에서 %[3]s", gib(t.mem[0].NonTorch), gib(t.mem[1].NonTorch), gib(t.mem[2].NonTorch)),
		say("it depends on how many GPUs talk to each other and is paid again on each of them", "서로 통신하는 GPU 수에 따라 달라지고 GPU마다 새로 발생함"))
	add(say("Usable share", "사용 가능 비율"),
		say("the whole card is used", "카드 전체를 사용"),
		say("vLLM takes %[1]s of what torch sees: %[2]v of an 80 GB A100's %[3]v", "vLLM은 torch가 보는 메모리의 %[1]s만 사용: A100 80GB의 %[3]v 중 %[2]v", percent(float64(t.mem[0].Budget)/float64(t.mem[0].Total)), t.mem[0].Budget, t.mem[0].Total),
		say("%[1]v of the card never become KV cache unless gpu_memory_utilization is raised", "gpu_memory_utilization을 높이지 않으면 카드의 %[1]v는 KV 캐시로 쓰이지 않음", unit.Bytes(a100.MemoryNVMLMiB)*unit.MiB-t.mem[0].Budget))
	add(say("Placement", "GPU별 배치"),
		say("%s GB against the sum of all cards", "%sGB를 모든 카드 용량의 합과 비교", num(planTotalGB)),
		say("each GPU must hold its share: on 4 × A100 40 GB each takes %[1]v of weights, %[2]v of activations and %[3]v of overhead from %[4]v", "GPU마다 자기 몫이 들어가야 함: 4× A100 40GB에서는 GPU당 %[4]v 중 가중치 %[1]v, 활성화 %[2]v, 오버헤드 %[3]v", t.a10040.Weights, t.a10040.Activation, t.a10040.NonTorch, t.a10040.Budget),
		say("activations and overhead do not divide, and TP must divide the %[1]d query heads", "활성화와 오버헤드는 나누어지지 않으며, TP는 쿼리 헤드 %[1]d개를 나눌 수 있어야 함", m.Heads))
	refused := capacity.Refusals(m, a100, capacity.Engine{DType: "float16", MaxModelLen: planContext})
	add(say("Number format", "dtype 적합성"),
		say("dtype half (FP16)", "dtype half (FP16)"),
		refusedFP16(refused, m),
		say("cards without BF16 (T4, V100) cannot serve this model unquantised however much memory they have", "BF16이 없는 카드(T4, V100)는 메모리가 아무리 많아도 비양자화 상태로 이 모델을 서비스할 수 없음"))
	add(say("Capacity only", "용량만 고려"),
		say("nothing about speed", "속도에 대한 언급 없음"),
		say("reading the weights once bounds a token from below: %.1[1]f ms on an A100 80 GB, %.1[2]f ms at a 3090's bandwidth", "가중치를 한 번 읽는 시간이 토큰당 하한: A100 80GB에서 %.1[1]fms, 3090 대역폭으로는 %.1[2]fms", readMS(t.mem[0].Weights, a100), readMS(t.mem[0].Weights, rtx3090)),
		say("a set-up that holds 50 requests may still be too slow for its users; measure it under load", "50개를 수용하는 구성이라도 사용자에게는 너무 느릴 수 있으므로 부하를 걸어 측정해야 함"))
	return out
}

// refusedFP16 is capacity's refusal of FP16 as the truth beside the plan's dtype.
func refusedFP16(refused []capacity.Refusal, m catalog.Model) record.Text {
	for _, r := range refused {
		if r.Code == capacity.RefusedFP16 {
			return refusalText(r, m, catalog.GPU{}, capacity.Engine{})
		}
	}
	return say("vLLM accepts it", "vLLM이 허용함")
}

// readMS is the time to read bytes once at a card's peak bandwidth, in milliseconds.
func readMS(bytes unit.Bytes, gpu catalog.GPU) float64 {
	return float64(bytes) / (gpu.BandwidthGBs * 1e9) * 1e3
}

// planRemarks are what else the plan should know.
func planRemarks(m catalog.Model) []record.Text {
	gemma4bit := mustPlan(m, "rtx-3090", capacity.Engine{MaxModelLen: planContext, Quantization: "w4a16"})
	out := []record.Text{say(
		"Nothing is quantised in silence: vLLM does so only for a quantised checkpoint or when told by --quantization, and in 4 bits the weights are %[1]v, not 6 GB, because embeddings and image encoder stay in 16 bits.",
		"vLLM은 알아서 양자화하지 않음: 양자화된 체크포인트이거나 --quantization을 지정한 경우에만 적용되며, 4비트 가중치도 임베딩과 이미지 인코더가 16비트로 남아 6GB가 아니라 %[1]v임.", gemma4bit.Weights)}
	for _, o := range catalog.CloudOffers() {
		if o.InstanceType == "p4d.24xlarge" && o.USDPerHour != nil {
			out = append(out, say(
				"%[1]s %[2]s (%[3]d× A100 40 GB) costs %[4]s per hour (%[5]s), not ~$32: that is the price before June 2025.",
				"%[1]s %[2]s (A100 40GB %[3]d개)의 요금은 시간당 약 $32가 아니라 %[4]s임 (%[5]s); $32는 2025년 6월 인하 전 가격임.",
				o.Provider, o.InstanceType, o.GPUCount, unit.USD(*o.USDPerHour), o.PriceDate))
		}
	}
	return out
}

// planSummary says what the errors come to.
func planSummary(m catalog.Model, candidates []record.PlanCandidate) record.Text {
	t := truthOf(m)
	one := t.mem[0]
	total := one.Weights + planConcurrent*t.request + one.Activation + one.NonTorch + one.CUDAGraph
	held := 0
	for _, c := range candidates {
		if c.Name == "A100 80GB" && c.Steady != nil {
			held = *c.Steady
		}
	}
	return say(
		"The plan asks for %[1]s GB and so for two 80 GB cards. vLLM needs %[2]v (%[3]s) for %[4]d requests of %[5]s tokens, and one A100 80 GB holds %[6]d of them in steady state.",
		"계획서는 %[1]sGB, 즉 80GB 카드 2장을 요구함. 실제로 vLLM은 %[5]s 토큰 요청 %[4]d개에 %[2]v (%[3]s)가 필요하며, A100 80GB 1장이 안정 상태에서 %[6]d개를 수용함.",
		num(planTotalGB), total, decimalGB(total), planConcurrent, unit.Count(planContext), held)
}
