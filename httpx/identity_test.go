package httpx

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"
)

func shown(subject string) *x509.Certificate {
	return &x509.Certificate{
		Raw: []byte("raw " + subject), Subject: pkix.Name{CommonName: subject}, Issuer: pkix.Name{CommonName: "a CA"}, SerialNumber: big.NewInt(0x1a2b),
		NotBefore: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), NotAfter: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func TestIdentityFields(t *testing.T) {
	leaf, middle := shown("Åsa\r\nX-Forwarded-For: 6.6.6.6"), shown("middle")
	fields := IdentityFields([]*x509.Certificate{leaf, middle}, true, true)
	raw := func(c *x509.Certificate) string { return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":" }
	want := "Client-Cert: " + raw(leaf) + "\r\nClient-Cert-Chain: " + raw(middle) + "\r\n" +
		"X-SSL-Client-Verify: SUCCESS\r\n" +
		"X-SSL-Client-S-DN: CN=%C3%85sa%0D%0AX-Forwarded-For: 6.6.6.6\r\n" +
		"X-SSL-Client-I-DN: CN=a CA\r\n" +
		"X-SSL-Client-CN: %C3%85sa%0D%0AX-Forwarded-For: 6.6.6.6\r\n" +
		"X-SSL-Client-Serial: 1A2B\r\nX-SSL-Client-SHA256: "
	if !strings.HasPrefix(fields, want) || !strings.HasSuffix(fields, "X-SSL-Client-NotBefore: 2026-01-02T03:04:05Z\r\nX-SSL-Client-NotAfter: 2027-01-02T03:04:05Z\r\n") {
		t.Errorf("got %q\nwant %q", fields, want)
	}
	for _, tt := range []struct {
		standard, classic bool
		want              string
	}{{false, false, ""}, {true, false, ""}, {true, true, "X-SSL-Client-Verify: NONE\r\n"}} {
		if got := IdentityFields(nil, tt.standard, tt.classic); got != tt.want {
			t.Errorf("without a certificate, %v %v: %q", tt.standard, tt.classic, got)
		}
	}
}

// TestIdentityIsOurs: nobody but us says whose certificate was shown, if we have looked; and only a trusted peer if we have not.
func TestIdentityIsOurs(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: a\r\nClient-Cert: :Zm9yZ2Vk:\r\nX-SSL-Client-Verify: SUCCESS\r\nx_ssl_client_cn: root\r\nConnection: client-cert\r\n\r\n"
	for _, tt := range []struct {
		trusted, asked bool
		identity       string
		want           []string
	}{
		{false, false, "", nil},
		{true, false, "", []string{"SUCCESS"}},
		{true, true, "", nil},
		{false, true, "X-SSL-Client-Verify: NONE\r\n", []string{"NONE"}},
		{true, true, "X-SSL-Client-Verify: NONE\r\n", []string{"NONE"}},
		{true, false, "X-SSL-Client-Verify: NONE\r\n", []string{"NONE"}},
	} {
		var r Request
		if n, err := r.Parse([]byte(head), 1<<16); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		out := readRequest(t, r.AppendForward(nil, []byte(head), &Forward{Client: "192.0.2.1", Trusted: tt.trusted, Asked: tt.asked, Identity: tt.identity}))
		if got := out.Header["X-Ssl-Client-Verify"]; strings.Join(got, "|") != strings.Join(tt.want, "|") {
			t.Errorf("%+v: %q", tt, got)
		}
		if kept := out.Header.Get("Client-Cert") != ""; kept != (tt.trusted && !tt.asked && tt.identity == "") {
			t.Errorf("%+v: Client-Cert %v", tt, out.Header)
		}
		if strings.Contains(strings.ToLower(strings.Join(keys(out.Header), " ")), "x_ssl") {
			t.Errorf("%+v: disguised field passed: %v", tt, out.Header)
		}
	}
}

func readRequest(t *testing.T, b []byte) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return r
}

func keys(h http.Header) (names []string) {
	for name := range h {
		names = append(names, name)
	}
	return names
}
