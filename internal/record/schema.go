// Package record owns the on-disk schema and the result folder: append a line, replace a file
// by one rename, resume. It never measures, judges or prints.
package record

import "time"

// ToolMajor is the major version of the schemas below. A folder of a newer major is refused.
const ToolMajor = 1

// Schema names, each with its major version.
const (
	SchemaRun      = "bench.run/1"
	SchemaVerify   = "bench.verify/1"
	SchemaRecord   = "bench.record/1"
	SchemaRequest  = "bench.request/1"
	SchemaAnalysis = "bench.analysis/1"
	SchemaSizing   = "bench.sizing/1"
)

// Status is the plan's judgement of one test.
type Status string

// The three states of the plan (3.3).
const (
	StatusSuccess Status = "success" // every request succeeded, latency < 60 s
	StatusWarning Status = "warning" // latency > 2 × that of the single-request test of the same shape
	StatusFailure Status = "failure" // out of memory, timeout, server error
)

// ErrorClass says in which way a request failed.
type ErrorClass string

// The classes of failure. A known cause (out of memory, engine death, context overflow) beats the
// place where it showed (http_4xx, http_5xx, in_band).
const (
	ErrTimeout       ErrorClass = "timeout"
	ErrRefused       ErrorClass = "refused"
	ErrReset         ErrorClass = "reset"
	ErrTruncated     ErrorClass = "truncated"
	ErrHTTP4xx       ErrorClass = "http_4xx"
	ErrHTTP5xx       ErrorClass = "http_5xx"
	ErrInBand        ErrorClass = "in_band"
	ErrEngineDead    ErrorClass = "engine_dead"
	ErrOutOfMemory   ErrorClass = "out_of_memory"
	ErrContextLength ErrorClass = "context_length"
	ErrShortOutput   ErrorClass = "short_output"
	ErrBadPayload    ErrorClass = "bad_payload"
	ErrCancelled     ErrorClass = "cancelled"
)

