package certs

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"time"
)

// remarks are the certificate's warnings as of now.
func (c *Certificate) remarks(now time.Time) []string {
	var warnings []string
	for i, x := range c.chain {
		name := "certificate " + c.Source
		if i > 0 {
			name = fmt.Sprintf("%s in the chain of %s", describe(x), c.Source)
		}
		if now.After(x.NotAfter) {
			warnings = append(warnings, fmt.Sprintf("%s expired on %s; serving it all the same", name, date(x.NotAfter)))
		}
		if now.Before(x.NotBefore) {
			warnings = append(warnings, fmt.Sprintf("%s is not valid before %s; serving it all the same", name, date(x.NotBefore)))
		}
	}
	return append(warnings, c.warnings...)
}

// lasting are the warnings about a certificate of r that no clock changes.
func (c *Certificate) lasting(r recipe) []string {
	leaf := c.chain[0]
	name := "certificate " + c.Source
	warnings := weakness(name, leaf)
	if !hasSAN(leaf) {
		warnings = append(warnings, name+" has no subject alternative name; clients of today look nowhere else for the host's name")
	}
	if !allowsServer(leaf) {
		warnings = append(warnings, name+" is not meant for servers (its extended key usage lacks serverAuth); clients will refuse it")
	}
	if r.name != "" && !covers(leaf, r.name) {
		warnings = append(warnings, fmt.Sprintf("%s is served for %s all the same, which it is not made for", name, r.name))
	}
	if mustStaple(leaf) && len(leaf.OCSPServer) == 0 && r.response == nil {
		warnings = append(warnings, name+" makes clients insist on an OCSP response (must-staple), but names no responder, and no response is given; clients will refuse it")
	}
	for _, x := range c.chain[1:] {
		warnings = append(warnings, weakness(fmt.Sprintf("%s in the chain of %s", describe(x), c.Source), x)...)
	}
	if c.issuer == nil && !selfSigned(leaf) {
		warnings = append(warnings, fmt.Sprintf("%s comes without a chain; if its issuer (%s) is an intermediate CA, append that one's certificate, or clients will refuse it", name, clean(leaf.Issuer.String())))
	}
	return warnings
}

// weakness remarks on a certificate's key and signature. A root's signature is
// not looked at: nobody verifies it.
func weakness(name string, c *x509.Certificate) []string {
	var warnings []string
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < 2048 {
		warnings = append(warnings, fmt.Sprintf("%s has an RSA key of %d bits; clients may refuse less than 2048", name, k.N.BitLen()))
	}
	if weakHash(c.SignatureAlgorithm) && !selfSigned(c) {
		warnings = append(warnings, fmt.Sprintf("%s is signed with %v; clients may refuse it", name, c.SignatureAlgorithm))
	}
	return warnings
}

// covers reports whether a client that asked for name, which may begin with
// *., would take the certificate for it.
func covers(leaf *x509.Certificate, name string) bool {
	names := namesOf(leaf)
	if slices.Contains(names, name) {
		return true
	}
	_, rest, _ := strings.Cut(name, ".")
	return slices.Contains(names, "*."+rest)
}

// mustStaple reports whether the certificate has the TLS feature extension
// (RFC 7633) with status_request.
func mustStaple(c *x509.Certificate) bool {
	const statusRequest = 5 // RFC 6066 section 8
	for _, e := range c.Extensions {
		var features []int
		if !e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}) {
			continue
		}
		if _, err := asn1.Unmarshal(e.Value, &features); err == nil {
			return slices.Contains(features, statusRequest)
		}
	}
	return false
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

// date prints a time for warnings.
func date(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

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
