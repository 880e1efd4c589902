package report

import (
	"fmt"
	"math"
	"testing"
	"time"

	"bench/internal/analysis"
	"bench/internal/record"
)

// server is a made-up server: step time grows with the batch, at most slots requests run at once.
type server struct {
	slots    float64
	baseMS   float64
	perReqMS float64
}

// measure makes the record of one test that begins at startNS, and returns when it ends.
func (s server) measure(id, kind string, n, in, out, runs int, startNS int64) (record.Record, int64) {
	waves := math.Ceil(float64(n) / s.slots)
	running := min(float64(n), s.slots)
	rec := record.Record{Schema: record.SchemaRecord, TestID: id, ConcurrentRequests: n, InputTokens: in, MaxOutputTokens: out,
		Status: record.StatusSuccess, Trust: record.Trust{Verdict: record.TrustSound, Findings: []record.Finding{}}}
	at := startNS
	var ttft, tpot, lat, tps float64
	for run := range runs {
		wobble := 1 + 0.02*float64(run%3-1)
		step := (s.baseMS + s.perReqMS*running) * wobble
		rep := record.Repeat{Run: run, Requests: n, Succeeded: n, StartNS: at,
			AvgTTFTMS: new(float64(in)*0.4*running*wobble + 30), AvgTPOTMS: new(step)}
		rep.AvgTotalLatencyMS = new((*rep.AvgTTFTMS + step*float64(out-1)) * (1 + (waves-1)/2))
		rep.MaxTotalLatencyMS = rep.AvgTotalLatencyMS
		rep.ThroughputTokensPerSec = new(float64(n*out) / (*rep.AvgTotalLatencyMS / (1 + (waves-1)/2) * waves) * 1000)
		at += int64(*rep.AvgTotalLatencyMS * waves * 1e6)
		rep.EndNS = at
		ttft, tpot = ttft+*rep.AvgTTFTMS/float64(runs), tpot+step/float64(runs)
		lat, tps = lat+*rep.AvgTotalLatencyMS/float64(runs), tps+*rep.ThroughputTokensPerSec/float64(runs)
		rec.Detail.Repeats = append(rec.Detail.Repeats, rep)
	}
	rec.Results = record.Results{AvgTTFTMS: &ttft, AvgTPOTMS: &tpot, AvgTotalLatencyMS: &lat, ThroughputTokensPerSec: &tps,
		PeakMemoryMB: new(22914.0), SuccessRate: new(1.0), Errors: []record.ErrorCount{}}
	d := &rec.Detail
	d.Kind, d.StartNS, d.EndNS, d.Requests, d.Succeeded = kind, startNS, at, n*runs, n*runs
	d.Latency = &record.Distribution{N: n * runs, Mean: lat, Min: lat, Max: lat, P50: &lat}
	d.TTFT = &record.Distribution{N: n * runs, Mean: ttft, Min: ttft, Max: ttft, P50: &ttft}
	d.Files = record.Files{Requests: "requests/" + id + ".jsonl", MemoryLog: "memory_logs/" + id + ".csv", ServerMetrics: "server_metrics/" + id + ".csv"}
	d.ServerDelta = &record.ServerDelta{Samples: 9, MaxRunning: &running, MaxWaiting: new(float64(n) - running),
		MaxKVUsage: new(min(1, 0.02*running)), Preemptions: new(0.0)}
	return rec, at
}

// folder makes samples for the records it was given.
type folder struct{ recs []record.Record }

func (f folder) find(name string) (record.Record, error) {
	for _, r := range f.recs {
		if f := r.Detail.Files; f.MemoryLog == name || f.ServerMetrics == name || f.Requests == name {
			return r, nil
		}
	}
	return record.Record{}, fmt.Errorf("%s: no such file", name)
}

