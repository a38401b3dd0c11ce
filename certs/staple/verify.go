// Package staple has OCSP responses (RFC 6960) for our own certificates: it
// checks those that files hold, fetches them where a certificate names a
// responder, and hands the good ones to whoever serves the certificate. No
// failure of a responder is ever fatal.
package staple

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"
)

const (
	skew     = 5 * time.Minute // how far ahead a responder's clock may be
	lifeless = 24 * time.Hour  // how long a response without a next update is good
)

// NotGood is the error for a response that is in order, and says that the
// certificate is not good. It is never stapled.
type NotGood struct {
	Revoked bool      // else the responder does not know the certificate
	Date    time.Time // of revocation
	This    time.Time // the response's thisUpdate
}

// Error says what the responder says.
func (n *NotGood) Error() string {
	if n.Revoked {
		return "the responder says that the certificate was revoked on " + stamp(n.Date)
	}
	return "the responder does not know the certificate"
}

// response is one that was verified.
type response struct {
	der        []byte
	this, next time.Time
}

// Verify checks that response, in DER, says at now that leaf is good, and that
// clients will believe it: signed by leaf's issuer, or by a responder that the
// issuer certified for it (extended key usage OCSPSigning). It returns when the
// response ends, a day after its thisUpdate if it does not say.
func Verify(response []byte, leaf, issuer *x509.Certificate, now time.Time) (next time.Time, err error) {
	r, err := verify(response, leaf, issuer, now)
	return r.next, err
}

func verify(der []byte, leaf, issuer *x509.Certificate, now time.Time) (response, error) {
	if leaf == nil || issuer == nil {
		return response{}, errors.New("the certificate of the issuer is not known, without which no response can be verified (append it to the chain)")
	}
	if !bytes.Equal(leaf.RawIssuer, issuer.RawSubject) {
		return response{}, fmt.Errorf("the certificate is by %s, not by %s", name(leaf.Issuer.String()), name(issuer.Subject.String()))
	}
	// Without the issuer the parser does not verify who signed, which is done
	// here: it refuses an issuer's own certificate in the response, and does
	// not ask what the responder's certificate is for.
	parsed, err := ocsp.ParseResponseForCert(der, leaf, nil)
	if err != nil {
		return response{}, parseError(err)
	}
	if !isAbout(der, leaf, issuer, parsed) {
		return response{}, errors.New("the response is about a certificate of another issuer")
	}
	end, err := checkSigner(parsed, issuer, now)
	if err != nil {
		return response{}, err
	}
	r := response{der: der, this: parsed.ThisUpdate, next: parsed.NextUpdate}
	if r.next.IsZero() {
		r.next = r.this.Add(lifeless)
	}
	if r.this.After(now.Add(skew)) {
		return response{}, fmt.Errorf("the response is not valid before %s", stamp(r.this))
	}
	if !now.Before(r.next) {
		return response{}, fmt.Errorf("the response ended on %s", stamp(r.next))
	}
	if end.Before(r.next) {
		r.next = end
	}
	return r, status(parsed)
}

// status is what a response in order says.
func status(parsed *ocsp.Response) error {
	switch parsed.Status {
	case ocsp.Good:
		return nil
	case ocsp.Revoked:
		return &NotGood{Revoked: true, Date: parsed.RevokedAt, This: parsed.ThisUpdate}
	}
	return &NotGood{This: parsed.ThisUpdate}
}

// parseError puts a parser's error into words.
func parseError(err error) error {
	var refusal ocsp.ResponseError
	if errors.As(err, &refusal) {
		return fmt.Errorf("the responder refuses to answer: %v", refusal.Status)
	}
	var complaint ocsp.ParseError
	if errors.As(err, &complaint) {
		return errors.New(complaint.Error())
	}
	return fmt.Errorf("not an OCSP response in DER: %w", err)
}

// checkSigner applies RFC 6960 section 4.2.2.2: the issuer signs itself, or
// someone whom it certified for that. It returns when the signer's certificate
// ends.
func checkSigner(r *ocsp.Response, issuer *x509.Certificate, now time.Time) (end time.Time, err error) {
	if weak(r.SignatureAlgorithm) {
		return end, fmt.Errorf("the response is signed with %v, which clients refuse", r.SignatureAlgorithm)
	}
	signer := r.Certificate
	if signer == nil || bytes.Equal(signer.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo) {
		signer = issuer
		if err := r.CheckSignatureFrom(issuer); err != nil {
			return end, fmt.Errorf("the response is not signed by the certificate's issuer %s: %w", name(issuer.Subject.String()), err)
		}
	} else if err := checkDelegate(signer, issuer, now); err != nil {
		return end, fmt.Errorf("the responder's certificate %s %w", name(signer.Subject.String()), err)
	}
	if !identifies(r, signer) {
		return end, errors.New("the response names another responder than the one who signed it")
	}
	return signer.NotAfter, nil
}

