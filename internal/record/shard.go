package record

import "time"

// Shard is the part of a load that one of several machines sends: of each repeat the requests whose index leaves Index when
// divided by Of.
type Shard struct {
	Index   int       `json:"index"` // from 0
	Of      int       `json:"of"`
	StartAt time.Time `json:"start_at"` // when the schedule of the first repeat begins, on every machine
	EveryS  float64   `json:"every_s"`  // from there to the next repeat's, and so on
}

// Share is how many of a repeat's requests this machine sends.
func (t Test) Share() int {
	if t.Shard == nil {
		return t.Requests
	}
	return (t.Requests - t.Shard.Index + t.Shard.Of - 1) / t.Shard.Of
}

// Clock is how far a machine's time of day may be off, as far as it knows.
type Clock struct {
	BootID     string   `json:"boot_id,omitempty"` // of the running kernel: machines with the same one share a clock
	MaxErrorMS *float64 `json:"max_error_ms"`      // bound that the kernel holds; null where it is not synchronised or does not tell
}

// Merged is what a record was joined from.
type Merged struct {
	Shards       int      `json:"shards"`
	ClockErrorMS *float64 `json:"clock_error_ms"` // bound on how far apart two of their clocks were; null where one was stated by hand
	StatedMS     *float64 `json:"clock_error_stated_ms,omitempty"`
}
