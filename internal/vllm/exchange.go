package vllm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxRedirects = 1
	maxInterim   = 8        // 1xx answers before the real one
	errorLimit   = 64 << 10 // bytes read of an error answer
)

// message is a request as it goes on the wire, so that nothing but one write stands between the schedule and the wire.
type message struct {
	request *http.Request // what it was made of; never changed
	payload []byte        // its body
	wire    []byte        // head and body
}

// message makes a request ready for any connection to the server.
func (d *dialer) message(req *http.Request, payload []byte) (message, error) {
	req.Body, req.GetBody, req.ContentLength = nil, nil, int64(len(payload))
	if len(payload) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(payload))
	}
	req.Header.Set("User-Agent", "bench")
	req.Header.Set("Accept-Encoding", "identity")
	write := req.Write
	if d.proxy != nil && d.tls == nil { // a plain proxy wants absolute targets
		write = req.WriteProxy
		if auth := proxyAuth(d.proxy); auth != "" {
			req.Header.Set("Proxy-Authorization", auth)
		}
	}
	var wire bytes.Buffer
	wire.Grow(len(payload) + 1024)
	if err := write(&wire); err != nil {
		return message{}, fmt.Errorf("building the request: %w", err)
	}
	req.Body = nil // it holds on to the payload, which is kept once, at the end of the wire's bytes
	b := wire.Bytes()
	return message{request: req, payload: b[len(b)-len(payload):], wire: b}, nil
}

// exchange is one request and its answer on one connection.
type exchange struct {
	message
	pool    *pool
	timeout time.Duration

	conn        *conn
	body        *body
	content     content // body, decoded
	response    *http.Response
	stop        func() bool // ends the watch on the context
	deadline    time.Time
	sent        bool  // the write of the request has begun
	sentNS      int64 // just before it
	connectedNS int64 // since when the connection was free for this request
	dialNS      int64 // time to connect, where the connection is new
	tlsNS       int64 // time to shake hands, likewise
	reused      bool  // the connection had carried a request before
	headersNS   int64 // read that completed the response head
	status      int   // 0: no response head came
}

// do sends the request and reads the answer's head. The one thing it follows is a 307 or 308 to
// the very same origin, as web frameworks answer to a stray slash; any other 3xx is returned.
func (ex *exchange) do(ctx context.Context) (*http.Response, error) {
	for hop := 0; ; hop++ {
		resp, err := ex.once(ctx)
		if err != nil {
			return nil, err
		}
		next := sameOrigin(ex.request.URL, resp)
		if next == nil || hop == maxRedirects {
			return resp, nil
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(ex.body, errorLimit))
		ex.release()
		req := ex.request.Clone(ctx)
		req.URL = next
		if ex.message, err = ex.pool.dialer.message(req, ex.payload); err != nil {
			return nil, err
		}
	}
}

// once is one request on one connection.
func (ex *exchange) once(ctx context.Context) (*http.Response, error) {
	c, err := ex.pool.take(ctx)
	if err != nil {
		return nil, err
	}
	if ex.deadline.IsZero() {
		ex.deadline = time.Now().Add(ex.timeout)
	}
	ex.conn, ex.body, ex.connectedNS = c, nil, c.readyNS
	reused := c.used
	ex.reused = ex.reused || reused
	if !reused {
		ex.dialNS, ex.tlsNS, c.used = c.dialNS, c.tlsNS, true
	}
	if err := c.SetDeadline(ex.deadline); err != nil {
		c.Close()
		return nil, err
	}
	ex.stop = context.AfterFunc(ctx, func() { _ = c.SetDeadline(past()) })
	sent := ex.pool.dialer.clock.Now()
	if !ex.sent {
		ex.sent, ex.sentNS = true, sent
	}
	if _, err := c.Write(ex.wire); err != nil {
		ex.release()
		return nil, err
	}
	resp, err := ex.readHead()
	if err != nil {
		if reused && err == errNoAnswer {
			ex.pool.useOnce() // this request is lost, the next ones need not be
		}
		ex.release()
		return nil, err
	}
	return resp, nil
}

// readHead reads the head of the answer and leaves the connection at its body.
func (ex *exchange) readHead() (*http.Response, error) {
	c := ex.conn
	c.socket.budget = headerLimit
	before := c.socket.reads
	for range maxInterim {
		resp, err := http.ReadResponse(c.br, ex.request)
		if err != nil {
			if c.socket.reads == before && errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, errNoAnswer
			}
			return nil, err
		}
		if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		c.socket.budget = -1
		ex.headersNS, ex.status = c.socket.readNS, resp.StatusCode
		ex.body = newBody(ex, resp)
		ex.content, err = decoded(ex.body, strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding"))))
		if err != nil {
			return nil, err
		}
		resp.Body = ex.content
		if resp.StatusCode >= 400 {
			resp.Body = &limitedBody{io.LimitReader(resp.Body, errorLimit), resp.Body}
		}
		ex.response = resp
		return resp, nil
	}
	return nil, errBadFraming
}

// limitedBody bounds what go-openai reads of an error answer.
type limitedBody struct {
	io.Reader
	io.Closer
}

// release gives the connection back where a next request can follow on it, else closes it. A
// context that ended meanwhile may still touch the connection's deadline, so it is closed then.
func (ex *exchange) release() {
	c := ex.conn
	if c == nil {
		return
	}
	ex.conn = nil
	keep := ex.stop() && ex.body != nil && ex.body.err == io.EOF && ex.body.reuse && c.br.Buffered() == 0
	if !keep || c.SetDeadline(time.Time{}) != nil {
		c.Close()
		return
	}
	c.readyNS = c.socket.readNS
	ex.pool.put(c)
}

// sameOrigin is where a 307 or 308 points if scheme, host and port stay the same, else nil.
func sameOrigin(from *url.URL, resp *http.Response) *url.URL {
	if resp.StatusCode != http.StatusTemporaryRedirect && resp.StatusCode != http.StatusPermanentRedirect {
		return nil
	}
	to, err := from.Parse(resp.Header.Get("Location"))
	if err != nil || to.Scheme != from.Scheme || hostPort(to) != hostPort(from) || to.User != nil || *to == *from {
		return nil
	}
	return to
}
