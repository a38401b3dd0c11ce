package certs

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"edgepen/certs/certtest"
)

// issuer makes certificates for names, with an ECDSA or an RSA key.
type issuer struct {
	root  *certtest.Authority
	ecdsa crypto.Signer
	rsa   crypto.Signer
}

func newIssuer(t testing.TB) issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return issuer{certtest.NewRoot(t, "root"), certtest.NewKey(t), key}
}

// certificate returns the PEM of a certificate and of its key.
func (i issuer) certificate(t testing.TB, key crypto.Signer, names ...string) (string, string) {
	t.Helper()
	leaf := i.root.Issue(t, names[0], key, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = names, nil })
	return certtest.PEM(leaf, i.root.Cert), certtest.KeyPEM(t, key)
}

// sources lists where certificates are from.
func sources(certs []*Certificate) string {
	var list []string
	for _, c := range certs {
		list = append(list, strings.TrimPrefix(c.Source, "/sni/"))
	}
	return strings.Join(list, " ")
}

func TestForName(t *testing.T) {
	by := newIssuer(t)
	disk := &ram{files: map[string]string{}}
	pair := func(cert, key string, kind crypto.Signer, names ...string) {
		c, k := by.certificate(t, kind, names...)
		disk.files[cert] += c
		disk.files[key] += k
	}
	pair("rsa.pem", "rsa.key", by.rsa, "Www.Example.com", "*.example.com", "example.com")
	pair("ec.pem", "ec.key", by.ecdsa, "www.example.com")
	pair("other.pem", "other.key", by.ecdsa, "other.example.org", "not a name", "192.0.2.1", "a*.example.org", "OTHER.example.org")
	pair("/sni/a.example.com.crt", "/sni/a.example.com.key", by.ecdsa, "a.example.com", "unserved.example.net")
	pair("/sni/a.example.com.rsa.crt", "/sni/a.example.com.rsa.crt", by.rsa, "a.example.com")
	pair("/sni/Www.Example.com.crt", "/sni/Www.Example.com.key", by.rsa, "www.example.com")
	pair("/sni/*.example.net.crt", "/sni/*.example.net.key", by.ecdsa, "*.example.net")
	pair("/sni/only.example.com.ecdsa.crt", "/sni/only.example.com.ecdsa.key", by.ecdsa, "only.example.com")
	set := mustReload(t, disk.store(), Source{
		Certs: []string{"rsa.pem", "ec.pem", "other.pem", "ec.pem"}, Keys: []string{"other.key", "ec.key", "rsa.key"}, SNIPath: "/sni",
	})
	for name, want := range map[string]string{
		"www.example.com":      "Www.Example.com.crt ec.pem rsa.pem",
		"a.example.com":        "a.example.com.crt a.example.com.rsa.crt",
		"only.example.com":     "only.example.com.ecdsa.crt",
		"b.example.com":        "rsa.pem",
		"example.com":          "rsa.pem",
		"c.b.example.com":      "",
		".example.com":         "",
		"x.example.net":        "*.example.net.crt",
		"example.net":          "",
		"unserved.example.net": "*.example.net.crt",
		"other.example.org":    "other.pem",
		"aa.example.org":       "",
		"192.0.2.1":            "",
		"127.0.0.1":            "",
		"not a name":           "",
		"com":                  "",
		"":                     "",
		"../sni/a.example.com": "",
	} {
		if got := sources(set.ForName(name)); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got, want := sources(set.Default), "rsa.pem ec.pem other.pem"; got != want {
		t.Errorf("Default %q, want %q", got, want)
	}
	if all := set.All(); cap(all) != len(all) {
		t.Error("All hands out room behind its certificates, which two who append would share")
	}
	if got, want := sources(set.All()), "rsa.pem ec.pem other.pem *.example.net.crt a.example.com.crt a.example.com.rsa.crt only.example.com.ecdsa.crt Www.Example.com.crt"; got != want {
		t.Errorf("All %q, want %q", got, want)
	}
	if len(set.Warnings) != 0 {
		t.Errorf("warnings %q", set.Warnings)
	}
	if n := testing.AllocsPerRun(100, func() { set.ForName("b.example.com") }); n != 0 {
		t.Errorf("ForName allocates %v times", n)
	}
}

func TestDefault(t *testing.T) {
	by := newIssuer(t)
	disk := &ram{files: map[string]string{}}
	for name, key := range map[string]crypto.Signer{"rsa.pem": by.rsa, "ec.pem": by.ecdsa, "ec2.pem": certtest.NewKey(t)} {
		cert, private := by.certificate(t, key, "b.example.com", "a.example.com")
		disk.files[name] = private + cert
	}
	cert, private := by.certificate(t, by.ecdsa, "a.example.com")
	disk.files["less.pem"] = cert + private
	cert, private = by.certificate(t, by.rsa, "a.example.com", "b.example.com")
	disk.files["turned.pem"] = cert + private
	for _, test := range []struct{ certs, want string }{
		{"rsa.pem", "rsa.pem"},
		{"rsa.pem ec.pem", "ec.pem rsa.pem"},
		{"ec.pem rsa.pem", "ec.pem rsa.pem"},
		{"less.pem rsa.pem ec.pem", "less.pem rsa.pem ec.pem"},
		{"turned.pem less.pem ec2.pem ec.pem rsa.pem", "ec2.pem ec.pem turned.pem rsa.pem less.pem"},
	} {
		set := mustReload(t, disk.store(), Source{Certs: strings.Fields(test.certs)})
		if got := sources(set.Default); got != test.want {
			t.Errorf("%s: Default %q, want %q", test.certs, got, test.want)
		}
	}
}

// TestNothing loads Sources without certificates, which may come from
// elsewhere.
func TestNothing(t *testing.T) {
	root := certtest.NewRoot(t, "root")
	disk := &ram{files: map[string]string{"ca.pem": certtest.PEM(root.Cert)}}
	for _, src := range []Source{{}, {CAFile: "ca.pem"}} {
		set := mustReload(t, disk.store(), src)
		if set.Default != nil || len(set.All()) != 0 || set.ForName("a") != nil || (set.CAs == nil) != (src.CAFile == "") {
			t.Errorf("%+v: %+v", src, set)
		}
	}
}

func TestNames(t *testing.T) {
	root, key := certtest.NewRoot(t, "root"), certtest.NewKey(t)
	for _, test := range []struct {
		cn   string
		edit func(*x509.Certificate)
		want string
	}{
		{"Common.example", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }, "common.example"},
		{"no name", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }, ""},
		{"10.0.0.1", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }, ""},
		{"common.example", func(c *x509.Certificate) { c.DNSNames = nil }, ""},
		{"common.example", func(c *x509.Certificate) { c.DNSNames = []string{"A.b", "*.A.b", "a.B"} }, "a.b *.a.b"},
		{"common.example", func(c *x509.Certificate) { c.IPAddresses = []net.IP{{10, 0, 0, 1}} }, "localhost"},
	} {
		if got := strings.Join(namesOf(root.Issue(t, test.cn, key, test.edit)), " "); got != test.want {
			t.Errorf("%s: names %q, want %q", test.cn, got, test.want)
		}
	}
}

func TestLimitWarnings(t *testing.T) {
	var all []string
	for i := range 100 {
		all = append(all, fmt.Sprint(i))
	}
	if got := limitWarnings(all[:maxWarnings]); !slices.Equal(got, all[:maxWarnings]) {
		t.Errorf("%q", got)
	}
	if got := limitWarnings(all); len(got) != maxWarnings+1 || got[maxWarnings] != "and 80 more" || all[maxWarnings] != "20" {
		t.Errorf("%q", got)
	}
}
