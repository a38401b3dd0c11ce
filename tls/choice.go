package tls

import (
	"context"
	stdtls "crypto/tls"
	"strings"
	"time"

	"edgepen/certs"
)

// find returns the certificates for the name a client asks for, best first:
// those of the very name or its wildcard, those obtained for it, and otherwise
// the default ones. None if the client is to be refused. deadline ends what may
// take long; zero: nothing does.
func (p *Profile) find(ctx context.Context, name string, deadline time.Time) []*certs.Certificate {
	if list := p.known(name); len(list) > 0 {
		return list
	}
	if name != "" && p.material.Obtain != nil {
		ctx, cancel := until(ctx, deadline)
		defer cancel()
		if list := p.material.Obtain(ctx, name); len(list) > 0 {
			return list
		}
	}
	if p.strict {
		return nil
	}
	return p.material.Set.Default
}

// known returns the certificates that there are for a name.
func (p *Profile) known(name string) []*certs.Certificate {
	if name == "" {
		return nil
	}
	if list := p.material.Set.ForName(name); len(list) > 0 || p.material.More == nil {
		return list
	}
	return p.material.More(name)
}

// SameCAs reports whether the same CAs vouch for the clients of the name that
// a client asked for (Info.ServerName) and for those of host, as it names that
// later on, in HTTP: if not, what the client has shown counts for nothing there.
func (p *Profile) SameCAs(asked, host string) bool {
	if len(p.own) == 0 {
		return true
	}
	return p.variantFor(p.known(asked)) == p.variantFor(p.known(hostName(strings.TrimSuffix(host, "."))))
}

// variantFor is the configuration for clients of what list serves: the CAs of
// its first certificate that has some, or those of everybody.
func (p *Profile) variantFor(list []*certs.Certificate) *variant {
	if p.main.config.ClientAuth == stdtls.NoClientCert {
		return p.main
	}
	for _, c := range list {
		if c.CAs == nil {
			continue
		}
		if v := p.own[c.CAs]; v != nil {
			return v
		}
		return withCAs(p.main.config, c.CAs) // a certificate from outside the Set
	}
	return p.main
}

// pickCertificate is every configuration's GetCertificate: of those that find
// returned it takes the first that the client can verify a signature of.
func pickCertificate(chi *stdtls.ClientHelloInfo) (*stdtls.Certificate, error) {
	h := handshakeOf(chi)
	if h == nil || len(h.candidates) == 0 {
		return nil, errUnknownName
	}
	return pick(h.candidates, chi), nil
}

// pick returns the first certificate of list if none suits: the client then
// gets the alert that says so.
func pick(list []*certs.Certificate, chi *stdtls.ClientHelloInfo) *stdtls.Certificate {
	if len(list) == 1 {
		return list[0].TLS()
	}
	// That the name is served by these certificates has been decided; the
	// default ones need not be valid for it. chi is this callback's own.
	name := chi.ServerName
	chi.ServerName = ""
	defer func() { chi.ServerName = name }()
	for _, c := range list {
		if cert := c.TLS(); chi.SupportsCertificate(cert) == nil {
			return cert
		}
	}
	return list[0].TLS()
}

// until is ctx until deadline, or ctx if that is zero.
func until(ctx context.Context, deadline time.Time) (context.Context, context.CancelFunc) {
	if deadline.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline)
}
