package certs

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxDepth bounds a chain completed from CAs, which may certify each other in
// a circle.
const maxDepth = 10

// caSet is what -G and -A named.
type caSet struct {
	pool      *x509.CertPool
	all       []ca // in the order read, each once
	bySubject map[string][]*x509.Certificate
}

// ca is one CA certificate and the file it came from.
type ca struct {
	*x509.Certificate
	path string
}

// loadCAs reads -G and -A; nil if neither is given.
func (l loader) loadCAs(s Source) (*caSet, error) {
	if s.CAFile == "" && s.CADir == "" {
		return nil, nil
	}
	cas := &caSet{pool: x509.NewCertPool(), bySubject: map[string][]*x509.Certificate{}}
	var paths []string
	switch s.CAFile {
	case "":
	case SystemRoots:
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("cannot read the system's roots: %v", err)
		}
		if pool.Equal(cas.pool) {
			return nil, fmt.Errorf("this system has no roots (is the package ca-certificates installed?)")
		}
		cas.pool = pool
	default:
		paths = append(paths, s.CAFile)
	}
	if s.CADir != "" {
		hashed, err := hashedFiles(s.CADir)
		if err != nil {
			return nil, err
		}
		paths = append(paths, hashed...)
	}
	for _, path := range paths {
		if err := l.addCAs(cas, path); err != nil {
			return nil, err
		}
	}
	return cas, nil
}

// addCAs adds every certificate of one file. One that cannot be parsed
// refuses the file: a CA that is left out turns clients away without a word.
func (l loader) addCAs(cas *caSet, path string) error {
	p, err := l.readPEM("CA file", path)
	if err != nil {
		return err
	}
	certs, err := p.certificates()
	if err != nil {
		return err
	}
	for _, c := range certs {
		same := cas.bySubject[string(c.RawSubject)]
		if slices.ContainsFunc(same, c.Equal) {
			continue
		}
		cas.pool.AddCert(c)
		cas.all = append(cas.all, ca{c, path})
		cas.bySubject[string(c.RawSubject)] = append(same, c)
	}
	return nil
}

// hashedFiles lists the files of dir that `openssl rehash` named: eight
// hexadecimal digits (the hash of the subject), a dot and a number. The hash
// itself is not checked.
func hashedFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, readError("CA directory", dir, err)
	}
	var paths []string
	for _, entry := range entries {
		if isHashName(entry.Name()) {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("CA directory %s has no certificates in hashed form (names such as 1a2b3c4d.0); make them: openssl rehash %s", dir, dir)
	}
	return paths, nil
}

// isHashName reports whether name has the form 1a2b3c4d.0.
func isHashName(name string) bool {
	hash, number, ok := strings.Cut(name, ".")
	return ok && len(hash) == 8 && strings.Trim(hash, "0123456789abcdef") == "" &&
		number != "" && strings.Trim(number, "0123456789") == ""
}

// complete appends to a chain what is missing up to the root, which clients
// must have anyway and which therefore is not sent.
func (cas *caSet) complete(chain []*x509.Certificate, now time.Time) []*x509.Certificate {
	if cas == nil {
		return chain
	}
	for top := chain[len(chain)-1]; len(chain) < maxDepth && !selfSigned(top); {
		top = cas.issuerOf(top, now)
		if top == nil || selfSigned(top) || slices.ContainsFunc(chain, top.Equal) {
			break
		}
		chain = append(chain, top)
	}
	return chain
}

// issuerOf finds who issued c, nil if none of the CAs did: a root before
// others, since that ends the chain, and one valid now before one that is not.
func (cas *caSet) issuerOf(c *x509.Certificate, now time.Time) *x509.Certificate {
	var best *x509.Certificate
	bestRank := -1
	for _, candidate := range cas.bySubject[string(c.RawIssuer)] {
		if !issued(candidate, c) {
			continue
		}
		rank := 0
		if !now.Before(candidate.NotBefore) && !now.After(candidate.NotAfter) {
			rank += 2
		}
		if selfSigned(candidate) {
			rank++
		}
		if rank > bestRank {
			best, bestRank = candidate, rank
		}
	}
	return best
}

// issuerKnown reports whether one of the CAs issued c.
func (cas *caSet) issuerKnown(c *x509.Certificate) bool {
	return cas != nil && cas.issuerOf(c, time.Time{}) != nil
}

// warnings remarks on the CAs, as of now.
func (cas *caSet) warnings(now time.Time) []string {
	var warnings []string
	for _, c := range cas.all {
		name := fmt.Sprintf("%s in %s", describe(c.Certificate), c.path)
		if c.BasicConstraintsValid && !c.IsCA {
			warnings = append(warnings, name+" is no CA; it vouches only for a client that shows this very certificate")
		}
		if now.After(c.NotAfter) {
			warnings = append(warnings, fmt.Sprintf("%s expired on %s; it vouches for no client", name, stamp(c.NotAfter)))
		}
		if now.Before(c.NotBefore) {
			warnings = append(warnings, fmt.Sprintf("%s is not valid before %s; it vouches for no client", name, stamp(c.NotBefore)))
		}
	}
	return warnings
}
