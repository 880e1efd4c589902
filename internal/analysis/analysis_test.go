package analysis

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"bench/internal/record"
)

// test builds a record of n requests of 100/100 tokens, all successful, and lets edits spoil it.
func test(id string, n int, latencyMS, tps float64, edits ...func(*record.Record)) record.Record {
	rec := record.Record{
		Schema: record.SchemaRecord, TestID: id, ConcurrentRequests: n, InputTokens: 100, MaxOutputTokens: 100,
		Results: record.Results{
			AvgTTFTMS: new(50.0), AvgTPOTMS: new((latencyMS - 50) / 99), AvgTotalLatencyMS: new(latencyMS),
			ThroughputTokensPerSec: new(tps), SuccessRate: new(1.0), Errors: []record.ErrorCount{},
		},
		Status: record.StatusSuccess,
		Trust:  record.Trust{Verdict: record.TrustSound},
		Detail: record.Detail{
			Requests: 3 * n, Succeeded: 3 * n,
			Latency: &record.Distribution{N: 3 * n, Mean: latencyMS, Min: latencyMS, Max: latencyMS},
			ServerDelta: &record.ServerDelta{Samples: 20, MaxRunning: new(float64(n)), MaxWaiting: new(0.0),
				MaxKVUsage: new(0.01 * float64(n)), Preemptions: new(0.0)},
		},
	}
	for _, edit := range edits {
		edit(&rec)
	}
	return rec
}

func shape(in, out int) func(*record.Record) {
	return func(r *record.Record) { r.InputTokens, r.MaxOutputTokens = in, out }
}

func failed(class record.ErrorClass, count int) func(*record.Record) {
	return func(r *record.Record) {
		r.Status = record.StatusFailure
		r.Detail.Succeeded = r.Detail.Requests - count
		r.Results.SuccessRate = new(float64(r.Detail.Succeeded) / float64(r.Detail.Requests))
		r.Results.Errors = append(r.Results.Errors, record.ErrorCount{Class: class, Count: count, Message: "said the server"})
		if r.Detail.Succeeded == 0 {
			r.Results.AvgTTFTMS, r.Results.AvgTPOTMS, r.Results.AvgTotalLatencyMS = nil, nil, nil
			r.Results.ThroughputTokensPerSec, r.Detail.Latency = nil, nil
		}
	}
}

func gauges(running, waiting, kv, preemptions float64) func(*record.Record) {
	return func(r *record.Record) {
		r.Detail.ServerDelta = &record.ServerDelta{Samples: 20, MaxRunning: new(running), MaxWaiting: new(waiting),
			MaxKVUsage: new(kv), Preemptions: new(preemptions)}
	}
}

func slowest(ms float64) func(*record.Record) {
	return func(r *record.Record) { r.Detail.Latency.Max = ms }
}

func noMetrics(r *record.Record) { r.Detail.ServerDelta = nil }
func invalid(r *record.Record)   { r.Trust.Verdict = record.TrustInvalid }

// analyze judges tests of one shape and returns their ladder.
func analyze(t *testing.T, tests ...record.Record) record.Ladder {
	t.Helper()
	doc, err := Analyze(Input{Tests: tests})
	if err != nil {
		t.Fatal(err)
	}
	checkLaws(t, doc)
	if len(doc.Ladders) != 1 {
		t.Fatalf("%d ladders, want 1", len(doc.Ladders))
	}
	return doc.Ladders[0]
}