// Request is one line of requests/<test>.jsonl: the truth everything else is derived from.
// All *_ns stamps are monotonic nanoseconds from the start of the command; absent is omitted.
type Request struct {
	TestID string `json:"test_id"`
	Run    int    `json:"run"`   // repeat, from 0
	Index  int    `json:"index"` // request of the repeat, from 0
	// Attempt distinguishes a repeat that was begun again after an interruption, from 0.
	Attempt int `json:"attempt"`

	ScheduledNS  int64  `json:"scheduled_ns"`             // when the schedule wanted it sent
	DueNS        *int64 `json:"due_ns,omitempty"`         // of a trace: after the start of the load
	HeldNS       *int64 `json:"held_ns,omitempty"`        // of an open load: so long it was held back by the bound on requests in flight
	ConnectedNS  *int64 `json:"connected_ns,omitempty"`   // connection it went out on was ready
	DialNS       *int64 `json:"dial_ns,omitempty"`        // time to connect, where this request is the connection's first
	TLSNS        *int64 `json:"tls_ns,omitempty"`         // time to shake hands, likewise
	SentNS       int64  `json:"sent_ns"`                  // bytes handed to an open connection
	HeadersNS    *int64 `json:"headers_ns,omitempty"`     // read that completed the response headers
	FirstTokenNS *int64 `json:"first_token_ns,omitempty"` // read that brought the first token
	FirstTextNS  *int64 `json:"first_text_ns,omitempty"`  // read that brought the first visible text
	// Where reasoning or tool calls came, the reads that brought the first of each, and the first text of the answer itself.
	FirstReasoningNS *int64 `json:"first_reasoning_ns,omitempty"`
	FirstToolCallNS  *int64 `json:"first_tool_call_ns,omitempty"`
	FirstAnswerNS    *int64 `json:"first_answer_ns,omitempty"`

	LastTokenNS *int64 `json:"last_token_ns,omitempty"` // read that brought the last chunk with a choice
	EndNS       int64  `json:"end_ns"`                  // end of stream, or the failure

	// TokenNS holds, for each read that brought tokens, its stamp; TokensPerRead the number of
	// token chunks it brought (nil when every read brought one).
	TokenNS       []int64 `json:"token_ns,omitempty"`
	TokensPerRead []int   `json:"tokens_per_read,omitempty"`
	// Coalesced counts token chunks that shared their read with an earlier token chunk.
	Coalesced int `json:"coalesced"`

	// PromptSHA256 is the beginning, 16 hexadecimal digits, of the hash of what was asked.
	PromptSHA256 string `json:"prompt_sha256,omitempty"`
	// Of a conversation: its number in the repeat and the turn's in it, both from 1, and how many it is to have.
	Conversation int    `json:"conversation,omitempty"`
	Turn         int    `json:"turn,omitempty"`
	Turns        int    `json:"turns,omitempty"`
	Adapter      string `json:"adapter,omitempty"` // the LoRA adapter it was for
	Images       int    `json:"images,omitempty"`  // it had; AskedPromptTokens are those of its text
	Tools        int    `json:"tools,omitempty"`   // it offered
	ToolCalls    int    `json:"tool_calls,omitempty"`

	AskedPromptTokens int    `json:"asked_prompt_tokens"`
	AskedOutputTokens int    `json:"asked_output_tokens"`
	PromptTokens      *int   `json:"prompt_tokens,omitempty"`     // usage
	CompletionTokens  *int   `json:"completion_tokens,omitempty"` // usage
	CachedTokens      *int   `json:"cached_tokens,omitempty"`     // usage.prompt_tokens_details
	ReasoningTokens   *int   `json:"reasoning_tokens,omitempty"`  // usage.completion_tokens_details
	CountedTokens     int    `json:"counted_tokens"`              // token chunks (choices that are not the role opener)
	ContentEvents     int    `json:"content_events"`              // events with visible text, reasoning or tool calls
	FinishReason      string `json:"finish_reason,omitempty"`
	HTTPStatus        int    `json:"http_status,omitempty"`
	Done              bool   `json:"done"` // [DONE] came

	Success bool       `json:"success"`
	Error   ErrorClass `json:"error,omitempty"`
	Message string     `json:"message,omitempty"` // bounded, sanitised
}

// OutputTokens is the number of completion tokens to count for r: usage, or chunks where the
// server sent no usage.
func (r *Request) OutputTokens() int {
	if r.CompletionTokens != nil {
		return *r.CompletionTokens
	}
	return r.CountedTokens
}

// TTFT is sent → first token; ok is false when no token came.
func (r *Request) TTFT() (d time.Duration, ok bool) {
	if r.FirstTokenNS == nil {
		return 0, false
	}
	return time.Duration(*r.FirstTokenNS - r.SentNS), true
}

// Latency is sent → last chunk with a choice; ok is false when no token came.
func (r *Request) Latency() (d time.Duration, ok bool) {
	if r.LastTokenNS == nil {
		return 0, false
	}
	return time.Duration(*r.LastTokenNS - r.SentNS), true
}

// TPOT is (last token − first token) / (completion tokens − 1); ok is false for fewer than two tokens.
func (r *Request) TPOT() (d time.Duration, ok bool) {
	n := r.OutputTokens()
	if r.FirstTokenNS == nil || r.LastTokenNS == nil || n < 2 {
		return 0, false
	}
	return time.Duration(*r.LastTokenNS-*r.FirstTokenNS) / time.Duration(n-1), true
}

// Record is one test's result: the plan's fields, their names never changed, with more beside them.
type Record struct {
	Schema             string  `json:"schema"`
	TestID             string  `json:"test_id"`
	ConcurrentRequests int     `json:"concurrent_requests"`
	InputTokens        int     `json:"input_tokens"`
	MaxOutputTokens    int     `json:"max_output_tokens"`
	Results            Results `json:"results"`
	Status             Status  `json:"status"`
	Trust              Trust   `json:"trust"`
	Detail             Detail  `json:"detail"`
}

