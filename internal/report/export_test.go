package report

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"bench/internal/record"
)

// list is a source of requests from memory.
type list map[string][]record.Request

func (l list) EachRequest(name string, do func(*record.Request) error) error {
	for i := range l[name] {
		if err := do(&l[name][i]); err != nil {
			return err
		}
	}
	return nil
}

// exported is a folder of two tests, one of them simulated and with a server's hostile text in it.
func exported(text string) (Input, list) {
	in := Input{Run: record.Run{ToolVersion: "v1", Identity: record.Identity{ModelRoot: text, EngineVersion: "0.32.0"},
		GPUs: []record.GPUInfo{{Name: "NVIDIA L4"}, {Name: "NVIDIA L4"}}}}
	base := record.Record{TestID: "baseline", ConcurrentRequests: 1, InputTokens: 100, MaxOutputTokens: 50, Status: record.StatusSuccess,
		Trust: record.Trust{Verdict: record.TrustSound}}
	base.Results = record.Results{AvgTTFTMS: new(12.5), AvgTPOTMS: new(3.0), AvgTotalLatencyMS: new(159.5), ThroughputTokensPerSec: new(310.25),
		PeakMemoryMB: new(20000.0), SuccessRate: new(1.0)}
	base.Detail = record.Detail{Kind: record.KindBaseline, Requests: 2, TTFT: &record.Distribution{N: 6, P50: new(12.0)}, Files: record.Files{Requests: "a"},
		Repeats: []record.Repeat{
			{Requests: 1, Succeeded: 1, AvgTTFTMS: new(12.0), AvgTPOTMS: new(3.0), AvgTotalLatencyMS: new(159.0), ThroughputTokensPerSec: new(310.5)},
			{Run: 1, Requests: 1, Succeeded: 1, AvgTTFTMS: new(13.0), AvgTPOTMS: new(3.0), AvgTotalLatencyMS: new(160.0), ThroughputTokensPerSec: new(310.0)}}}
	broken := record.Record{TestID: text, ConcurrentRequests: 8, InputTokens: 100, MaxOutputTokens: 50, Status: record.StatusFailure,
		Trust: record.Trust{Verdict: record.TrustDoubtful}}
	broken.Results = record.Results{SuccessRate: new(0.0), Errors: []record.ErrorCount{{Class: record.ErrHTTP5xx, Count: 1, Message: text}}}
	broken.Detail = record.Detail{Kind: record.KindConcurrent, Simulated: true, Requests: 1, Files: record.Files{Requests: "b"},
		Repeats: []record.Repeat{{Requests: 1}}}
	in.Baselines, in.Tests = []record.Record{base}, []record.Record{broken}
	in.Analysis = &record.Analysis{Simulated: true, Ladders: []record.Ladder{{InputTokens: 100, MaxOutputTokens: 50,
		OOM: record.Limit{Concurrent: new(8.0), Reached: true, Cause: record.CauseEngineDeath}, Saturation: record.Limit{Concurrent: new(8.0)}}}}
	return in, list{
		"a": {{TestID: "baseline", ScheduledNS: 5, SentNS: 1e6, FirstTokenNS: new(int64(13e6)), LastTokenNS: new(int64(160e6)), EndNS: 161e6, TokenNS: []int64{13e6, 160e6},
			PromptTokens: new(100), CompletionTokens: new(50), CountedTokens: 50, HTTPStatus: 200, FinishReason: "length", Done: true, Success: true}},
		"b": {{TestID: text, Run: 2, SentNS: 1e6, EndNS: 2e6, HTTPStatus: 500, FinishReason: text, Error: record.ErrHTTP5xx, Message: text}},
	}
}

var hostile = []string{"T4", `=HYPERLINK("http://x","y")`, "+1", "-1+1", "@SUM(A1)", "＝1", "\t=1", "  =1", "a,b\"c\nd", "x y/z-7", "\x1b[31m", "\xff", "BenchmarkX 1 2 ns/op", "</td><script>", "x: y", ""}

