package vllm

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// replay serves the bytes of one .http file, written as its .ctl file says. It is a raw server:
// what it sends need not be HTTP that a Go server would agree to send.
type replay struct {
	listener net.Listener
	handlers sync.WaitGroup
	quit     chan struct{}

	mu       sync.Mutex
	requests []*http.Request // heads of all requests seen
	bodies   [][]byte
	conns    int
}

// directive is one line of a .ctl file.
type directive struct {
	verb  string
	text  []byte
	bytes int
	wait  time.Duration
}

// startReplay serves replyFor(path) on loopback until the test ends.
func startReplay(t *testing.T, replyFor func(path string) (data []byte, ctl []directive)) *replay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &replay{listener: l, quit: make(chan struct{})}
	r.handlers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns++
			r.mu.Unlock()
			r.handlers.Go(func() { r.serve(c.(*net.TCPConn), replyFor) })
		}
	})
	t.Cleanup(func() {
		close(r.quit)
		l.Close()
		r.handlers.Wait()
	})
	return r
}

func (r *replay) url() string { return "http://" + r.listener.Addr().String() }

// seen is how many requests came.
func (r *replay) seen() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.requests)
}

func (r *replay) serve(c *net.TCPConn, replyFor func(string) ([]byte, []directive)) {
	defer c.Close()
	done := make(chan struct{})
	defer close(done)
	r.handlers.Go(func() { // unblocks the reads below when the test ends
		select {
		case <-r.quit:
			c.SetDeadline(past())
		case <-done:
		}
	})
	br := bufio.NewReader(c)
	idle := 30 * time.Second
	for {
		c.SetReadDeadline(time.Now().Add(idle))
		select {
		case <-r.quit:
			return
		default:
		}
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		r.requests, r.bodies = append(r.requests, req), append(r.bodies, body)
		r.mu.Unlock()
		data, ctl := replyFor(req.URL.Path)
		end, wait := r.write(c, data, ctl)
		switch {
		case end == "stall":
			c.SetReadDeadline(time.Now().Add(wait))
			br.ReadByte()
			return
		case end == "reset":
			c.SetLinger(0)
			return
		case end == "idle-close":
			idle = wait
		case end == "close" || !keepsAlive(data):
			c.CloseWrite()
			c.SetReadDeadline(time.Now().Add(time.Second))
			io.Copy(io.Discard, br)
			return
		}
	}
}

// write sends data as ctl says and returns how the connection is to end.
func (r *replay) write(c *net.TCPConn, data []byte, ctl []directive) (end string, wait time.Duration) {
	put := func(n int) {
		c.Write(data[:n])
		data = data[n:]
	}
	for _, d := range ctl {
		switch d.verb {
		case "send":
			put(d.bytes)
		case "send-to":
			put(bytes.Index(data, d.text) + len(d.text))
		case "rest":
			put(len(data))
		case "each":
			for len(data) > 0 && !r.over() {
				put(min(d.bytes, len(data)))
				time.Sleep(d.wait)
			}
		case "chunks":
			for len(data) > 0 && !r.over() {
				put(chunkEnd(data))
				time.Sleep(d.wait)
			}
		case "pause":
			time.Sleep(d.wait)
		case "stall", "close", "reset":
			return d.verb, d.wait
		case "idle-close":
			put(len(data))
			return d.verb, d.wait
		}
	}
	put(len(data))
	return "", 0
}

func (r *replay) over() bool {
	select {
	case <-r.quit:
		return true
	default:
		return false
	}
}

// chunkEnd is the length of the head, or of the first HTTP chunk, or of an incomplete rest.
func chunkEnd(data []byte) int {
	if bytes.HasPrefix(data, []byte("HTTP/")) {
		return bytes.Index(data, []byte("\r\n\r\n")) + 4
	}
	head, _, ok := bytes.Cut(data, []byte("\r\n"))
	size, err := strconv.ParseInt(string(head), 16, 32)
	if end := len(head) + 2 + int(size) + 2; ok && err == nil && end <= len(data) {
		return end
	}
	return len(data)
}

func keepsAlive(data []byte) bool {
	head, _, _ := bytes.Cut(bytes.ToLower(data), []byte("\r\n\r\n"))
	if bytes.Contains(head, []byte("\r\nconnection: close")) || bytes.HasPrefix(head, []byte("http/1.0")) {
		return false
	}
	return bytes.Contains(head, []byte("\r\ncontent-length:")) || bytes.Contains(head, []byte("\r\ntransfer-encoding:"))
}

// repeated marks a word that stands many times in a reply: {{262144 brick}}.
var repeated = regexp.MustCompile(`\{\{(\d+) (\w+)\}\}`)

// readReply reads NAME.http and NAME.ctl of a folder.
func readReply(t testing.TB, folder, name string) ([]byte, []directive) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(folder, name+".http"))
	if err != nil {
		t.Fatal(err)
	}
	data = repeated.ReplaceAllFunc(data, func(mark []byte) []byte {
		parts := repeated.FindSubmatch(mark)
		n, err := strconv.Atoi(string(parts[1]))
		if err != nil {
			t.Fatalf("%s.http: %v", name, err)
		}
		return bytes.Repeat(parts[2], n)
	})
	text, err := os.ReadFile(filepath.Join(folder, name+".ctl"))
	if os.IsNotExist(err) {
		return data, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	ctl, err := parseCtl(string(text))
	if err != nil {
		t.Fatalf("%s.ctl: %v", name, err)
	}
	return data, ctl
}

func parseCtl(text string) ([]directive, error) {
	var out []directive
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		d := directive{verb: verb}
		var err error
		switch verb {
		case "send":
			d.bytes, err = strconv.Atoi(rest)
		case "send-to":
			var text string
			text, err = strconv.Unquote(rest)
			d.text = []byte(text)
		case "each":
			var ms float64
			_, err = fmt.Sscan(rest, &d.bytes, &ms)
			d.wait = time.Duration(ms * float64(time.Millisecond))
		case "chunks", "pause", "stall", "idle-close":
			var ms float64
			ms, err = strconv.ParseFloat(rest, 64)
			d.wait = time.Duration(ms * float64(time.Millisecond))
		case "rest", "close", "reset":
		default:
			err = fmt.Errorf("unknown directive %q", line)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}
