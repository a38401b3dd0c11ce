package certs

import (
	stdtls "crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
)

// Certificate is one certificate with its chain and key, as clients are shown
// it. All of it but the staple stays as it was made; it is safe to share.
type Certificate struct {
	// Names are what it is served for, in lower case: plain host names, or
	// *. and one. Those of a file of Certs are its own, the subject
	// alternative names (the common name where there are none); addresses
	// are not among them, for no client asks for one by SNI (RFC 6066
	// section 3). A file of SNIPath has the name that its own name says.
	Names []string
	// Source says where it is from: the file, "self-signed" or "acme".
	Source string
	// CAs are those of NAME.ca: the clients of this name are verified
	// against them rather than against Set.CAs. nil: it has none of its own.
	// Certificates with the same CAs share one pool.
	CAs *x509.CertPool
	// Response is the content of NAME.ocsp or ssl_ocsp_response, unchecked,
	// and ResponseFile is its path; nil and "" if there is none.
	Response     []byte
	ResponseFile string

	shown    atomic.Pointer[stdtls.Certificate]
	chain    []*x509.Certificate // as sent, the leaf first
	issuer   *x509.Certificate
	warnings []string // those that no clock changes
}

// NewCertificate makes a Certificate out of one that crypto/tls can serve; c
// itself is not changed. The leaf is parsed if c has none.
func NewCertificate(c stdtls.Certificate, source string) (*Certificate, error) {
	if len(c.Certificate) == 0 {
		return nil, fmt.Errorf("certificate from %s is empty; expected at least one certificate", source)
	}
	if c.PrivateKey == nil {
		return nil, fmt.Errorf("certificate from %s has no private key", source)
	}
	chain := make([]*x509.Certificate, len(c.Certificate))
	for i, der := range c.Certificate {
		if i == 0 && c.Leaf != nil {
			chain[0] = c.Leaf
			continue
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate from %s (number %d of its chain) cannot be used: %v", source, i+1, err)
		}
		chain[i] = parsed
	}
	cert := &Certificate{Names: namesOf(chain[0]), Source: source, chain: chain}
	if len(chain) > 1 && issued(chain[1], chain[0]) {
		cert.issuer = chain[1]
	}
	c.Leaf = chain[0]
	cert.shown.Store(&c)
	return cert, nil
}

// TLS returns the certificate as crypto/tls serves it, with the staple it has
// now. Callers do not change it.
func (c *Certificate) TLS() *stdtls.Certificate { return c.shown.Load() }

// Leaf returns the certificate itself, the first of its chain.
func (c *Certificate) Leaf() *x509.Certificate { return c.shown.Load().Leaf }

// Issuer returns the certificate of the CA that signed the leaf, from the
// chain or from the CAs that were given; nil where it is not known.
func (c *Certificate) Issuer() *x509.Certificate { return c.issuer }

// SetStaple makes der the OCSP response that clients are sent from now on;
// nil takes it away.
func (c *Certificate) SetStaple(der []byte) {
	next := *c.shown.Load()
	next.OCSPStaple = der
	c.shown.Store(&next)
}

// namesOf returns the host names that a certificate is for, in lower case.
func namesOf(leaf *x509.Certificate) []string {
	given := leaf.DNSNames
	if !hasSAN(leaf) {
		given = []string{leaf.Subject.CommonName}
	}
	names := make([]string, 0, len(given))
	have := make(map[string]bool, len(given))
	for _, name := range given {
		if name = strings.ToLower(name); hostName(name) && !have[name] {
			have[name] = true
			names = append(names, name)
		}
	}
	return names
}

// hasSAN reports whether a certificate has subject alternative names of any
// kind that crypto/x509 reads. Only without them does the common name count.
func hasSAN(c *x509.Certificate) bool {
	return len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses)+len(c.URIs) > 0
}

// hostName reports whether a client may ask for name by SNI: a host name and
// no address. *. may stand before it.
func hostName(name string) bool {
	_, err := netip.ParseAddr(name)
	return err != nil && validName(name)
}
