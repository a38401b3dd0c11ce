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
	Address     Stage = iota // connected: the address, and with it the place; or the peer on a Unix socket
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
	// Addr is the zero Addr for a client on a Unix socket, unless whoever is at
	// its other end has been trusted to say for whom it speaks. An IPv4-mapped
	// address counts as IPv4.
	Addr netip.Addr
	// Unix is set for a client on a Unix socket of which UID and GID are known.
	Unix bool
	// UID and GID are the effective user and group of that peer.
	UID, GID uint32
	// Name is the host that the ClientHello names, in lower case and without a
	// dot at its end; "" if it names none, or none that could be a host's.
	Name string
	// JA4 computes the ClientHello's fingerprint, at most once in a Judge and
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

// Verdict is what a list says of a client.
type Verdict struct {
	// Permit is whether the client may pass; false as long as nothing is decided.
	Permit bool
	// Decided is whether that can be said by what is known already. It always can
	// at Certificate.
	Decided bool
	// Entry is the index in the list, from 0, of the entry that decided; -1 if none
	// matched, so that the default held, or if nothing is decided. Texts for people
	// count entries from 1.
	Entry int
}

// Judge says whether the list lets a client pass, if that can be said by what is
// known already. It can at the first stage where no entry that asks about a later
// one stands before the entry that matches. A verdict stays the same at all later
// stages, and each is counted; see [Compiled.Hits].
//
// A client on a Unix socket matches no entry about addresses or places. If the
// list has only such entries, a client that has no address passes, as with pen.
// If it has a uid or gid entry, or one about what a TLS client says, what holds
// for everybody holds for it as well. A client without an address of which Unix
// is not set, so that its peer is not known, is refused by the first uid or gid
// entry that it comes to, be it permit or deny.
//
// Judge does not allocate, as far as Geography and JA4 do not, and the names in
// the certificate are of usual length: 256 bytes, distinguished ones 512.
func (l *Compiled) Judge(c *Client, known Stage) Verdict {
	if l == nil {
		return Verdict{Permit: true, Decided: true, Entry: -1}
	}
	match := l.address(c)
	if l.hello.first < match {
		if known < Hello {
			return Verdict{Entry: -1}
		}
		match = l.hello.earlier(c, match)
	}
	if l.cert.first < match {
		if known < Certificate {
			return Verdict{Entry: -1}
		}
		match = l.cert.earlier(c.Cert, match)
	}
	return l.verdict(c, match)
}

// verdict is the decision where match is the first entry that matches.
func (l *Compiled) verdict(c *Client, match int) Verdict {
	if match != none {
		l.hits[match].Add(1)
		return Verdict{Permit: l.permit[match] && !l.peer.refuses(c, match), Decided: true, Entry: match}
	}
	l.hits[len(l.permit)].Add(1)
	permit := l.unixFallback
	if c.Addr.IsValid() {
		permit = l.fallback
	}
	return Verdict{Permit: permit, Decided: true, Entry: -1}
}

// Decide is Judge without the entry.
func (l *Compiled) Decide(c *Client, known Stage) (permit, decided bool) {
	v := l.Judge(c, known)
	return v.Permit, v.Decided
}

// Permit reports whether the list lets a client pass of which nothing but the
// address will ever be known, as with UDP. The zero Addr is a client on a Unix
// socket whose peer is not known; see [Compiled.Judge]. A client about whom that
// is not enough to decide does not pass.
func (l *Compiled) Permit(addr netip.Addr) bool {
	return l.Judge(&Client{Addr: addr}, Address).Permit
}
