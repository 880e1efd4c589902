package vllm

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxIdle is below the 5 s after which vLLM's HTTP server closes an idle connection, so that no
// request is sent into one that is being closed.
const maxIdle = 4 * time.Second

// openersAtOnce bounds how many connections are dialled side by side.
const openersAtOnce = 64

// pool keeps idle connections. While idle, each is watched by a read that returns only when the
// server closes it: a dead connection is known before a request is given to it.
type pool struct {
	dialer *dialer

	mu       sync.Mutex
	idle     []*conn
	closed   bool
	single   bool // the server closes connections after an answer though it announces to keep them: none is used twice
	watchers sync.WaitGroup
}

// take gives a live idle connection, or dials one.
func (p *pool) take(ctx context.Context) (*conn, error) {
	for {
		c := p.pop()
		if c == nil {
			return p.dialer.open(ctx)
		}
		if c.wake() {
			return c, nil
		}
		c.Close()
	}
}

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	c := p.idle[len(p.idle)-1]
	p.idle = p.idle[:len(p.idle)-1]
	return c
}

// put keeps a connection for a later request and begins to watch it.
func (p *pool) put(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.single && c.used {
		c.Close()
		return
	}
	c.idleSince = time.Now()
	c.watch = make(chan error, 1)
	p.watchers.Go(func() {
		_, err := c.br.Peek(1)
		c.watch <- err
	})
	p.idle = append(p.idle, c)
}

// kept says whether the server left the connection of the last answer open for so long. Where it announced to keep it
// and did not, connections are used once from now on: a request sent into one that is being closed is lost.
func (p *pool) kept(ctx context.Context, wait time.Duration) (bool, error) {
	c := p.pop()
	if c == nil {
		return false, nil // it said so
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		c.Close()
		return false, ctx.Err()
	case <-c.watch:
		c.Close()
		p.useOnce()
		return false, nil
	case <-timer.C:
	}
	if !c.wake() {
		c.Close()
		return false, nil
	}
	p.put(c)
	return true, nil
}

func (p *pool) useOnce() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.single = true
}

// wake ends the watch and says whether the connection is fit for a request. Bytes that came
// unasked make it unfit as much as its end does.
func (c *conn) wake() bool {
	if c.SetReadDeadline(past()) != nil {
		return false
	}
	err := <-c.watch
	return isTimeout(err) && time.Since(c.idleSince) < maxIdle && c.SetReadDeadline(time.Time{}) == nil
}

// fill brings the pool to n idle connections that are alive and fresh.
func (p *pool) fill(ctx context.Context, n int) error {
	var live []*conn
	for len(live) < n {
		c := p.pop()
		if c == nil {
			break
		}
		if c.wake() {
			live = append(live, c)
		} else {
			c.Close()
		}
	}
	missing := n - len(live)
	opened := make([]*conn, max(0, missing))
	var dials errgroup.Group
	dials.SetLimit(openersAtOnce)
	for i := range opened {
		dials.Go(func() (err error) {
			opened[i], err = p.dialer.open(ctx)
			return err
		})
	}
	err := dials.Wait()
	for _, c := range append(live, opened...) {
		if c != nil {
			p.put(c)
		}
	}
	return err
}

// close closes what is idle and waits for the watchers; connections that come back later are
// closed at once.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, c := range p.idle {
		c.Close()
	}
	p.idle = nil
	p.mu.Unlock()
	p.watchers.Wait()
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
