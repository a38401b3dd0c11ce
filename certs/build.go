package certs

import (
	"bytes"
	stdtls "crypto/tls"
	"crypto/x509"
)

// recipe is everything that a certificate is made of. Files that have not
// changed are the same pointers at the next Load, so two recipes are equal if
// nothing has.
type recipe struct {
	name        string // that SNIPath gives it; "" for those of Certs
	file        *material
	leaf        *x509.Certificate
	key         *privateKey
	keyFile     *material // of NAME.key; nil: none
	shared, own *caSet    // -G and -A, NAME.ca
	response    *response
}

// make returns the certificate that r describes: the former one, if it was
// made of the same.
func (l *loading) make(r recipe) *Certificate {
	at := slot{r.file.path, r.name}
	former := l.old.made[at]
	c := former.cert
	if c == nil || former.recipe != r {
		c = r.build(l)
		if former.cert != nil && bytes.Equal(former.cert.Leaf().Raw, r.leaf.Raw) {
			c.SetStaple(former.cert.TLS().OCSPStaple)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next.made[at] = made{r, c}
	return c
}

// build puts the certificate together.
func (r recipe) build(l *loading) *Certificate {
	chain, unused := orderChain(r.leaf, r.file.certs)
	chain = r.own.complete(chain, l.now)
	chain = r.shared.complete(chain, l.now)

	c := &Certificate{Names: []string{r.name}, Source: r.file.path, chain: chain}
	if r.name == "" {
		c.Names = namesOf(r.leaf)
	}
	if r.own != nil {
		c.CAs = r.own.pool
	}
	if r.response != nil {
		c.Response, c.ResponseFile = r.response.der, r.response.path
	}
	if len(chain) > 1 {
		c.issuer = chain[1]
	} else if c.issuer = r.own.issuerOf(r.leaf, l.now); c.issuer == nil {
		c.issuer = r.shared.issuerOf(r.leaf, l.now)
	}
	shown := &stdtls.Certificate{PrivateKey: r.key.Signer, Leaf: r.leaf, Certificate: make([][]byte, len(chain))}
	for i, x := range chain {
		shown.Certificate[i] = x.Raw
	}
	c.shown.Store(shown)

	c.warnings = c.lasting(r)
	for _, x := range unused {
		c.warnings = append(c.warnings, describe(x)+" in "+c.Source+" issued none of the chain's certificates; not sending it")
	}
	c.warnings = append(c.warnings, r.file.warnings...)
	if r.keyFile != nil {
		c.warnings = append(c.warnings, r.keyFile.warnings...)
	}
	return c
}
