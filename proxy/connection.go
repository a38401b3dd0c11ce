package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"edgepen/acl"
	"edgepen/httpx"
	"edgepen/proxy/backend"
	"edgepen/proxy/h2client"
	"edgepen/proxy/h3"
	"edgepen/proxy/limit"
	"edgepen/proxy/proxyproto"
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
	quic        *h3.Conn   // what client is where it is QUIC's; nil: it is not
	addr        netip.Addr // the client's; the zero Addr for a Unix peer
	shown       string     // the same for people and logs
	port        uint16
	asker       asker
	denial      denial                              // why the client is denied
	noted       bool                                // that has been recorded
	held        bool                                // the tarpit has the connection
	turn        limit.Turn                          // in the budget of handshakes
	handshakeBy time.Time                           // when the handshake has to be done; the zero time: never
	admitted    atomic.Pointer[acl.Client]          // the client as the lists have seen it, once they have
	decided     bool                                // client_acl has decided
	denied      bool                                // against the client
	shownChain  atomic.Pointer[[]*x509.Certificate] // the client's certificate and what it was found good by; nil: none
	identity    string                              // what servers are told about it
	protocol    string                              // agreed on by ALPN; "" is none
	routed      *backend.Set                        // where the connection is passed on to without ending TLS; nil: it is not
	said        proxyproto.Header                   // by a PROXY header
	speaksAs    atomic.Pointer[netip.Addr]          // whose connection it is, for those who look at it from outside; nil: its peer's
	secured     tls.Info                            // of the handshake, where servers are to be told
	proxies     bool                                // under HTTP: a trusted proxy, which speaks for clients of its own
	behalf      netip.Addr                          // whose requests they are: addr, or what a trusted proxy says
	ticket      limit.Ticket                        // the place of behalf in the limits
	known       *backend.Client                     // the entry of behalf in the table
	server      *backend.Server                     // nil: none at present
	serverName  string                              // the last one's, as it is configured
	serverAt    netip.Addr                          // its address; the zero Addr for one on a Unix socket
	serverShown string                              // the same for people and logs; "" until somebody asks
	aborted     atomic.Bool
	resting     atomic.Bool // waits between two requests
	serverEnd   atomic.Pointer[serverEnd]
	serverPort  uint16                         // the same
	journal     *journal                       // for the access log; nil: there was none when it began
	tunnel      atomic.Pointer[relay.RawRelay] // nil: none at present
	branches    branches
	forward     *httpx.Forward // under HTTP: what servers are told of the request in hand
}

// serverEnd is the server's end of a connection, for those who look at it from outside.
type serverEnd struct {
	sock   *relay.Socket
	server *backend.Server
	made   *snapshot // what was in force when it was connected
}

// serve is the way of a connection, top to bottom.
func (c *connection) serve() {
	defer c.p.slots.leave(c)
	defer c.close()

	c.snap = c.p.now.Load()
	c.addr, c.port, c.shown = peer(c.client.RemoteAddr())
	c.openJournal()
	defer c.closeJournal()
	if !c.introduced() {
		return
	}
	c.asker = asker{snap: c.snap, now: c.snap, who: c.peerClient()}
	c.proxies = c.snap.HTTP && c.addr.IsValid() && c.snap.trusts(c.addr)
	defer c.leaveLimits()
	if v := c.enterLimits(); v.Reason != limit.OK {
		c.deniedByLimit(v)
	}
	if !c.admit(acl.Address) && !c.mayValidate() {
		c.turnAway()
		return
	}
	if c.snap.sendsAway(c.listener) {
		c.redirect()
		return
	}
	stream, err := c.terminate()
	if err != nil {
		c.handshakeFailed(err)
		return
	}
	if stream == nil { // it was not ours to terminate, or only an ACME authority's look at a certificate
		return
	}
	if !c.admit(acl.Certificate) {
		c.turnAway()
		return
	}
	admitted := &c.asker.who
	if c.proxies { // what is asked about later changes with each client that it speaks for
		who := c.asker.who
		admitted = &who
	}
	c.admitted.Store(admitted)
	if !c.stillPermitted() {
		c.failed("client_acl has changed")
		c.p.log.Info("client refused", "client", c.shown, "why", "client_acl has changed")
		return
	}
	if c.denied && c.answered(stream) {
		return
	}
	if c.snap.Dummy && !c.denied {
		c.passes()
		c.eachStream(stream, false, func(_ onGone, client *relay.Stream) { dummy(client) })
		return
	}
	if c.snap.Peek && c.quic == nil && stream.Await() != nil {
		return
	}
	if c.proxies = c.proxies && !c.denied; !c.proxies { // otherwise each request tells
		c.behalf = c.addr
		c.known = c.p.clients.Visit(c.addr, time.Now(), c.snap.Tracking)
	}
	switch {
	case c.snap.HTTP && c.severalAtOnce():
		c.eachStream(stream, false, c.exchange)
		return
	case c.snap.HTTP:
		relay.HTTP(stream, c.httpConfig())
		return
	}
	server, err := c.connect(false)
	if err != nil {
		c.failed(err.Error())
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
	if c.journal != nil {
		meter := &tally{Meter: c}
		defer c.passed(meter, record)
		config.Meter = meter
	}
	r := relay.NewRaw(client, server, config)
	c.tunnel.Store(r)
	r.Run()
}

// hasty reports whether tcp_fastclose, as it is set now, wants both sides closed when one has ended.
func (c *connection) hasty(up bool) bool {
	if up && c.quic != nil { // to a WebSocket over HTTP/3 the end of what its server says cannot be passed on by itself
		return true
	}
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
	c.branches.each(func(one *connection) { one.setIdle(s) })
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
	t, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.Addr{}, 0, "(unix)"
	}
	ap := t.AddrPort()
	addr = ap.Addr().Unmap().WithZone("")
	return addr, ap.Port(), addr.String()
}

