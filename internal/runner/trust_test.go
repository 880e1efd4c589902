package runner

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"bench/internal/record"
)

// served is the server's row after a repeat of n requests of 100 prompt and 11 output tokens.
func served(atMS int64, n float64) record.ServerRow {
	row := record.ServerRow{AtNS: atMS * msNS, Running: new(0.0), Waiting: new(0.0), FinishedRequests: new(n), PromptTokens: new(100 * n), GenerationTokens: new(11 * n)}
	row.FinishedBy[1] = new(n)
	return row
}

// honest is a test of two repeats about which there is nothing to say.
func honest() summary {
	s := summarise(
		[]record.Request{answer(0, 100, 50, 10, 11), answer(1, 100, 50, 10, 11)},
		[]record.Request{answer(0, 1000, 50, 10, 11), answer(1, 1000, 50, 10, 11)})
	s.server = []record.ServerRow{served(50, 0), served(400, 2), served(1400, 2)}
	s.gpuInfo = []record.GPUInfo{{Index: 0}}
	return s
}

// TestFindings: nothing is found in an honest test; each disturbance is found, by name, with its figures.
func TestFindings(t *testing.T) {
	sample := func(atMS int64, events record.ClockEvents) record.GPUSample {
		return record.GPUSample{AtNS: atMS * msNS, ClockEvents: new(float64(events)), SMClockMHz: new(900.0)}
	}
	for _, tc := range []struct {
		name    string
		disturb func(*summary)
		check   string // "" = no finding
		verdict string
		says    string
	}{
		{"honest", func(*summary) {}, "", record.TrustSound, ""},
		{"late sends", func(s *summary) {
			for n := range s.repeats {
				for i := range s.repeats[n] {
					s.repeats[n][i].ScheduledNS -= 3 * msNS
				}
			}
		}, "client_lag", record.TrustDoubtful, "4 of 4 sends were more than 2.5 ms late, the latest by 3.0 ms"},
		{"sends that are late by what does not show", func(s *summary) {
			for n := range s.repeats {
				for i := range s.repeats[n] {
					s.repeats[n][i].ScheduledNS -= 2 * msNS
				}
			}
		}, "", record.TrustSound, ""},
		{"a burst drawn out", func(s *summary) { s.repeats[1][1] = answer(1, 1015, 50, 10, 11) }, "client_lag", record.TrustDoubtful, "(run 2) lay 15.0 ms apart"},
		{"a burst that was none", func(s *summary) { s.repeats[1][1] = answer(1, 1060, 50, 10, 11) }, "client_lag", record.TrustInvalid, "60.0 ms apart"},
		{"tokens in one read", func(s *summary) {
			for i := range s.repeats[0] {
				s.repeats[0][i].Coalesced, s.repeats[1][i].Coalesced = 8, 8
			}
		}, "coalesced_reads", record.TrustDoubtful, "80 %"},
		{"a busy machine", func(s *summary) {
			s.client = &watch{measured: 1e9, cpu: 64e9 * time.Duration(runtime.GOMAXPROCS(0)), cpuOK: true}
		}, "client_lag", record.TrustDoubtful, "client-limited"},
		{"prefix cache", func(s *summary) { s.server[1].PrefixCacheQueries, s.server[1].PrefixCacheHits = new(200.0), new(10.0) }, "prefix_cache", record.TrustDoubtful, "10 of 200"},
		{"prefix cache throughout", func(s *summary) { s.server[1].PrefixCacheQueries, s.server[1].PrefixCacheHits = new(200.0), new(160.0) }, "prefix_cache", record.TrustInvalid, "160 of 200"},
		{"another client's requests", func(s *summary) { s.server[2] = served(1400, 5) }, "books", record.TrustDoubtful, "finished requests: 4 here, the server counted 7 (7 length)"},
		{"a server that knows less", func(s *summary) { s.server[2] = served(1400, 1) }, "books", record.TrustInvalid, "do not know all"},
		{"an answer that the server broke off", func(s *summary) {
			s.server[2].FinishedBy[1], s.server[2].FinishedBy[2] = new(1.0), new(1.0)
		}, "books", record.TrustInvalid, "4 succeeded here, the server finished 3 of them whole (3 length, 1 abort)"},
		{"another client's answer that the server broke off", func(s *summary) {
			s.server[2] = served(1400, 3)
			s.server[2].FinishedBy[1], s.server[2].FinishedBy[2] = new(2.0), new(1.0)
		}, "books", record.TrustDoubtful, "4 here, the server counted 5 (4 length, 1 abort)"},
		{"more in flight than ours", func(s *summary) {
			busy := func(at int64) record.ServerRow {
				return record.ServerRow{AtNS: at * msNS, Running: new(2.0), Waiting: new(3.0), GenerationTokens: new(0.0)}
			}
			s.server = []record.ServerRow{served(50, 0), busy(130), busy(180), served(400, 2), served(1400, 2)}
		}, "foreign_traffic", record.TrustDoubtful, "2 running and 3 waiting, of them 3 not from here"},
		{"one scrape that saw a request end", func(s *summary) {
			s.server = []record.ServerRow{served(50, 0), {AtNS: 180 * msNS, Running: new(3.0), GenerationTokens: new(0.0)}, served(400, 2), served(1400, 2)}
		}, "", record.TrustSound, ""},
		{"a foreign process", func(s *summary) {
			s.gpuProcesses = []record.GPUProcessSeen{{PID: 7, Name: "trainer", MemoryMiB: new(6000.0), Server: new(false), FirstNS: 120 * msNS, LastNS: 300 * msNS}}
		}, "foreign_process", record.TrustDoubtful, "trainer (pid 7) held 6000 MiB of GPU 0"},
		{"a desktop", func(s *summary) {
			s.gpuProcesses = []record.GPUProcessSeen{{PID: 7, Name: "Xorg", MemoryMiB: new(300.0), Server: new(false), LastNS: 2000 * msNS}}
		}, "", record.TrustSound, ""},
		{"a process before the repeats", func(s *summary) {
			s.gpuProcesses = []record.GPUProcessSeen{{PID: 7, MemoryMiB: new(6000.0), Server: new(false), LastNS: 90 * msNS}}
		}, "", record.TrustSound, ""},
		{"the server's own process", func(s *summary) {
			s.gpuProcesses = []record.GPUProcessSeen{{PID: 7, MemoryMiB: new(20000.0), Server: new(true), LastNS: 2000 * msNS}}
		}, "", record.TrustSound, ""},
		{"heat", func(s *summary) {
			s.gpu = []record.GPUSample{sample(120, record.ClockHWThermalSlowdown), sample(150, 0)}
		}, "throttling", record.TrustDoubtful, "hw_thermal_slowdown in 50 %"},
		{"the power limit", func(s *summary) {
			s.gpu = []record.GPUSample{sample(120, record.ClockSWPowerCap), sample(150, record.ClockSWPowerCap)}
		}, "", record.TrustSound, ""},
		{"heat before the repeats", func(s *summary) {
			s.gpu = []record.GPUSample{sample(20, record.ClockHWThermalSlowdown), sample(150, 0)}
		}, "", record.TrustSound, ""},
		{"a server that was busy", func(s *summary) { s.busy = "the server had 3 running and 0 waiting" }, "idle", record.TrustDoubtful, "3 running"},
		{"answers of any length", func(s *summary) { s.enforced = false }, "lengths", record.TrustDoubtful, "ignore_eos"},
		{"prompts of another length", func(s *summary) { s.repeats[0][0].PromptTokens = new(90); s.server[1].PromptTokens = new(190.0) }, "lengths", record.TrustDoubtful, "1 of 4 prompts"},
	} {
		s := honest()
		tc.disturb(&s)
		trust := s.record().Trust
		var got []string
		for _, f := range trust.Findings {
			got = append(got, f.Check+": "+f.Evidence)
		}
		all := strings.Join(got, "\n")
		if tc.check == "" && all != "" || tc.check != "" && (!strings.Contains(all, tc.check+": ") || !strings.Contains(all, tc.says)) || trust.Verdict != tc.verdict {
			t.Errorf("%s: %s, findings:\n%s\nwant %s %q, %s", tc.name, trust.Verdict, all, tc.check, tc.says, tc.verdict)
		}
	}
}

