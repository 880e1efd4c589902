package vllm

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"bench/internal/clock"
	"bench/internal/record"
)

// looped is a connection without a network: it gives the same bytes again and again, one HTTP chunk
// a Read as vLLM's events come.
type looped struct {
	net.Conn
	chunks [][]byte
	next   int
}

func (l *looped) Read(p []byte) (int, error) {
	n := copy(p, l.chunks[l.next])
	l.next = (l.next + 1) % len(l.chunks)
	return n, nil
}

// tokenChunks are n token events as a real vLLM frames them.
func tokenChunks(n int) [][]byte {
	event := `data: {"id":"chatcmpl-aafa775f97625f9b","object":"chat.completion.chunk","created":1795599785,"model":"tiny-gemma",` +
		`"choices":[{"index":0,"delta":{"content":"oho"},"logprobs":null,"finish_reason":null,"token_ids":null}]}` + "\n\n"
	var out [][]byte
	for range n {
		out = append(out, fmt.Appendf(nil, "%x\r\n%s\r\n", len(event), event))
	}
	return out
}

// pull is the path of every byte: connection, stamp, framing, events, JSON, counts.
func pull(t *tally, p *eventParser, b *body) bool {
	buf, err := b.payload()
	if err != nil {
		return false
	}
	for rest := buf; len(rest) > 0; {
		ev, used, ok, err := p.next(rest)
		if err != nil {
			return false
		}
		if rest = rest[used:]; ok {
			t.take(ev, b.ex.conn.socket.readNS, b.ex.conn.socket.reads)
		}
	}
	return true
}

func loopedBody() *body {
	socket := &stampedConn{Conn: &looped{chunks: tokenChunks(16)}, clock: clock.New(0), budget: -1}
	c := &conn{Conn: socket, socket: socket, br: bufio.NewReaderSize(socket, readBuffer)}
	return &body{ex: &exchange{conn: c}, chunked: true}
}

func newTally() *tally {
	return &tally{r: &record.Request{TokenNS: make([]int64, 0, 1<<16)}, gen: &Generate{MaxTokens: 1 << 16}}
}

// TestNoAllocations: an event costs no memory, so the collector never runs for a stream.
func TestNoAllocations(t *testing.T) {
	b, tl := loopedBody(), newTally()
	var p eventParser
	if n := testing.AllocsPerRun(10000, func() {
		if !pull(tl, &p, b) {
			t.Fatal("the stream broke")
		}
	}); n != 0 {
		t.Errorf("%.2f allocations an event", n)
	}
	if tl.r.CountedTokens < 10000 || tl.r.Coalesced != 0 || tl.broken != "" {
		t.Errorf("%d tokens, %d coalesced, %s", tl.r.CountedTokens, tl.r.Coalesced, tl.broken)
	}
}

// BenchmarkEvent is the work on one event without the network: stamp, framing, parsing, counting.
func BenchmarkEvent(b *testing.B) {
	body, tl := loopedBody(), newTally()
	var p eventParser
	b.ReportAllocs()
	for b.Loop() {
		if !pull(tl, &p, body) {
			b.Fatal("the stream broke")
		}
		if len(tl.r.TokenNS) == cap(tl.r.TokenNS) {
			tl.r.TokenNS = tl.r.TokenNS[:0]
		}
	}
}

// BenchmarkStream reads events from a socket, one a read as they come from a server, and reports
// what an event costs beside merely reading the same bytes and throwing them away. The socket keeps
// message boundaries and is filled beforehand, so nothing but the reading is timed.
func BenchmarkStream(b *testing.B) {
	const events = 100
	l, err := net.Listen("unixpacket", filepath.Join(b.TempDir(), "s"))
	if err != nil {
		b.Skip("no sockets with message boundaries here")
	}
	defer l.Close()
	reader, err := net.Dial("unixpacket", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer reader.Close()
	writer, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer writer.Close()
	payload := tokenChunks(1)[0]
	timed := func(read func()) time.Duration {
		for range events {
			if _, err := writer.Write(payload); err != nil {
				b.Fatal(err)
			}
		}
		start := time.Now()
		for range events {
			read()
		}
		return time.Since(start)
	}
	socket := &stampedConn{Conn: reader, clock: clock.New(0), budget: -1}
	body := &body{ex: &exchange{conn: &conn{Conn: socket, socket: socket, br: bufio.NewReaderSize(socket, readBuffer)}}, chunked: true}
	tl, buf := newTally(), make([]byte, readBuffer)
	var p eventParser
	var parse, discard time.Duration
	for b.Loop() {
		tl.r.TokenNS = tl.r.TokenNS[:0]
		parse += timed(func() {
			if !pull(tl, &p, body) {
				b.Fatal("the stream broke")
			}
		})
		discard += timed(func() {
			if _, err := reader.Read(buf); err != nil {
				b.Fatal(err)
			}
		})
	}
	if tl.r.CountedTokens != b.N*events || tl.r.Coalesced != 0 {
		b.Fatalf("%d tokens, %d coalesced", tl.r.CountedTokens, tl.r.Coalesced)
	}
	b.ReportMetric(float64(parse.Nanoseconds())/float64(b.N*events), "ns/event")
	b.ReportMetric(float64(discard.Nanoseconds())/float64(b.N*events), "ns/event-discarded")
	b.ReportMetric(float64(parse)/float64(discard), "ratio")
}

// metricsText is what a real 0.32 under load serves.
func metricsText(t testing.TB) []byte {
	t.Helper()
	capture, _ := readReply(t, "testdata/real", "metrics-under-load")
	_, body, _ := bytes.Cut(capture, []byte("\r\n\r\n"))
	if !bytes.Contains(body, []byte("vllm:")) {
		t.Fatal("no metrics")
	}
	return body
}

// BenchmarkMetrics is one scrape's parsing.
func BenchmarkMetrics(b *testing.B) {
	body := metricsText(b)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := parseMetrics(body); err != nil {
			b.Fatal(err)
		}
	}
	// A scrape every half second, as a share of one processor.
	b.ReportMetric(100*b.Elapsed().Seconds()/float64(b.N)/0.5, "%core")
}

// BenchmarkScrape is a whole scrape over loopback, what the serving side costs here included.
func BenchmarkScrape(b *testing.B) {
	body := metricsText(b)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }))
	defer server.Close()
	c := newClient(b, Options{BaseURL: server.URL})
	for b.Loop() {
		if _, err := c.Metrics(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(100*b.Elapsed().Seconds()/float64(b.N)/0.5, "%core")
}
