package certs

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

func TestSelfSigned(t *testing.T) {
	for _, test := range []struct {
		names   string
		good    []string
		refused string
	}{
		{"", []string{"localhost", "127.0.0.1", "::1"}, "example.com"},
		{"example.com, *.example.org,192.0.2.1,2001:db8::1", []string{"example.com", "www.example.org", "192.0.2.1", "2001:db8::1"}, "localhost"},
	} {
		var names []string
		if test.names != "" {
			names = splitNames(test.names)
		}
		cert, err := SelfSigned(names, now)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AddCert(cert.Leaf)
		for _, at := range []time.Time{now, now.Add(89 * 24 * time.Hour)} {
			if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at}); err != nil {
				t.Errorf("%q at %v: %v", test.names, at, err)
			}
		}
		for _, name := range test.good {
			if err := cert.Leaf.VerifyHostname(name); err != nil {
				t.Errorf("%q: %v", test.names, err)
			}
		}
		if cert.Leaf.VerifyHostname(test.refused) == nil {
			t.Errorf("%q is good for %s", test.names, test.refused)
		}
	}
}

func TestSelfSignedBadNames(t *testing.T) {
	for _, name := range []string{"", "*", "a b", "-a", "a-", "a..b", "bücher.de", "a/b", "fe80::1%eth0", "[::1]", "a.*.b", strings.Repeat("a", 64)} {
		if _, err := SelfSigned([]string{"localhost", name}, now); err == nil {
			t.Errorf("%q: no error", name)
		}
	}
}

func TestLoadSelfSigned(t *testing.T) {
	set := mustLoad(t, Source{SelfSigned: DefaultNames})
	if len(set.Default[0].Leaf().DNSNames) != 1 || len(set.Default[0].Leaf().IPAddresses) != 2 || set.CAs != nil {
		t.Errorf("names %q, addresses %v, CAs %v", set.Default[0].Leaf().DNSNames, set.Default[0].Leaf().IPAddresses, set.CAs)
	}
}