// TestBooksWithFailures: what failed may or may not have been finished at the server; only what lies outside of
// both is a finding.
func TestBooksWithFailures(t *testing.T) {
	for _, tc := range []struct {
		finished, prompt, output float64
		found                    bool
	}{{1, 100, 11, false}, {2, 200, 22, false}, {1, 200, 15, false}, {3, 200, 22, true}, {0, 100, 11, true}, {1, 300, 11, true}} {
		s := summarise([]record.Request{answer(0, 100, 50, 10, 11), failure(1, record.ErrTimeout, "no answer in 60 s")})
		s.repeats[0][1].SentNS, s.repeats[0][1].EndNS, s.repeats[0][1].AskedOutputTokens = 100*msNS, 300*msNS, 11
		s.server = []record.ServerRow{served(50, 0), {AtNS: 350 * msNS, FinishedRequests: &tc.finished, PromptTokens: &tc.prompt, GenerationTokens: &tc.output}}
		found := false
		for _, f := range s.record().Trust.Findings {
			found = found || f.Check == "books"
		}
		if found != tc.found {
			t.Errorf("server counted %v requests, %v prompt and %v output tokens: books found: %v", tc.finished, tc.prompt, tc.output, found)
		}
	}
}

// TestEnergy: the counter where there is one, else the integral of power; nothing over a gap.
func TestEnergy(t *testing.T) {
	at := func(atMS int64, counter, power *float64) record.GPUSample {
		return record.GPUSample{AtNS: atMS * msNS, EnergyJ: counter, PowerW: power}
	}
	for _, tc := range []struct {
		name    string
		samples []record.GPUSample
		joules  float64 // 0 = not known
		source  string
	}{
		// One repeat from 0.1 s to 1.101 s.
		{"counter", []record.GPUSample{at(0, new(1000.0), nil), at(600, new(1060.0), nil), at(1200, new(1120.0), nil)}, 100.1, "energy_counter"},
		{"power", []record.GPUSample{at(0, nil, new(100.0)), at(600, nil, new(100.0)), at(1200, nil, new(100.0))}, 100.1, "power_integral"},
		{"a rising power", []record.GPUSample{at(0, nil, new(0.0)), at(600, nil, new(60.0)), at(1200, nil, new(120.0))}, 60.1, "power_integral"},
		{"a gap", []record.GPUSample{at(0, nil, new(100.0)), at(1200, nil, new(100.0))}, 0, ""},
		{"nothing after the end", []record.GPUSample{at(0, nil, new(100.0)), at(900, nil, new(100.0))}, 0, ""},
		{"nothing", nil, 0, ""},
	} {
		s := summarise([]record.Request{answer(0, 100, 100, 90, 11), answer(1, 100, 100, 90, 11)})
		s.gpuInfo, s.gpu = []record.GPUInfo{{Index: 0}}, tc.samples
		if alone := s.energy(s.all()); alone != nil {
			s.gpuInfo = append(s.gpuInfo, record.GPUInfo{Index: 1})
			if both := s.energy(s.all()); both != nil {
				t.Errorf("%s: the energy of two GPUs is %+v where one of them told nothing", tc.name, both)
			}
			s.gpuInfo = s.gpuInfo[:1]
		}
		e := s.record().Detail.Energy
		if tc.joules == 0 {
			if e != nil {
				t.Errorf("%s: %+v", tc.name, e)
			}
			continue
		}
		if e == nil || e.Source != tc.source || e.Joules < tc.joules-0.2 || e.Joules > tc.joules+0.2 || *e.PerRequestJ != e.Joules/2 || *e.PerTokenJ != e.Joules/22 {
			t.Errorf("%s: %+v, want %.1f J", tc.name, e, tc.joules)
		}
	}
}

