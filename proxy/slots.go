package proxy

import (
	"context"
	"sync"
)

// slots are the places for connections. Their numbers are what penctl calls connection N.
type slots struct {
	mu      sync.Mutex
	changed sync.Cond // a place came free, a connect ended, or a limit was raised
	conns   []*connection
	free    []int // numbers below len(conns) that are not in use
	pending int   // connects that have not ended
	max     int
	maxPend int
	closed  bool
}

func newSlots() *slots {
	s := &slots{}
	s.changed.L = &s.mu
	return s
}

// resize sets the limits: places and unfinished connects.
func (s *slots) resize(max, pending int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.max, s.maxPend = max, pending
	s.changed.Broadcast()
}

// await returns once there is a place; false when the proxy closes.
func (s *slots) await() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.awaitLocked()
}

func (s *slots) awaitLocked() bool {
	for !s.closed && (s.used() >= s.max || s.pending >= s.maxPend) {
		s.changed.Wait()
	}
	return !s.closed
}

func (s *slots) used() int { return len(s.conns) - len(s.free) }

// take gives a connection a place as soon as there is one; false when the proxy closes.
func (s *slots) take(c *connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.awaitLocked() {
		return false
	}
	s.placeLocked(c)
	return true
}

func (s *slots) placeLocked(c *connection) {
	if n := len(s.free); n > 0 {
		c.slot = s.free[n-1]
		s.free = s.free[:n-1]
		s.conns[c.slot] = c
		return
	}
	c.slot = len(s.conns)
	s.conns = append(s.conns, c)
}

// tryTake gives a connection a place if there is one now.
func (s *slots) tryTake(c *connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.used() >= s.max || s.pending >= s.maxPend {
		return false
	}
	s.placeLocked(c)
	return true
}

// crowded reports whether most places are taken.
func (s *slots) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used() > s.max/2
}

// leave gives the connection's place back.
func (s *slots) leave(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c.slot] = nil
	s.free = append(s.free, c.slot)
	s.changed.Broadcast()
}

// connecting counts a connect that begins (1) or ends (-1).
func (s *slots) connecting(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending += n
	if n < 0 {
		s.changed.Broadcast()
	}
}

// count is how many places are taken.
func (s *slots) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used()
}

// each calls f for every connection, in the order of their numbers.
func (s *slots) each(f func(*connection)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		if c != nil {
			f(c)
		}
	}
}

// drained waits until no place is taken, or ctx ends.
func (s *slots) drained(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.used() > 0 && ctx.Err() == nil {
		s.changed.Wait()
	}
}

// close ends the waiting for places and every connection that has one.
func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, c := range s.conns {
		if c != nil {
			c.abort()
		}
	}
	s.changed.Broadcast()
}
