package certs

import (
	"bytes"
	"crypto/x509"
	"slices"
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
