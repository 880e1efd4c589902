package vllm

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// startupRule knows one line. A line that has the phrase and not the pattern has changed its form
// since, which is reported.
type startupRule struct {
	phrase  string
	pattern *regexp.Regexp
	take    func(s *startup, from process, m []string)
}

const (
	number = `(-?[\d.]+)`
	count  = `([\d,]+)`
	gib    = number + ` ?GiB`
)

func rule(phrase, pattern string, take func(s *startup, from process, m []string)) startupRule {
	return startupRule{phrase, regexp.MustCompile(pattern), take}
}

// startupRules are the lines of vLLM 0.6 to 0.32, with the versions that print them.
var startupRules = []startupRule{
	// Who starts what. The banner is 0.13 and later.
	rule("vLLM API server version", `vLLM API server version (\S+)`, takeVersion),
	rule("█  version ", `█\s+version (\S+)`, takeVersion),
	rule(" LLM engine (v", `Initializing an? (?:(V\d) )?LLM engine \(v([^)]*)\) with config: (.+)$`, takeEngine),
	rule("non-default args: ", `non-default args: (\{.*\})`, func(s *startup, _ process, m []string) { s.arguments(m[1]) }),
	rule(" args: Namespace(", ` args: (Namespace\(.*\))`, func(s *startup, _ process, m []string) { s.arguments(m[1]) }),
	rule("Using max model len", `Using max model len ([\d,]+)`, func(s *startup, _ process, m []string) { setCount(&s.doc.MaxModelLen, m[1]) }),
	rule("Chunked prefill is enabled with", `max_num_batched_tokens=([\d,]+)`, func(s *startup, _ process, m []string) {
		s.doc.ChunkedPrefill = new(true)
		setCount(&s.doc.MaxNumBatchedTokens, m[1])
	}),

	// Chosen kernels.
	rule("attention backend out of potential", `Using (?:AttentionBackendEnum\.)?(\w+) attention backend out of`, takeBackend),
	rule("Using AttentionBackendEnum.", `Using AttentionBackendEnum\.(\w+)`, takeBackend),
	rule(" backend on V1 engine", `Using (.+?) backend on V1 engine`, takeBackend),
	rule("Using Flash Attention backend.", `(Flash Attention)`, takeBackend),
	rule("Using FlashInfer backend.", `(FlashInfer)`, takeBackend),
	rule("Using XFormers backend.", `(XFormers)`, takeBackend),
	rule("Using FlashInfer for top-p", `FlashInfer`, func(s *startup, _ process, _ []string) { s.doc.Sampler = "flashinfer" }),
	rule("native implementation of top-p", `native`, func(s *startup, _ process, _ []string) { s.doc.Sampler = "pytorch" }),
	rule("Falling back to default sampling", `Falling`, func(s *startup, _ process, _ []string) { s.doc.Sampler = "pytorch" }),

	// Weights: "Loading model weights took" to 0.7, "Model loading took" since; GB and MB are 2^30 and 2^20 there.
	rule("oading model weights took", `took `+number+` (GB|GiB|MB)`, takeLoaded),
	rule("Model loading took", `took `+number+` (GB|GiB|MB)`, takeLoaded),

	// The profile. One line in 0.6.4, two in 0.6.5 to 0.11 (V0), one after the capture from 0.10.2 on (V1).
	rule("Memory profiling results: total_gpu_memory", `total_gpu_memory=`+gib+`.* peak_torch_memory=`+gib+`.* non_torch_memory=`+gib+` kv_cache_size=`+gib+` gpu_memory_utilization=`+number, takeProfile064),
	rule("the current vLLM instance can use", `can use total_gpu_memory \(`+gib+`\) x gpu_memory_utilization \(`+number+`\)`, func(s *startup, from process, m []string) {
		setGiB(&s.rank(from).TotalBytes, m[1])
		setShare(&s.doc.GPUMemoryUtilization, m[2])
	}),
	rule("model weights take", `weights take `+gib+`; non_torch_memory takes `+gib+`; PyTorch activation peak memory takes `+gib+`; the rest of the memory reserved for KV Cache is `+gib, takeProfileV0),
	rule("Desired GPU memory utilization is", `Free memory on device(?: \S+)? \(([\d.]+)/([\d.]+) GiB\) on startup\. Desired GPU memory utilization is \(([\d.]+), ([\d.]+) GiB\)\. Actual usage(?: is|:) (.+)`, takeUsage),
	rule("less than desired GPU memory utilization", `Free memory on device(?: \S+)? \(([\d.]+)/([\d.]+) GiB\) on startup is less than desired GPU memory utilization \(([\d.]+),`, func(s *startup, from process, m []string) {
		r := s.rank(from)
		setGiB(&r.FreeBytes, m[1])
		setGiB(&r.TotalBytes, m[2])
		setShare(&s.doc.GPUMemoryUtilization, m[3])
	}),

	// CUDA graphs: an estimate from 0.18, subtracted from 0.21 unless switched off; then the capture.
	rule("Estimated CUDA graph memory", `Estimated CUDA graph memory: `+gib, func(s *startup, from process, m []string) {
		largestGiB(&s.rank(from).GraphEstimateBytes, m[1])
	}),
	rule("CUDA graph memory profiling", `CUDA graph memory profiling (?:is (enabled|disabled)|will be)`, func(s *startup, _ process, m []string) {
		s.estimateUnused = m[1] != "enabled"
	}),
	rule("is equivalent to --gpu-memory-utilization", `current --gpu-memory-utilization=([\d.]+?)\.? is equivalent`, func(s *startup, _ process, m []string) {
		setShare(&s.doc.GPUMemoryUtilization, m[1])
	}),
	rule("Graph capturing finished in", `Graph capturing finished in [\d.]+ secs?(?:, took `+gib+`)?`, func(s *startup, from process, m []string) {
		if m[1] != "" { // not printed before 0.6.4
			largestGiB(&s.rank(from).GraphBytes, m[1])
		}
	}),

	// The KV cache. Tokens are V1's, blocks V0's and early V1's; one line holds both figures from 0.29 on.
	rule("Available KV cache memory", `Available KV cache memory: `+gib, func(s *startup, from process, m []string) {
		smallestGiB(&s.rank(from).KVCacheBytes, m[1])
	}),
	rule("GiB memory for KV Cache as specified", `reserved `+gib+` memory for KV Cache`, func(s *startup, from process, m []string) {
		s.doc.KVCacheByHand = true
		smallestGiB(&s.rank(from).KVCacheBytes, m[1])
	}),
	rule("GiB for KV cache on node", `Explicitly set \(([\d.]+)/([\d.]+)\) GiB for KV cache`, func(s *startup, from process, m []string) {
		s.doc.KVCacheByHand = true
		smallestGiB(&s.rank(from).KVCacheBytes, m[1])
	}),
	rule(" KV cache size: ", ` KV cache size: `+count+` tokens`, func(s *startup, from process, m []string) {
		if n, ok := parseCount(m[1]); ok {
			smallest(&s.doc.KVCacheTokens, n)
			s.sizedBy(from)
		}
	}),
	rule("# GPU blocks: ", `# GPU blocks: `+count, takeBlocks),
	rule("# cuda blocks: ", `# cuda blocks: `+count, takeBlocks),
	rule("num_gpu_blocks is: ", `num_gpu_blocks is: `+count, takeBlocks),
	rule("Maximum concurrency for", `Maximum concurrency for `+count+` tokens per request: ([\d.,]+)x`, func(s *startup, _ process, m []string) {
		n, ok := parseCount(m[1])
		times, err := strconv.ParseFloat(strings.ReplaceAll(m[2], ",", ""), 64)
		if ok && err == nil && n > 0 {
			s.doc.ConcurrencyTokens = &n
			smallest(&s.doc.MaxConcurrency, times)
		}
	}),
}

