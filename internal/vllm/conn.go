package vllm

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"bench/internal/clock"
)

const (
	// readBuffer is the memory of a connection: some eighty events, so that a flooded one still takes few reads,
	// and thousands of connections stay small.
	readBuffer = 16 << 10
	// headerLimit bounds a response head, which net/http's reader does not.
	headerLimit = 1 << 20
)

var errHeaderTooLarge = errors.New("the response head is larger than 1 MiB")

// stampedConn notes when its last Read returned. It lies under TLS, so a stamp is the socket's.
// HTTP/1 is read by the goroutine that wants the answer: what has been parsed after a Read
// arrived with that Read or before it.
type stampedConn struct {
	net.Conn
	clock  *clock.Clock
	reads  int   // Reads that brought bytes
	readNS int64 // when the last of them returned
	budget int   // bytes that may still be read; negative: any number
}

// Read reads once and stamps.
func (c *stampedConn) Read(p []byte) (int, error) {
	if c.budget == 0 {
		return 0, errHeaderTooLarge
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.readNS = c.clock.Now()
		c.reads++
		if c.budget > 0 {
			c.budget = max(0, c.budget-n)
		}
	}
	return n, err
}

// conn is one connection to the server. At any time it belongs to one exchange or to its pool.
type conn struct {
	net.Conn               // TLS where there is TLS
	socket   *stampedConn  // what lies under it
	br       *bufio.Reader // reads Conn
	readyNS  int64         // since when it was free for the request it now carries
	// dialNS and tlsNS are how long connecting and shaking hands took; told by the first request.
	dialNS, tlsNS int64
	used          bool // it has carried a request before

	idleSince time.Time
	watch     chan error // outcome of the pool's read on the idle connection
}

// dialer opens connections to one server.
type dialer struct {
	target *url.URL
	proxy  *url.URL    // nil: straight
	tls    *tls.Config // nil: plain
	clock  *clock.Clock
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	limit  time.Duration
}

// connectError marks failures that came before anything could be sent.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// open dials, passes the proxy and shakes hands.
func (d *dialer) open(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	hop := d.target
	if d.proxy != nil {
		hop = d.proxy
	}
	beganNS := d.clock.Now()
	raw, err := d.dial(ctx, "tcp", hostPort(hop))
	if err != nil {
		return nil, &connectError{err}
	}
	c := &conn{socket: &stampedConn{Conn: directly(raw), clock: d.clock, budget: -1}}
	c.Conn = c.socket
	c.dialNS = d.clock.Now() - beganNS
	if err := d.secure(ctx, c); err != nil {
		raw.Close()
		return nil, &connectError{err}
	}
	c.br = bufio.NewReaderSize(c.Conn, readBuffer)
	c.readyNS = d.clock.Now()
	return c, nil
}

// secure does what stands between a TCP connection and the first request.
func (d *dialer) secure(ctx context.Context, c *conn) error {
	if d.tls == nil {
		return nil
	}
	if d.proxy != nil {
		if err := connect(ctx, c.socket, hostPort(d.target), proxyAuth(d.proxy)); err != nil {
			return err
		}
	}
	t := tls.Client(c.socket, d.tls)
	beganNS := d.clock.Now()
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	c.Conn, c.tlsNS = t, d.clock.Now()-beganNS
	return nil
}

// connect asks a proxy for a tunnel. A proxy sends nothing of its own after its answer, so the
// buffered reader used here takes no byte that TLS would miss.
func connect(ctx context.Context, c net.Conn, addr, auth string) error {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(past()) })
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if auth != "" {
		req.Header.Set("Proxy-Authorization", auth)
	}
	if err := req.Write(c); err != nil {
		return fmt.Errorf("asking the proxy for a tunnel: %w", err)
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 1), req)
	if err != nil {
		return fmt.Errorf("asking the proxy for a tunnel: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the proxy refuses a tunnel to %s: HTTP %d", addr, resp.StatusCode)
	}
	return nil
}

func proxyAuth(proxy *url.URL) string {
	if proxy.User == nil {
		return ""
	}
	password, _ := proxy.User.Password()
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(proxy.User.Username()+":"+password))
}

// hostPort is what to dial for u.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// past is a deadline that has gone by on every clock, a virtual one included.
func past() time.Time { return time.Unix(1, 0) }
