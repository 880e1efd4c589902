//go:build linux && !race

package vllm

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// direct reads a socket without telling Go's scheduler of each system call. The socket does not block, so there is no
// call to tell of; but each telling wakes the runtime's monitor out of its sleep, which then looks around for about as
// long as it takes to read an event. That was a quarter of all that an event of a paced stream cost. What else
// calls the kernel wakes the monitor as ever, and so does the next timer.
type direct struct {
	net.Conn
	raw     syscall.RawConn
	attempt func(fd uintptr) bool // try, made once so that a read allocates nothing

	// of the read under way
	into []byte
	n    int
	err  error
}

// directly is c with cheaper reads, or c itself where it is no socket.
func directly(c net.Conn) net.Conn {
	s, ok := c.(syscall.Conn)
	if !ok {
		return c
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return c
	}
	d := &direct{Conn: c, raw: raw}
	d.attempt = d.try
	return d
}

// Read keeps the contract of the connection's own, deadlines and errors included.
func (d *direct) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	d.into, d.n, d.err = p, 0, nil
	err := d.raw.Read(d.attempt)
	d.into = nil
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok {
			op.Op = "read"
		}
		return 0, err
	}
	return d.n, d.err
}

// try makes one attempt and says whether it came to something; the poller waits where it did not.
func (d *direct) try(fd uintptr) bool {
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(d.into))), uintptr(len(d.into)))
		switch {
		case errno == syscall.EINTR:
			continue
		case errno == syscall.EAGAIN:
			return false
		case errno != 0:
			d.err = &net.OpError{Op: "read", Net: d.LocalAddr().Network(), Source: d.LocalAddr(), Addr: d.RemoteAddr(), Err: os.NewSyscallError("read", errno)}
		case n == 0:
			d.err = io.EOF
		default:
			d.n = int(n)
		}
		return true
	}
}
