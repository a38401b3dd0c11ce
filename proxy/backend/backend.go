// Package backend keeps the servers and the clients' last server, and says
// which servers to try, in what order.
//
// A [Set] is the compiled, immutable server table; [Set.Candidates] is the
// whole of server selection as a pure iterator. What outlives a change of
// configuration is kept apart: a [State] for each server, the [Rotor], and the
// table of [Clients].
//
// The rules are those of pen(1). Where the manual page leaves something open,
// they are what pen 0.34.1 was observed to do; the comments say so.
package backend

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// State is what outlives configurations for one server slot: its counters, its
// place on the blacklist, and whether it is down by health checks. The zero State is ready to use, all methods may
// be called at the same time, and a State must not be copied.
type State struct {
	conns    atomic.Int64
	sent     atomic.Uint64
	received atomic.Uint64
	shunned  atomic.Pointer[time.Time] // a pointer keeps the monotonic clock reading
	down     atomic.Bool

	// Servers are busy on different processors; a cache line each keeps
	// their counters from slowing one another down.
	_ [28]byte
}

// Conns is the number of connections that hold a slot of this server now.
func (s *State) Conns() int { return int(s.conns.Load()) }

// Sent is the number of bytes sent to the server.
func (s *State) Sent() uint64 { return s.sent.Load() }

// Received is the number of bytes received from the server.
func (s *State) Received() uint64 { return s.received.Load() }

// AddSent counts n more bytes sent to the server.
func (s *State) AddSent(n uint64) { s.sent.Add(n) }

// AddReceived counts n more bytes received from the server.
func (s *State) AddReceived(n uint64) { s.received.Add(n) }

// Shun blacklists the server until the given time (pen(1) -b, penctl(1)
// "server N blacklist T"). It replaces an earlier time, later or not.
func (s *State) Shun(until time.Time) { s.shunned.Store(&until) }

// ShunnedUntil is the end of the server's time on the blacklist; the zero time
// if it is not on it. It may have passed.
func (s *State) ShunnedUntil() time.Time {
	if until := s.shunned.Load(); until != nil {
		return *until
	}
	return time.Time{}
}

// Unshun takes the server off the blacklist.
func (s *State) Unshun() { s.shunned.Store(nil) }

// Shunned reports whether the server is on the blacklist at the given time.
func (s *State) Shunned(now time.Time) bool {
	until := s.shunned.Load()
	return until != nil && now.Before(*until)
}

// SetDown says whether health checks have found the server down. That is apart
// from the blacklist: neither ends the other.
func (s *State) SetDown(down bool) { s.down.Store(down) }

// Down reports whether health checks have found the server down.
func (s *State) Down() bool { return s.down.Load() }

// out reports whether the server is to be left alone at the given time.
func (s *State) out(now time.Time) bool { return s.down.Load() || s.Shunned(now) }

// Server is one slot of a [Set]. It is immutable but for its State, which it
// shares with the same slot of earlier and later Sets.
type Server struct {
	// Index is the number of the slot, which penctl calls server N.
	// The emergency and the abuse server have no slot; theirs is -1.
	Index int
	Spec
	// Addrs is what Address resolved to; nil for the path of a Unix socket
	// and for a name that did not resolve.
	Addrs []netip.AddrPort
	// State must not be nil.
	*State
}

// Acquire takes a connection slot and reports whether it got one. A server is
// full when it has Max connections or more and Max is not 0; a client whose
// last server this was (wasLast) gets in below Hard connections nevertheless.
// Each successful Acquire is paired with one [Server.Release].
func (s *Server) Acquire(wasLast bool) bool {
	if s.Max == 0 {
		s.conns.Add(1)
		return true
	}
	limit := int64(s.Max)
	if wasLast {
		limit = max(limit, int64(s.Hard))
	}
	for {
		n := s.conns.Load()
		if n >= limit {
			return false
		}
		if s.conns.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release gives a connection slot back.
func (s *Server) Release() { s.conns.Add(-1) }
