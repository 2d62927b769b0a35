package ovsdb

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
)

const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
)

// link is the back-off that libovsdb reconnects with, and the only place where the library says that a connection was lost: it
// calls Reset on its own goroutine when it has dropped the old connection and before it dials again, and NextBackOff after each
// failed attempt. Both therefore serve as hooks. The library panics when a back-off gives up and has no other way to end a
// reconnect, so at the end of the session link ends that goroutine, which holds no lock then.
type link struct {
	losses atomic.Uint64 // how many connections were lost
	gate   sync.Mutex    // held: no attempt starts
	lost   func()
	done   <-chan struct{}
	exp    *backoff.ExponentialBackOff
}

var _ backoff.BackOff = (*link)(nil)

func newLink(done <-chan struct{}, lost func()) *link {
	return &link{lost: lost, done: done, exp: backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(minBackoff), backoff.WithMaxInterval(maxBackoff), backoff.WithMaxElapsedTime(0))}
}

// Reset implements backoff.BackOff.
func (l *link) Reset() {
	l.losses.Add(1)
	l.lost()
	l.exp.Reset()
	l.pass(0)
}

// NextBackOff implements backoff.BackOff. It waits here rather than in the library, where nothing could interrupt it.
func (l *link) NextBackOff() time.Duration {
	l.pass(l.exp.NextBackOff())
	return 0
}

// pass returns after d and when the gate is open, or ends the goroutine when the session has ended.
func (l *link) pass(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.done:
	case <-t.C:
	}
	l.gate.Lock()
	defer l.gate.Unlock()
	select {
	case <-l.done:
		runtime.Goexit()
	default:
	}
}
