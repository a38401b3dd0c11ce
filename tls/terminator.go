package tls

import (
	"context"
	stdtls "crypto/tls"
	"crypto/x509"
	"net"
	"time"
)

// Terminator does handshakes. It lives as long as the process: it holds the
// keys of the session tickets, unless there is a file of them, and the
// counters. So clients resume their sessions whatever happens to the Profile
// in between, unless the new one asks for client certificates that the session
// was begun without being asked for.
type Terminator struct {
	current func() *Profile
	base    *stdtls.Config
	tickets ringmaster
	counts  *counts
	alerts  map[string]string // the reason for each text of a client's alert
}

// NewTerminator makes a Terminator. A handshake whose Checks bring no Profile
// calls current once, after the ClientHello has come, from its own goroutine;
// the Profile it returns is the handshake's to the end. Nil means that no
// certificate is there yet.
func NewTerminator(current func() *Profile) *Terminator {
	return &Terminator{
		current: current,
		base: &stdtls.Config{
			GetConfigForClient: func(chi *stdtls.ClientHelloInfo) (*stdtls.Config, error) {
				return handshakeOf(chi).config(chi)
			},
			GetEncryptedClientHelloKeys: func(chi *stdtls.ClientHelloInfo) ([]stdtls.EncryptedClientHelloKey, error) {
				return handshakeOf(chi).echKeys(chi), nil
			},
		},
		counts: newCounts(),
		alerts: alertReasons(),
	}
}

// Use prepares p, which has come or is about to come into force: the ticket
// keys are made and set. Handshakes would do that themselves; after Use they
// need not wait for each other.
func (t *Terminator) Use(p *Profile) {
	if p != nil {
		p.main.seal(t.ring(p))
	}
}

// ring is the ticket keys that p's configurations are to have now.
func (t *Terminator) ring(p *Profile) *keyring {
	if p.tickets != nil {
		return p.tickets
	}
	return t.tickets.current(time.Now())
}

// Checks is what is asked during one handshake; the zero value asks nothing.
// The functions are called from the goroutine of the handshake. None is called
// for a pending ACME validation.
type Checks struct {
	// Profile is how the handshake is done; nil: as is current when the
	// ClientHello has come. What is checked here and what the Profile asks for
	// are often halves of one rule, and so have to be of one time.
	Profile *Profile
	// Hello is asked before any key is used; its error ends the handshake
	// with the alert access_denied, or that of ErrBusy. The Hello is the handshake's own, empty
	// once Handshake has succeeded.
	Hello func(h *Hello) error
	// Route reports whether this connection is to go on elsewhere as it is;
	// Handshake then returns *Routed. It is not asked where the name came
	// encrypted: whoever it would be handed to could not read that.
	Route func(h *Hello) bool
	// ClientCert is asked about a client's certificate after it has been
	// verified, also of a resumed session: its chains, each from leaf to
	// anchor, or nil where the client has shown none. It is not called where
	// the Profile asks clients for nothing. An error ends the handshake.
	ClientCert func(ctx context.Context, chains [][]*x509.Certificate) error
	// NeedsValidation lets only a pending ACME validation pass; anything else
	// ends with ErrDenied.
	NeedsValidation bool
}

// Handshake does the server's side of a handshake on c until deadline (zero:
// no limit) and then clears c's deadlines. On failure c stays open, with its
// deadlines.
//
// The error is a *HandshakeError; or a *Routed, if Route says so: then c has
// no deadline, and nothing has been sent to the client; or ErrValidated, where
// an ACME validation has been answered and c is of no more use.
func (t *Terminator) Handshake(c net.Conn, deadline time.Time, checks Checks) (*Conn, error) {
	h := &handshake{Context: context.Background(), t: t, checks: checks, deadline: deadline}
	if err := c.SetDeadline(deadline); err != nil {
		return nil, h.failed(err)
	}
	conn := &Conn{tap: tap{Conn: c, remember: checks.Route != nil}}
	h.tap = &conn.tap
	conn.Conn = stdtls.Server(h.tap, t.base)
	if err := conn.HandshakeContext(h); err != nil && h.routed == nil {
		if h.refused {
			c.SetWriteDeadline(deadline) //nolint:errcheck // it could be set before
		}
		return nil, h.failed(err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, h.failed(err)
	}
	switch {
	case h.routed != nil:
		t.counts.routed.Add(1)
		return nil, h.routed
	case h.validated:
		t.counts.validated.Add(1)
		conn.Conn.CloseWrite() //nolint:errcheck // the validation has seen what it came for
		return nil, ErrValidated
	}
	conn.asked, conn.ja4 = h.hello.ServerName, h.hello.ja4
	h.release()
	t.counts.success(conn.ConnectionState())
	return conn, nil
}
