package sizing

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/unit"
)

// logEngine is a start-up log's settings, as far as it names them.
func logEngine(s *record.Startup) capacity.Engine {
	e := capacity.Engine{
		Version: s.Version, V0: s.Engine == "V0", DType: s.DType, Quantization: s.Quantization, KVCacheDType: s.KVCacheDType,
		FlashInferSampler: s.Sampler == "flashinfer",
	}
	// Names of 0.29 and later that are not those of a flag.
	if strings.Contains(e.Quantization, "mxfp4") {
		e.Quantization = "mxfp4"
	}
	if _, quant, _ := catalog.GuessModel(s.Model); strings.HasPrefix(e.Quantization, "compressed-tensors") && quant != "" {
		e.Quantization = quant // the method is only a container, the name says what is in it
	}
	take := func(at *int, v *int) {
		if v != nil {
			*at = *v
		}
	}
	take(&e.MaxModelLen, s.MaxModelLen)
	take(&e.MaxNumSeqs, s.MaxNumSeqs)
	take(&e.MaxNumBatchedTokens, s.MaxNumBatchedTokens)
	take(&e.TensorParallel, s.TensorParallel)
	take(&e.PipelineParallel, s.PipelineParallel)
	if s.GPUMemoryUtilization != nil {
		e.GPUMemoryUtilization = *s.GPUMemoryUtilization
	}
	if s.EnforceEager != nil {
		e.EnforceEager = *s.EnforceEager
	}
	e.ExpertParallel = s.ExpertParallel != nil && *s.ExpertParallel
	e.NoImages = s.ImagesPerPrompt != nil && *s.ImagesPerPrompt == 0
	return e
}

// CompleteFromLog fills what e leaves open with what the log says.
func CompleteFromLog(e capacity.Engine, s *record.Startup) capacity.Engine {
	log := logEngine(s)
	if e.Version == "" {
		e.V0 = log.V0
	}
	e.Version = cmp.Or(e.Version, log.Version)
	e.DType = cmp.Or(e.DType, log.DType)
	e.Quantization = cmp.Or(e.Quantization, log.Quantization)
	e.KVCacheDType = cmp.Or(e.KVCacheDType, log.KVCacheDType)
	e.GPUMemoryUtilization = cmp.Or(e.GPUMemoryUtilization, log.GPUMemoryUtilization)
	e.MaxModelLen = cmp.Or(e.MaxModelLen, log.MaxModelLen)
	e.MaxNumSeqs = cmp.Or(e.MaxNumSeqs, log.MaxNumSeqs)
	e.MaxNumBatchedTokens = cmp.Or(e.MaxNumBatchedTokens, log.MaxNumBatchedTokens)
	e.EnforceEager = e.EnforceEager || log.EnforceEager
	e.TensorParallel = cmp.Or(e.TensorParallel, log.TensorParallel)
	e.PipelineParallel = cmp.Or(e.PipelineParallel, log.PipelineParallel)
	e.FlashInferSampler = e.FlashInferSampler || log.FlashInferSampler
	e.ExpertParallel, e.NoImages = e.ExpertParallel || log.ExpertParallel, e.NoImages || log.NoImages
	return e
}

// observed is a log's figures for capacity.
func observed(s *record.Startup, modelID string) *capacity.Observed {
	o := &capacity.Observed{ModelID: modelID, Engine: logEngine(s)}
	take := func(at **unit.Bytes, v *int64) {
		if v != nil {
			*at = new(unit.Bytes(*v))
		}
	}
	take(&o.Total, s.TotalBytes)
	take(&o.Weights, s.WeightsBytes)
	take(&o.Activation, s.ActivationBytes)
	take(&o.NonTorch, s.NonTorchBytes)
	take(&o.CUDAGraph, s.GraphEstimateBytes)
	if !s.KVCacheByHand {
		take(&o.KVCache, s.KVCacheBytes)
	}
	return o
}

