package vllm

import (
	"cmp"
	"math"
	"slices"

	"bench/internal/record"
)

// startup is one start-up while it is read.
type startup struct {
	number, firstLine int
	doc               record.Startup
	engines           map[string]string // engine processes by name, with their pid
	sizes             map[process]bool  // processes that printed the size of a KV cache
	processes         []process
	ranks             []rankTerms // of processes, in the same order

	estimateUnused bool // graphs were estimated, and the estimate was not subtracted
	ready, serving bool
	failure        string
}

// rankTerms is what one process printed of its GPU, in bytes.
type rankTerms struct {
	record.StartupRank
	requested *int64 // utilisation × total
	consumed  *int64 // weights and non-torch together, as versions from 0.25 print them
	torchPeak *int64 // weights and activation together, as 0.6.4 prints them
}

// sized says whether the size of the KV cache was printed.
func (s *startup) sized() bool { return s.doc.KVCacheTokens != nil || s.doc.Blocks != nil }

// complete says whether the engine came up as far as the log goes.
func (s *startup) complete() bool { return s.sized() && s.failure == "" }

// rank is what from printed so far.
func (s *startup) rank(from process) *rankTerms {
	i := slices.Index(s.processes, from)
	if i < 0 {
		if len(s.processes) >= maxProcesses {
			return &rankTerms{} // nothing keeps it
		}
		i = len(s.processes)
		s.processes = append(s.processes, from)
		s.ranks = append(s.ranks, rankTerms{StartupRank: record.StartupRank{Process: from.String()}})
	}
	return &s.ranks[i]
}

// largest and smallest keep the tighter of two values: several ranks may print under one name, and
// the one with least room sizes the pool.
func largest[T cmp.Ordered](at **T, v T) {
	if *at == nil || **at < v {
		*at = &v
	}
}

func smallest[T cmp.Ordered](at **T, v T) {
	if *at == nil || **at > v {
		*at = &v
	}
}

// weights takes the figure of the profile where it is another one than was loaded (a draft model
// came on top), else leaves the one with more digits.
func (r *rankTerms) weights(profiled int64) {
	if r.WeightsBytes == nil || math.Abs(float64(profiled)/float64(*r.WeightsBytes)-1) > 0.01 {
		r.WeightsBytes = &profiled
	}
}

// settle turns sums into terms.
func (r *rankTerms) settle() {
	if r.torchPeak != nil && r.WeightsBytes != nil && r.ActivationBytes == nil {
		r.ActivationBytes = new(max(0, *r.torchPeak-*r.WeightsBytes))
	}
	if r.consumed != nil && r.WeightsBytes != nil && r.NonTorchBytes == nil {
		r.NonTorchBytes = new(max(0, *r.consumed-*r.WeightsBytes))
	}
	// Some versions print the graph estimate as part of the activation peak. The budget tells:
	// what was requested less the terms is the KV cache in one of the two readings only.
	if r.requested == nil || r.consumed == nil || r.ActivationBytes == nil || r.KVCacheBytes == nil || r.GraphEstimateBytes == nil {
		return
	}
	left := *r.requested - *r.consumed - *r.ActivationBytes - *r.KVCacheBytes
	if apart := left - *r.GraphEstimateBytes; abs(left) < abs(apart) {
		r.ActivationBytes = new(max(0, *r.ActivationBytes-*r.GraphEstimateBytes))
	}
}

func abs(n int64) int64 { return max(n, -n) }

// result is the start-up as it is written down.
func (s *startup) result() record.Startup {
	out := s.doc
	out.Taken, out.FirstLine, out.Complete, out.Engines = s.number, s.firstLine, s.complete(), len(s.sizes)
	if !out.Complete {
		out.Error = s.failure
	}
	for _, r := range s.ranks {
		if s.estimateUnused {
			r.GraphEstimateBytes = nil
		}
		r.settle()
		out.Ranks = append(out.Ranks, r.StartupRank)
	}
	tightest(&out)
	return out
}

// tightest fills the terms of the whole from the rank whose KV cache is smallest; what that rank
// did not print is the largest any rank printed.
func tightest(out *record.Startup) {
	if len(out.Ranks) == 0 {
		return
	}
	first := slices.MinFunc(out.Ranks, func(a, b record.StartupRank) int {
		return cmp.Compare(roomOf(a), roomOf(b))
	})
	term := func(at **int64, of func(record.StartupRank) *int64) {
		if v := of(first); v != nil {
			*at = v
			return
		}
		for _, r := range out.Ranks {
			if v := of(r); v != nil {
				largest(at, *v)
			}
		}
	}
	term(&out.TotalBytes, func(r record.StartupRank) *int64 { return r.TotalBytes })
	term(&out.FreeBytes, func(r record.StartupRank) *int64 { return r.FreeBytes })
	term(&out.WeightsBytes, func(r record.StartupRank) *int64 { return r.WeightsBytes })
	term(&out.ActivationBytes, func(r record.StartupRank) *int64 { return r.ActivationBytes })
	term(&out.NonTorchBytes, func(r record.StartupRank) *int64 { return r.NonTorchBytes })
	term(&out.GraphEstimateBytes, func(r record.StartupRank) *int64 { return r.GraphEstimateBytes })
	term(&out.GraphBytes, func(r record.StartupRank) *int64 { return r.GraphBytes })
	out.KVCacheBytes = first.KVCacheBytes
}

// roomOf is a rank's KV cache, endless where it printed none.
func roomOf(r record.StartupRank) int64 {
	if r.KVCacheBytes == nil {
		return math.MaxInt64
	}
	return *r.KVCacheBytes
}
