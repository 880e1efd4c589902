package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"bench/internal/capacity"
	"bench/internal/catalog"
	"bench/internal/gpu"
	"bench/internal/record"
	"bench/internal/runner"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// environmentFlags have a BENCH_ twin: --base-url is BENCH_BASE_URL.
var environmentFlags = []string{"base-url", "served-model", "api-key-file", "timeout", "wait", "out", "resume", "json", "seed", "lang"}

// fromEnvironment sets flags that were not given from their twins.
func (a *app) fromEnvironment(c *cobra.Command, _ []string) error {
	for _, name := range environmentFlags {
		twin := "BENCH_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		f := c.Flags().Lookup(name)
		if v := a.env(twin); v != "" && f != nil && !f.Changed {
			if err := c.Flags().Set(name, v); err != nil {
				if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
					err = wrongValue(invalid)
				}
				return usagef("environment variable %s %w", twin, err)
			}
		}
	}
	return nil
}

// What a command without flags means.
const (
	defaultURL = "http://localhost:8000"
	defaultOut = "results"
)

// serverFlags name the server under test.
type serverFlags struct {
	baseURL, served, keyFile string
	timeout, wait            time.Duration
}

func (f *serverFlags) register(fs *pflag.FlagSet) {
	defer topic(fs, "The server")()
	fs.StringVar(&f.baseURL, "base-url", defaultURL, "the server, or sim: for the embedded simulator (sim:gpu=rtx-3090,model=…,quant=w4a16,tp=1)")
	fs.StringVar(&f.served, "served-model", "", "served name, where the server has several")
	fs.StringVar(&f.keyFile, "api-key-file", "", "file with the server's key (else VLLM_API_KEY or OPENAI_API_KEY)")
	fs.DurationVar(&f.timeout, "timeout", 60*time.Second, "longest time a request may take")
	fs.DurationVar(&f.wait, "wait", 0, "wait so long for a server that is still loading")
}

func (f *serverFlags) check() error {
	switch {
	case f.timeout <= 0:
		return usagef("--timeout %v: want a time above zero", f.timeout)
	case f.wait < 0:
		return usagef("--wait %v: want a time above zero", f.wait)
	}
	return nil
}

// simulated says whether the target is the embedded simulator.
func (f *serverFlags) simulated() bool { return strings.HasPrefix(f.baseURL, "sim:") }

// key is the API key; it comes from a file or the environment and goes nowhere but to the server.
func (f *serverFlags) key(env func(string) string) (string, error) {
	if f.keyFile != "" {
		data, err := os.ReadFile(f.keyFile)
		if err != nil {
			return "", usagef("--api-key-file: %w", err)
		}
		key := strings.TrimSpace(string(data))
		if key == "" || strings.ContainsAny(key, "\r\n") {
			return "", usagef("--api-key-file %s must hold one line with the key", f.keyFile)
		}
		return key, nil
	}
	if key := env("VLLM_API_KEY"); key != "" {
		return key, nil
	}
	return env("OPENAI_API_KEY"), nil
}

// outFlags say where results go and how they are shown.
type outFlags struct {
	dir    string
	json   bool
	resume bool
	seed   int64
	lang   string
}

func (f *outFlags) register(fs *pflag.FlagSet) {
	defer topic(fs, "Results")()
	fs.StringVar(&f.dir, "out", defaultOut, "result folder")
	fs.BoolVar(&f.json, "json", false, "print the command's document on stdout as JSON")
}

func (f *outFlags) registerRecording(fs *pflag.FlagSet) {
	defer topic(fs, "Results")()
	f.register(fs)
	fs.BoolVar(&f.resume, "resume", false, "go on where an interrupted run stopped")
	fs.Int64Var(&f.seed, "seed", 1, "seed of the prompts")
}

func (f *outFlags) registerReport(fs *pflag.FlagSet) {
	defer topic(fs, "Results")()
	fs.StringVar(&f.lang, "lang", "en", "language of the report: en or ko")
}

func (f *outFlags) check() error {
	if f.lang != "" && f.lang != "en" && f.lang != "ko" {
		return usagef("--lang %q: want en or ko", f.lang)
	}
	return nil
}

// loadFlags shape requests and the procedure.
type loadFlags struct {
	input, output  int
	temperature    float64
	endpoint       string
	runs, requests int
	warmup         int
	cooldown       time.Duration
	waitReturn     time.Duration
	findLimit      bool
	maxConcurrent  int
	precise        string
	maxRuns        int
	concurrent     int
	matrix         string
	arrivals       arrivalFlags
	slo            sloFlags
	workload       workloadFlags
	shard          shardFlags
	telemetry      string
	gpuIndex       []int
}

