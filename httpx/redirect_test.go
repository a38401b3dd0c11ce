package httpx

import (
	"bufio"
	"bytes"
	"net/http"
	"net/netip"
	"testing"
)

func TestAppendSecure(t *testing.T) {
	for _, tt := range []struct{ request, port, location string }{
		{"GET /a?b=c HTTP/1.1\r\nHost: example.com\r\n\r\n", "443", "https://example.com/a?b=c"},
		{"GET / HTTP/1.1\r\nHost: example.com:80\r\n\r\n", "443", "https://example.com/"},
		{"POST / HTTP/1.1\r\nHost: example.com:8080\r\n\r\n", "8443", "https://example.com:8443/"},
		{"GET / HTTP/1.1\r\nHost: example.com:8443\r\n\r\n", "", "https://example.com:8443/"},
		{"GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", "8443", "https://[2001:db8::1]:8443/"},
		{"GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n", "8443", "https://[2001:db8::1]:8443/"},
		{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "443", "https://a/"},
		{"GET http://example.com?q HTTP/1.1\r\nHost: example.com\r\n\r\n", "443", "https://example.com/?q"},
		{"GET http://example.com/x HTTP/1.1\r\nHost: example.com\r\n\r\n", "443", "https://example.com/x"},
		{"GET / HTTP/1.0\r\n\r\n", "443", ""},
		{"HEAD //evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n", "443", "https://a//evil.example/"},
	} {
		var r Request
		b := []byte(tt.request)
		if n, err := r.Parse(b, 1<<16); n != len(b) || err != nil {
			t.Fatalf("%q: %d %v", tt.request, n, err)
		}
		out := r.AppendSecure(nil, b, tt.port)
		if tt.location == "" {
			if out != nil {
				t.Errorf("%q: got %q", tt.request, out)
			}
			continue
		}
		response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(out)), nil)
		if err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if response.StatusCode != http.StatusPermanentRedirect || response.Header.Get("Location") != tt.location || !response.Close {
			t.Errorf("%q: got %q", tt.request, out)
		}
	}
}

func TestSaidSecure(t *testing.T) {
	nobody := func(netip.Addr) bool { return false }
	for _, tt := range []struct {
		fields string
		field  TrustedField
		want   bool
	}{
		{"X-Forwarded-Proto: https", TrustForwardedFor, true},
		{"X-Forwarded-Proto: HTTPS, http", TrustRealIP, true},
		{"X-Forwarded-Proto: http\r\nx-forwarded-proto: https", TrustForwardedFor, true},
		{"X-Forwarded-Proto: http", TrustForwardedFor, false},
		{"X_Forwarded_Proto: https", TrustForwardedFor, false},
		{"Forwarded: for=192.0.2.1;proto=https", TrustForwardedFor, false},
		{"Forwarded: for=192.0.2.1;proto=https", TrustForwarded, true},
		{"Forwarded: for=192.0.2.1;proto=http", TrustForwarded, false},
		{"X-Forwarded-Proto: https", TrustForwarded, false},
	} {
		var r Request
		b := []byte("GET / HTTP/1.0\r\n" + tt.fields + "\r\n\r\n")
		if n, err := r.Parse(b, 1<<16); n != len(b) || err != nil {
			t.Fatal(err)
		}
		if got := r.SaidSecure(b, tt.field, nobody); got != tt.want {
			t.Errorf("%q by %d: %v", tt.fields, tt.field, got)
		}
	}
}