// checkLaws holds what every analysis must satisfy, whatever the records.
func checkLaws(t *testing.T, doc record.Analysis) {
	t.Helper()
	if len(doc.Headline) != 3 || len(doc.HeadlineKO) != 3 {
		t.Errorf("headline has %d and %d sentences, want 3", len(doc.Headline), len(doc.HeadlineKO))
	}
	for _, s := range slices.Concat(doc.Headline, doc.HeadlineKO) {
		if !strings.HasSuffix(s, ".") || strings.Contains(s, "%!") {
			t.Errorf("not a sentence: %q", s)
		}
	}
	for _, l := range doc.Ladders {
		for name, limit := range map[string]record.Limit{"oom": l.OOM, "surge": l.LatencySurge, "saturation": l.Saturation, "recommended": l.Recommended} {
			if limit.Reached != (limit.Concurrent != nil) {
				t.Errorf("%s: reached %v but concurrent %v", name, limit.Reached, limit.Concurrent)
			}
			if limit.Low != nil && limit.High != nil && *limit.Low > *limit.High {
				t.Errorf("%s: low %v above high %v", name, *limit.Low, *limit.High)
			}
			if limit.Concurrent != nil && (limit.Low != nil && *limit.Concurrent < *limit.Low || limit.High != nil && *limit.Concurrent > *limit.High) {
				t.Errorf("%s: %v lies outside its rungs", name, *limit.Concurrent)
			}
			if limit.Evidence == nil || limit.Note == "" || limit.NoteKO == "" {
				t.Errorf("%s lacks evidence or note: %+v", name, limit)
			}
			for _, text := range append(slices.Clone(limit.Evidence), limit.Note, limit.NoteKO) {
				if strings.Contains(text, "%!") {
					t.Errorf("%s: badly formatted: %q", name, text)
				}
			}
		}
	}
	if data, err := json.Marshal(doc); err != nil || strings.Contains(string(data), "NaN") {
		t.Errorf("not a JSON document: %v", err)
	}
}

func wantAt(t *testing.T, name string, l record.Limit, want float64) {
	t.Helper()
	if l.Concurrent == nil {
		t.Errorf("%s: not found (%s), want %v", name, l.Note, want)
	} else if math.Abs(*l.Concurrent-want) > 1e-9 {
		t.Errorf("%s at %v, want %v", name, *l.Concurrent, want)
	}
}

func wantNone(t *testing.T, name string, l record.Limit, note string) {
	t.Helper()
	if l.Reached {
		t.Errorf("%s reached at %v, want not", name, *l.Concurrent)
	}
	if !strings.Contains(l.Note, note) {
		t.Errorf("%s: note %q, want it to say %q", name, l.Note, note)
	}
}

func TestNothingToAnalyse(t *testing.T) {
	if _, err := Analyze(Input{}); !errors.Is(err, ErrNothing) {
		t.Errorf("error %v, want %v", err, ErrNothing)
	}
}

func TestLatencySurge(t *testing.T) {
	base := test("T1", 1, 1000, 100)
	t.Run("interpolated", func(t *testing.T) {
		l := analyze(t, base, test("T2", 2, 1200, 180), test("T3", 4, 1600, 300), test("T4", 8, 2400, 400))
		wantAt(t, "surge", l.LatencySurge, 6) // half way from 1600 to 2400
		if *l.LatencySurge.Low != 4 || *l.LatencySurge.High != 8 {
			t.Errorf("rungs around are %v and %v", *l.LatencySurge.Low, *l.LatencySurge.High)
		}
	})
	t.Run("exactly twice is not past it", func(t *testing.T) {
		l := analyze(t, base, test("T2", 2, 2000, 180))
		wantNone(t, "surge", l.LatencySurge, "not reached at 2; try --concurrent 4 next")
	})
	t.Run("just past it", func(t *testing.T) {
		l := analyze(t, base, test("T2", 2, 2000.1, 180))
		if !l.LatencySurge.Reached || *l.LatencySurge.Concurrent <= 1.99 {
			t.Errorf("surge %+v, want just below 2", l.LatencySurge)
		}
	})
	t.Run("from the baseline itself", func(t *testing.T) { // no test of one request in the ladder
		doc, err := Analyze(Input{Baselines: []record.Record{test("baseline", 1, 1000, 100)}, Tests: []record.Record{test("T3", 4, 4000, 300)}})
		if err != nil {
			t.Fatal(err)
		}
		wantAt(t, "surge", doc.Ladders[0].LatencySurge, 2) // a third of the way from 1 to 4
	})
	t.Run("a rung with failures is not interpolated", func(t *testing.T) {
		l := analyze(t, base, test("T3", 4, 2600, 300, failed(record.ErrTimeout, 2)))
		wantAt(t, "surge", l.LatencySurge, 4)
	})
	t.Run("a fast rung with failures proves nothing", func(t *testing.T) {
		l := analyze(t, base, test("T2", 2, 1200, 150), test("T3", 4, 900, 300, failed(record.ErrTimeout, 2)))
		wantNone(t, "surge", l.LatencySurge, "above it requests failed (T3)")
	})
	t.Run("no baseline", func(t *testing.T) {
		l := analyze(t, test("T8", 8, 900, 300, shape(500, 200)))
		wantNone(t, "surge", l.LatencySurge, "bench baseline --input-tokens 500 --output-tokens 200")
		wantNone(t, "recommended", l.Recommended, "bench baseline")
	})
	t.Run("the record's own baseline comes first", func(t *testing.T) {
		own := func(r *record.Record) {
			r.Detail.Baseline = &record.Baseline{TestID: "baseline", AvgTotalLatencyMS: 500}
		}
		l := analyze(t, base, test("T2", 2, 1500, 180, own))
		if l.Baseline.TestID != "baseline" || !l.LatencySurge.Reached {
			t.Errorf("baseline %+v, surge %+v", l.Baseline, l.LatencySurge)
		}
	})
}