// peerClient is the client as the access lists see it at first.
func (c *connection) peerClient() acl.Client {
	who := acl.Client{Addr: c.addr}
	if c.addr.IsValid() {
		return who
	}
	uid, gid, err := PeerIDs(c.client.Conn)
	who.Unix, who.UID, who.GID = err == nil, uid, gid
	return who
}

// abort ends the connection from outside, on both sides: either may be what it waits for.
func (c *connection) abort() {
	c.client.Close()
	c.leave()
}

// leave ends what is under way with the server.
func (c *connection) leave() {
	c.aborted.Store(true)
	if end := c.serverEnd.Swap(nil); end != nil {
		end.sock.Close()
	}
}

// terminate ends TLS, where the listener speaks it. No stream and no error: the connection was not ours to terminate, and is over.
func (c *connection) terminate() (*relay.Stream, error) {
	if c.quic != nil {
		return relay.NewStream(c.client, nil), c.terminateQUIC()
	}
	if !c.snap.speaksTLS(c.listener) {
		return relay.NewStream(c.client, nil), nil
	}
	var by time.Time
	if c.snap.HandshakeTimeout > 0 {
		by = time.Now().Add(c.snap.HandshakeTimeout)
	}
	if c.client.SpeaksHTTP(by) {
		return nil, errPlainHTTP
	}
	c.handshakeBy = by
	began := c.clock()
	t, err := c.p.terminator.Handshake(c.client, by, c.checks())
	routed, passOn := errors.AsType[*tls.Routed](err)
	c.turn.Done(!passOn && (err != nil || !t.ConnectionState().DidResume))
	switch {
	case passOn:
		c.passOn(routed)
		return nil, nil
	case err == tls.ErrValidated:
		return nil, nil
	case err != nil:
		return nil, err
	}
	c.protocol = t.ConnectionState().NegotiatedProtocol
	if c.snap.ProxyOut > 0 || c.journal != nil {
		c.secured = t.Info()
		c.journal.secured(&c.secured, began)
	}
	return relay.NewStream(c.client, t), c.identify(t.Info().ServerName)
}

// reach takes a connection to a server that is spare or idle, or makes a new one, and begins TLS on it where that is asked for.
func (c *connection) reach(srv *backend.Server, snap *snapshot, anew bool) (*relay.Socket, *relay.Stream, error) {
	if c.snap.HTTP && snap.http2ToServers() && c.routed == nil {
		return c.join(srv, snap)
	}
	if !anew && c.shares(snap) {
		if s := c.p.spares.take(srv, snap); s != nil {
			return s.Socket(), s, nil
		}
	}
	return c.open(srv, snap, time.Now().Add(snap.ConnectTimeout))
}

// open takes an idle connection or makes a new one.
func (c *connection) open(srv *backend.Server, snap *snapshot, by time.Time) (*relay.Socket, *relay.Stream, error) {
	from := snap.dialFrom(c.addr)
	if !from.client.IsValid() && c.routed == nil {
		if s := c.p.idlers.take(srv, snap); s != nil {
			if stream, err := c.secure(s, srv, snap, by); err == nil {
				return s, stream, nil
			}
		}
	}
	s, err := c.p.dial(srv, from, snap.ConnectTimeout)
	if err != nil {
		return nil, nil, err
	}
	stream, err := c.secure(s, srv, snap, by)
	return s, stream, err
}

