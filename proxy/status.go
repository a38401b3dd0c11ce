package proxy

import (
	"time"

	"edgepen/proxy/backend"
)

// ServerStatus is a server slot as it is now.
type ServerStatus struct {
	backend.Spec
	Shown    string // its address as a number, a Unix path, or "" where none was ever given
	Conns    int
	Sent     uint64 // bytes to the server
	Received uint64 // bytes from the server
}

// ServerStatus describes all server slots of the edited configuration.
func (d *Draft) ServerStatus() []ServerStatus {
	all := make([]ServerStatus, len(d.Servers))
	for i, spec := range d.Servers {
		all[i] = ServerStatus{Spec: spec, Shown: d.shownAddress(i)}
		if i < len(d.proxy.states) {
			state := d.proxy.states[i]
			all[i].Conns, all[i].Sent, all[i].Received = state.Conns(), state.Sent(), state.Received()
		}
	}
	return all
}

// shownAddress is the first address that a server's name stands for, once that is known.
func (d *Draft) shownAddress(i int) string {
	spec := d.Servers[i]
	if s := d.proxy.now.Load(); s != nil && i < len(s.set.Servers) {
		if srv := s.set.Servers[i]; srv.Address == spec.Address && len(srv.Addrs) > 0 {
			return srv.Addrs[0].Addr().String()
		}
	}
	return spec.Address
}

// Recent lists the clients that were here within the given time.
func (d *Draft) Recent(within time.Duration) []backend.ClientInfo {
	return d.proxy.clients.Recent(time.Now(), within)
}

// Connections is the number of connections at present.
func (p *Proxy) Connections() int { return p.slots.count() }
