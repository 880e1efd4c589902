package analysis

import (
	"testing"

	"bench/internal/record"
)

// TestNextRung: the search doubles until something gives, then halves the gap, and ends near the limit wherever
// that lies; each test it asks for is a new one, and their number is bounded.
func TestNextRung(t *testing.T) {
	// A server whose latency passes twice the baseline's above limit.
	server := func(n, limit int) record.Record {
		latency := 1000.0
		if n > limit {
			latency = 2500
		}
		return test("c", n, latency, 100*float64(n))
	}
	for _, limit := range []int{1, 2, 7, 31, 32, 33, 100, 500, 777, 5000} {
		const most = 1024
		in := Input{}
		have := map[int]bool{}
		for _, n := range []int{1, 2, 4, 8, 16, 32} {
			in.Tests = append(in.Tests, server(n, limit))
			have[n] = true
		}
		added := 0
		for {
			n, done := NextRung(in, 100, 100, added, most)
			if done.En != "" {
				break
			}
			if have[n] || n < 1 || n > most {
				t.Fatalf("limit %d: asks for %d again or beyond %d", limit, n, most)
			}
			have[n] = true
			in.Tests = append(in.Tests, server(n, limit))
			added++
		}
		holds, breaks := 0, most+1
		for n := range have {
			if n <= limit {
				holds = max(holds, n)
			} else {
				breaks = min(breaks, n)
			}
		}
		if added > MaxRungs {
			t.Errorf("limit %d: %d tests were added", limit, added)
		}
		switch {
		case limit >= most && holds != most:
			t.Errorf("limit %d: the search ended at %d", limit, holds)
		case limit < most && float64(breaks-holds) > max(1, gapShare*float64(holds)):
			t.Errorf("limit %d: the search ended between %d and %d", limit, holds, breaks)
		}
	}
}

// TestNextRungEnds where nothing can be judged.
func TestNextRungEnds(t *testing.T) {
	for name, in := range map[string]Input{
		"no test":      {},
		"no baseline":  {Tests: []record.Record{test("c2", 2, 1000, 100)}},
		"first breaks": {Tests: []record.Record{test("c2", 2, 3000, 100)}, Baselines: []record.Record{test("baseline", 1, 1000, 100)}},
		"invalid": {Tests: []record.Record{test("T1", 1, 1000, 100), test("c2", 2, 1000, 100, func(r *record.Record) {
			r.Trust.Verdict = record.TrustInvalid
		})}},
	} {
		if n, done := NextRung(in, 100, 100, 0, 64); done.En == "" || done.Ko == "" {
			t.Errorf("%s: goes on to %d", name, n)
		}
	}
	// An engine that died of it is where the limit lies.
	dead := test("c64", 64, 1000, 100, func(r *record.Record) {
		r.Trust.Verdict = record.TrustInvalid
		r.Detail.Incident = &record.Incident{Kind: record.IncidentOutOfMemory}
	})
	if n, done := NextRung(Input{Tests: []record.Record{test("T1", 1, 1000, 100), test("T6", 32, 1000, 3000), dead}}, 100, 100, 0, 1024); n != 48 {
		t.Errorf("after an out of memory at 64 the search goes on at %d (%s)", n, done.En)
	}
}