// takeVersion takes a version; a source tree without tags calls itself dev.
func takeVersion(s *startup, _ process, m []string) {
	if v := strings.TrimPrefix(m[1], "v"); v != "" && v[0] >= '0' && v[0] <= '9' {
		s.doc.Version = quoteLog(v)
	}
}

func takeEngine(s *startup, from process, m []string) {
	if s.engines == nil {
		s.engines = map[string]string{}
	}
	if len(s.engines) < maxProcesses {
		s.engines[from.name] = from.pid
	}
	takeVersion(s, from, m[1:])
	s.doc.Engine = "V0"
	if m[1] != "" {
		s.doc.Engine = m[1]
	}
	s.configuration(m[3])
}

func takeBackend(s *startup, _ process, m []string) { s.doc.AttentionBackend = quoteLog(m[1]) }

func takeLoaded(s *startup, from process, m []string) {
	v, ok := parseGiB(m[1])
	if m[2] == "MB" {
		v >>= 10
	}
	if ok {
		largest(&s.rank(from).WeightsBytes, v)
	}
}

func takeProfile064(s *startup, from process, m []string) {
	r := s.rank(from)
	setGiB(&r.TotalBytes, m[1])
	largestGiB(&r.torchPeak, m[2])
	largestGiB(&r.NonTorchBytes, m[3])
	smallestGiB(&r.KVCacheBytes, m[4])
	setShare(&s.doc.GPUMemoryUtilization, m[5])
}

