package runner_test

import (
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"bench/internal/record"
	"bench/internal/runner"
)

// What a run says is left is near what it then takes, falls from test to test, and is not said before a test has
// shown how fast the server is.
func TestExpectedTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "", dir)
		defer r.close()
		type mark struct {
			at   time.Time
			left *time.Duration
		}
		var marks []mark
		r.opts.Observe = func(e runner.Event) {
			if e.Kind == runner.TestStarted {
				marks = append(marks, mark{time.Now(), e.Left})
			}
		}
		if err := runner.Run(t.Context(), r.opts, runner.Matrix(3)[:5]); err != nil {
			t.Fatal(err)
		}
		end := time.Now()
		if len(marks) != 5 || marks[0].left != nil {
			t.Fatalf("%+v, want 5 tests, the first without a figure", marks)
		}
		for i, m := range marks[1:] {
			took := end.Sub(m.at)
			if ratio := m.left.Seconds() / took.Seconds(); ratio < 0.7 || ratio > 1.1 {
				t.Errorf("test %d: %v were said, it took %v", i+2, *m.left, took)
			}
			if i > 0 && *m.left >= *marks[i].left {
				t.Errorf("test %d: %v left, after %v", i+2, *m.left, *marks[i].left)
			}
		}
	})
}

func TestExpectCountsWaves(t *testing.T) {
	tests := []record.Test{{Concurrent: 4, Requests: 10, OutputTokens: 100, Runs: 2}, {Concurrent: 1, Requests: 1, OutputTokens: 50, Runs: 3}}
	s := record.Settings{Warmup: 3, CooldownS: 30}
	// (3 + 2·⌈10/4⌉)·100 + (3 + 3)·50 tokens of 10 ms, and one cooldown.
	if got, want := runner.Expect(tests, s, 10*time.Millisecond), 42*time.Second; got != want {
		t.Errorf("%v, want %v", got, want)
	}
	if got := runner.Expect(nil, s, time.Second); got != 0 {
		t.Errorf("no tests take %v", got)
	}
}

// A wish to stop after the test lets it end with its record, begins no other, and can be taken back.
func TestStopAfterTest(t *testing.T) {
	for _, revoked := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "results")
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, "", dir)
			defer r.close()
			r.opts.Observe = func(e runner.Event) {
				if e.Kind == runner.RepeatStarted && e.Test.ID == "T1" {
					r.opts.Control.StopAfterTest(true)
				}
				if e.Kind == runner.TestDone && revoked {
					r.opts.Control.StopAfterTest(false)
				}
			}
			began := time.Now()
			err := runner.Run(t.Context(), r.opts, runner.Matrix(3)[:2])
			want := 1
			if revoked {
				want = 2
			}
			if got := len(r.records(record.ConcurrentFile)); got != want || errors.Is(err, runner.ErrInterrupted) == revoked {
				t.Errorf("revoked %v: %d records, error %v", revoked, got, err)
			}
			if took := time.Since(began); !revoked && took > 25*time.Second {
				t.Errorf("it took %v: the cooldown was waited for", took)
			}
		})
	}
}
