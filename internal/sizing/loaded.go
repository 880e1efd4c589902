package sizing

import (
	"slices"
	"strconv"
	"strings"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
	"bench/internal/unit"
)

// Kinds of evidence about what is loaded.
const (
	evidenceName    = "model_name"
	evidenceWeights = "weights"      // would they fit the card?
	evidencePool    = "kv_pool"      // what the pool leaves for weights
	evidenceDecode  = "decode_speed" // how fast they would have to be read
	evidenceMemory  = "gpu_memory"
)

// width is a class of weights that arithmetic can tell apart.
type width struct {
	bits   int
	method string // the commonest of its class
}

func widths() []width { return []width{{16, ""}, {8, "fp8"}, {4, "w4a16"}} }

// widthOf is the class a method belongs to, 0 for one that is not known.
func widthOf(method string, m catalog.Model) int {
	bits, ok := capacity.QuantizationBits(method, m)
	switch {
	case !ok:
		return 0
	case bits > 12:
		return 16
	case bits > 6:
		return 8
	}
	return 4
}

// impossibleShare is the share of a card's peak bandwidth no decode step has been seen to exceed.
const impossibleShare = 0.97

// guess collects conclusions and the widths they rule out.
type guess struct {
	m      catalog.Model
	gpu    catalog.GPU
	engine capacity.Engine // of the server, as far as it tells
	labels map[string]string
	out    []record.Conclusion
	ruled  []int // widths that do not agree with the evidence
	// Of these, the ones that weights on the card, or the time to read them, make impossible. Each
	// has one way out: weights kept by the CPU, or several tokens a step.
	byMemory, bySpeed []int
}

func (g *guess) conclude(evidence, points string, s record.Strength, text record.Text) {
	g.out = append(g.out, record.Conclusion{Evidence: evidence, Quantization: points, Strength: s, Text: text})
}

func (g *guess) rule(bits int) { g.ruled = append(g.ruled, bits) }

func (g *guess) left() []width {
	return slices.DeleteFunc(widths(), func(w width) bool { return slices.Contains(g.ruled, w.bits) })
}

// GuessLoaded says what is probably loaded. vLLM serves no field for it, so it is told from names
// (a hint), the size of the KV pool, weights that could not be on the card, and a decode faster
// than they could be read.
func GuessLoaded(ev Evidence) record.Loaded {
	out := record.Loaded{Quantization: "unknown", Strength: record.StrengthNone, Conclusions: []record.Conclusion{}}
	if ev.Server == nil {
		out.Summary = say("no server answered, so nothing is known of what is loaded", "응답한 서버가 없어 무엇이 로드되었는지 알 수 없음")
		return out
	}
	m, quant, known := guessModel(*ev.Server)
	if !known && ev.Model != nil {
		m, known = *ev.Model, true
	}
	g := &guess{m: m, labels: ev.Server.CacheConfig, out: []record.Conclusion{}}
	g.name(quant, known)
	if !known {
		out.Conclusions = g.out
		out.Summary = say("the model is not in the catalogue, so arithmetic says nothing about it; name it with --model-config",
			"카탈로그에 없는 모델이라 계산으로 판단할 수 없음; --model-config로 지정 필요")
		if quant != "" {
			out.Quantization, out.Strength, out.Quantized = quant, record.StrengthHint, new(true)
		}
		return out
	}
	out.Model = m.ID
	if gpu := cardOf(ev); gpu != nil && m.Quantization == nil {
		g.gpu, g.engine = *gpu, serverEngine(ev)
		g.weights()
		g.pool()
		g.decode(ev.TPOTMS)
	}
	g.memory(ev.GPUs)
	out.Conclusions = g.out
	g.settle(&out, quant)
	return out
}

// cardOf is the card the server runs on, from the driver if it can be read.
func cardOf(ev Evidence) *catalog.GPU {
	for _, info := range ev.GPUs {
		if g, err := catalog.FindGPU(info.Name); err == nil {
			return &g
		}
	}
	return ev.GPU
}