// Results are the plan's figures. Averages are over successes; null where there is none.
type Results struct {
	AvgTTFTMS              *float64     `json:"avg_ttft_ms"`
	AvgTPOTMS              *float64     `json:"avg_tpot_ms"`
	AvgTotalLatencyMS      *float64     `json:"avg_total_latency_ms"`
	ThroughputTokensPerSec *float64     `json:"throughput_tokens_per_sec"` // mean over repeats
	PeakMemoryMB           *float64     `json:"peak_memory_mb"`            // MiB, fullest GPU the server uses
	SuccessRate            *float64     `json:"success_rate"`              // 0–1; null when nothing was sent
	Errors                 []ErrorCount `json:"errors"`                    // never null
}

// ErrorCount is one class of failure of a test.
type ErrorCount struct {
	Class   ErrorClass `json:"class"`
	Count   int        `json:"count"`
	Message string     `json:"message"` // one of them, bounded and sanitised
}

// Trust says whether a record is to be believed.
type Trust struct {
	Verdict  string    `json:"verdict"`  // sound, doubtful, invalid
	Findings []Finding `json:"findings"` // never null
}

// Finding is one reason for doubt.
type Finding struct {
	// Check is one of client_lag, coalesced_reads, books, foreign_traffic, foreign_process,
	// throttling, prefix_cache, lengths, idle, simulated, shard.
	Check    string `json:"check"`
	Evidence string `json:"evidence"`
}

// Verdicts of Trust.
const (
	TrustSound    = "sound"
	TrustDoubtful = "doubtful"
	TrustInvalid  = "invalid"
)

// Detail is what stands beside the plan's figures.
type Detail struct {
	Kind        string        `json:"kind"` // KindBaseline, KindConcurrent or KindOpen
	Purpose     string        `json:"purpose,omitempty"`
	Reason      string        `json:"reason"` // why the status is what it is
	Simulated   bool          `json:"simulated"`
	Endpoint    string        `json:"endpoint"` // chat or completions
	StartNS     int64         `json:"start_ns"` // on the run's clock
	EndNS       int64         `json:"end_ns"`
	Requests    int           `json:"requests"`
	Succeeded   int           `json:"succeeded"`
	Repeats     []Repeat      `json:"repeats"` // never null
	TTFT        *Distribution `json:"ttft_ms"`
	TPOT        *Distribution `json:"tpot_ms"`
	ITL         *Distribution `json:"itl_ms"` // gaps between reads that brought tokens
	Latency     *Distribution `json:"total_latency_ms"`
	Baseline    *Baseline     `json:"baseline"`    // the single-request test it is judged against
	TokensFrom  string        `json:"tokens_from"` // usage, chunks, mixed
	Prompt      Lengths       `json:"prompt_lengths"`
	Output      Lengths       `json:"output_lengths"`
	Coalesced   *float64      `json:"coalesced_share"` // of token chunks after each request's first
	SendSkewMS  *float64      `json:"send_skew_ms"`    // widest first→last send of a burst
	LateSends   int           `json:"late_sends"`      // sent more than 1 ms after scheduled
	IdleWaitMS  float64       `json:"idle_wait_ms"`    // time spent waiting for quiet before the test
	Client      *ClientLoad   `json:"client"`          // what measuring cost this machine; null on simulated time
	Phases      *Phases       `json:"phases"`          // where the time of a request went, over HTTP
	Energy      *Energy       `json:"energy"`          // null where no GPU told its power
	ServerDelta *ServerDelta  `json:"server"`          // null where /metrics could not be read
	Scrapes     *Scrapes      `json:"scrapes"`         // how the reading of /metrics went; null where it was not tried
	GPU         []GPUPeak     `json:"gpus"`            // null where no GPU was readable
	// GPUSampling says how the GPU samples were taken; null where no GPU was readable.
	GPUSampling *GPUSampling `json:"gpu_sampling"`
	// GPUProcesses are the compute processes seen on the GPUs; null where the driver does not tell.
	GPUProcesses []GPUProcessSeen `json:"gpu_processes"`
	Precision    *Precision       `json:"precision"` // where repeats were added until it was reached; else null
	Incident     *Incident        `json:"incident"`  // null where the server did not break under the test
	Workload     *Workload        `json:"workload,omitempty"`
	SentSHA256   string           `json:"sent_sha256,omitempty"` // of the hashes of all prompts, in order
	// What only some workloads have.
	Conversations *Conversations `json:"conversations,omitempty"`
	Groups        []Group        `json:"groups,omitempty"`
	Images        *Images        `json:"images,omitempty"`
	Reasoning     *Reasoning     `json:"reasoning,omitempty"`
	ToolCalls     *ToolCalls     `json:"tool_calls,omitempty"`

	OpenLoad *OpenLoad    `json:"open_load,omitempty"`
	Probe    *ProbeResult `json:"probe,omitempty"` // requests of an interactive user beside the load
	Shard    *Shard       `json:"shard,omitempty"`
	Merged   *Merged      `json:"merged,omitempty"`
	SLO      *SLOResult   `json:"slo,omitempty"`
	Goodput  *Goodput     `json:"goodput,omitempty"`
	Files    Files        `json:"files"`
}

