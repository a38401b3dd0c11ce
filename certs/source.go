package certs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// SystemRoots is the value of Source.CAFile that asks for the CAs the
// operating system trusts. A file of that name is reached as "./system".
const SystemRoots = "system"

// Source says where certificates come from. It is plain data; the zero Source
// asks for nothing.
type Source struct {
	// Certs are PEM files (-E), each with one certificate and the rest of its
	// chain. Two of the same names with different kinds of key (RSA, ECDSA)
	// are served each to the clients that can use it.
	Certs []string
	// Keys are PEM files with private keys (-K). They are a pool: each
	// certificate finds the key that belongs to it, in its own file (as
	// pen(1) allows) or in any of these, in whatever order they are named.
	Keys []string
	// SelfSigned lists names and addresses, separated by commas, for which a
	// certificate is made in memory. It excludes Certs and Keys.
	SelfSigned string
	// SNIPath is a directory with the certificates of many names
	// (ssl_sni_path): NAME.crt with its key in NAME.key or in the same file,
	// NAME.ca with the CAs for the clients of NAME and for its chain, and
	// NAME.ocsp with an OCSP response. NAME is a host name, or *. and one.
	// NAME.ecdsa.crt and NAME.rsa.crt (with .key and .ocsp) are further
	// certificates for NAME. Hidden files and all other names are ignored.
	SNIPath string
	// OCSPResponse is a file with an OCSP response (ssl_ocsp_response) for
	// those of Certs that it speaks of.
	OCSPResponse string
	// CAFile is a PEM file of CA certificates (-G), or SystemRoots.
	CAFile string
	// CADir is a directory of CA certificates and revocation lists in hashed
	// form (-A): files named like 1a2b3c4d.0 and 1a2b3c4d.r0, as `openssl
	// rehash` makes them. Other names in it are ignored.
	CADir string
	// CRLs are files of certificate revocation lists, PEM or DER.
	CRLs []string
	// TicketKeys is a file of session ticket keys, ECHKeys one of keys for
	// Encrypted Client Hello.
	TicketKeys, ECHKeys string
}

// Empty reports whether s asks for no certificate. Keys, CAs and what else it
// may name do not matter: alone they make no listener speak TLS.
func (s Source) Empty() bool {
	return len(s.Certs) == 0 && s.SelfSigned == "" && s.SNIPath == ""
}

// Equal reports whether s and o name the same.
func (s Source) Equal(o Source) bool {
	return slices.Equal(s.Certs, o.Certs) && slices.Equal(s.Keys, o.Keys) && slices.Equal(s.CRLs, o.CRLs) &&
		s.SelfSigned == o.SelfSigned && s.SNIPath == o.SNIPath && s.OCSPResponse == o.OCSPResponse &&
		s.CAFile == o.CAFile && s.CADir == o.CADir && s.TicketKeys == o.TicketKeys && s.ECHKeys == o.ECHKeys
}

// Clone returns a copy that shares nothing with s.
func (s Source) Clone() Source {
	s.Certs, s.Keys, s.CRLs = slices.Clone(s.Certs), slices.Clone(s.Keys), slices.Clone(s.CRLs)
	return s
}

// Paths returns every file and directory that s names, each once.
func (s Source) Paths() []string {
	all := slices.Concat(s.Certs, s.Keys, s.CRLs)
	all = append(all, s.SNIPath, s.OCSPResponse, s.CADir, s.TicketKeys, s.ECHKeys)
	if s.CAFile != SystemRoots {
		all = append(all, s.CAFile)
	}
	var paths []string
	for _, path := range all {
		if path != "" && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// check refuses combinations that have no meaning.
func (s Source) check() error {
	switch {
	case slices.Contains(s.Certs, "") || slices.Contains(s.Keys, "") || slices.Contains(s.CRLs, ""):
		return errors.New("a certificate, key or revocation list with an empty name: expected a file")
	case s.SelfSigned != "" && len(s.Certs) > 0:
		return fmt.Errorf("a self-signed certificate (%s) and certificate %s exclude each other: give one", s.SelfSigned, s.Certs[0])
	case len(s.Certs) == 0 && len(s.Keys) > 0:
		return fmt.Errorf("key %s has no certificate to go with it: give -E file", s.Keys[0])
	case len(s.Certs) == 0 && s.OCSPResponse != "":
		return fmt.Errorf("OCSP response %s has no certificate to go with it: give -E file", s.OCSPResponse)
	}
	return nil
}

// splitNames takes a list apart at its commas.
func splitNames(list string) []string {
	names := strings.Split(list, ",")
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
	}
	return names
}
