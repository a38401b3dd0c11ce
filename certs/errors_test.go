package certs

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"edgepen/certs/certtest"
)

// memory is a file system for loader.read.
type memory map[string]string

func (m memory) read(role, path string) (file, error) {
	content, ok := m[path]
	if !ok {
		return file{}, readError(role, path, fs.ErrNotExist)
	}
	return file{[]byte(content), 0o600}, nil
}

func TestLoadErrors(t *testing.T) {
	root, key := certtest.NewRoot(t, "root"), certtest.NewKey(t)
	leaf := root.Issue(t, "leaf", key, nil)
	leafPEM, keyPEM := certtest.PEM(leaf), certtest.KeyPEM(t, key)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x25519DER, err := x509.MarshalPKCS8PrivateKey(x25519)
	if err != nil {
		t.Fatal(err)
	}
	damaged := strings.Replace(leafPEM, "\nMII", "\n!!!", 1)
	encrypted := "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
	files := memory{
		"good.pem": leafPEM, "k.pem": keyPEM, "empty.pem": "\n", "text.pem": "hello\n", "key-as-cert.pem": keyPEM,
		"bad.pem": certtest.Block("CERTIFICATE", []byte("junk")), "damaged.pem": leafPEM + damaged, "csr.pem": certtest.Block("CERTIFICATE REQUEST", csr),
		"leaf.der": string(leaf.Raw), "k.der": string(keyDER), "x.p12": "\x30\x03\x02\x01\x03", "p7.pem": certtest.Block("PKCS7", []byte("x")),
		"trusted.pem": certtest.Block("TRUSTED CERTIFICATE", leaf.Raw), "dh.pem": certtest.Block("DH PARAMETERS", []byte("x")),
		"big.pem": strings.Repeat("x", maxFile+1), "long.pem": strings.Repeat(leafPEM, maxChain+1),
		"cut.pem": leafPEM[:len(leafPEM)/2], "other.pem": certtest.KeyPEM(t, certtest.NewKey(t)), "indented.pem": leafPEM + "  " + leafPEM,
		"enc8.pem": certtest.Block("ENCRYPTED PRIVATE KEY", []byte("x")), "enc1.pem": encrypted,
		"dsa.pem": certtest.Block("DSA PRIVATE KEY", []byte("x")), "ssh.pem": certtest.Block("OPENSSH PRIVATE KEY", []byte("x")),
		"p224.pem": certtest.KeyPEM(t, p224), "p224cert.pem": certtest.PEM(root.Issue(t, "leaf", p224, nil)),
		"x25519.pem": certtest.Block("PRIVATE KEY", x25519DER), "junkkey.pem": certtest.Block("EC PRIVATE KEY", []byte("junk")), "pub.pem": certtest.Block("PUBLIC KEY", []byte("x")),
	}
	kinds := "; expected " + keyKinds
	for _, test := range []struct {
		source Source
		want   string
	}{
		{Source{}, "no certificate: give -E file, or --self-signed to try things out"},
		{Source{Key: "k.pem"}, "key k.pem has no certificate to go with it: give -E file"},
		{Source{Cert: "good.pem", SelfSigned: "localhost"}, "a self-signed certificate (localhost) and certificate good.pem exclude each other: give one"},
		{Source{SelfSigned: "a,,b"}, `name "" for a self-signed certificate: expected a host name or an IP address`},

		{Source{Cert: "none.pem"}, "cannot read certificate none.pem: file does not exist"},
		{Source{Cert: "empty.pem"}, "certificate empty.pem is empty; expected PEM"},
		{Source{Cert: "text.pem"}, "certificate text.pem holds no PEM block; expected a line -----BEGIN CERTIFICATE-----"},
		{Source{Cert: "big.pem"}, "certificate big.pem is larger than 4194304 bytes; expected a PEM file"},
		{Source{Cert: "key-as-cert.pem"}, "certificate key-as-cert.pem holds a private key, but no certificate; expected -----BEGIN CERTIFICATE-----"},
		{Source{Cert: "dh.pem"}, `certificate dh.pem holds "DH PARAMETERS", but no certificate; expected -----BEGIN CERTIFICATE-----`},
		{Source{Cert: "csr.pem"}, "certificate csr.pem is a certificate request (CSR); expected the certificate that the CA made of it"},
		{Source{Cert: "p7.pem"}, "certificate p7.pem is PKCS#7; convert it: openssl pkcs7 -print_certs -in p7.pem -out new.pem"},
		{Source{Cert: "leaf.der"}, "certificate leaf.der is DER, not PEM; convert it: openssl x509 -inform DER -in leaf.der -out new.pem"},
		{Source{Cert: "x.p12"}, "certificate x.p12 is PKCS#12, not PEM; convert it: openssl pkcs12 -in x.p12 -nodes -out new.pem"},
		{Source{Cert: "trusted.pem"}, "certificate trusted.pem holds OpenSSL's TRUSTED CERTIFICATE; convert it: openssl x509 -in trusted.pem -out new.pem"},
		{Source{Cert: "bad.pem"}, "certificate bad.pem has a certificate (number 1) that cannot be used: x509: malformed certificate"},
		{Source{Cert: "damaged.pem"}, "certificate damaged.pem has a damaged PEM block that begins in line LINE"},
		{Source{Cert: "indented.pem"}, "certificate indented.pem has a damaged PEM block that begins in line LINE"},
		{Source{Cert: "cut.pem"}, "certificate cut.pem has a damaged PEM block that begins in line 1"},
		{Source{Cert: "long.pem"}, "certificate long.pem holds 101 certificates; expected one chain of at most 100"},

		{Source{Cert: "good.pem"}, "certificate good.pem holds no private key; give it with -K file, or append it"},
		{Source{Cert: "good.pem", Key: "none.pem"}, "cannot read key none.pem: file does not exist"},
		{Source{Cert: "good.pem", Key: "good.pem"}, "key good.pem holds a certificate, but no private key; expected -----BEGIN PRIVATE KEY-----"},
		{Source{Cert: "good.pem", Key: "pub.pem"}, `key pub.pem holds "PUBLIC KEY", but no private key; expected -----BEGIN PRIVATE KEY-----`},
		{Source{Cert: "good.pem", Key: "text.pem"}, "key text.pem holds no PEM block; expected a line -----BEGIN PRIVATE KEY-----"},
		{Source{Cert: "good.pem", Key: "k.der"}, "key k.der is DER, not PEM; convert it: openssl pkey -inform DER -in k.der -out new.pem"},
		{Source{Cert: "good.pem", Key: "enc8.pem"}, "enc8.pem is encrypted (pass phrase); edgepen needs a plain key: openssl pkey -in enc8.pem -out plain.pem"},
		{Source{Cert: "good.pem", Key: "enc1.pem"}, "enc1.pem is encrypted (pass phrase); edgepen needs a plain key: openssl pkey -in enc1.pem -out plain.pem"},
		{Source{Cert: "good.pem", Key: "ssh.pem"}, "key ssh.pem is in OpenSSH's own form; convert a copy: ssh-keygen -p -m PKCS8 -f copy"},
		{Source{Cert: "good.pem", Key: "dsa.pem"}, "key dsa.pem is a DSA key" + kinds},
		{Source{Cert: "good.pem", Key: "p224.pem"}, "key p224.pem is an ECDSA key on P-224" + kinds},
		{Source{Cert: "good.pem", Key: "x25519.pem"}, "key x25519.pem has a private key that cannot sign (*ecdh.PrivateKey)" + kinds},
		{Source{Cert: "good.pem", Key: "junkkey.pem"}, "key junkkey.pem has a private key that cannot be used: x509: "},
		{Source{Cert: "good.pem", Key: "other.pem"}, "key other.pem does not belong to certificate good.pem (subject CN=leaf)"},
		{Source{Cert: "p224cert.pem", Key: "k.pem"}, "certificate p224cert.pem is for an ECDSA key on P-224" + kinds},

		{Source{Cert: "good.pem", Key: "k.pem", CAFile: "none.pem"}, "cannot read CA file none.pem: file does not exist"},
		{Source{Cert: "good.pem", Key: "k.pem", CAFile: "damaged.pem"}, "CA file damaged.pem has a damaged PEM block that begins in line LINE"},
		{Source{Cert: "good.pem", Key: "k.pem", CAFile: "k.pem"}, "CA file k.pem holds a private key, but no certificate; expected -----BEGIN CERTIFICATE-----"},
		{Source{Cert: "good.pem", Key: "k.pem", CADir: "no-such-dir"}, "cannot read CA directory no-such-dir: no such file or directory"},
	} {
		_, err := loader{read: files.read, now: now}.load(test.source)
		if err == nil {
			t.Errorf("%+v: no error", test.source)
			continue
		}
		second := 1 + strings.Count(leafPEM, "\n")
		want := strings.ReplaceAll(test.want, "LINE", strconv.Itoa(second))
		if got := err.Error(); got != want && !(strings.Contains(want, "x509: ") && strings.HasPrefix(got, want)) {
			t.Errorf("%+v:\n got  %s\n want %s", test.source, got, want)
		}
	}
}

