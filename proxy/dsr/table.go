package dsr

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"edgepen/proxy/backend"
)

// A host is what the interface is called on the Ethernet and in IPv4.
type host struct {
	mac      MAC
	networks []netip.Prefix // its addresses, each with the network's length
}

// has reports whether the address is one of the interface's own.
func (h host) has(addr netip.Addr) bool {
	return slices.ContainsFunc(h.networks, func(p netip.Prefix) bool { return p.Addr() == addr })
}

// sourceFor is the address that an ARP request to addr carries: ours in its
// network, else 0.0.0.0 (RFC 5227, 1.1), as in every request of pen 0.34.1.
func (h host) sourceFor(addr netip.Addr) [4]byte {
	for _, p := range h.networks {
		if p.Contains(addr) {
			return p.Addr().As4()
		}
	}
	return [4]byte{}
}

const slotCount = 256

// A server is one of the servers that have an address.
type server struct {
	index  int // in Config.Servers, and after it the following ones
	place  int // in table.servers
	slots  int
	source [4]byte // our address as the server is to see it in ARP requests
	counts *backend.State
	*neighbour
}

// A table is the compiled form of a Config for one interface. It is immutable
// but for the neighbours.
type table struct {
	host
	config     Config
	service    [4]byte
	proto      byte
	servers    []*server // those with an address, in order
	neighbours map[[4]byte]*neighbour
	slots      [slotCount]*server // nil without servers
}

// compile checks a configuration. What old, which may be nil, knows of the
// neighbours is kept.
func compile(c Config, h host, old *table) (*table, error) {
	c.Address = c.Address.Unmap()
	if !c.Address.Is4() || c.Address.IsUnspecified() || c.Address.IsMulticast() {
		return nil, fmt.Errorf("service address %s: direct server return needs an IPv4 address of the service's own", addrText(c.Address))
	}
	t := &table{host: h, config: c, service: c.Address.As4(), proto: protoTCP, neighbours: map[[4]byte]*neighbour{}}
	if c.UDP {
		t.proto = protoUDP
	}
	for i, s := range c.Servers {
		if !s.Addr.IsValid() {
			continue
		}
		s.Addr = s.Addr.Unmap()
		if err := t.checkServer(i, s.Addr); err != nil {
			return nil, err
		}
		if s.State == nil {
			s.State = new(backend.State)
		}
		t.servers = append(t.servers, &server{
			index: i, place: len(t.servers), counts: s.State,
			source:    h.sourceFor(s.Addr),
			neighbour: t.neighbour(s.Addr.As4(), old),
		})
	}
	t.deal()
	return t, nil
}

func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return "missing"
	}
	return a.String()
}

func (t *table) checkServer(i int, addr netip.Addr) error {
	switch {
	case !addr.Is4() || addr.IsUnspecified() || addr.IsMulticast():
		return fmt.Errorf("server %d, %s: direct server return needs servers with IPv4 addresses", i, addr)
	case addr == t.config.Address:
		return fmt.Errorf("server %d has the service address %s: expected the server's own address", i, addr)
	case t.has(addr):
		return fmt.Errorf("server %d, %s, is this host: direct server return needs other hosts", i, addr)
	}
	return nil
}

// neighbour is the one neighbour of this address: a server may be listed twice.
func (t *table) neighbour(addr [4]byte, old *table) *neighbour {
	n := t.neighbours[addr]
	if n == nil && old != nil {
		n = old.neighbours[addr]
	}
	if n == nil {
		n = &neighbour{addr: addr}
	}
	t.neighbours[addr] = n
	return n
}

// stride is the distance of slots that are dealt one after the other. It comes
// from pen 0.34.1, so that a client finds the same server with both programs.
const stride = 3

// deal gives each server in turn its share, by weight, of the slots that are
// left: a run of slots, a stride apart.
func (t *table) deal() {
	weights := 0
	for _, s := range t.servers {
		weights += t.weight(s)
	}
	dealt := 0
	for _, s := range t.servers {
		s.slots = (slotCount - dealt) * t.weight(s) / weights
		weights -= t.weight(s)
		for range s.slots {
			t.slots[dealt*stride%slotCount] = s
			dealt++
		}
	}
}

// A weight is a 32-bit number in pen(1); the limit keeps the sums exact.
func (t *table) weight(s *server) int { return min(max(t.config.Servers[s.index].Weight, 1), 1<<31-1) }

// choose is the server for a slot, nil if none can take it now, and its MAC
// address.
func (t *table) choose(slot byte, now time.Time) (*server, MAC) {
	s := t.slots[slot]
	for range t.servers {
		mac, isUp, isDown := s.lookup()
		shunned := s.counts.Shunned(now)
		if isUp && !shunned {
			return s, mac
		}
		// A server that has not had the time to answer is waited for: were
		// its connections to go elsewhere after a restart, they would break.
		if t.config.Stubborn || !shunned && !isDown {
			break
		}
		s = t.servers[(s.place+1)%len(t.servers)]
	}
	return nil, MAC{}
}

// requests calls send with each ARP request that is due, whose memory is good
// until send returns, and lost with each server that has just been found down.
// It is to be called every second.
func (t *table) requests(now time.Time, send func(frame []byte), lost func(*server)) {
	var frame [ethernetLen + arpLen]byte
	for _, s := range t.servers {
		due, isLost := s.ask(now)
		if isLost {
			lost(s)
		}
		if !due {
			continue
		}
		putEthernet(frame[:], broadcast, t.mac, etherARP)
		arp{op: arpRequest, mac: t.mac, addr: s.source, target: s.addr}.put(frame[ethernetLen:])
		send(frame[:])
	}
}
