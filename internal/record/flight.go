package record

// SchemaFlight is the schema of a Flight.
const SchemaFlight = "bench.flight/1"

// What broke a test.
const (
	IncidentOutOfMemory = "out_of_memory"
	IncidentEngineDeath = "engine_death"
)

// Incident is what broke a test: the server died under it or ran out of memory.
type Incident struct {
	Kind     string `json:"kind"`  // out_of_memory or engine_death
	AtNS     int64  `json:"at_ns"` // of the first request that failed of it
	Evidence string `json:"evidence"`
	Flight   string `json:"flight"` // file of the last 30 s before it
	// ReturnedAfterS is how long the server was waited for until it was there again; null where it was not.
	ReturnedAfterS *float64 `json:"returned_after_s"`
}

// Flight is flight/<test>.json: the half minute before an incident, frozen when it happened.
type Flight struct {
	Schema     string         `json:"schema"`
	TestID     string         `json:"test_id"`
	Concurrent int            `json:"concurrent_requests"`
	Incident   Incident       `json:"incident"`
	FromNS     int64          `json:"from_ns"`
	ToNS       int64          `json:"to_ns"`
	InFlight   []Request      `json:"in_flight"` // when it happened, with how far each had come; never null
	GPUs       []FlightGPU    `json:"gpus"`      // never null
	Server     []FlightServer `json:"server"`    // never null
}

// FlightGPU is one reading of one GPU.
type FlightGPU struct {
	AtNS           int64    `json:"at_ns"`
	GPU            int      `json:"gpu"`
	MemoryUsedMiB  *float64 `json:"memory_used_mib"`
	MemoryTotalMiB *float64 `json:"memory_total_mib"`
	UtilPercent    *float64 `json:"gpu_util_percent"`
	PowerW         *float64 `json:"power_w"`
	TemperatureC   *float64 `json:"temperature_c"`
	ClockEvents    []string `json:"clock_events,omitempty"`
	XID            *float64 `json:"xid,omitempty"`
}

// FlightServer is one scrape's gauges.
type FlightServer struct {
	AtNS        int64    `json:"at_ns"`
	Running     *float64 `json:"running"`
	Waiting     *float64 `json:"waiting"`
	KVUsage     *float64 `json:"kv_usage"`
	Preemptions *float64 `json:"preemptions_delta"`
}
