package sim

import (
	"bytes"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
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

// Tokens a second of the computer's time on one core, for 256 streams at once through HTTP on virtual time. The client
// counts events as they come and looks at nothing else; that of the program is in package cli's benchmark.
func BenchmarkStreams(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const streams, tokens = 256, 400
	cfg := parse(b, "sim:gpu=h100-sxm,model=meta-llama/Llama-3.1-8B-Instruct")
	once := func(t *testing.T) {
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		defer s.Close()
		var wg sync.WaitGroup
		for i := range streams {
			wg.Go(func() {
				conn := dial(t, s)
				defer conn.Close()
				if _, err := io.WriteString(conn, rawRequest("POST", chatPath, `{"stream":true,`+chatFields(i, 100, tokens)+`}`, jsonType)); err != nil {
					t.Error(err)
				}
				buf, events := make([]byte, 64<<10), 0
				for {
					n, err := conn.Read(buf)
					if events += bytes.Count(buf[:n], []byte("data: {")); err != nil || bytes.HasSuffix(buf[:n], []byte("\r\n0\r\n\r\n")) {
						break
					}
				}
				if events != tokens+1 {
					t.Errorf("%d events", events)
				}
			})
		}
		wg.Wait()
	}
	// The way into virtual time takes a *testing.T only, and clocks inside are no measure.
	start, rounds := time.Now(), 0
	ok := testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "streams", F: func(t *testing.T) {
		for b.Loop() {
			rounds++
			synctest.Test(t, once)
		}
	}}})
	if !ok {
		b.Error("a stream went wrong")
	}
	b.ReportMetric(float64(rounds*streams*tokens)/time.Since(start).Seconds(), "tokens/s")
}