func TestSaturation(t *testing.T) {
	one := test("T1", 1, 1000, 100)
	for _, c := range []struct {
		name  string
		tests []record.Record
		want  float64 // 0: not reached
		note  string
	}{
		{"one rung", []record.Record{one}, 0, "two concurrencies"},
		{"gains exactly 10 %", []record.Record{one, test("T2", 2, 1000, 110)}, 2, "110 tokens/s at 2"},
		{"gains more than 10 %", []record.Record{one, test("T2", 2, 1000, 110.1)}, 0, "try --concurrent 4 next"},
		{"first within 5 %", []record.Record{one, test("T2", 2, 1000, 190), test("T3", 4, 1000, 200)}, 2, "200 tokens/s at 4"},
		{"just not within 5 %", []record.Record{one, test("T2", 2, 1000, 189.9), test("T3", 4, 1000, 200)}, 4, "200 tokens/s at 4"},
		{"falls", []record.Record{one, test("T2", 2, 1000, 200), test("T3", 4, 1000, 150)}, 2, "200 tokens/s at 2"},
		{"a wide step, 15 % over two doublings", []record.Record{one, test("T3", 4, 1000, 115)}, 4, "115 tokens/s at 4"},
		{"a wide step, 25 % over two doublings", []record.Record{one, test("T3", 4, 1000, 125)}, 0, "not reached at 4"},
		{"half the last, not its neighbour", []record.Record{one, test("T2", 16, 1000, 100), test("x", 24, 1000, 199), test("T3", 32, 1000, 200)}, 0, "not reached"},
		{"failures above", []record.Record{one, test("T2", 2, 1000, 180), test("T3", 4, 1000, 400, failed(record.ErrTimeout, 1))}, 0, "requests failed (T3)"},
		{"all failed", []record.Record{test("T1", 1, 1000, 0, failed(record.ErrRefused, 3))}, 0, "no test ran without failures"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := analyze(t, c.tests...)
			if c.want == 0 {
				wantNone(t, "saturation", l.Saturation, c.note)
				return
			}
			wantAt(t, "saturation", l.Saturation, c.want)
			if !strings.Contains(l.Saturation.Note, c.note) {
				t.Errorf("note %q, want %q", l.Saturation.Note, c.note)
			}
		})
	}
}

