package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"edgepen/acl"
	"edgepen/proxy/backend"
	"edgepen/proxy/limit"
	"edgepen/proxy/udp"
)

// openDatagrams opens a listening address for UDP, or for datagrams on a Unix socket.
func (p *Proxy) openDatagrams(l Listener, c *Config) (*listener, error) {
	network, addr, err := SplitListen(l.Address)
	if err != nil {
		return nil, err
	}
	if network = strings.Replace(network, "tcp", "udp", 1); network == "unix" {
		network = "unixgram"
		if err := removeSocket(addr); err != nil {
			return nil, fmt.Errorf("can't bind %s: %v", l.Address, err)
		}
	}
	lc := net.ListenConfig{Control: listenOptions}
	restore := umask(network, c.SocketMode)
	pc, err := lc.ListenPacket(context.Background(), network, addr)
	restore()
	if err != nil {
		return nil, fmt.Errorf("can't bind %s: %v", l.Address, bindReason(err))
	}
	port := ""
	if a, ok := pc.LocalAddr().(*net.UDPAddr); ok {
		port = strconv.Itoa(a.Port)
	}
	opened := &listener{Listener: l, p: p, packets: pc, port: port}
	if network == "unixgram" {
		opened.file, _ = os.Lstat(addr)
	}
	return opened, nil
}

// serveDatagrams begins to pass datagrams on.
func (l *listener) serveDatagrams() {
	pc := l.packets
	l.packets = nil
	flows, err := udp.Serve(pc, datagrams{l.p}, l.p.now.Load().flowConfig(l))
	if err != nil {
		l.p.log.Error("datagrams cannot be served", "listener", l.Address, "why", err)
		return
	}
	l.flows = flows
}

func (l *listener) closeDatagrams() {
	if l.flows != nil {
		l.flows.Close()
	} else if l.packets != nil {
		l.packets.Close()
	}
	// Only our own: in another root (-j) the path may be another file's.
	if now, err := os.Lstat(l.Address); err == nil && l.file != nil && os.SameFile(now, l.file) {
		os.Remove(l.Address) //nolint:errcheck // it may be out of reach after -u
	}
}

// flowConfig is what the flows of a listener go by.
func (s *snapshot) flowConfig(l *listener) udp.Config {
	p := l.p
	c := udp.Config{FlowsMax: s.ConnMax, Idle: s.Idle(), Unanswered: s.UDPUnanswered,
		Trouble: func(err error) { p.log.Error("datagrams", "why", err) }}
	if len(s.ProxyFrom) > 0 {
		c.Strip = func(sender netip.AddrPort, datagram []byte) (int, netip.AddrPort, bool) {
			return l.strip(s, sender, datagram)
		}
	}
	if s.Source.IsValid() || s.Transparent {
		c.Prepare = func(fd uintptr, client netip.AddrPort, _ *backend.Server) error {
			return s.dialFrom(client.Addr()).bind(int(fd))
		}
	}
	if s.Log != "" || s.Debug >= dumpLevel {
		c.Tap = func(client netip.AddrPort, srv *backend.Server, at netip.AddrPort, up bool, data []byte) {
			server := srv.Address
			if at.IsValid() {
				server = at.Addr().String()
			}
			p.tap(s, client, server, up, data)
		}
	}
	return c
}

// tap records and dumps a datagram.
func (p *Proxy) tap(s *snapshot, client netip.AddrPort, server string, up bool, data []byte) {
	who := ShowAddr(client.Addr())
	if l := p.traffic.Load(); l != nil && up {
		l.Record(time.Now(), who, server, data)
	}
	if s.Debug < dumpLevel {
		return
	}
	where := "server to client"
	if up {
		where = "client to server"
	}
	p.dump(where, who, s.ASCII, data)
}

// datagrams decides about flows: it is what connection is for TCP.
type datagrams struct{ p *Proxy }