// TestRequestsExport: CSV and JSON Lines say the same, field for field; what is not known is empty and null; and no cell begins
// as a formula.
func TestRequestsExport(t *testing.T) {
	for _, text := range hostile {
		in, from := exported(text)
		var c, j bytes.Buffer
		if err := CSVRequests(&c, in, from); err != nil {
			t.Fatal(err)
		}
		if err := JSONLRequests(&j, in, from); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&c).ReadAll()
		if err != nil || len(rows) != 3 {
			t.Fatalf("%q: %d rows, %v", text, len(rows), err)
		}
		lines := bufio.NewScanner(&j)
		for _, row := range rows[1:] {
			if !lines.Scan() {
				t.Fatalf("%q: a line of JSON is missing", text)
			}
			dec := json.NewDecoder(bytes.NewReader(lines.Bytes()))
			dec.UseNumber()
			var object map[string]any
			if err := dec.Decode(&object); err != nil {
				t.Fatal(err)
			}
			for i, name := range rows[0] {
				want := ""
				if v := object[name]; v != nil {
					want = fmt.Sprint(v)
				}
				// Invalid UTF-8 is replaced in JSON, and CSV's reader makes \n of \r\n.
				got := strings.ToValidUTF8(strings.TrimPrefix(row[i], "'"), "\uFFFD")
				if got != want {
					t.Errorf("%q: %s is %q in CSV and %q in JSON", text, name, row[i], want)
				}
				if strings.IndexAny(strings.TrimLeft(row[i], " \t\r\n"), "=+-@＝＋－＠") == 0 {
					t.Errorf("%q: %s begins as a formula: %q", text, name, row[i])
				}
				delete(object, name)
			}
			delete(object, "token_ns") // a list is no cell
			if len(object) > 0 {
				t.Errorf("%q: CSV lacks %v", text, object)
			}
		}
		if lines.Scan() {
			t.Errorf("%q: one line of JSON too many", text)
		}
	}
	in, from := exported("T4")
	var c bytes.Buffer
	if err := CSVRequests(&c, in, from); err != nil {
		t.Fatal(err)
	}
	if want := "baseline,baseline,1,false,0,0,0,true,,,200,length,true,12,3,159,50,"; !strings.Contains(c.String(), want) {
		t.Errorf("no row %q in\n%s", want, c.String())
	}
	if want := "T4,concurrent,8,true,2,0,0,false,http_5xx,T4,500,T4,false,,,,0,"; !strings.Contains(c.String(), want) {
		t.Errorf("no row %q in\n%s", want, c.String())
	}
}

// benchLine is one result of Go's benchmark format.
type benchLine struct {
	name   string
	n      int
	values map[string]float64
	config map[string]string
}

// readBenchfmt reads Go's benchmark format as golang.org/design/14313-benchmark-format has it.
func readBenchfmt(t *testing.T, text string) []benchLine {
	t.Helper()
	var out []benchLine
	config := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		first, _, _ := strings.Cut(line, " ")
		if name, ok := strings.CutPrefix(first, "Benchmark"); ok {
			if !unicode.IsUpper([]rune(name + "x")[0]) {
				t.Errorf("%q: no upper-case letter after Benchmark", line)
			}
			fields := strings.Fields(line)
			r := benchLine{name: name, values: map[string]float64{}, config: map[string]string{}}
			for k, v := range config {
				r.config[k] = v
			}
			var err error
			if r.n, err = strconv.Atoi(fields[1]); err != nil || len(fields)%2 != 0 || len(fields) < 4 {
				t.Fatalf("%q: no number, or not values and units in turn", line)
			}
			for i := 2; i < len(fields); i += 2 {
				if r.values[fields[i+1]], err = strconv.ParseFloat(fields[i], 64); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
			}
			out = append(out, r)
		} else if key, value, ok := strings.Cut(line, ": "); ok && unicode.IsLower([]rune(key + "X")[0]) && !strings.ContainsFunc(key, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsUpper(r) }) {
			config[key] = value
		} else if !strings.HasPrefix(line, "# ") && !strings.HasPrefix(line, "Unit ") {
			t.Errorf("line %q is nothing of the format", line)
		}
	}
	return out
}

