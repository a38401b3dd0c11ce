package proxy

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"edgepen/proxy/backend"
	"edgepen/proxy/relay"
)

// idlers are connections to servers that are opened in advance and handed to clients (penctl(1), "idlers").
type idlers struct {
	p *Proxy

	mu   sync.Mutex
	have []idler
}

type idler struct {
	server *backend.Server
	sock   *relay.Socket
}

func newIdlers(p *Proxy) *idlers { return &idlers{p: p} }

// idlerPause is how often the number of idle connections is brought to what is wanted.
const idlerPause = time.Second

// run keeps as many connections as are wanted until the proxy closes.
func (i *idlers) run() {
	t := time.NewTicker(idlerPause)
	defer t.Stop()
	for {
		select {
		case <-i.p.alive.Done():
			i.keep(func(idler) bool { return false })
			i.p.spares.tend(nil)
			i.p.trunks.tend(nil)
			return
		case <-t.C:
			i.tend()
			i.p.spares.tend(i.p.now.Load())
			i.p.trunks.tend(i.p.now.Load())
		}
	}
}

// tend drops the connections that have died or whose server is gone, and opens one for each that is missing.
func (i *idlers) tend() {
	snap := i.p.now.Load()
	n := 0
	i.keep(func(d idler) bool {
		n++
		return n <= snap.Idlers && snap.mayHand(d.sock) && snap.has(d)
	})
	if snap.UDP || snap.DSRInterface != "" {
		return // there are no connections to be handed any
	}
	for missing := snap.Idlers - i.count(); missing > 0; missing-- {
		if !i.open(snap) {
			return
		}
	}
}

// has reports whether the server that a connection was made to under an earlier configuration is still one, and at the address
// that the connection has: its name may stand for others by now.
func (s *snapshot) has(d idler) bool {
	if d.server.Index >= len(s.set.Servers) {
		return false
	}
	srv := s.set.Servers[d.server.Index]
	if named(srv.Spec) != named(d.server.Spec) {
		return false
	}
	t, ok := d.sock.RemoteAddr().(*net.TCPAddr)
	return !ok || slices.ContainsFunc(srv.Addrs, func(a netip.AddrPort) bool {
		return a.Addr().WithZone("") == t.AddrPort().Addr().Unmap().WithZone("")
	})
}

// open connects to the server that round robin would choose next.
func (i *idlers) open(snap *snapshot) bool {
	for srv := range snap.set.Candidates(backend.Request{Last: -1, Now: time.Now()}) {
		if srv.Index < 0 {
			continue
		}
		sock, err := i.p.dial(srv, dialFrom{source: snap.Source}, snap.ConnectTimeout)
		if err != nil {
			continue // a server that fails here is left for a client to find out
		}
		i.mu.Lock()
		i.have = append(i.have, idler{srv, sock})
		i.mu.Unlock()
		return true
	}
	return false
}

// mayHand reports whether an idle connection can be given to a client: it is open, and under HTTP the server has said nothing
// on it, as servers do that are tired of waiting (408).
func (s *snapshot) mayHand(sock *relay.Socket) bool {
	if s.HTTP {
		return sock.Silent()
	}
	return sock.Usable()
}

// take hands out a live connection to a server; nil if there is none.
func (i *idlers) take(srv *backend.Server, snap *snapshot) *relay.Socket {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n, d := range i.have {
		if d.server.State != srv.State || d.server.Address != srv.Address || d.server.Port != srv.Port {
			continue
		}
		i.have = append(i.have[:n], i.have[n+1:]...)
		if snap.mayHand(d.sock) {
			return d.sock
		}
		d.sock.Close()
		return nil
	}
	return nil
}

// keep closes the connections of which good says no.
func (i *idlers) keep(good func(idler) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	kept := i.have[:0]
	for _, d := range i.have {
		if good(d) {
			kept = append(kept, d)
		} else {
			d.sock.Close()
		}
	}
	i.have = kept
}

func (i *idlers) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.have)
}