// Precision is how narrow the 95 % intervals over the repeats became: half their width as a share of the mean.
type Precision struct {
	Asked      float64 `json:"asked"`
	Repeats    int     `json:"repeats"`
	Throughput float64 `json:"throughput"`
	Latency    float64 `json:"total_latency"`
	Reached    bool    `json:"reached"` // else the largest number of repeats was taken and it cannot be had with them
}

// ClientLoad is how the measuring program itself fared during the repeats.
type ClientLoad struct {
	LagMeanMS    float64  `json:"lag_mean_ms"`     // of a goroutine that wants to wake up every 50 ms
	LagMaxMS     float64  `json:"lag_max_ms"`      //
	RunDelayMS   *float64 `json:"run_delay_ms"`    // its threads waited so long for a processor; null where the kernel does not tell
	GCPauses     int      `json:"gc_pauses"`       // of the garbage collector
	GCPauseMaxMS float64  `json:"gc_pause_max_ms"` // upper bound of the longest one's bucket
	CPUShare     *float64 `json:"cpu_share"`       // of all processors the program may use, 0–1; null where the kernel does not tell
	Limited      bool     `json:"client_limited"`  // the client, not the server, may have set the figures
	Why          string   `json:"why,omitempty"`
}

// ClientCalibration is what this machine's client adds by itself, measured against a server of known timing in the
// same process before the first test. It is an upper bound: that server takes part of the same processors.
type ClientCalibration struct {
	Streams        int     `json:"streams"`         // at once
	Events         int     `json:"events"`          // received in all
	AddedP50MS     float64 `json:"added_p50_ms"`    // server's write → client's stamp
	AddedP99MS     float64 `json:"added_p99_ms"`    //
	AddedMaxMS     float64 `json:"added_max_ms"`    //
	CoalescedShare float64 `json:"coalesced_share"` // events that came in one read with an earlier one
}

// Phases are the stretches of a request's time as HTTP has them, in milliseconds. Connections are opened before the
// requests that use them are sent, so connecting is in no other figure.
type Phases struct {
	Reused int           `json:"reused"`    // requests that went out on a connection that had carried one before
	Dial   *Distribution `json:"dial_ms"`   // of the connections that were opened
	TLS    *Distribution `json:"tls_ms"`    // null for http
	Wait   *Distribution `json:"wait_ms"`   // sent → response headers
	First  *Distribution `json:"first_ms"`  // response headers → first token
	Stream *Distribution `json:"stream_ms"` // first token → end of the stream
}

