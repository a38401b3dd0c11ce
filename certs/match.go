package certs

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// holdsNoKey is what to do about a certificate of Certs without a key.
const holdsNoKey = "holds no private key; give it with -K file, or append it"

// String names the key for the operator.
func (k *privateKey) String() string {
	if k.of == 1 {
		return "key " + k.path
	}
	return fmt.Sprintf("private key number %d in %s", k.number, k.path)
}

// belongsTo reports whether c was made for k.
func (k *privateKey) belongsTo(c *x509.Certificate) bool {
	public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(k.Public())
}

// match finds the file's certificate that one of keys belongs to, nil if there
// is none. OpenSSL takes the first certificate of a file; a chain that
// somebody put together backwards works here too.
func (m *material) match(keys []*privateKey) (*x509.Certificate, *privateKey) {
	for _, c := range m.certs {
		for _, k := range keys {
			if k.belongsTo(c) {
				return c, k
			}
		}
	}
	return nil, nil
}

// noMatch is the error for a certificate without a key among keys, missing
// what it says where there are none at all.
func (m *material) noMatch(keys []*privateKey, missing string) error {
	flaw := keyFlaw(m.certs[0].PublicKey)
	switch {
	case m.flaw != nil:
		return m.flaw
	case len(keys) == 0:
		return fmt.Errorf("%s %s %s", roleCert, m.path, missing)
	case flaw != "":
		return fmt.Errorf("%s %s is for %s; expected %s", roleCert, m.path, flaw, keyKinds)
	case len(keys) == 1:
		return fmt.Errorf("%v does not belong to certificate %s (subject %s)", keys[0], m.path, subject(m.certs[0]))
	}
	var files []string
	for _, k := range keys {
		if !slices.Contains(files, k.path) {
			files = append(files, k.path)
		}
	}
	if more := len(files) - 3; more > 0 {
		files = append(files[:3], fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("none of the %d keys in %s belongs to certificate %s (subject %s)", len(keys), strings.Join(files, ", "), m.path, subject(m.certs[0]))
}

// unusedKeys are the warnings about keys that belong to none of certs.
func unusedKeys(keys []*privateKey, certs []*Certificate) []string {
	var warnings []string
	for _, k := range keys {
		if !slices.ContainsFunc(certs, func(c *Certificate) bool { return k.belongsTo(c.chain[0]) }) {
			warnings = append(warnings, k.String()+" belongs to none of the certificates")
		}
	}
	return warnings
}