func TestOOM(t *testing.T) {
	one, two := test("T1", 1, 1000, 100), test("T2", 2, 1000, 190)
	for _, c := range []struct {
		name  string
		last  record.Record
		want  float64
		cause record.Cause
		note  string
	}{
		{"out of memory", test("T3", 4, 1000, 300, failed(record.ErrOutOfMemory, 2)), 4, record.CauseOutOfMemory, "out of memory at 4"},
		{"engine death", test("T3", 4, 1000, 300, failed(record.ErrEngineDead, 12)), 4, record.CauseEngineDeath, "engine died at 4"},
		{"out of memory killed the engine", test("T3", 4, 1000, 300, failed(record.ErrEngineDead, 6), failed(record.ErrOutOfMemory, 2)), 4, record.CauseOutOfMemory, "out of memory"},
		{"preempted", test("T3", 4, 1000, 300, gauges(3, 0, 0.7, 1)), 4, record.CauseKVCache, "not an out-of-memory"},
		{"full with requests waiting", test("T3", 4, 1000, 300, gauges(3, 1, 0.99, 0)), 4, record.CauseKVCache, "KV cache full at 4"},
		{"no room for one more", test("T3", 4, 1000, 300, gauges(3, 1, 0.76, 0)), 4, record.CauseKVCache, "KV cache full at 4"},
		{"room for one more", test("T3", 4, 1000, 300, gauges(3, 1, 0.74, 0)), 0, "", "at most 74.0 % full"},
		{"all run, some waited for an instant", test("T3", 4, 1000, 300, gauges(4, 1, 0.95, 0)), 0, "", "at most 95.0 % full"},
		{"full, nobody waits", test("T3", 4, 1000, 300, gauges(4, 0, 1, 0)), 0, "", "at most 100.0 % full"},
		{"timeouts are not memory", test("T3", 4, 1000, 300, failed(record.ErrTimeout, 12)), 0, "", "requests failed (T3)"},
		{"no metrics", test("T3", 4, 1000, 300, noMetrics), 0, "", "not reached at 4; try --concurrent 8 next"},
		{"an invalid measurement still died", test("T3", 4, 1000, 300, invalid, failed(record.ErrEngineDead, 12)), 4, record.CauseEngineDeath, "died"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := analyze(t, one, two, c.last)
			if c.want == 0 {
				wantNone(t, "oom", l.OOM, c.note)
				return
			}
			wantAt(t, "oom", l.OOM, c.want)
			if l.OOM.Cause != c.cause || !strings.Contains(l.OOM.Note, c.note) || len(l.OOM.Evidence) == 0 || *l.OOM.Low != 2 {
				t.Errorf("limit %+v, want cause %s and %q", l.OOM, c.cause, c.note)
			}
		})
	}
	t.Run("an out-of-memory beats an earlier full cache", func(t *testing.T) {
		l := analyze(t, one, test("T2", 2, 1000, 190, gauges(1, 1, 1, 3)), test("T3", 4, 1000, 300, failed(record.ErrOutOfMemory, 1)))
		wantAt(t, "oom", l.OOM, 4)
		if !strings.Contains(strings.Join(l.OOM.Evidence, "\n"), "T2: preemptions 3") {
			t.Errorf("evidence %q does not name the full cache at T2", l.OOM.Evidence)
		}
	})
	t.Run("no metrics anywhere", func(t *testing.T) {
		l := analyze(t, test("T1", 1, 1000, 100, noMetrics))
		wantNone(t, "oom", l.OOM, "how full the KV cache was is unknown")
	})
}