// Energy is what the GPUs took during the repeats, all of them together, idle power included.
type Energy struct {
	Joules      float64  `json:"joules"`
	MeanPowerW  float64  `json:"mean_power_w"`
	PerRequestJ *float64 `json:"per_request_j"` // of a successful request
	PerTokenJ   *float64 `json:"per_output_token_j"`
	Source      string   `json:"source"` // energy_counter, power_integral, or both where GPUs differ
}

// Lengths counts how many requests had exactly the length asked for, as proven by usage.
type Lengths struct {
	Asked    int `json:"asked"` // mean, where requests differ
	Exact    int `json:"exact"`
	Differed int `json:"differed"`
	Unproven int `json:"unproven"` // no usage
}

// Repeat is one of a test's runs; the sampling unit of every interval.
type Repeat struct {
	Run                    int      `json:"run"`
	Attempt                int      `json:"attempt"`
	Requests               int      `json:"requests"`
	Succeeded              int      `json:"succeeded"`
	AvgTTFTMS              *float64 `json:"avg_ttft_ms"`
	AvgTPOTMS              *float64 `json:"avg_tpot_ms"`
	AvgTotalLatencyMS      *float64 `json:"avg_total_latency_ms"`
	MaxTotalLatencyMS      *float64 `json:"max_total_latency_ms"`
	ThroughputTokensPerSec *float64 `json:"throughput_tokens_per_sec"`
	StartNS                int64    `json:"start_ns"`
	EndNS                  int64    `json:"end_ns"`
}

// Distribution summarises one metric in milliseconds. A percentile is null where n is too small for it.
type Distribution struct {
	N    int      `json:"n"`
	Mean float64  `json:"mean"`
	Min  float64  `json:"min"`
	Max  float64  `json:"max"`
	P50  *float64 `json:"p50"`
	P90  *float64 `json:"p90"`
	P95  *float64 `json:"p95"`
	P99  *float64 `json:"p99"`
}

// Baseline names the single-request test of the same shape.
type Baseline struct {
	TestID            string  `json:"test_id"`
	AvgTotalLatencyMS float64 `json:"avg_total_latency_ms"`
}

// Files names a record's data files, relative to the folder.
type Files struct {
	Requests      string `json:"requests"`
	MemoryLog     string `json:"memory_log,omitempty"`
	ServerMetrics string `json:"server_metrics,omitempty"`
}

// Server is what a server tells of itself over HTTP.
type Server struct {
	BaseURL       string   `json:"base_url"` // without user info
	ServedModel   string   `json:"served_model"`
	OtherModels   []string `json:"other_models,omitempty"` // further base names
	Adapters      []string `json:"adapters,omitempty"`
	ModelRoot     string   `json:"model_root"`
	MaxModelLen   int      `json:"max_model_len"`  // 0 when not served
	EngineVersion string   `json:"engine_version"` // "" when not served
	Healthy       *bool    `json:"healthy"`
	HasMetrics    bool     `json:"has_metrics"`
	// MetricsAbsent is why /metrics could not be read at the start; "" where it could.
	MetricsAbsent string `json:"metrics_absent,omitempty"`
	// Unlisted is why the model's name could not be checked against the server's list; "" where it was.
	Unlisted string `json:"models_unlisted,omitempty"`
	// MetricsLack names what /metrics did not tell of what vLLM's does; empty where it could not be read.
	MetricsLack []string          `json:"metrics_lack,omitempty"`
	HasTokenize bool              `json:"has_tokenize"`
	CacheConfig map[string]string `json:"cache_config,omitempty"`
	Fingerprint string            `json:"system_fingerprint,omitempty"`
	Simulated   bool              `json:"simulated"`
	// Engine is the kind of server, by its EngineSigns; "" when no sign of a known one was found.
	Engine      string   `json:"engine"`
	EngineSigns []string `json:"engine_signs,omitempty"`
	// Gateway is what stands before the server, where that shows: what is behind it cannot be seen.
	Gateway string `json:"gateway,omitempty"`
	Slots   int    `json:"slots,omitempty"` // requests computed at once, where the server tells
	// IgnoresEOS says whether the server honours ignore_eos, found out by a probe; null where that was not
	// asked, or where the model ends no answer early by itself.
	IgnoresEOS *bool   `json:"honours_ignore_eos"`
	Refuses    string  `json:"refuses,omitempty"` // its words on fields that it does not know and are left out therefore
	Stream     *Stream `json:"stream,omitempty"`  // how an answer came; absent where none was asked for
	// Features are what figures rest on, whether the server has it, and what follows where it has not.
	Features []Feature `json:"features,omitempty"`
}