// TestPhases add up to a request's time.
func TestPhases(t *testing.T) {
	a, b := answer(0, 100, 50, 10, 11), answer(1, 100, 50, 10, 11)
	a.ConnectedNS, a.DialNS, a.TLSNS, a.HeadersNS = new(90*msNS), new(2*msNS), new(5*msNS), new(120*msNS)
	b.ConnectedNS, b.HeadersNS = new(90*msNS), new(130*msNS)
	p := phases([]record.Request{a, b})
	if p.Reused != 1 || p.Dial.Mean != 2 || p.TLS.Mean != 5 || p.Dial.N != 1 || p.Wait.Mean != 25 || p.First.Mean != 25 || p.Stream.Mean != 101 {
		t.Errorf("phases %+v, dial %+v, wait %+v, first %+v, stream %+v", p, p.Dial, p.Wait, p.First, p.Stream)
	}
}

// TestSharedPrefix: a load with a shared prefix is doubtful where the server found much less of it in its cache, or more.
func TestSharedPrefix(t *testing.T) {
	for hits, verdict := range map[float64]string{0: record.TrustDoubtful, 700: record.TrustDoubtful, 1440: record.TrustSound, 1600: record.TrustSound, 1800: record.TrustSound, 2500: record.TrustDoubtful} {
		s := &summary{test: record.Test{Runs: 1, Workload: &record.Workload{PrefixTokens: 160}}, repeats: map[int][]record.Request{0: make([]record.Request, 10)}}
		j := &judgement{record.Trust{Verdict: record.TrustSound}}
		s.prefixCache(j, &record.ServerDelta{PrefixHits: &hits, PrefixQueries: new(3000.0)}, nil)
		if j.Verdict != verdict || len(j.Findings) == 0 {
			t.Errorf("%v of 1600 shared tokens found: %+v", hits, j.Trust)
		}
	}
}

