package sim

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// metrics serves /metrics as a vLLM of that version with a single API process does: the same families and
// labels, and for 0.32 in the same order.
func (s *Server) metrics(x *exchange) {
	const text = "text/plain; version=%s; charset=utf-8"
	if strings.HasSuffix(x.r.URL.Path, "/") { // served by the metrics library itself, in its older format, as a stream
		x.w.Header().Set("Content-Type", fmt.Sprintf(text, "0.0.4"))
		x.status = http.StatusOK
		_, _ = x.w.Write(s.exposition()) // a client that is gone needs no answer
		return
	}
	format := "1.0.0" // as the metrics library of the time calls it
	if !s.v.has(gpuNamesGone) {
		format = "0.0.4"
	}
	x.reply(http.StatusOK, fmt.Sprintf(text, format), s.exposition())
}

func (s *Server) exposition() []byte {
	e := expo{b: make([]byte, 0, 64<<10)}
	c := s.core
	c.mu.Lock()
	e.created = unixSeconds(c.stats.created)
	s.processMetrics(&e)
	s.engineMetrics(&e, c)
	c.mu.Unlock()
	s.cacheConfig(&e)

	s.mu.Lock()
	s.traffic.write(&e)
	s.mu.Unlock()
	return e.b
}

// processMetrics are those of the API process. There is no Python process here to describe: what a
// simulator has no figure for is 0.
func (s *Server) processMetrics(e *expo) {
	for _, f := range []struct{ name, help string }{
		{"python_gc_objects_collected_total", "Objects the garbage collector freed."},
		{"python_gc_objects_uncollectable_total", "Objects the garbage collector could not free."},
		{"python_gc_collections_total", "Garbage collections of a generation."},
	} {
		e.family(f.name, "counter", f.help)
		for g := range 3 {
			e.sample(f.name, fmt.Sprintf(`{generation="%d"}`, g), 0)
		}
	}
	e.family("python_info", "gauge", "The Python that runs the API process.")
	e.sample("python_info", `{implementation="CPython",major="3",minor="12",patchlevel="0",version="3.12.0"}`, 1)
	e.family("process_virtual_memory_bytes", "gauge", "Virtual memory of the API process.")
	e.sample("process_virtual_memory_bytes", "", 0)
	e.family("process_resident_memory_bytes", "gauge", "Resident memory of the API process.")
	e.sample("process_resident_memory_bytes", "", 0)
	e.family("process_start_time_seconds", "gauge", "Unix time at which the API process began.")
	e.sample("process_start_time_seconds", "", e.created)
	e.family("process_cpu_seconds_total", "counter", "Processor time of the API process.")
	e.sample("process_cpu_seconds_total", "", 0)
	e.family("process_open_fds", "gauge", "Open file descriptors of the API process.")
	e.sample("process_open_fds", "", 0)
	e.family("process_max_fds", "gauge", "Most file descriptors the API process may open.")
	e.sample("process_max_fds", "", 0)
}