// checkDelegate checks a responder's certificate; its signature on the response
// is verified. Errors go on after its name.
func checkDelegate(c, issuer *x509.Certificate, now time.Time) error {
	if err := c.CheckSignatureFrom(issuer); err != nil || !bytes.Equal(c.RawIssuer, issuer.RawSubject) {
		return fmt.Errorf("is not by the certificate's issuer %s", name(issuer.Subject.String()))
	}
	if !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
		return errors.New("is not meant for signing responses (its extended key usage lacks OCSPSigning)")
	}
	if c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return errors.New("is not meant for signing (its key usage lacks digitalSignature)")
	}
	if now.Before(c.NotBefore.Add(-skew)) || now.After(c.NotAfter) {
		return fmt.Errorf("is valid from %s to %s only", stamp(c.NotBefore), stamp(c.NotAfter))
	}
	return nil
}

// identifies reports whether the response's responder ID is the signer's.
// Clients look the signer's certificate up by it.
func identifies(r *ocsp.Response, signer *x509.Certificate) bool {
	if r.RawResponderName != nil {
		return bytes.Equal(r.RawResponderName, signer.RawSubject)
	}
	sum := sha1.Sum(publicKey(signer)) // RFC 6960 section 4.2.1 leaves no choice
	return bytes.Equal(r.ResponderKeyHash, sum[:])
}

// publicKey is the content of the SubjectPublicKeyInfo's bit string.
func publicKey(c *x509.Certificate) []byte {
	var info cryptobyte.String
	var key []byte
	s := cryptobyte.String(c.RawSubjectPublicKeyInfo)
	if !s.ReadASN1(&info, asn1.SEQUENCE) || !info.SkipASN1(asn1.SEQUENCE) || !info.ReadASN1BitStringAsBytes(&key) {
		return nil
	}
	return key
}

// isAbout reports whether the answer that the parser chose, the first one with
// leaf's serial number, is about a certificate of issuer: the parser does not
// look, and serial numbers of two issuers may be equal.
func isAbout(der []byte, leaf, issuer *x509.Certificate, parsed *ocsp.Response) bool {
	for rest := answers(der); !rest.Empty(); {
		var answer, id, nameHash, keyHash cryptobyte.String
		if !rest.ReadASN1(&answer, asn1.SEQUENCE) || !answer.ReadASN1(&id, asn1.SEQUENCE) ||
			!id.SkipASN1(asn1.SEQUENCE) || !id.ReadASN1(&nameHash, asn1.OCTET_STRING) || !id.ReadASN1(&keyHash, asn1.OCTET_STRING) {
			return false
		}
		serial := new(big.Int)
		if !id.ReadASN1Integer(serial) || serial.Cmp(leaf.SerialNumber) != 0 {
			continue
		}
		return parsed.IssuerHash.Available() && bytes.Equal(nameHash, sum(parsed, issuer.RawSubject)) &&
			bytes.Equal(keyHash, sum(parsed, publicKey(issuer)))
	}
	return false
}

// sum hashes as the response's certificate ID does.
func sum(parsed *ocsp.Response, b []byte) []byte {
	h := parsed.IssuerHash.New()
	h.Write(b)
	return h.Sum(nil)
}

// answers walks to the SingleResponses of a response (RFC 6960 section 4.2.1)
// that the parser has accepted; nil if it is not one after all.
func answers(der []byte) cryptobyte.String {
	var outer, content, inner, octets, basic, data, responder, list cryptobyte.String
	s := cryptobyte.String(der)
	explicit := asn1.Tag(0).Constructed().ContextSpecific()
	var tag asn1.Tag
	ok := s.ReadASN1(&outer, asn1.SEQUENCE) && outer.SkipASN1(asn1.ENUM) &&
		outer.ReadASN1(&content, explicit) && content.ReadASN1(&inner, asn1.SEQUENCE) &&
		inner.SkipASN1(asn1.OBJECT_IDENTIFIER) && inner.ReadASN1(&octets, asn1.OCTET_STRING) &&
		octets.ReadASN1(&basic, asn1.SEQUENCE) && basic.ReadASN1(&data, asn1.SEQUENCE) &&
		data.SkipOptionalASN1(explicit) && data.ReadAnyASN1(&responder, &tag) &&
		data.SkipASN1(asn1.GeneralizedTime) && data.ReadASN1(&list, asn1.SEQUENCE)
	if !ok {
		return nil
	}
	return list
}

// weak reports whether a signature is made over SHA-1 or an older hash.
func weak(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return true
	}
	return false
}

// stamp prints a time for people.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// name keeps what a certificate says from steering a terminal or faking a log
// line.
func name(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
