package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"bench/internal/sim"

	"github.com/rogpeppe/go-internal/testscript"
)

// binary is the program under test, built once: scripts and kills need a real process, and a test
// binary cannot enter virtual time.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "bench-test-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "bench")
		build := exec.Command("go", "build", "-o", binary, "bench/cmd/bench")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building bench: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("BENCHDIR", filepath.Dir(binary))
			e.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+e.Getenv("PATH"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "oneline": oneLine, "serve": serve, "await": await},
	})
}

// exits runs a command that must end with the given exit code: exits 3 bench size …
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGS]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// oneLine checks that a file (stderr) holds exactly one line: an error is one clear line.
func oneLine(ts *testscript.TestScript, neg bool, args []string) {
	text := []byte(ts.ReadFile(args[0]))
	if n := bytes.Count(text, []byte("\n")); n != 1 || neg {
		ts.Fatalf("%d lines, want one:\n%s", n, text)
	}
}

// serve serves a simulator in real time until the script ends: serve SETTINGS; $SERVER is its address.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serve SETTINGS")
	}
	cfg, err := sim.ParseTarget("sim:" + args[0])
	ts.Check(err)
	s, err := sim.New(cfg)
	ts.Check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	s.Start()
	served := make(chan struct{})
	go func() { defer close(served); s.Serve(l) }()
	ts.Defer(func() { s.Close(); <-served })
	ts.Setenv("SERVER", "http://"+l.Addr().String())
}

// await waits until a program in the background has made a file: await FILE
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Since(start) > 30*time.Second {
			ts.Fatalf("%s did not come in 30 s", args[0])
		}
	}
}
