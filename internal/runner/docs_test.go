package runner

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"bench/internal/stats"
)

// TestTelemetryPage: the bounds that docs/telemetry.md states are those of the code.
func TestTelemetryPage(t *testing.T) {
	data, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(strings.Fields(string(data)), " ")
	for _, want := range []string{
		fmt.Sprintf("further apart than %.0f %% of the mean TTFT", 100*sendSkewShare),
		fmt.Sprintf("more than %.0f %% of the sends are late by over %.0f ms and over %.0f %% of the mean TTFT", 100*lateShare, ms(lateSend), 100*lateTTFTShare),
		fmt.Sprintf("late by more than %.0f %% of its schedule", 100*behindShare),
		fmt.Sprintf("and %d tokens a request", prefixSlack),
		fmt.Sprintf("more than %.0f %% of the tokens came in one read", 100*coalescedShare),
		fmt.Sprintf("in flight here within %d ms", gaugeSlack.Milliseconds()),
		fmt.Sprintf("held %d MiB or more", foreignMiB),
		fmt.Sprintf("%.0f %% of the samples or more show clocks lowered", 100*throttleShare),
		fmt.Sprintf("more than %.0f %% of the prompt tokens came from the prefix cache (invalid: more than %.0f %%)", 100*prefixHitShare, 100*prefixVoidShare),
		fmt.Sprintf("after %.0f s of waiting", idleLimit.Seconds()),
		fmt.Sprintf("used %.0f %% of its processors or more", 100*limitedCPU),
		fmt.Sprintf("during %.0f %% of the measured time", 100*limitedDelay),
		fmt.Sprintf("woke up late by %.0f %% of the mean TPOT", 100*limitedLag),
		fmt.Sprintf("The %.0f s before it are frozen", flightSpan.Seconds()),
		fmt.Sprintf("longer than %.0f s ends GPU sampling", gpuLimit.Seconds()),
		fmt.Sprintf("| %d ms |", metricsPeriod.Milliseconds()),
		fmt.Sprintf("| %.0f s |", processPeriod.Seconds()),
		fmt.Sprintf("| %d ms |", lagPeriod.Milliseconds()),
		fmt.Sprintf("over a stretch of more than %.0f s", powerGap.Seconds()),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("docs/telemetry.md does not say %q", want)
		}
	}
	if scrapeFailures != 5 || foreignSamples != 2 {
		t.Error("docs/telemetry.md says five failed scrapes and two scrapes in words")
	}
}

// TestMethodPage: likewise docs/method.md.
func TestMethodPage(t *testing.T) {
	data, err := os.ReadFile("../../docs/method.md")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(strings.Fields(string(data)), " ")
	for _, want := range []string{
		fmt.Sprintf("every GPU is below %d %% utilisation, for %.0f s at most", quietGPUPercent, idleLimit.Seconds()),
		fmt.Sprintf("than %d requests, and where it would last less than %d × the median latency", stats.MinSteady, steadyLatencies),
		fmt.Sprintf("%d tokens, %d for the answer", ProbeAt(1).InputTokens, ProbeAt(1).OutputTokens),
		fmt.Sprintf("the last send is late by more than %.0f %% of the schedule", 100*behindShare),
		fmt.Sprintf("mean latency over %d × that of the single-request test of the same shape, or a request of %.0f s or more", warningFactor, maxLatency.Seconds()),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("docs/method.md does not say %q", want)
		}
	}
}