func (f *loadFlags) registerShape(fs *pflag.FlagSet, runs int) {
	done := topic(fs, "Each request")
	fs.IntVar(&f.input, "input-tokens", 100, "prompt tokens of a request, chat template included")
	fs.IntVar(&f.output, "output-tokens", 100, "tokens each answer is asked to have")
	done()
	f.registerProcedure(fs, runs)
}

func (f *loadFlags) registerProcedure(fs *pflag.FlagSet, runs int) {
	done := topic(fs, "Each request")
	fs.Float64Var(&f.temperature, "temperature", 0.7, "sampling temperature, 0 to 2")
	fs.StringVar(&f.endpoint, "endpoint", "chat", "chat or completions")
	done()
	done = topic(fs, "Procedure")
	fs.IntVar(&f.runs, "runs", runs, "repeats of each test")
	fs.IntVar(&f.warmup, "warmup", 3, "warm-up requests before each test, never counted")
	fs.DurationVar(&f.cooldown, "cooldown", 30*time.Second, "rest between tests")
	fs.DurationVar(&f.waitReturn, "wait-return", 0, "wait so long for a server that dies under a test, then go on with the next")
	done()
	defer topic(fs, "The server's GPUs")()
	fs.StringVar(&f.telemetry, "gpu-telemetry", "auto", "where GPU samples come from: auto, nvml, nvidia-smi or none")
	fs.IntSliceVar(&f.gpuIndex, "gpu-index", nil, "GPUs the server uses, by index (default those its processes are on)")
}

// telemetryModes are where GPU samples may come from.
var telemetryModes = [...]string{gpu.Auto, gpu.NVML, gpu.NvidiaSMI, gpu.None}

func (f *loadFlags) check() error {
	switch {
	case f.endpoint != "chat" && f.endpoint != "completions":
		return usagef("--endpoint %q: want chat or completions", f.endpoint)
	case !(f.temperature >= 0 && f.temperature <= 2):
		return usagef("--temperature %v: want 0 to 2", f.temperature)
	case !slices.Contains(telemetryModes[:], f.telemetry):
		return usagef("--gpu-telemetry %q: want %s", f.telemetry, strings.Join(telemetryModes[:], ", "))
	case f.waitReturn < 0:
		return usagef("--wait-return %v: want a time above zero", f.waitReturn)
	case f.warmup < 0 || f.warmup > 1000:
		return usagef("--warmup %d: want 0 to 1000", f.warmup)
	case f.cooldown < 0:
		return usagef("--cooldown %v: want 0s or more", f.cooldown)
	}
	if _, err := f.precision(); err != nil {
		return err
	}
	if err := runner.CheckTest(runner.Baseline(runner.Shape{InputTokens: 1, OutputTokens: 1}, f.runs)); err != nil {
		return usagef("--runs: %w", err)
	}
	return nil
}

func (f *loadFlags) settings(s *serverFlags, o *outFlags) record.Settings {
	return record.Settings{Endpoint: f.endpoint, Temperature: f.temperature, Seed: o.seed, TimeoutS: s.timeout.Seconds(),
		Warmup: f.warmup, CooldownS: f.cooldown.Seconds(), GPUTelemetry: f.telemetry}
}

// engineFlags describe a vLLM set-up: the one claimed to run, or the one to size.
type engineFlags struct {
	model, config                 string
	dtype, quantization, kvDType  string
	utilization                   float64
	maxModelLen, maxSeqs, maxToks int
	eager                         bool
	tp, pp                        int
	ep                            bool
	mmLimit                       string
	version                       string
	gpus                          []string
	serverLog                     string
}

// registerServerLog adds --server-log, for the commands that look at a server that has started.
func (f *engineFlags) registerServerLog(fs *pflag.FlagSet) {
	defer topic(fs, "Set-up")()
	fs.StringVar(&f.serverLog, "server-log", "", "the server's start-up log (vLLM 0.6 and later): the surest source of weights, KV pool and quantisation")
}

