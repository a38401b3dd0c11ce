package proxy

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"edgepen/proxy/proxyproto"
	"edgepen/proxy/relay"
)

// proxySource is the rule for a peer's PROXY headers; nil: what it sends is taken as it comes.
func (s *snapshot) proxySource(peer netip.Addr) *ProxySource {
	if !peer.IsValid() {
		return nil
	}
	for i := range s.ProxyFrom {
		if s.ProxyFrom[i].Peers.Contains(peer) {
			return &s.ProxyFrom[i]
		}
	}
	return nil
}

// introduced reads the PROXY header of a peer that is to be believed: from there on its client is ours. False: the connection is over.
func (c *connection) introduced() bool {
	source := c.snap.proxySource(c.addr)
	if source == nil {
		return true
	}
	var by time.Time
	if c.snap.HandshakeTimeout > 0 {
		by = time.Now().Add(c.snap.HandshakeTimeout)
	}
	head, err := c.client.TakeHead(by, proxyproto.Length)
	if errors.Is(err, proxyproto.ErrNone) && source.Optional {
		return true
	}
	if err == nil {
		c.said, err = proxyproto.Parse(head)
	}
	if err != nil {
		c.p.unintroduced.Add(1)
		if !errors.Is(err, io.EOF) { // who leaves without a word has not failed
			c.failed("PROXY header: " + err.Error())
		}
		c.p.failures.record(c.shown, c.listener.Address, badIntroduction{err})
		return false
	}
	if c.said.Client.IsValid() {
		c.addr, c.port = c.said.Client.Addr(), c.said.Client.Port()
		c.shown = c.addr.String()
	}
	return true
}

// shownPort is the port that the client connected to, as servers are told.
func (c *connection) shownPort() string {
	if c.said.Server.IsValid() {
		return strconv.Itoa(int(c.said.Server.Port()))
	}
	return c.listener.port
}

// introduce sends a server the PROXY header of the client.
func (c *connection) introduce(s *relay.Socket, version int, by time.Time) error {
	head, err := proxyproto.Format(version, c.introduction())
	if err != nil {
		return err
	}
	if err := s.SetWriteDeadline(by); err != nil {
		return err
	}
	if _, err := s.Write(head); err != nil {
		return err
	}
	return s.SetWriteDeadline(time.Time{})
}

// introduction is what servers are told of the client: what we know, and of TLS what the proxy before us has said where it spoke it.
func (c *connection) introduction() proxyproto.Header {
	h := proxyproto.Header{ALPN: c.protocol, Authority: c.asker.who.Name}
	if c.addr.IsValid() {
		h.Client, h.Server = netip.AddrPortFrom(c.addr, c.port), c.said.Server
		if !h.Server.IsValid() {
			h.Server = localAddr(c.client)
		}
	}
	switch i := &c.secured; {
	case i.Version != "":
		h.TLS, h.Version, h.Cipher, h.Group, h.Verified = true, strings.Replace(i.Version, "TLS ", "TLSv", 1), i.CipherSuite, i.Group, i.ClientVerified
		if len(i.PeerChain) > 0 {
			h.CommonName = i.PeerChain[0].Subject.CommonName
		}
	case c.said.TLS:
		h.TLS, h.Version, h.Cipher, h.Group, h.Verified, h.CommonName = true, c.said.Version, c.said.Cipher, c.said.Group, c.said.Verified, c.said.CommonName
		h.ALPN, h.Authority = c.said.ALPN, c.said.Authority
	}
	if place := c.snap.geo; place != nil {
		where := place.Lookup(c.addr)
		if h.Country = where.Country; where.ASN != 0 {
			h.Network = strconv.FormatUint(uint64(where.ASN), 10)
		}
	}
	if c.denied {
		h.Denied = ReasonWords[c.denial.reason]
	}
	return h
}

func localAddr(c net.Conn) netip.AddrPort {
	t, ok := c.LocalAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// badIntroduction is what is wrong with a PROXY header, or that there is none.
type badIntroduction struct{ error }

// Unwrap lets those who left without a word be told apart.
func (b badIntroduction) Unwrap() error { return b.error }
