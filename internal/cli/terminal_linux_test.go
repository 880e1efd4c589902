package cli_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// terminal is a pseudo-terminal with a program on it.
type terminal struct {
	t       *testing.T
	master  *os.File
	slave   *os.File
	mode    syscall.Termios // before the program
	cmd     *exec.Cmd
	mu      sync.Mutex
	text    bytes.Buffer
	drained chan struct{}
}

func ioctl(t *testing.T, f *os.File, request uintptr, arg unsafe.Pointer) {
	t.Helper()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(arg)); errno != 0 {
		t.Fatalf("ioctl %#x: %v", request, errno)
	}
}

// onTerminal starts bench on a terminal of its own.
func onTerminal(t *testing.T, width, height uint16, env []string, args ...string) *terminal {
	t.Helper()
	return programOnTerminal(t, width, height, env, append([]string{binary}, args...)...)
}

func programOnTerminal(t *testing.T, width, height uint16, env []string, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	var unlock, number int32
	ioctl(t, master, syscall.TIOCSPTLCK, unsafe.Pointer(&unlock))
	ioctl(t, master, syscall.TIOCGPTN, unsafe.Pointer(&number))
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(int(number)), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, master: master, slave: slave, drained: make(chan struct{})}
	term.resize(width, height)
	ioctl(t, slave, syscall.TCGETS, unsafe.Pointer(&term.mode))
	term.cmd = exec.CommandContext(t.Context(), args[0], args[1:]...)
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = slave, slave, slave
	term.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	term.cmd.Env = append([]string{"TERM=xterm-256color"}, env...)
	if err := term.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(term.drained)
		for buf := make([]byte, 4096); ; {
			n, err := master.Read(buf)
			term.mu.Lock()
			term.text.Write(buf[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return term
}

func (x *terminal) resize(width, height uint16) {
	size := [4]uint16{height, width}
	ioctl(x.t, x.master, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
}

func (x *terminal) screen() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.String()
}

// await waits until the program has written text after the first n bytes.
func (x *terminal) await(text string, after int) {
	x.t.Helper()
	for start := time.Now(); !strings.Contains(x.screen()[after:], text); time.Sleep(20 * time.Millisecond) {
		if time.Since(start) > 30*time.Second {
			x.cmd.Process.Kill()
			x.t.Fatalf("%q did not come in 30 s:\n%s", text, x.screen())
		}
	}
}

func (x *terminal) press(keys string) {
	if _, err := io.WriteString(x.master, keys); err != nil {
		x.t.Fatal(err)
	}
}

// awaitMode waits until the terminal's mode is as it was before the program.
func (x *terminal) awaitMode() {
	x.t.Helper()
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		var mode syscall.Termios
		if ioctl(x.t, x.slave, syscall.TCGETS, unsafe.Pointer(&mode)); mode == x.mode {
			return
		}
		if time.Since(start) > 30*time.Second {
			x.t.Fatalf("the terminal's mode is not back after 30 s")
		}
	}
}

// end waits for the program and returns its exit code and what it wrote; the terminal must be as it was.
func (x *terminal) end() (int, string) {
	x.t.Helper()
	dead := time.AfterFunc(60*time.Second, func() { x.cmd.Process.Kill() })
	err := x.cmd.Wait()
	if !dead.Stop() {
		x.t.Fatalf("bench did not end:\n%s", x.screen())
	}
	code := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		code = e.ExitCode()
	} else if err != nil {
		x.t.Fatal(err)
	}
	var mode syscall.Termios
	ioctl(x.t, x.slave, syscall.TCGETS, unsafe.Pointer(&mode))
	if mode != x.mode {
		x.t.Errorf("the terminal's mode is %+v, it was %+v", mode, x.mode)
	}
	x.slave.Close() // the reader meets the end
	<-x.drained
	x.master.Close()
	text := x.screen()
	for _, pair := range [][2]string{{"\x1b[?1049h", "\x1b[?1049l"}, {"\x1b[?25l", "\x1b[?25h"}, {"\x1b[?7l", "\x1b[?7h"}} {
		if strings.Count(text, pair[0]) != strings.Count(text, pair[1]) || strings.LastIndex(text, pair[0]) > strings.LastIndex(text, pair[1]) {
			x.t.Errorf("%q is not taken back by %q", pair[0], pair[1])
		}
	}
	return code, text
}

// The simulated run ends at a terminal by itself: nothing in it waits for a key.
func TestSimulatedRunAtATerminal(t *testing.T) {
	x := onTerminal(t, 80, 24, nil, "run", "--base-url", "sim:", "--out", filepath.Join(t.TempDir(), "demo"))
	code, text := x.end()
	if code != 0 || !strings.Contains(text, "report.html") || strings.Contains(text, "\x1b[?1049h") {
		t.Errorf("exit %d:\n%s", code, text)
	}
}