func TestRecommended(t *testing.T) {
	one := test("T1", 1, 1000, 100)
	for _, c := range []struct {
		name string
		last record.Record // of four requests, above a good rung of two
		want float64
		note string
	}{
		{"good", test("T3", 4, 1500, 300), 4, "nothing higher was tested, try --concurrent 8"},
		{"latency exactly twice", test("T3", 4, 2000, 300), 4, "2.00 × baseline"},
		{"latency over twice", test("T3", 4, 2001, 300), 2, "at 4, latency is 2.00 × baseline"},
		{"a failure", test("T3", 4, 1500, 300, failed(record.ErrTimeout, 1)), 2, "at 4, 91.7 % of the requests succeed"},
		{"slowest just under 60 s", test("T3", 4, 1500, 300, slowest(59_999)), 4, "nothing higher"},
		{"slowest at 60 s", test("T3", 4, 1500, 300, slowest(60_000)), 2, "at 4, the slowest request takes 60.0 s"},
		{"preempted", test("T3", 4, 1500, 300, gauges(3, 0, 0.7, 1)), 2, "at 4, the KV cache is full"},
		{"queued", test("T3", 4, 1500, 300, gauges(3, 1, 0.7, 0)), 2, "at 4, requests wait"},
		{"waited an instant, then all ran", test("T3", 4, 1500, 300, gauges(4, 1, 0.7, 0)), 4, "nothing higher"},
		{"past saturation", test("T3", 4, 1500, 185), 2, "at 4, throughput has been saturated since 2"},
		{"no metrics", test("T3", 4, 1500, 300, noMetrics), 4, "queueing and preemption could not be seen"},
		{"invalid", test("T3", 4, 1500, 300, invalid), 2, "nothing higher"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := analyze(t, one, test("T2", 2, 1200, 180), c.last)
			wantAt(t, "recommended", l.Recommended, c.want)
			if !strings.Contains(l.Recommended.Note, c.note) {
				t.Errorf("note %q, want %q", l.Recommended.Note, c.note)
			}
		})
	}
	t.Run("a lower rung broke a rule", func(t *testing.T) {
		l := analyze(t, one, test("T2", 2, 2500, 180), test("T3", 4, 1500, 300))
		wantAt(t, "recommended", l.Recommended, 4)
		if !strings.Contains(l.Recommended.Note, "though at 2, latency is 2.50 × baseline") {
			t.Errorf("note %q does not name the broken rung", l.Recommended.Note)
		}
	})
	t.Run("none holds", func(t *testing.T) {
		l := analyze(t, one, test("T2", 1, 1000, 100, failed(record.ErrTimeout, 3)))
		wantAt(t, "recommended", l.Recommended, 1)
		l = analyze(t, test("T1", 1, 1000, 100, slowest(61_000)), test("T2", 2, 1200, 100, slowest(90_000)))
		wantNone(t, "recommended", l.Recommended, "none of the tested concurrencies holds; at 1, the slowest request takes 61.0 s")
	})
}

func TestCause(t *testing.T) {
	one, two := test("T1", 1, 1000, 100), test("T2", 2, 1000, 190)
	surging := func(edits ...func(*record.Record)) record.Record { return test("T4", 8, 3000, 200, edits...) }
	for _, c := range []struct {
		name  string
		tests []record.Record
		want  record.Cause
	}{
		{"nothing seen", []record.Record{one, two, surging(gauges(8, 0, 0.5, 0))}, record.CauseUnknown},
		{"no metrics", []record.Record{one, two, surging(noMetrics)}, record.CauseUnknown},
		{"KV cache", []record.Record{one, two, surging(gauges(5, 3, 1, 0))}, record.CauseKVCache},
		{"slots, flat over two rungs", []record.Record{one, two, test("T3", 4, 1500, 195, gauges(4, 0, 0.3, 0)), surging(gauges(4, 4, 0.3, 0))}, record.CauseSchedulerSlots},
		{"running below N on one rung only", []record.Record{one, two, surging(gauges(5, 3, 0.3, 0))}, record.CauseUnknown},
		{"flat, but the KV cache is full", []record.Record{one, two, test("T3", 4, 1500, 195, gauges(4, 0, 0.3, 0)), surging(gauges(4, 4, 0.995, 0))}, record.CauseKVCache},
		{"engine death", []record.Record{one, two, surging(failed(record.ErrEngineDead, 1))}, record.CauseEngineDeath},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := analyze(t, c.tests...)
			if !l.LatencySurge.Reached || l.LatencySurge.Cause != c.want {
				t.Errorf("cause %q (%v), want %q", l.LatencySurge.Cause, l.LatencySurge.Evidence, c.want)
			}
		})
	}
	t.Run("too few scrapes", func(t *testing.T) {
		few := func(r *record.Record) { r.Detail.ServerDelta.Samples = minSamples - 1 }
		l := analyze(t, one, two, test("T3", 4, 1500, 195, gauges(4, 0, 0.3, 0)), surging(gauges(4, 4, 0.3, 0), few))
		if l.LatencySurge.Cause != record.CauseUnknown {
			t.Errorf("cause %q from too few scrapes", l.LatencySurge.Cause)
		}
	})
}
