package main

import (
	_ "embed" // vllm_startups.csv
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/unit"
)

// startupsCSV is published vLLM start-ups, one log a row.
//
//go:embed data/vllm_startups.csv
var startupsCSV string

// Figures of a start-up that are predicted.
const (
	figureWeights = "weights"
	figurePool    = "KV pool"
	figureTokens  = "KV tokens"
	// figurePoolTokens is the tokens that the printed pool should hold: layout and page arithmetic alone.
	figurePoolTokens = "KV tokens of the printed pool"
)

var figures = []string{figureWeights, figurePool, figureTokens, figurePoolTokens}

// unusableStartups are rows that no model of memory can be held against.
var unusableStartups = map[string]string{
	"c025": "17.7 GiB besides weights and KV that the log does not explain",
	"c048": "less than nothing besides weights and KV: utilisation or tensor parallel size is wrong",
	"c198": "less than nothing besides weights and KV: utilisation or tensor parallel size is wrong",
	"c156": "an activation peak of eight times what this engine printed elsewhere",
	"c181": "speculative decoding, whose states are not modelled",
	"c192": "bytes per token fit neither tensor parallel size 1 nor 2",
	"c235": "refused because another instance was running, not for lack of memory",
}

// startupGuesses is why a row may be off by more than farOffMemory.
var startupGuesses = map[string]string{
	"c001": "V0 profiles the image encoder at the 50 images a request may hold; only one is modelled",
	"c003": "an export with groups of 32 that keeps the head of its own; its folder's headers would say so",
	"c010": "V0 profiles the image encoder at the 5 images a request may hold; only one is modelled",
	"c063": "a KV connector holds buffers of its own",
	"c071": "the log does not say which sampler runs; FlashInfer's would leave what it printed",
	"c100": "a dynamic 4-bit export, which keeps some layers in 16 bits, and LoRA buffers",
	"c141": "as c139 and c140, whose pool is larger: the step seems to hold 8192 tokens, not the default of 2048",
	"c171": "this NVFP4 export keeps more layers in 16 bits; its folder's headers would say which",
	"c172": "this NVFP4 export keeps more layers in 16 bits; its folder's headers would say which",
	"c027": "V1 of 0.8 also counted memory that was not its own; V0 on the same host agrees with the plan",
	"c028": "0.2 GiB of a pool of 0.7; it then ran out while capturing CUDA graphs, of which the plan warns",
	"c037": "trust C: neither the variant nor the utilisation is printed",
}

// farOffMemory is the error from which a start-up is listed by name.
const farOffMemory = 0.10

// builtLike maps parts of a start-up's model name to a model that is built like it.
var builtLike = []struct{ part, id string }{
	{"medgemma-27b", "google/gemma-3-27b-it"},
	{"R1-Distill-Qwen-32B", "Qwen/Qwen2.5-32B-Instruct"},
	{"Qwen2-7B", "Qwen/Qwen2.5-7B-Instruct"},
	{"Qwen2.5-0.5B-Instruct-AWQ", "Qwen2.5-0.5B-Instruct"},
	{"qwen2.5-3b-instruct", "Qwen2.5-3B-Instruct"},
	{"Meta-Llama-3-70B", "meta-llama/Llama-3.1-70B-Instruct"},
	{"Llama-3.1-70B", "meta-llama/Llama-3.1-70B-Instruct"},
	{"Meta-Llama-3-8B", "meta-llama/Llama-3.1-8B-Instruct"},
	{"Qwen3-Coder-30B-A3B", "Qwen/Qwen3-30B-A3B"},
	{"Qwen3.8-27B", "Qwen/Qwen3.6-27B"},
	{"functionary-small", "mistralai/Mistral-7B-Instruct-v0.3"},
	{"Mistral-7B", "mistralai/Mistral-7B-Instruct-v0.3"},
	{"DeepSeek-Coder-V2-Lite", "deepseek-ai/DeepSeek-V2-Lite"},
	{"glm-4-9b-chat", "zai-org/GLM-4-9B-0414"},
}

func startupModel(name string) (catalog.Model, error) {
	for _, b := range builtLike {
		if strings.Contains(name, b.part) {
			return modelNamed(b.id)
		}
	}
	return modelNamed(name)
}

// startupCards maps how posters write a card to its slug, where neither the catalogue nor
// cardSlugs has it.
var startupCards = map[string]string{
	"L4 (inferred by author)": "l4", "A100-80GB": "a100-80gb", "A100-40GB": "a100-40gb", "A100 40GB (Colab)": "a100-40gb",
	"A100 80GB (implied)": "a100-80gb", "A800 80GB": "a100-80gb", "H100 80GB": "h100", "RTX A6000 48GB": "a6000", "L40 48GB": "l40",
	"A100 80GB PCIe": "a100-80gb", "L40S/A40 class (44.55 GiB)": "l40s", "24GB Ampere (24564 MiB, RTX A5000 class)": "a5000",
	"RTX 4090 48GB (modified; 47.37 GiB)": "rtx-4090",
}