// A run in real time takes the screen, follows its size and the keys, and gives the terminal back however it ends.
func TestViewAtATerminal(t *testing.T) {
	_, url := simulator(t, "gpu=h100-sxm,model=google/gemma-3-4b-it")
	dir := t.TempDir()
	start := func(t *testing.T, name string, env []string) *terminal {
		return onTerminal(t, 80, 24, env, "stress", "--base-url", url, "--out", filepath.Join(dir, name), "--warmup", "1", "--cooldown", "10m")
	}
	t.Run("keys", func(t *testing.T) {
		t.Parallel()
		x := start(t, "keys", nil)
		x.await("cooling down 9:5", 0)
		x.resize(40, 15)
		x.await("s: skip  q: stop after test  ^C: stop", 0)
		x.press("\x1b[A") // an arrow is no wish
		x.press("s")
		x.await("▸ T2", 0)
		x.press("q")
		x.await("stops after test", 0)
		code, text := x.end()
		_, after, _ := strings.Cut(text, "\x1b[?1049l")
		if code != 130 || !strings.Contains(after, "T2") || !strings.Contains(after, "--resume") || strings.Contains(after, "T3") {
			t.Errorf("exit %d, after the view:\n%s", code, after)
		}
	})
	t.Run("interrupt", func(t *testing.T) {
		t.Parallel()
		x := start(t, "interrupt", nil)
		x.await("run 1/3", 0)
		x.press("\x03")
		x.await("once more stops at once", 0)
		if code, text := x.end(); code != 130 || !strings.HasSuffix(strings.TrimSpace(text), "--resume") {
			t.Errorf("exit %d:\n%s", code, text)
		}
	})
	t.Run("third interrupt", func(t *testing.T) {
		t.Parallel()
		x := start(t, "third", nil)
		x.await("run 1/3", 0)
		x.press("\x03\x03\x03")
		if code, text := x.end(); code != 130 {
			t.Errorf("exit %d:\n%s", code, text)
		}
	})
	t.Run("terminated", func(t *testing.T) {
		t.Parallel()
		x := start(t, "terminated", nil)
		x.await("run 1/3", 0)
		x.cmd.Process.Signal(syscall.SIGTERM)
		if code, text := x.end(); code != 130 {
			t.Errorf("exit %d:\n%s", code, text)
		}
	})
	t.Run("suspended where nobody could go on with it", func(t *testing.T) {
		t.Parallel()
		x := start(t, "suspended", nil)
		x.await("run 1/3", 0)
		n := len(x.screen())
		x.press("\x1a")
		x.await("\x1b[?1049l", n) // the screen was left,
		x.await("\x1b[?1049h", n) // and since no shell stops this job, taken again
		x.press("\x03\x03")
		if code, text := x.end(); code != 130 {
			t.Errorf("exit %d:\n%s", code, text)
		}
	})
	t.Run("suspended by a shell", func(t *testing.T) {
		t.Parallel()
		bash, err := exec.LookPath("bash")
		if err != nil {
			t.Skip("no bash")
		}
		x := programOnTerminal(t, 80, 24, []string{"PS1=$ "}, bash, "--norc", "--noediting", "-i")
		x.await("$ ", 0)
		x.press(binary + " stress --base-url " + url + " --warmup 1 --cooldown 10m --out " + filepath.Join(dir, "shell") + "\n")
		x.await("run 1/3", 0)
		x.press("\x1a")
		x.await("Stopped", 0)
		x.awaitMode()
		n := len(x.screen())
		x.press("fg\n")
		x.await("\x1b[?1049h", n)
		x.press("\x03\x03")
		x.await("--resume", n)
		x.press("exit $?\n")
		if code, text := x.end(); code != 130 {
			t.Errorf("exit %d:\n%s", code, text)
		}
	})
	// A breakdown of the Go runtime ends the program without its last words, and so does being killed.
	for name, signal := range map[string]syscall.Signal{"broken down": syscall.SIGQUIT, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := start(t, name, nil)
			x.await("run 1/3", 0)
			x.cmd.Process.Signal(signal)
			x.awaitMode()
			code, text := x.end()
			_, after, _ := strings.Cut(text, "\x1b[?1049l")
			if code == 0 || strings.Contains(after, "goroutine ") != (signal == syscall.SIGQUIT) {
				t.Errorf("exit %d, after the view:\n%s", code, after)
			}
		})
	}
	for _, plain := range []string{"NO_COLOR=1", "TERM=dumb"} {
		t.Run(plain, func(t *testing.T) {
			t.Parallel()
			x := start(t, plain, []string{plain})
			x.await("cooling down 10:00 min", 0)
			x.cmd.Process.Signal(os.Interrupt)
			if code, text := x.end(); code != 130 || strings.Contains(text, "\x1b") {
				t.Errorf("exit %d:\n%q", code, text)
			}
		})
	}
}
