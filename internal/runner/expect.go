package runner

import (
	"time"

	"bench/internal/load"
	"bench/internal/record"
)

// Expect is about how long tests take one after the other, with a cooldown between them, where a request's latency
// is perToken for each of its output tokens. Requests in flight together take as long as one: a server under
// load is slower than that, so a plan whose load grows takes longer than what its first tests let expect.
func Expect(tests []record.Test, s record.Settings, perToken time.Duration) time.Duration {
	if len(tests) == 0 {
		return 0
	}
	total := time.Duration(float64(len(tests)-1) * s.CooldownS * float64(time.Second))
	for _, t := range tests {
		if t.Arrivals != nil {
			total += time.Duration(t.Runs)*load.MeanLength(*t.Arrivals, t.Requests) + time.Duration(s.Warmup*t.OutputTokens)*perToken
			continue
		}
		waves := (t.Requests + t.Concurrent - 1) / t.Concurrent
		total += time.Duration((s.Warmup+t.Runs*waves)*t.OutputTokens) * perToken
		if w := t.Workload; w != nil && w.Conversations > 0 { // the first question of each is asked at once
			thinks := (t.Requests - w.Conversations + t.Concurrent - 1) / t.Concurrent
			total += time.Duration(t.Runs*thinks*w.ThinkMS) * time.Millisecond
		}
	}
	return total
}

// PerToken is a test's latency by its output tokens; 0 where no request succeeded.
func PerToken(rec record.Record) time.Duration {
	if rec.Results.AvgTotalLatencyMS == nil || rec.MaxOutputTokens == 0 {
		return 0
	}
	return time.Duration(*rec.Results.AvgTotalLatencyMS / float64(rec.MaxOutputTokens) * float64(time.Millisecond))
}

// noteSpeed learns from a record how long the tests after it may take.
func (r *run) noteSpeed(rec record.Record) {
	if d := PerToken(rec); d > 0 {
		r.perToken = d
	}
}

// left is about how long the tests take that are not done; nil where nothing shows how fast the server is.
func (r *run) left(tests []record.Test) *time.Duration {
	if r.perToken == 0 {
		return nil
	}
	var todo []record.Test
	for _, t := range tests {
		if done, err := r.isDone(t); err == nil && !done {
			todo = append(todo, t)
		}
	}
	return new(Expect(todo, r.Settings, r.perToken))
}

// leftAfter is left from the end of a test on: the cooldown comes first.
func (r *run) leftAfter(tests []record.Test) *time.Duration {
	left := r.left(tests)
	if left != nil && len(tests) > 0 {
		*left += time.Duration(r.Settings.CooldownS * float64(time.Second))
	}
	return left
}
