package report

import (
	"cmp"

	"bench/internal/record"
)

// gpuSampling says how regularly the GPUs were read over all tests; "" where they were not.
func (b builder) gpuSampling() string {
	var all record.GPUSampling
	for _, recs := range [][]record.Record{b.in.Baselines, b.in.Tests, b.in.Open} {
		for _, r := range recs {
			s := r.Detail.GPUSampling
			if s == nil {
				continue
			}
			all.IntervalMS = s.IntervalMS
			all.Samples += s.Samples
			all.Missed += s.Missed
			all.MaxLateMS = max(all.MaxLateMS, s.MaxLateMS)
			all.Failure = cmp.Or(all.Failure, s.Failure)
		}
	}
	if all.IntervalMS == 0 {
		return ""
	}
	text := b.f(wGPUSampled, all.IntervalMS, all.Samples, all.MaxLateMS, all.Missed)
	if all.Failure != "" {
		text += ": " + all.Failure
	}
	return text
}
