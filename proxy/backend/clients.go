package backend

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Client is one entry of [Clients]: a client address and what is known of it.
// All methods may be called at the same time and take no lock. A Client that
// the table has forgotten meanwhile can still be used; nobody will see it.
type Client struct {
	// The address as 16 bytes, and no pointer anywhere: the garbage collector
	// need not look into millions of these.
	addr     [16]byte
	last     atomic.Int32
	connects atomic.Uint64
	sent     atomic.Uint64
	received atomic.Uint64
}

func newClient(addr [16]byte) *Client {
	c := &Client{addr: addr}
	c.last.Store(-1)
	return c
}

// Addr is the client's address; the zero Addr stands for all peers on Unix
// sockets, which pen takes for a single client as well.
func (c *Client) Addr() netip.Addr {
	if c.addr == [16]byte{} {
		return netip.Addr{}
	}
	return netip.AddrFrom16(c.addr).Unmap()
}

// Last is the index of the server that the client was last on, -1 for none.
func (c *Client) Last() int { return int(c.last.Load()) }

// SetLast notes the index of the server that the client is on now, -1 for one
// that does not count, as the emergency and the abuse server.
func (c *Client) SetLast(index int) { c.last.Store(int32(index)) }

// Unsettle takes back what SetLast noted, unless there is something newer.
func (c *Client) Unsettle(index int) { c.last.CompareAndSwap(int32(index), -1) }

// Connects is the number of connections that the client has made.
func (c *Client) Connects() uint64 { return c.connects.Load() }

// Sent is the number of bytes sent to the client.
func (c *Client) Sent() uint64 { return c.sent.Load() }

// Received is the number of bytes received from the client.
func (c *Client) Received() uint64 { return c.received.Load() }

// AddSent counts n more bytes sent to the client.
func (c *Client) AddSent(n uint64) { c.sent.Add(n) }

// AddReceived counts n more bytes received from the client.
func (c *Client) AddReceived(n uint64) { c.received.Add(n) }

// Clients is the client table: who was here, when, and on which server. It
// holds a bounded number of clients; when it is full, the one whose last
// connection is the oldest is forgotten. It may be used by many goroutines at
// the same time; a visit takes one lock, and the same short time at any size.
type Clients struct {
	base time.Time // slots keep times as nanoseconds since then

	choosing [64]sync.Mutex // by the last byte of the address

	mu     sync.Mutex
	max    int
	n      int                // slots in use: all below n
	index  map[[16]byte]int32 // address to slot
	chunks []*chunk           // slot i is chunks[i/chunkLen][i%chunkLen]
	newest int                // ends of the list of slots by last use, none if empty
	oldest int
}

// The slots come in chunks so that a growing table never copies them, and so
// that a snapshot can give way to visits after each chunk.
const chunkLen = 1024

type chunk [chunkLen]slot

type slot struct {
	client       *Client
	seen         time.Duration
	newer, older int32
}

// none ends the list of slots.
const none = -1

// maxSlots is what the links of the list can number.
const maxSlots = 1<<31 - 1

// NewClients makes an empty table for at most max clients; it has room for one
// at least. Memory is used as clients come.
func NewClients(max int) *Clients {
	t := &Clients{base: time.Now(), index: map[[16]byte]int32{}, newest: none, oldest: none}
	t.Grow(max)
	return t
}

// Choosing is the lock under which a server is chosen for a client that has none: held for the choice alone, not for the connect. A client that asks for
// several things at once would otherwise get several, or take the turn of others in round robin.
func (t *Clients) Choosing(c *Client) *sync.Mutex {
	return &t.choosing[int(c.addr[15])%len(t.choosing)]
}

// Grow raises the number of clients to max, if that is more than now, and
// returns the number (penctl(1), "clients_max").
func (t *Clients) Grow(to int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.max = min(max(t.max, to, 1), maxSlots)
	return t.max
}

// Max is the greatest number of clients that the table holds.
func (t *Clients) Max() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.max
}

