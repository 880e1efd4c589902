package runner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"bench/internal/record"
)

// flightSpan is how much before an incident is kept: a prompt's way through a full queue is in it.
const flightSpan = 30 * time.Second

// fatal are the failures that say themselves that the engine is gone; others count where the server does not
// answer after them.
var fatal = map[record.ErrorClass]string{record.ErrOutOfMemory: record.IncidentOutOfMemory, record.ErrEngineDead: record.IncidentEngineDeath}

// incident finds what broke a test among its requests; nil where nothing did. dead says that the server did not
// answer after them.
func (s *summary) incident(all []record.Request, dead bool) *record.Incident {
	var first *record.Request
	kind := ""
	for i, r := range all {
		k := fatal[r.Error]
		if k == "" && dead && !r.Success && r.Error != record.ErrCancelled {
			k = record.IncidentEngineDeath
		}
		switch {
		case k == "":
			continue
		case first == nil || k == record.IncidentOutOfMemory && kind != k:
			first, kind = &all[i], k
		case k == kind && r.EndNS < first.EndNS:
			first = &all[i]
		}
	}
	if first == nil {
		return nil
	}
	in := &record.Incident{Kind: kind, AtNS: first.EndNS}
	parts := []string{fmt.Sprintf("%d of %d requests in flight at %s", s.atOnce(in.AtNS), s.test.Concurrent, clockTime(first.EndNS))}
	if first.Message != "" {
		parts = append(parts, fmt.Sprintf("first failure %s (%s)", first.Error, first.Message))
	}
	if row, ok := lastBefore(s.server, first.EndNS, func(r record.ServerRow) int64 { return r.AtNS }); ok {
		parts = append(parts, fmt.Sprintf("the server last said %s running, %s waiting, KV cache %s", count(row.Running), count(row.Waiting), share(row.KVUsage)))
	}
	if x, ok := lastBefore(s.gpu, first.EndNS, func(x record.GPUSample) int64 { return x.AtNS }); ok && x.MemoryUsedMiB != nil {
		parts = append(parts, fmt.Sprintf("GPU %d last had %.0f MiB in use", x.Index, *x.MemoryUsedMiB))
	}
	in.Evidence = strings.Join(parts, "; ")
	return in
}

// atOnce is how many of this client's requests were in flight at an instant.
func (s *summary) atOnce(ns int64) int { return flightOf(s.all()).between(ns, ns) }

func share(v *float64) string {
	if v == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f %%", 100**v)
}

// lastBefore is the last of samples in order of time that is not after an instant.
func lastBefore[S any](samples []S, atNS int64, at func(S) int64) (last S, ok bool) {
	for _, x := range samples {
		if at(x) > atNS {
			break
		}
		last, ok = x, true
	}
	return last, ok
}

// flight is the half minute before an incident, from what is on disk already.
func (s *summary) flight(all []record.Request, in record.Incident) record.Flight {
	f := record.Flight{Schema: record.SchemaFlight, TestID: s.test.ID, Concurrent: s.test.Concurrent, Incident: in,
		FromNS: in.AtNS - int64(flightSpan), ToNS: in.AtNS, InFlight: []record.Request{}, GPUs: []record.FlightGPU{}, Server: []record.FlightServer{}}
	for _, r := range all {
		if r.SentNS <= in.AtNS && r.EndNS >= in.AtNS {
			r.TokenNS, r.TokensPerRead = nil, nil // they are in the request's own line
			f.InFlight = append(f.InFlight, r)
		}
		f.ToNS = max(f.ToNS, min(r.EndNS, in.AtNS+int64(flightSpan)))
	}
	slices.SortFunc(f.InFlight, func(a, b record.Request) int { return cmp.Or(a.Run-b.Run, a.Index-b.Index) })
	for _, x := range s.gpu {
		if x.AtNS < f.FromNS || x.AtNS > f.ToNS {
			continue
		}
		g := record.FlightGPU{AtNS: x.AtNS, GPU: x.Index, MemoryUsedMiB: x.MemoryUsedMiB, MemoryTotalMiB: x.MemoryTotalMiB, UtilPercent: x.GPUUtil,
			PowerW: x.PowerW, TemperatureC: x.TemperatureC, XID: x.XID}
		if x.ClockEvents != nil {
			g.ClockEvents = record.ClockEvents(*x.ClockEvents).Names()
		}
		f.GPUs = append(f.GPUs, g)
	}
	for _, row := range s.server {
		if row.AtNS >= f.FromNS && row.AtNS <= f.ToNS {
			f.Server = append(f.Server, record.FlightServer{AtNS: row.AtNS, Running: row.Running, Waiting: row.Waiting, KVUsage: row.KVUsage, Preemptions: row.Preemptions})
		}
	}
	return f
}
