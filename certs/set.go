package certs

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"edgepen/certs/ech"
	"edgepen/certs/revoke"
	"edgepen/certs/ticket"
)

// maxWarnings bounds Set.Warnings: among thousands of certificates one cause
// is often everybody's.
const maxWarnings = 20

// Set is what one Load produced. It is immutable, but for the staples of its
// certificates: readers share it, and change nothing that it hands out.
type Set struct {
	// Default are for clients that name no host or an unknown one: the first
	// of Source.Certs and those with the same names as it, best first, then
	// the others; or the self-signed one. nil: there is none.
	Default []*Certificate
	// CAs are the certificates of CAFile and CADir, nil where neither was
	// given. Each is a trust anchor, intermediate ones as well.
	CAs *x509.CertPool
	// CACount is the number of different certificates in CAs. The system's
	// roots are not counted, for crypto/x509 does not list them everywhere.
	CACount int
	// Revoked are the revocation lists of CRLs and CADir; nil: none.
	Revoked []*revoke.List
	// Tickets are the keys of TicketKeys for session tickets, the one that
	// seals first; nil: none.
	Tickets []ticket.Key
	// ECH are the keys of ECHKeys; nil: none.
	ECH []ech.Key
	// Warnings are remarks for the operator, one a line: expired, weak or
	// incomplete, but served all the same. They are at most 21; the last
	// then says how many more there are.
	Warnings []string

	all    []*Certificate
	byName map[string][]*Certificate
	byRest map[string][]*Certificate // for *.example.com under example.com
}

// ForName returns the certificates for a host name, best first: ECDSA and
// Ed25519 before RSA, those of SNIPath before those of Certs. name is in lower
// case. A certificate for *.example.com is for names with exactly one label
// before example.com, where none is for the name itself (RFC 6125 section
// 6.4.3). nil: the name is unknown. It allocates nothing.
func (s *Set) ForName(name string) []*Certificate {
	if found, ok := s.byName[name]; ok {
		return found
	}
	if i := strings.IndexByte(name, '.'); i > 0 {
		return s.byRest[name[i+1:]]
	}
	return nil
}

// All returns every certificate once: Default, then those of SNIPath by name.
func (s *Set) All() []*Certificate { return s.all }

// index fills in what ForName and All look at. own are the default
// certificates in the order given, byPath those of SNIPath.
func (s *Set) index(own, byPath []*Certificate) {
	s.Default = defaults(own)
	s.all = slices.Clip(slices.Concat(s.Default, byPath)) // callers may append to what All returns
	s.byName = make(map[string][]*Certificate, len(s.all))
	s.byRest = map[string][]*Certificate{}
	s.enter(byPath)
	s.enter(own)
}

// enter adds certificates to the index, those of a name after the ones it has
// already and best first among themselves.
func (s *Set) enter(certs []*Certificate) {
	for _, better := range []bool{true, false} {
		for _, c := range certs {
			if modern(c) != better {
				continue
			}
			for _, name := range c.Names {
				if rest, ok := strings.CutPrefix(name, "*."); ok {
					s.byRest[rest] = append(s.byRest[rest], c)
				} else {
					s.byName[name] = append(s.byName[name], c)
				}
			}
		}
	}
}

// defaults puts the certificates of Certs in the order in which a client that
// names nothing is offered them. The others come last so that a client that
// cannot use the first ones' kind of key is shown something.
func defaults(own []*Certificate) []*Certificate {
	if len(own) == 0 {
		return nil
	}
	names := slices.Sorted(slices.Values(own[0].Names))
	rank := func(c *Certificate) int {
		switch {
		case !slices.Equal(slices.Sorted(slices.Values(c.Names)), names):
			return 2
		case !modern(c):
			return 1
		}
		return 0
	}
	sorted := slices.Clone(own)
	slices.SortStableFunc(sorted, func(a, b *Certificate) int { return rank(a) - rank(b) })
	return sorted
}

// modern reports whether a certificate has a key of the kinds that cost less
// than RSA.
func modern(c *Certificate) bool {
	switch c.chain[0].PublicKey.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// limitWarnings keeps the first maxWarnings and says how many there were.
func limitWarnings(warnings []string) []string {
	if more := len(warnings) - maxWarnings; more > 0 {
		warnings = append(warnings[:maxWarnings:maxWarnings], fmt.Sprintf("and %d more", more))
	}
	return warnings
}
