package compare

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"bench/internal/stats"
)

// TestMethodPage: the bounds that docs/method.md states are those of the code.
func TestMethodPage(t *testing.T) {
	data, err := os.ReadFile("../../docs/method.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(strings.Fields(string(data)), " ")
	for _, want := range []string{
		fmt.Sprintf("token counts within %.0f %% of each other", 100*lengthTolerance),
		fmt.Sprintf("From %d repeats a side on, the change has an interval", stats.MinRepeats),
		fmt.Sprintf("hold together with %.0f %%", 100*confidence),
		fmt.Sprintf("With %d or %d repeats a change counts if the two sides' ranges lie more than %d × as far apart", fewest, stats.MinRepeats-1, apart),
		fmt.Sprintf("every pair of repeats, lies within %.0f %%", 100*relevant),
		fmt.Sprintf("a gate over fewer than %d repeats is refused", fewest),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("docs/method.md does not say %q", want)
		}
	}
}