// useLog gives the request's engine the figures of its log, and the version where none was asked
// for. Of a log that is not of this model, or not of a GPU, nothing is used.
func useLog(req *Request) *record.LogCalibration {
	s := req.Observed
	out := &record.LogCalibration{File: s.File, VLLMVersion: s.Version, Model: s.Model, Transfers: []record.Transfer{}, Terms: []record.LogTerm{}}
	tell := func(en, ko string, args ...any) { out.Text = append(out.Text, say(en, ko, args...)) }
	tell("%[1]s: %[2]s", "%[1]s: %[2]s", cmp.Or(s.File, "start-up log"), describeLog(s))
	if s.Starts > 1 {
		tell("it holds %[1]d start-ups; taken is number %[2]d, from line %[3]d on", "시작 기록 %[1]d개 중 %[2]d번째(%[3]d행부터)를 사용함", s.Starts, s.Taken, s.FirstLine)
	}
	if s.Error != "" {
		tell("that start failed: %[1]s", "해당 시작은 실패함: %[1]s", s.Error)
	}
	for _, line := range s.Unread {
		tell("not read: %[1]s", "읽지 못함: %[1]s", line)
	}
	known, _, named := catalog.GuessModel(s.Model)
	e := logEngine(s)
	_, quantKnown := capacity.QuantizationBits(e.Quantization, req.Model)
	switch {
	case s.Device != "" && s.Device != "cuda":
		tell("it is of a server on %[1]s, not on a GPU: nothing is taken from it", "GPU가 아닌 %[1]s에서 동작한 서버의 로그이므로 아무것도 사용하지 않음", s.Device)
		return out
	case named && known.ID != req.Model.ID:
		tell("it is of %[1]s, not of %[2]s: nothing is taken from it", "%[2]s이(가) 아니라 %[1]s의 로그이므로 아무것도 사용하지 않음", known.ID, req.Model.ID)
		return out
	case !quantKnown:
		tell("its quantisation %[1]s is not known here: nothing is taken from it", "알 수 없는 양자화 방식 %[1]s이므로 아무것도 사용하지 않음", e.Quantization)
		return out
	case !named:
		tell("it names the model %[1]q, which is taken for %[2]s", "로그의 모델 이름 %[1]q을(를) %[2]s(으)로 간주함", s.Model, req.Model.ID)
	}
	o := observed(s, req.Model.ID)
	if gpu := logGPU(req, o); gpu != nil {
		o.GPU, out.GPU = gpu, gpu.Name
	} else if given := oneGPU(req); given != nil {
		tell("it cannot be from %[1]s, its figures do not add up on that card: only what does not depend on the card is taken",
			"%[1]s에서는 나올 수 없는 로그임(값이 그 카드와 맞지 않음): 카드에 따르지 않는 값만 사용함", given.Name)
	} else {
		tell("on which GPU it ran is not printed and cannot be told; name it as the only --gpu to have its set-up replaced as a whole",
			"어떤 GPU의 로그인지 알 수 없음; --gpu로 하나만 지정하면 해당 구성 전체를 로그 값으로 대체함")
	}
	if req.Engine.Version == "" && s.Version != "" {
		req.Engine.Version, req.Engine.V0 = s.Version, e.V0
		tell("every set-up is computed for its version, %[1]s", "모든 구성을 로그의 버전 %[1]s 기준으로 계산함", s.Version)
	}
	if req.Engine.Version == s.Version {
		req.Engine.FlashInferSampler = e.FlashInferSampler // which one is chosen depends on what is installed
	}
	req.Engine.Observed = o
	return out
}

// describeLog is a log in one line.
func describeLog(s *record.Startup) string {
	parts := []string{"vLLM " + cmp.Or(s.Version, "(version not printed)"), cmp.Or(s.Model, "model not printed")}
	if s.Quantization != "" {
		parts = append(parts, "quantization "+s.Quantization)
	}
	if s.TensorParallel != nil {
		parts = append(parts, fmt.Sprintf("TP %d", *s.TensorParallel))
	}
	if s.KVCacheTokens != nil {
		parts = append(parts, "KV cache "+unit.Tokens(*s.KVCacheTokens))
	} else if s.Blocks != nil {
		parts = append(parts, fmt.Sprintf("%s KV blocks", unit.Count(*s.Blocks)))
	}
	return strings.Join(parts, ", ")
}

