package vllm

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"testing/iotest"
	"time"

	"bench/internal/clock"
	"bench/internal/record"
)

// scripted is a connection that gives what a reader has and takes whatever is written.
type scripted struct {
	net.Conn
	io.Reader
}

func (s scripted) Read(p []byte) (int, error)       { return s.Reader.Read(p) }
func (s scripted) Write(p []byte) (int, error)      { return len(p), nil }
func (s scripted) Close() error                     { return nil }
func (s scripted) SetDeadline(time.Time) error      { return nil }
func (s scripted) SetReadDeadline(time.Time) error  { return nil }
func (s scripted) SetWriteDeadline(time.Time) error { return nil }

// answered is the record of a request whose whole answer are these bytes.
func answered(c *Client, wire io.Reader) record.Request {
	socket := &stampedConn{Conn: scripted{Reader: wire}, clock: c.clock, budget: -1}
	// Not of a pool: nothing would ever wake what is put back.
	p := &pool{dialer: c.streams.dialer, closed: true}
	req, err := http.NewRequest(http.MethodPost, "http://127.0.0.1/v1/chat/completions", nil)
	if err != nil {
		panic(err)
	}
	ex := &exchange{message: message{request: req}, pool: p, timeout: time.Minute, deadline: time.Now().Add(time.Minute),
		conn: &conn{Conn: socket, socket: socket, br: bufio.NewReaderSize(socket, readBuffer)}, stop: func() bool { return true }}
	r := record.Request{}
	t := &tally{r: &r, gen: &Generate{MaxTokens: 16}}
	if _, err = ex.readHead(); err == nil {
		err = t.read(ex)
	}
	c.judge(context.Background(), t, err)
	ex.release()
	return r
}

// FuzzAnswer reads whole answers, heads, framing and all. Whatever they are, each has an outcome; and the outcome
// does not depend on how the network cuts the bytes. Its seeds are the cases of real servers.
func FuzzAnswer(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(wireFolder, "*.http"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no cases: %v", err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 64<<10 { // larger ones only slow the fuzzer down
			f.Add(data)
		}
	}
	c, err := New(Options{BaseURL: "http://127.0.0.1:1", Model: "m", Clock: clock.New(0)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(c.Close)
	f.Fuzz(func(t *testing.T, wire []byte) {
		whole := answered(c, bytes.NewReader(wire))
		if whole.Success != (whole.Error == "") || !whole.Success && whole.Message == "" {
			t.Errorf("success %v, class %q, message %q", whole.Success, whole.Error, whole.Message)
		}
		if whole.CountedTokens < whole.Coalesced+len(whole.TokenNS) {
			t.Errorf("%d tokens, %d coalesced, %d stamps", whole.CountedTokens, whole.Coalesced, len(whole.TokenNS))
		}
		single := answered(c, iotest.OneByteReader(bytes.NewReader(wire)))
		for _, r := range []*record.Request{&whole, &single} { // what is a matter of time
			r.TokenNS, r.TokensPerRead, r.Coalesced, r.FirstTokenNS, r.LastTokenNS, r.FirstTextNS, r.EndNS = nil, nil, 0, nil, nil, nil, 0
			r.FirstReasoningNS, r.FirstToolCallNS, r.FirstAnswerNS = nil, nil, nil
		}
		if !reflect.DeepEqual(whole, single) {
			t.Errorf("in one read %+v\nbyte by byte %+v", whole, single)
		}
	})
}
