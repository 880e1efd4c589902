package report

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"bench/internal/analysis"
	"bench/internal/compare"
	"bench/internal/record"
)

// replaced is a JSON value with another one in the place of its nth, counted by the names of members.
func replaced(v any, n *int, by any) any {
	if *n--; *n < 0 {
		return by
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if v[name] = replaced(v[name], n, by); *n < 0 {
				break
			}
		}
	case []any:
		for i := range v {
			if v[i] = replaced(v[i], n, by); *n < 0 {
				break
			}
		}
	}
	return v
}

// FuzzRecords puts any value in the place of any other in the records of a run, as an edited or a foreign file of results
// has them. Whatever can be read is judged, compared, exported and reported without a word that drives a terminal.
func FuzzRecords(f *testing.F) {
	data, err := os.ReadFile("testdata/records.json")
	if err != nil {
		f.Fatal(err)
	}
	for i, by := range []string{"null", "0", "-1", "1e308", `""`, `"\u001b[2J"`, "[]", "{}", "[null]", "true", "0.001"} {
		for n := range 40 {
			f.Add(uint16(n*10+i), by)
		}
	}
	f.Fuzz(func(t *testing.T, n uint16, text string) {
		var doc, by any
		if json.Unmarshal([]byte(text), &by) != nil || json.Unmarshal(data, &doc) != nil {
			return
		}
		at := int(n)
		edited, err := json.Marshal(replaced(doc, &at, by))
		if err != nil {
			t.Fatal(err)
		}
		var recs []record.Record
		if json.Unmarshal(edited, &recs) != nil {
			return
		}
		in := Input{Tests: recs}
		if judged, err := analysis.Analyze(analysis.Input{Tests: recs}); err == nil {
			in.Analysis = &judged
			if _, err := json.Marshal(judged); err != nil {
				t.Errorf("analysis.json: %v", err)
			}
		}
		if c, err := compare.Compare(compare.Side{Name: "a", Records: recs}, compare.Side{Name: "b", Records: recs}, compare.Options{}); err == nil {
			if _, err := json.Marshal(c); err != nil {
				t.Errorf("comparison: %v", err)
			}
		}
		var out bytes.Buffer
		for _, write := range []func() error{
			func() error { return Text(&out, in, 100, false) },
			func() error { return Benchfmt(&out, in) },
			func() error { return Prometheus(&out, in) },
		} {
			if err := write(); err != nil {
				t.Log(err)
			}
		}
		if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && unicode.IsControl(r) }); i >= 0 {
			t.Errorf("control character in %q", out.String()[max(0, i-50):i+1])
		}
	})
}
