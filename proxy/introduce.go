package proxy

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"edgepen/proxy/proxyproto"
	"edgepen/proxy/relay"
	"edgepen/proxy/udp"
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

// introduced reads the PROXY header of a peer that is to be believed: from there on its client is ours. QUIC has none. False: the connection is over, also
// because there is a header where there must be none.
func (c *connection) introduced() bool {
	if c.snap.ProxyOut > 1 {
		defer c.identifyUniquely()
	}
	if c.quic != nil {
		return c.offered()
	}
	source := c.snap.proxySource(c.addr)
	if source == nil {
		return true
	}
	var by time.Time
	if c.snap.HandshakeTimeout > 0 {
		by = time.Now().Add(c.snap.HandshakeTimeout)
	}
	length := proxyproto.Length
	if source.Rule == ProxyRefused {
		length = proxyproto.Refuse
	}
	head, err := c.client.TakeHead(by, length)
	if errors.Is(err, proxyproto.ErrNone) && source.Rule != ProxyRequired {
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
		c.standFor(c.addr)
	}
	return true
}

// standFor has those who look at the connection from outside see a client in the place of its peer.
func (c *connection) standFor(client netip.Addr) { c.speaksAs.Store(&client) }

// shownPort is the port that the client connected to, as servers are told.
func (c *connection) shownPort() string {
	if c.said.Server.IsValid() {
		return strconv.Itoa(int(c.said.Server.Port()))
	}
	return c.listener.port
}

// introduce sends a server the PROXY header of the client.
func (c *connection) introduce(s *relay.Socket, snap *snapshot, by time.Time) error {
	h := c.introduction()
	if snap.ProxyOutMax > 0 {
		h.Certificate = c.certificate()
	}
	head, cut, err := proxyproto.Fit(snap.ProxyOut, h, snap.ProxyOutMax)
	if err != nil {
		return err
	}
	if cut {
		c.p.log.Info("certificate left out of a PROXY header", "client", c.shown, "bytes", snap.ProxyOutMax)
	}
	if err := s.SetWriteDeadline(by); err != nil {
		return err
	}
	if _, err := s.Write(head); err != nil {
		return err
	}
	return s.SetWriteDeadline(time.Time{})
}

// identifyUniquely makes the connection an identifier for servers, unless it came with one. All requests and all connections to servers have the same.
func (c *connection) identifyUniquely() {
	if c.said.UniqueID == "" {
		c.said.UniqueID = uniqueID()
	}
}

// uniqueID is the 128 random bits of an identifier, as text: it is what people search for in several logs.
func uniqueID() string {
	var id [16]byte
	rand.Read(id[:]) //nolint:errcheck // it never fails
	return hex.EncodeToString(id[:])
}

// introduction is what servers are told of the client: what we know, and of TLS what the proxy before us has said where it spoke it.
func (c *connection) introduction() proxyproto.Header {
	c.identifyUniquely() // proxy_out may be younger than the connection
	h := proxyproto.Header{
		ALPN: cmp.Or(c.protocol, c.said.ALPN), Authority: cmp.Or(c.asker.who.Name, c.said.Authority), UniqueID: c.said.UniqueID, Datagram: c.said.Datagram,
	}
	if c.addr.IsValid() {
		h.Client, h.Server = netip.AddrPortFrom(c.addr, c.port), c.said.Server
		if !h.Server.IsValid() {
			h.Server = localAddr(c.client)
		}
	}
	switch i := &c.secured; {
	case i.Version != "":
		h.TLS, h.Version, h.Cipher, h.Group = true, strings.Replace(i.Version, "TLS ", "TLSv", 1), i.CipherSuite, cmp.Or(standardGroups[i.Group], i.Group)
		h.Verified, h.Resumed = i.ClientVerified, i.ClientVerified && i.Resumed
		h.ALPN, h.Authority = c.protocol, i.ServerName // not what was said to the proxy before us
		if len(i.PeerChain) > 0 {
			h.CommonName = i.PeerChain[0].Subject.CommonName
		}
	case c.said.TLS:
		h.TLS, h.Version, h.Cipher, h.Group = true, c.said.Version, c.said.Cipher, c.said.Group
		h.Verified, h.Resumed, h.CommonName = c.said.Verified, c.said.Resumed, c.said.CommonName
	}
	h.Country, h.Network = c.snap.placeFields(c.addr)
	if c.denied {
		h.Denied = ReasonWords[c.denial.reason]
	}
	return h
}

// standardGroups are the names by which the PROXY protocol knows what crypto/tls calls otherwise.
var standardGroups = map[string]string{"P-256": "secp256r1", "P-384": "secp384r1", "P-521": "secp521r1"}

// certificate is the one by which the client was verified, in DER: here, or where TLS does not end here, by the proxy before us; "" if it was not.
func (c *connection) certificate() string {
	switch {
	case c.secured.Version == "":
		return c.said.Certificate
	case len(c.secured.PeerChain) > 0:
		return string(c.secured.PeerChain[0].Raw)
	}
	return ""
}

// placeFields is what servers are told of where a client is; "" what nobody knows.
func (s *snapshot) placeFields(client netip.Addr) (country, network string) {
	if s.geo == nil {
		return "", ""
	}
	where := s.geo.Lookup(client)
	if where.ASN != 0 {
		network = strconv.FormatUint(uint64(where.ASN), 10)
	}
	return where.Country, network
}

// strip takes off a datagram the PROXY header of a peer that is to be believed. It gives the same answers as introduced, but about each datagram.
func (l *listener) strip(s *snapshot, sender netip.AddrPort, datagram []byte) (n int, client netip.AddrPort, ok bool) {
	source := s.proxySource(sender.Addr())
	if source == nil {
		return 0, client, true
	}
	n, client, err := proxyproto.Datagram(datagram)
	switch {
	case err == proxyproto.ErrNone && source.Rule != ProxyRequired:
		return 0, client, true
	case err == nil && source.Rule == ProxyRefused:
		err = proxyproto.ErrRefused
	}
	if err != nil {
		l.p.unintroduced.Add(1)
		l.p.failures.record(ShowAddr(sender.Addr()), l.Address, badIntroduction{err})
		return 0, netip.AddrPort{}, false
	}
	return n, client, true
}

// introduce makes the PROXY header that goes before each datagram of a flow. The identifier stays when the flow has to go elsewhere.
func (d datagrams) introduce(s *snapshot, o *udp.Origin, denied string) error {
	if s.ProxyOut == 0 {
		o.Head = nil
		return nil
	}
	said, err := parseAny(o.Said)
	if err != nil {
		return err
	}
	before, err := parseAny(o.Head)
	if err != nil {
		return err
	}
	h := said // what else the proxy before us knows of its client, who may have sent no datagrams to it
	if !said.Client.IsValid() {
		h.Client, h.Server, h.Datagram = o.Client, o.Local, true
	}
	if h.UniqueID = cmp.Or(before.UniqueID, said.UniqueID); h.UniqueID == "" {
		h.UniqueID = uniqueID()
	}
	h.Certificate = "" // each datagram would be longer by it
	h.Denied = denied
	h.Country, h.Network = s.placeFields(o.Client.Addr())
	o.Head, err = proxyproto.Format(2, h)
	return err
}

// parseAny reads a header that may not be there.
func parseAny(head []byte) (proxyproto.Header, error) {
	if len(head) == 0 {
		return proxyproto.Header{}, nil
	}
	return proxyproto.Parse(head)
}

func localAddr(c net.Conn) netip.AddrPort {
	t, ok := c.LocalAddr().(interface{ AddrPort() netip.AddrPort })
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
