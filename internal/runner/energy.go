package runner

import (
	"time"

	"bench/internal/record"
)

// powerGap is the longest stretch without a reading over which power is integrated: a second holds many decode
// steps, but power does not jump between two load levels unseen in it.
const powerGap = time.Second

// energy adds what every GPU took during the repeats, from its energy counter where it has one, else from the
// integral of its power. It is nil where one of them told neither over a whole repeat.
func (s *summary) energy(ok []record.Request) *record.Energy {
	out := record.Energy{}
	var measured time.Duration
	for i, g := range s.gpuInfo {
		var samples []record.GPUSample
		for _, x := range s.gpu {
			if x.Index == g.Index {
				samples = append(samples, x)
			}
		}
		for n := range s.test.Runs {
			if len(s.repeats[n]) == 0 {
				continue
			}
			start, end := window(s.repeats[n])
			joules, source, known := joulesBetween(samples, start, end)
			if !known {
				return nil
			}
			out.Joules += joules
			if i == 0 {
				measured += time.Duration(end - start)
			}
			switch {
			case out.Source == "":
				out.Source = source
			case out.Source != source:
				out.Source = "both"
			}
		}
	}
	if out.Source == "" || measured <= 0 {
		return nil
	}
	out.MeanPowerW = out.Joules / measured.Seconds()
	tokens := 0
	for _, r := range ok {
		tokens += r.OutputTokens()
	}
	if len(ok) > 0 {
		out.PerRequestJ = new(out.Joules / float64(len(ok)))
	}
	if tokens > 0 {
		out.PerTokenJ = new(out.Joules / float64(tokens))
	}
	return &out
}

// joulesBetween is the energy of one GPU between two instants, both within its samples.
func joulesBetween(samples []record.GPUSample, fromNS, toNS int64) (joules float64, source string, ok bool) {
	counter := func(x record.GPUSample) *float64 { return x.EnergyJ }
	if from, ok := valueAt(samples, fromNS, counter); ok {
		if to, ok := valueAt(samples, toNS, counter); ok && to >= from {
			return to - from, "energy_counter", true
		}
	}
	power := func(x record.GPUSample) *float64 { return x.PowerW }
	from, ok1 := valueAt(samples, fromNS, power)
	to, ok2 := valueAt(samples, toNS, power)
	if !ok1 || !ok2 {
		return 0, "", false
	}
	at, w := fromNS, from
	add := func(nextNS int64, next float64) bool {
		gap := time.Duration(nextNS - at)
		joules += gap.Seconds() * (w + next) / 2
		at, w = nextNS, next
		return gap <= powerGap
	}
	for _, x := range samples {
		if x.AtNS > fromNS && x.AtNS < toNS && x.PowerW != nil && !add(x.AtNS, *x.PowerW) {
			return 0, "", false
		}
	}
	if !add(toNS, to) {
		return 0, "", false
	}
	return joules, "power_integral", true
}

// valueAt interpolates a figure between the samples around an instant; ok is false where none stands on either
// side within powerGap.
func valueAt(samples []record.GPUSample, atNS int64, of func(record.GPUSample) *float64) (v float64, ok bool) {
	var before, after *record.GPUSample
	for i := range samples {
		x := &samples[i]
		if of(*x) == nil {
			continue
		}
		if x.AtNS <= atNS {
			before = x
		} else {
			after = x
			break
		}
	}
	switch {
	case before != nil && before.AtNS == atNS:
		return *of(*before), true
	case before == nil || after == nil || time.Duration(after.AtNS-before.AtNS) > powerGap:
		return 0, false
	}
	share := float64(atNS-before.AtNS) / float64(after.AtNS-before.AtNS)
	return *of(*before) + share*(*of(*after)-*of(*before)), true
}
