package proxy

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"edgepen/httpx"
	"edgepen/proxy/backend"
	"edgepen/proxy/relay"
	"edgepen/tls"
)

// connection is one client's connection, from accept to close.
type connection struct {
	p           *Proxy
	listener    *listener
	slot        int
	snap        *snapshot // what was in force when it began
	client      *relay.Socket
	addr        netip.Addr // the client's; the zero Addr for a Unix peer
	shown       string     // the same for people and logs
	port        uint16
	denied      bool
	known       *backend.Client // the client's entry in the table
	server      *backend.Server // nil: none at present
	serverShown string          // its address, for the log
	aborted     atomic.Bool
	upstream    atomic.Pointer[upstream]
	tunnel      atomic.Pointer[relay.RawRelay] // nil: none at present
}

// upstream is the server's end of a connection, for those who look at it from outside.
type upstream struct {
	sock   *relay.Socket
	server *backend.Server
}

// serve is the way of a connection, top to bottom.
func (c *connection) serve() {
	defer c.p.slots.leave(c)
	defer c.client.Close()

	c.snap = c.p.now.Load()
	c.addr, c.port, c.shown = peer(c.client.RemoteAddr())
	c.denied = !c.snap.permits(c.snap.ClientACL, c.addr)
	if c.denied && c.snap.set.Abuse == nil {
		c.p.log.Info("client refused", "client", c.shown, "acl", c.snap.ClientACL)
		return
	}
	stream, err := c.terminate()
	if err != nil {
		c.explain(err)
		c.p.log.Info("handshake failed", "client", c.shown, "listener", c.listener.Address, "why", err)
		return
	}
	if c.snap.Dummy {
		dummy(stream)
		return
	}
	if c.snap.Peek && stream.Await() != nil {
		return
	}
	c.known = c.p.clients.Visit(c.addr, time.Now(), c.snap.Tracking)
	if c.snap.HTTP {
		relay.HTTP(stream, c.httpConfig())
		return
	}
	server, err := c.connect()
	if err != nil {
		c.p.log.Info("client turned away", "client", c.shown, "why", err)
		return
	}
	c.relayRaw(stream, server, true)
	c.disconnected()
}

// relayRaw relays bytes as they come until both sides have ended.
// The idle time-out is today's: the connection may have waited long for its client's first bytes.
func (c *connection) relayRaw(client, server *relay.Stream, record bool) {
	config := relay.RawConfig{Idle: c.p.now.Load().tunnelIdle(), Meter: c, Hasty: c.hasty}
	config.SeenUp, config.SeenDown = c.seen(record)
	r := relay.NewRaw(client, server, config)
	c.tunnel.Store(r)
	r.Run()
}

// hasty reports whether tcp_fastclose, as it is set now, wants both sides closed when one has ended.
func (c *connection) hasty(up bool) bool {
	switch c.p.now.Load().FastClose {
	case FastCloseUp:
		return up
	case FastCloseDown:
		return !up
	case FastCloseBoth:
		return true
	}
	return false
}

// setIdle changes the idle time-out of what is relayed as it comes. It is the tunnels' own, whatever the mode is now: HTTP mode
// that is switched on must not end raw connections after its minute. The next request under HTTP finds its time-out by itself.
func (c *connection) setIdle(s *snapshot) {
	if r := c.tunnel.Load(); r != nil {
		r.SetIdle(s.tunnelIdle())
	}
}

// dummyAnswer is what "dummy" answers to everything (penctl(1)).
const dummyAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\nContent-Type: text/html\r\n\r\nUlric was here."

// dummy is a web server of very few words.
func dummy(client *relay.Stream) {
	if client.Await() == nil {
		client.Farewell([]byte(dummyAnswer))
	}
}

// peer is a connection's other end; IPv4-mapped addresses are IPv4, and one on a Unix socket has none.
func peer(a net.Addr) (addr netip.Addr, port uint16, shown string) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, 0, "(unix)"
	}
	ap := t.AddrPort()
	addr = ap.Addr().Unmap().WithZone("")
	return addr, ap.Port(), addr.String()
}

// abort ends the connection from outside, on both sides: either may be what it waits for.
func (c *connection) abort() {
	c.aborted.Store(true)
	c.client.Close()
	if u := c.upstream.Load(); u != nil {
		u.sock.Close()
	}
}

// terminate ends TLS, where the listener speaks it.
func (c *connection) terminate() (*relay.Stream, error) {
	if !c.snap.speaksTLS(c.listener) {
		return relay.NewStream(c.client, nil), nil
	}
	var by time.Time
	if c.snap.HandshakeTimeout > 0 {
		by = time.Now().Add(c.snap.HandshakeTimeout)
	}
	t, err := c.p.terminator.Handshake(c.client, by)
	if err != nil {
		return nil, err
	}
	return relay.NewStream(c.client, t), nil
}

