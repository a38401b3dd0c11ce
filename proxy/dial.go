package proxy

import (
	"context"
	"errors"
	"net"
	"time"

	"edgepen/proxy/backend"
	"edgepen/proxy/relay"
)

// dial connects to a server, trying all its addresses in turn within the time-out.
func (p *Proxy) dial(srv *backend.Server, timeout time.Duration) (*relay.Socket, error) {
	p.slots.connecting(1)
	defer p.slots.connecting(-1)
	ctx, cancel := context.WithTimeout(p.alive, timeout)
	defer cancel()
	c, err := dialAny(ctx, srv)
	if err != nil {
		return nil, err
	}
	return relay.NewSocket(c)
}

func dialAny(ctx context.Context, srv *backend.Server) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	if srv.IsUnix() {
		return d.DialContext(ctx, "unix", srv.Address)
	}
	failed := errors.New("its name is not resolved")
	for _, a := range srv.Addrs {
		c, err := d.DialContext(ctx, "tcp", a.String()) // DialTCP binds a local port first, which costs as much as the connect
		if err == nil {
			return c, nil
		}
		failed = err
	}
	return nil, failed
}
