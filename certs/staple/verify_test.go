package staple

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"edgepen/certs/certtest"

	"golang.org/x/crypto/ocsp"
)

func TestVerify(t *testing.T) {
	p := newPKI(t)
	other := certtest.NewRoot(t, "CA")
	edited := func(edit func(*x509.Certificate)) *x509.Certificate { return p.certify(t, p.ca, edit) }
	with := func(edit func(*ocsp.Response)) ocsp.Response {
		r := good(noon)
		edit(&r)
		return r
	}
	brief := edited(func(c *x509.Certificate) { c.NotAfter = noon.Add(time.Hour) })
	rogue := certtest.NewKey(t)
	tests := []struct {
		name string
		der  []byte
		next time.Time // zero: an error
		want string
	}{
		{"by the CA", p.direct(t, good(noon)), noon.Add(23*time.Hour + 30*time.Minute), ""},
		{"SHA-256 in the ID", p.direct(t, with(func(r *ocsp.Response) { r.IssuerHash = crypto.SHA256 })), noon.Add(23*time.Hour + 30*time.Minute), ""},
		{"by the CA, whose certificate is in it", p.direct(t, with(func(r *ocsp.Response) { r.Certificate = p.ca.Cert })), noon.Add(23*time.Hour + 30*time.Minute), ""},
		{"by a responder", p.delegated(t, good(noon), p.responder), noon.Add(23*time.Hour + 30*time.Minute), ""},
		{"by a responder that ends sooner", p.delegated(t, good(noon), brief), noon.Add(time.Hour), ""},
		{"no next update", p.direct(t, with(func(r *ocsp.Response) { r.NextUpdate = time.Time{} })), noon.Add(23*time.Hour + 30*time.Minute), ""},
		{"clock ahead", p.direct(t, with(func(r *ocsp.Response) { r.ThisUpdate = noon.Add(skew) })), noon.Add(23*time.Hour + 30*time.Minute), ""},
		{"from the future", p.direct(t, with(func(r *ocsp.Response) { r.ThisUpdate = noon.Add(skew + time.Second) })), time.Time{}, "the response is not valid before 2030-06-01 12:05:01 UTC"},
		{"ended", p.direct(t, with(func(r *ocsp.Response) { r.NextUpdate = noon })), time.Time{}, "the response ended on 2030-06-01 12:00:00 UTC"},
		{"ended, said nothing", p.direct(t, with(func(r *ocsp.Response) { r.NextUpdate = time.Time{}; r.ThisUpdate = noon.Add(-25 * time.Hour) })), time.Time{}, "the response ended on 2030-06-01 11:00:00 UTC"},
		{"revoked", p.direct(t, with(func(r *ocsp.Response) { r.Status = ocsp.Revoked; r.RevokedAt = noon.Add(-time.Hour) })), time.Time{}, "the responder says that the certificate was revoked on 2030-06-01 11:00:00 UTC"},
		{"unknown", p.direct(t, with(func(r *ocsp.Response) { r.Status = ocsp.Unknown })), time.Time{}, "the responder does not know the certificate"},
		{"another serial", p.direct(t, with(func(r *ocsp.Response) { r.SerialNumber = big.NewInt(6) })), time.Time{}, "no response matching the supplied certificate"},
		{"another key", p.sign(t, good(noon), p.ca.Cert, rogue), time.Time{}, "the response is not signed by the certificate's issuer CN=CA: x509: ECDSA verification failure"},
		{"no EKU", p.delegated(t, good(noon), edited(func(c *x509.Certificate) { c.ExtKeyUsage = nil })), time.Time{}, "the responder's certificate CN=responder is not meant for signing responses (its extended key usage lacks OCSPSigning)"},
		{"any EKU", p.delegated(t, good(noon), edited(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} })), time.Time{}, "lacks OCSPSigning"},
		{"key usage", p.delegated(t, good(noon), edited(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement })), time.Time{}, "its key usage lacks digitalSignature"},
		{"responder expired", p.delegated(t, good(noon), edited(func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) })), time.Time{}, "is valid from 2000-01-01 00:00:00 UTC to 2030-06-01 11:59:59 UTC only"},
		{"responder of another CA", p.delegated(t, good(noon), p.certify(t, other, nil)), time.Time{}, "the responder's certificate CN=responder is not by the certificate's issuer CN=CA"},
		{"names another responder", p.sign(t, good(noon), p.leaf, p.ca.Key), time.Time{}, "the response names another responder than the one who signed it"},
		{"critical extension", p.direct(t, with(func(r *ocsp.Response) {
			r.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		})), time.Time{}, "unsupported critical extension"},
		{"SHA-1", p.direct(t, with(func(r *ocsp.Response) { r.SignatureAlgorithm = x509.ECDSAWithSHA1 })), time.Time{}, "the response is signed with ECDSA-SHA1, which clients refuse"},
		{"try later", ocsp.TryLaterErrorResponse, time.Time{}, "the responder refuses to answer: try later"},
		{"unauthorized", ocsp.UnauthorizedErrorResponse, time.Time{}, "the responder refuses to answer: unauthorized"},
		{"HTML", []byte("<html>"), time.Time{}, "not an OCSP response in DER: asn1: "},
		{"empty", nil, time.Time{}, "not an OCSP response in DER"},
	}
	for _, tt := range tests {
		next, err := Verify(tt.der, p.leaf, p.ca.Cert, noon)
		if !next.Equal(tt.next) && tt.want == "" || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: until %v, %v; want %v, %s", tt.name, next, err, tt.next, tt.want)
		}
		var bad *NotGood
		if is := errors.As(err, &bad); is != (tt.name == "revoked" || tt.name == "unknown") || is && bad.Revoked != (tt.name == "revoked") {
			t.Errorf("%s: NotGood %v", tt.name, bad)
		}
	}
}