// engineMetrics are vLLM's own, in its order of registration. The engine's mutex is held.
func (s *Server) engineMetrics(e *expo, c *engine) {
	st := c.stats
	model := `model_name="` + escapeLabel(s.name) + `"`
	base := `{engine="0",` + model + `}`
	with := func(label, value string) string { // a label that sorts after model_name
		return `{engine="0",` + model + `,` + label + `="` + value + `"}`
	}

	v := s.v
	gauge := func(in bool, name, help string, list ...series) {
		if in {
			e.gauge("vllm:"+name, help, list...)
		}
	}
	counter := func(in bool, name, help string, value float64) {
		if in {
			e.counter("vllm:"+name, help, base, value)
		}
	}
	const always = true

	counter(v.has(queueLimit), "estimated_flops_per_gpu", "Floating point operations by estimate; 0 unless switched on.", 0)
	counter(v.has(queueLimit), "estimated_read_bytes_per_gpu", "Bytes read from GPU memory by estimate; 0 unless switched on.", 0)
	counter(v.has(queueLimit), "estimated_write_bytes_per_gpu", "Bytes written to GPU memory by estimate; 0 unless switched on.", 0)

	waiting := float64(len(c.waiting) + len(c.arrivals))
	gauge(always, "num_requests_running", "Requests in the running batch.", series{base, float64(len(c.running))})
	gauge(always, "num_requests_waiting", "Requests in the queue.", series{base, waiting})
	gauge(v.has(waitingReasons), "num_requests_waiting_by_reason", "Requests in the queue by what they wait for.",
		series{with("reason", "capacity"), waiting}, series{with("reason", "deferred"), 0})
	gauge(v.has(sleepState), "engine_sleep_state", "1 for the state the engine is in.",
		series{with("sleep_state", "awake"), 1}, series{with("sleep_state", "weights_offloaded"), 0}, series{with("sleep_state", "discard_all"), 0})
	const usage = "Share of KV-cache blocks in use, 0 to 1."
	gauge(!v.has(gpuNamesGone), "gpu_cache_usage_perc", usage, series{base, c.pool.usage()})
	gauge(v.has(kvCacheNames), "kv_cache_usage_perc", usage, series{base, c.pool.usage()})

	const queries, hits = "Prompt tokens looked up in the prefix cache.", "Prompt tokens found in the prefix cache."
	counter(!v.has(gpuNamesGone), "gpu_prefix_cache_queries", queries, st.prefixQueries)
	counter(!v.has(gpuNamesGone), "gpu_prefix_cache_hits", hits, st.prefixHits)
	counter(v.has(kvCacheNames), "prefix_cache_queries", queries, st.prefixQueries)
	counter(v.has(kvCacheNames), "prefix_cache_hits", hits, st.prefixHits)
	counter(v.has(sleepState), "external_prefix_cache_queries", "Prompt tokens looked up in an external cache.", 0)
	counter(v.has(sleepState), "external_prefix_cache_hits", "Prompt tokens found in an external cache.", 0)
	counter(v.has(sleepState), "mm_cache_queries", "Images and sounds looked up in their cache.", 0)
	counter(v.has(sleepState), "mm_cache_hits", "Images and sounds found in their cache.", 0)
	counter(always, "num_preemptions", "Requests that lost their blocks and were computed anew.", st.preemptions)
	counter(always, "prompt_tokens", "Prompt tokens of requests whose prefill has ended.", st.promptTokens)
	if v.has(promptSources) {
		e.counters("vllm:prompt_tokens_by_source", "Prompt tokens by where their KV came from.",
			series{with("source", "local_compute"), st.promptTokens - st.cachedTokens},
			series{with("source", "local_cache_hit"), st.cachedTokens},
			series{with("source", "external_kv_transfer"), 0})
	}
	counter(v.has(promptSources), "prompt_tokens_cached", "Prompt tokens whose KV came from a cache.", st.cachedTokens)
	if v.has(queueLimit) {
		e.counters("vllm:prompt_tokens_cached_by_source", "Prompt tokens found in a cache, by the tier that had them.",
			series{with("source", "device"), st.prefixHits}, series{with("source", "host"), 0}, series{with("source", "p2p"), 0},
			series{with("source", "disk"), 0}, series{with("source", "external_unspecified"), 0})
	}
	counter(always, "generation_tokens", "Tokens generated.", st.generationTokens)

	reasons := []string{finishStop, finishLength, finishAbort}
	if v.has(errorReason) {
		reasons = append(reasons, finishError)
	}
	if v.has(repetitionReason) {
		reasons = append(reasons, "repetition")
	}
	var finished []series
	for _, reason := range reasons {
		finished = append(finished, series{`{engine="0",finished_reason="` + reason + `",` + model + `}`, st.finishedBy[reason]})
	}
	e.counters("vllm:request_success", "Requests that ended, by why.", finished...)
	if v.has(queueLimit) {
		e.counters("vllm:admission_rejections", "Requests refused because of a queue limit, by which.",
			series{`{` + model + `,reason="max_num_queued_reqs"}`, st.rejections}, series{`{` + model + `,reason="max_num_queued_tokens"}`, 0})
	}

	for _, h := range []struct {
		in         bool
		name, help string
		h          *histogram
	}{
		{always, "request_prompt_tokens", "Prompt tokens of a finished request.", &st.requestPrompt},
		{always, "request_generation_tokens", "Generated tokens of a finished request.", &st.requestGeneration},
		{always, "iteration_tokens_total", "Tokens of one engine step.", &st.iterationTokens},
		{always, "request_max_num_generation_tokens", "Tokens of a request's longest output.", &st.maxGeneration},
		{always, "request_params_n", "Outputs asked for by a request.", &st.paramsN},
		{always, "request_params_max_tokens", "Output tokens a request may have.", &st.paramsMaxTokens},
		{always, "time_to_first_token_seconds", "Arrival to first token.", &st.ttft},
		{!v.has(perTokenGone), "time_per_output_token_seconds", "Token to next token of the same request.", &st.interToken},
		{v.has(interTokenNames), "inter_token_latency_seconds", "Token to next token of the same request.", &st.interToken},
		{v.has(interTokenNames), "request_time_per_output_token_seconds", "Mean time per token after the first of a finished request.", &st.perOutputToken},
		{always, "e2e_request_latency_seconds", "Arrival to last token.", &st.e2e},
		{always, "request_queue_time_seconds", "Queued to first scheduled.", &st.queue},
		{always, "request_inference_time_seconds", "First scheduled to last token.", &st.inference},
		{always, "request_prefill_time_seconds", "First scheduled to first token.", &st.prefill},
		{always, "request_decode_time_seconds", "First token to last token.", &st.decode},
		{v.has(queueLimit), "request_num_preemptions", "Preemptions of a finished request.", &st.preemptionsEach},
		{v.has(prefillComputed), "request_prefill_kv_computed_tokens", "Prompt tokens of a finished request that were computed, not cached.", &st.prefillComputed},
	} {
		if !h.in {
			continue
		}
		e.histogram("vllm:"+h.name, h.help, `engine="0",`, ","+model, h.h)
	}
}

