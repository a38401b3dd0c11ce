package proxy

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"
)

// tarpit keeps denied clients waiting for nothing: a socket each, without a goroutine, until their time is over.
type tarpit struct {
	mu   sync.Mutex
	held []stuck // oldest first
	most int
	over bool // nobody would let go of another one
}

type stuck struct {
	conn  io.Closer
	until time.Time
}

// tarpitTime is how long a client is kept: longer than most wait by themselves.
const tarpitTime = 2 * time.Minute

// hold takes a connection over; false if there are too many: then the caller closes it.
func (t *tarpit) hold(c io.Closer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || len(t.held) >= t.most {
		return false
	}
	t.held = append(t.held, stuck{c, time.Now().Add(tarpitTime)})
	return true
}

// resize sets how many may be held.
func (t *tarpit) resize(most int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.most = most
}

// run lets clients go when their time is over, and all when ctx is done.
func (t *tarpit) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			t.end()
			return
		case now := <-tick.C:
			t.release(now)
		}
	}
}

func (t *tarpit) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.releaseLocked(time.Now().Add(tarpitTime))
}

func (t *tarpit) release(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.releaseLocked(now)
}

func (t *tarpit) releaseLocked(now time.Time) {
	n := 0
	for n < len(t.held) && !t.held[n].until.After(now) {
		t.held[n].conn.Close() //nolint:errcheck // the client may be gone
		n++
	}
	t.held = slices.Delete(t.held, 0, n)
}