var (
	seqsNote    = regexp.MustCompile(`max-num-seqs (\d+)`)
	batchedNote = regexp.MustCompile(`max-num-batched-tokens (\d+)`)
)

// noted is a setting that a row mentions in its notes, 0 where it does not.
func (r row) noted(re *regexp.Regexp) int {
	if m := re.FindStringSubmatch(r["notes"]); m != nil {
		n, _ := strconv.Atoi(m[1]) // digits only, by the pattern
		return n
	}
	return 0
}

// startupOf is the set-up a row describes. gpu has no name where the row names no card of the
// catalogue: weights alone can be predicted then.
func startupOf(r row) (m measurement, skip string) {
	m.row = r
	if why, bad := unusableStartups[r["case_id"]]; bad {
		return m, why
	}
	var err error
	if m.model, err = startupModel(r["model_id"]); err != nil {
		return m, "model " + r["model_id"] + ": " + err.Error()
	}
	name := r["gpu_name"]
	if slug, ok := startupCards[name]; ok {
		name = slug
	}
	if g, err := cardNamed(name); err == nil {
		m.gpu = g
	}
	if total, ok := r.number("total_gpu_memory_gib"); ok {
		m.gpu.MemoryTorchGiB = total
	}
	utilization, _ := r.number("gpu_memory_utilization") // blank is the version's default
	m.engine = capacity.Engine{
		Version: startupVersion(r), DType: r["dtype"], Quantization: strings.TrimSuffix(r["quantization"], "?"), KVCacheDType: r["kv_cache_dtype"],
		TensorParallel: r.int("tensor_parallel"), PipelineParallel: r.int("pipeline_parallel"), MaxModelLen: r.int("max_model_len"),
		MaxNumSeqs: r.noted(seqsNote), MaxNumBatchedTokens: r.noted(batchedNote), GPUMemoryUtilization: utilization,
		EnforceEager:      strings.Contains(r["notes"], "enforce-eager"),
		FlashInferSampler: strings.Contains(r["notes"], "FlashInfer sampler in use"),
		ExpertParallel:    strings.Contains(r["notes"], "enable-expert-parallel"),
		V0:                r["engine"] == "V0",
	}
	return m, ""
}

// startupVersion is the row's version. Where the form of the log tells the engine only, one of its
// time stands in, and for models that came later one that knows them.
func startupVersion(r row) string {
	switch {
	case r["vllm_version"] != "":
		return r["vllm_version"]
	case strings.Contains(r["model_id"], "Qwen3.8"):
		return "0.28.0"
	case strings.Contains(r["model_id"], "Qwen3.6"):
		return "0.24.0"
	case r["engine"] == "V0" && r["non_torch_gib"] == "":
		return "0.6.3" // from 0.7 V0 prints where the memory went
	case r["engine"] == "V0":
		return "0.7.3"
	}
	return "0.12.0"
}

// verdict is whether a start-up should have had memory enough, and whether it had.
type verdict struct {
	measurement
	predicted, printed bool
	reason             string
}

// startups plans the memory of every row.
func startups() (rs []residual, verdicts []verdict, skipped map[string]string, err error) {
	rows, err := readRows(startupsCSV)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("vllm_startups.csv: %w", err)
	}
	skipped = map[string]string{}
	for _, r := range rows {
		m, skip := startupOf(r)
		if skip != "" {
			skipped[r["case_id"]] = skip
			continue
		}
		mem, err := capacity.PlanMemory(m.model, m.gpu, m.engine)
		if err != nil {
			skipped[r["case_id"]] = err.Error()
			continue
		}
		add := func(figure, column string, predicted float64) {
			if printed, ok := r.number(column); ok {
				rs = append(rs, residual{measurement: m, metric: figure, measured: printed, predicted: predicted})
			}
		}
		add(figureWeights, "weights_gib", mem.Weights.GiB())
		if m.gpu.Name == "" {
			continue
		}
		add(figurePool, "kv_cache_gib", mem.KVCache.GiB())
		add(figureTokens, "kv_tokens", float64(mem.KVCacheTokens))
		if pool, ok := r.number("kv_cache_gib"); ok {
			tokens, err := tokensOfPool(m, unit.FromGiB(pool))
			if err != nil {
				return nil, nil, nil, err
			}
			add(figurePoolTokens, "kv_tokens", tokens)
		}
		if r["fits"] != "" && m.engine.MaxModelLen > 0 {
			verdicts = append(verdicts, verdict{m, mem.Fits, r["fits"] == "yes", mem.Reason})
		}
	}
	return rs, verdicts, skipped, nil
}

// tokensOfPool is what the set-up would print had it that pool.
func tokensOfPool(m measurement, pool unit.Bytes) (float64, error) {
	e := m.engine
	e.Observed = &capacity.Observed{ModelID: m.model.ID, GPU: &m.gpu, Engine: m.engine, KVCache: &pool}
	mem, err := capacity.PlanMemory(m.model, m.gpu, e)
	return float64(mem.KVCacheTokens), err
}

