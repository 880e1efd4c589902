package vllm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"bench/internal/record"
)

const (
	// scaleRate is how many tokens a second the server gives all streams together: what one of its
	// processors writes without falling behind, and more than an 8-GPU server does.
	scaleRate   = 20_000
	scaleTokens = 40
	// scaleBound is the memory that 2,000 streams may take.
	scaleBound   = 250 << 20
	scaleBoundAt = 2000
)

// scaled is one line of the table.
type scaled struct {
	requests        []record.Request
	server          []served
	maxRSS          int64 // bytes
	cpu, elapsed    time.Duration
	limited, doubts string // what the program says
}

// TestScale prints how the whole program fares with many streams at once, held against the server's own
// record: what TTFT and TPOT are wrong by, how far the sends of the burst lie apart, memory, and whether
// the program says that it was the limit itself. Nothing may be lost, and 2,000 streams have a bound.
func TestScale(t *testing.T) {
	if os.Getenv("BENCH_COST") == "" {
		t.Skip("make bench runs this: it takes minutes")
	}
	bin := buildBench(t)
	rows := [][]string{{"streams", "a token every", "TTFT off by", "TPOT off by", "sends apart", "coalesced", "memory", "a stream", "processor", "limited by"}}
	var one int64
	for _, n := range []int{1, 32, 256, 2000, 10000} {
		s := scale(t, bin, n)
		if s == nil {
			rows = append(rows, []string{fmt.Sprint(n), "this machine does not allow so many connections"})
			continue
		}
		if n == 1 {
			one = s.maxRSS
			continue
		}
		ttft, tpot, spread, coalesced := s.errors()
		rows = append(rows, []string{fmt.Sprint(n), scaleStep(n).String(), fmt.Sprintf("%.2f ms", ttft), fmt.Sprintf("%.3f ms", tpot), fmt.Sprintf("%.1f ms", spread),
			fmt.Sprintf("%.1f %%", 100*coalesced), fmt.Sprintf("%d MiB", s.maxRSS>>20), fmt.Sprintf("%.0f KiB", float64(s.maxRSS-one)/float64(n)/1024),
			fmt.Sprintf("%.0f %%", 100*s.cpu.Seconds()/s.elapsed.Seconds()), s.limited})
		if s.doubts != "" {
			t.Logf("%d streams: %s", n, s.doubts)
		}
		if n == scaleBoundAt && s.maxRSS > scaleBound {
			t.Errorf("%d streams took %d MiB, at most %d are allowed", n, s.maxRSS>>20, scaleBound>>20)
		}
	}
	publish(t, "Many streams", rows)
}

func scaleStep(n int) time.Duration {
	return max(referenceStep, time.Duration(n)*time.Second/scaleRate)
}

// scale runs one burst of n requests; nil where the machine has not as many file descriptors or ports.
func scale(t *testing.T, bin string, n int) *scaled {
	t.Helper()
	ref := startReference(t, 1, scaleStep(n))
	lines := make(chan []served)
	go func() {
		defer close(lines)
		for ref.out.Scan() {
			var burst []served
			if json.Unmarshal(ref.out.Bytes(), &burst) == nil {
				lines <- burst
			}
		}
	}()
	out := filepath.Join(t.TempDir(), "r")
	cmd := exec.Command(bin, "stress", "--base-url", "http://127.0.0.1:"+strconv.Itoa(ref.port), "--concurrent", strconv.Itoa(n), "--runs", "1",
		"--output-tokens", strconv.Itoa(scaleTokens), "--warmup", "0", "--cooldown", "0s", "--gpu-telemetry", "none", "--timeout", "5m", "--out", out)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Run() }()
	s := &scaled{}
	var err error
	for running := true; running; {
		select {
		case burst := <-lines:
			s.server = append(s.server, burst...)
		case err = <-ended:
			running = false
		}
	}
	if err != nil && strings.Contains(said.String(), "this machine") {
		return nil
	}
	if err != nil {
		t.Fatalf("%d streams: %v\n%s", n, err, said.String())
	}
	s.cpu, s.elapsed = cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), time.Since(began)
	s.maxRSS = mostMemory(cmd.ProcessState)
	s.read(t, out, n)
	return s
}

// read takes in what the program wrote, and holds that nothing was lost.
func (s *scaled) read(t *testing.T, out string, n int) {
	t.Helper()
	var records []record.Record
	for _, name := range []string{record.BaselineFile, record.ConcurrentFile} { // one request is a baseline
		var more []record.Record
		if data, err := os.ReadFile(filepath.Join(out, name)); err == nil {
			if err := json.Unmarshal(data, &more); err != nil {
				t.Fatal(err)
			}
		}
		records = append(records, more...)
	}
	if len(records) == 0 {
		t.Fatal("no record was written")
	}
	rec := records[len(records)-1]
	file, err := record.ReadRequests(filepath.Join(out, rec.Detail.Files.Requests))
	if err != nil {
		t.Fatal(err)
	}
	s.requests = file.Requests
	for _, r := range s.requests {
		if !r.Success || r.CountedTokens != scaleTokens {
			t.Fatalf("%d streams: a request gave %d of %d tokens: %s %s", n, r.CountedTokens, scaleTokens, r.Error, r.Message)
		}
	}
	if len(s.requests) != n {
		t.Fatalf("%d streams: %d requests are on disk", n, len(s.requests))
	}
	s.limited = "nothing"
	if c := rec.Detail.Client; c != nil && c.Limited {
		s.limited = "the client"
	}
	for _, f := range rec.Trust.Findings {
		s.doubts += f.Check + ": " + f.Evidence + "; "
	}
	// The server served probes and the single-request test besides; the burst came last.
	mine := s.server[:0]
	for _, v := range s.server {
		if v.Tokens == scaleTokens {
			mine = append(mine, v)
		}
	}
	if s.server = mine[max(0, len(mine)-n):]; len(s.server) != n {
		t.Fatalf("%d streams: the server tells of %d", n, len(s.server))
	}
}

// errors are by how much the means of TTFT and TPOT differ from the server's, how far the sends lie apart
// (milliseconds), and the share of coalesced tokens. TTFT includes the server's own delay in reading.
func (s *scaled) errors() (ttft, tpot, spread, coalesced float64) {
	const ms = 1e6
	n := float64(len(s.requests))
	first, last := s.requests[0].SentNS, s.requests[0].SentNS
	for i, r := range s.requests {
		v := s.server[i]
		ttft += (float64(*r.FirstTokenNS-r.SentNS) - float64(v.First-v.Arrived)) / ms / n
		tpot += (float64(*r.LastTokenNS-*r.FirstTokenNS) - float64(v.Last-v.First)) / ms / (scaleTokens - 1) / n
		first, last = min(first, r.SentNS), max(last, r.SentNS)
		coalesced += float64(r.Coalesced) / scaleTokens / n
	}
	return ttft, tpot, float64(last-first) / ms, coalesced
}
