package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"edgepen/proxy/backend"
	"edgepen/proxy/relay"
)

// dialFrom is where connections to servers come from.
type dialFrom struct {
	source netip.Addr // our address; the zero Addr: the system's choice
	client netip.Addr // the client's address, which is to be shown to the server (transparent); the zero Addr: ours
}

// dial connects to a server, trying all its addresses in turn within the time-out.
func (p *Proxy) dial(srv *backend.Server, from dialFrom, timeout time.Duration) (*relay.Socket, error) {
	p.slots.connecting(1)
	defer p.slots.connecting(-1)
	ctx, cancel := context.WithTimeout(p.alive, timeout)
	defer cancel()
	c, err := dialAny(ctx, srv, from)
	if err != nil {
		return nil, err
	}
	return relay.NewSocket(c)
}

func dialAny(ctx context.Context, srv *backend.Server, from dialFrom) (net.Conn, error) {
	d := &net.Dialer{KeepAlive: -1, Control: from.control}
	if srv.IsUnix() {
		return d.DialContext(ctx, "unix", srv.Address)
	}
	failed := errors.New("its name is not resolved")
	by, _ := ctx.Deadline()
	for i, a := range srv.Addrs {
		// Each address that is left gets its share of the time that is left.
		d.LocalAddr = from.localAddr(a.Addr())
		d.Timeout = time.Until(by) / time.Duration(len(srv.Addrs)-i)
		c, err := d.DialContext(ctx, "tcp", a.String()) // DialTCP binds a local port first, which costs as much as the connect
		if err == nil {
			return c, nil
		}
		if i == 0 || errors.Is(failed, syscall.EADDRNOTAVAIL) { // which says nothing about the server, as another's error does
			failed = err
		}
	}
	return nil, failed
}

// dialFrom is where connections for a client come from.
func (s *snapshot) dialFrom(client netip.Addr) dialFrom {
	from := dialFrom{source: s.Source}
	if s.Transparent && client.Is4() {
		from.client = client
	}
	return from
}

// local is the address to bind for a server of the given address; the zero Addr: none, also where ours is of the other family.
func (from dialFrom) local(server netip.Addr) netip.Addr {
	local := from.source
	if from.client.IsValid() {
		local = from.client
	}
	if local.Is4() != server.Is4() {
		return netip.Addr{}
	}
	return local
}

func (from dialFrom) localAddr(server netip.Addr) net.Addr {
	local := from.local(server)
	if !local.IsValid() {
		return nil
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
}

// control sets a socket's options before it connects.
func (from dialFrom) control(network, _ string, raw syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var failed error
	err := raw.Control(func(fd uintptr) {
		keepAlive(int(fd))
		if from.client.IsValid() && network == "tcp4" {
			failed = transparent(int(fd))
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// shun blacklists a server that could not be connected to. One towards which we have no address, as where there is no IPv6, or no port that is
// free, is passed over: nothing is known of it.
func (p *Proxy) shun(srv *backend.Server, s *snapshot, why error) {
	now := time.Now()
	if !errors.Is(why, syscall.EADDRNOTAVAIL) {
		srv.Shun(now.Add(s.Blacklist))
		p.log.Warn("server blacklisted", "server", srv.Address, "port", srv.Port, "for", s.Blacklist, "why", why)
		return
	}
	if unsaid, ok := p.unreached.say(srv.State, now); ok {
		p.log.Warn("server passed over", "server", srv.Address, "port", srv.Port, "why", why, "unsaid", unsaid)
	}
}

// ourFault reports whether a connect failed for a reason that says nothing about the server.
func ourFault(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM, context.Canceled} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
