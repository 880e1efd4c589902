package vllm

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// pair is a connection over loopback: the client's end and the server's.
func pair(t *testing.T) (client net.Conn, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		other.Close()
	})
	return client, other.(*net.TCPConn)
}

// TestDirectReads: a connection that is read directly gives what Go's own gives, bytes and errors to the word.
func TestDirectReads(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(server *net.TCPConn)
		when  func(client net.Conn)
		is    error
	}{
		"bytes, then the end": {serve: func(s *net.TCPConn) {
			s.Write([]byte("one"))
			time.Sleep(20 * time.Millisecond)
			s.Write(bytes.Repeat([]byte("two"), 100_000))
			s.Close()
		}, is: io.EOF},
		"a reset": {serve: func(s *net.TCPConn) {
			s.SetLinger(0)
			s.Close()
		}, is: syscall.ECONNRESET},
		"a deadline": {when: func(c net.Conn) { c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) }, is: os.ErrDeadlineExceeded},
		"a deadline gone by": {serve: func(s *net.TCPConn) { s.Write([]byte("one")) },
			when: func(c net.Conn) { c.SetReadDeadline(past()) }, is: os.ErrDeadlineExceeded},
		"closed beforehand": {when: func(c net.Conn) { c.Close() }, is: net.ErrClosed},
		"closed meanwhile":  {when: func(c net.Conn) { time.AfterFunc(20*time.Millisecond, func() { c.Close() }) }, is: net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			read := func(wrap func(net.Conn) net.Conn) (data []byte, err error) {
				client, server := pair(t)
				if c.serve != nil {
					go c.serve(server)
				}
				if c.when != nil {
					c.when(client)
				}
				got := wrap(client)
				for buf := make([]byte, 1000); ; {
					n, err := got.Read(buf)
					if data = append(data, buf[:n]...); err != nil {
						return data, err
					}
				}
			}
			want, wantErr := read(func(c net.Conn) net.Conn { return c })
			got, err := read(directly)
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes came, want %d", len(got), len(want))
			}
			if !errors.Is(err, c.is) || !errors.Is(wantErr, c.is) {
				t.Errorf("got %v, Go's own %v, want %v", err, wantErr, c.is)
			}
			if op, ok := errors.AsType[*net.OpError](err); ok && op.Op != "read" {
				t.Errorf("the error is %v", err)
			}
		})
	}
}