// TestVerifyIssuer has issuers that are not known, or not the right ones: of
// two CAs that share a name, and certify each other's serial numbers.
func TestVerifyIssuer(t *testing.T) {
	p := newPKI(t)
	der := p.direct(t, good(noon))
	if _, err := Verify(der, p.leaf, nil, noon); err == nil || !strings.Contains(err.Error(), "append it to the chain") {
		t.Errorf("no issuer: %v", err)
	}
	if _, err := Verify(der, nil, nil, noon); err == nil {
		t.Error("no leaf")
	}
	if _, err := Verify(der, p.leaf, certtest.NewRoot(t, "X").Cert, noon); err == nil || err.Error() != "the certificate is by CN=CA, not by CN=X" {
		t.Errorf("another issuer: %v", err)
	}
	// The same key signs, but the ID is another CA's.
	q := &pki{ca: &certtest.Authority{Cert: certtest.NewRoot(t, "Y").Cert, Key: p.ca.Key}}
	about := q.sign(t, good(noon), p.ca.Cert, p.ca.Key)
	if _, err := Verify(about, p.leaf, p.ca.Cert, noon); err == nil || err.Error() != "the response is about a certificate of another issuer" {
		t.Errorf("another CA's ID: %v", err)
	}
}

// TestVerifyKeys has the key types that CAs use.
func TestVerifyKeys(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{rsaKey, p384} {
		p := &pki{}
		root := certtest.NewRoot(t, "root")
		template := *root.Cert
		template.Subject = pkix.Name{CommonName: "CA"}
		p.ca = &certtest.Authority{Cert: root.Sign(t, key.Public(), &template), Key: key}
		p.leaf = p.ca.Issue(t, "host", certtest.NewKey(t), func(c *x509.Certificate) { c.SerialNumber = big.NewInt(5) })
		if _, err := Verify(p.direct(t, good(noon)), p.leaf, p.ca.Cert, noon); err != nil {
			t.Errorf("%T: %v", key, err)
		}
	}
}

// FuzzVerify holds that nothing a responder sends does harm, and that the CA's
// key is needed for a response to pass.
func FuzzVerify(f *testing.F) {
	p := newPKI(f)
	seeds := [][]byte{
		p.direct(f, good(noon)), p.delegated(f, good(noon), p.responder), ocsp.TryLaterErrorResponse,
		p.direct(f, ocsp.Response{Status: ocsp.Revoked, SerialNumber: big.NewInt(5), ThisUpdate: noon, RevokedAt: noon}),
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		next, err := Verify(der, p.leaf, p.ca.Cert, noon)
		if err != nil {
			return
		}
		parsed, err := ocsp.ParseResponseForCert(der, p.leaf, nil)
		if err != nil || parsed.Status != ocsp.Good || !next.After(noon) {
			t.Fatalf("passes: %v, %+v, until %v", err, parsed, next)
		}
		for _, seed := range seeds {
			if s, err := ocsp.ParseResponse(seed, nil); err == nil && string(s.TBSResponseData) == string(parsed.TBSResponseData) {
				return
			}
		}
		t.Fatal("a forgery passes")
	})
}
