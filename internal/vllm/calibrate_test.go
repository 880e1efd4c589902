package vllm

import (
	"context"
	"testing"

	"bench/internal/record"
)

// TestCalibrate: the client never stamps a token before it was written, sees all of them, and leaves nothing
// running.
func TestCalibrate(t *testing.T) {
	for _, n := range []int{1, 8, 10_000} {
		got, err := Calibrate(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if want := min(n, maxCalibrated); got.Streams != want || got.Events != want*calibrationTokens {
			t.Errorf("%d streams: %+v", n, got)
		}
		if !(got.AddedP50MS >= 0 && got.AddedP50MS <= got.AddedP99MS && got.AddedP99MS <= got.AddedMaxMS) || got.CoalescedShare < 0 || got.CoalescedShare > 1 {
			t.Errorf("%d streams: %+v", n, got)
		}
		t.Logf("%d streams: added p50 %.3f ms, p99 %.3f ms, most %.3f ms, %.1f %% coalesced", got.Streams, got.AddedP50MS, got.AddedP99MS, got.AddedMaxMS, 100*got.CoalescedShare)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Calibrate(ended, 4); err == nil {
		t.Error("a calibration that was stopped has a result")
	}
}

// TestCalibrationComparesEachStream: a token that one stream had late is not made good by the others, and tokens of one
// read are each held against their own write.
func TestCalibrationComparesEachStream(t *testing.T) {
	const ms = 1_000_000
	m := metronome{n: 2, writeNS: [][]int64{{0, 10 * ms}, {1 * ms, 11 * ms}}}
	got, err := m.compare([]record.Request{
		{Success: true, TokenNS: []int64{15 * ms}, TokensPerRead: []int{2}, Coalesced: 1},
		{Success: true, TokenNS: []int64{2 * ms, 13 * ms}},
	})
	if err != nil || got.Events != 4 || got.AddedMaxMS != 15 || got.AddedP50MS != 3.5 || got.CoalescedShare != 0.25 {
		t.Errorf("%+v, %v", got, err)
	}
}