// serverEngine is what the server tells of its settings.
func serverEngine(ev Evidence) capacity.Engine {
	e := capacity.Engine{
		Version:        ev.Server.EngineVersion,
		MaxModelLen:    ev.Server.MaxModelLen,
		KVCacheDType:   ev.Server.CacheConfig["cache_dtype"],
		TensorParallel: max(ev.TensorParallel, 1),
	}
	if u, err := strconv.ParseFloat(ev.Server.CacheConfig["gpu_memory_utilization"], 64); err == nil && u > 0 && u <= 1 {
		e.GPUMemoryUtilization = u
	}
	if ev.TensorParallel == 0 {
		// A started vLLM holds most of every card it uses.
		busy := 0
		for _, info := range ev.GPUs {
			if info.MemoryUsedMiB != nil && info.MemoryTotalMiB != nil && *info.MemoryUsedMiB > *info.MemoryTotalMiB/2 {
				busy++
			}
		}
		e.TensorParallel = max(busy, 1)
	}
	return e
}

// plan is the memory of the server's engine with weights of that width; ok is false where vLLM
// would not start it whatever the memory.
func (g *guess) plan(method string) (capacity.Memory, bool) {
	e := g.engine
	e.Quantization = method
	if len(capacity.Refusals(g.m, g.gpu, e)) > 0 {
		return capacity.Memory{}, false
	}
	mem, err := capacity.PlanMemory(g.m, g.gpu, e)
	return mem, err == nil
}

// name is what the model's name says: convention, never proof. A checkpoint published quantised
// has no other form.
func (g *guess) name(quant string, known bool) {
	switch {
	case known && g.m.Quantization != nil:
		g.conclude(evidenceName, g.m.Quantization.Method, record.StrengthLikely, say(
			"%[1]s is published quantised (%[2]s)", "%[1]s은(는) 양자화된 형태(%[2]s)로 공개된 모델임", g.m.ID, g.m.Quantization.Method))
	case quant != "":
		g.conclude(evidenceName, quant, record.StrengthHint, say(
			"the model's name says %[1]s", "모델 이름이 %[1]s 양자화를 가리킴", quant))
	case known:
		g.conclude(evidenceName, "none", record.StrengthHint, say(
			"the model's name bears no mark of quantisation", "모델 이름에 양자화 표시가 없음"))
	}
}

// offloadExcluded says whether the server tells that no weights lie in the CPU's memory.
func (g *guess) offloadExcluded() bool {
	gb, err := strconv.ParseFloat(g.labels["cpu_offload_gb"], 64)
	return err == nil && gb == 0
}

// impossible says whether no reading is left for weights of that width. Weights kept by the CPU
// would be slow and speculation frees no memory, so memory and speed close each other's way out.
func (g *guess) impossible(bits int) bool {
	return slices.Contains(g.byMemory, bits) && (g.offloadExcluded() || slices.Contains(g.bySpeed, bits))
}

// weights rules out what could not have started on the card.
func (g *guess) weights() {
	for _, w := range widths() {
		mem, ok := g.plan(w.method)
		if !ok || mem.Fits {
			continue
		}
		g.rule(w.bits)
		strength := record.StrengthLikely
		if mem.Weights >= mem.Budget {
			g.byMemory = append(g.byMemory, w.bits)
			if g.offloadExcluded() {
				strength = record.StrengthProven
			}
		}
		if w.bits == 16 {
			g.conclude(evidenceWeights, "quantized", strength, say(
				"the server runs, but %[1]v of 16-bit weights leave no KV pool in %[2]v of %[3]s (unless --cpu-offload-gb moves some off the card)",
				"서버가 동작 중이지만 16비트 가중치 %[1]v로는 %[3]s의 %[2]v에 KV 캐시 공간이 남지 않음 (--cpu-offload-gb로 일부를 내리지 않았다면)",
				mem.Weights, mem.Budget, g.gpu.Name))
		}
	}
}

// Allowance for what the memory plan cannot know of somebody else's server, in GiB.
const (
	poolSlack   = 1.0
	visionSlack = 3.0 // an image encoder profiled at its maximum
)

