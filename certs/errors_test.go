package certs

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"hash/fnv"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"edgepen/certs/certtest"
)

// ram is a file system whose files are by path. It counts what is read.
type ram struct {
	files map[string]string
	mode  fs.FileMode
	mu    sync.Mutex
	reads []string
}

func (r *ram) store() *Store {
	st := NewStore()
	st.disk = disk{r.stat, r.read, r.list}
	return st
}

func (r *ram) stat(path string) stamp {
	content, ok := r.files[path]
	if !ok {
		return stamp{missing: unix.ENOENT}
	}
	h := fnv.New64()
	h.Write([]byte(content))
	return stamp{ino: h.Sum64()}
}

func (r *ram) read(role, path string, limit int64) (file, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads = append(r.reads, path)
	content, ok := r.files[path]
	if !ok {
		return file{}, readError(role, path, fs.ErrNotExist)
	}
	return file{[]byte(content), 0o600 | r.mode}, nil
}

func (r *ram) list(role, dir string) ([]string, error) {
	var names []string
	for path := range r.files {
		if filepath.Dir(path) == dir {
			names = append(names, filepath.Base(path))
		}
	}
	if names == nil {
		return nil, readError(role, dir, fs.ErrNotExist)
	}
	slices.Sort(names)
	return names, nil
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
	files := map[string]string{
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
		"x.key": certtest.KeyPEM(t, certtest.NewKey(t)), "own.pem": leafPEM + keyPEM, "encown.pem": leafPEM + encrypted,
	}
	kinds := "; expected " + keyKinds
	for _, test := range []struct {
		source Source
		want   string
	}{
		{Source{Keys: []string{"k.pem"}}, "key k.pem has no certificate to go with it: give -E file"},
		{Source{Certs: []string{"good.pem"}, SelfSigned: "localhost"}, "a self-signed certificate (localhost) and certificate good.pem exclude each other: give one"},
		{Source{SelfSigned: "a,,b"}, `name "" for a self-signed certificate: expected a host name or an IP address`},

		{Source{Certs: []string{"none.pem"}}, "cannot read certificate none.pem: file does not exist"},
		{Source{Certs: []string{"empty.pem"}}, "certificate empty.pem is empty; expected PEM"},
		{Source{Certs: []string{"text.pem"}}, "certificate text.pem holds no PEM block; expected a line -----BEGIN CERTIFICATE-----"},
		{Source{Certs: []string{"big.pem"}}, "certificate big.pem is larger than 4194304 bytes; expected a PEM file"},
		{Source{Certs: []string{"key-as-cert.pem"}}, "certificate key-as-cert.pem holds a private key, but no certificate; expected -----BEGIN CERTIFICATE-----"},
		{Source{Certs: []string{"dh.pem"}}, `certificate dh.pem holds "DH PARAMETERS", but no certificate; expected -----BEGIN CERTIFICATE-----`},
		{Source{Certs: []string{"csr.pem"}}, "certificate csr.pem is a certificate request (CSR); expected the certificate that the CA made of it"},
		{Source{Certs: []string{"p7.pem"}}, "certificate p7.pem is PKCS#7; convert it: openssl pkcs7 -print_certs -in p7.pem -out new.pem"},
		{Source{Certs: []string{"leaf.der"}}, "certificate leaf.der is DER, not PEM; convert it: openssl x509 -inform DER -in leaf.der -out new.pem"},
		{Source{Certs: []string{"x.p12"}}, "certificate x.p12 is PKCS#12, not PEM; convert it: openssl pkcs12 -in x.p12 -nodes -out new.pem"},
		{Source{Certs: []string{"trusted.pem"}}, "certificate trusted.pem holds OpenSSL's TRUSTED CERTIFICATE; convert it: openssl x509 -in trusted.pem -out new.pem"},
		{Source{Certs: []string{"bad.pem"}}, "certificate bad.pem has a certificate (number 1) that cannot be used: x509: malformed certificate"},
		{Source{Certs: []string{"damaged.pem"}}, "certificate damaged.pem has a damaged PEM block that begins in line LINE"},
		{Source{Certs: []string{"indented.pem"}}, "certificate indented.pem has a damaged PEM block that begins in line LINE"},
		{Source{Certs: []string{"cut.pem"}}, "certificate cut.pem has a damaged PEM block that begins in line 1"},
		{Source{Certs: []string{"long.pem"}}, "certificate long.pem holds 101 certificates; expected one chain of at most 100"},

		{Source{Certs: []string{"good.pem"}}, "certificate good.pem holds no private key; give it with -K file, or append it"},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"none.pem"}}, "cannot read key none.pem: file does not exist"},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"good.pem"}}, "key good.pem holds a certificate, but no private key; expected -----BEGIN PRIVATE KEY-----"},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"pub.pem"}}, `key pub.pem holds "PUBLIC KEY", but no private key; expected -----BEGIN PRIVATE KEY-----`},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"text.pem"}}, "key text.pem holds no PEM block; expected a line -----BEGIN PRIVATE KEY-----"},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"k.der"}}, "key k.der is DER, not PEM; convert it: openssl pkey -inform DER -in k.der -out new.pem"},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"enc8.pem"}}, "enc8.pem is encrypted (pass phrase); edgepen needs a plain key: openssl pkey -in enc8.pem -out plain.pem"},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"enc1.pem"}}, "enc1.pem is encrypted (pass phrase); edgepen needs a plain key: openssl pkey -in enc1.pem -out plain.pem"},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"ssh.pem"}}, "key ssh.pem is in OpenSSH's own form; convert a copy: ssh-keygen -p -m PKCS8 -f copy"},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"dsa.pem"}}, "key dsa.pem is a DSA key" + kinds},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"p224.pem"}}, "key p224.pem is an ECDSA key on P-224" + kinds},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"x25519.pem"}}, "key x25519.pem has a private key that cannot sign (*ecdh.PrivateKey)" + kinds},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"junkkey.pem"}}, "key junkkey.pem has a private key that cannot be used: x509: "},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"other.pem"}}, "key other.pem does not belong to certificate good.pem (subject CN=leaf)"},
		{Source{Certs: []string{"p224cert.pem"}, Keys: []string{"k.pem"}}, "certificate p224cert.pem is for an ECDSA key on P-224" + kinds},

		{Source{Certs: []string{"good.pem"}, Keys: []string{"other.pem", "x.key", "other.pem"}}, "none of the 2 keys in other.pem, x.key belongs to certificate good.pem (subject CN=leaf)"},
		{Source{Certs: []string{"good.pem", "own.pem"}, Keys: []string{"x.key"}}, "key x.key does not belong to certificate good.pem (subject CN=leaf)"},
		{Source{Certs: []string{"encown.pem"}}, "encown.pem is encrypted (pass phrase); edgepen needs a plain key: openssl pkey -in encown.pem -out plain.pem"},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"k.pem", ""}}, "a certificate, key or revocation list with an empty name: expected a file"},
		{Source{OCSPResponse: "r"}, "OCSP response r has no certificate to go with it: give -E file"},

		{Source{Certs: []string{"good.pem"}, Keys: []string{"k.pem"}, CAFile: "none.pem"}, "cannot read CA file none.pem: file does not exist"},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"k.pem"}, CAFile: "damaged.pem"}, "CA file damaged.pem has a damaged PEM block that begins in line LINE"},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"k.pem"}, CAFile: "k.pem"}, "CA file k.pem holds a private key, but no certificate; expected -----BEGIN CERTIFICATE-----"},
		{Source{Certs: []string{"good.pem"}, Keys: []string{"k.pem"}, CADir: "no-such-dir"}, "cannot read CA directory no-such-dir: file does not exist"},
	} {
		_, err := (&ram{files: files}).store().Load(test.source, now)
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
		{Source{Certs: []string{dir}}, "certificate " + dir + " is a directory; expected a PEM file"},
		{Source{Certs: []string{"/dev/null"}}, "certificate /dev/null is not a regular file; expected a PEM file"},
		{Source{Certs: []string{dir + "/none"}}, "cannot read certificate " + dir + "/none: no such file or directory"},
		{Source{Certs: []string{big}}, "certificate " + big + " is larger than 4194304 bytes; expected a PEM file"},
		{Source{SelfSigned: "localhost", CADir: dir}, "CA directory " + dir + " has no certificates in hashed form (names such as 1a2b3c4d.0); make them: openssl rehash " + dir},
	} {
		if _, err := NewStore().Load(test.source, now); err == nil || err.Error() != test.want {
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

	set := mustLoad(t, Source{Certs: []string{in("ec.crt")}, Keys: []string{in("ec.pem")}, CAFile: in("rsa.crt")})
	if got := subjects(t, set.Default[0]); got != "ec" || set.CACount != 1 {
		t.Errorf("chain %q, %d CAs", got, set.CACount)
	}
	if set = mustLoad(t, Source{Certs: []string{in("rsa.crt")}, Keys: []string{in("rsa.pem")}, CADir: hashed}); set.CACount != 2 {
		t.Errorf("%d CAs in the hashed directory, want 2", set.CACount)
	}
	for _, test := range []struct {
		source Source
		want   string
	}{
		{Source{Certs: []string{in("rsa.crt")}, Keys: []string{in("enc.pem")}}, "is encrypted (pass phrase)"},
		{Source{Certs: []string{in("rsa.p12")}}, "is PKCS#12, not PEM"},
		{Source{Certs: []string{in("dsa.crt")}, Keys: []string{in("dsa.pem")}}, "expected RSA"},
		{Source{Certs: []string{in("dsa.crt")}, Keys: []string{in("ec.pem")}}, "is for a DSA key"},
	} {
		if _, err := NewStore().Load(test.source, now); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %v, want %q", test.source, err, test.want)
		}
	}
}
