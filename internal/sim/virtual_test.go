package sim

import (
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestVirtualTimeFromAProgram(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command to build the program with")
	}
	out, err := exec.Command(goTool, "run", "./testdata/virtual").CombinedOutput()
	const want = "events=1001 virtual=1h0m0s year=2000\nentered=true quick=true\n"
	if string(out) != want+want+"printed after\n" || err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
	out, err = exec.Command(goTool, "run", "./testdata/virtual", "panic").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "trouble inside") || strings.Contains(string(out), "vanished") {
		t.Errorf("a panic inside: %v:\n%s", err, out)
	}
}

func TestVirtualTimeIsRefusedInsideTests(t *testing.T) {
	if InVirtualTime(func() { t.Error("ran") }) {
		t.Error("entered")
	}
}

// Tokens a second of the computer's time, for 256 streams at once through HTTP on virtual time.
func BenchmarkStreams(b *testing.B) {
	const streams, tokens = 256, 100
	cfg := parse(b, "sim:gpu=h100-sxm,model=meta-llama/Llama-3.1-8B-Instruct")
	// synctest takes a *testing.T only.
	start := time.Now()
	rounds := 0
	ok := testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "streams", F: func(t *testing.T) {
		for b.Loop() {
			rounds++
			synctest.Test(t, func(t *testing.T) {
				s, err := New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				s.Start()
				defer s.Close()
				checkAnswers(t, burst(t, s, streams, func(i int) string { return chatFields(i, 100, tokens) }), 100, tokens)
			})
		}
	}}})
	if !ok {
		b.Error("a stream went wrong")
	}
	b.ReportMetric(float64(rounds*streams*tokens)/time.Since(start).Seconds(), "tokens/s")
}
