package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxDepth bounds a chain completed from CAs, which may certify each other in
// a circle.
const maxDepth = 10

// caSet is a set of CAs to verify with and to complete chains from.
type caSet struct {
	pool      *x509.CertPool
	all       []*x509.Certificate // in the order read, each once
	bySubject map[string][]*x509.Certificate
}

// newCASet makes a set of certs and, if system says so, the system's roots.
func newCASet(system bool, certs []*x509.Certificate) (*caSet, error) {
	cas := &caSet{pool: x509.NewCertPool(), bySubject: map[string][]*x509.Certificate{}}
	if system {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, fmt.Errorf("cannot read the system's roots: %v", err)
		}
		if pool.Equal(cas.pool) {
			return nil, errors.New("this system has no roots (is the package ca-certificates installed?)")
		}
		cas.pool = pool
	}
	for _, c := range certs {
		same := cas.bySubject[string(c.RawSubject)]
		if slices.ContainsFunc(same, c.Equal) {
			continue
		}
		cas.pool.AddCert(c)
		cas.all = append(cas.all, c)
		cas.bySubject[string(c.RawSubject)] = append(same, c)
	}
	return cas, nil
}

// caFile is the CAs of one file.
type caFile struct {
	path  string
	certs []*x509.Certificate
}

// loadCAs reads -G and -A; nil if neither is given.
func (l *loading) loadCAs(s Source) (*caSet, []*caFile, error) {
	if s.CAFile == "" && s.CADir == "" {
		return nil, nil, nil
	}
	var paths []string
	if s.CAFile != "" && s.CAFile != SystemRoots {
		paths = append(paths, s.CAFile)
	}
	if s.CADir != "" {
		hashed, err := l.hashedFiles(s.CADir, "")
		if err != nil {
			return nil, nil, err
		}
		if len(hashed) == 0 {
			return nil, nil, fmt.Errorf("CA directory %s has no certificates in hashed form (names such as 1a2b3c4d.0); make them: openssl rehash %s", s.CADir, s.CADir)
		}
		paths = append(paths, hashed...)
	}
	var files []*caFile
	var all []*x509.Certificate
	for _, path := range paths {
		f, err := l.caFile(path)
		if err != nil {
			return nil, nil, err
		}
		files, all = append(files, f), append(all, f.certs...)
	}
	cas, err := l.interns.caSet(s.CAFile == SystemRoots, all)
	l.next.cas = cas
	return cas, files, err
}

// caFile reads the CAs of one file. One that cannot be parsed refuses the
// file: a CA that is left out turns clients away without a word.
func (l *loading) caFile(path string) (*caFile, error) {
	return recall(l, roleCA, path, func(f file) (*caFile, error) {
		p, err := parsePEM(roleCA, path, f)
		if err != nil {
			return nil, err
		}
		certs, err := p.certificates(l.interns)
		return &caFile{path, certs}, err
	})
}

// hashedFiles lists the files of dir that `openssl rehash` named: eight
// hexadecimal digits (the hash of the subject), a dot, kind ("" for
// certificates, "r" for revocation lists) and a number. The hash itself is not
// checked.
func (l *loading) hashedFiles(dir, kind string) ([]string, error) {
	names, err := l.list(roleCADir, dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, name := range names {
		if isHashName(name, kind) {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	return paths, nil
}

// isHashName reports whether name has the form 1a2b3c4d.0, with kind before
// the number.
func isHashName(name, kind string) bool {
	hash, number, ok := strings.Cut(name, "."+kind)
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
	if cas == nil {
		return nil
	}
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

// caWarnings remarks on the CAs, as of now, on each once.
func caWarnings(files []*caFile, now time.Time) []string {
	var warnings []string
	done := map[*x509.Certificate]bool{}
	for _, f := range files {
		for _, c := range f.certs {
			if done[c] {
				continue
			}
			done[c] = true
			name := fmt.Sprintf("%s in %s", describe(c), f.path)
			if c.BasicConstraintsValid && !c.IsCA {
				warnings = append(warnings, name+" is no CA; it vouches only for a client that shows this very certificate")
			}
			if now.After(c.NotAfter) {
				warnings = append(warnings, fmt.Sprintf("%s expired on %s; it vouches for no client", name, date(c.NotAfter)))
			}
			if now.Before(c.NotBefore) {
				warnings = append(warnings, fmt.Sprintf("%s is not valid before %s; it vouches for no client", name, date(c.NotBefore)))
			}
		}
	}
	return warnings
}
