package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edgepen/certs/certtest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// subjects lists the chain as common names.
func subjects(t *testing.T, cert *Certificate) string {
	t.Helper()
	var names []string
	for _, der := range cert.TLS().Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, c.Subject.CommonName)
	}
	return strings.Join(names, " ")
}

func mustLoad(t *testing.T, s Source) *Set {
	t.Helper()
	set, err := NewStore().Load(s, now)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestEmpty(t *testing.T) {
	for _, test := range []struct {
		source Source
		empty  bool
	}{
		{Source{}, true},
		{Source{CAFile: "ca.pem", Keys: []string{"k.pem"}}, true},
		{Source{Certs: []string{"c.pem"}}, false},
		{Source{SelfSigned: "localhost"}, false},
	} {
		if got := test.source.Empty(); got != test.empty {
			t.Errorf("%+v: Empty = %v, want %v", test.source, got, test.empty)
		}
	}
}

func TestLoadKeyKinds(t *testing.T) {
	root := certtest.NewRoot(t, "root")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecKey := func(c elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	p384 := ecKey(elliptic.P384())
	sec1, err := x509.MarshalECPrivateKey(p384)
	if err != nil {
		t.Fatal(err)
	}
	parameters := certtest.Block("EC PARAMETERS", []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22})
	pkcs1 := x509.MarshalPKCS1PrivateKey(rsaKey)
	for _, test := range []struct {
		name string
		key  crypto.Signer
		pem  string
	}{
		{"RSA PKCS#1", rsaKey, certtest.Block("RSA PRIVATE KEY", pkcs1)},
		{"RSA PKCS#8", rsaKey, certtest.KeyPEM(t, rsaKey)},
		{"RSA PKCS#1 labelled PKCS#8", rsaKey, certtest.Block("PRIVATE KEY", pkcs1)},
		{"ECDSA SEC1", p384, parameters + certtest.Block("EC PRIVATE KEY", sec1)},
		{"ECDSA PKCS#8", p384, certtest.KeyPEM(t, p384)},
		{"Ed25519", edKey, certtest.KeyPEM(t, edKey)},
	} {
		t.Run(test.name, func(t *testing.T) {
			leaf := certtest.PEM(root.Issue(t, "leaf", test.key, nil), root.Cert)
			two := mustLoad(t, Source{Certs: []string{certtest.Write(t, "c.pem", leaf)}, Keys: []string{certtest.Write(t, "k.pem", test.pem)}})
			one := mustLoad(t, Source{Certs: []string{certtest.Write(t, "both.pem", test.pem, leaf)}})
			for _, set := range []*Set{two, one} {
				if got := subjects(t, set.Default[0]); got != "leaf root" || set.Default[0].Leaf() == nil {
					t.Errorf("chain %q, leaf %v", got, set.Default[0].Leaf())
				}
				if len(set.Warnings) != 0 || set.CAs != nil {
					t.Errorf("warnings %q, CAs %v", set.Warnings, set.CAs)
				}
			}
		})
	}
}

func TestChain(t *testing.T) {
	root := certtest.NewRoot(t, "root")
	upper := root.Intermediate(t, "upper")
	lower := upper.Intermediate(t, "lower")
	stranger := certtest.NewRoot(t, "stranger")
	key := certtest.NewKey(t)
	leaf := lower.Issue(t, "leaf", key, nil)
	otherRoot := certtest.NewRoot(t, "otherRoot")
	twin := otherRoot.Sign(t, upper.Key.Public(), upper.Cert)

	for _, test := range []struct {
		name, cert, ca, want string
		warning              string
	}{
		{"full", certtest.PEM(leaf, lower.Cert, upper.Cert), "", "leaf lower upper", ""},
		{"with root", certtest.PEM(leaf, lower.Cert, upper.Cert, root.Cert), "", "leaf lower upper root", ""},
		{"backwards", certtest.PEM(root.Cert, upper.Cert, lower.Cert, leaf), "", "leaf lower upper root", ""},
		{"twice", certtest.PEM(leaf, lower.Cert, leaf, lower.Cert), "", "leaf lower", ""},
		{"cross-signed", certtest.PEM(leaf, lower.Cert, upper.Cert, twin), "", "leaf lower upper upper", ""},
		{"stranger", certtest.PEM(leaf, stranger.Cert, lower.Cert), "", "leaf lower", "certificate CN=stranger in "},
		{"leaf alone", certtest.PEM(leaf), "", "leaf", "(CN=lower) is an intermediate CA, append"},
		{"completed", certtest.PEM(leaf), certtest.PEM(root.Cert, upper.Cert, lower.Cert), "leaf lower upper", ""},
		{"half completed", certtest.PEM(leaf, lower.Cert), certtest.PEM(upper.Cert), "leaf lower upper", ""},
		{"CA of others", certtest.PEM(leaf), certtest.PEM(stranger.Cert), "leaf", "append"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := Source{Certs: []string{certtest.Write(t, "c.pem", test.cert)}, Keys: []string{certtest.Write(t, "k.pem", certtest.KeyPEM(t, key))}}
			if test.ca != "" {
				s.CAFile = certtest.Write(t, "ca.pem", test.ca)
			}
			set := mustLoad(t, s)
			if got := subjects(t, set.Default[0]); got != test.want {
				t.Errorf("chain %q, want %q", got, test.want)
			}
			all := strings.Join(set.Warnings, "\n")
			if (test.warning == "") != (all == "") || !strings.Contains(all, test.warning) {
				t.Errorf("warnings %q, want %q", all, test.warning)
			}
		})
	}
}

