package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"edgepen/acl"
	"edgepen/httpx"
	"edgepen/proxy/limit"
	"edgepen/tls"
)

// asker asks access lists about one client, with all that is known of it by now.
type asker struct {
	snap *snapshot // what was in force when the client came, and so said what it is asked for
	now  *snapshot // today's
	who  acl.Client
}

// Permit implements backend.Lists. A list of today that asks for what this client was never asked for is the one of that time.
func (a *asker) Permit(list int) bool {
	v, _ := a.judge(list)
	return v.Permit
}

// judge says besides in which configuration the list is.
func (a *asker) judge(list int) (acl.Verdict, *snapshot) {
	of := a.now
	if needs := of.lists[list].Needs(); needs > a.snap.stage || needs >= acl.Hello && a.now.byJA4 && !a.snap.byJA4 {
		of = a.snap
	}
	return of.lists[list].Judge(&a.who, acl.Certificate), of
}

// stillPermitted asks client_acl once more, where it has changed since the client came.
func (c *connection) stillPermitted() bool {
	now := c.p.now.Load()
	if now == c.snap || c.denied {
		return true
	}
	c.asker.now = now
	return c.asker.Permit(now.ClientACL)
}

var errRefused = fmt.Errorf("%w (client_acl)", tls.ErrDenied)

// admit asks client_acl with what is known at a stage, unless it has decided already. False: the client is denied, and nobody is to
// hear it.
func (c *connection) admit(known acl.Stage) bool {
	if !c.decided {
		v := c.snap.lists[c.snap.ClientACL].Judge(&c.asker.who, known)
		if c.decided = v.Decided; v.Decided && !v.Permit {
			c.deniedByList(v)
		}
	}
	return !c.out()
}

// mayValidate reports whether a client that is denied may be an ACME authority all the same, whose validations nothing must stop: then it
// is heard, and only a validation that is pending gets an answer.
func (c *connection) mayValidate() bool {
	return c.quic == nil && c.p.acme.pending() && (c.snap.sendsAway(c.listener) || c.snap.speaksTLS(c.listener))
}

// checks is what is asked during this connection's handshake.
func (c *connection) checks() tls.Checks {
	checks := tls.Checks{Profile: c.snap.profile, NeedsValidation: !c.admit(acl.Address)}
	if c.snap.needs(acl.Hello) || c.recordsJA4() || c.snap.Limits.Handshakes > 0 || c.snap.Limits.HandshakesPerSecond > 0 {
		checks.Hello = c.checkHello
	}
	if c.snap.routes != nil {
		checks.Route = func(h *tls.Hello) bool { return c.snap.route(h.ServerName) != nil }
	}
	if c.snap.asksForCertificates() {
		checks.ClientCert = c.checkCertificate
	}
	return checks
}

func (c *connection) checkHello(h *tls.Hello) error {
	c.asker.who.Name = h.ServerName
	if c.snap.byJA4 {
		fingerprint := h.JA4() // now: the Hello ends with its handshake
		c.asker.who.JA4 = func() string { return fingerprint }
	} else if c.recordsJA4() {
		h.JA4() // which remembers it
	}
	if !c.admit(acl.Hello) {
		return errRefused
	}
	var err error
	if c.turn, err = c.p.budget.Acquire(c.p.alive, c.handshakeBy); err == limit.ErrBusy {
		return tls.ErrBusy
	}
	return err
}

// checkCertificate asks whether the client's certificate has been revoked, and the lists about it. chains is what crypto/tls found
// valid: one that holds is enough. It is nil where the client has shown none.
func (c *connection) checkCertificate(ctx context.Context, chains [][]*x509.Certificate) error {
	var failed error
	for _, chain := range chains {
		if failed = c.p.revocation.Check(ctx, c.snap.revocation, chain, time.Now()); failed == nil {
			c.asker.who.Cert = chain[0]
			c.shownChain.Store(&chain)
			break
		}
	}
	if failed != nil {
		return failed
	}
	if !c.admit(acl.Certificate) {
		return errRefused
	}
	return nil
}

// identify takes down what the handshake has shown of the client.
func (c *connection) identify(serverName string) error {
	c.asker.who.Name = serverName
	if !c.snap.asksForCertificates() {
		return nil
	}
	var chain []*x509.Certificate
	if shown := c.shownChain.Load(); shown != nil {
		chain = *shown
	}
	if c.p.revocation.Denied(chain) { // since it was asked about, and before whoever denied it could see it here
		return errors.New("the client's certificate has just been denied")
	}
	if c.snap.HTTP {
		c.identity = httpx.IdentityFields(withoutAnchor(chain), c.snap.Identity.Standard, c.snap.Identity.Classic)
	}
	return nil
}

// serves reports whether a client that was let in under one name may ask for a host: names may have CAs of their own for their clients,
// and access lists may ask for names. One that names no host and asks for an address is the same in both.
func (c *connection) serves(host []byte) bool {
	if c.outlived() {
		return false
	}
	if !c.snap.byName && !c.snap.asksForCertificates() {
		return true
	}
	name := string(host)
	if bare, _, err := net.SplitHostPort(name); err == nil {
		name = bare
	}
	if c.snap.byName && !strings.EqualFold(strings.TrimSuffix(name, "."), c.asker.who.Name) {
		if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err != nil || c.asker.who.Name != "" {
			return false
		}
	}
	return c.snap.profile.SameCAs(c.asker.who.Name, name)
}

// outlived reports whether what clients have to prove has been tightened or changed since this one was let in: it may come again.
func (c *connection) outlived() bool {
	now := c.p.now.Load()
	if now == c.snap || !now.asksForCertificates() {
		return false
	}
	return now.TLS.ClientAuth != c.snap.TLS.ClientAuth || now.CRL != c.snap.CRL || c.snap.certs == nil ||
		now.certs.CAs != c.snap.certs.CAs || !slices.Equal(now.certs.Revoked, c.snap.certs.Revoked)
}

// withoutAnchor is a chain without the CA that we trust, which servers are not to be told (RFC 9440 section 2.3).
func withoutAnchor(chain []*x509.Certificate) []*x509.Certificate {
	if len(chain) < 2 {
		return chain
	}
	return chain[:len(chain)-1]
}

// endDenied ends the connections of clients whose certificates are denied from now on.
func (p *Proxy) endDenied() {
	p.slots.each(func(c *connection) {
		if chain := c.shownChain.Load(); chain != nil && p.revocation.Denied(*chain) {
			p.log.Warn("connection ended: the client's certificate is denied", "serial", fmt.Sprintf("%x", (*chain)[0].SerialNumber))
			c.abort()
		}
	})
}

// shorter is the shorter of two times of which 0 is for ever.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
