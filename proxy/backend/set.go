package backend

import (
	"cmp"
	"encoding/binary"
	"iter"
	"math/bits"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// Mode says how the first server for a client is chosen: plain, comparable
// data. All false is round robin with client tracking.
type Mode struct {
	RoundRobin bool // -r: clients do not return to their last server
	Hash       bool // -h: by the client's address
	Weight     bool // -W: by connections in proportion to weight
	Prio       bool // "prio": by rank
	Stubborn   bool // -s: only the first choice, no failover
}

// Rotor is the position of round robin. It outlives Sets, so that a change of
// configuration does not send everybody to the same server. The zero Rotor is
// ready to use; it takes no lock.
type Rotor struct{ last atomic.Uint64 }

// Last is the index of the server that round robin chose last.
func (r *Rotor) Last() int { return int(r.last.Load()) }

// SetConfig is what a [Set] is compiled from.
type SetConfig struct {
	// Servers holds the slots in order: Servers[i].Index is i. A slot that
	// was never given an address has port 0.
	Servers []*Server
	// Emergency is tried when no other server is left, Abuse is for clients
	// that are denied; nil for none.
	Emergency, Abuse *Server
	Mode
	// Rotor is the position to go on from; nil begins anew.
	Rotor *Rotor
}

// Set is the compiled, immutable server table. What it was compiled from may be
// read, not changed.
type Set struct {
	SetConfig
	byPrio   []*Server // in the order in which prio prefers them
	weighted []*Server // those with a weight
}

// NewSet compiles a server table. It keeps the slice of servers, which must
// not change any more.
func NewSet(c SetConfig) *Set {
	if c.Rotor == nil {
		c.Rotor = new(Rotor)
	}
	s := &Set{SetConfig: c}
	if c.Prio {
		s.byPrio = slices.Clone(c.Servers)
		slices.SortStableFunc(s.byPrio, func(a, b *Server) int { return cmp.Compare(a.Prio, b.Prio) })
	}
	if c.Weight {
		for _, srv := range c.Servers {
			if srv.Weight > 0 {
				s.weighted = append(s.weighted, srv)
			}
		}
	}
	return s
}

// Lists are access lists, as they look to one client.
type Lists interface {
	// Permit asks list number list.
	Permit(list int) bool
}

// Request is what the choice of a server depends on.
type Request struct {
	// Client is the client's address, IPv4 unmapped; the zero Addr is a peer
	// on a Unix socket.
	Client netip.Addr
	// Port is the client's own port.
	Port uint16
	// Last is the index of the client's last server, -1 for none. The
	// emergency and the abuse server do not count as a last server.
	Last int
	// Lists are asked about the client; nil permits all.
	Lists Lists
	// Denied says that client_acl denies the client.
	Denied bool
	// Now is the time by which the blacklist is judged.
	Now time.Time
}

// Candidates yields the servers to try, in order and each once: the first
// choice, then unless stubborn the servers that follow it, wrapping, then the
// emergency server. A denied client gets the abuse server or nothing. Servers
// that have no port, are blacklisted or down, or whose access list denies the
// client are left out as the iteration reaches them; whether a server is full is for
// [Server.Acquire] to say.
//
// It changes nothing but the Rotor's position, and that only when round robin
// makes the choice. Iterate once: each iteration is a choice of its own.
func (s *Set) Candidates(r Request) iter.Seq[*Server] {
	return func(yield func(*Server) bool) { s.candidates(&r, yield) }
}

func (s *Set) candidates(r *Request, yield func(*Server) bool) {
	if r.Denied {
		// The abuse server exists for denied clients. pen asks its access
		// list, which is list 0 as is client_acl unless told otherwise, so
		// that its abuse server is out of reach by default.
		if s.Abuse.reachable(r) {
			yield(s.Abuse)
		}
		return
	}
	if first := s.choose(r); first != nil && !s.from(first, r, yield) {
		return
	}
	// Observed: a stubborn pen closes the connection, emergency server or not.
	if !s.Stubborn && s.usable(s.Emergency, r) {
		yield(s.Emergency)
	}
}

// from yields the first choice and, unless stubborn, the servers that follow.
// It reports whether the iteration is to go on.
func (s *Set) from(first *Server, r *Request, yield func(*Server) bool) bool {
	n := len(s.Servers)
	if s.Stubborn {
		n = 1
	}
	for i := first.Index; n > 0; n-- {
		if srv := s.Servers[i]; s.usable(srv, r) && !yield(srv) {
			return false
		}
		if i++; i == len(s.Servers) {
			i = 0
		}
	}
	return true
}

// choose makes the first choice; nil if there is none, and then there is no
// failover either. Observed: the choice looks at the blacklist, and so at
// who is down, in hash and tracking not even at that; a chosen server that has no port or whose list
// denies the client is left to failover. That gives its share to its neighbour.
func (s *Set) choose(r *Request) *Server {
	switch {
	case len(s.Servers) == 0:
		return nil
	case !s.RoundRobin && r.Last >= 0 && r.Last < len(s.Servers):
		return s.Servers[r.Last]
	case s.Prio:
		return s.choosePrio(r.Now)
	case s.Weight:
		return s.chooseWeight(r.Now)
	case s.Hash:
		return s.Servers[s.hash(r)%uint32(len(s.Servers))]
	}
	return s.rotate(r.Now)
}

// DependsOnClient reports whether another client than the one before, who is on srv, might get another server: last is the
// index of its last one, -1 for none.
func (s *Set) DependsOnClient(last int, srv *Server) bool {
	if s.RoundRobin {
		return s.Hash
	}
	return last != srv.Index
}

func (s *Set) choosePrio(now time.Time) *Server {
	for _, srv := range s.byPrio {
		if !srv.out(now) {
			return srv
		}
	}
	return nil
}

// chooseWeight takes the lowest 256·connections/weight; the lowest index where
// several are equal. The quotient is cut to an integer, as pen's is: weights
// above 256 take connections in runs.
func (s *Set) chooseWeight(now time.Time) *Server {
	var best *Server
	var least int64
	for _, srv := range s.weighted {
		load := 256 * srv.conns.Load() / int64(srv.Weight)
		if (best == nil || load < least) && !srv.out(now) {
			best, least = srv, load
		}
	}
	return best
}

// hash is pen's, bit for bit, so that a client finds the same server behind
// both: an IPv4 address is its bytes read as a little-endian number, xored with
// its port in network byte order, read the same way, under -r; of an IPv6
// address only the last byte counts and its port does not. A Unix peer is 0.
func (s *Set) hash(r *Request) uint32 {
	switch {
	case r.Client.Is4():
		a := r.Client.As4()
		h := binary.LittleEndian.Uint32(a[:])
		if s.RoundRobin {
			h ^= uint32(bits.ReverseBytes16(r.Port))
		}
		return h
	case r.Client.Is6():
		a := r.Client.As16()
		return uint32(a[15])
	}
	return 0
}

// rotate moves the rotor to the next server that is not blacklisted or down. The
// position is a slot number that may lie beyond a table that has shrunk.
// It starts at 0, hence the first client gets server 1, as pen's does.
func (s *Set) rotate(now time.Time) *Server {
	n := uint64(len(s.Servers))
	for {
		last := s.Rotor.last.Load()
		next := (last + 1) % n
		for tried := uint64(0); s.Servers[next].out(now); next = (next + 1) % n {
			if tried++; tried == n {
				return nil
			}
		}
		if s.Rotor.last.CompareAndSwap(last, next) {
			return s.Servers[next]
		}
	}
}

// usable reports whether a server may be tried for the client at all.
func (s *Set) usable(srv *Server, r *Request) bool {
	return srv.reachable(r) && (r.Lists == nil || r.Lists.Permit(srv.ACL))
}

// reachable is usable before the access list is asked.
func (s *Server) reachable(r *Request) bool {
	return s != nil && s.Port != 0 && !s.out(r.Now)
}
