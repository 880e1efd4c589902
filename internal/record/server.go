package record

// Reasons for which vLLM's request_success counter ends a request, in the order of their columns. "error" and
// "repetition" came with 0.14 and 0.17. A client that goes away is counted under none of them.
var FinishReasons = [...]string{"stop", "length", "abort", "error", "repetition"}

// WaitingReasons are what vLLM's queue waits for since num_requests_waiting_by_reason: room, or something
// outside the engine (a grammar, another server's KV).
var WaitingReasons = [...]string{"capacity", "deferred"}

// ServerTimes are the server's own measures of its requests, each a histogram in seconds: queued to scheduled,
// scheduled to first token, first to last token, arrival to first token, token to token, arrival to last token.
var ServerTimes = [...]string{"queue", "prefill", "decode", "ttft", "itl", "e2e"}

// Places in ServerTimes.
const (
	TimeQueue = iota
	TimePrefill
	TimeDecode
	TimeTTFT
	TimeITL
	TimeE2E
)

// Timing is a histogram's sum in seconds and its count: since the engine began in a sample, their growth in
// a row. Absent is nil.
type Timing struct{ Sum, Count *float64 }

// Engines that are known by their signs.
const (
	EngineVLLM       = "vLLM"
	EngineSGLang     = "SGLang"
	EngineLlamaCpp   = "llama.cpp"
	EngineLlamaCppPy = "llama-cpp-python"
	EngineTGI        = "TGI"
	EngineOllama     = "Ollama"
	EngineLMStudio   = "LM Studio"
)

// ServerSample is one scrape of /metrics, all engines of the server taken together: counters and
// request gauges added, KV usage that of the fullest engine. Absent is nil, never 0.
type ServerSample struct {
	AtNS             int64
	Running          *float64
	Waiting          *float64
	WaitingFor       [len(WaitingReasons)]*float64
	Swapped          *float64
	KVUsage          *float64 // 0–1, fullest engine
	KVUsageByEngine  map[string]float64
	Engines          int
	Preemptions      *float64
	PromptTokens     *float64
	GenerationTokens *float64
	FinishedRequests *float64 // request_success, every reason
	FinishedBy       [len(FinishReasons)]*float64
	PrefixQueries    *float64
	PrefixHits       *float64
	Times            [len(ServerTimes)]Timing
	// Fixed facts of cache_config_info; nil when not served.
	CacheConfig map[string]string
	Family      string // whose names the metrics have, one of the engines
}

// Lacks names what a scrape did not tell, by the columns of server_metrics/*.csv.
func (s *ServerSample) Lacks() []string {
	var out []string
	for _, f := range []struct {
		name string
		told bool
	}{
		{"running", s.Running != nil}, {"waiting", s.Waiting != nil}, {"kv_usage", s.KVUsage != nil}, {"preemptions", s.Preemptions != nil},
		{"prompt_tokens", s.PromptTokens != nil}, {"generation_tokens", s.GenerationTokens != nil}, {"finished_requests", s.FinishedRequests != nil},
		{"prefix_cache_hits", s.PrefixHits != nil}, {"ttft", s.Times[TimeTTFT].Sum != nil},
	} {
		if !f.told {
			out = append(out, f.name)
		}
	}
	return out
}

// ServerRow is one line of server_metrics/*.csv: gauges as scraped, counters and histograms as their growth
// since the scrape before (of the same session and engine; absent on its first).
type ServerRow struct {
	AtNS                                                  int64
	Running, Waiting, Swapped, KVUsage                    *float64
	WaitingFor                                            [len(WaitingReasons)]*float64
	Preemptions, PromptTokens, GenerationTokens           *float64
	FinishedRequests, PrefixCacheQueries, PrefixCacheHits *float64
	FinishedBy                                            [len(FinishReasons)]*float64
	Times                                                 [len(ServerTimes)]Timing
}

var serverColumns = func() []column[ServerRow] {
	out := []column[ServerRow]{
		{"running", func(s *ServerRow) **float64 { return &s.Running }},
		{"waiting", func(s *ServerRow) **float64 { return &s.Waiting }},
	}
	for i, reason := range WaitingReasons {
		out = append(out, column[ServerRow]{"waiting_" + reason, func(s *ServerRow) **float64 { return &s.WaitingFor[i] }})
	}
	out = append(out, []column[ServerRow]{
		{"swapped", func(s *ServerRow) **float64 { return &s.Swapped }},
		{"kv_usage", func(s *ServerRow) **float64 { return &s.KVUsage }},
		{"preemptions_delta", func(s *ServerRow) **float64 { return &s.Preemptions }},
		{"prompt_tokens_delta", func(s *ServerRow) **float64 { return &s.PromptTokens }},
		{"generation_tokens_delta", func(s *ServerRow) **float64 { return &s.GenerationTokens }},
		{"finished_requests_delta", func(s *ServerRow) **float64 { return &s.FinishedRequests }},
		{"prefix_cache_queries_delta", func(s *ServerRow) **float64 { return &s.PrefixCacheQueries }},
		{"prefix_cache_hits_delta", func(s *ServerRow) **float64 { return &s.PrefixCacheHits }},
	}...)
	for i, reason := range FinishReasons {
		out = append(out, column[ServerRow]{"finished_" + reason + "_delta", func(s *ServerRow) **float64 { return &s.FinishedBy[i] }})
	}
	for i, name := range ServerTimes {
		out = append(out,
			column[ServerRow]{name + "_seconds_delta", func(s *ServerRow) **float64 { return &s.Times[i].Sum }},
			column[ServerRow]{name + "_count_delta", func(s *ServerRow) **float64 { return &s.Times[i].Count }})
	}
	return out
}()