// TestPrefixCacheByUsage: where the server has no counters, the cached tokens of its answers are held against the prompts; a
// beginning shorter than a block is the template's.
func TestPrefixCacheByUsage(t *testing.T) {
	for _, tc := range []struct {
		cached  int // of each prompt of 100; -1: not told
		verdict string
		found   int
	}{{-1, record.TrustSound, 0}, {0, record.TrustSound, 0}, {8, record.TrustSound, 1}, {16, record.TrustInvalid, 1}} {
		all := make([]record.Request, 4)
		for i := range all {
			all[i] = record.Request{Success: true, PromptTokens: new(100)}
			if tc.cached >= 0 {
				all[i].CachedTokens = &tc.cached
			}
		}
		j := &judgement{record.Trust{Verdict: record.TrustSound}}
		(&summary{}).prefixCache(j, nil, all)
		if j.Verdict != tc.verdict || len(j.Findings) != tc.found {
			t.Errorf("%d of each prompt: %+v", tc.cached, j.Trust)
		}
	}
}

// TestDatasetWithoutSalt: a server that knows no cache_salt finds the requests of a dataset again in the next repeat.
func TestDatasetWithoutSalt(t *testing.T) {
	for _, tc := range []struct {
		noSalt  bool
		runs    int
		verdict string
	}{{false, 2, record.TrustSound}, {true, 1, record.TrustSound}, {true, 2, record.TrustDoubtful}} {
		j := &judgement{record.Trust{Verdict: record.TrustSound}}
		s := &summary{noCacheSalt: tc.noSalt, test: record.Test{Runs: tc.runs, Workload: &record.Workload{Dataset: "custom"}}}
		s.prefixCache(j, &record.ServerDelta{PrefixHits: new(220.0), PrefixQueries: new(380.0)}, nil)
		if j.Verdict != tc.verdict || len(j.Findings) != 1 {
			t.Errorf("%+v: %+v", tc, j.Trust)
		}
	}
}

// TestLengthsNotKnown: where it did not show whether ignore_eos is honoured, answers of the length asked for are no reason to
// doubt, others are.
func TestLengthsNotKnown(t *testing.T) {
	for exact, verdict := range map[int]string{3: record.TrustSound, 2: record.TrustDoubtful} {
		j := &judgement{record.Trust{Verdict: record.TrustSound}}
		s := &summary{lengthsUnknown: true}
		s.lengthsProven(j, record.Detail{Succeeded: 3, Output: record.Lengths{Exact: exact}})
		if j.Verdict != verdict || len(j.Findings) != 1 || !anyLength(record.Record{Trust: j.Trust}) {
			t.Errorf("%d of 3 exact: %+v", exact, j.Trust)
		}
	}
}
