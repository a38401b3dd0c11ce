package httpx

import (
	"net/netip"
	"strings"
	"testing"
)

func TestWhenceForwardedFor(t *testing.T) {
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
		said, err := r.Whence([]byte(head), TrustForwardedFor, trusts)
		if err != nil {
			t.Fatal(err)
		}
		if said.Client.IsValid() {
			got = said.Client.String()
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.fields, got, c.want)
		}
	}
}

func TestWhenceForwarded(t *testing.T) {
	trusts := func(a netip.Addr) bool { return netip.MustParsePrefix("10.0.0.0/8").Contains(a) }
	for _, c := range []struct{ fields, want string }{
		{"X-Forwarded-For: 192.0.2.1", " | | "},
		{"Forwarded: for=192.0.2.1", "192.0.2.1 | | "},
		{"Forwarded: For=192.0.2.1;Proto=HTTPS;BY=10.0.0.1;host=a.example", "192.0.2.1 | https | a.example"},
		{`Forwarded: for="192.0.2.1:4711" ; proto=gopher; host="[2001:db8::1]:8443"`, "192.0.2.1 | | [2001:db8::1]:8443"},
		{`Forwarded: for="[2001:db8::1]"`, "2001:db8::1 | | "},
		{`Forwarded: for="[2001:db8::1]:443";ext="a\"b,c;for=1"`, "2001:db8::1 | | "},
		{`Forwarded: for="[::ffff:192.0.2.7]:_port"`, "192.0.2.7 | | "},
		{"Forwarded: for=198.51.100.9, for=192.0.2.1", "192.0.2.1 | | "}, // the left one may be forged
		{"Forwarded: for=198.51.100.9;proto=http, for=192.0.2.1;proto=https , for=10.0.0.3;proto=http", "192.0.2.1 | https | "},
		{"Forwarded: for=192.0.2.1\r\nForwarded: for=10.0.0.3", "192.0.2.1 | | "},
		{"Forwarded: for=10.0.0.1;proto=https, for=10.0.0.2", "10.0.0.1 | https | "},
		{"Forwarded: ,for=192.0.2.1,, ", "192.0.2.1 | | "},
		{"Forwarded:", " | | "},
		{"Forwarded: for=unknown;proto=https", " | https | "},
		{"Forwarded: for=192.0.2.1, for=unknown, for=10.0.0.2", "10.0.0.2 | | "},
		{"Forwarded: for=192.0.2.1, for=_hidden", " | | "},
		{"Forwarded: for=192.0.2.1, proto=https", " | https | "},
		{`Forwarded: for="2001:db8::1"`, " | | "}, // without brackets
		{`Forwarded: for="[192.0.2.1]"`, " | | "},
		{`Forwarded: for="192.0.2.1:port"`, " | | "},
		{`Forwarded: for="fe80::1%eth0"`, " | | "},
		{`Forwarded: for=192.0.2.1;host="a/b"`, "192.0.2.1 | | "},
		{`Forwarded: for=192.0.2.1;host="a\.example"`, "192.0.2.1 | | a.example"},
		{`Forwarded: for="evil, for=192.0.2.1`, "refused"},
		{`Forwarded: for="evil\", for=192.0.2.1`, "refused"},
		{`Forwarded: for="evil`, "refused"},
		{`Forwarded: for="evil\`, "refused"},
		{"Forwarded: for=", "refused"},
		{"Forwarded: for", "refused"},
		{"Forwarded: for =192.0.2.1", "refused"},
		{"Forwarded: for= 192.0.2.1", "refused"},
		{"Forwarded: for=[2001:db8::1]", "refused"},
		{"Forwarded: for=192.0.2.1:80", "refused"},
		{"Forwarded: for=192.0.2.1;for=192.0.2.2", "refused"},
		{"Forwarded: for=192.0.2.1 for=192.0.2.2", "refused"},
		{"Forwarded: " + strings.Repeat("for=a,", 101), "refused"},
		{"X_Forwarded: for=192.0.2.1", " | | "},
	} {
		head := "GET / HTTP/1.1\r\nHost: a\r\n" + c.fields + "\r\n\r\n"
		var r Request
		if n, err := r.Parse([]byte(head), 8192); n != len(head) || err != nil {
			t.Fatalf("%q: %d, %v", head, n, err)
		}
		said, err := r.Whence([]byte(head), TrustForwarded, trusts)
		got := "refused"
		if err == nil {
			client := ""
			if said.Client.IsValid() {
				client = said.Client.String()
			}
			got = strings.ReplaceAll(client+" | "+said.Proto+" | "+said.Host, "|  |", "| |")
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.fields, got, c.want)
		}
	}
}

func TestWhenceRealIP(t *testing.T) {
	for _, c := range []struct{ fields, want string }{
		{"X-Forwarded-For: 192.0.2.1", "invalid IP"},
		{"X-Real-IP: 192.0.2.1", "192.0.2.1"},
		{"x-real-ip: [2001:db8::1]:80", "2001:db8::1"},
		{"X-Real-IP: 192.0.2.1, 192.0.2.2", "invalid IP"},
		{"X-Real-IP: 192.0.2.1\r\nX-Real-IP: 192.0.2.2", "repeated X-Real-IP"},
		{"X_Real_IP: 192.0.2.1", "invalid IP"},
	} {
		head := []byte("GET / HTTP/1.1\r\nHost: a\r\n" + c.fields + "\r\n\r\n")
		var r Request
		if n, err := r.Parse(head, 8192); n != len(head) || err != nil {
			t.Fatalf("%q: %d, %v", head, n, err)
		}
		said, err := r.Whence(head, TrustRealIP, func(netip.Addr) bool { return true })
		got := said.Client.String()
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.fields, got, c.want)
		}
	}
}

// FuzzForwarded: whatever a client sends in Forwarded, what a proxy appends behind it is found or the request is refused, and what we write is read again.
func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"", "for=192.0.2.1", `for="[2001:db8::1]:80";proto=https;host="a:1"`, `for="x\"`, "a=b;;c=d,,for=_x", `for="`, "for=\t,", "\t\t\r\ns:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsAny(value, "\r\n") {
			return // what follows, the proxy's word too, would stand in another field
		}
		head := []byte("GET / HTTP/1.1\r\nHost: a\r\nForwarded: " + value + ", for=192.0.2.7\r\n\r\n")
		var r Request
		if n, err := r.Parse(head, 1<<16); n != len(head) || err != nil {
			return
		}
		nobody := func(netip.Addr) bool { return false }
		said, err := r.Whence(head, TrustForwarded, nobody)
		if err != nil {
			return
		}
		if said.Client.String() != "192.0.2.7" {
			t.Fatalf("%q: %v", value, said)
		}
		out := r.AppendForward(nil, head, &Forward{Client: "2001:db8::2", Proto: "https", Trusted: true, Field: TrustForwarded, Said: said, Forwarded: true, By: "::1"})
		var again Request
		if n, err := again.Parse(out, 1<<17); n != len(out) || err != nil {
			t.Fatalf("%q: %d, %v", out, n, err)
		}
		said, err = again.Whence(out, TrustForwarded, nobody)
		if err == nil && said != (Said{Client: netip.MustParseAddr("2001:db8::2"), Proto: "https", Host: "a"}) || err != nil && !strings.HasPrefix(err.Error(), "too many") {
			t.Fatalf("%q: %v, %v", out, said, err)
		}
	})
}
