//go:build linux && cgo

package gpu

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// errStuck is the answer while a driver call does not return.
var errStuck = errors.New("the NVIDIA driver does not answer")

var errClosed = errors.New("the GPU source is closed")

// owner runs all calls into the driver, one after another, in one goroutine. A call into C cannot be
// interrupted, so a caller waits a bounded time and then gives the call up: the owner stays in it,
// callers meanwhile get errStuck at once, and when the driver comes back the late result is thrown
// away and the owner serves again.
type owner struct {
	calls chan func()
	quit  chan struct{}
	done  chan struct{} // closed when the goroutine has ended
	stuck atomic.Bool   // a caller has given up and the owner is still in its call
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

// do runs call in the owner's goroutine and waits for it no longer than bound. After errStuck call
// may still be running, so it must write nowhere but into what it returns.
func do[T any](o *owner, bound time.Duration, call func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var zero T
	if o.stuck.Load() {
		return zero, errStuck
	}
	results := make(chan result, 1) // buffered: the owner never waits for a caller that has left
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case o.calls <- func() { value, err := call(); results <- result{value, err} }:
	case <-o.quit:
		return zero, errClosed
	case <-timer.C:
		return zero, fmt.Errorf("%w within %v", errStuck, bound)
	}
	select {
	case r := <-results:
		return r.value, r.err
	case <-timer.C:
	}
	o.stuck.Store(true)
	select {
	case r := <-results: // came back before the mark, which the owner then will not clear
		o.stuck.Store(false)
		return r.value, r.err
	default:
		return zero, fmt.Errorf("%w within %v", errStuck, bound)
	}
}

// close runs last and ends the goroutine. One that hangs in the driver cannot be ended: then close
// returns errStuck without waiting, and the goroutine ends when the driver returns or with the process.
func (o *owner) close(bound time.Duration, last func()) error {
	_, err := do(o, bound, func() (struct{}, error) { last(); return struct{}{}, nil })
	o.end()
	if errors.Is(err, errClosed) {
		return nil
	}
	if err != nil {
		return err
	}
	<-o.done
	return nil
}
