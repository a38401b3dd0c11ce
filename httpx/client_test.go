package httpx

import (
	"net/netip"
	"strings"
	"testing"
)

func TestClientOf(t *testing.T) {
	trusts := func(a netip.Addr) bool {
		return netip.MustParsePrefix("10.0.0.0/8").Contains(a) || a == netip.MustParseAddr("fd00::1")
	}
	for _, c := range []struct{ fields, want string }{
		{"", ""},
		{"X-Forwarded-For: 192.0.2.1", "192.0.2.1"},
		{"X-Forwarded-For: 198.51.100.9, 192.0.2.1", "192.0.2.1"}, // the left one may be forged
		{"X-Forwarded-For: 198.51.100.9, 192.0.2.1, 10.0.0.3,\t10.0.0.4", "192.0.2.1"},
		{"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.3", "192.0.2.1"},
		{"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For:", "192.0.2.1"},
		{"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2", "192.0.2.2"},
		{"X-Forwarded-For: 10.0.0.1, 10.0.0.2", "10.0.0.1"},
		{"X-Forwarded-For: unknown", ""},
		{"X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"},
		{"X-Forwarded-For: 192.0.2.1,", ""}, // an empty element is no address
		{"X-Forwarded-For: 192.0.2.1:4711", "192.0.2.1"},
		{"X-Forwarded-For: 2001:db8::1", "2001:db8::1"},
		{"X-Forwarded-For: [2001:db8::1]", "2001:db8::1"},
		{"X-Forwarded-For: [2001:db8::1]:443, fd00::1", "2001:db8::1"},
		{"X-Forwarded-For: ::ffff:192.0.2.7", "192.0.2.7"},
		{"X-Forwarded-For: fe80::1%eth0", "fe80::1"},
		{"X-Forwarded-For: [", ""},
		{"X-Forwarded-For: " + strings.Repeat("1", 100), ""},
		{"X_Forwarded_For: 192.0.2.1", ""}, // never believed, whoever says it
		{"Forwarded: for=192.0.2.1", ""},
	} {
		head := "GET / HTTP/1.1\r\nHost: a\r\n" + c.fields + "\r\n\r\n"
		if c.fields == "" {
			head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
		}
		var r Request
		if n, err := r.Parse([]byte(head), 8192); n != len(head) || err != nil {
			t.Fatalf("%q: %d, %v", head, n, err)
		}
		got := ""
		if addr := r.ClientOf([]byte(head), trusts); addr.IsValid() {
			got = addr.String()
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.fields, got, c.want)
		}
	}
}