func TestBenchfmt(t *testing.T) {
	for _, text := range hostile {
		in, _ := exported(text)
		var b bytes.Buffer
		if err := Benchfmt(&b, in); err != nil {
			t.Fatal(err)
		}
		got := readBenchfmt(t, b.String())
		if len(got) != 3 {
			t.Fatalf("%q: %d lines, want one a repeat:\n%s", text, len(got), b.String())
		}
		first, last := got[0], got[2]
		if first.name != "Serve/test=baseline/concurrent=1/in=100/out=50" || first.n != 1 || first.values["ttft-ns"] != 12e6 || first.values["tpot-ns"] != 3e6 ||
			first.values["latency-ns"] != 159e6 || first.values["tokens/s"] != 310.5 || first.values["failed-requests"] != 0 {
			t.Errorf("%q: first line %+v", text, first)
		}
		if len(last.values) != 1 || last.values["failed-requests"] != 1 || last.n != 0 || strings.Count(last.name, "/") != 4 {
			t.Errorf("%q: of a repeat in which nothing succeeded: %+v", text, last)
		}
		if first.config["simulated"] != "false" || last.config["simulated"] != "true" || first.config["trust"] != "sound" || last.config["trust"] != "doubtful" || last.config["gpu"] != "2 × NVIDIA L4" {
			t.Errorf("%q: configurations %v and %v", text, first.config, last.config)
		}
	}
}

var (
	promSample = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\S+)$`)
	promLabel  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"`)
)

// readPrometheus reads the text format: families in one piece after their HELP and TYPE, no sample twice.
func readPrometheus(t *testing.T, text string) map[string]float64 {
	t.Helper()
	out, family, seen := map[string]float64{}, "", map[string]bool{}
	if !strings.HasSuffix(text, "\n") {
		t.Error("the last line has no end")
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			family, _, _ = strings.Cut(rest, " ")
			if seen[family] {
				t.Errorf("%s comes in two pieces", family)
			}
			seen[family] = true
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			if rest != family+" gauge" {
				t.Errorf("TYPE %q after HELP of %s", rest, family)
			}
			continue
		}
		m := promSample.FindStringSubmatch(line)
		if m == nil || m[1] != family {
			t.Fatalf("under %s: no sample: %q", family, line)
		}
		v, err := strconv.ParseFloat(m[3], 64)
		key := m[1] + "{" + m[2] + "}"
		if _, twice := out[key]; err != nil || twice || math.IsNaN(v) {
			t.Errorf("%q: %v, twice %v", line, err, twice)
		}
		out[key] = v
		if !strings.Contains(m[2], `simulated="`) {
			t.Errorf("%q does not say whether it is simulated", line)
		}
		names := map[string]bool{}
		for _, l := range promLabel.FindAllStringSubmatch(m[2], -1) {
			if names[l[1]] {
				t.Errorf("%q has a label twice", line)
			}
			names[l[1]] = true
		}
	}
	return out
}

func TestPrometheus(t *testing.T) {
	for _, text := range hostile {
		in, _ := exported(text)
		var b bytes.Buffer
		if err := Prometheus(&b, in); err != nil {
			t.Fatal(err)
		}
		got := readPrometheus(t, b.String())
		const base = `{test="baseline",concurrent="1",input_tokens="100",output_tokens="50",simulated="false"`
		for name, want := range map[string]float64{
			"bench_ttft_seconds" + base + "}":                         0.0125,
			"bench_latency_seconds" + base + "}":                      0.1595,
			"bench_throughput_tokens_per_second" + base + "}":         310.25,
			"bench_gpu_memory_peak_bytes" + base + "}":                20000 << 20,
			"bench_ttft_quantile_seconds" + base + `,quantile="0.5"}`: 0.012,
			`bench_limit_concurrent_requests{limit="oom",input_tokens="100",output_tokens="50",cause="engine_death",simulated="true"}`: 8,
		} {
			if v, ok := got[name]; !ok || math.Abs(v-want) > 1e-12*want {
				t.Errorf("%q: %s is %v (%v), want %v", text, name, v, ok, want)
			}
		}
		for name := range got {
			if strings.Contains(name, `concurrent="8"`) && (strings.HasPrefix(name, "bench_ttft") || strings.HasPrefix(name, "bench_gpu")) ||
				strings.Contains(name, `limit="saturation"`) || strings.Contains(name, "bench_kv_cache") || strings.Contains(name, "energy") {
				t.Errorf("%q: %s is a figure that nobody measured", text, name)
			}
		}
	}
}

