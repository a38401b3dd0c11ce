// Package certtest makes CAs, certificates and keys for tests. All are valid
// from the year 2000 to 2099, so a test may choose its own time.
package certtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Authority is a CA, root or intermediate.
type Authority struct {
	Cert *x509.Certificate
	Key  crypto.Signer
}

// NewRoot makes a root CA with name as its common name.
func NewRoot(t testing.TB, name string) *Authority {
	t.Helper()
	key, template := NewKey(t), authority(name)
	return &Authority{create(t, template, template, key.Public(), key), key}
}

// Intermediate makes a CA that a vouches for.
func (a *Authority) Intermediate(t testing.TB, name string) *Authority {
	t.Helper()
	key := NewKey(t)
	return &Authority{a.Sign(t, key.Public(), authority(name)), key}
}

// Issue makes a certificate for host and client use with name as its common
// name, for localhost, 127.0.0.1 and ::1. edit, if not nil, may change it.
func (a *Authority) Issue(t testing.TB, name string, key crypto.Signer, edit func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := validFor(name)
	template.DNSNames = []string{"localhost"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if edit != nil {
		edit(template)
	}
	return a.Sign(t, key.Public(), template)
}

// Sign makes a certificate out of template.
func (a *Authority) Sign(t testing.TB, public crypto.PublicKey, template *x509.Certificate) *x509.Certificate {
	t.Helper()
	return create(t, template, a.Cert, public, a.Key)
}

// NewKey makes an ECDSA key on P-256.
func NewKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// PEM encodes certificates.
func PEM(certs ...*x509.Certificate) string {
	var b strings.Builder
	for _, c := range certs {
		b.WriteString(Block("CERTIFICATE", c.Raw))
	}
	return b.String()
}

// KeyPEM encodes a key as PKCS#8.
func KeyPEM(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return Block("PRIVATE KEY", der)
}

// Block encodes one PEM block.
func Block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// Write puts content into a file, mode 0600, of a directory of the test's own
// and returns its path.
func Write(t testing.TB, name string, content ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(strings.Join(content, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func authority(name string) *x509.Certificate {
	template := validFor(name)
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign
	return template
}

func validFor(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		BasicConstraintsValid: true,
	}
}

func create(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
