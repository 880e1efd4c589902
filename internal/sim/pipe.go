package sim

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeCapacity bounds what one side may write ahead of the other, as socket buffers do.
const pipeCapacity = 256 << 10

// newPipe is an in-memory duplex connection. It is buffered, as a socket is: one read returns what
// several writes left. All waiting is on condition variables and timers, which a testing/synctest
// bubble counts as durably blocked, so virtual time can advance over it.
func newPipe() (client, server net.Conn) {
	up, down := newFlow(), newFlow()
	return &pipeConn{in: down, out: up, local: "client"}, &pipeConn{in: up, out: down, local: "server"}
}

// flow is one direction of a pipe.
type flow struct {
	mu      sync.Mutex
	changed sync.Cond
	buf     []byte // written; what is before done has been read
	done    int
	closed  bool // by the writer: reads drain buf, then end
	reset   bool // what a drained reader then gets is a reset
	broken  bool // by the reader: writes fail
	readers deadline
	writers deadline
}

func newFlow() *flow {
	f := &flow{}
	f.changed.L = &f.mu
	return f
}

// room is how much may be written now.
func (f *flow) room() int { return pipeCapacity - (len(f.buf) - f.done) }

// deadline is one side's deadline; its fields are guarded by the flow's mutex.
type deadline struct {
	timer   *time.Timer
	expired bool
	set     int // counts settings, so that a timer that lost a race with a new setting is ignored
}

func (f *flow) setDeadline(d *deadline, t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.set++
	d.expired = false
	if !t.IsZero() {
		if left := time.Until(t); left <= 0 {
			d.expired = true
		} else {
			set := d.set
			d.timer = time.AfterFunc(left, func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				if d.set == set {
					d.expired = true
					f.changed.Broadcast()
				}
			})
		}
	}
	f.changed.Broadcast()
}

func (f *flow) read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case f.broken:
			return 0, net.ErrClosed
		case f.readers.expired:
			return 0, os.ErrDeadlineExceeded
		case len(f.buf) > f.done:
			n := copy(p, f.buf[f.done:])
			if f.room() == 0 {
				f.changed.Broadcast() // a writer may wait
			}
			if f.done += n; f.done == len(f.buf) {
				f.buf, f.done = f.buf[:0], 0
			}
			return n, nil
		case f.closed && f.reset:
			return 0, syscall.ECONNRESET
		case f.closed:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		}
		f.changed.Wait()
	}
}

func (f *flow) write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	done := 0
	for {
		switch {
		case f.closed:
			return done, net.ErrClosed
		case f.broken:
			return done, io.ErrClosedPipe
		case f.writers.expired:
			return done, os.ErrDeadlineExceeded
		case done == len(p):
			return done, nil
		}
		if room := f.room(); room > 0 {
			if len(f.buf) == 0 {
				f.changed.Broadcast() // a reader may wait
			}
			if f.done > pipeCapacity { // a reader that is never quite done must not make buf grow
				f.buf, f.done = append(f.buf[:0], f.buf[f.done:]...), 0
			}
			n := min(room, len(p)-done)
			f.buf = append(f.buf, p[done:done+n]...)
			done += n
			continue
		}
		f.changed.Wait()
	}
}

// close ends one side: the writer's end lets the reader drain, the reader's end makes writes fail.
func (f *flow) close(side *bool, d *deadline) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*side = true
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.set++
	f.changed.Broadcast()
}

// pipeConn is one end of a pipe.
type pipeConn struct {
	in, out *flow
	local   string
}

func (c *pipeConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *pipeConn) Write(p []byte) (int, error) { return c.out.write(p) }

func (c *pipeConn) Close() error {
	c.out.close(&c.out.closed, &c.out.writers)
	c.in.close(&c.in.broken, &c.in.readers)
	return nil
}

// SetLinger makes the close that follows a reset where sec is 0, as that of a TCP connection.
func (c *pipeConn) SetLinger(sec int) error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.reset = sec == 0
	return nil
}

func (c *pipeConn) LocalAddr() net.Addr  { return pipeAddr(c.local) }
func (c *pipeConn) RemoteAddr() net.Addr { return pipeAddr("peer of " + c.local) }

func (c *pipeConn) SetDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readers, t)
	c.out.setDeadline(&c.out.writers, t)
	return nil
}

func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readers, t)
	return nil
}

func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writers, t)
	return nil
}

type pipeAddr string

func (pipeAddr) Network() string  { return "memory" }
func (a pipeAddr) String() string { return string(a) }
