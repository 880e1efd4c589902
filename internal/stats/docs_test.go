package stats

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestPages: the sizes of samples that the pages name are those of the code.
func TestPages(t *testing.T) {
	sizes := fmt.Sprintf("%d for the median, %d for p90, %d for p95, %d for p99", MinN(0.5), MinN(0.9), MinN(0.95), MinN(0.99))
	values := strings.Replace(sizes, " for the median", " values for the median", 1)
	for name, wants := range map[string][]string{
		"metrics.md": {sizes, fmt.Sprintf("there are fewer than %d repeats", MinRepeats)},
		"method.md":  {values, fmt.Sprintf("Fewer than %d repeats are shown as values, without an interval. From %[1]d on", MinRepeats)},
		"files.md":   {values},
	} {
		data, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		page := strings.Join(strings.Fields(string(data)), " ")
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("docs/%s does not say %q", name, want)
			}
		}
	}
}
