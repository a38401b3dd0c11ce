package staple

import (
	"crypto"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"edgepen/certs/certtest"

	"golang.org/x/crypto/ocsp"
)

var noon = time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)

// pki is a CA, a certificate of it and a responder that it certified.
type pki struct {
	ca           *certtest.Authority
	leaf         *x509.Certificate
	responder    *x509.Certificate
	responderKey crypto.Signer
}

func newPKI(t testing.TB, servers ...string) *pki {
	t.Helper()
	p := &pki{ca: certtest.NewRoot(t, "root").Intermediate(t, "CA"), responderKey: certtest.NewKey(t)}
	p.leaf = p.ca.Issue(t, "host", certtest.NewKey(t), func(c *x509.Certificate) {
		c.SerialNumber = big.NewInt(5)
		c.OCSPServer = servers
	})
	p.responder = p.certify(t, p.ca, nil)
	return p
}

// certify makes a certificate for the responder's key.
func (p *pki) certify(t testing.TB, by *certtest.Authority, edit func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	return by.Issue(t, "responder", p.responderKey, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
		if edit != nil {
			edit(c)
		}
	})
}

// good is a response by the CA itself that is half an hour old at now, and
// lives for a day.
func good(now time.Time) ocsp.Response {
	return ocsp.Response{Status: ocsp.Good, SerialNumber: big.NewInt(5), ThisUpdate: now.Add(-30 * time.Minute), NextUpdate: now.Add(-30 * time.Minute).Add(24 * time.Hour)}
}

// direct is signed by the CA.
func (p *pki) direct(t testing.TB, r ocsp.Response) []byte {
	return p.sign(t, r, p.ca.Cert, p.ca.Key)
}

func (p *pki) sign(t testing.TB, r ocsp.Response, responder *x509.Certificate, key crypto.Signer) []byte {
	t.Helper()
	der, err := ocsp.CreateResponse(p.ca.Cert, responder, r, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// delegated is signed by the responder, whose certificate is c.
func (p *pki) delegated(t testing.TB, r ocsp.Response, c *x509.Certificate) []byte {
	r.Certificate = c
	return p.sign(t, r, c, p.responderKey)
}
