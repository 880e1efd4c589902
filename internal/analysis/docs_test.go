package analysis

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
		fmt.Sprintf("mean latency over %.0f × that of the single-request test", surgeFactor),
		fmt.Sprintf("where mean latency passes %.0f × the baseline", surgeFactor),
		fmt.Sprintf("every request succeeded in under %d s, mean latency is at most %.0f × the baseline", latencyLimitMS/1000, surgeFactor),
		fmt.Sprintf("or a request of %d s or more", latencyLimitMS/1000),
		fmt.Sprintf("a preemption, or %.0f %% of it in use with requests waiting", 100*kvFullUsage),
		fmt.Sprintf("throughput is within %.0f %% of the highest", 100*(1-saturatedShare)),
		fmt.Sprintf("multiplies throughput by more than %.1f", stillGaining),
		fmt.Sprintf("adds %d tests at most", MaxRungs),
		fmt.Sprintf("over %d readings or more", minSamples),
		fmt.Sprintf("From %.0f %% use of the KV cache on", 100*nearlyFullUsage),
		fmt.Sprintf("heat or by the supply in %.0f %% of the samples or more", 100*heatShare),
		fmt.Sprintf("%.0f %% of the mean TTFT, and %.0f ms at least", 100*networkShare, networkMS),
		fmt.Sprintf("power limit in %.0f %% of the samples or more", 100*powerShare),
		fmt.Sprintf("accounts for %.0f %% of the mean latency or more", 100*boundShare),
		fmt.Sprintf("lies more than %.0f %% from the median of the others, and further than %d × their own range", 100*oddShare, oddRanges),
		fmt.Sprintf("went one way over %d repeats or more (Mann and Kendall's test at 5 %%) by %.0f %% or more in all", stats.MinRepeats, 100*driftShare),
		fmt.Sprintf("named as near from %.0f %% of the first on", 100*nearShare),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("docs/method.md does not say %q", want)
		}
	}
	if gapShare != 1.0/8 {
		t.Error("docs/method.md says an eighth")
	}
}
