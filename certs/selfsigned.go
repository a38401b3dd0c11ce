package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	stdtls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

const (
	// DefaultNames are the names of a self-signed certificate for which none
	// were given, as Source.SelfSigned wants them.
	DefaultNames = "localhost,127.0.0.1,::1"
	// selfSignedLife is how long a self-signed certificate is valid. It
	// lives in memory only, so no process should come to its end.
	selfSignedLife = 90 * 24 * time.Hour
	// clockSkew is how far a client's clock may be behind ours.
	clockSkew = time.Hour
)

// SelfSigned makes a certificate (ECDSA P-256, valid for 90 days from now)
// for host names and IP addresses, DefaultNames if there are none. It is no
// CA. A name may be a wildcard (*.example.com) and must be ASCII (xn-- form).
func SelfSigned(names []string, now time.Time) (stdtls.Certificate, error) {
	if len(names) == 0 {
		names = splitNames(DefaultNames)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"edgepen self-signed"}},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(selfSignedLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if addr, err := netip.ParseAddr(name); err == nil && addr.Zone() == "" {
			template.IPAddresses = append(template.IPAddresses, addr.AsSlice())
		} else if validName(name) {
			template.DNSNames = append(template.DNSNames, name)
		} else {
			return stdtls.Certificate{}, fmt.Errorf("name %q for a self-signed certificate: expected a host name or an IP address", name)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return stdtls.Certificate{}, fmt.Errorf("cannot make a key: %v", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return stdtls.Certificate{}, fmt.Errorf("cannot make a self-signed certificate: %v", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return stdtls.Certificate{}, fmt.Errorf("cannot make a self-signed certificate: %v", err)
	}
	return stdtls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// validName reports whether name is a host name (RFC 1123 section 2.1, with
// the underscore that people use), perhaps with * for its first label.
func validName(name string) bool {
	name = strings.TrimPrefix(name, "*.")
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
	}
	return true
}
