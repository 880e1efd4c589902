package analysis

import (
	"strings"
	"testing"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/record"
)

// TestCauses: each rule names its cause from what a record holds, the surer before the less sure.
func TestCauses(t *testing.T) {
	throttled := func(reason string, share float64) func(*record.Record) {
		return func(r *record.Record) {
			r.Detail.GPU = []record.GPUPeak{{ClockEvents: []record.ClockEventShare{{Reason: reason, Share: share}}, MaxPowerW: new(349.0), PowerLimitW: new(350.0)}}
		}
	}
	limited := func(r *record.Record) {
		r.Detail.Client = &record.ClientLoad{Limited: true, Why: "it used 95 % of its processors"}
	}
	far := func(r *record.Record) {
		r.Results.AvgTTFTMS = new(100.0)
		r.Detail.ServerDelta.TTFTMS, r.Detail.ServerDelta.Complete = new(40.0), true
	}
	for _, tc := range []struct {
		name  string
		edits []func(*record.Record)
		want  record.Cause
		says  string
	}{
		{"nothing known", nil, record.CauseUnknown, ""},
		{"client", []func(*record.Record){limited}, record.CauseClient, "95 %"},
		{"network", []func(*record.Record){far}, record.CauseNetwork, "TTFT 100 ms here, 40.0 ms at the server"},
		{"heat", []func(*record.Record){throttled("hw_thermal_slowdown", 0.3)}, record.CauseThermal, "30.0 % of the samples"},
		{"power", []func(*record.Record){throttled("sw_power_cap", 0.8)}, record.CausePower, "349 of 350 W"},
		{"a moment at the power limit", []func(*record.Record){throttled("sw_power_cap", 0.2)}, record.CauseUnknown, ""},
		{"client before network", []func(*record.Record){far, limited}, record.CauseClient, ""},
		{"KV cache before all of them", []func(*record.Record){far, limited, gauges(8, 3, 0.995, 0)}, record.CauseKVCache, ""},
	} {
		l := &ladder{input: 100, output: 100}
		cause, evidence := l.causeOf(rung{n: 8, rec: test("T4", 8, 1000, 100, tc.edits...)})
		if cause != tc.want || !strings.Contains(english(evidence), tc.says) {
			t.Errorf("%s: %s %q, want %s %q", tc.name, cause, evidence, tc.want, tc.says)
		}
	}
}

