package vllm

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestPerformancePage: the bounds that docs/performance.md states are those of the tests.
func TestPerformancePage(t *testing.T) {
	data, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(strings.Fields(string(data)), " ")
	for _, want := range []string{
		fmt.Sprintf("at most %.1f × Go's discard paced, at most %.1f × flooded", goalPaced, goalFlooded),
		fmt.Sprintf("medians of %d rounds", costRounds),
		fmt.Sprintf("requests of %d tokens", scaleTokens),
		fmt.Sprintf("at %d,%03d tokens a second", scaleRate/1000, scaleRate%1000),
		fmt.Sprintf("%d,%03d streams may take %d MiB", scaleBoundAt/1000, scaleBoundAt%1000, scaleBound>>20),
		fmt.Sprintf("one buffer of %d KiB", readBuffer>>10),
		fmt.Sprintf("TTFT is off by at most %d ms (a fifth of the server's) and its TPOT by at most %.2f ms (a fiftieth)", truthTTFT.Milliseconds(), truthTPOT.Seconds()*1000),
		fmt.Sprintf("at most %.0f %% of the sends late by over %d ms and over %.0f %% of the mean TTFT", 100*truthLateShare, truthLate.Milliseconds(), 100*truthLateTTFT),
		fmt.Sprintf("every write and sync takes %d ms", slowWrite.Milliseconds()),
		fmt.Sprintf("takes %d ms for each piece", slowDraw.Milliseconds()),
		fmt.Sprintf("`make bench` holds it to %d MiB", restBound>>20),
		fmt.Sprintf("at most %d ms longer than a Go program", startBound.Milliseconds()),
		fmt.Sprintf("at most %d MiB", sizeBound>>20),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("docs/performance.md does not say %q", want)
		}
	}
}
