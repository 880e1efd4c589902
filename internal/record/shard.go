package record

import "time"

// Shard is the part of a load that one of several machines sends: of an open load the requests whose index leaves Index when
// divided by Of; of a closed one the places in flight whose number does, with the requests that fall to them.
type Shard struct {
	Index   int       `json:"index"` // from 0
	Of      int       `json:"of"`
	StartAt time.Time `json:"start_at"` // when the schedule of the first repeat begins, on every machine
	EveryS  float64   `json:"every_s"`  // from there to the next repeat's, and so on
}

// of is how many of the numbers 0 to n-1 are the shard's.
func (s Shard) of(n int) int { return (n - s.Index + s.Of - 1) / s.Of }

// Mine says whether this machine sends the request of an index. Those of a closed load are dealt to its places in turn, so
// that each shard has as many requests for each of its places as the others have.
func (t Test) Mine(index int) bool {
	switch {
	case t.Shard == nil:
		return true
	case t.Arrivals == nil:
		index %= t.Concurrent
	}
	return index%t.Shard.Of == t.Shard.Index
}

// Share is how many of a repeat's requests this machine sends.
func (t Test) Share() int {
	switch {
	case t.Shard == nil:
		return t.Requests
	case t.Arrivals == nil:
		return t.Requests/t.Concurrent*t.Shard.of(t.Concurrent) + t.Shard.of(t.Requests%t.Concurrent)
	}
	return t.Shard.of(t.Requests)
}

// Places is how many of the test's requests in flight this machine holds; of an open load with a bound of its own (0 for
// none) its part of that bound.
func (t Test) Places() int {
	if t.Shard == nil || t.Concurrent == 0 {
		return t.Concurrent
	}
	return t.Shard.of(t.Concurrent)
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