// TestMetricsPage: docs/metrics.md names the metrics and units that exports have, and no others.
func TestMetricsPage(t *testing.T) {
	data, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	in, _ := exported("T4")
	d := &in.Baselines[0].Detail
	all := &record.Distribution{N: 300, P50: new(1.0), P99: new(2.0)}
	d.TTFT, d.TPOT, d.ITL, d.Latency = all, all, all, all
	d.ServerDelta, d.Energy = &record.ServerDelta{MaxKVUsage: new(0.5)}, &record.Energy{Joules: 1}
	var p, b bytes.Buffer
	if err := errors.Join(Prometheus(&p, in), Benchfmt(&b, in)); err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(p.String(), -1) {
		written[m[1]] = true
	}
	for _, r := range readBenchfmt(t, b.String()) {
		for unit := range r.values {
			written[unit] = true
		}
		for key := range r.config {
			written[key+":"] = true
		}
	}
	for name := range written {
		if !strings.Contains(string(data), "`"+name+"`") {
			t.Errorf("docs/metrics.md does not name %s", name)
		}
	}
	for _, name := range regexp.MustCompile("`(bench_\\w+)`").FindAllStringSubmatch(string(data), -1) {
		if !written[name[1]] {
			t.Errorf("docs/metrics.md names %s, which is not written", name[1])
		}
	}
}

// many is a source of so many requests, made one at a time.
type many int

func (n many) EachRequest(_ string, do func(*record.Request) error) error {
	for i := range int(n) {
		at := int64(i) * 1e6
		if err := do(&record.Request{TestID: "T9", Index: i, ScheduledNS: at, SentNS: at, FirstTokenNS: new(at + 5e7), LastTokenNS: new(at + 1e9), EndNS: at + 1e9,
			PromptTokens: new(100), CompletionTokens: new(100), CountedTokens: 100, HTTPStatus: 200, FinishReason: "length", Done: true, Success: true}); err != nil {
			return err
		}
	}
	return nil
}

// heap counts what goes through it and keeps the largest heap it saw.
type heap struct {
	bytes int
	next  int
	most  uint64
}

func (h *heap) Write(p []byte) (int, error) {
	if h.bytes += len(p); h.bytes >= h.next {
		h.next += 1 << 20
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		h.most = max(h.most, m.HeapAlloc)
	}
	return len(p), nil
}

// TestExportMemory: the heap does not grow with the number of requests.
func TestExportMemory(t *testing.T) {
	in := Input{Tests: []record.Record{{TestID: "T9"}}}
	for name, write := range map[string]func(io.Writer, Input, Requests) error{"csv": CSVRequests, "jsonl": JSONLRequests} {
		var few, lots heap
		if err := write(&few, in, many(1000)); err != nil {
			t.Fatal(err)
		}
		if err := write(&lots, in, many(50_000)); err != nil {
			t.Fatal(err)
		}
		if grown := int64(lots.most) - int64(few.most); grown > 1<<20 {
			t.Errorf("%s: 50 times as many requests take %d bytes more", name, grown)
		}
	}
}

func BenchmarkExport(b *testing.B) {
	in := Input{Tests: []record.Record{{TestID: "T9"}}}
	for name, write := range map[string]func(io.Writer, Input, Requests) error{"csv": CSVRequests, "jsonl": JSONLRequests} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			if err := write(io.Discard, in, many(b.N)); err != nil { // an operation is a request
				b.Fatal(err)
			}
		})
	}
}

// FuzzExport: whatever a server says, each format reads back.
func FuzzExport(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		in, from := exported(text)
		var c, b, p bytes.Buffer
		if err := CSVRequests(&c, in, from); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&c).ReadAll()
		if err != nil || len(rows) != 3 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		for _, cell := range rows[2] {
			if strings.IndexAny(strings.TrimLeft(cell, " \t\r\n"), "=+-@＝＋－＠") == 0 {
				t.Errorf("a cell begins as a formula: %q", cell)
			}
		}
		if err := Benchfmt(&b, in); err != nil {
			t.Fatal(err)
		}
		if got := readBenchfmt(t, b.String()); len(got) != 3 {
			t.Errorf("%d benchmark lines:\n%s", len(got), b.String())
		}
		if err := Prometheus(&p, in); err != nil {
			t.Fatal(err)
		}
		readPrometheus(t, p.String())
	})
}