func (f folder) ReadGPUSamples(name string) ([]record.GPUSample, error) {
	r, err := f.find(name)
	if err != nil {
		return nil, err
	}
	var out []record.GPUSample
	for at := r.Detail.StartNS; at < r.Detail.EndNS; at += 100e6 {
		out = append(out, record.GPUSample{AtNS: at, MemoryUsedMiB: new(22900 + 10*math.Sin(float64(at)/1e9)), MemoryTotalMiB: new(24576.0)})
	}
	return out, nil
}

func (f folder) ReadRequests(name string) ([]record.Request, error) {
	r, err := f.find(name)
	if err != nil || len(r.Detail.Repeats) == 0 {
		return nil, err
	}
	var out []record.Request
	p := r.Detail.Repeats[0]
	for i := range r.ConcurrentRequests {
		first := p.StartNS + int64(i+1)*20e6
		out = append(out, record.Request{TestID: r.TestID, Run: p.Run, Attempt: p.Attempt, Index: i, SentNS: p.StartNS, FirstTokenNS: &first, LastTokenNS: new(p.EndNS),
			EndNS: p.EndNS, Success: i%7 != 6})
	}
	return out, nil
}

func (f folder) ReadServerRows(name string) ([]record.ServerRow, error) {
	r, err := f.find(name)
	if err != nil {
		return nil, err
	}
	var out []record.ServerRow
	for at := r.Detail.StartNS; at < r.Detail.EndNS; at += 500e6 {
		x := float64(at-r.Detail.StartNS) / float64(r.Detail.EndNS-r.Detail.StartNS)
		out = append(out, record.ServerRow{AtNS: at, KVUsage: new(*r.Detail.ServerDelta.MaxKVUsage * math.Mod(3*x, 1))})
	}
	return out, nil
}

const cooldownNS = 30e9

// nine is the plan's T1–T9 with its two baselines.
func nine(t testing.TB) Input {
	s := server{slots: 16, baseMS: 28, perReqMS: 1.6}
	var in Input
	at := int64(2e9)
	add := func(list *[]record.Record, id, kind string, n, input, output, runs int, base *record.Baseline) {
		rec, end := s.measure(id, kind, n, input, output, runs, at)
		rec.Detail.Baseline = base
		if base != nil && *rec.Results.AvgTotalLatencyMS > 2*base.AvgTotalLatencyMS {
			rec.Status = record.StatusWarning
		}
		*list = append(*list, rec)
		at = end + cooldownNS
	}
	add(&in.Baselines, "baseline", record.KindBaseline, 1, 100, 100, 10, nil)
	add(&in.Baselines, "baseline-500-200", record.KindBaseline, 1, 500, 200, 3, nil)
	for i, n := range []int{1, 2, 4, 8, 16, 32} {
		add(&in.Tests, fmt.Sprintf("T%d", i+1), record.KindConcurrent, n, 100, 100, 3,
			&record.Baseline{TestID: "baseline", AvgTotalLatencyMS: *in.Baselines[0].Results.AvgTotalLatencyMS})
	}
	for i, n := range []int{4, 8, 16} {
		add(&in.Tests, fmt.Sprintf("T%d", i+7), record.KindConcurrent, n, 500, 200, 3,
			&record.Baseline{TestID: "baseline-500-200", AvgTotalLatencyMS: *in.Baselines[1].Results.AvgTotalLatencyMS})
	}
	return finish(t, in)
}

// one is a single test without baseline, telemetry or environment.
func one(t testing.TB) Input {
	rec, _ := server{slots: 8, baseMS: 20, perReqMS: 1}.measure("c8-100-100", record.KindConcurrent, 8, 100, 100, 1, 0)
	rec.Detail.Files, rec.Detail.ServerDelta, rec.Results.PeakMemoryMB = record.Files{}, nil, nil
	in := Input{Tests: []record.Record{rec}}
	doc, err := analysis.Analyze(analysis.Input{Tests: in.Tests})
	if err != nil {
		t.Fatal(err)
	}
	in.Analysis = &doc
	return in
}

