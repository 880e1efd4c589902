package record

import "time"

// KindOpen is a test whose requests are sent at instants of a schedule, whatever the server answers.
const KindOpen = "open"

// Arrivals says when the requests of an open load are due. The names are those of vLLM's bench serve.
type Arrivals struct {
	RequestRate float64 `json:"request_rate,omitempty"` // requests a second; 0 where it is ramped
	// Burstiness is the shape of the gamma distribution of the gaps: 1 is a Poisson process, less is burstier, more is
	// more even; nil is even: every gap is the mean one.
	Burstiness     *float64 `json:"burstiness"`
	RampUpStrategy string   `json:"ramp_up_strategy,omitempty"`  // RampLinear, RampExponential or none
	RampUpStartRPS float64  `json:"ramp_up_start_rps,omitempty"` // requests a second at the first request
	RampUpEndRPS   float64  `json:"ramp_up_end_rps,omitempty"`   // requests a second at the last request
	// Trace is what the instants were taken from, where no law made them; the workload names the file.
	Trace *TraceTimes `json:"trace,omitempty"`
}

// TraceTimes says how the instants of a load follow from the stamps of a trace.
type TraceTimes struct {
	SecMultiplier float64 `json:"sec_multiplier"` // seconds of the load for each unit of the trace's stamps
	LengthS       float64 `json:"length_s"`       // from the first request that is sent to the last
}

// The ways in which a rate may change from the first request to the last.
const (
	RampLinear      = "linear"
	RampExponential = "exponential"
)

// OpenLoad is what an open-loop test adds to a record. Figures "from the schedule" count from the instant at which a
// request was due: they hold the time it waited in the client too, which the figures beside them leave out.
type OpenLoad struct {
	Arrivals       Arrivals      `json:"arrivals"`
	MaxConcurrency int           `json:"max_concurrency"`         // most requests in flight; 0 = no bound
	OfferedPerSec  *float64      `json:"offered_per_sec"`         // requests due a second, from the first due to the last
	AchievedPerSec *float64      `json:"achieved_per_sec"`        // successful requests a second of the test
	TTFT           *Distribution `json:"scheduled_ttft_ms"`       // due → first token
	Latency        *Distribution `json:"scheduled_latency_ms"`    // due → last token
	SendDelay      *Distribution `json:"send_delay_ms"`           // due → sent, all requests
	Held           int           `json:"held"`                    // requests held back by MaxConcurrency
	HeldTime       *Distribution `json:"held_ms"`                 // by how much; null where none was
	Dropped        int           `json:"dropped"`                 // due before the load was stopped, never sent
	NotDue         int           `json:"not_due"`                 // of the schedule, due only after it was stopped
	PeakInFlight   int           `json:"peak_in_flight"`          // most requests in flight at once
	MeanInFlight   *float64      `json:"mean_in_flight"`          // over the time of the repeats
	DrainMS        float64       `json:"drain_ms"`                // last send → last end, the longest of the repeats
	Oversaturated  *Saturation   `json:"oversaturated,omitempty"` // absent where the server kept up, as far as was seen
	SentPerSec     *float64      `json:"sent_per_sec"`            // requests sent a second, from the first send to the last
	Steady         Steady        `json:"steady_state"`
}

// Steady is the part of an open load during which the number in flight only fluctuated: after the server has filled up and
// before the last send.
type Steady struct {
	Windows        []SteadyWindow `json:"windows"`              // of each repeat; never null
	Requests       int            `json:"requests"`             // sent in them
	Share          float64        `json:"share"`                // of all requests, 0–1
	TTFT           *Distribution  `json:"scheduled_ttft_ms"`    // of successful requests that were sent in them: due → first token
	TPOT           *Distribution  `json:"tpot_ms"`              //
	Latency        *Distribution  `json:"scheduled_latency_ms"` // due → last token
	AchievedPerSec *float64       `json:"achieved_per_sec"`     // successful requests that ended in them, a second
	MeanInFlight   *float64       `json:"mean_in_flight"`
}

// SteadyWindow is that part of one repeat.
type SteadyWindow struct {
	Run     int    `json:"run"`
	StartNS *int64 `json:"start_ns"`      // send of its first request; null where none was found
	EndNS   *int64 `json:"end_ns"`        // send of its last
	Why     *Text  `json:"why,omitempty"` // why there is none
}

// Saturation is how waiting grew when the server was offered more than it could take.
type Saturation struct {
	Run          int     `json:"run"`     // repeat it was seen in
	AfterS       float64 `json:"after_s"` // of the schedule
	Seen         string  `json:"seen"`    // SeenQueue or SeenWaiting: what early, late and growth are of
	Early        float64 `json:"early"`   // median of the first quarter of the stretch it was seen in
	Late         float64 `json:"late"`    // of the last
	GrowthPerSec float64 `json:"growth_per_sec"`
	InFlight     int     `json:"in_flight"` // when no more were sent
}

// Where over-saturation shows.
const (
	SeenQueue   = "server_queue" // requests waiting at the server, by its own gauge
	SeenWaiting = "waiting_ms"   // due → first token of the requests that had ended
)

// StoppedLine is a line that says that the load of a repeat was ended early because the server did not keep up: what was
// sent until then is the repeat.
type StoppedLine struct {
	Stopped Stop `json:"stopped"`
}

// Stop is why and when.
type Stop struct {
	Run        int        `json:"run"`
	Attempt    int        `json:"attempt"`
	AtNS       int64      `json:"at_ns"` // no more was sent from then on
	Due        int        `json:"due"`   // requests that had been due, sent or not
	Saturation Saturation `json:"saturation"`
}

// DueTTFT is due → first token; ok is false when no token came.
func (r *Request) DueTTFT() (d time.Duration, ok bool) {
	if r.FirstTokenNS == nil {
		return 0, false
	}
	return time.Duration(*r.FirstTokenNS - r.ScheduledNS), true
}

// DueLatency is due → last chunk with a choice; ok is false when no token came.
func (r *Request) DueLatency() (d time.Duration, ok bool) {
	if r.LastTokenNS == nil {
		return 0, false
	}
	return time.Duration(*r.LastTokenNS - r.ScheduledNS), true
}