// Delta is the row that scrape s makes after prev. Counters that fell belong to an engine that began anew
// between the two: what either engine counted in between is not known, so the whole row has no growth, and
// the next one starts from s.
func Delta(prev, s *ServerSample) ServerRow {
	row := ServerRow{AtNS: s.AtNS, Running: s.Running, Waiting: s.Waiting, WaitingFor: s.WaitingFor, Swapped: s.Swapped, KVUsage: s.KVUsage}
	if prev == nil || restarted(prev, s) {
		return row
	}
	row.Preemptions = grown(prev.Preemptions, s.Preemptions)
	row.PromptTokens = grown(prev.PromptTokens, s.PromptTokens)
	row.GenerationTokens = grown(prev.GenerationTokens, s.GenerationTokens)
	row.FinishedRequests = grown(prev.FinishedRequests, s.FinishedRequests)
	row.PrefixCacheQueries = grown(prev.PrefixQueries, s.PrefixQueries)
	row.PrefixCacheHits = grown(prev.PrefixHits, s.PrefixHits)
	for i := range row.FinishedBy {
		row.FinishedBy[i] = grown(prev.FinishedBy[i], s.FinishedBy[i])
	}
	for i := range row.Times {
		row.Times[i] = Timing{grown(prev.Times[i].Sum, s.Times[i].Sum), grown(prev.Times[i].Count, s.Times[i].Count)}
	}
	return row
}

// restarted says whether any of the counters that only grow fell.
func restarted(prev, s *ServerSample) bool {
	fell := func(a, b *float64) bool { return a != nil && b != nil && *b < *a }
	return fell(prev.PromptTokens, s.PromptTokens) || fell(prev.GenerationTokens, s.GenerationTokens) ||
		fell(prev.FinishedRequests, s.FinishedRequests) || fell(prev.Preemptions, s.Preemptions)
}

func grown(a, b *float64) *float64 {
	if a == nil || b == nil || *b < *a {
		return nil
	}
	return new(*b - *a)
}

// ServerDelta is what the server's own counters say about a test. Absent is null, never 0.
type ServerDelta struct {
	Samples          int                `json:"samples"`
	MaxRunning       *float64           `json:"max_running"`
	MaxWaiting       *float64           `json:"max_waiting"`
	MaxWaitingFor    map[string]float64 `json:"max_waiting_for,omitempty"` // by reason, where the server tells
	MaxKVUsage       *float64           `json:"max_kv_usage"`              // 0–1, fullest engine
	Preemptions      *float64           `json:"preemptions"`
	PromptTokens     *float64           `json:"prompt_tokens"`
	GenerationTokens *float64           `json:"generation_tokens"`
	FinishedRequests *float64           `json:"finished_requests"`
	FinishedBy       map[string]float64 `json:"finished_by,omitempty"` // by the server's reason
	PrefixQueries    *float64           `json:"prefix_cache_queries"`
	PrefixHits       *float64           `json:"prefix_cache_hits"`

	// Means of the server's own histograms over the repeats, in milliseconds; null where nothing was counted.
	QueueMS   *float64 `json:"mean_queue_ms"`
	PrefillMS *float64 `json:"mean_prefill_ms"`
	DecodeMS  *float64 `json:"mean_decode_ms"`
	TTFTMS    *float64 `json:"mean_ttft_ms"`
	ITLMS     *float64 `json:"mean_itl_ms"`
	E2EMS     *float64 `json:"mean_e2e_ms"`
	// Complete says that no row of the repeats lacked its growth, so that the counters hold all of it.
	Complete bool `json:"complete"`
}

// Scrapes is how the reading of /metrics went during a test.
type Scrapes struct {
	IntervalMS     float64 `json:"interval_ms"`
	N              int     `json:"n"`
	Failed         int     `json:"failed"`
	Reason         string  `json:"reason,omitempty"` // of the first that failed
	Missed         int     `json:"missed"`           // instants that passed while one was under way
	MeanMS         float64 `json:"mean_ms"`          // time one took
	MaxMS          float64 `json:"max_ms"`
	MeanLatenessMS float64 `json:"mean_lateness_ms"`
	MaxLatenessMS  float64 `json:"max_lateness_ms"`
	Abandoned      bool    `json:"abandoned"` // given up for the rest of the test
}
