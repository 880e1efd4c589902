package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bench/internal/record"
)

// connectAhead is how long before its start the connections of a shard are opened: long enough to open them, and
// short enough that no server closes them as idle (vLLM does after 5 s).
const connectAhead = 2 * time.Second

// shardSettle is how long a shard waits for the server to come to rest after a repeat: the requests of other shards may take
// as long as its own, and only a server at rest has counted all of them.
const shardSettle = time.Minute

// WithShard gives a test to one of several machines.
func WithShard(t record.Test, s record.Shard) record.Test {
	t.Shard = &s
	return t
}

func checkShard(t record.Test) error {
	s := t.Shard
	switch {
	case t.Kind == record.KindBaseline:
		return errors.New("a single request at a time cannot be shared by several machines")
	case t.Workload != nil && t.Workload.Conversations > 0:
		return errors.New("conversations cannot be shared by several machines: whose turn comes next is known to one of them")
	case s.Of < 1 || s.Of > 1000 || s.Index < 0 || s.Index >= s.Of:
		return fmt.Errorf("shard %d of %d is out of range: want an index from 0 and at most 1000 shards", s.Index, s.Of)
	case t.Share() < 1:
		return fmt.Errorf("%d requests are too few for %d shards", t.Requests, s.Of)
	case t.Concurrent > 0 && t.Concurrent < s.Of:
		return fmt.Errorf("%d in flight cannot be shared by %d shards", t.Concurrent, s.Of)
	case t.Runs > 1 && !(s.EveryS > 0):
		return errors.New("shards begin each repeat together: say how long after one the next begins with --start-every")
	}
	return nil
}

// startAt is when a repeat of a shard begins, by the time of day.
func startAt(t record.Test, n int) time.Time {
	return t.Shard.StartAt.Add(time.Duration(float64(n) * t.Shard.EveryS * float64(time.Second)))
}

// awaitStart waits until so long before a repeat of a shard begins; others begin at once.
func (r *run) awaitStart(ctx context.Context, t record.Test, n int, ahead time.Duration) error {
	if t.Shard == nil {
		return nil
	}
	tick := time.NewTicker(controlPoll)
	defer tick.Stop()
	for time.Until(startAt(t, n)) > ahead {
		if r.draining.Load() {
			return ErrInterrupted
		}
		select {
		case <-ctx.Done():
			return ErrInterrupted
		case <-tick.C:
		}
	}
	return nil
}

// startOf is the instant on the run's clock at which a repeat begins.
func (r *run) startOf(t record.Test, n int) (int64, error) {
	if t.Shard == nil {
		return r.Clock.Now(), nil
	}
	left := time.Until(startAt(t, n))
	if left < 0 {
		return 0, fmt.Errorf("%s: repeat %d was to begin at %s, %v ago: this shard was not ready; begin later (--start-at) or leave more time between repeats (--start-every)",
			t.ID, n+1, startAt(t, n).UTC().Format(time.RFC3339), -left.Round(time.Millisecond))
	}
	return r.Clock.Now() + int64(left), nil
}
