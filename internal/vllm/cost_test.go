package vllm

import (
	"bytes"
	"encoding/json"
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
	"text/tabwriter"
	"time"
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

// load is a sequence of bursts, the same for each client: what `bench stress --concurrent 32` sends.
type costLoad struct {
	name   string
	step   time.Duration
	tokens int
	runs   int
	goal   float64
}

const costStreams = 32

// stress is the command line of the load, with one warm-up request before each of its two tests.
func (l costLoad) stress(bin, url, out string) *exec.Cmd {
	return exec.Command(bin, "stress", "--base-url", url, "--concurrent", strconv.Itoa(costStreams), "--runs", strconv.Itoa(l.runs),
		"--output-tokens", strconv.Itoa(l.tokens), "--warmup", "1", "--cooldown", "0s", "--gpu-telemetry", "none", "--out", out)
}

// bursts are the same requests for the other clients.
func (l costLoad) bursts() []string {
	var out []string
	for _, size := range []int{1, costStreams} { // the single-request test comes first
		out = append(out, "1") // warm-up
		for range l.runs {
			out = append(out, strconv.Itoa(size))
		}
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
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "load\tevents\tbench stress\tGo discard\tC epoll\tbench / Go\tgoal\tbench / C\tµs of CPU an event; medians of %d\t\n", costRounds)
	for _, l := range []costLoad{
		{fmt.Sprintf("%d streams, %v a token", costStreams, referenceStep), referenceStep, 200, 3, goalPaced},
		{fmt.Sprintf("%d streams, flooded", costStreams), 0, 8000, 3, goalFlooded},
	} {
		server := startReference(t, 1, l.step)
		go io.Copy(io.Discard, server.pipe)
		url := "http://127.0.0.1:" + strconv.Itoa(server.port)
		events := float64(l.tokens * (2 + l.runs*(1+costStreams)))
		var ours, discard, c []float64
		for range costRounds {
			out := filepath.Join(t.TempDir(), "r")
			ours = append(ours, cpuOf(t, l.stress(bin, url, out))/events)
			checkStress(t, out, l)
			d := exec.Command(os.Args[0])
			d.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %s", discardEnv, server.port, l.tokens, strings.Join(l.bursts(), " ")))
			discard = append(discard, cpuOf(t, d)/events)
			if raw != "" {
				c = append(c, cpuOf(t, exec.Command(raw, append([]string{strconv.Itoa(server.port), "c", strconv.Itoa(l.tokens)}, l.bursts()...)...))/events)
			}
		}
		mid := func(list []float64) float64 {
			slices.Sort(list)
			return list[len(list)/2]
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%.2f\t", l.name, events, mid(ours), mid(discard))
		if c == nil {
			fmt.Fprintf(w, "no cc\t%.2f\t≤ %.1f\t\t\t\n", mid(ours)/mid(discard), l.goal)
		} else {
			fmt.Fprintf(w, "%.2f\t%.2f\t≤ %.1f\t%.2f\t\t\n", mid(c), mid(ours)/mid(discard), l.goal, mid(ours)/mid(c))
		}
	}
	w.Flush()
	t.Logf("\n%s", table.String())
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

// checkStress holds that the run was whole: each request gave every token.
func checkStress(t *testing.T, out string, l costLoad) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(out, "concurrent_results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var records []struct {
		Results struct {
			SuccessRate float64 `json:"success_rate"`
		} `json:"results"`
		Detail struct {
			Requests int `json:"requests"`
		} `json:"detail"`
	}
	if err := json.Unmarshal(data, &records); err != nil || len(records) != 1 || records[0].Results.SuccessRate != 1 || records[0].Detail.Requests != l.runs*costStreams {
		t.Fatalf("the run was not whole: %v, %+v", err, records)
	}
}

// discardAll is the barest Go client there is: a goroutine a connection reads and throws away. The
// setting is "PORT TOKENS N [N…]": bursts of N requests, one after another.
func discardAll(setting string) {
	fields := strings.Fields(setting)
	body := fmt.Sprintf(`{"max_tokens":%s}`, fields[1])
	request := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for _, n := range fields[2:] {
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