// secure introduces the client to a server, and begins TLS, where these are asked for.
func (c *connection) secure(s *relay.Socket, srv *backend.Server, snap *snapshot, by time.Time) (*relay.Stream, error) {
	if snap.ProxyOut > 0 {
		if err := c.introduce(s, snap, by); err != nil {
			s.Close()
			return nil, err
		}
	}
	if snap.upstream == nil || c.routed != nil {
		return relay.NewStream(s, nil), nil
	}
	ctx, cancel := context.WithDeadline(c.p.alive, by)
	defer cancel()
	t, err := snap.upstream.Handshake(ctx, s, srv.Address)
	if err == nil && c.snap.HTTP && snap.http2ToServers() && t.ConnectionState().NegotiatedProtocol != h2client.Protocol {
		err = errNoHTTP2
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return relay.NewStream(s, t), nil
}

// use makes a server that was connected to the connection's own.
func (c *connection) use(srv *backend.Server, s *relay.Socket, snap *snapshot) {
	at, port := netip.Addr{}, uint16(0)
	if t, ok := s.RemoteAddr().(*net.TCPAddr); ok {
		at, port = t.AddrPort().Addr().Unmap(), srv.Port
	}
	if at != c.serverAt || srv.Address != c.serverName {
		c.serverName, c.serverAt, c.serverShown = srv.Address, at, ""
	}
	c.server, c.serverPort = srv, port
	if c.remembered(snap) {
		c.known.SetLast(srv.Index)
	}
	c.serverEnd.Store(&serverEnd{s, srv, snap})
	if c.aborted.Load() {
		s.Close() // abort came too early to see it
	}
}

// shownServer is the address of the last server for people and logs.
func (c *connection) shownServer() string {
	if c.serverShown == "" {
		if c.serverShown = c.serverName; c.serverAt.IsValid() {
			c.serverShown = c.serverAt.String()
		}
	}
	return c.serverShown
}

// spare keeps the server's connection for whoever needs one next, unless somebody outside is about to close it: once it is spared, it is no longer
// this client's to be closed.
func (c *connection) spare(s *relay.Stream) {
	end := c.serverEnd.Swap(nil)
	if end == nil {
		s.Close()
		return
	}
	c.p.spares.put(c.server, end.made, s)
}

// disconnected gives the server's place back.
func (c *connection) disconnected() {
	c.serverEnd.Store(nil)
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
	proto, asked := "http", false
	if c.snap.speaksTLS(c.listener) {
		proto, asked = "https", c.snap.asksForCertificates()
	}
	if c.said.TLS {
		proto = "https"
	}
	client := ""
	if c.addr.IsValid() {
		client = c.addr.String()
	}
	config := &relay.HTTPConfig{
		Forward: httpx.Forward{Client: client, Proto: proto, Port: c.shownPort(),
			Trusted: c.addr.IsValid() && c.snap.trusts(c.addr), Field: c.snap.TrustedField, Identity: c.identity, Asked: asked, Place: c.place(c.addr)},
		HeadLimit:    c.snap.HeadMax,
		BodyMax:      int64(c.snap.BodyMax),
		Requests:     c.snap.RequestsMax,
		Policy:       c.responsePolicy(proto == "https"),
		HeadTimeout:  c.snap.HeadTimeout,
		Idle:         c.snap.Idle(),
		IdleNow:      func() time.Duration { return c.p.now.Load().exchangeIdle() },
		Tunnel:       func(client, server *relay.Stream) { c.relayRaw(client, server, false) },
		Connect:      c.connect,
		Over:         c.aborted.Load,
		Disconnected: c.disconnected,
		Rest:         c.rest,
		Leaving:      c.leaving,
		Refused:      c.refused,
		Witness:      c,
		Meter:        c,
	}
	if c.snap.speaksTLS(c.listener) {
		config.Serves = c.serves
	}
	if c.shares(c.snap) {
		config.Spare = c.spare
	}
	if c.proxies {
		config.Behalf = func(r *httpx.Request, head []byte) (bool, error) { return c.speaksFor(r, head, &config.Forward) }
	}
	c.manners(config)
	if c.denied {
		config.Forward.Denied = httpx.DeniedField(ReasonWords[c.denial.reason])
	}
	if c.snap.Log != "" {
		config.Asked = c.record
	}
	config.SeenUp, config.SeenDown = c.seen(false)
	return config
}

// refused records a request that no server answered.
func (c *connection) refused(status int, why error) {
	if _, ok := errors.AsType[*relay.Stranger](why); ok {
		c.p.failures.record(c.shown, c.listener.Address, why)
	}
	args := []any{"client", c.shown, "status", status, "why", why}
	if c.forward != nil && c.forward.ID != nil {
		args = append(args, "id", string(c.forward.ID))
	}
	c.p.log.Info("request refused", args...)
}