// TestChainCircle completes a chain from two CAs that certify each other, and
// one whose root is there in a cross-signed form too.
func TestChainCircle(t *testing.T) {
	a, b := certtest.NewRoot(t, "a"), certtest.NewRoot(t, "b")
	aByB, bByA := b.Sign(t, a.Key.Public(), a.Cert), a.Sign(t, b.Key.Public(), b.Cert)
	key := certtest.NewKey(t)
	s := Source{
		Certs:  []string{certtest.Write(t, "c.pem", certtest.PEM(a.Issue(t, "leaf", key, nil)), certtest.KeyPEM(t, key))},
		CAFile: certtest.Write(t, "ca.pem", certtest.PEM(aByB, bByA)),
	}
	if got := subjects(t, mustLoad(t, s).Default[0]); got != "leaf a b" {
		t.Errorf("circle: chain %q", got)
	}
	s.CAFile = certtest.Write(t, "ca.pem", certtest.PEM(aByB, a.Cert))
	if got := subjects(t, mustLoad(t, s).Default[0]); got != "leaf" {
		t.Errorf("root and its twin: chain %q", got)
	}
}

func TestCAs(t *testing.T) {
	root, other := certtest.NewRoot(t, "root"), certtest.NewRoot(t, "other")
	key := certtest.NewKey(t)
	both := certtest.Write(t, "both.pem", certtest.PEM(root.Issue(t, "leaf", key, nil)), certtest.KeyPEM(t, key))
	dir := t.TempDir()
	for name, content := range map[string]string{
		"1a2b3c4d.0": certtest.PEM(root.Cert), "1a2b3c4d.1": certtest.PEM(other.Cert),
		"README": "not a certificate", "1A2B3C4D.0": "capitals", "1a2b3c4d.": "no number",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := certtest.Write(t, "ca.pem", certtest.PEM(root.Cert, root.Cert))
	for _, test := range []struct {
		source Source
		count  int
	}{
		{Source{CAFile: file}, 1},
		{Source{CADir: dir}, 2},
		{Source{CAFile: file, CADir: dir}, 2},
	} {
		test.source.Certs = []string{both}
		set := mustLoad(t, test.source)
		if set.CACount != test.count || set.CAs == nil {
			t.Errorf("%+v: %d CAs, want %d", test.source, set.CACount, test.count)
		}
		if _, err := set.Default[0].Leaf().Verify(x509.VerifyOptions{Roots: set.CAs, CurrentTime: now}); err != nil {
			t.Errorf("%+v: %v", test.source, err)
		}
		if len(set.Warnings) != 0 {
			t.Errorf("%+v: warnings %q", test.source, set.Warnings)
		}
	}
}

// TestSystemRoots uses a file of our own as the system's, which crypto/x509
// lets SSL_CERT_FILE name; it reads that once per process, so no other test
// may ask for the system's roots.
func TestSystemRoots(t *testing.T) {
	root := certtest.NewRoot(t, "root")
	t.Setenv("SSL_CERT_FILE", certtest.Write(t, "roots.pem", certtest.PEM(root.Cert)))
	t.Setenv("SSL_CERT_DIR", t.TempDir())
	set, err := NewStore().Load(Source{SelfSigned: DefaultNames, CAFile: SystemRoots}, now)
	if err != nil {
		t.Fatal(err)
	}
	if set.CAs == nil || set.CACount != 0 {
		t.Errorf("CAs %v, count %d", set.CAs, set.CACount)
	}
}

func TestWarnings(t *testing.T) {
	root := certtest.NewRoot(t, "root")
	key := certtest.NewKey(t)
	past, future := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	expired := root.Sign(t, root.Key.Public(), func() *x509.Certificate {
		c := *root.Cert
		c.NotAfter = past
		return &c
	}())
	for _, test := range []struct {
		name string
		key  crypto.Signer
		edit func(*x509.Certificate)
		ca   *x509.Certificate
		want string
	}{
		{"expired", key, func(c *x509.Certificate) { c.NotAfter = past }, nil, "certificate FILE expired on 2026-01-02 03:04:05 UTC; serving it all the same"},
		{"early", key, func(c *x509.Certificate) { c.NotBefore = future }, nil, "certificate FILE is not valid before 2027-01-02 03:04:05 UTC; serving it all the same"},
		{"short key", weak, nil, nil, "certificate FILE has an RSA key of 1024 bits; clients may refuse less than 2048"},
		{"no name", key, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }, nil, "certificate FILE has no subject alternative name; clients of today look nowhere else for the host's name"},
		{"client only", key, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, nil, "certificate FILE is not meant for servers (its extended key usage lacks serverAuth); clients will refuse it"},
		{"expired CA", key, nil, expired, "certificate CN=root in CAS expired on 2026-01-02 03:04:05 UTC; it vouches for no client"},
		{"no CA", key, nil, root.Issue(t, "pinned", key, nil), "certificate CN=pinned in CAS is no CA; it vouches only for a client that shows this very certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := Source{Certs: []string{certtest.Write(t, "c.pem", certtest.PEM(root.Issue(t, "leaf", test.key, test.edit), root.Cert), certtest.KeyPEM(t, test.key))}}
			if test.ca != nil {
				s.CAFile = certtest.Write(t, "ca.pem", certtest.PEM(test.ca))
			}
			want := strings.NewReplacer("FILE", s.Certs[0], "CAS", s.CAFile).Replace(test.want)
			if got := mustLoad(t, s).Warnings; !slices.Equal(got, []string{want}) {
				t.Errorf("warnings\n %q, want\n %q", got, want)
			}
		})
	}
}