// forty is a matrix of one's own: 36 tests of one shape at neighbouring concurrencies and four of
// others, some failed, resumed a day later.
func forty(t testing.TB) Input {
	s := server{slots: 200, baseMS: 18, perReqMS: 0.4}
	var in Input
	at := int64(0)
	n := 1
	for i := range 40 {
		input, output := 200, 40
		if i >= 36 {
			input, n = 400+100*i, 1<<(i-34)
		}
		rec, end := s.measure(fmt.Sprintf("load-%02d", i+1), record.KindConcurrent, n, input, output, 5, at)
		at = end + 10e9
		if i == 20 {
			at += int64(24 * time.Hour)
		}
		if i == 34 || i == 35 {
			rec.Status, rec.Results = record.StatusFailure, record.Results{SuccessRate: new(0.0),
				Errors: []record.ErrorCount{{Class: record.ErrTimeout, Count: n, Message: "no token for 60 s"}}}
			rec.Detail.Repeats, rec.Detail.Latency, rec.Detail.TTFT = nil, nil, nil
		}
		in.Tests = append(in.Tests, rec)
		n += 1 + n/6
	}
	in = finish(t, in)
	in.Run.Simulated, in.Run.Simulation = true, &record.Simulation{GPU: "rtx-3090", Model: "google/gemma-3-12b-it", Quant: "w4a16"}
	return in
}

func finish(t testing.TB, in Input) Input {
	t.Helper()
	in.Run = record.Run{Schema: record.SchemaRun, CreatedAt: time.Date(2025, 12, 1, 9, 30, 0, 0, time.UTC), ToolVersion: "v0.1.0",
		Identity: record.Identity{KVCacheDType: "auto"},
		Server: record.Server{BaseURL: "http://localhost:8000", ServedModel: "google/gemma-3-12b-it", ModelRoot: "google/gemma-3-12b-it",
			MaxModelLen: 4096, EngineVersion: "0.11.2"},
		Settings: record.Settings{Endpoint: "chat", Temperature: 0.7, Seed: 1, TimeoutS: 60, Warmup: 3, CooldownS: 30},
		GPUs:     []record.GPUInfo{{Name: "NVIDIA GeForce RTX 3090", MemoryTotalMiB: new(24576.0), DriverVersion: "570.86", Source: "nvml"}},
		Host:     record.Host{OS: "linux", Arch: "amd64", CPUs: 16}}
	in.Samples = folder{append(append([]record.Record{}, in.Baselines...), in.Tests...)}
	in.Sizing = sizing()
	in.Verify = verify()
	doc, err := analysis.Analyze(analysis.Input{Run: in.Run, Baselines: in.Baselines, Tests: in.Tests, Sizing: in.Sizing})
	if err != nil {
		t.Fatal(err)
	}
	in.Analysis = &doc
	return in
}

func say(s string) record.Text { return record.Text{En: s, Ko: s + " (한국어)"} }

