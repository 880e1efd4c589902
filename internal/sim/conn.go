package sim

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// keepAlive is how long an idle connection stays open after a reply, as in vLLM.
	keepAlive = 5 * time.Second
	// maxRequestBytes bounds a request with its headers.
	maxRequestBytes = 64 << 20
	// closeGrace is how long a client may take to read what a closing server still has to say.
	closeGrace = time.Second
)

// Why an HTTP server of our own: net/http's sorts response headers, writes their names in its own
// case and adds its own Date. uvicorn, which serves vLLM, writes lower-case names in the order they
// were set. Reading requests is left to net/http.

// Serve accepts connections from l until the server or l is closed. It closes l.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errors.Join(http.ErrServerClosed, l.Close())
	}
	s.listeners[l] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
		_ = l.Close()
	}()
	for {
		conn, err := l.Accept()
		if err != nil {
			s.mu.Lock()
			closed := s.closed
			s.mu.Unlock()
			if closed {
				return nil
			}
			return fmt.Errorf("accepting a connection on %v: %w", l.Addr(), err)
		}
		if err := s.take(conn); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			return nil
		}
	}
}

// Dial opens an in-memory connection to the server, whatever the address; it suits
// net/http.Transport's DialContext.
func (s *Server) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	client, server := newPipe()
	if err := s.take(server); err != nil {
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: err}
	}
	return client, nil
}

// take serves a connection until it is closed.
func (s *Server) take(conn net.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return errors.New("connection refused: the simulated server is closed")
	}
	if s.dead {
		_ = conn.Close()
		return syscall.ECONNREFUSED
	}
	state := &connState{idle: true}
	s.conns[conn] = state
	s.serving.Go(func() {
		defer func() {
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
			_ = conn.Close()
		}()
		s.serveConn(conn, state)
	})
	return nil
}

// connState says whether a connection has a request; guarded by the server's mutex.
type connState struct{ idle bool }

// closeWhenIdle closes an idle connection now and lets a busy one finish its reply.
func (c *connState) closeWhenIdle(conn net.Conn) {
	if c.idle {
		_ = conn.Close()
	} else {
		_ = conn.SetWriteDeadline(time.Now().Add(closeGrace))
	}
}

// setIdle notes whether conn has a request; false when the server is closing and conn should end.
func (s *Server) setIdle(state *connState, idle bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	state.idle = idle
	return !s.closed && !s.dead
}

// serveConn answers the requests of one connection, one after the other.
func (s *Server) serveConn(conn net.Conn, state *connState) {
	limited := &io.LimitedReader{R: conn}
	in := bufio.NewReaderSize(limited, 8<<10)
	for {
		limited.N = maxRequestBytes
		if _, err := in.Peek(1); err != nil || !s.setIdle(state, false) {
			return
		}
		_ = conn.SetReadDeadline(time.Time{})
		req, err := readRequest(in, conn)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\nInvalid HTTP request received.")
			}
			return
		}
		if !s.answer(conn, in, req) {
			return
		}
		_ = conn.SetReadDeadline(time.Now().Add(keepAlive))
		if !s.setIdle(state, true) {
			return
		}
	}
}

// readRequest reads a request with its whole body.
func readRequest(in *bufio.Reader, conn net.Conn) (*http.Request, error) {
	req, err := http.ReadRequest(in)
	if err != nil {
		return nil, err
	}
	if strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
		if _, err := io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return nil, err
		}
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	return req, nil
}

// answer serves one request; false when the connection is to be closed. While the handler runs, the
// connection is watched: a client that hangs up cancels the request's context.
func (s *Server) answer(conn net.Conn, in *bufio.Reader, req *http.Request) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if _, err := in.Peek(1); err != nil {
			cancel()
		}
	}()
	keep := false
	if recorded := s.config.Faults.Reply; recorded != nil && asksForText(req) {
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			select {
			case <-ctx.Done(): // the client is gone
			case <-s.core.done:
			}
		}()
		keep = recorded.send(conn, stopped)
		cancel()
		<-stopped
	} else {
		w := newResponse(conn, req)
		s.handler.ServeHTTP(w, req.WithContext(ctx))
		keep = w.finish() == nil && !w.closeAfter
	}
	_ = conn.SetReadDeadline(time.Unix(1, 0)) // long past: wakes the watcher
	<-watched
	_ = conn.SetReadDeadline(time.Time{})
	return keep
}

// asksForText says whether a request is for an answer of the model.
func asksForText(req *http.Request) bool {
	return req.Method == http.MethodPost && (req.URL.Path == "/v1/chat/completions" || req.URL.Path == "/v1/completions")
}

// headerOrder is the order in which vLLM's server writes headers.
var headerOrder = []string{"Allow", "Content-Length", "Location", "Content-Type", "Vary", "X-Request-Id"}

// response is an http.ResponseWriter that writes as uvicorn does. Each Write becomes one HTTP chunk
// unless the handler set a content length; Flush sends what was written in one socket write.
type response struct {
	conn       net.Conn
	header     http.Header
	out        []byte // not sent yet
	started    bool
	chunked    bool
	bodyless   bool // HEAD, or a status without a body
	closeAfter bool
	http10     bool
	err        error
}

func newResponse(conn net.Conn, req *http.Request) *response {
	return &response{
		conn:       conn,
		header:     http.Header{},
		bodyless:   req.Method == http.MethodHead,
		closeAfter: req.Close,
		http10:     !req.ProtoAtLeast(1, 1),
	}
}

func (w *response) Header() http.Header { return w.header }

func (w *response) WriteHeader(status int) {
	if w.started {
		return
	}
	w.started = true
	w.out = fmt.Appendf(w.out, "HTTP/1.1 %d %s\r\ndate: %s\r\nserver: uvicorn\r\n", status, http.StatusText(status), time.Now().UTC().Format(http.TimeFormat))
	for _, name := range headerOrder {
		if v := w.header.Get(name); v != "" {
			w.out = fmt.Appendf(w.out, "%s: %s\r\n", strings.ToLower(name), v)
		}
	}
	if w.header.Get("Content-Length") == "" {
		if w.http10 {
			w.closeAfter = true // the end of the body is the end of the connection
		} else {
			w.chunked = true
			w.out = append(w.out, "transfer-encoding: chunked\r\n"...)
		}
	}
	if w.closeAfter {
		w.out = append(w.out, "connection: close\r\n"...)
	}
	w.out = append(w.out, "\r\n"...)
}

func (w *response) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.WriteHeader(http.StatusOK)
	switch {
	case w.bodyless || len(p) == 0:
	case w.chunked:
		w.out = strconv.AppendInt(w.out, int64(len(p)), 16)
		w.out = append(w.out, "\r\n"...)
		w.out = append(w.out, p...)
		w.out = append(w.out, "\r\n"...)
	default:
		w.out = append(w.out, p...)
	}
	return len(p), nil
}

// Flush sends what was written so far. Errors show at the next Write.
func (w *response) Flush() {
	w.WriteHeader(http.StatusOK)
	if w.err == nil && len(w.out) > 0 {
		_, w.err = w.conn.Write(w.out)
	}
	w.out = w.out[:0]
}

// finish ends the response.
func (w *response) finish() error {
	w.WriteHeader(http.StatusOK)
	if w.chunked && !w.bodyless {
		w.out = append(w.out, "0\r\n\r\n"...)
	}
	w.Flush()
	return w.err
}