func TestWarnSHA1(t *testing.T) {
	// crypto/x509 does not sign with SHA-1, so the field is set by hand.
	root := certtest.NewRoot(t, "root")
	leaf := root.Issue(t, "leaf", certtest.NewKey(t), nil)
	leaf.SignatureAlgorithm = x509.ECDSAWithSHA1
	got := weakness("certificate c.pem", leaf)
	if want := "certificate c.pem is signed with ECDSA-SHA1; clients may refuse it"; !slices.Equal(got, []string{want}) {
		t.Errorf("warnings %q, want %q", got, want)
	}
}

func TestWarnKeyFile(t *testing.T) {
	root, key := certtest.NewRoot(t, "root"), certtest.NewKey(t)
	s := Source{
		Certs: []string{certtest.Write(t, "c.pem", certtest.PEM(root.Issue(t, "leaf", key, nil), root.Cert))},
		Keys:  []string{certtest.Write(t, "k.pem", certtest.KeyPEM(t, key), certtest.KeyPEM(t, certtest.NewKey(t)))},
	}
	if err := os.Chmod(s.Keys[0], 0o640); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"key file " + s.Keys[0] + " is open to others than its owner (mode 0640); chmod 600 " + s.Keys[0],
		"private key number 2 in " + s.Keys[0] + " belongs to none of the certificates",
	}
	if got := mustLoad(t, s).Warnings; !slices.Equal(got, want) {
		t.Errorf("warnings %q, want %q", got, want)
	}
}

// TestOwnKeyNotNeeded has a key with -K beside one that cannot be used in the
// certificate's own file.
func TestOwnKeyNotNeeded(t *testing.T) {
	root, key := certtest.NewRoot(t, "root"), certtest.NewKey(t)
	disk := &ram{files: map[string]string{
		"c.pem": certtest.PEM(root.Issue(t, "leaf", key, nil), root.Cert) + certtest.Block("ENCRYPTED PRIVATE KEY", []byte("x")),
		"k.pem": certtest.KeyPEM(t, certtest.NewKey(t)) + certtest.KeyPEM(t, key), "both.pem": certtest.PEM(root.Issue(t, "leaf", key, nil), root.Cert) + certtest.KeyPEM(t, key),
	}}
	set := mustReload(t, disk.store(), Source{Certs: []string{"c.pem"}, Keys: []string{"k.pem"}})
	if want := []string{"private key number 1 in k.pem belongs to none of the certificates"}; !slices.Equal(set.Warnings, want) {
		t.Errorf("warnings %q, want %q", set.Warnings, want)
	}
	set = mustReload(t, disk.store(), Source{Certs: []string{"both.pem"}, Keys: []string{"both.pem"}})
	if len(set.Warnings) != 0 {
		t.Errorf("one file as certificate and key: warnings %q", set.Warnings)
	}
}
