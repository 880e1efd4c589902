package vllm

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"bench/internal/record"
)

// costRounds is how often each client runs; the table shows medians, since other programs may want the
// same processors.
const costRounds = 3

// Goals of the whole program's processor time per event, as multiples of what reading and discarding
// the same bytes takes in Go.
const (
	goalPaced   = 1.3
	goalFlooded = 2.0
)

// costLoad is what `bench stress --concurrent 32` sends: one request alone, then 32 kept in flight until
// all were sent. The other clients send as many, in bursts.
type costLoad struct {
	name   string
	step   time.Duration // between two tokens of a stream
	tokens int
	bursts int
	goal   float64
}

const costStreams = 32

// events are the tokens of all requests.
func (l costLoad) events() float64 { return float64(l.tokens * (1 + l.bursts*costStreams)) }

// stressed runs the whole program, holds that every request succeeded, and returns its processor time in µs.
func (l costLoad) stressed(t *testing.T, bin, url string) float64 {
	t.Helper()
	out := filepath.Join(t.TempDir(), "r")
	cpu := cpuOf(t, exec.Command(bin, "stress", "--base-url", url, "--concurrent", strconv.Itoa(costStreams), "--requests", strconv.Itoa(l.bursts*costStreams),
		"--runs", "1", "--output-tokens", strconv.Itoa(l.tokens), "--warmup", "0", "--cooldown", "0s", "--gpu-telemetry", "none", "--out", out))
	file, err := record.ReadRequests(filepath.Join(out, "requests", fmt.Sprintf("c%d-100-%d.jsonl", costStreams, l.tokens)))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range file.Requests {
		if !r.Success {
			t.Fatalf("a request failed: %s %s", r.Error, r.Message)
		}
	}
	if len(file.Requests) != l.bursts*costStreams {
		t.Fatalf("%d requests on disk, want %d", len(file.Requests), l.bursts*costStreams)
	}
	return cpu
}

// arguments are the load for the other clients: port, tokens, sizes of bursts.
func (l costLoad) arguments(port int) []string {
	out := []string{strconv.Itoa(port), "burst", strconv.Itoa(l.tokens), "1"}
	for range l.bursts {
		out = append(out, strconv.Itoa(costStreams))
	}
	return out
}

// TestCost prints what an event costs the whole program in processor time, user and system, beside a
// Go client that reads and discards the same bytes and a C client on epoll. All three are processes of
// their own that get the same load from the same server; start, prompts, calibration, telemetry, files
// and the report on the screen are in the program's figure.
func TestCost(t *testing.T) {
	if os.Getenv("BENCH_COST") == "" {
		t.Skip("make bench runs this: it takes minutes")
	}
	bin := buildBench(t)
	raw := compileRaw(t)
	rows := [][]string{{"µs of CPU an event", "`bench stress`", "of that streaming", "Go discard", "C epoll", "bench / Go", "goal", "streaming / Go", "bench / C"}}
	for _, l := range []costLoad{
		{fmt.Sprintf("%d streams, %v a token", costStreams, referenceStep), referenceStep, 200, 8, goalPaced},
		{fmt.Sprintf("%d streams, flooded", costStreams), 0, 8000, 3, goalFlooded},
	} {
		server := startReference(t, 1, l.step)
		go io.Copy(io.Discard, server.pipe)
		url := "http://127.0.0.1:" + strconv.Itoa(server.port)
		var ours, streaming, discard, c []float64
		for range costRounds {
			whole := l.stressed(t, bin, url)
			short := l
			short.tokens = 1
			rest := short.stressed(t, bin, url)
			ours = append(ours, whole/l.events())
			streaming = append(streaming, (whole-rest)/(l.events()-short.events()))
			d := exec.Command(os.Args[0])
			d.Env = append(os.Environ(), discardEnv+"="+strings.Join(l.arguments(server.port), " "))
			discard = append(discard, cpuOf(t, d)/l.events())
			if raw != "" {
				c = append(c, cpuOf(t, exec.Command(raw, l.arguments(server.port)...))/l.events())
			}
		}
		figure := func(list []float64) string {
			if list == nil {
				return "no cc"
			}
			return fmt.Sprintf("%.2f", middle(list))
		}
		if got := middle(ratios(ours, discard)); got > l.goal {
			t.Errorf("%s: an event costs %.2f × that of the discarding client, at most %.1f are allowed", l.name, got, l.goal)
		}
		rows = append(rows, []string{fmt.Sprintf("%s (%.0f events)", l.name, l.events()), figure(ours), figure(streaming), figure(discard), figure(c),
			figure(ratios(ours, discard)), fmt.Sprintf("≤ %.1f", l.goal), figure(ratios(streaming, discard)), figure(ratios(ours, c))})
	}
	publish(t, "An event", rows)
}

// middle is the median.
func middle(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// ratios are taken within a round, whose clients met about the same machine.
func ratios(a, b []float64) []float64 {
	var out []float64
	for i := range b {
		out = append(out, a[i]/b[i])
	}
	return out
}

// buildBench builds the program as it is shipped.
func buildBench(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "bench")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "bench/cmd/bench").CombinedOutput(); err != nil {
		t.Fatalf("building bench: %v\n%s", err, out)
	}
	return bin
}

// cpuOf runs a command and returns the processor time it took, in microseconds.
func cpuOf(t *testing.T, cmd *exec.Cmd) float64 {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, stderr.Bytes())
	}
	return float64((cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Microseconds())
}

// discardAll is the barest Go client there is: a goroutine a connection reads and throws away. The
// setting is that of the C client.
func discardAll(setting string) {
	fields := strings.Fields(setting)
	body := fmt.Sprintf(`{"max_tokens":%s}`, fields[2])
	request := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for _, n := range fields[3:] {
		n, err := strconv.Atoi(n)
		if err != nil {
			panic(err)
		}
		var wg sync.WaitGroup
		for range n {
			c, err := net.Dial("tcp", "127.0.0.1:"+fields[0])
			if err != nil {
				panic(err)
			}
			wg.Go(func() {
				defer c.Close()
				io.WriteString(c, request)
				buf := make([]byte, readBuffer)
				for {
					n, err := c.Read(buf)
					if err != nil {
						panic(err)
					}
					if bytes.HasSuffix(buf[:n], []byte("[DONE]\n\n\r\n0\r\n\r\n")) {
						return
					}
				}
			})
		}
		wg.Wait()
	}
}
