package runner

import (
	"math"

	"bench/internal/record"
)

// serverDelta adds the counters' growth and takes the gauges' extremes over the repeats. A repeat's rows
// are those after its first send and before the next repeat's, since an engine may count a request
// after its client has read the end of it. A row without growth begins another session's log or another
// engine's counters: what was counted before it is not known, so the whole is not complete; nor is it where no
// scrape came after a repeat.
func (s *summary) serverDelta() *record.ServerDelta {
	out := &record.ServerDelta{Complete: true}
	var times [len(record.ServerTimes)]record.Timing
	next := int64(math.MaxInt64)
	for n := s.test.Runs - 1; n >= 0; n-- {
		if len(s.repeats[n]) == 0 {
			continue
		}
		start, end := window(s.repeats[n])
		closed := false // a scrape after the repeat's end tells what it cost
		for _, row := range s.server {
			if row.AtNS <= start || row.AtNS >= next {
				continue
			}
			if row.GenerationTokens == nil && row.FinishedRequests == nil {
				if row.AtNS > end {
					break
				}
				out.Complete = false
			} else if row.AtNS > end {
				closed = true
			}
			out.Samples++
			highest(&out.MaxRunning, row.Running)
			highest(&out.MaxWaiting, row.Waiting)
			highest(&out.MaxKVUsage, row.KVUsage)
			for i, v := range row.WaitingFor {
				if v != nil {
					out.MaxWaitingFor = withKey(out.MaxWaitingFor, record.WaitingReasons[i], func(old float64) float64 { return max(old, *v) })
				}
			}
			add(&out.Preemptions, row.Preemptions)
			add(&out.PromptTokens, row.PromptTokens)
			add(&out.GenerationTokens, row.GenerationTokens)
			add(&out.FinishedRequests, row.FinishedRequests)
			add(&out.PrefixQueries, row.PrefixCacheQueries)
			add(&out.PrefixHits, row.PrefixCacheHits)
			for i, v := range row.FinishedBy {
				if v != nil {
					out.FinishedBy = withKey(out.FinishedBy, record.FinishReasons[i], func(old float64) float64 { return old + *v })
				}
			}
			for i, v := range row.Times {
				add(&times[i].Sum, v.Sum)
				add(&times[i].Count, v.Count)
			}
		}
		out.Complete = out.Complete && closed
		next = start
	}
	if out.Samples == 0 {
		return nil
	}
	for i, to := range []**float64{record.TimeQueue: &out.QueueMS, record.TimePrefill: &out.PrefillMS, record.TimeDecode: &out.DecodeMS,
		record.TimeTTFT: &out.TTFTMS, record.TimeITL: &out.ITLMS, record.TimeE2E: &out.E2EMS} {
		if t := times[i]; t.Sum != nil && t.Count != nil && *t.Count > 0 {
			*to = new(1000 * *t.Sum / *t.Count)
		}
	}
	return out
}

// withKey changes one value of a map that is made when first needed.
func withKey(m map[string]float64, key string, change func(old float64) float64) map[string]float64 {
	if m == nil {
		m = map[string]float64{}
	}
	m[key] = change(m[key])
	return m
}

func add(to **float64, v *float64) {
	if v == nil {
		return
	}
	if *to == nil {
		*to = new(0.0)
	}
	**to += *v
}
