package runner

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"

	"bench/internal/record"

	"go.yaml.in/yaml/v3"
)

// Shape is what the requests of a ladder have in common.
type Shape struct{ InputTokens, OutputTokens int }

// ShapeOf is the shape of a test's requests.
func ShapeOf(t record.Test) Shape { return Shape{t.InputTokens, t.OutputTokens} }

func (s Shape) String() string { return fmt.Sprintf("%d-%d", s.InputTokens, s.OutputTokens) }

// Matrix is the plan's T1–T9 (3.1), with runs repeats each.
func Matrix(runs int) []record.Test {
	rows := []struct {
		id            string
		concurrent    int
		input, output int
		purpose       string
	}{
		{"T1", 1, 100, 100, "baseline"},
		{"T2", 2, 100, 100, "basic parallelism"},
		{"T3", 4, 100, 100, "medium load"},
		{"T4", 8, 100, 100, "high load"},
		{"T5", 16, 100, 100, "stress"},
		{"T6", 32, 100, 100, "limit"},
		{"T7", 4, 500, 200, "long context"},
		{"T8", 8, 500, 200, "long context, high load"},
		{"T9", 16, 500, 200, "long context, limit"},
	}
	tests := make([]record.Test, len(rows))
	for i, r := range rows {
		tests[i] = record.Test{ID: r.id, Kind: record.KindConcurrent, Purpose: r.purpose, Concurrent: r.concurrent,
			InputTokens: r.input, OutputTokens: r.output, Runs: runs, Requests: r.concurrent}
	}
	return tests
}

// Single is one test of N at once; a row of the plan's matrix bears its name. requests is the number
// sent in each repeat, 0 for one burst.
func Single(concurrent int, shape Shape, runs, requests int) record.Test {
	t := record.Test{ID: fmt.Sprintf("c%d-%s", concurrent, shape), Kind: record.KindConcurrent, Concurrent: concurrent,
		InputTokens: shape.InputTokens, OutputTokens: shape.OutputTokens, Runs: runs, Requests: max(requests, concurrent)}
	for _, row := range Matrix(runs) {
		if row.Concurrent == concurrent && ShapeOf(row) == shape {
			t.ID, t.Purpose = row.ID, row.Purpose
		}
	}
	return t
}

// Baseline is the single-request test of a shape: runs requests, one in flight.
func Baseline(shape Shape, runs int) record.Test {
	return record.Test{ID: "baseline-" + shape.String(), Kind: record.KindBaseline, Purpose: "one request at a time",
		Concurrent: 1, InputTokens: shape.InputTokens, OutputTokens: shape.OutputTokens, Runs: runs, Requests: 1}
}

// WithBaselines puts the single-request test of a shape before the shape's first test, where neither
// the tests nor the records that are there already have one.
func WithBaselines(tests []record.Test, have []record.Record, runs int) []record.Test {
	measured := map[single]bool{}
	for _, r := range have {
		if r.ConcurrentRequests == 1 && r.Detail.Kind != record.KindOpen && r.Results.AvgTotalLatencyMS != nil {
			measured[singleIn(r)] = true
		}
	}
	for _, t := range tests {
		if t.Concurrent == 1 && t.Kind != record.KindOpen {
			measured[singleOf(t)] = true
		}
	}
	var out []record.Test
	for _, t := range tests {
		if s := singleOf(t); !measured[s] {
			out = append(out, WithWorkload(Baseline(s.Shape, runs), s.content))
			measured[s] = true
		}
		out = append(out, t)
	}
	return out
}

// single is what single requests have to have in common to be held against each other.
type single struct {
	Shape
	content record.Workload // what they hold other than words
}

func singleOf(t record.Test) single { return single{ShapeOf(t), t.Workload.Content()} }

func singleIn(r record.Record) single {
	return single{Shape{r.InputTokens, r.MaxOutputTokens}, r.Detail.Workload.Content()}
}

// matrixFile is a user's own matrix.
type matrixFile struct {
	Tests []struct {
		ID           string `yaml:"id"`
		Concurrent   int    `yaml:"concurrent"`
		InputTokens  int    `yaml:"input_tokens"`
		OutputTokens int    `yaml:"output_tokens"`
		Runs         int    `yaml:"runs"`
		Requests     int    `yaml:"requests"`
		Purpose      string `yaml:"purpose"`
	} `yaml:"tests"`
}

// maxMatrixBytes and maxMatrixTests bound a matrix file.
const (
	maxMatrixBytes = 1 << 20
	maxMatrixTests = 1000
)

// unknownField is what the decoder says of a member that a row does not have: it names the Go type.
var unknownField = regexp.MustCompile(`field (\S+) not found in type struct \{.*\}`)