// cacheConfig is the gauge whose labels are the engine's cache settings, printed as Python does.
func (s *Server) cacheConfig(e *expo) {
	block := strconv.Itoa(s.memory.BlockTokens)
	override := "None"
	if n := s.config.NumGPUBlocksOverride; n > 0 {
		override = strconv.Itoa(n)
	}
	v := s.v
	var b strings.Builder
	for _, l := range []struct {
		in          bool
		name, value string
	}{
		{v.has(resolvedBlockSize), "_block_size_resolved", "True"},
		{true, "block_size", block},
		{true, "cache_dtype", s.engine.KVCacheDType},
		{v.has(queueLimit), "cache_hit_alignment_tokens", "None"},
		{!v.has(newestMembers), "calculate_kv_scales", "False"},
		{v.has(kvCacheNames) && !v.has(hashBlockSize), "cpu_kvcache_space_bytes", "None"},
		{!v.has(resolvedBlockSize), "cpu_offload_gb", "0"},
		{v.has(queueLimit), "effective_attention_block_size", block},
		{v.has(queueLimit), "enable_mamba_shared_prefix_checkpoint", "False"},
		{true, "enable_prefix_caching", "True"},
		{true, "engine", "0"},
		{true, "gpu_memory_utilization", pythonFloat(s.engine.GPUMemoryUtilization)},
		{v.has(hashBlockSize), "hash_block_size", "None"},
		{true, "is_attention_free", "False"},
		{v.has(hashBlockSize), "kv_cache_dtype_skip_layers", "[]"},
		{v.has(queueLimit), "kv_cache_layout", "None"},
		{v.has(cacheSizeLabels), "kv_cache_max_concurrency", pythonFloat(s.memory.GuaranteedConcurrency)},
		{v.has(gpuNamesGone), "kv_cache_memory_bytes", "None"},
		{v.has(cacheSizeLabels), "kv_cache_size_tokens", strconv.Itoa(int(s.memory.GuaranteedConcurrency * float64(s.engine.MaxModelLen)))},
		{v.has(offloading), "kv_offloading_backend", "native"},
		{v.has(offloading), "kv_offloading_size", "None"},
		{v.has(gpuNamesGone), "kv_sharing_fast_prefill", "False"},
		{v.has(offloading), "mamba_block_size", "None"},
		{v.has(gpuNamesGone), "mamba_cache_dtype", "auto"},
		{v.has(errorReason), "mamba_cache_mode", "none"},
		{v.has(validationErrors), "mamba_page_size_padded", "None"},
		{v.has(gpuNamesGone), "mamba_ssm_cache_dtype", "auto"},
		{true, "num_cpu_blocks", map[bool]string{false: "0", true: "None"}[v.has(namedParameters)]},
		{true, "num_gpu_blocks", strconv.Itoa(s.memory.Blocks)},
		{true, "num_gpu_blocks_override", override},
		{v.has(newestMembers), "prefix_cache_retention_interval", "0"},
		{true, "prefix_caching_hash_algo", map[bool]string{false: "builtin", true: "sha256"}[v.has(gpuNamesGone)]},
		{v.has(newestMembers), "prefix_match_unit", "None"},
		{v.has(newestMembers), "replayssm_buffer_len", "16"},
		{v.has(newestMembers), "skip_page_size_padded", "None"},
		{true, "sliding_window", "None"},
		{v.has(queueLimit), "swa_bounded_replay", "True"},
		{!v.has(resolvedBlockSize), "swap_space", "4"},
		{v.has(newestMembers), "use_kda_recoverssm", "False"},
		{v.has(newestMembers), "use_replayssm", "False"},
		{v.has(resolvedBlockSize), "user_specified_block_size", "False"},
		{v.has(hashBlockSize) && !v.has(newestMembers), "user_specified_mamba_block_size", "False"},
	} {
		if l.in {
			b.WriteString([]string{"{", ","}[min(b.Len(), 1)])
			fmt.Fprintf(&b, `%s="%s"`, l.name, l.value)
		}
	}
	e.gauge("vllm:cache_config_info", "The engine's cache settings, as labels.", series{b.String() + "}", 1})
}