func (f *engineFlags) register(fs *pflag.FlagSet) {
	defer topic(fs, "Set-up")()
	fs.StringVar(&f.model, "model", "", "model, by its Hugging Face id")
	fs.StringVar(&f.config, "model-config", "", "a model the catalogue does not have: its config.json, its checkpoint's folder (exact bytes from the files' headers) or a .gguf file")
	fs.StringVar(&f.dtype, "dtype", "", "as vLLM's: auto, half, float16, bfloat16, float32")
	fs.StringVar(&f.quantization, "quantization", "", "as vLLM's: none, w4a16, awq, gptq, fp8, int8, bitsandbytes, …")
	fs.StringVar(&f.kvDType, "kv-cache-dtype", "", "as vLLM's: auto, fp8, …")
	fs.Float64Var(&f.utilization, "gpu-memory-utilization", 0, "as vLLM's; 0 is the version's default")
	fs.IntVar(&f.maxModelLen, "max-model-len", 0, "as vLLM's; 0 is the model's own context")
	fs.IntVar(&f.maxSeqs, "max-num-seqs", 0, "as vLLM's; 0 is the version's default")
	fs.IntVar(&f.maxToks, "max-num-batched-tokens", 0, "as vLLM's; 0 is the version's default")
	fs.BoolVar(&f.eager, "enforce-eager", false, "as vLLM's")
	fs.IntVar(&f.tp, "tensor-parallel-size", 0, "as vLLM's")
	fs.IntVar(&f.pp, "pipeline-parallel-size", 0, "as vLLM's")
	fs.BoolVar(&f.ep, "enable-expert-parallel", false, "as vLLM's")
	fs.StringVar(&f.mmLimit, "limit-mm-per-prompt", "", `as vLLM's; image=0 or {"image":0} leaves the image encoder out of the plan`)
	fs.StringVar(&f.version, "vllm-version", "", "vLLM version whose accounting applies (default the newest known)")
	fs.StringSliceVar(&f.gpus, "gpu", nil, "GPU by name, may be given several times")
}

// given says whether any of the flags was set.
func (f *engineFlags) given() bool {
	return f.model != "" || f.config != "" || f.dtype != "" || f.quantization != "" || f.kvDType != "" || f.utilization != 0 ||
		f.maxModelLen != 0 || f.maxSeqs != 0 || f.maxToks != 0 || f.eager || f.ep || f.mmLimit != "" || f.tp != 0 || f.pp != 0 || f.version != "" || len(f.gpus) > 0
}

func (f *engineFlags) check() error {
	for _, v := range []struct {
		flag string
		n    int
	}{{"max-model-len", f.maxModelLen}, {"max-num-seqs", f.maxSeqs}, {"max-num-batched-tokens", f.maxToks},
		{"tensor-parallel-size", f.tp}, {"pipeline-parallel-size", f.pp}} {
		if v.n < 0 {
			return usagef("--%s %d: want a positive number", v.flag, v.n)
		}
	}
	if !(f.utilization >= 0 && f.utilization <= 1) {
		return usagef("--gpu-memory-utilization %v: want 0 to 1", f.utilization)
	}
	return nil
}

func (f *engineFlags) engine() capacity.Engine {
	return capacity.Engine{Version: f.version, DType: f.dtype, Quantization: f.quantization, KVCacheDType: f.kvDType,
		GPUMemoryUtilization: f.utilization, MaxModelLen: f.maxModelLen, MaxNumSeqs: f.maxSeqs, MaxNumBatchedTokens: f.maxToks,
		EnforceEager: f.eager, TensorParallel: f.tp, PipelineParallel: f.pp, ExpertParallel: f.ep, NoImages: noImages(f.mmLimit)}
}

// noImages says whether a --limit-mm-per-prompt, in its JSON form or the older one, allows no image.
func noImages(limit string) bool {
	plain := strings.NewReplacer(" ", "", `"`, "", "{", "", "}", "", ":", "=").Replace(limit)
	return slices.Contains(strings.Split(plain, ","), "image=0")
}

// findModel is the model named by the flags; ok is false when none was named.
func (f *engineFlags) findModel() (m catalog.Model, ok bool, err error) {
	switch {
	case f.model != "" && f.config != "":
		return m, false, usagef("--model and --model-config exclude each other")
	case f.model != "":
		m, err = catalog.FindModel(f.model)
	case f.config != "":
		m, err = readModelConfig(f.config)
	default:
		return m, false, nil
	}
	if err != nil {
		return m, false, usageError{err}
	}
	return m, true, nil
}

// readModelConfig reads a model from its config.json, a GGUF file, or a checkpoint's folder.
func readModelConfig(path string) (catalog.Model, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return catalog.Model{}, fmt.Errorf("--model-config %s: no such file or folder", path)
	}
	if err != nil {
		return catalog.Model{}, fmt.Errorf("--model-config: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return catalog.ReadCheckpoint(path, os.DirFS(path))
	}
	return catalog.ParseConfig(path, file)
}

// findGPUs are the GPUs named by the flags.
func (f *engineFlags) findGPUs() ([]catalog.GPU, error) {
	var out []catalog.GPU
	for _, name := range f.gpus {
		g, err := catalog.FindGPU(name)
		if err != nil {
			return nil, usageError{fmt.Errorf("--gpu: %w", err)}
		}
		out = append(out, g)
	}
	return out, nil
}
