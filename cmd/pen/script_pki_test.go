package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// certificates is a public key infrastructure that the openssl program makes once for all scripts.
type certificates struct {
	once sync.Once
	dir  string
	err  error
}

// pki puts certificates and keys into the script's directory. All are for localhost, 127.0.0.1 and ::1.
//
//	root.pem                      a root; intermediate.pem is issued by it, and issues what follows
//	leaf.pem leaf.key             ECDSA P-256, subject first; chain.pem: leaf and intermediate; both.pem: that and the key
//	rsa.pem rsa.key               RSA with its chain
//	ed25519.pem ed25519.key       Ed25519 with its chain
//	second.pem second.key         another one with its chain, subject second
//	expired.pem expired.key       one of the year 2020
//	other.pem other.key           one with its chain for other.example and *.other.example alone, subject other
//	client.pem client.key         for a client, issued by the root itself
//	stranger-root.pem stranger.pem stranger.key   a root that nobody knows, and what it issued
func pki(ts *testscript.TestScript, neg bool, args []string) {
	c := worldOf(ts).pki
	c.once.Do(c.make)
	ts.Check(c.err)
	files, err := os.ReadDir(c.dir)
	ts.Check(err)
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(c.dir, f.Name()))
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(f.Name()), content, 0o600))
	}
}

const caConfig = `[ca]
default_ca = one
[one]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
default_days = 3650
policy = any
unique_subject = no
crlnumber = crlnumber
default_crl_days = 30
crl_extensions = crl
[any]
commonName = supplied
organizationName = optional
[crl]
authorityKeyIdentifier = keyid
[root]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:false
subjectAltName = DNS:localhost,IP:127.0.0.1,IP:::1
extendedKeyUsage = serverAuth,clientAuth
[other]
basicConstraints = critical,CA:false
subjectAltName = DNS:other.example,DNS:*.other.example
extendedKeyUsage = serverAuth
[req]
distinguished_name = dn
[dn]
`

// make runs openssl; what goes wrong is left in err.
func (c *certificates) make() {
	c.write("ca.cnf", caConfig)
	c.write("index", "")
	c.write("serial", "1000\n")
	c.write("crlnumber", "01\n")
	c.root("root", "The root")
	c.root("stranger-root", "A stranger")
	c.issue("intermediate", "The intermediate", "root", "root", ec)
	c.issue("leaf", "first", "intermediate", "leaf", ec)
	c.issue("rsa", "first", "intermediate", "leaf", "rsa:2048")
	c.issue("ed25519", "first", "intermediate", "leaf", "ed25519")
	c.issue("second", "second", "intermediate", "leaf", ec)
	c.issue("other", "other", "intermediate", "other", ec)
	c.issue("expired", "expired", "root", "leaf", ec, "-startdate", "20200101000000Z", "-enddate", "20200102000000Z")
	c.issue("client", "a client", "root", "leaf", ec)
	c.issue("stranger", "an unknown client", "stranger-root", "leaf", ec)
	c.join("chain.pem", "leaf.pem", "intermediate.pem")
	c.join("both.pem", "leaf.pem", "intermediate.pem", "leaf.key")
	for _, name := range []string{"rsa.pem", "ed25519.pem", "second.pem", "other.pem"} {
		c.join(name, name, "intermediate.pem")
	}
}

const ec = "ec:prime256v1"

func (c *certificates) root(name, subject string) {
	c.openssl(append([]string{"req", "-x509", "-config", "ca.cnf", "-extensions", "root", "-days", "3650", "-nodes",
		"-subj", "/CN=" + subject, "-keyout", name + ".key", "-out", name + ".pem"}, newKey(ec)...)...)
}

func newKey(kind string) []string {
	if kind == ec {
		return []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"}
	}
	return []string{"-newkey", kind}
}

func (c *certificates) issue(name, subject, issuer, extensions, kind string, more ...string) {
	c.openssl(append([]string{"req", "-new", "-utf8", "-config", "ca.cnf", "-nodes", "-subj", "/CN=" + subject,
		"-keyout", name + ".key", "-out", name + ".csr"}, newKey(kind)...)...)
	c.openssl(append([]string{"ca", "-batch", "-notext", "-config", "ca.cnf", "-extensions", extensions, "-in", name + ".csr",
		"-cert", issuer + ".pem", "-keyfile", issuer + ".key", "-out", name + ".pem"}, more...)...)
}

func (c *certificates) openssl(args ...string) {
	if c.err != nil {
		return
	}
	cmd := exec.Command("openssl", args...)
	cmd.Dir = c.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		c.err = fmt.Errorf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (c *certificates) write(name, text string) {
	if c.err == nil {
		c.err = os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600)
	}
}

func (c *certificates) join(name string, parts ...string) {
	var all []byte
	for _, part := range parts {
		text, err := os.ReadFile(filepath.Join(c.dir, part))
		if err != nil && c.err == nil {
			c.err = err
		}
		all = append(all, text...)
	}
	c.write(name, string(all))
}
