// Package certs knows every certificate, key and CA: it reads them from the
// files that -E, -K, -G and -A name, checks them, and hands out an immutable
// Set. It says in words what is wrong with a file, and what was expected.
package certs

import (
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// SystemRoots is the value of Source.CAFile that asks for the CAs the
// operating system trusts. A file of that name is reached as "./system".
const SystemRoots = "system"

// Source says where certificates come from. It is plain data and comparable;
// the zero Source asks for nothing.
type Source struct {
	// Cert is the PEM file with the certificate and, after it, the rest of
	// its chain (pen's -E). "" is none.
	Cert string
	// Key is the PEM file with the private key (-K). "" means that the key
	// is in Cert's file, as pen(1) allows.
	Key string
	// CAFile is a PEM file of CA certificates (-G), or SystemRoots.
	CAFile string
	// CADir is a directory of CA certificates in hashed form (-A): files
	// named like 1a2b3c4d.0, as `openssl rehash` makes them. Other names in
	// it are ignored, revocation lists (1a2b3c4d.r0) too.
	CADir string
	// SelfSigned lists names and addresses, separated by commas, for which a
	// certificate is made in memory. It excludes Cert and Key.
	SelfSigned string
}

// Empty reports whether s asks for no certificate, which means no TLS. Key,
// CAFile and CADir do not matter: alone they make no listener speak TLS.
func (s Source) Empty() bool { return s.Cert == "" && s.SelfSigned == "" }

// Set is what one Load produced. It is immutable: readers share it.
type Set struct {
	// Certificate is what clients are shown, with Leaf and the whole chain
	// in the order of RFC 8446 section 4.4.2, the server's own first.
	Certificate stdtls.Certificate
	// CAs are the certificates of CAFile and CADir, nil where neither was
	// given. Each is a trust anchor, intermediate ones as well.
	CAs *x509.CertPool
	// CACount is the number of different certificates in CAs. The system's
	// roots are not counted, for crypto/x509 does not list them everywhere.
	CACount int
	// Warnings are remarks for the operator, one a line: expired, weak or
	// incomplete, but served all the same.
	Warnings []string
}

// Load reads and checks everything that s names, as of now. The errors name
// the file and what was expected of it. Expiry is a warning, as in pen, which
// serves an expired certificate too.
//
// A self-signed certificate is new at every Load, with a new key.
func Load(s Source, now time.Time) (*Set, error) {
	return loader{read: readFile, now: now}.load(s)
}

// loader is one Load: read is the file system's part of it.
type loader struct {
	read func(role, path string) (file, error)
	now  time.Time
}

func (l loader) load(s Source) (*Set, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	cas, err := l.loadCAs(s)
	if err != nil {
		return nil, err
	}
	set := &Set{}
	if s.SelfSigned != "" {
		set.Certificate, err = SelfSigned(splitNames(s.SelfSigned), l.now)
	} else {
		set.Certificate, set.Warnings, err = l.loadCertificate(s, cas)
	}
	if err != nil {
		return nil, err
	}
	if cas != nil {
		set.CAs, set.CACount = cas.pool, len(cas.all)
		set.Warnings = append(set.Warnings, cas.warnings(l.now)...)
	}
	return set, nil
}

// check refuses combinations that have no meaning.
func (s Source) check() error {
	switch {
	case s.SelfSigned != "" && s.Cert != "":
		return fmt.Errorf("a self-signed certificate (%s) and certificate %s exclude each other: give one", s.SelfSigned, s.Cert)
	case s.Cert == "" && s.Key != "":
		return fmt.Errorf("key %s has no certificate to go with it: give -E file", s.Key)
	case s.Empty():
		return errors.New("no certificate: give -E file, or --self-signed to try things out")
	}
	return nil
}

// loadCertificate reads -E and -K and puts the chain together. cas may be nil.
func (l loader) loadCertificate(s Source, cas *caSet) (stdtls.Certificate, []string, error) {
	var none stdtls.Certificate
	certFile, err := l.readPEM("certificate", s.Cert)
	if err != nil {
		return none, nil, err
	}
	given, err := certFile.certificates()
	if err != nil {
		return none, nil, err
	}
	keyFile := certFile
	if s.Key != "" {
		if keyFile, err = l.readPEM("key", s.Key); err != nil {
			return none, nil, err
		}
	}
	key, warnings, err := keyFile.privateKey(s.Key == "")
	if err != nil {
		return none, nil, err
	}
	leaf, err := leafOf(given, key, s.Cert, keyFile.path)
	if err != nil {
		return none, nil, err
	}
	chain, unused := orderChain(leaf, given)
	chain = cas.complete(chain, l.now)

	cert := stdtls.Certificate{PrivateKey: key, Leaf: leaf}
	for _, c := range chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	warnings = append(chainWarnings(s.Cert, chain, cas, l.now), warnings...)
	for _, c := range unused {
		warnings = append(warnings, fmt.Sprintf("%s in %s issued none of the chain's certificates; not sending it", describe(c), s.Cert))
	}
	return cert, warnings, nil
}

// splitNames takes a list apart at its commas.
func splitNames(list string) []string {
	names := strings.Split(list, ",")
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
	}
	return names
}
