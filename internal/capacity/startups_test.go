package capacity

import (
	"encoding/csv"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bench/internal/catalog"
	"bench/internal/unit"
)

// startup is one published vLLM start-up: its set-up, and what its log printed. Nil: not printed.
type startup struct {
	id, version, model, notes string
	gpu                       catalog.GPU
	engine                    Engine
	weightsGiB, kvGiB         *float64
	kvTokens                  *float64
	fits                      string
}

// unusableStartups are rows that no model of memory can be held against.
var unusableStartups = map[string]string{
	"c025": "17.7 GiB besides weights and KV that nothing explains",
	"c048": "negative overhead: utilisation or tensor parallel size is wrong",
	"c198": "negative overhead: utilisation or tensor parallel size is wrong",
	"c156": "anomalous activation",
	"c181": "a request costs 64 % more than the architecture: speculation",
	"c192": "bytes per token fit neither tensor parallel size 1 nor 2",
	"c235": "refused because another instance was running, not for lack of memory",
}

// sameBuild maps checkpoints that are built like a model of the catalogue under another name.
var sameBuild = []struct{ pattern, id string }{
	{"medgemma-27b", "google/gemma-3-27b-it"},
	{"R1-Distill-Qwen-32B", "Qwen/Qwen2.5-32B-Instruct"},
	{"Qwen2-7B", "Qwen/Qwen2.5-7B-Instruct"},
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

func modelOfStartup(name string) (catalog.Model, bool) {
	for _, s := range sameBuild {
		if strings.Contains(name, s.pattern) {
			m, err := catalog.FindModel(s.id)
			return m, err == nil
		}
	}
	m, _, ok := catalog.GuessModel(name)
	return m, ok
}

// gpuNames maps how posters write a card's name to its slug, where that is no alias.
var gpuNames = map[string]string{
	"L4 (inferred by author)": "l4", "A100-80GB": "a100-80gb", "A100-40GB": "a100-40gb", "A100 SXM 40GB": "a100-40gb", "A100 SXM 80GB": "a100-80gb",
	"A100 40GB (Colab)": "a100-40gb", "A100 80GB (implied)": "a100-80gb", "A800 80GB": "a100-80gb", "A800 SXM 80GB": "a100-80gb",
	"H100 80GB": "h100", "H100 SXM": "h100", "H200 SXM": "h200", "B200 SXM": "b200", "RTX A6000 48GB": "a6000", "L40 48GB": "l40",
	"RTX 6000 Ada": "rtx-6000-ada", "V100 PCIe 32GB": "v100-32gb", "V100S PCIe 32GB": "v100-32gb",
}

func gpuNamed(name string) (catalog.GPU, bool) {
	if slug, ok := gpuNames[name]; ok {
		name = slug
	}
	g, err := catalog.FindGPU(name)
	return g, err == nil
}

var (
	seqsNote    = regexp.MustCompile(`max-num-seqs (\d+)`)
	batchedNote = regexp.MustCompile(`max-num-batched-tokens (\d+)`)
)

// record is a row of a test table, read by column name.
type record map[string]string

func (r record) number(name string) *float64 {
	v, err := strconv.ParseFloat(r[name], 64)
	if err != nil {
		return nil
	}
	return &v
}

func (r record) int(name string) int { n, _ := strconv.Atoi(r[name]); return n }

func (r record) noted(re *regexp.Regexp) int {
	if m := re.FindStringSubmatch(r["notes"]); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return 0
}

func readTable(t *testing.T, file string) []record {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []record
	for _, row := range rows[1:] {
		r := make(record)
		for i, name := range rows[0] {
			r[name] = row[i]
		}
		out = append(out, r)
	}
	return out
}

func readStartups(t *testing.T) []startup {
	var out []startup
	for _, r := range readTable(t, "testdata/vllm_startups.csv") {
		s := startup{
			id: r["case_id"], version: r["vllm_version"], model: r["model_id"], notes: r["notes"], fits: r["fits"],
			weightsGiB: r.number("weights_gib"), kvGiB: r.number("kv_cache_gib"), kvTokens: r.number("kv_tokens"),
		}
		s.gpu, _ = gpuNamed(r["gpu_name"])
		if total := r.number("total_gpu_memory_gib"); total != nil {
			s.gpu.MemoryTorchGiB = *total
		}
		v := parseVersion(s.version)
		s.engine = Engine{
			Version: s.version, DType: r["dtype"], Quantization: strings.TrimSuffix(r["quantization"], "?"), KVCacheDType: r["kv_cache_dtype"],
			TensorParallel: r.int("tensor_parallel"), PipelineParallel: r.int("pipeline_parallel"), MaxModelLen: r.int("max_model_len"),
			MaxNumSeqs: r.noted(seqsNote), MaxNumBatchedTokens: r.noted(batchedNote),
			EnforceEager:      strings.Contains(s.notes, "enforce-eager"),
			FlashInferSampler: strings.Contains(s.notes, "FlashInfer sampler in use"),
			V0:                r["engine"] == "V0" || v.before(0, 8),
		}
		if u := r.number("gpu_memory_utilization"); u != nil {
			s.engine.GPUMemoryUtilization = *u
		}
		if s.version == "" {
			// The log's form tells the engine only: take a version of its time, and for models that
			// came later one that knows them.
			s.engine.Version = map[string]string{"V0": "0.7.3", "V1": "0.12.0"}[r["engine"]]
			if strings.Contains(s.model, "Qwen3.6") {
				s.engine.Version = "0.24.0"
			}
			if strings.Contains(s.model, "Qwen3.8") {
				s.engine.Version = "0.28.0"
			}
		}
		out = append(out, s)
	}
	return out
}

// TestStartups holds the memory plan against published start-up logs. The bounds are a little wider
// than what it reaches; -v prints every row.
func TestStartups(t *testing.T) {
	var weights, pool, tokens, tokensOfPool, tokensA []float64
	right, judged := 0, 0
	for _, s := range readStartups(t) {
		m, known := modelOfStartup(s.model)
		if _, bad := unusableStartups[s.id]; bad || !known {
			continue
		}
		mem, err := PlanMemory(m, s.gpu, s.engine)
		if err != nil {
			t.Errorf("%s: %v", s.id, err)
			continue
		}
		if s.weightsGiB != nil {
			e := mem.Weights.GiB() / *s.weightsGiB - 1
			weights = append(weights, e)
			t.Logf("%s %-45s weights %6.2f GiB, printed %6.2f (%+.1f %%)", s.id, s.model, mem.Weights.GiB(), *s.weightsGiB, 100*e)
		}
		if s.gpu.Name == "" {
			continue
		}
		if s.kvGiB != nil {
			e := mem.KVCache.GiB() / *s.kvGiB - 1
			pool = append(pool, e)
			t.Logf("%s %-45s pool    %6.2f GiB, printed %6.2f (%+.1f %%) [act %.2f nontorch %.2f]", s.id, s.model, mem.KVCache.GiB(), *s.kvGiB, 100*e, mem.Activation.GiB(), mem.NonTorch.GiB())
		}
		if s.kvTokens != nil {
			e := float64(mem.KVCacheTokens) / *s.kvTokens - 1
			tokens = append(tokens, e)
			if strings.Contains(s.notes, "trust A") {
				tokensA = append(tokensA, e)
			}
			t.Logf("%s %-45s %d tokens, printed %.0f (%+.1f %%)", s.id, s.model, mem.KVCacheTokens, *s.kvTokens, 100*e)
		}
		if s.kvTokens != nil && s.kvGiB != nil {
			e := s.engine.WithDefaults(m, s.gpu)
			given := mem
			given.KVCache = unit.FromGiB(*s.kvGiB)
			given.Groups, given.BlockTokens = nil, 0
			given.layOut(m, e, parseVersion(e.Version))
			d := float64(given.KVCacheTokens) / *s.kvTokens - 1
			tokensOfPool = append(tokensOfPool, d)
			t.Logf("%s %-45s given the pool %d tokens, printed %.0f (%+.1f %%)", s.id, s.model, given.KVCacheTokens, *s.kvTokens, 100*d)
		}
		if s.fits != "" && s.engine.MaxModelLen > 0 {
			judged++
			if mem.Fits == (s.fits == "yes") {
				right++
			} else {
				t.Logf("%s %-45s fits: %v, printed %s: %s | %s", s.id, s.model, mem.Fits, s.fits, mem.Reason, s.notes)
			}
		}
	}
	check := func(what string, errs []float64, bound float64) {
		med, within := medianAbs(errs)
		t.Logf("%s: median error %.2f %%, %.0f %% of %d within 10 %%", what, 100*med, 100*within, len(errs))
		if len(errs) < 10 || med > bound {
			t.Errorf("%s: median error %.2f %% of %d rows, want at most %.1f %%", what, 100*med, len(errs), 100*bound)
		}
	}
	check("weights", weights, 0.015)
	check("KV pool", pool, 0.06)
	check("KV tokens", tokens, 0.05)
	check("KV tokens, trust A", tokensA, 0.05)
	check("KV tokens of the printed pool", tokensOfPool, 0.005)
	t.Logf("fits: %d of %d right", right, judged)
	if float64(right) < 0.9*float64(judged) {
		t.Errorf("fits: %d of %d right, want 90 %%", right, judged)
	}
}

func medianAbs(errs []float64) (median, within float64) {
	var abs []float64
	n := 0.0
	for _, e := range errs {
		abs = append(abs, math.Abs(e))
		if math.Abs(e) <= 0.1 {
			n++
		}
	}
	slices.Sort(abs)
	if len(abs) == 0 {
		return math.NaN(), 0
	}
	return abs[len(abs)/2], n / float64(len(abs))
}