// oneGPU is the only card the log can be from by what the caller says.
func oneGPU(req *Request) *catalog.GPU {
	switch {
	case req.LogGPU != nil:
		return req.LogGPU
	case len(req.GPUs) == 1:
		return &req.GPUs[0]
	}
	return nil
}

// logGPU is the card a log is from: the one given, or the only one asked for that can have printed
// it. A card cannot where it has another size than the log prints, or where the log's terms leave
// more of it than anything computed could take.
func logGPU(req *Request, o *capacity.Observed) *catalog.GPU {
	candidates := req.GPUs
	if req.LogGPU != nil {
		candidates = []catalog.GPU{*req.LogGPU}
	}
	candidates = slices.DeleteFunc(slices.Clone(candidates), func(g catalog.GPU) bool { return !couldPrint(req.Model, g, *o) })
	if len(candidates) != 1 {
		return nil
	}
	return &candidates[0]
}

// totalSlack is how far apart what torch reports for two cards of one kind was seen, in GiB: ECC,
// driver and display take that much.
const totalSlack = 0.3

func couldPrint(m catalog.Model, g catalog.GPU, o capacity.Observed) bool {
	if o.Total != nil {
		return math.Abs(o.Total.GiB()-g.MemoryTorchGiB) <= totalSlack
	}
	if o.Weights == nil || o.KVCache == nil {
		return false
	}
	o.GPU = &g
	e, card := o.Settings(m, g)
	plan, err := capacity.PlanMemory(m, card, e)
	if err != nil {
		return false
	}
	slack := unit.FromGiB(poolSlack)
	if m.Parameters.Vision > 0 {
		slack = unit.FromGiB(visionSlack)
	}
	rest := plan.Budget - *o.Weights - *o.KVCache
	return rest > 0 && rest <= plan.ActivationHigh+plan.NonTorch+plan.CUDAGraph+slack
}

// finishLog says what the log replaced, and why its figures and ours differ.
func finishLog(out *record.LogCalibration, req Request, candidates []candidate) {
	o := req.Engine.Observed
	if o == nil {
		return
	}
	type key struct{ term, rule string }
	index := map[key]int{}
	for _, c := range candidates {
		for _, t := range c.observed {
			k := key{t.Term, t.Rule}
			i, ok := index[k]
			change := int64(t.Used - t.Computed)
			if !ok {
				i = len(out.Transfers)
				index[k] = i
				out.Transfers = append(out.Transfers, record.Transfer{Term: t.Term, Rule: ruleText(t.Rule), ChangeLowBytes: change, ChangeHighBytes: change})
			}
			tr := &out.Transfers[i]
			tr.Setups++
			tr.ChangeLowBytes, tr.ChangeHighBytes = min(tr.ChangeLowBytes, change), max(tr.ChangeHighBytes, change)
		}
	}
	if len(out.Transfers) == 0 {
		out.Text = append(out.Text, say("none of the set-ups asked for shares with it what would let a figure transfer",
			"요청한 구성 중 로그의 값을 옮겨 쓸 수 있는 것이 없음"))
	}
	if o.GPU != nil {
		terms, why := compareLog(req.Observed, o, req.Model)
		out.Terms = append(out.Terms, terms...)
		out.Text = append(out.Text, why...)
	}
}