// ParseMatrix reads a matrix from YAML or JSON: a list `tests` of rows with concurrent, input_tokens
// (100), output_tokens (100) and optionally id, runs, requests, purpose. Unknown members are errors.
func ParseMatrix(name string, in io.Reader, runs int) ([]record.Test, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxMatrixBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading matrix %s: %w", name, err)
	}
	if len(data) > maxMatrixBytes {
		return nil, fmt.Errorf("matrix %s is larger than 1 MiB", name)
	}
	var file matrixFile
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty")
		}
		text := strings.TrimPrefix(strings.Join(strings.Fields(err.Error()), " "), "yaml: ")
		text = unknownField.ReplaceAllString(strings.TrimPrefix(text, "unmarshal errors: "), "a test has no $1")
		return nil, fmt.Errorf("matrix %s: %s; it needs a list `tests` of rows like {concurrent: 8, input_tokens: 100, output_tokens: 100}", name, text)
	}
	if n := len(file.Tests); n == 0 || n > maxMatrixTests {
		return nil, fmt.Errorf("matrix %s has %d tests, want 1 to %d in its list `tests`", name, n, maxMatrixTests)
	}
	var tests []record.Test
	for i, row := range file.Tests {
		t := Single(row.Concurrent, Shape{or(row.InputTokens, 100), or(row.OutputTokens, 100)}, or(row.Runs, runs), row.Requests)
		if row.ID != "" {
			t.ID = row.ID
		}
		if row.Purpose != "" {
			t.Purpose = row.Purpose
		}
		if err := CheckTest(t); err != nil {
			return nil, fmt.Errorf("matrix %s, test %d: %w", name, i+1, err)
		}
		if slices.ContainsFunc(tests, func(o record.Test) bool { return o.ID == t.ID }) {
			return nil, fmt.Errorf("matrix %s, test %d: the id %q stands twice; name one with `id`", name, i+1, t.ID)
		}
		tests = append(tests, t)
	}
	return tests, nil
}

func or(v, fallback int) int {
	if v == 0 {
		return fallback
	}
	return v
}

// Bounds of one test: above them a typing error is likelier than a wish.
const (
	maxConcurrent = 10_000
	maxTokens     = 10_000_000
	maxRuns       = 1_000
	maxRequests   = 1_000_000
)

// CheckTest refuses a test that cannot be meant.
func CheckTest(t record.Test) error {
	bounds := []struct {
		what string
		v    int
		max  int
	}{
		{"concurrent requests", t.Concurrent, maxConcurrent}, {"input tokens", t.InputTokens, maxTokens},
		{"output tokens", t.OutputTokens, maxTokens}, {"runs", t.Runs, maxRuns}, {"requests", t.Requests, maxRequests},
	}
	if t.Arrivals != nil {
		if err := checkArrivals(*t.Arrivals); err != nil {
			return err
		}
		if t.Concurrent == 0 {
			bounds = bounds[1:] // no bound
		}
	}
	for _, b := range bounds {
		if b.v < 1 || b.v > b.max {
			return fmt.Errorf("%d %s is out of range: want 1 to %d", b.v, b.what, b.max)
		}
	}
	if t.Shard != nil {
		if err := checkShard(t); err != nil {
			return err
		}
	}
	if t.Workload != nil {
		if err := checkWorkload(t); err != nil {
			return err
		}
	}
	if !fileName(t.ID) {
		return fmt.Errorf("the id %q cannot name a file: use up to 64 letters, digits, '-' and '_'", t.ID)
	}
	return nil
}

// fileName says whether an id can name a data file on any system.
func fileName(id string) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

// TemplateTokens is what a chat template may put between two turns of a conversation: the common ones put 4 to 12.
const TemplateTokens = 16

// longest is the most tokens that a request of the test may hold, images left out.
func longest(t record.Test) int {
	w := t.Workload
	if w == nil || w.Dataset != "" { // whose requests were held against the context one by one
		return t.InputTokens + t.OutputTokens
	}
	most := func(mean int) int { return int(math.Ceil(float64(mean) * (1 + w.RangeRatio))) }
	tokens := w.PrefixTokens + most(t.InputTokens-w.PrefixTokens) + most(t.OutputTokens)
	if w.Conversations > 0 {
		tokens += (w.MaxTurns - 1) * (most(w.TurnTokens) + most(t.OutputTokens) + TemplateTokens)
	}
	return tokens
}

// CheckContext refuses tests whose requests do not fit the server's context: vLLM 0.32 would cut their
// answers in silence. maxModelLen 0 means the server did not say.
func CheckContext(tests []record.Test, maxModelLen int) error {
	var bad []string
	need := 0
	for _, t := range tests {
		if n := longest(t); maxModelLen > 0 && n > maxModelLen {
			bad = append(bad, t.ID)
			need = max(need, n)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("%s: a request needs %d tokens, the server's context holds %d: start it with more (vLLM: --max-model-len %d or above), or choose shorter tests with --matrix",
		strings.Join(bad, ", "), need, maxModelLen, need)
}
