package record

// Startup is what a vLLM start-up log says. A log prints some of it or nearly all, by its version
// and level, so what is absent is "" or null and never zero.
type Startup struct {
	File      string   `json:"file,omitempty"`   // the log's name
	Lines     int      `json:"lines"`            // of the whole log
	Starts    int      `json:"starts"`           // start-ups in the log; the last complete one is taken, else the last
	Taken     int      `json:"taken"`            // which of them this is, from 1; 0 where there is none
	FirstLine int      `json:"first_line"`       // its first line in the log
	Complete  bool     `json:"complete"`         // it came as far as the size of the KV cache
	Error     string   `json:"error,omitempty"`  // why it did not come up, in vLLM's words
	Unread    []string `json:"unread,omitempty"` // known lines that no longer parse, with their numbers; bounded

	Version              string   `json:"vllm_version,omitempty"`
	Engine               string   `json:"engine,omitempty"` // V0 or V1
	Device               string   `json:"device,omitempty"` // cuda, cpu, …
	Model                string   `json:"model,omitempty"`  // as --model gave it: an id or a path
	ServedModel          string   `json:"served_model,omitempty"`
	DType                string   `json:"dtype,omitempty"`
	Quantization         string   `json:"quantization,omitempty"` // none: the log says that there is none
	KVCacheDType         string   `json:"kv_cache_dtype,omitempty"`
	TensorParallel       *int     `json:"tensor_parallel"`
	PipelineParallel     *int     `json:"pipeline_parallel"`
	DataParallel         *int     `json:"data_parallel"`
	MaxModelLen          *int     `json:"max_model_len"`
	GPUMemoryUtilization *float64 `json:"gpu_memory_utilization"`
	MaxNumSeqs           *int     `json:"max_num_seqs"`
	MaxNumBatchedTokens  *int     `json:"max_num_batched_tokens"`
	EnforceEager         *bool    `json:"enforce_eager"`
	ChunkedPrefill       *bool    `json:"chunked_prefill"`
	PrefixCaching        *bool    `json:"prefix_caching"`
	ExpertParallel       *bool    `json:"expert_parallel"`
	ImagesPerPrompt      *int     `json:"images_per_prompt"` // where --limit-mm-per-prompt names it
	AttentionBackend     string   `json:"attention_backend,omitempty"`
	Sampler              string   `json:"sampler,omitempty"` // flashinfer or pytorch

	// Memory of one GPU, of the rank with the least room for KV where several print it: that rank
	// sizes the pool. Where none prints its KV, the largest value of each term stands.
	TotalBytes         *int64 `json:"total_bytes"`
	FreeBytes          *int64 `json:"free_bytes"`
	WeightsBytes       *int64 `json:"weights_bytes"`
	ActivationBytes    *int64 `json:"activation_bytes"`
	NonTorchBytes      *int64 `json:"non_torch_bytes"`
	GraphEstimateBytes *int64 `json:"graph_estimate_bytes"` // subtracted before the pool was sized
	GraphBytes         *int64 `json:"graph_bytes"`          // taken by the capture
	KVCacheBytes       *int64 `json:"kv_cache_bytes"`
	KVCacheByHand      bool   `json:"kv_cache_by_hand,omitempty"` // its size was given, not what the terms left

	Blocks            *int     `json:"blocks"`             // of the GPU's pool; V0 prints no tokens
	BlockTokens       *int     `json:"block_tokens"`       // where --block-size was given
	KVCacheTokens     *int     `json:"kv_cache_tokens"`    // as that version counts them; of one engine
	MaxConcurrency    *float64 `json:"max_concurrency"`    // of one engine
	ConcurrencyTokens *int     `json:"concurrency_tokens"` // at which length MaxConcurrency holds

	Engines int           `json:"engines"` // engines that printed the size of their KV cache
	Ranks   []StartupRank `json:"ranks"`   // of the processes that printed memory; null where none did
}

// StartupRank is what one worker process printed of its GPU.
type StartupRank struct {
	Process            string `json:"process,omitempty"` // as the log names it: Worker_TP1 pid=612; "" where it does not
	TotalBytes         *int64 `json:"total_bytes,omitempty"`
	FreeBytes          *int64 `json:"free_bytes,omitempty"`
	WeightsBytes       *int64 `json:"weights_bytes,omitempty"`
	ActivationBytes    *int64 `json:"activation_bytes,omitempty"`
	NonTorchBytes      *int64 `json:"non_torch_bytes,omitempty"`
	GraphEstimateBytes *int64 `json:"graph_estimate_bytes,omitempty"`
	GraphBytes         *int64 `json:"graph_bytes,omitempty"`
	KVCacheBytes       *int64 `json:"kv_cache_bytes,omitempty"`
}
