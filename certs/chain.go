package certs

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// issued reports whether parent signed child. It orders chains and decides no
// trust, so SHA-1 is good enough here; clients judge for themselves.
func issued(parent, child *x509.Certificate) bool {
	if !bytes.Equal(parent.RawSubject, child.RawIssuer) || parent.BasicConstraintsValid && !parent.IsCA {
		return false
	}
	return signed(parent, child)
}

// signed reports whether child's signature is by parent's key.
func signed(parent, child *x509.Certificate) bool {
	return parent.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature) == nil
}

// selfSigned reports whether c vouches for itself: a root, or a certificate
// made for trying things out.
func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && signed(c, c)
}

// orderChain puts the certificates of the -E file in the order that RFC 8446
// section 4.4.2 asks for: leaf, its issuer, and so on. A root that the file
// holds is kept, since whoever put it there may have a reason. Certificates
// off that path that issued one on it (cross-signed twins) follow; the others
// are returned as unused.
func orderChain(leaf *x509.Certificate, given []*x509.Certificate) (chain, unused []*x509.Certificate) {
	var others []*x509.Certificate
	for _, c := range given {
		if !c.Equal(leaf) && !slices.ContainsFunc(others, c.Equal) {
			others = append(others, c)
		}
	}
	take := func(child *x509.Certificate) bool {
		i := slices.IndexFunc(others, func(c *x509.Certificate) bool { return issued(c, child) })
		if i < 0 {
			return false
		}
		chain = append(chain, others[i])
		others = slices.Delete(others, i, i+1)
		return true
	}
	chain = append(chain, leaf)
	for !selfSigned(chain[len(chain)-1]) && take(chain[len(chain)-1]) {
	}
	for i := 0; i < len(chain); i++ {
		for !selfSigned(chain[i]) && take(chain[i]) {
		}
	}
	return chain, others
}

// chainWarnings remarks on the chain that clients will be sent, as of now.
func chainWarnings(path string, chain []*x509.Certificate, cas *caSet, now time.Time) []string {
	leaf := chain[0]
	warnings := certWarnings("certificate "+path, "serving it all the same", leaf, now)
	if len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0 {
		warnings = append(warnings, fmt.Sprintf("certificate %s has no subject alternative name; clients of today look nowhere else for the host's name", path))
	}
	if !allowsServer(leaf) {
		warnings = append(warnings, fmt.Sprintf("certificate %s is not meant for servers (its extended key usage lacks serverAuth); clients will refuse it", path))
	}
	for _, c := range chain[1:] {
		warnings = append(warnings, certWarnings(fmt.Sprintf("%s in the chain of %s", describe(c), path), "serving it all the same", c, now)...)
	}
	if len(chain) == 1 && !selfSigned(leaf) && !cas.issuerKnown(leaf) {
		warnings = append(warnings, fmt.Sprintf("certificate %s comes without a chain; if its issuer (%s) is an intermediate CA, append that one's certificate, or clients will refuse it", path, clean(leaf.Issuer.String())))
	}
	return warnings
}

// certWarnings remarks on one certificate's dates, key and signature. A root's
// signature is not looked at: nobody verifies it.
func certWarnings(name, consequence string, c *x509.Certificate, now time.Time) []string {
	var warnings []string
	add := func(format string, args ...any) {
		warnings = append(warnings, name+" "+fmt.Sprintf(format, args...))
	}
	if now.After(c.NotAfter) {
		add("expired on %s; %s", stamp(c.NotAfter), consequence)
	}
	if now.Before(c.NotBefore) {
		add("is not valid before %s; %s", stamp(c.NotBefore), consequence)
	}
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < 2048 {
		add("has an RSA key of %d bits; clients may refuse less than 2048", k.N.BitLen())
	}
	if weakHash(c.SignatureAlgorithm) && !selfSigned(c) {
		add("is signed with %v; clients may refuse it", c.SignatureAlgorithm)
	}
	return warnings
}

// weakHash reports whether a signature is made over SHA-1 or an older hash.
func weakHash(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return true
	}
	return false
}

// allowsServer applies RFC 5280 section 4.2.1.12: no extension allows all.
func allowsServer(c *x509.Certificate) bool {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// stamp prints a time for warnings.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// subject is the certificate's subject as RFC 2253 writes it, or another name
// where that is empty, as it is in many certificates of today.
func subject(c *x509.Certificate) string {
	if name := c.Subject.String(); name != "" {
		return clean(name)
	}
	if len(c.DNSNames) > 0 {
		return clean(c.DNSNames[0])
	}
	return fmt.Sprintf("serial %d", c.SerialNumber)
}

// describe names a certificate within a file of several.
func describe(c *x509.Certificate) string { return "certificate " + subject(c) }

// clean keeps what a certificate says from steering a terminal or faking a
// log line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
