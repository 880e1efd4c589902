package vllm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"bench/internal/record"
)

func readStartup(t *testing.T, log string) record.Startup {
	t.Helper()
	s, err := ReadStartupLog(strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func startupFile(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "startup", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// summary is a start-up in one line: settings, memory in GiB, the KV cache.
func summary(s record.Startup) string {
	var b strings.Builder
	word := func(name, v string) {
		if v != "" {
			fmt.Fprintf(&b, " %s=%s", name, v)
		}
	}
	num := func(name string, v any) {
		if p := reflect.ValueOf(v); !p.IsNil() {
			fmt.Fprintf(&b, " %s=%v", name, p.Elem())
		}
	}
	gib := func(name string, v *int64) {
		if v != nil {
			fmt.Fprintf(&b, " %s=%.2f", name, float64(*v)/(1<<30))
		}
	}
	fmt.Fprintf(&b, "%s %s %s", s.Version, s.Engine, s.Model)
	word("quant", s.Quantization)
	word("dtype", s.DType)
	word("kv", s.KVCacheDType)
	num("tp", s.TensorParallel)
	num("pp", s.PipelineParallel)
	num("dp", s.DataParallel)
	num("len", s.MaxModelLen)
	num("u", s.GPUMemoryUtilization)
	num("seqs", s.MaxNumSeqs)
	num("batched", s.MaxNumBatchedTokens)
	num("eager", s.EnforceEager)
	num("chunked", s.ChunkedPrefill)
	num("prefix", s.PrefixCaching)
	word("attention", s.AttentionBackend)
	word("sampler", s.Sampler)
	b.WriteString(" |")
	gib("total", s.TotalBytes)
	gib("free", s.FreeBytes)
	gib("weights", s.WeightsBytes)
	gib("activation", s.ActivationBytes)
	gib("non-torch", s.NonTorchBytes)
	gib("estimate", s.GraphEstimateBytes)
	gib("graphs", s.GraphBytes)
	gib("pool", s.KVCacheBytes)
	b.WriteString(" |")
	num("blocks", s.Blocks)
	num("tokens", s.KVCacheTokens)
	num("times", s.MaxConcurrency)
	num("at", s.ConcurrencyTokens)
	fmt.Fprintf(&b, " | engines=%d ranks=%d complete=%v", s.Engines, len(s.Ranks), s.Complete)
	return b.String()
}

func TestStartupLogs(t *testing.T) {
	for name, want := range map[string]string{
		"0.6.4.log": "0.6.4.post1 V0 microsoft/phi-1_5 quant=none dtype=float16 kv=auto tp=1 pp=1 len=2048 u=0.9 seqs=256 eager=false chunked=false prefix=false attention=XFormers" +
			" | total=7.92 weights=2.64 activation=0.48 non-torch=0.47 graphs=0.54 pool=3.54 | blocks=1207 times=9.43 at=2048 | engines=1 ranks=1 complete=true",
		// The second rank has less room, so its figures hold.
		"0.8.2-v0-tp2.log": "0.8.2 V0 Qwen/Qwen2.5-32B-Instruct-AWQ quant=awq_marlin dtype=float16 kv=fp8 tp=2 pp=1 dp=1 len=16384 u=0.95 eager=false chunked=false attention=FlashInfer" +
			" | total=23.64 weights=9.09 activation=1.48 non-torch=0.39 graphs=0.33 pool=11.49 | blocks=11769 times=11.49 at=16384 | engines=1 ranks=2 complete=true",
		"0.9.2-v1.log": "0.9.2 V1 /models/gemma-3-12b-it quant=none dtype=bfloat16 kv=auto tp=1 pp=1 len=8192 u=0.85 seqs=64 batched=2048 eager=false chunked=true prefix=true attention=Flash Attention sampler=pytorch" +
			" | weights=23.31 graphs=0.84 pool=12.31 | blocks=12600 tokens=33600 times=10.62 at=8192 | engines=1 ranks=1 complete=true",
		"0.11.0-tp2.log": "0.11.0 V1 meta-llama/Llama-3.1-70B-Instruct quant=none dtype=bfloat16 kv=auto tp=2 pp=1 dp=1 len=131072 u=0.9 batched=8192 eager=false chunked=true prefix=true attention=Flash Attention sampler=flashinfer" +
			" | total=139.81 free=139.21 weights=65.74 activation=5.58 non-torch=1.41 graphs=2.37 pool=53.10 | tokens=348000 times=2.66 at=131072 | engines=1 ranks=2 complete=true",
		"0.22.1-estimate.log": "0.22.1 V1 Qwen/Qwen3-8B quant=fp8 dtype=bfloat16 kv=auto tp=1 pp=1 dp=1 len=32768 u=0.92 eager=false chunked=true prefix=false attention=FLASH_ATTN sampler=flashinfer" +
			" | weights=8.74 estimate=0.61 graphs=0.41 pool=10.38 | tokens=75584 times=2.31 at=32768 | engines=1 ranks=1 complete=true",
		// The printed activation peak, 4.77, has the estimate in it.
		"0.29.0-dp2.log": "0.29.0 V1 Qwen/Qwen3-30B-A3B quant=none dtype=bfloat16 kv=fp8 tp=1 pp=1 dp=2 len=10240 u=0.92 seqs=128 batched=4096 eager=false chunked=true prefix=true" +
			" | total=139.81 free=139.27 weights=56.90 activation=1.71 non-torch=0.77 estimate=3.06 graphs=1.57 pool=66.19 | tokens=1445888 times=141.2 at=10240 | engines=2 ranks=2 complete=true",
		"0.32.0-cpu.log": "0.32.0 V1 tiny-gemma quant=none dtype=bfloat16 kv=auto tp=1 pp=1 dp=1 len=4096 seqs=8 eager=true chunked=true prefix=true" +
			" | pool=1.00 | tokens=979691 times=239.18 at=4096 | engines=1 ranks=1 complete=true",
		"0.23.0-refused.log": "0.23.0 V1 google/gemma-3-12b-it quant=none dtype=bfloat16 kv=auto tp=1 pp=1 dp=1 len=131072 u=0.92 eager=false chunked=true prefix=true" +
			" | total=23.56 free=0.88 | | engines=0 ranks=1 complete=false",
	} {
		t.Run(name, func(t *testing.T) {
			s := readStartup(t, startupFile(t, name))
			if got := summary(s); got != want {
				t.Errorf("read\n%s\nwant\n%s", got, want)
			}
			if len(s.Unread) > 0 {
				t.Errorf("unread lines: %q", s.Unread)
			}
			if failed := !s.Complete; failed != strings.HasPrefix(s.Error, "ValueError: Free memory on device cuda:0 (0.88/23.56 GiB)") {
				t.Errorf("complete: %v, error %q", s.Complete, s.Error)
			}
		})
	}
}

// TestStartupTermsAddUp: what was requested less the terms is the KV cache, on every rank that
// prints them all, to the printed digits.
func TestStartupTermsAddUp(t *testing.T) {
	checked := 0
	for _, name := range []string{"0.6.4.log", "0.8.2-v0-tp2.log", "0.11.0-tp2.log", "0.29.0-dp2.log"} {
		s := readStartup(t, startupFile(t, name))
		for _, r := range s.Ranks {
			if r.TotalBytes == nil {
				continue
			}
			left := *s.GPUMemoryUtilization*float64(*r.TotalBytes) - float64(*r.WeightsBytes+*r.ActivationBytes+*r.NonTorchBytes+*r.KVCacheBytes)
			if r.GraphEstimateBytes != nil {
				left -= float64(*r.GraphEstimateBytes)
			}
			if checked++; left > 0.03*(1<<30) || left < -0.03*(1<<30) {
				t.Errorf("%s, rank %q: %.3f GiB of the budget unaccounted for", name, r.Process, left/(1<<30))
			}
		}
	}
	if checked < 7 {
		t.Errorf("%d ranks were checked", checked)
	}
}

// decorations are what stands around a log's lines where people keep them.
var decorations = map[string]func(line string) string{
	"compose":  func(l string) string { return "vllm-1  | " + l },
	"k8s":      func(l string) string { return "2026-05-14T12:43:22.094118201Z stdout F " + l },
	"journald": func(l string) string { return "Aug 25 14:58:34 gpu0 vllm[17578]: " + l },
	"CRLF":     func(l string) string { return l + "\r" },
	"colours":  func(l string) string { return strings.ReplaceAll(l, "INFO ", "\x1b[32mINFO\x1b[0m ") + "\x1b[0;0m" },
	"worker colours": func(l string) string {
		if i := strings.Index(l, ")"); strings.HasPrefix(l, "(") && i > 0 {
			return "\x1b[1;36m" + l[:i+1] + "\x1b[0;0m" + l[i+1:]
		}
		return l
	},
	"colours pasted": func(l string) string { return "[1;36m" + l + "[0;0m" },
	"torchserve":     func(l string) string { return "W-210-model-stdout: #033[1;36m" + l + "#033[0;0m" },
	"docker json": func(l string) string {
		data, _ := json.Marshal(map[string]string{"log": "\x1b[1;36m" + l + "\x1b[0m\n", "stream": "stderr"}) // of strings: cannot fail
		return string(data)
	},
	"indented": func(l string) string { return "    " + l },
}

// TestStartupDecorations: what stands around the lines changes nothing.
func TestStartupDecorations(t *testing.T) {
	files, err := filepath.Glob("testdata/startup/*.log")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d logs, %v", len(files), err)
	}
	for _, file := range files {
		log := startupFile(t, filepath.Base(file))
		want := readStartup(t, log)
		for kind, decorate := range decorations {
			lines := strings.Split(strings.TrimSuffix(log, "\n"), "\n")
			for i, l := range lines {
				lines[i] = decorate(l)
			}
			got := readStartup(t, strings.Join(lines, "\n")+"\n")
			if summary(got) != summary(want) || got.Error != want.Error || len(got.Unread) > 0 {
				t.Errorf("%s with %s: read\n%s\nwant\n%s\nunread %q", file, kind, summary(got), summary(want), got.Unread)
			}
		}
	}
}

// TestStartupCutAnywhere cuts logs anywhere: never an error once a start-up began, nothing appears
// before its line is whole, and nothing that was there goes again.
func TestStartupCutAnywhere(t *testing.T) {
	for name, stride := range map[string]int{"0.8.2-v0-tp2.log": 3, "0.29.0-dp2.log": 11} {
		log := startupFile(t, name)
		read := func(cut int) string {
			s, err := ReadStartupLog(strings.NewReader(log[:cut]))
			if err != nil {
				return ""
			}
			s.Lines, s.Unread = 0, nil
			data, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			return string(data)
		}
		var before map[string]any
		whole, end := "", 0 // what the lines up to end say
		for end < len(log) {
			next := end + strings.IndexByte(log[end:], '\n') + 1
			for cut := end + 1; cut < next; cut += stride {
				// The first line of a start-up may begin it before it is whole.
				if got := read(cut); got != whole && whole != "" {
					t.Fatalf("%s cut at %d, inside a line: read\n%s\nwant what the whole lines say\n%s", name, cut, got, whole)
				}
			}
			now := map[string]any{}
			end, whole = next, read(next)
			if whole == "" && before != nil {
				t.Fatalf("%s cut at %d: an error", name, end)
			}
			if whole == "" {
				continue
			}
			if err := json.Unmarshal([]byte(whole), &now); err != nil {
				t.Fatal(err)
			}
			for key, v := range before {
				if v != nil && now[key] == nil {
					t.Fatalf("%s cut at %d: %s is gone again", name, end, key)
				}
			}
			before = now
		}
	}
	log := startupFile(t, "0.9.2-v1.log")
	s := readStartup(t, log[:strings.Index(log, "600 tokens")])
	if s.KVCacheTokens != nil || len(s.Unread) != 1 || !strings.Contains(s.Unread[0], "line 14, cut off: ") {
		t.Errorf("cut in a number: tokens %v, unread %q", s.KVCacheTokens, s.Unread)
	}
}

func TestStartupsInOneFile(t *testing.T) {
	old, refused, dp := startupFile(t, "0.9.2-v1.log"), startupFile(t, "0.23.0-refused.log"), startupFile(t, "0.29.0-dp2.log")
	for _, c := range []struct {
		name, log     string
		starts, taken int
		version       string
	}{
		{"the later one", old + dp, 2, 2, "0.29.0"},
		{"the last that came up", dp + refused, 2, 1, "0.29.0"},
		{"a failed one, then restarts", refused + refused + dp, 3, 3, "0.29.0"},
		{"none came up", refused + refused, 2, 2, "0.23.0"},
		{"the newer of two alike", old + old, 2, 2, "0.9.2"},
	} {
		s := readStartup(t, c.log)
		if s.Starts != c.starts || s.Taken != c.taken || s.Version != c.version {
			t.Errorf("%s: %d starts, took %d of %s; want %d, %d of %s", c.name, s.Starts, s.Taken, s.Version, c.starts, c.taken, c.version)
		}
	}
	s := readStartup(t, old+dp)
	if want := strings.Count(old, "\n") + 1; s.FirstLine != want {
		t.Errorf("it begins in line %d, want %d", s.FirstLine, want)
	}
	// Without an API server only the engines' lines part them.
	engines := func(log string) string { return log[strings.Index(log, "Initializing a"):] }
	if s := readStartup(t, engines(old)+engines(old)); s.Starts != 2 {
		t.Errorf("two starts of an engine alone count as %d", s.Starts)
	}
	if s := readStartup(t, "(EngineCore_DP0 pid=11) "+engines(dp)+"(EngineCore_DP0 pid=99) "+engines(dp)); s.Starts != 2 {
		t.Errorf("an engine that came again under another pid counts as %d starts", s.Starts)
	}
}

func TestProcessOf(t *testing.T) {
	for line, want := range map[string]process{
		"(Worker_TP0_EP0 pid=514) INFO x":                                  {"Worker_TP0_EP0", "514"},
		"(VllmWorker rank=1 pid=2061) INFO x":                              {"VllmWorker rank=1", "2061"},
		"(VllmWorker TP0 pid=88) INFO x":                                   {"VllmWorker TP0", "88"},
		"(VllmWorkerProcess pid=521) INFO x":                               {"VllmWorkerProcess", "521"},
		"(RayWorkerWrapper pid=586, ip=10.0.0.7) INFO x":                   {"RayWorkerWrapper", "586"},
		"vllm-1  | (EngineCore_DP0 pid=9) INFO x":                          {"EngineCore_DP0", "9"},
		"INFO 07-17 12:07:16 [core.py:69] no process":                      {},
		"INFO killed pid=7 (out of memory)":                                {},
		"(EngineCore pid=1) INFO the parent of (Worker_TP0 pid=514) is up": {"EngineCore", "1"},
	} {
		if got := processOf(line); got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
}

func TestStartupArguments(t *testing.T) {
	s := readStartup(t, `INFO x] non-default args: {'model_tag': 'a/b', 'model': 'a/b', 'enable_expert_parallel': True, 'limit_mm_per_prompt': {'video': 1, 'image': 0}, 'kv_cache_memory_bytes': 4294967296, 'served_model_name': ['one', 'two'], 'hf_overrides': {'x': 'it\\'s, model=\\'c/d\\''}}
`)
	if s.Model != "a/b" || s.ServedModel != "one" || s.ExpertParallel == nil || !*s.ExpertParallel || s.ImagesPerPrompt == nil || *s.ImagesPerPrompt != 0 || !s.KVCacheByHand {
		t.Errorf("read %+v", s)
	}
	s = readStartup(t, "INFO x] args: Namespace(model='a/b', kv_cache_dtype='auto', num_gpu_blocks_override=None, quantization=None, gpu_memory_utilization=7.5, max_num_seqs=-3)\n")
	if s.KVCacheByHand || s.Quantization != "" || s.GPUMemoryUtilization != nil || s.MaxNumSeqs != nil || s.KVCacheDType != "auto" {
		t.Errorf("read %+v", s)
	}
}

func TestStartupUnread(t *testing.T) {
	log := startupFile(t, "0.9.2-v1.log")
	changed := strings.Replace(log, "Available KV cache memory: 12.31 GiB", "Available KV cache memory is 13 GB\x1b]8;;\x07", 1)
	s := readStartup(t, changed)
	if s.KVCacheBytes != nil {
		t.Errorf("the KV cache is %d bytes, from a line that is not readable", *s.KVCacheBytes)
	}
	want := "line 13, no longer readable: INFO 07-17 12:07:59 [gpu_worker.py:232] Available KV cache memory is 13 GB"
	if len(s.Unread) != 1 || !strings.HasPrefix(s.Unread[0], want) || strings.ContainsAny(s.Unread[0], "\x1b\x07") {
		t.Errorf("unread %q, want %q", s.Unread, want)
	}
	s = readStartup(t, log+strings.Repeat("GPU KV cache size: many tokens\n", 1000))
	if len(s.Unread) != maxUnread || *s.KVCacheTokens != 33600 {
		t.Errorf("%d unread lines, %d tokens", len(s.Unread), *s.KVCacheTokens)
	}
	// Once it serves, a request's text can say nothing about it.
	s = readStartup(t, startupFile(t, "0.29.0-dp2.log")+"INFO [logger.py:43] echo: GPU KV cache size: 7 tokens\n")
	if *s.KVCacheTokens != 1445888 || s.Unread != nil {
		t.Errorf("after the start: %d tokens, unread %q", *s.KVCacheTokens, s.Unread)
	}
}

func TestStartupLongLines(t *testing.T) {
	log := startupFile(t, "0.9.2-v1.log")
	want := summary(readStartup(t, log))
	long := strings.Repeat("x", maxLogLine+12345)
	if got := readStartup(t, long+"\n"+strings.Replace(log, "INFO 07-17 12:07:18 [parallel", long+" [parallel", 1)); summary(got) != want {
		t.Errorf("with lines above the bound read\n%s\nwant\n%s", summary(got), want)
	}
	// A known line that fits the bound is read whole.
	args := "'hf_overrides': '" + strings.Repeat("y", maxLogLine-2000) + "', 'model': "
	if got := readStartup(t, strings.Replace(log, "'model': ", args, 1)); summary(got) != want {
		t.Errorf("with a line near the bound read\n%s\nwant\n%s", summary(got), want)
	}
}

func TestStartupLogErrors(t *testing.T) {
	_, err := ReadStartupLog(strings.NewReader("hello\nworld\n"))
	if err == nil || !strings.Contains(err.Error(), "2 lines hold no start-up of vLLM") {
		t.Errorf("no log: %v", err)
	}
	if _, err := ReadStartupLog(strings.NewReader("")); err == nil {
		t.Error("an empty log is no error")
	}
	broken := errors.New("disk on fire")
	_, err = ReadStartupLog(io.MultiReader(strings.NewReader(startupFile(t, "0.9.2-v1.log")), failingReader{broken}))
	if !errors.Is(err, broken) {
		t.Errorf("a broken file: %v", err)
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func FuzzReadStartupLog(f *testing.F) {
	files, _ := filepath.Glob("testdata/startup/*.log")
	for _, file := range files {
		f.Add(startupFile(f, filepath.Base(file)))
	}
	f.Add("# GPU blocks: 99999999999999999999\nModel loading took -.-. GiB\n non-default args: {'model': '\\'")
	f.Fuzz(func(t *testing.T, log string) {
		s, err := ReadStartupLog(strings.NewReader(log))
		if err != nil {
			return
		}
		if s.Taken < 1 || s.Taken > s.Starts || s.FirstLine > s.Lines || len(s.Unread) > maxUnread {
			t.Errorf("took %d of %d starts, line %d of %d, %d unread", s.Taken, s.Starts, s.FirstLine, s.Lines, len(s.Unread))
		}
		if _, err := json.Marshal(s); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkReadStartupLog(b *testing.B) {
	start := startupFile(b, "0.32.0-cpu.log")
	start = start[:strings.Index(start, "INFO:     Application")]
	log := start + strings.Repeat("DEBUG 11-25 11:47:49 [somewhere.py:12] a line that says nothing about memory at all, over and over\n", 100_000)
	b.SetBytes(int64(len(log)))
	for b.Loop() {
		if _, err := ReadStartupLog(strings.NewReader(log)); err != nil {
			b.Fatal(err)
		}
	}
}
