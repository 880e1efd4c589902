package cli_test

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"bench/internal/schema"
)

// TestSchemas: what bench writes is what `bench schema` says, field for field. Schemas allow fields they do not name, for
// the sake of later versions; this test does not.
func TestSchemas(t *testing.T) {
	t.Parallel()
	_, url := simulator(t, "") // in real time, where the client is measured too
	dir := t.TempDir()
	out := func(name string) string { return filepath.Join(dir, name) }
	const startup = "../vllm/testdata/startup/0.11.0-tp2.log"
	for _, c := range []struct {
		code int
		file string // for its stdout
		args []string
	}{
		{0, "", []string{"run", "--base-url", "sim:oom-at=16,return=40s", "--wait-return", "5m", "--out", out("oom")}},
		{1, "", []string{"stress", "--base-url", "sim:die-at=4", "--out", out("died")}},
		{0, "", []string{"stress", "--base-url", "sim:", "--concurrent", "2", "--until-precise", "5%", "--out", out("precise")}},
		{0, "", []string{"stress", "--base-url", "sim:", "--request-rate", "25", "--num-prompts", "1500", "--max-concurrency", "6", "--runs", "1", "--out", out("open")}},
		{0, "", []string{"stress", "--base-url", "sim:", "--ramp-up-strategy", "linear", "--ramp-up-start-rps", "1", "--ramp-up-end-rps", "3", "--num-prompts", "60", "--random-range-ratio", "0.5", "--random-prefix-len", "100", "--runs", "1", "--probe-request-rate", "1", "--out", out("open")}},
		{0, "", []string{"stress", "--base-url", "sim:", "--request-rate", "2,4", "--num-prompts", "60", "--max-ttft", "1s", "--runs", "1", "--out", out("open")}},
		{0, "", []string{"stress", "--base-url", "sim:", "--dataset-name", "mooncake", "--dataset-path", "../load/testdata/mooncake.jsonl", "--runs", "1", "--out", out("open")}},
		{0, "", []string{"stress", "--base-url", "sim:", "--request-rate", "3", "--num-prompts", "3", "--dataset-name", "sharegpt", "--dataset-path", "../load/testdata/talks.json", "--runs", "1", "--out", out("open")}},
		{0, "", []string{"analyze", "--out", out("open"), "--lang", "ko"}},
		{0, "", []string{"analyze", "--out", out("died")}},
		{0, "", []string{"analyze", "--out", out("open")}},
		{0, "", []string{"stress", "--base-url", url, "--concurrent", "2", "--runs", "1", "--input-tokens", "40", "--output-tokens", "5", "--cooldown", "0s", "--gpu-telemetry", "none", "--out", out("real")}},
		{3, "", []string{"verify", "--base-url", "http://127.0.0.1:9", "--model", "google/gemma-3-12b-it", "--gpu", "rtx-3090", "--dtype", "half", "--out", out("claim")}},
		{0, "", []string{"verify", "--base-url", "sim:", "--server-log", startup, "--out", out("log")}},
		{0, "", []string{"size", "--server-log", startup, "--gpu", "h100", "--explain", "--tensor-parallel-size", "2", "--concurrent", "1", "--max-ttft", "1m", "--max-tpot", "1m", "--max-latency", "1h", "--out", out("sized")}},
		{0, "", []string{"size", "--model", "google/gemma-3-12b-it", "--from", out("oom"), "--out", out("from")}},
		{3, "figures.json", []string{"size", "--model", "google/gemma-3-12b-it", "--gpu", "rtx-3090", "--concurrent", "1", "--check", "tpot=12ms", "--json"}},
		{0, "comparison.json", []string{"compare", out("precise"), out("precise"), "--max-regression", "5%", "--json"}},
		{0, "export.jsonl", []string{"export", out("oom"), "--format", "jsonl"}},
	} {
		var said, stdout bytes.Buffer
		cmd := exec.CommandContext(t.Context(), binary, c.args...)
		cmd.Stdout, cmd.Stderr = &stdout, &said
		if cmd.Run(); cmd.ProcessState.ExitCode() != c.code {
			t.Fatalf("bench %s: exit code %d, want %d: %s", strings.Join(c.args, " "), cmd.ProcessState.ExitCode(), c.code, said.String())
		}
		if c.file != "" {
			if err := os.WriteFile(out(c.file), stdout.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	checked := map[string]int{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, ok := documentOf(path)
		if !ok {
			return nil
		}
		doc, err := schema.Find(name)
		if err != nil {
			return err
		}
		v := validator{root: doc.Schema(), seen: map[string]bool{}}
		for i, value := range valuesOf(t, path) {
			v.check(fmt.Sprintf("%s:%d", strings.TrimPrefix(path, dir), i+1), v.root, value)
		}
		if len(v.errors) > 0 {
			t.Errorf("%d errors, the first of them:\n%s", len(v.errors), strings.Join(v.errors[:min(10, len(v.errors))], "\n"))
		}
		checked[name]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range schema.Documents() {
		if checked[d.Name] == 0 {
			t.Errorf("no file of kind %s was written", d.Name)
		}
	}
}

// documentOf names the schema of a file; ok is false for those that have none: reports, charts and the lock.
func documentOf(path string) (string, bool) {
	for pattern, name := range map[string]string{"run.json": "run", "verify.json": "verify", "*_results.json": "record", "requests/*.jsonl": "request", "probes/*.jsonl": "request",
		"memory_logs/*.csv": "memory_log", "server_metrics/*.csv": "server_metrics", "flight/*.json": "flight", "analysis.json": "analysis",
		"sizing.json": "sizing", "figures.json": "figures", "comparison.json": "comparison", "export.jsonl": "export"} {
		parts := strings.Split(filepath.ToSlash(path), "/")
		last := strings.Join(parts[len(parts)-1-strings.Count(pattern, "/"):], "/")
		if ok, _ := filepath.Match(pattern, last); ok {
			return name, true
		}
	}
	return "", false
}

// valuesOf are the documents of a file: one, one a line, or one a row with its filled cells as numbers.
func valuesOf(t *testing.T, path string) []any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decode := func(data []byte) any {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return v
	}
	var out []any
	switch filepath.Ext(path) {
	case ".jsonl":
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			out = append(out, decode(lines.Bytes()))
		}
		return out
	case ".csv":
		rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, row := range rows[1:] {
			object := map[string]any{}
			for i, cell := range row {
				if cell != "" {
					object[rows[0][i]] = json.Number(cell)
				}
			}
			out = append(out, object)
		}
		return out
	}
	return []any{decode(data)}
}

// validator is the part of JSON Schema that bench's schemas use, and strict: what a schema does not name is an error.
type validator struct {
	root   *schema.Schema
	errors []string
	seen   map[string]bool
}

func (v *validator) fail(at, format string, args ...any) {
	at = regexp.MustCompile(`\[\d+\]`).ReplaceAllString(at, "[]")
	if text := at + ": " + fmt.Sprintf(format, args...); !v.seen[text] {
		v.seen[text] = true
		v.errors = append(v.errors, text)
	}
}

func property(ps schema.Properties, name string) *schema.Schema {
	if i := slices.IndexFunc(ps, func(p schema.Property) bool { return p.Name == name }); i >= 0 {
		return ps[i].Schema
	}
	return nil
}

func (v *validator) check(at string, s *schema.Schema, value any) {
	if s.Ref != "" {
		def := property(v.root.Defs, strings.TrimPrefix(s.Ref, "#/$defs/"))
		if def == nil {
			v.fail(at, "no definition %s", s.Ref)
			return
		}
		v.check(at, def, value)
		return
	}
	if s.AnyOf != nil {
		var first []string
		for _, one := range s.AnyOf {
			w := validator{root: v.root, seen: map[string]bool{}}
			if w.check(at, one, value); len(w.errors) == 0 {
				return
			}
			first = append(first, w.errors[0])
		}
		v.fail(at, "is none of what it may be: %s", strings.Join(first, "; "))
		return
	}
	if kind := kindOf(value); !slices.Contains(s.Type, kind) && !(kind == "integer" && slices.Contains(s.Type, "number")) {
		v.fail(at, "%v is %s, want %v", value, kind, s.Type)
		return
	}
	switch value := value.(type) {
	case string:
		if s.Const != "" && value != s.Const || s.Enum != nil && !slices.Contains(s.Enum, value) {
			v.fail(at, "%q, want %q%q", value, s.Const, s.Enum)
		}
		if s.Format == "date-time" {
			if _, err := time.Parse(time.RFC3339, value); err != nil {
				v.fail(at, "%v", err)
			}
		}
	case []any:
		for i, item := range value {
			v.check(fmt.Sprintf("%s[%d]", at, i), s.Items, item)
		}
	case map[string]any:
		for _, name := range s.Required {
			if _, ok := value[name]; !ok {
				v.fail(at, "%s is missing", name)
			}
		}
		for name, field := range value {
			of := property(s.Properties, name)
			if of == nil {
				of = s.AdditionalProperties
			}
			if of == nil {
				v.fail(at, "%s is not in the schema", name)
				continue
			}
			v.check(at+"."+name, of, field)
		}
	}
}

func kindOf(value any) string {
	switch value := value.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case json.Number:
		if _, err := strconv.ParseInt(value.String(), 10, 64); err == nil {
			return "integer"
		}
		return "number"
	}
	return fmt.Sprintf("%T", value)
}

// The validator must be able to fail.
func TestValidator(t *testing.T) {
	doc, err := schema.Find("request")
	if err != nil {
		t.Fatal(err)
	}
	const header = `{"schema":"bench.request/1","test":{"test_id":"T1","kind":"baseline","concurrent_requests":1,"input_tokens":1,"max_output_tokens":1,"runs":1,"requests":1}}`
	for line, good := range map[string]bool{
		header:                                                           true,
		`{"abandoned":{"run":0,"attempt":1}}`:                            true,
		`{"abandoned":{"run":0}}`:                                        false,
		`{"abandoned":{"run":0,"attempt":"1"}}`:                          false,
		`{"abandoned":{"run":0,"attempt":1.5}}`:                          false,
		`{"abandoned":{"run":0,"attempt":null}}`:                         false,
		`{"abandoned":{"run":0,"attempt":1,"x":1}}`:                      false,
		strings.Replace(header, "bench.request/1", "bench.request/2", 1): false,
	} {
		dec := json.NewDecoder(strings.NewReader(line))
		dec.UseNumber()
		var value any
		if err := dec.Decode(&value); err != nil {
			t.Fatal(err)
		}
		v := validator{root: doc.Schema(), seen: map[string]bool{}}
		if v.check("", v.root, value); (len(v.errors) == 0) != good {
			t.Errorf("%s: %v", line, v.errors)
		}
	}
}