func takeProfileV0(s *startup, from process, m []string) {
	r := s.rank(from)
	if v, ok := parseGiB(m[1]); ok {
		r.weights(v)
	}
	largestGiB(&r.NonTorchBytes, m[2])
	largestGiB(&r.ActivationBytes, m[3])
	smallestGiB(&r.KVCacheBytes, m[4])
}

// usagePart is one term of "Actual usage is 74.28 GiB for weight, 5.58 GiB for peak activation, …".
var usagePart = regexp.MustCompile(gib + ` for (weights?|consumed memory|peak activation|non-torch memory|(?:CUDAGraph|NPU graph) memory)`)

// kvInUse ends that line: in bytes to 0.24, in GiB since.
var kvInUse = regexp.MustCompile(`kv cache memory in use is (?:` + gib + `|(\d+) bytes)`)

func takeUsage(s *startup, from process, m []string) {
	r := s.rank(from)
	setGiB(&r.FreeBytes, m[1])
	setGiB(&r.TotalBytes, m[2])
	setShare(&s.doc.GPUMemoryUtilization, m[3])
	setGiB(&r.requested, m[4])
	for _, part := range usagePart.FindAllStringSubmatch(m[5], -1) {
		v, ok := parseGiB(part[1])
		switch {
		case !ok:
		case strings.HasPrefix(part[2], "weight"):
			r.weights(v)
		case part[2] == "consumed memory":
			largest(&r.consumed, v)
		case part[2] == "peak activation":
			largest(&r.ActivationBytes, v)
		case part[2] == "non-torch memory":
			largest(&r.NonTorchBytes, v)
		default:
			largest(&r.GraphBytes, v)
		}
	}
	kv := kvInUse.FindStringSubmatch(m[5])
	switch {
	case kv == nil || r.KVCacheBytes != nil:
	case kv[1] != "":
		setGiB(&r.KVCacheBytes, kv[1])
	default:
		if n, err := strconv.ParseInt(kv[2], 10, 64); err == nil {
			r.KVCacheBytes = &n
		}
	}
}

func takeBlocks(s *startup, from process, m []string) {
	if n, ok := parseCount(m[1]); ok {
		smallest(&s.doc.Blocks, n)
		s.sizedBy(from)
	}
}

// sizedBy counts the engines that printed the size of their KV cache; a blocks line of the front
// end beside the engine's own is not another engine.
func (s *startup) sizedBy(from process) {
	if s.sizes == nil {
		s.sizes = map[process]bool{}
	}
	if strings.HasPrefix(from.name, "EngineCore") || len(s.sizes) == 0 {
		if len(s.sizes) < maxProcesses {
			s.sizes[from] = true
		}
	}
}

// parseGiB turns a figure in GiB into bytes; ok is false for what no memory can be.
func parseGiB(text string) (bytes int64, ok bool) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.Abs(v) > 1<<20 {
		return 0, false
	}
	return int64(math.Round(v * (1 << 30))), true
}

func setGiB(at **int64, text string) {
	if v, ok := parseGiB(text); ok {
		*at = &v
	}
}

func largestGiB(at **int64, text string) {
	if v, ok := parseGiB(text); ok {
		largest(at, v)
	}
}

func smallestGiB(at **int64, text string) {
	if v, ok := parseGiB(text); ok {
		smallest(at, v)
	}
}

// parseCount reads "4,096" or "4096".
func parseCount(text string) (int, bool) {
	n, err := strconv.ParseInt(strings.ReplaceAll(text, ",", ""), 10, 64)
	if err != nil || n > 1<<48 {
		return 0, false
	}
	return int(n), true
}

func setCount(at **int, text string) {
	if n, ok := parseCount(text); ok && n > 0 {
		*at = &n
	}
}

// setShare takes a utilisation: above 0 and at most 1.
func setShare(at **float64, text string) {
	if v, err := strconv.ParseFloat(text, 64); err == nil && v > 0 && v <= 1 {
		*at = &v
	}
}