var errNotConnected = errors.New("no server could be connected to")

// explain leaves a client whose handshake failed the time to read the alert that says why: a connection that is closed with
// bytes unread is reset. One that speaks HTTP where HTTPS is spoken is told so.
func (c *connection) explain(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) {
		return
	}
	var page []byte
	if c.snap.HTTP && tls.IsPlainHTTP(err) {
		page = httpx.AppendErrorPage(nil, 400, "this port speaks HTTPS: use https:// in the address", false)
	}
	relay.NewStream(c.client, nil).Farewell(page)
}

// connect chooses a server and connects to it. A server that fails is blacklisted and the next one tried.
func (c *connection) connect() (*relay.Stream, error) {
	snap := c.p.now.Load() // the servers of today, for a connection of yesterday that needs a new one
	last := c.known.Last()
	request := backend.Request{Client: c.addr, Port: c.port, Last: last, Denied: c.denied, Now: time.Now()}
	failed := error(nil)
	for srv := range snap.set.Candidates(request) {
		if !srv.Acquire(srv.Index == last && last >= 0) {
			continue
		}
		s, err := c.reach(srv, snap)
		if err == nil {
			c.use(srv, s, snap)
			return relay.NewStream(s, nil), nil
		}
		srv.Release()
		if ourFault(err) {
			c.p.log.Error("cannot connect to any server", "why", err)
			return nil, errNotConnected
		}
		srv.Shun(time.Now().Add(snap.Blacklist))
		c.p.log.Warn("server blacklisted", "server", srv.Address, "port", srv.Port, "for", snap.Blacklist, "why", err)
		failed = errNotConnected
	}
	if failed != nil {
		return nil, failed
	}
	return nil, relay.ErrNoServer
}

// reach takes an idle connection to a server, or makes a new one.
func (c *connection) reach(srv *backend.Server, snap *snapshot) (*relay.Socket, error) {
	from := snap.dialFrom(c.addr)
	if !from.client.IsValid() {
		if s := c.p.idlers.take(srv, snap); s != nil {
			return s, nil
		}
	}
	return c.p.dial(srv, from, snap.ConnectTimeout)
}

// use makes a server that was connected to the connection's own.
func (c *connection) use(srv *backend.Server, s *relay.Socket, snap *snapshot) {
	c.server, c.serverShown = srv, srv.Address
	if t, ok := s.RemoteAddr().(*net.TCPAddr); ok {
		c.serverShown = t.AddrPort().Addr().Unmap().String()
	}
	if !snap.Forgetful {
		c.known.SetLast(srv.Index)
	}
	c.upstream.Store(&upstream{s, srv})
	if c.aborted.Load() {
		s.Close() // abort came too early to see it
	}
}

// disconnected gives the server's place back.
func (c *connection) disconnected() {
	c.upstream.Store(nil)
	c.server.Release()
	c.server = nil
}

// Up counts bytes from the client to the server.
func (c *connection) Up(n int64) {
	c.server.AddSent(uint64(n))
	c.known.AddReceived(uint64(n))
}

// Down counts bytes from the server to the client.
func (c *connection) Down(n int64) {
	c.server.AddReceived(uint64(n))
	c.known.AddSent(uint64(n))
}

// httpConfig is what the HTTP relay is to go by.
func (c *connection) httpConfig() *relay.HTTPConfig {
	proto := "http"
	if c.snap.speaksTLS(c.listener) {
		proto = "https"
	}
	client := ""
	if c.addr.IsValid() {
		client = c.addr.String()
	}
	config := &relay.HTTPConfig{
		Forward: httpx.Forward{Client: client, Proto: proto, Port: c.listener.port,
			Trusted: c.addr.IsValid() && c.snap.trusts(c.addr)},
		HeadLimit:    c.snap.HeadMax,
		HeadTimeout:  c.snap.HeadTimeout,
		Idle:         c.snap.Idle(),
		IdleNow:      func() time.Duration { return c.p.now.Load().exchangeIdle() },
		Tunnel:       func(client, server *relay.Stream) { c.relayRaw(client, server, false) },
		Connect:      c.connect,
		Disconnected: c.disconnected,
		Refused:      c.refused,
		Meter:        c,
	}
	if c.snap.Log != "" {
		config.Asked = c.record
	}
	config.SeenUp, config.SeenDown = c.seen(false)
	return config
}

// refused records a request that no server answered.
func (c *connection) refused(status int, why error) {
	c.p.log.Info("request refused", "client", c.shown, "status", status, "why", why)
}
