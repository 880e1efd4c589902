package main

import (
	"strings"
	"testing"
)

// TestMemoryNoWorse holds the memory plan against published start-ups where it is. Errors may fall;
// whoever lets one rise says why.
func TestMemoryNoWorse(t *testing.T) {
	rs, verdicts, _, err := startups()
	if err != nil {
		t.Fatal(err)
	}
	for figure, limit := range map[string]struct {
		rows             int
		median, within10 float64 // of all rows
		medianA          float64 // of trust A
	}{
		figureWeights:    {48, 0.004, 0.90, 0.003},
		figurePool:       {35, 0.018, 0.85, 0.015},
		figureTokens:     {43, 0.019, 0.80, 0.016},
		figurePoolTokens: {29, 0.0005, 1, 0.0005},
	} {
		all := ofFigure(rs, figure)
		var a []residual
		for _, r := range all {
			if r.trust() == "A" {
				a = append(a, r)
			}
		}
		e, ea := errorsOf(all), errorsOf(a)
		t.Logf("%s: %d rows, median %.2f %%, %.0f %% within 10 %%; %d of trust A, median %.2f %%, %.0f %% within 10 %%", figure, e.rows, 100*e.median, 100*e.within10, ea.rows, 100*ea.median, 100*ea.within10)
		if e.rows < limit.rows || e.median > limit.median || e.within10 < limit.within10 || ea.median > limit.medianA {
			t.Errorf("%s: beyond %+v", figure, limit)
		}
		for _, r := range all {
			t.Logf("  %s %-40.40s %-28s printed %10.2f, predicted %10.2f, %+6.1f %%", r.row["case_id"], r.row["model_id"], r.row["gpu_name"], r.measured, r.predicted, 100*r.relative())
		}
	}
	right := 0
	for _, v := range verdicts {
		if v.predicted == v.printed {
			right++
			continue
		}
		t.Logf("%s: fits %v, printed %v: %s", v.row["case_id"], v.predicted, v.printed, v.reason)
	}
	t.Logf("fits: %d of %d", right, len(verdicts))
	if len(verdicts) < 48 || float64(right) < 0.97*float64(len(verdicts)) {
		t.Errorf("fits: %d of %d right, want 97 %% of at least 48", right, len(verdicts))
	}
}

// TestMemoryTables: every row that is far off has a guess, and every guess is still needed.
func TestMemoryTables(t *testing.T) {
	text, err := memoryTables()
	if err != nil {
		t.Fatal(err)
	}
	_, off, _ := strings.Cut(text, "### Start-ups more than")
	off, _, _ = strings.Cut(off, "### Start-ups that are not")
	for line := range strings.Lines(off) {
		if strings.HasPrefix(line, "| c") && strings.HasSuffix(strings.TrimSpace(line), "not known |") {
			t.Errorf("no guess: %s", line)
		}
	}
	for id := range startupGuesses {
		if !strings.Contains(off, "| "+id+" |") {
			t.Errorf("the guess at %s is not needed any more", id)
		}
	}
}