// Choose finds a server for a flow by the same rules as for a connection. One that has left a server counts no second time.
func (d datagrams) Choose(o *udp.Origin) (udp.Route, bool) {
	snap, now, client := d.p.now.Load(), time.Now(), o.Client
	if o.Known == nil && !d.enter(snap, client.Addr(), now) {
		return udp.Route{}, false
	}
	denied, why, heard := d.deny(snap, client.Addr())
	if denied && !heard {
		return udp.Route{}, false
	}
	if err := d.introduce(snap, o, why); err != nil {
		d.p.log.Error("a client of datagrams cannot be introduced", "client", ShowAddr(client.Addr()), "why", err)
		return udp.Route{}, false
	}
	if o.Known == nil {
		o.Known = d.p.clients.Visit(client.Addr(), now, snap.Tracking)
	}
	last := o.Known.Last()
	lists := &asker{snap, snap, acl.Client{Addr: client.Addr()}}
	request := backend.Request{Client: client.Addr(), Port: client.Port(), Last: last, Lists: lists, Denied: denied, Now: now}
	var full *backend.Server
	for srv := range snap.set.Candidates(request) {
		switch {
		case slices.Contains(o.Left, srv.State):
		case srv.Acquire(srv.Index == last && last >= 0):
			if !snap.Forgetful {
				o.Known.SetLast(srv.Index)
			}
			return udp.Route{Server: srv, Client: o.Known}, true
		case full == nil:
			full = srv
		}
	}
	if full == nil {
		d.TurnedAway(o)
	}
	return udp.Route{Server: full}, false
}

// TurnedAway records a client for whom there is no server.
func (d datagrams) TurnedAway(o *udp.Origin) {
	d.p.log.Info("client turned away", "client", ShowAddr(o.Client.Addr()), "why", "no server available")
}

// enter counts a new flow of a client, and reports whether it is one too many.
func (d datagrams) enter(s *snapshot, client netip.Addr, now time.Time) bool {
	ticket, verdict := d.p.limits.Enter(client, now)
	ticket.Leave() // of flows only the rate is limited: how many there are is conn_max's matter
	if verdict.Reason != limit.TooFast {
		return true
	}
	d.p.refused(s, client, deniedByLimit(verdict), CloseIt)
	return false
}

// Serves reports whether a server is still one, at that address.
func (d datagrams) Serves(srv *backend.Server, at netip.AddrPort) bool {
	set := d.p.now.Load().set
	now := set.Emergency
	switch {
	case srv.Index >= 0 && srv.Index < len(set.Servers):
		now = set.Servers[srv.Index]
	case set.Abuse != nil && set.Abuse.State == srv.State:
		now = set.Abuse
	}
	if now == nil || now.State != srv.State || now.Port == 0 {
		return false
	}
	return now.Address == srv.Address && now.IsUnix() || slices.Contains(now.Addrs, at)
}

// deny asks client_acl about a client. One that is denied, for which there is a word, meets the abuse server or is not heard: nothing else can be
// done to who sends datagrams.
func (d datagrams) deny(s *snapshot, client netip.Addr) (denied bool, word string, heard bool) {
	v := s.lists[s.ClientACL].Judge(&acl.Client{Addr: client}, acl.Certificate)
	if v.Permit {
		return false, "", true
	}
	why := s.denialBy(s.ClientACL, v)
	action := s.action(why.reason)
	if action != Abused {
		action = CloseIt
	}
	d.p.refused(s, client, why, action)
	return true, ReasonWords[why.reason], action == Abused
}

// Failed blacklists a server, unless it is the last one that is left: the original never blacklists for UDP, and a server that
// is started anew must not be silenced where nobody could take its place.
func (d datagrams) Failed(srv *backend.Server, why error) {
	srv.Release()
	snap, now := d.p.now.Load(), time.Now()
	if snap.Blacklist == 0 || !hasOther(snap.set, srv, now) {
		if unsaid, ok := d.p.irreplaceable.say(srv.State, now); ok {
			d.p.log.Warn("server failed", "server", srv.Address, "port", srv.Port, "why", why, "unsaid", unsaid)
		}
		return
	}
	srv.Shun(now.Add(snap.Blacklist))
	d.p.log.Warn("server blacklisted", "server", srv.Address, "port", srv.Port, "for", snap.Blacklist, "why", why)
}

// Ended gives a server's place back.
func (d datagrams) Ended(srv *backend.Server) { srv.Release() }

// hasOther reports whether there is a server that could take another's place.
func hasOther(set *backend.Set, srv *backend.Server, now time.Time) bool {
	there := func(s *backend.Server) bool {
		return s != nil && s.State != srv.State && s.Port != 0 && !s.Shunned(now) && !s.Down()
	}
	return slices.ContainsFunc(set.Servers, there) || !set.Stubborn && there(set.Emergency)
}
