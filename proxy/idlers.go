package proxy

import (
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
			return
		case <-t.C:
			i.tend()
		}
	}
}

// tend drops the connections that have died or whose server is gone, and opens one for each that is missing.
func (i *idlers) tend() {
	snap := i.p.now.Load()
	n := 0
	i.keep(func(d idler) bool {
		n++
		return n <= snap.Idlers && d.sock.Usable() && snap.has(d.server)
	})
	for missing := snap.Idlers - i.count(); missing > 0; missing-- {
		if !i.open(snap) {
			return
		}
	}
}

// has reports whether a server of an earlier configuration is still one.
func (s *snapshot) has(srv *backend.Server) bool {
	return srv.Index < len(s.set.Servers) && s.set.Servers[srv.Index].Address == srv.Address && s.set.Servers[srv.Index].Port == srv.Port
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

// take hands out a live connection to a server; nil if there is none.
func (i *idlers) take(srv *backend.Server) *relay.Socket {
	i.mu.Lock()
	defer i.mu.Unlock()
	for n, d := range i.have {
		if d.server.State != srv.State || d.server.Address != srv.Address || d.server.Port != srv.Port {
			continue
		}
		i.have = append(i.have[:n], i.have[n+1:]...)
		if d.sock.Usable() {
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