// pool compares the KV pool the server tells with what weights of each width would have left.
func (g *guess) pool() {
	if set := g.labels["num_gpu_blocks_override"] + g.labels["kv_cache_memory_bytes"]; set != "" && set != "None" && set != "NoneNone" {
		return // the pool was set by hand
	}
	blocks, err := strconv.ParseInt(g.labels["num_gpu_blocks"], 10, 64)
	mem, ok := g.plan(g.anyMethod())
	if err != nil || blocks < 1 || !ok || g.labels["gpu_memory_utilization"] == "" {
		return
	}
	blockBytes := mem.BlockBytes
	if size, err := strconv.ParseInt(g.labels["block_size"], 10, 64); err == nil && g.m.Linear == nil {
		blockBytes = blockBytes * unit.Bytes(size) / unit.Bytes(mem.BlockTokens)
	}
	pool := unit.Bytes(blocks) * blockBytes
	slack := poolSlack
	if g.m.Parameters.Vision > 0 {
		slack = visionSlack
	}
	// Activations may be anything down to nothing: a low max_num_seqs is not served.
	high := mem.Budget - pool - mem.NonTorch/2
	low := mem.Budget - pool - mem.NonTorch - mem.CUDAGraph - mem.ActivationHigh - unit.FromGiB(slack)
	var fitting []width
	var others []int
	for _, w := range widths() {
		plan, ok := g.plan(w.method)
		if ok && plan.Weights+pool > plan.Total {
			g.byMemory = append(g.byMemory, w.bits)
		}
		if ok && float64(plan.Weights)*0.95 <= float64(high) && float64(plan.Weights)*1.10 >= float64(low) {
			fitting = append(fitting, w)
		} else {
			others = append(others, w.bits)
		}
	}
	if len(fitting) == 0 {
		g.conclude(evidencePool, "", record.StrengthNone, say(
			"a KV pool of %[1]v in a budget of %[2]v fits no quantisation tried: card, utilisation or model is another one",
			"사용 한도 %[2]v에서 KV 캐시 %[1]v는 시도한 어떤 양자화와도 맞지 않음: 카드, 사용 비율 또는 모델이 다름", pool, mem.Budget))
		return
	}
	for _, bits := range others {
		g.rule(bits)
	}
	points, strength := "", record.StrengthNone
	switch {
	case len(fitting) == 1:
		points, strength = methodName(fitting[0].method), record.StrengthLikely
	case fitting[0].bits != 16:
		points, strength = "quantized", record.StrengthLikely
	}
	g.conclude(evidencePool, points, strength, say(
		"a KV pool of %[1]v in a budget of %[2]v leaves %[3]v to %[4]v for weights: %[5]s",
		"사용 한도 %[2]v 중 KV 캐시가 %[1]v이므로 가중치는 %[3]v~%[4]v: %[5]s",
		pool, mem.Budget, max(low, 0), high, titles(fitting)))
}

// anyMethod is a width the card can load, for what does not depend on the weights.
func (g *guess) anyMethod() string {
	for _, w := range widths() {
		if _, ok := g.plan(w.method); ok {
			return w.method
		}
	}
	return ""
}

// decode rules out weights that could not be read in the time of a token.
func (g *guess) decode(tpotMS *float64) {
	if tpotMS == nil || *tpotMS <= 0 {
		return
	}
	head := g.m.Parameters.Head
	if head == 0 {
		head = g.m.Parameters.Embedding // tied
	}
	bandwidth := g.gpu.BandwidthGBs * 1e9 * float64(g.engine.TensorParallel)
	share := func(bits float64) float64 {
		read := float64(g.m.ActiveParameters())*bits/8 + float64(head)*2
		return read / (*tpotMS / 1e3) / bandwidth
	}
	if share(16) <= impossibleShare {
		g.conclude(evidenceDecode, "", record.StrengthNone, say(
			"%.1[1]f ms per token would read 16-bit weights at %[2]s of the card's bandwidth: possible, so it proves nothing",
			"토큰당 %.1[1]fms는 16비트 가중치를 대역폭의 %[2]s로 읽는 속도: 가능하므로 판단 근거가 되지 않음", *tpotMS, percent(share(16))))
		return
	}
	points := "quantized"
	for _, bits := range []int{16, 8} {
		if share(float64(bits)) > impossibleShare {
			g.rule(bits)
			g.bySpeed = append(g.bySpeed, bits)
		}
	}
	if slices.Contains(g.bySpeed, 8) {
		points = "w4a16"
	}
	g.conclude(evidenceDecode, points, record.StrengthLikely, say(
		"%.1[1]f ms per token would read 16-bit weights at %[2]s of the card's bandwidth, which is impossible (unless speculative decoding makes several tokens a step)",
		"토큰당 %.1[1]fms는 16비트 가중치를 대역폭의 %[2]s로 읽어야 하는 속도로 불가능함 (speculative decoding으로 한 스텝에 여러 토큰을 만들지 않았다면)",
		*tpotMS, percent(share(16))))
}

