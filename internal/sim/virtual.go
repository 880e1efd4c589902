//go:build go1.26 && !go1.28

package sim

import (
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

// InVirtualTime runs f where sleeping takes no time: the clock starts at 2000-01-01 UTC and jumps
// ahead whenever every goroutine of f waits for it. It reports false, without running f, where
// that cannot be had; the caller then runs f in real time. A panic of f goes on in the caller.
//
// No goroutine, timer, channel or context may cross f's wall in either direction, and everything f
// started must have ended when it returns (servers and idle connections closed). f must not print
// to os.Stdout, which is silenced meanwhile; streams taken before the call are not affected.
//
// The only way into such a bubble is a test, so this is one. It touches internals of package
// testing that are the same in the Go versions of the build constraint; elsewhere the fallback file
// is built. It parses an empty command line into the flag package, which this program does not use.
func InVirtualTime(f func()) bool {
	if testing.Testing() {
		return false // a test binary enters its own bubble with synctest.Test
	}
	testing.Init()
	if err := flag.CommandLine.Parse(nil); err != nil {
		return false
	}
	restore, ok := silenceStdout()
	if !ok {
		return false
	}
	defer restore()

	var entered, finished bool
	var trouble error
	inBubble := func(*testing.T) {
		entered = true
		defer func() {
			if p := recover(); p != nil {
				trouble = fmt.Errorf("%v\n%s", p, debug.Stack())
			}
		}()
		f()
		finished = true
	}
	test := testing.InternalTest{Name: "virtual", F: func(t *testing.T) { synctest.Test(t, inBubble) }}
	code := testing.MainStart(testDeps{}, []testing.InternalTest{test}, nil, nil, nil).Run()
	switch {
	case trouble != nil:
		panic(trouble)
	case !entered:
		return false
	case !finished || code != 0:
		panic("sim: the virtual-time bubble did not end cleanly")
	}
	return true
}

// silenceStdout puts the null device in the place of os.Stdout: the test runner prints its verdict
// there.
func silenceStdout() (restore func(), ok bool) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, false
	}
	stdout := os.Stdout
	os.Stdout = null
	return func() {
		os.Stdout = stdout
		_ = null.Close()
	}, true
}

// testDeps is what package testing asks of a test binary's main; nothing of it is used here.
type testDeps struct{}

type corpusEntry = struct {
	Parent     string
	Path       string
	Data       []byte
	Values     []any
	Generation int
	IsSeed     bool
}

func (testDeps) ImportPath() string                          { return "" }
func (testDeps) ModulePath() string                          { return "" }
func (testDeps) MatchString(string, string) (bool, error)    { return true, nil }
func (testDeps) SetPanicOnExit0(bool)                        {}
func (testDeps) StartCPUProfile(io.Writer) error             { return nil }
func (testDeps) StopCPUProfile()                             {}
func (testDeps) StartTestLog(io.Writer)                      {}
func (testDeps) StopTestLog() error                          { return nil }
func (testDeps) WriteProfileTo(string, io.Writer, int) error { return nil }
func (testDeps) CoordinateFuzzing(time.Duration, int64, time.Duration, int64, int, []corpusEntry, []reflect.Type, string, string) error {
	return nil
}
func (testDeps) RunFuzzWorker(func(corpusEntry) error) error { return nil }
func (testDeps) ReadCorpus(string, []reflect.Type) ([]corpusEntry, error) {
	return nil, nil
}
func (testDeps) CheckCorpus([]any, []reflect.Type) error { return nil }
func (testDeps) ResetCoverage()                          {}
func (testDeps) SnapshotCoverage()                       {}
func (testDeps) InitRuntimeCoverage() (string, func(string, string) (string, error), func() float64) {
	return "", func(string, string) (string, error) { return "", nil }, func() float64 { return 0 }
}