// expo writes the Prometheus text format the way the Python client library does.
type expo struct {
	b       []byte
	created float64 // Unix seconds, of every family that has such a twin
}

// series is one sample of a family.
type series struct {
	labels string // in braces, or empty
	value  float64
}

func (e *expo) family(name, kind, help string) {
	e.b = append(append(append(append(e.b, "# HELP "...), name...), ' '), help...)
	e.b = append(append(append(append(e.b, "\n# TYPE "...), name...), ' '), kind...)
	e.b = append(e.b, '\n')
}

func (e *expo) sample(name, labels string, v float64) {
	e.b = append(append(e.b, name...), labels...)
	e.b = appendValue(append(e.b, ' '), v)
	e.b = append(e.b, '\n')
}

func (e *expo) gauge(name, help string, list ...series) {
	e.family(name, "gauge", help)
	for _, s := range list {
		e.sample(name, s.labels, s.value)
	}
}

func (e *expo) counter(name, help, labels string, v float64) {
	e.counters(name, help, series{labels, v})
}

// counters writes a family of counters and its twin that says when they were made.
func (e *expo) counters(name, help string, list ...series) {
	e.family(name+"_total", "counter", help)
	for _, s := range list {
		e.sample(name+"_total", s.labels, s.value)
	}
	e.family(name+"_created", "gauge", help)
	for _, s := range list {
		e.sample(name+"_created", s.labels, e.created)
	}
}

// histogram writes a histogram with the labels that sort before le and after it.
func (e *expo) histogram(name, help, before, after string, h *histogram) {
	e.family(name, "histogram", help)
	e.buckets(name, before, after, h)
	e.family(name+"_created", "gauge", help)
	e.sample(name+"_created", braces(before, after), e.created)
}

func (e *expo) buckets(name, before, after string, h *histogram) {
	h.each(func(le, n float64) {
		e.b = append(append(append(append(e.b, name...), "_bucket{"...), before...), `le="`...)
		e.b = append(append(append(appendValue(e.b, le), '"'), after...), "} "...)
		e.b = append(appendValue(e.b, n), '\n')
	})
	labels := braces(before, after)
	e.sample(name+"_count", labels, h.count())
	e.sample(name+"_sum", labels, h.sum)
}

// braces joins the labels around le when there is no le.
func braces(before, after string) string {
	if before+after == "" {
		return ""
	}
	return "{" + strings.Trim(strings.Replace(before+after, ",,", ",", 1), ",") + "}"
}

func escapeLabel(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(s)
}

// appendValue prints a value as the Python client library does: always a float, with an exponent
// from a million on.
func appendValue(b []byte, v float64) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(b, "+Inf"...)
	case v != 0 && math.Abs(v) < 1e-4, math.Abs(v) >= 1e16:
		return strconv.AppendFloat(b, v, 'e', -1, 64)
	}
	start := len(b)
	b = strconv.AppendFloat(b, v, 'f', -1, 64)
	text := string(b[start:])
	whole, fraction, _ := strings.Cut(text, ".")
	if v > 0 && len(whole) > 6 {
		digits := strings.TrimRight(whole[1:]+fraction, "0")
		b = append(append(b[:start], whole[0], '.'), digits...)
		if digits == "" {
			b = b[:len(b)-1]
		}
		return fmt.Appendf(b, "e+%02d", len(whole)-1)
	}
	if fraction == "" {
		b = append(b, ".0"...)
	}
	return b
}

// unixSeconds is t as the Python client prints instants.
func unixSeconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