// memory says why the card's used memory does not answer the question.
func (g *guess) memory(gpus []record.GPUInfo) {
	for _, info := range gpus {
		if info.MemoryUsedMiB == nil || info.MemoryTotalMiB == nil {
			continue
		}
		g.conclude(evidenceMemory, "", record.StrengthNone, say(
			"GPU %[1]d uses %[2]s of %[3]s MiB; vLLM fills a card up to gpu_memory_utilization whatever is loaded, so this does not tell",
			"GPU %[1]d: %[3]s MiB 중 %[2]s MiB 사용; vLLM은 무엇을 로드하든 gpu_memory_utilization까지 채우므로 이 값으로는 알 수 없음",
			info.Index, unit.Count(int(*info.MemoryUsedMiB)), unit.Count(int(*info.MemoryTotalMiB))))
	}
}

// settle draws the one conclusion: arithmetic first, names only where it leaves a choice.
func (g *guess) settle(out *record.Loaded, quant string) {
	if own := g.m.Quantization; own != nil {
		out.Quantization, out.Quantized, out.Strength = own.Method, new(true), record.StrengthLikely
		out.Summary = say("%[1]s as published, quantised with %[2]s", "공개된 그대로의 %[1]s (%[2]s 양자화)", g.m.ID, own.Method)
		return
	}
	left := g.left()
	named := func(w width) bool { return w.bits == widthOf(quant, g.m) }
	if !slices.ContainsFunc(left, func(w width) bool { return w.bits == 16 }) && len(g.ruled) > 0 {
		out.Quantized = new(true)
	}
	switch {
	case len(left) == 0:
		out.Summary = say("the evidence contradicts itself: %[1]s on this card fits no quantisation tried", "근거가 서로 모순됨: 이 카드의 %[1]s은(는) 시도한 어떤 양자화와도 맞지 않음", g.m.ID)
	case len(left) == 1:
		out.Quantization, out.Strength = methodName(left[0].method), record.StrengthLikely
		out.Quantized = new(left[0].bits != 16)
		if quant != "" && named(left[0]) {
			out.Quantization = quant
		}
		out.Summary = say("%[1]s in %[2]s: no other width agrees with the evidence", "%[1]s, %[2]s: 다른 정밀도는 근거와 맞지 않음", g.m.ID, methodTitle(out.Quantization))
	case quant != "" && slices.ContainsFunc(left, named):
		out.Quantization, out.Strength, out.Quantized = quant, record.StrengthHint, new(true)
		out.Summary = say("%[1]s in %[2]s by its name, which nothing contradicts", "이름으로 보아 %[1]s, %[2]s이며 이에 반하는 근거 없음", g.m.ID, quant)
	case out.Quantized != nil:
		out.Quantization, out.Strength = left[len(left)-1].method, record.StrengthHint
		out.Summary = say("%[1]s, quantised (16-bit weights are ruled out); most likely %[2]s, the commonest form", "%[1]s, 양자화됨 (16비트 가중치는 불가능); 가장 흔한 형태인 %[2]s일 가능성이 높음", g.m.ID, methodTitle(out.Quantization))
	default:
		out.Summary = say("%[1]s; whether it is quantised cannot be told from outside", "%[1]s; 양자화 여부는 외부에서 알 수 없음", g.m.ID)
	}
	if len(left) == 1 && left[0].bits == 4 && g.impossible(16) && g.impossible(8) {
		out.Strength = record.StrengthProven
	}
}

// titles names widths as a reader knows them.
func titles(ws []width) string {
	var names []string
	for _, w := range ws {
		names = append(names, methodTitle(w.method))
	}
	return strings.Join(names, ", ")
}
