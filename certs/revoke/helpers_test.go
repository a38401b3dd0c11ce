package revoke

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"edgepen/certs/certtest"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var noon = time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)

// newCA makes a root that may sign lists. edit, if not nil, may change it.
func newCA(t testing.TB, name string, edit func(*x509.Certificate)) *certtest.Authority {
	t.Helper()
	key := certtest.NewKey(t)
	self := &certtest.Authority{Cert: caTemplate(name, edit), Key: key}
	return &certtest.Authority{Cert: self.Sign(t, key.Public(), self.Cert), Key: key}
}

func caTemplate(name string, edit func(*x509.Certificate)) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    noon.AddDate(-30, 0, 0), NotAfter: noon.AddDate(30, 0, 0),
		BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if edit != nil {
		edit(template)
	}
	return template
}

// below makes a CA that parent vouches for.
func below(t testing.TB, parent *certtest.Authority, name string, edit func(*x509.Certificate)) *certtest.Authority {
	t.Helper()
	key := certtest.NewKey(t)
	return &certtest.Authority{Cert: parent.Sign(t, key.Public(), caTemplate(name, edit)), Key: key}
}

// client makes a certificate with the serial number and distribution points.
func client(t testing.TB, ca *certtest.Authority, serial int64, points ...string) *x509.Certificate {
	t.Helper()
	return ca.Issue(t, "client", certtest.NewKey(t), func(c *x509.Certificate) {
		c.SerialNumber = big.NewInt(serial)
		c.CRLDistributionPoints = points
	})
}

// crl is a list to be made: current at noon unless the dates say otherwise.
type crl struct {
	this, next time.Time
	serials    []int64
	entries    []x509.RevocationListEntry
	extensions []pkix.Extension
}

func (c crl) der(t testing.TB, ca *certtest.Authority) []byte {
	t.Helper()
	if c.this.IsZero() {
		c.this = noon.Add(-time.Hour)
	}
	if c.next.IsZero() {
		c.next = noon.Add(24 * time.Hour)
	}
	for _, n := range c.serials {
		c.entries = append(c.entries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: noon.Add(-2 * time.Hour), ReasonCode: 1})
	}
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(7), ThisUpdate: c.this, NextUpdate: c.next,
		RevokedCertificateEntries: c.entries, ExtraExtensions: c.extensions,
	}, ca.Cert, ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// list makes a list as if from the file source.
func (c crl) list(t testing.TB, ca *certtest.Authority, source string) *List {
	t.Helper()
	return parseOne(t, source, c.der(t, ca))
}

func parseOne(t testing.TB, source string, content []byte) *List {
	t.Helper()
	lists, err := Parse(source, content)
	if err != nil {
		t.Fatal(err)
	}
	if len(lists) != 1 {
		t.Fatalf("%d lists, want 1", len(lists))
	}
	return lists[0]
}

// forge makes and signs a list out of any bytes between the signature's
// algorithm and the end of the signed part.
func forge(t testing.TB, ca *certtest.Authority, version bool, body func(*cryptobyte.Builder)) []byte {
	t.Helper()
	algorithm := func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2})
		})
	}
	var tbs cryptobyte.Builder
	tbs.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if version {
			b.AddASN1Int64(1)
		}
		algorithm(b)
		body(b)
	})
	sum := sha256.Sum256(tbs.BytesOrPanic())
	signature, err := ca.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs.BytesOrPanic())
		algorithm(b)
		b.AddASN1BitString(signature)
	})
	return b.BytesOrPanic()
}

// issuingPoint encodes an issuingDistributionPoint of the fields given.
func issuingPoint(fields ...asn1.RawValue) []pkix.Extension {
	value, err := asn1.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: value}}
}

// field is a field of an issuingDistributionPoint that is true.
func field(tag int) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte{0xff}}
}

// named is the distributionPoint field with a fullName of the names.
func named(names ...asn1.RawValue) asn1.RawValue {
	var all []byte
	for _, n := range names {
		der, _ := asn1.Marshal(n)
		all = append(all, der...)
	}
	full, _ := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: all})
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: full}
}

func uri(s string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(s)}
}

func directory(name []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: name}
}