func sizing() *record.Sizing {
	price := func(buy, hour float64) *record.Price {
		return &record.Price{BuyUSD: &buy, HourUSD: &hour, AsOf: "2025-11"}
	}
	memory := &record.SetupMemory{WeightsBytes: 24_400_000_000, KVCacheBytes: 44_000_000_000, KVCacheTokens: 120_000}
	return &record.Sizing{Schema: record.SchemaSizing, Model: record.SizedModel{ID: "google/gemma-3-12b-it"},
		Demand: record.Demand{Concurrent: 50, ContextTokens: 4096, InputTokens: 3072, OutputTokens: 1024},
		Setups: []record.Setup{
			{Rank: 1, GPU: "NVIDIA A100-SXM4-80GB", Count: 1, TensorParallel: 1, PipelineParallel: 1, Replicas: 1, Memory: memory, Fits: true,
				Concurrency: &record.Concurrency{Demand: 50, Guaranteed: 36, Steady: 60}, Price: price(15000, 1.79), Verdict: record.VerdictRecommended,
				Reasons: []record.Text{say("60 requests of 4,096 tokens fit in 41.0 GiB of KV cache, 20 % more than asked.")}},
			{Rank: 2, GPU: "NVIDIA A100-SXM4-80GB", Count: 2, TensorParallel: 2, PipelineParallel: 1, Replicas: 1, Memory: memory, Fits: true,
				Concurrency: &record.Concurrency{Demand: 50, Guaranteed: 136, Steady: 160}, Price: price(30000, 3.58), Verdict: record.VerdictGood,
				Reasons: []record.Text{say("160 requests fit.")}},
			{Rank: 3, GPU: "NVIDIA GeForce RTX 3090", Count: 1, TensorParallel: 1, PipelineParallel: 1, Replicas: 1, Memory: &record.SetupMemory{WeightsBytes: 24_400_000_000},
				Verdict: record.VerdictDoesNotFit, Reasons: []record.Text{say("22.7 GiB of weights leave nothing of the 22.8 GiB budget for the KV cache.")}},
		},
		Options: record.Options{Minimum: &record.Option{Rank: 1, GPU: "NVIDIA A100-SXM4-80GB", Count: 1, TensorParallel: 1, Price: price(15000, 1.79), Why: say("The cheapest that fits.")},
			Recommended: &record.Option{Rank: 1, GPU: "NVIDIA A100-SXM4-80GB", Count: 1, TensorParallel: 1, Price: price(15000, 1.79), Why: say("The cheapest with 20 % headroom.")}},
		Notes: []record.Text{say("Prices are of the cards alone.")},
		Plan: &record.PlanReview{Summary: say("The plan's total of 94.5 GB is wrong in both directions."),
			Errors: []record.PlanError{{Number: 1, Topic: say("Layers"), Plan: say("36 layers, 16 KV heads"), Truth: say("48 layers, 8 KV heads, head_dim 256"), Why: say("KV per token is 384 KiB before the sliding window is counted.")}},
			Candidates: []record.PlanCandidate{{Name: "RTX 3090", GPU: "NVIDIA GeForce RTX 3090", Count: 1, ExpectedLow: 3, ExpectedHigh: 5, Verdict: record.VerdictDoesNotFit, Comment: say("no room")},
				{Name: "2× A100 80GB (TP=2)", Count: 2, TP: 2, ExpectedLow: 50, Guaranteed: new(136), Steady: new(160), Verdict: record.VerdictGood, Comment: say("more than needed")}}},
	}
}

func verify() *record.Verify {
	return &record.Verify{Schema: record.SchemaVerify, ServerError: "connection refused at http://localhost:8000", Possible: new(false),
		Loaded: record.Loaded{Summary: say("Probably a 4-bit version of gemma-3-12b-it.")},
		Checks: []record.Check{{Name: "model", State: record.CheckOK, Evidence: say("google/gemma-3-12b-it")}, {Name: "quantization", State: record.CheckUnknown, Evidence: say("not served over HTTP")}},
		Claim: &record.Claim{Model: "google/gemma-3-12b-it", GPU: "NVIDIA GeForce RTX 3090", Count: 1, DType: "half", Quantization: "none", GPUMemoryUtilization: 0.95,
			MaxModelLen: 4096, TensorParallel: 1, PipelineParallel: 1, Possible: new(false),
			Reasons: []record.Reason{{Code: "dtype", Decisive: true, Text: say("vLLM refuses float16 for Gemma 3.")}, {Code: "memory", Decisive: true, Text: say("22.7 GiB of weights leave nothing for the KV cache.")}},
			Instead: []record.Alternative{{Quantization: "w4a16", WeightsBytes: 8_000_000_000, KVCacheBytes: 12_000_000_000, SteadyConcurrency: 9.4, Text: say("4-bit weights")}}},
	}
}