func TestReadFileErrors(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.pem")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, maxFile+1); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		source Source
		want   string
	}{
		{Source{Cert: dir}, "certificate " + dir + " is a directory; expected a PEM file"},
		{Source{Cert: "/dev/null"}, "certificate /dev/null is not a regular file; expected a PEM file"},
		{Source{Cert: dir + "/none"}, "cannot read certificate " + dir + "/none: no such file or directory"},
		{Source{Cert: big}, "certificate " + big + " is larger than 4194304 bytes; expected a PEM file"},
		{Source{SelfSigned: "localhost", CADir: dir}, "CA directory " + dir + " has no certificates in hashed form (names such as 1a2b3c4d.0); make them: openssl rehash " + dir},
	} {
		if _, err := Load(test.source, now); err == nil || err.Error() != test.want {
			t.Errorf("%+v:\n got  %v\n want %s", test.source, err, test.want)
		}
	}
}

// TestOpenSSL reads what the openssl program writes.
func TestOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("the openssl program is not installed")
	}
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("openssl", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %q: %v\n%s", args, err, out)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	run("ecparam", "-name", "prime256v1", "-genkey", "-out", "ec.pem")
	run("req", "-x509", "-key", "ec.pem", "-subj", "/CN=ec", "-out", "ec.crt", "-addext", "subjectAltName=DNS:localhost")
	run("genrsa", "-traditional", "-out", "rsa.pem", "2048")
	run("req", "-x509", "-key", "rsa.pem", "-subj", "/CN=rsa", "-out", "rsa.crt")
	run("pkcs8", "-topk8", "-in", "rsa.pem", "-passout", "pass:x", "-out", "enc.pem")
	run("pkcs12", "-export", "-in", "rsa.crt", "-inkey", "rsa.pem", "-passout", "pass:x", "-out", "rsa.p12")
	run("dsaparam", "-genkey", "-out", "dsa.pem", "1024")
	run("req", "-x509", "-key", "dsa.pem", "-subj", "/CN=dsa", "-out", "dsa.crt")
	hashed := filepath.Join(dir, "hashed")
	if err := os.Mkdir(hashed, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ec.crt", "rsa.crt"} {
		if err := os.Link(in(name), filepath.Join(hashed, name)); err != nil {
			t.Fatal(err)
		}
	}
	run("rehash", "hashed")

	set := mustLoad(t, Source{Cert: in("ec.crt"), Key: in("ec.pem"), CAFile: in("rsa.crt")})
	if got := subjects(t, set.Certificate); got != "ec" || set.CACount != 1 {
		t.Errorf("chain %q, %d CAs", got, set.CACount)
	}
	if set = mustLoad(t, Source{Cert: in("rsa.crt"), Key: in("rsa.pem"), CADir: hashed}); set.CACount != 2 {
		t.Errorf("%d CAs in the hashed directory, want 2", set.CACount)
	}
	for source, want := range map[Source]string{
		{Cert: in("rsa.crt"), Key: in("enc.pem")}: "is encrypted (pass phrase)",
		{Cert: in("rsa.p12")}:                     "is PKCS#12, not PEM",
		{Cert: in("dsa.crt"), Key: in("dsa.pem")}: "expected RSA",
		{Cert: in("dsa.crt"), Key: in("ec.pem")}:  "is for a DSA key",
	} {
		if _, err := Load(source, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", source, err, want)
		}
	}
}