// ofFigure are the residuals of one figure.
func ofFigure(rs []residual, figure string) []residual {
	return slices.DeleteFunc(slices.Clone(rs), func(r residual) bool { return r.metric != figure })
}

// trust is how sure a row is, by whoever read its log: A complete, B with assumptions, C doubtful.
func (m measurement) trust() string {
	for _, t := range []string{"A", "B", "C"} {
		if strings.Contains(m.row["notes"], "trust "+t) {
			return t
		}
	}
	return "C"
}

// layersClass says which kinds of layers decide a model's cache.
func layersClass(m catalog.Model) string {
	switch {
	case m.Linear != nil:
		return "linear attention beside full"
	case m.MLA != nil:
		return "latent attention (MLA)"
	case m.LayersOf(catalog.SlidingAttention).Count > 0:
		return "sliding windows beside full"
	}
	return "full attention"
}

// weightsClass says how a start-up's weights are stored.
func weightsClass(m measurement) string {
	switch bits, _ := capacity.QuantizationBits(m.engine.Quantization, m.model); {
	case bits > 12:
		return "16-bit weights"
	case bits > 6:
		return "8-bit weights"
	}
	return "4-bit weights"
}

// memoryTables is the page's part on memory.
func memoryTables() (string, error) {
	rs, verdicts, skipped, err := startups()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("## Memory")
	p("")
	p("Start-ups as published logs print them, from vLLM 0.4 to 0.28. Trust A rows name every setting the plan needs, B rows leave one to assume, C rows")
	p("are doubtful. *KV tokens of the printed pool* takes the pool from the log: what is left is layout and pages.")
	p("")
	for _, t := range []struct {
		title   string
		figures []string
		class   func(residual) string
	}{
		{"all rows", figures, func(residual) string { return "all" }},
		{"by trust", figures, func(r residual) string { return "trust " + r.trust() }},
		{"by engine", figures, func(r residual) string { return orUnknown(r.row["engine"]) }},
		{"by layers", figures, func(r residual) string { return layersClass(r.model) }},
		{"by weights", figures, func(r residual) string { return weightsClass(r.measurement) }},
		{"by tensor parallel size", figures, func(r residual) string { return fmt.Sprintf("TP %d", max(r.engine.TensorParallel, 1)) }},
		{"by card", []string{figurePool, figureTokens}, func(r residual) string { return r.gpu.Name }},
	} {
		p("### Memory %s", t.title)
		p("")
		p("| | figure | rows | median error | 90 %% within | within 10 %% | bias |")
		p("|---|---|---|---|---|---|---|")
		for _, figure := range t.figures {
			for _, g := range grouped(ofFigure(rs, figure), t.class) {
				e := errorsOf(g.rs)
				p("| %s | %s | %d | %s | %s | %s | %s |", g.name, figure, e.rows, percent(e.median), percent(e.p90), percent(e.within10), signed(e.bias))
			}
		}
		p("")
	}
	right := 0
	for _, v := range verdicts {
		if v.predicted == v.printed {
			right++
		}
	}
	p("Whether it fits: %d of %d start-ups judged as they went.", right, len(verdicts))
	p("")
	for _, v := range verdicts {
		if v.predicted != v.printed {
			p("- %s, %s: it did%s, the plan says otherwise. Best guess: %s.", v.row["case_id"], short(v.row["model_id"]), map[bool]string{true: "", false: " not"}[v.printed],
				orUnknown(startupGuesses[v.row["case_id"]]))
		}
	}
	p("### Start-ups more than %s off", percent(farOffMemory))
	p("")
	p("| row | set-up | figure | printed | predicted | best guess |")
	p("|---|---|---|---|---|---|")
	for _, figure := range figures {
		for _, r := range ofFigure(rs, figure) {
			if x := r.relative(); x > farOffMemory || x < -farOffMemory {
				p("| %s | %s, %s × %d, vLLM %s | %s | %s | %s | %s |", r.row["case_id"], short(r.row["model_id"]), orUnknown(r.row["gpu_name"]), max(r.row.int("gpu_count"), 1),
					orUnknown(r.row["vllm_version"]), figure, plainFigure(r.measured), plainFigure(r.predicted), orUnknown(startupGuesses[r.row["case_id"]]))
			}
		}
	}
	p("")
	p("### Start-ups that are not scored")
	p("")
	p("| row | reason |")
	p("|---|---|")
	for _, id := range slices.Sorted(maps.Keys(skipped)) {
		p("| %s | %s |", id, skipped[id])
	}
	return b.String(), nil
}

// plainFigure prints GiB with two decimals and tokens whole.
func plainFigure(x float64) string {
	if x < 1000 {
		return fmt.Sprintf("%.2f", x)
	}
	return unit.Count(int(x))
}

func orUnknown(s string) string {
	if s == "" {
		return "not known"
	}
	return s
}
