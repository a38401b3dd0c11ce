package proxy

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"edgepen/acl"
	"edgepen/geo"
	"edgepen/proxy/backend"
	"edgepen/proxy/status"
	"edgepen/tls"
)

// ServerStatus is a server slot as it is now.
type ServerStatus struct {
	backend.Spec
	Shown    string    // its address as a number, a Unix path, or "" where none was ever given
	Since    time.Time // when it was blacklisted; the zero time if it is not
	Conns    int
	Sent     uint64 // bytes to the server
	Received uint64 // bytes from the server
	Health   string // what health checks have found: up, down or unknown; "": there are none
}

// ServerStatus describes all server slots of the edited configuration.
func (d *Draft) ServerStatus() []ServerStatus {
	all := make([]ServerStatus, len(d.Servers))
	now := time.Now()
	for i, spec := range d.Servers {
		all[i] = ServerStatus{Spec: spec, Shown: d.shownAddress(i), Health: d.healthWord(i)}
		if i >= len(d.proxy.states) {
			continue
		}
		state := d.proxy.states[i]
		all[i].Conns, all[i].Sent, all[i].Received = state.Conns(), state.Sent(), state.Received()
		if state.Shunned(now) {
			all[i].Since = state.ShunnedUntil().Add(-d.Blacklist)
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

// Counters counts handshakes, and clients denied, since the start.
func (d *Draft) Counters() []tls.Counter {
	all := d.proxy.terminator.Stats()
	for i := range d.proxy.denials {
		all = append(all, tls.Counter{Group: "denied", Name: ReasonWords[i], Count: d.proxy.denials[i].Load()})
	}
	all = append(all, tls.Counter{Group: "refused", Name: "PROXY header", Count: d.proxy.unintroduced.Load()})
	if w := d.proxy.access.Load(); w != nil {
		written, lost := w.Counts()
		all = append(all, tls.Counter{Group: "access_log", Name: "written", Count: written}, tls.Counter{Group: "access_log", Name: "lost", Count: lost})
	}
	return all
}

// ExplainList says what the access list in force decides about a client, and why. running: there is one, as soon as the proxy listens.
func (d *Draft) ExplainList(list int, who *acl.Client) (why string, running bool) {
	s := d.proxy.now.Load()
	if s == nil {
		return "", false
	}
	return s.lists[list].Explain(who), true
}

// ListHits counts the verdicts of an access list by entry; the last is the default's.
func (d *Draft) ListHits(list int) []uint64 {
	if s := d.proxy.now.Load(); s != nil {
		return s.lists[list].Hits()
	}
	return nil
}

// ApplyList ends, once the edit holds, the connections that an access list refuses. told is called with their number.
func (d *Draft) ApplyList(list int, told func(ended int)) {
	d.After(func() { told(d.proxy.applyList(list)) })
}

// Databases names the databases of places in use, and the built-in one where nothing asks it.
func (d *Draft) Databases() string {
	s := d.proxy.now.Load()
	var names []string
	if s != nil && s.geo.Describe() != "" {
		names = append(names, s.geo.Describe())
	}
	if b := BuiltinCountries(); b != "" && (s == nil || !s.wantsBuiltin()) {
		names = append(names, b+", not in use")
	}
	return strings.Join(names, ", ")
}

// BuiltinCountries names the built-in database of countries with its date; "": there is none.
func BuiltinCountries() string { return geo.Builtin().Describe() }

// Idlers is how many idle connections to servers there are.
func (d *Draft) Idlers() int { return d.proxy.idlers.count() }

// ConnStatus is a connection's place as it is now.
type ConnStatus struct {
	State        int // 0: nobody is there, 1: not connected to a server yet, 2: connected
	DownFD, UpFD int // descriptors towards the client and the server, -1 for none
	Client       int // index in the client table, 0 for none
	Server       int // index of the server, 0 for none
}

// Connection describes the place with a number; false where there is no such place.
func (d *Draft) Connection(n int) (ConnStatus, bool) {
	if n < 0 || n >= d.ConnMax {
		return ConnStatus{}, false
	}
	st := ConnStatus{DownFD: -1, UpFD: -1}
	d.proxy.slots.each(func(c *connection) {
		if c.slot == n {
			st = c.status()
		}
	})
	return st, true
}

// status describes a connection. It is called by others than the one who serves it, and looks at nothing that changes
// without an atomic.
func (c *connection) status() ConnStatus {
	st := ConnStatus{State: 1, DownFD: c.client.FD(), UpFD: -1}
	addr, _, _ := peer(c.client.RemoteAddr())
	if client := c.speaksAs.Load(); client != nil {
		addr = *client
	}
	st.Client = max(c.p.clients.Index(addr), 0)
	if u := c.serverEnd.Load(); u != nil {
		st.State, st.UpFD, st.Server = 2, u.sock.FD(), max(u.server.Index, 0)
	}
	return st
}

// CloseConnection ends the connection with a number, if there is one; false where there is no such place.
func (d *Draft) CloseConnection(n int) bool {
	if n < 0 || n >= d.ConnMax {
		return false
	}
	d.proxy.slots.each(func(c *connection) {
		if c.slot == n {
			c.abort()
		}
	})
	return true
}

// SocketOwner is the number of the connection that a descriptor belongs to, -1 for none.
func (d *Draft) SocketOwner(fd int) int {
	owner := -1
	d.proxy.slots.each(func(c *connection) {
		if st := c.status(); fd >= 0 && (fd == st.DownFD || fd == st.UpFD) {
			owner = c.slot
		}
	})
	return owner
}

// Report is the proxy's state for the status page. Clients that tracking has forgotten are left out.
func (d *Draft) Report() *status.Report {
	now := time.Now()
	r := &status.Report{Time: now, Current: d.proxy.rotor.Last(), ClientsMax: d.ClientsMax, ConnMax: d.ConnMax, Databases: d.Databases()}
	if w := d.proxy.access.Load(); w != nil {
		r.AccessLog = w.Name()
		r.LinesWritten, r.LinesLost = w.Counts()
	}
	for _, s := range d.ServerStatus() {
		r.Servers = append(r.Servers, status.Server{Address: s.Shown, Blacklisted: s.Since, Port: int(s.Port), Conns: s.Conns,
			Max: s.Max, Hard: s.Hard, Weight: s.Weight, Prio: s.Prio, Sent: s.Sent, Received: s.Received, Health: s.Health})
	}
	for i, c := range d.proxy.clients.Recent(now, math.MaxInt64) {
		if d.Tracking == 0 || c.Age < d.Tracking {
			r.Clients = append(r.Clients, status.Client{Index: i, Address: ShowAddr(c.Addr), Age: c.Age, Last: c.Last,
				Connects: c.Connects, Sent: c.Sent, Received: c.Received})
		}
	}
	d.proxy.slots.each(func(c *connection) {
		st := c.status()
		r.ConnUsed, r.ConnLast = r.ConnUsed+1, c.slot
		r.Conns = append(r.Conns, status.Conn{Index: c.slot, DownFD: st.DownFD, UpFD: st.UpFD, Client: st.Client, Server: st.Server})
	})
	return r
}

// ShowAddr is a client's address for people; the zero Addr is a peer on a Unix socket.
func ShowAddr(a netip.Addr) string {
	if !a.IsValid() {
		return "(unix)"
	}
	return a.String()
}

// Connections is the number of connections at present.
func (p *Proxy) Connections() int { return p.slots.count() }