// TestHardwareBound: what the card must do is named only where it accounts for half of the latency.
func TestHardwareBound(t *testing.T) {
	m, err := catalog.FindModel("google/gemma-3-12b-it")
	if err != nil {
		t.Fatal(err)
	}
	g, err := catalog.FindGPU("a100-80gb")
	if err != nil {
		t.Fatal(err)
	}
	machine := &Machine{Model: m, GPU: g, Engine: capacity.Engine{MaxModelLen: 8192}}
	at := func(n, input, output int, factor float64) (record.Cause, []record.Text) {
		l := &ladder{input: input, output: output, machine: machine}
		p, err := capacity.Predict(m, g, machine.Engine, capacity.Load{Kind: capacity.LoadBurst, Concurrent: n, InputTokens: input, OutputTokens: output}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return l.hardwareBound(rung{n: float64(n), rec: test("x", n, factor*p.LatencyMS.Value, 100)})
	}
	if cause, evidence := at(1, 100, 400, 1); cause != record.CauseMemoryBandwidth {
		t.Errorf("a lone long answer: %s %q", cause, evidence)
	}
	if cause, evidence := at(32, 4000, 20, 1); cause != record.CauseCompute {
		t.Errorf("many long prompts: %s %q", cause, evidence)
	}
	if cause, evidence := at(1, 100, 400, 3); cause != "" {
		t.Errorf("three times as slow as the card: %s %q", cause, evidence)
	}
}

func english(texts []record.Text) string {
	var out []string
	for _, t := range texts {
		out = append(out, t.En)
	}
	return strings.Join(out, "; ")
}

// TestOtherServers: of a server that tells how many requests it computes at once, as many running beside others that wait prove its
// slots, on one rung and without a word on the KV cache; no advice names a flag of vLLM.
func TestOtherServers(t *testing.T) {
	few := func(r *record.Record) {
		r.Detail.ServerDelta = &record.ServerDelta{Samples: 9, MaxRunning: new(4.0), MaxWaiting: new(4.0)}
	}
	tests := []record.Record{test("T1", 1, 1000, 100), test("T2", 2, 1000, 190), test("T4", 8, 3000, 200, few)}
	for _, tc := range []struct {
		server record.Server
		cause  record.Cause
		advice string
	}{
		{record.Server{Engine: record.EngineLlamaCpp, Slots: 4}, record.CauseSchedulerSlots, "`--parallel` of llama.cpp"},
		{record.Server{Engine: record.EngineLlamaCpp, Slots: 8}, record.CauseUnknown, "does not tell"},
		{record.Server{Engine: record.EngineSGLang}, record.CauseUnknown, "does not tell"},
		{record.Server{Features: []record.Feature{{}}}, record.CauseUnknown, "does not tell"},
	} {
		doc, err := Analyze(Input{Tests: tests, Run: record.Run{Server: tc.server}})
		if err != nil {
			t.Fatal(err)
		}
		checkLaws(t, doc)
		if got := doc.Ladders[0].LatencySurge; got.Cause != tc.cause || !strings.Contains(got.Advice, tc.advice) {
			t.Errorf("%+v: cause %s, advice %q; want %s, %q", tc.server, got.Cause, got.Advice, tc.cause, tc.advice)
		}
	}
	l := &ladder{other: record.EngineSGLang}
	for _, cause := range []record.Cause{record.CauseKVCache, record.CauseSchedulerSlots, record.CauseMemoryBandwidth, record.CauseOutOfMemory, record.CauseUnknown} {
		if got := l.advice(cause); got.En == "" || got.Ko == "" || strings.Contains(got.En, "--max-num") || strings.Contains(got.En, "--kv-cache") || strings.Contains(got.En, "--gpu-") {
			t.Errorf("%s of SGLang: %q, %q", cause, got.En, got.Ko)
		}
	}
}

// Every cause that a limit can have comes with what would move it, in both languages; the flags in it are code.
func TestAdvice(t *testing.T) {
	slots := func(id string, n float64) rung {
		return rung{n: n, rec: test(id, int(n), 1000, 100, func(r *record.Record) {
			r.Detail.ServerDelta = &record.ServerDelta{Samples: 9, MaxRunning: new(8.0), MaxWaiting: new(n - 8), MaxKVUsage: new(0.85), Preemptions: new(0.0)}
		})}
	}
	l := &ladder{input: 100, output: 100, rungs: []rung{slots("T5", 16), slots("T6", 32)}}
	for cause, want := range map[record.Cause]string{
		record.CauseKVCache: "`--kv-cache-dtype fp8`", record.CauseSchedulerSlots: "`--max-num-seqs` above 8", record.CauseCompute: "`bench size`",
		record.CauseMemoryBandwidth: "`--kv-cache-dtype fp8`", record.CausePower: "`nvidia-smi -pl`", record.CauseThermal: "cooling",
		record.CauseClient: "more free processors", record.CauseNetwork: "nearer", record.CauseOutOfMemory: "`--max-num-batched-tokens`",
		record.CauseEngineDeath: "flight", record.CauseUnknown: "`--server-log`",
	} {
		got := l.advice(cause)
		if !strings.Contains(got.En, want) || got.Ko == "" || got.Ko == got.En {
			t.Errorf("%s: %q, want %q; Korean %q", cause, got.En, want, got.Ko)
		}
		if strings.Count(got.En, "`") != strings.Count(got.Ko, "`") || strings.Count(got.En, "`")%2 != 0 {
			t.Errorf("%s: the languages name different flags: %q, %q", cause, got.En, got.Ko)
		}
	}
	if got := l.advice(record.CauseSchedulerSlots); !strings.Contains(got.En, "85.0 % full, so it is the next limit") {
		t.Errorf("slots with a nearly full cache: %q", got.En)
	}
	l.machine = &Machine{Savings: []record.Saving{{Flag: "--kv-cache-dtype fp8", FreedBytes: 3 << 30, Price: record.Text{En: "less precise", Ko: "정밀도 감소"}}}}
	if got := l.advice(record.CauseKVCache); !strings.Contains(got.En, "`--kv-cache-dtype fp8` (room for 3.0 GiB more of requests; less precise)") ||
		!strings.Contains(got.Ko, "정밀도 감소") || !strings.Contains(got.En, "not measured") {
		t.Errorf("savings: %+v", got)
	}
	l = &ladder{rungs: []rung{{n: 8, rec: test("T4", 8, 1000, 100, func(r *record.Record) { r.Detail.ServerDelta = nil })}}}
	if got := l.advice(record.CauseUnknown); !strings.Contains(got.En, "/metrics") {
		t.Errorf("unknown without gauges: %q", got.En)
	}
	if got := l.advice(""); got.En != "" {
		t.Errorf("no cause: %q", got.En)
	}
}
