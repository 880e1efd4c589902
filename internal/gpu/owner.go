//go:build linux && cgo

package gpu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// errStuck is the answer while a driver call does not return.
var errStuck = errors.New("the NVIDIA driver does not answer")

var errClosed = errors.New("the GPU source is closed")

// owner runs calls into the driver, one after another, in one goroutine. A call into C cannot be
// interrupted, so a caller waits until its context ends and then gives the call up: the owner stays in
// it, callers meanwhile get errStuck at once, and when the driver comes back the late result is thrown
// away and the owner serves again.
type owner struct {
	calls chan func()
	quit  chan struct{}
	done  chan struct{} // closed when the goroutine has ended
	stuck atomic.Bool   // a caller's time ran out and the owner is still in its call
	end   func()        // closes quit, once
}

func newOwner() *owner {
	o := &owner{calls: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	o.end = sync.OnceFunc(func() { close(o.quit) })
	go func() {
		defer close(o.done)
		for {
			select {
			case call := <-o.calls:
				call()
				o.stuck.Store(false)
			case <-o.quit:
				return
			}
		}
	}()
	return o
}

// do runs call in the owner's goroutine and waits for it no longer than ctx lasts. After an error call
// may still be running, so it must write nowhere but into what it returns.
func do[T any](ctx context.Context, o *owner, call func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var zero T
	if o.stuck.Load() {
		return zero, errStuck
	}
	start := time.Now()
	results := make(chan result, 1) // buffered: the owner never waits for a caller that has left
	select {
	case o.calls <- func() { value, err := call(); results <- result{value, err} }:
	case <-o.quit:
		return zero, errClosed
	case <-ctx.Done():
		return zero, left(ctx, start)
	}
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
	}
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return zero, ctx.Err() // the caller lost interest, which says nothing of the driver
	}
	o.stuck.Store(true)
	select {
	case r := <-results: // came back before the mark, which the owner then will not clear
		o.stuck.Store(false)
		return r.value, r.err
	default:
		return zero, left(ctx, start)
	}
}

// left is the error of a caller whose context ended.
func left(ctx context.Context, start time.Time) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w within %v", errStuck, time.Since(start).Round(time.Millisecond))
	}
	return ctx.Err()
}

// offer hands call to the owner if that is free, and does not wait for it.
func (o *owner) offer(call func()) bool {
	select {
	case o.calls <- call:
		return true
	default:
		return false
	}
}

// close ends the goroutine when its call is done. One that hangs in the driver cannot be ended: then
// close returns errStuck when ctx ends, and the goroutine ends when the driver returns or with the process.
func (o *owner) close(ctx context.Context) error {
	o.end()
	if o.stuck.Load() {
		return errStuck
	}
	select {
	case <-o.done:
		return nil
	case <-ctx.Done():
		return errStuck
	}
}