// Len is the number of clients in the table, forgotten ones included whose slot
// nobody has needed yet.
func (t *Clients) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// Visit counts a connection of the client at time now and returns its entry. A
// client that is not in the table, or that tracking (if above 0) and longer has
// passed since its last visit, gets a fresh entry, whose Last is -1. The zone of
// an IPv6 address is ignored, and an IPv4-mapped one is IPv4.
func (t *Clients) Visit(addr netip.Addr, now time.Time, tracking time.Duration) *Client {
	var key [16]byte // stays zero for a Unix peer: As16 of the zero Addr is zero
	if addr.IsValid() {
		key = addr.As16()
	}
	seen := now.Sub(t.base)
	t.mu.Lock()
	defer t.mu.Unlock()
	at, known := t.index[key]
	i := int(at)
	switch {
	case !known:
		i = t.add(key, seen, tracking)
	case expired(t.slot(i), seen, tracking):
		t.slot(i).client = newClient(key)
	}
	t.touch(i, seen)
	c := t.slot(i).client
	c.connects.Add(1)
	return c
}

func expired(s *slot, now, tracking time.Duration) bool {
	return tracking > 0 && now-s.seen >= tracking
}

func (t *Clients) slot(i int) *slot { return &t.chunks[i/chunkLen][i%chunkLen] }

// add gives a new client a slot: the oldest client's if that one has expired or
// there is no other, so that the table stays as small as tracking allows.
func (t *Clients) add(key [16]byte, now, tracking time.Duration) int {
	i := t.oldest
	if i == none || t.n < t.max && !expired(t.slot(i), now, tracking) {
		i = t.n
		if t.n++; i/chunkLen == len(t.chunks) {
			t.chunks = append(t.chunks, new(chunk))
		}
		*t.slot(i) = slot{newer: none, older: none}
	} else {
		delete(t.index, t.slot(i).client.addr)
	}
	t.slot(i).client = newClient(key)
	t.index[key] = int32(i)
	return i
}

// touch makes slot i, which is in the list or new, the newest.
func (t *Clients) touch(i int, seen time.Duration) {
	s := t.slot(i)
	s.seen = seen
	if t.newest == i {
		return
	}
	if s.newer != none { // in the list, and not its head
		t.slot(int(s.newer)).older = s.older
		if s.older != none {
			t.slot(int(s.older)).newer = s.newer
		} else {
			t.oldest = int(s.newer)
		}
	}
	s.newer, s.older = none, int32(t.newest)
	if t.newest != none {
		t.slot(t.newest).newer = int32(i)
	} else {
		t.oldest = i
	}
	t.newest = i
}

// Index is the number of the slot that an address has, -1 for none.
func (t *Clients) Index(addr netip.Addr) int {
	var key [16]byte
	if addr.IsValid() {
		key = addr.As16()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i, ok := t.index[key]; ok {
		return int(i)
	}
	return -1
}

// ClientInfo is a client at the moment of a snapshot.
type ClientInfo struct {
	Addr     netip.Addr    // the zero Addr stands for Unix peers
	Age      time.Duration // since the last visit
	Last     int           // index of the last server, -1 for none
	Connects uint64        // connections
	Sent     uint64        // bytes to the client
	Received uint64        // bytes from the client
}

// Recent lists the clients whose last visit is no longer ago than within, in
// the order of their slots, as penctl(1) "recent" does: the order of first
// visits, but that a newcomer takes the place of the one forgotten for it.
// Visits may happen meanwhile, hence it is not a picture of one instant.
func (t *Clients) Recent(now time.Time, within time.Duration) []ClientInfo {
	var infos []ClientInfo
	since := now.Sub(t.base)
	for start, more := 0, true; more; start += chunkLen {
		infos, more = t.recentChunk(infos, start, since, within)
	}
	return infos
}

// recentChunk does one chunk of Recent and reports whether there are more.
func (t *Clients) recentChunk(infos []ClientInfo, start int, now, within time.Duration) ([]ClientInfo, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	end := min(start+chunkLen, t.n)
	for i := start; i < end; i++ {
		s := t.slot(i)
		age := max(now-s.seen, 0)
		if age > within {
			continue
		}
		c := s.client
		infos = append(infos, ClientInfo{
			Addr: c.Addr(), Age: age, Last: c.Last(),
			Connects: c.Connects(), Sent: c.Sent(), Received: c.Received(),
		})
	}
	return infos, end < t.n
}