func ruleText(rule string) record.Text {
	switch rule {
	case capacity.RuleSame:
		return say("set-up of the log: what the server printed holds", "로그와 같은 구성: 서버가 출력한 값을 그대로 사용")
	case capacity.RuleRest:
		return say("set-up of the log, which does not print it: what weights and KV cache leave of the budget",
			"로그와 같은 구성이나 출력되지 않음: 가중치와 KV 캐시를 뺀 나머지")
	case capacity.RuleWeights:
		return say("same format of weights: what the files hold beyond the formula is the same share of them on any card and layout",
			"같은 가중치 형식: 공식과의 차이는 카드와 배치에 관계없이 같은 비율임")
	case capacity.RuleTensorParallel:
		return say("same TP size: CUDA context and NCCL buffers depend on how many GPUs talk, not on the model",
			"같은 TP 크기: CUDA 컨텍스트와 NCCL 버퍼는 모델이 아니라 GPU 수에 따름")
	case capacity.RuleSampler:
		return say("same sampler, which sets the peak: as many copies of max_num_seqs × vocabulary on any card and layout",
			"최대치를 정하는 샘플러가 같음: 카드와 배치에 관계없이 max_num_seqs × 어휘 크기의 같은 배수")
	}
	return say("same kernels; the forward pass sets the peak, in proportion to the formula", "같은 커널: 순전파가 최대치를 정하며 공식에 비례함")
}

// notableShare is by how much printed and computed tokens may differ without a word: twice what the
// page arithmetic strays by when the pool is given.
const notableShare = 0.03

// compareLog holds a log against what is computed for its own set-up.
func compareLog(s *record.Startup, o *capacity.Observed, m catalog.Model) ([]record.LogTerm, []record.Text) {
	e, card := o.Settings(m, *o.GPU)
	plain, err := capacity.PlanMemory(m, card, e)
	if err != nil {
		return nil, []record.Text{say("its own set-up cannot be computed: %[1]s", "로그의 구성을 계산할 수 없음: %[1]s", err.Error())}
	}
	e.Observed = o
	given, err := capacity.PlanMemory(m, card, e)
	if err != nil {
		return nil, nil // was computed just now
	}
	var terms []record.LogTerm
	add := func(term string, printed *unit.Bytes, computed unit.Bytes) {
		if printed != nil {
			terms = append(terms, record.LogTerm{Term: term, Printed: float64(*printed), Computed: float64(computed), Unit: "bytes"})
		}
	}
	add(capacity.TermWeights, o.Weights, plain.Weights)
	activation := o.Activation
	for _, t := range given.Observed {
		if t.Rule == capacity.RuleRest {
			activation = &t.Used
		}
	}
	add(capacity.TermActivation, activation, plain.Activation)
	if activation != nil && o.Activation == nil {
		terms[len(terms)-1].ByRest = true
	}
	add(capacity.TermNonTorch, o.NonTorch, plain.NonTorch)
	add(capacity.TermCUDAGraph, o.CUDAGraph, plain.CUDAGraph)
	add(capacity.TermKVCache, o.KVCache, plain.KVCache)
	printed := printedTokens(s)
	if printed == 0 || plain.KVCacheTokens == 0 {
		return terms, nil
	}
	why := whyTokens(s, terms, printed, plain.KVCacheTokens, given.KVCacheTokens, len(plain.Groups) > 1)
	terms = append(terms, record.LogTerm{Term: "kv_cache_tokens", Printed: float64(printed), Computed: float64(plain.KVCacheTokens), Unit: "tokens"})
	return terms, why
}

// printedTokens is the log's KV cache in tokens; V0 prints blocks.
func printedTokens(s *record.Startup) int {
	if s.KVCacheTokens != nil {
		return *s.KVCacheTokens
	}
	if s.Blocks == nil {
		return 0
	}
	block := 16 // the default
	if s.BlockTokens != nil {
		block = *s.BlockTokens
	}
	return *s.Blocks * block
}

