package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"edgepen/proxy/h3"
	"edgepen/proxy/relay"
)

// offersHTTP3 reports whether clients of a listener may speak HTTP/3 as well, over UDP on the same address and port.
func (c *Config) offersHTTP3(l Listener) bool {
	return c.HTTP3 && c.HTTP && c.usesTLS(l) && !strings.Contains(l.Address, "/")
}

// checkHTTP3 refuses what would offer HTTP/3 to nobody.
func (c *Config) checkHTTP3() error {
	switch {
	case !c.HTTP3:
		return nil
	case !h3.Built:
		return fmt.Errorf("HTTP/3 (--http3): %w", h3.ErrNotBuilt)
	case c.UDP || c.DSRInterface != "":
		return errors.New("HTTP/3 (--http3) goes with neither UDP (-U) nor direct server return (dsr_if)")
	case !slices.ContainsFunc(c.Listeners, c.offersHTTP3):
		return errors.New("HTTP/3 (--http3) needs HTTP mode (-H) and a listener that speaks TLS over TCP: give --cert FILE (-E), --acme NAME or --self-signed")
	}
	return nil
}

// openHTTP3 opens the UDP socket beside a TCP listener. It is this process's alone: datagrams of a connection have to come to who has it.
func (p *Proxy) openHTTP3(beside *listener) (*listener, error) {
	l := &listener{Listener: beside.Listener, p: p, port: beside.port}
	if e := p.endpoints[l.Address]; e != nil && e.Hold() {
		l.quic = e
		return l, nil
	}
	network, addr, err := SplitListen(l.Address)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(addr)
	lc := net.ListenConfig{Control: ownSocket}
	pc, err := lc.ListenPacket(context.Background(), strings.Replace(network, "tcp", "udp", 1), net.JoinHostPort(host, l.port))
	if err != nil {
		return nil, fmt.Errorf("can't bind %s for HTTP/3 (UDP): %v", l.Address, bindReason(err))
	}
	l.quic = h3.NewEndpoint(pc.(*net.UDPConn), h3.Config{
		TLS: p.terminator.QUICConfig(), Log: p.log, Settings: p.quicSettings, Validate: p.validates, Accept: l.begin,
	})
	p.endpoints[l.Address] = l.quic
	return l, nil
}

// quicSettings are those of a connection that begins.
func (p *Proxy) quicSettings() h3.Settings {
	s := p.now.Load()
	return h3.Settings{Handshake: s.HandshakeTimeout, Streams: s.HTTP2Streams}
}

// validates reports whether a client has to show that its address is its own before it is let in: under load, as what strangers' datagrams claim
// costs them nothing and us a place and a handshake, and where clients are limited by address, since they could use up somebody else's share.
func (p *Proxy) validates(_ netip.AddrPort, pending int) bool {
	s := p.now.Load()
	l := &s.Limits
	return pending >= s.HTTP3Retry || l.Concurrent > 0 || l.PerSecond > 0 || l.Failures > 0 || p.slots.crowded()
}

// begin takes a connection of QUIC that wants to begin. Where there is no place for it, it is refused, since nothing can keep it waiting: a browser
// then comes over TCP, and waits there.
func (l *listener) begin(q *h3.Conn) bool {
	conn := &connection{p: l.p, listener: l, client: relay.NewPlainSocket(q), quic: q}
	if !l.p.slots.tryTake(conn) {
		return false
	}
	l.p.running.Go(conn.serve)
	return true
}

// offered reports whether HTTP/3 is offered to the client still. A peer that has to introduce its clients cannot do so here.
func (c *connection) offered() bool {
	if !c.snap.offersHTTP3(c.snap.listener(c.listener)) {
		return false
	}
	source := c.snap.proxySource(c.addr)
	return source == nil || source.Rule != ProxyRequired
}

// terminateQUIC has the handshake done that QUIC carries.
func (c *connection) terminateQUIC() error {
	if c.snap.HandshakeTimeout > 0 {
		c.handshakeBy = time.Now().Add(c.snap.HandshakeTimeout)
	}
	began := c.clock()
	state, info, err := c.p.terminator.HandshakeQUIC(c.handshakeBy, c.checks(), c.quic.Handshake)
	c.turn.Done(err != nil || !state.DidResume)
	if err != nil {
		return err
	}
	c.protocol = state.NegotiatedProtocol
	if c.snap.ProxyOut > 0 || c.journal != nil {
		c.secured = info
		c.journal.secured(&c.secured, began)
	}
	return c.identify(info.ServerName)
}

// serveHTTP3 begins to take connections.
func (l *listener) serveHTTP3() {
	if err := l.quic.Serve(); err != nil {
		l.p.log.Error("HTTP/3 cannot be served", "listener", l.Address, "why", err)
	}
}
