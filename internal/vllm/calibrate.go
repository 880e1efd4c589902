package vllm

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"bench/internal/clock"
	"bench/internal/record"
	"bench/internal/stats"
)

// Shape of the calibration: tokens at the pace of a fast server for a third of a second, in which a machine's usual pauses
// are met a few times, each by all streams.
const (
	calibrationTokens = 25
	calibrationStep   = 15 * time.Millisecond
	calibrationFirst  = 30 * time.Millisecond
	calibrationLimit  = 10 * time.Second
	// maxCalibrated is the number of streams beyond which the calibrating server itself would be what is measured.
	maxCalibrated = 64
)

// Calibrate measures what this client adds by itself on this machine: it streams n answers at once from a
// loopback server of its own, which notes when it writes each token, and compares with the stamps the client
// takes. That server takes part of the same processors, so the figures are an upper bound.
func Calibrate(ctx context.Context, n int) (record.ClientCalibration, error) {
	n = min(max(n, 1), maxCalibrated)
	ctx, cancel := context.WithTimeout(ctx, calibrationLimit)
	defer cancel()
	clk := clock.New(0)
	server, err := startMetronome(clk, n)
	if err != nil {
		return record.ClientCalibration{}, fmt.Errorf("calibrating the client: %w", err)
	}
	defer server.stop()
	c, err := New(Options{BaseURL: "http://" + server.listener.Addr().String(), Model: "metronome", Timeout: calibrationLimit, Clock: clk})
	if err != nil {
		return record.ClientCalibration{}, fmt.Errorf("calibrating the client: %w", err)
	}
	defer c.Close()
	if err := c.Open(ctx, n); err != nil {
		return record.ClientCalibration{}, fmt.Errorf("calibrating the client: %w", err)
	}
	answers := make([]record.Request, n)
	var running sync.WaitGroup
	for i := range n {
		p, err := c.Prepare(Generate{Endpoint: Chat, Prompt: "tick", MaxTokens: calibrationTokens, IgnoreEOS: true, RequestID: strconv.Itoa(i)})
		if err != nil {
			return record.ClientCalibration{}, fmt.Errorf("calibrating the client: %w", err)
		}
		running.Go(func() { answers[i] = c.Send(ctx, p) })
	}
	running.Wait()
	return server.compare(answers)
}

// metronome streams tokens to n clients in step, as an engine does, and notes when it writes.
type metronome struct {
	clock    *clock.Clock
	listener net.Listener
	n        int
	ready    chan numbered
	done     sync.WaitGroup

	mu      sync.Mutex
	open    []net.Conn
	writeNS [][]int64 // when each token was written, by the request's number
}

// numbered is a connection with the number of the request that came over it, which is the request's ID.
type numbered struct {
	request int
	conn    net.Conn
}

func startMetronome(clk *clock.Clock, n int) (*metronome, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	m := &metronome{clock: clk, listener: l, n: n, ready: make(chan numbered, n), writeNS: make([][]int64, n)}
	m.done.Go(m.accept)
	m.done.Go(m.tick)
	return m, nil
}

func (m *metronome) stop() {
	m.listener.Close()
	m.mu.Lock()
	for _, c := range m.open {
		c.Close()
	}
	m.mu.Unlock()
	m.done.Wait()
}

func (m *metronome) accept() {
	var readers sync.WaitGroup
	defer close(m.ready)
	defer readers.Wait()
	for {
		c, err := m.listener.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		m.open = append(m.open, c)
		m.mu.Unlock()
		readers.Go(func() {
			req, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
			if i, err := strconv.Atoi(req.Header.Get("X-Request-Id")); err == nil && i >= 0 && i < m.n {
				m.ready <- numbered{i, c}
			}
		})
	}
}

// tick waits for the whole burst and gives each its next token at every step.
func (m *metronome) tick() {
	burst := make([]net.Conn, m.n)
	for range m.n {
		c, ok := <-m.ready
		if !ok {
			return
		}
		burst[c.request] = c.conn
	}
	chunk := func(data string) []byte {
		return fmt.Appendf(nil, "%x\r\ndata: %s\n\n\r\n", len(data)+len("data: \n\n"), data)
	}
	token := chunk(`{"choices":[{"index":0,"delta":{"content":"tick"},"finish_reason":null}]}`)
	last := slices.Concat(chunk(`{"choices":[{"index":0,"delta":{"content":"tick"},"finish_reason":"length"}]}`),
		chunk(fmt.Sprintf(`{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":%d}}`, calibrationTokens)), chunk("[DONE]"), []byte("0\r\n\r\n"))
	next := time.Now().Add(calibrationFirst)
	for _, c := range burst {
		io.WriteString(c, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
	}
	for i := range calibrationTokens {
		time.Sleep(time.Until(next))
		next = next.Add(calibrationStep)
		text := token
		if i == calibrationTokens-1 {
			text = last
		}
		for k, c := range burst {
			// Noted before the write: the client may have read and compared before it returns.
			m.mu.Lock()
			m.writeNS[k] = append(m.writeNS[k], m.clock.Now())
			m.mu.Unlock()
			if _, err := c.Write(text); err != nil {
				return
			}
		}
	}
}

// compare holds each token's stamp against its write. Tokens of different streams are not mixed, so that the largest
// difference is one that a token had.
func (m *metronome) compare(answers []record.Request) (record.ClientCalibration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := record.ClientCalibration{Streams: m.n}
	var added []float64
	coalesced := 0
	for k, r := range answers {
		if !r.Success {
			return out, fmt.Errorf("calibrating the client: a loopback stream failed: %s", r.Message)
		}
		coalesced += r.Coalesced
		wrote := m.writeNS[k]
		for i, ns := range r.TokenNS {
			tokens := 1
			if r.TokensPerRead != nil {
				tokens = r.TokensPerRead[i]
			}
			for _, wroteNS := range wrote[:min(tokens, len(wrote))] {
				added = append(added, float64(ns-wroteNS)/float64(time.Millisecond))
			}
			wrote = wrote[min(tokens, len(wrote)):]
		}
	}
	if len(added) == 0 {
		return out, fmt.Errorf("calibrating the client: no token came")
	}
	slices.Sort(added)
	out.Events = len(added)
	out.AddedP50MS, _ = stats.QuantileSorted(added, 0.5)
	out.AddedP99MS, _ = stats.QuantileSorted(added, 0.99)
	out.AddedMaxMS = added[len(added)-1]
	out.CoalescedShare = float64(coalesced) / float64(len(added))
	return out, nil
}