// whyTokens answers why the log prints so many tokens and the arithmetic another number.
func whyTokens(s *record.Startup, terms []record.LogTerm, printed, computed, given int, hybrid bool) []record.Text {
	share := float64(computed)/float64(printed) - 1
	if math.Abs(share) <= notableShare {
		return []record.Text{say("it prints a KV cache of %[1]s, computed are %[2]s (%+.1[3]f %%)", "로그의 KV 캐시 %[1]s, 계산값 %[2]s (%+.1[3]f%%)",
			unit.Tokens(printed), unit.Count(computed), 100*share)}
	}
	out := []record.Text{say("it prints a KV cache of %[1]s, computed are %[2]s (%+.1[3]f %%)", "로그의 KV 캐시 %[1]s, 계산값 %[2]s (%+.1[3]f%%)",
		unit.Tokens(printed), unit.Count(computed), 100*share)}
	var en, ko []string
	byWeight := slices.SortedFunc(slices.Values(terms), func(a, b record.LogTerm) int {
		return cmp.Compare(math.Abs(b.Printed-b.Computed), math.Abs(a.Printed-a.Computed))
	})
	for _, t := range byWeight {
		if t.Term == capacity.TermKVCache || math.Abs(t.Printed-t.Computed) < 0.05*float64(unit.GiB) {
			continue
		}
		name := termName(t.Term)
		en = append(en, fmt.Sprintf("%s %s against %s computed", name.En, gib(unit.Bytes(t.Printed)), gib(unit.Bytes(t.Computed))))
		ko = append(ko, fmt.Sprintf("%s %s (계산값 %s)", name.Ko, gib(unit.Bytes(t.Printed)), gib(unit.Bytes(t.Computed))))
	}
	if len(en) > 0 {
		out = append(out, record.Text{En: "the terms that differ: " + strings.Join(en, "; "), Ko: "차이가 나는 항목: " + strings.Join(ko, "; ")})
	}
	if s.KVCacheBytes != nil {
		left := float64(given)/float64(printed) - 1
		if math.Abs(left) <= notableShare {
			out = append(out, say("of the pool it prints, %[1]s, the architecture gives %[2]s too: the difference is the pool, not the model",
				"로그의 KV 풀 %[1]s로 계산하면 %[2]s로 일치함: 차이는 모델이 아니라 풀 크기에 있음", gib(unit.Bytes(*s.KVCacheBytes)), unit.Tokens(given)))
		} else {
			out = append(out, say("of the pool it prints, %[1]s, the architecture gives %[2]s (%+.1[3]f %%): a token takes other memory there, by speculative decoding, a KV connector, or another checkpoint",
				"로그의 KV 풀 %[1]s로 계산하면 %[2]s (%+.1[3]f%%): speculative decoding, KV 커넥터 또는 다른 체크포인트로 토큰당 메모리가 다름",
				gib(unit.Bytes(*s.KVCacheBytes)), unit.Tokens(given), 100*left))
		}
	}
	return append(out, tokensMeaning(s, hybrid))
}

// tokensMeaning says what a version counts when it prints the size of its KV cache.
func tokensMeaning(s *record.Startup, hybrid bool) record.Text {
	switch {
	case s.KVCacheTokens == nil:
		return say("this version prints blocks of 16 tokens", "이 버전은 16토큰 단위의 블록 수를 출력함")
	case !hybrid:
		return say("what it counts is blocks × 16", "출력값의 정의: 블록 수 × 16")
	case capacity.PrintsConcurrencyTokens(s.Version):
		return say("what it counts from 0.21 on is maximum concurrency × max_model_len, not blocks × 16", "0.21부터 출력값의 정의: 최대 동시 처리 수 × max_model_len (블록 수 × 16이 아님)")
	}
	return say("what it counts before 0.21 is blocks ÷ groups of layers × 16, which understates a model with sliding layers",
		"0.21 이전 출력값의 정의: 블록 수 ÷ 레이어 그룹 수 × 16 (슬라이딩 레이어가 있는 모델은 과소 표시됨)")
}

func termName(term string) record.Text {
	switch term {
	case capacity.TermWeights:
		return say("weights", "가중치")
	case capacity.TermActivation:
		return say("activation", "활성화")
	case capacity.TermNonTorch:
		return say("non-torch", "non-torch")
	case capacity.TermCUDAGraph:
		return say("CUDA graphs", "CUDA 그래프")
	case capacity.TermTotal:
		return say("total memory", "전체 메모리")
	}
	return say("KV cache", "KV 캐시")
}