// Feature is one thing that figures rest on.
type Feature struct {
	Name    string     `json:"name"`
	State   CheckState `json:"state"` // failed: the server lacks it
	Found   Text       `json:"found"`
	Follows Text       `json:"follows"` // for the figures; empty where nothing does
}

// Stream is how a server streams, by one answer to a probe.
type Stream struct {
	Usage           bool `json:"usage"`            // token counts came with the stream
	Done            bool `json:"done"`             // [DONE] came
	Chunks          int  `json:"chunks"`           // with tokens
	Tokens          *int `json:"tokens"`           // by usage; null where there was none
	KeepsConnection bool `json:"keeps_connection"` // the connection was open for a next request afterwards
}

// Identity is what must agree for two tests to share a folder.
type Identity struct {
	ModelRoot     string   `json:"model_root"`
	EngineVersion string   `json:"engine_version"`
	MaxModelLen   int      `json:"max_model_len"`
	KVCacheDType  string   `json:"kv_cache_dtype"`
	GPUUUIDs      []string `json:"gpu_uuids"`
	ToolMajor     int      `json:"tool_major"`
}

// Settings are the parts of the procedure that change what is measured.
type Settings struct {
	Endpoint     string  `json:"endpoint"`
	Temperature  float64 `json:"temperature"`
	Seed         int64   `json:"seed"`
	TimeoutS     float64 `json:"timeout_s"`
	Warmup       int     `json:"warmup"`
	CooldownS    float64 `json:"cooldown_s"`
	GPUTelemetry string  `json:"gpu_telemetry"`
}

// Run is run.json: enough to know whether two folders compare.
type Run struct {
	Schema      string             `json:"schema"`
	CreatedAt   time.Time          `json:"created_at"` // wall time of this command's start; all stamps count from here
	ToolVersion string             `json:"tool_version"`
	Identity    Identity           `json:"identity"`
	Server      Server             `json:"server"`
	Settings    Settings           `json:"settings"`
	GPUs        []GPUInfo          `json:"gpus"`
	Host        Host               `json:"host"`
	Calibration *ClientCalibration `json:"calibration,omitempty"` // of the client, before the first test of the latest session
	Simulated   bool               `json:"simulated"`
	Sessions    []Session          `json:"sessions"` // every command that wrote here
	Simulation  *Simulation        `json:"simulation,omitempty"`
}

// Session is one command that wrote into the folder. Stamps of its tests count from StartedAt.
type Session struct {
	StartedAt time.Time `json:"started_at"`
	Command   string    `json:"command"`
}

// Host is the machine the client ran on.
type Host struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	CPUs   int    `json:"cpus"`
	Kernel string `json:"kernel,omitempty"`
	Clock  *Clock `json:"clock,omitempty"` // of a machine that sent a shard
}

// Simulation says what was simulated.
type Simulation struct {
	GPU         string `json:"gpu"`
	Model       string `json:"model"`
	Quant       string `json:"quantization"`
	VirtualTime bool   `json:"virtual_time"`
}
