package acl

import (
	"crypto/x509"
	"net/netip"
)

// Stage is how far a client has come, and so what is known of it. Each stage
// knows what the ones before it do.
type Stage uint8

// The stages, first to last.
const (
	Address     Stage = iota // connected: the address, and with it the country
	Hello                    // the ClientHello has been read: the name in it, the fingerprint
	Certificate              // the handshake is over: the client's certificate
)

// String is a noun for messages: "address", "ClientHello" or "certificate".
func (s Stage) String() string {
	switch s {
	case Address:
		return "address"
	case Hello:
		return "ClientHello"
	}
	return "certificate"
}

// Stage is the first stage at which it is known whether the entry matches.
func (e Entry) Stage() Stage {
	switch {
	case e.Cert != "":
		return Certificate
	case e.SNI != "" || e.JA4 != "":
		return Hello
	}
	return Address
}

// Client is what is known of a client; of what a later stage brings, nothing
// need be set before.
type Client struct {
	// Addr is the zero Addr for a client on a Unix socket. An IPv4-mapped
	// address counts as IPv4.
	Addr netip.Addr
	// Name is the host that the ClientHello names, in lower case and without a
	// dot at its end; "" if it names none, or none that could be a host's.
	Name string
	// JA4 computes the ClientHello's fingerprint, at most once in a Decide and
	// only if an entry needs it. With nil, or if it returns "", no fingerprint matches.
	JA4 func() string
	// Cert is the leaf that the client has shown, parsed and verified; nil if it
	// has shown none.
	Cert *x509.Certificate
}

// Needs is the latest stage that an entry of the list asks about: where a client
// never comes that far, as without TLS, the list would be without effect there
// or refuse everybody. A nil list needs the Address.
func (l *Compiled) Needs() Stage {
	switch {
	case l == nil:
		return Address
	case l.cert.first != none:
		return Certificate
	case l.hello.first != none:
		return Hello
	}
	return Address
}

// Decide reports whether the list lets a client pass, and whether that can be
// said by what is known already. It can at the first stage where no entry that
// asks about a later one stands before the entry that matches; at Certificate it
// always can. A verdict stays the same at all later stages. Permit is false as
// long as nothing is decided.
//
// A client on a Unix socket matches no entry with an address or a country. If
// the list has only such entries, and `all`, a client on a Unix socket that
// matches none of them passes, as with pen; otherwise what holds for everybody
// holds for it as well.
//
// Decide does not allocate, as far as Countries and JA4 do not, and the names in
// the certificate are of usual length: 256 bytes, distinguished ones 512.
func (l *Compiled) Decide(c *Client, known Stage) (permit, decided bool) {
	if l == nil {
		return true, true
	}
	match := l.address(c.Addr)
	if l.hello.first < match {
		if known < Hello {
			return false, false
		}
		match = l.hello.earlier(c, match)
	}
	if l.cert.first < match {
		if known < Certificate {
			return false, false
		}
		match = l.cert.earlier(c.Cert, match)
	}
	switch {
	case match != none:
		return l.permit[match], true
	case c.Addr.IsValid():
		return l.fallback, true
	}
	return l.unixFallback, true
}

// Permit reports whether the list lets a client pass of which nothing but the
// address will ever be known, as on the control port or with UDP. The zero Addr
// is a client on a Unix socket; see [Compiled.Decide]. A client about whom that
// is not enough to decide does not pass. Permit does not allocate, as far as the
// Countries do not.
func (l *Compiled) Permit(addr netip.Addr) bool {
	permit, decided := l.Decide(&Client{Addr: addr}, Address)
	return permit && decided
}
