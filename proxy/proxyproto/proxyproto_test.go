package proxyproto

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func ap(s string) netip.AddrPort {
	if s == "" {
		return netip.AddrPort{}
	}
	return netip.MustParseAddrPort(s)
}

func TestRead(t *testing.T) {
	v2 := string(signature2)
	for _, c := range []struct{ name, said, client, server, err string }{
		{"IPv4", "PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n", "192.0.2.1:4711", "192.0.2.2:443", ""},
		{"IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n", "[2001:db8::1]:4711", "[2001:db8::2]:443", ""},
		{"mapped", "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n", "192.0.2.1:1", "192.0.2.2:2", ""},
		{"unknown", "PROXY UNKNOWN\r\n", "", "", ""},
		{"unknown with addresses", "PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n", "", "", ""},
		{"no address", "PROXY TCP4 x 192.0.2.2 1 2\r\n", "", "", "malformed"},
		{"a port too high", "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", "", "", "malformed"},
		{"a bare LF", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", "", "", "malformed"},
		{"without end", "PROXY TCP4 " + strings.Repeat("1", 200), "", "", "without end"},
		{"version 2", v2 + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb", "192.0.2.1:4711", "192.0.2.2:443", ""},
		{"version 2, of datagrams", v2 + "\x21\x12\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb", "192.0.2.1:4711", "192.0.2.2:443", ""},
		{"version 2, local", v2 + "\x20\x00\x00\x00", "", "", ""},
		{"version 2, local with addresses", v2 + "\x20\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb", "", "", ""},
		{"version 2, unspecified", v2 + "\x21\x00\x00\x00", "", "", ""},
		{"version 2, unspecified, with fields", v2 + "\x21\x00\x00\x04\x04\x00\x01x", "", "", ""},
		{"version 2, unspecified, a command that there is not", v2 + "\x2f\x00\x00\x00", "", "", "malformed"},
		{"version 2, unspecified, a transport that there is not", v2 + "\x21\x0f\x00\x00", "", "", "malformed"},
		{"version 2, unspecified, a wrong checksum", v2 + "\x21\x00\x00\x07\x03\x00\x04\x00\x00\x00\x01", "", "", "checksum"},
		{"version 2, local, a wrong checksum", v2 + "\x20\x00\x00\x07\x03\x00\x04\x00\x00\x00\x01", "", "", "checksum"},
		{"an identifier that is too long", v2 + "\x21\x11\x00\x90\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb\x05\x00\x81" + strings.Repeat("x", 129), "", "", "malformed"},
		{"version 3", v2 + "\x31\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb", "", "", "malformed"},
		{"version 2, too short for its addresses", v2 + "\x21\x11\x00\x04\xc0\x00\x02\x01", "", "", "malformed"},
		{"version 2, too long", v2 + "\x21\x11\xff\xff", "", "", "at most"},
		{"a wrong checksum", v2 + "\x21\x11\x00\x13\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb\x03\x00\x04\x00\x00\x00\x01", "", "", "malformed"},
		{"a field longer than the header", v2 + "\x21\x11\x00\x0f\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb\x02\x00\x09", "", "", "malformed"},
		{"HTTP", "GET / HTTP/1.1\r\n", "", "", "no PROXY header"},
		{"almost", "PROXYTCP4", "", "", "no PROXY header"},
	} {
		n, err := Length([]byte(c.said))
		var h Header
		if err == nil {
			if n != len(c.said) {
				t.Errorf("%s: %d bytes of %d", c.name, n, len(c.said))
				continue
			}
			h, err = Parse([]byte(c.said))
		}
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.err)
			}
			continue
		}
		if err != nil || h.Client != ap(c.client) || h.Server != ap(c.server) {
			t.Errorf("%s: %v, %v, %v", c.name, h.Client, h.Server, err)
		}
		for i := range c.said { // all that is shorter is not enough
			if n, err := Length([]byte(c.said[:i])); n != 0 || err != nil {
				t.Errorf("%s, %d bytes: %d, %v", c.name, i, n, err)
			}
		}
	}
}

// everyHeader is headers with all that they can say.
func everyHeader() []Header {
	return []Header{
		{},
		{Client: ap("192.0.2.1:4711"), Server: ap("192.0.2.2:443")},
		{Client: ap("[2001:db8::1]:4711"), Server: ap("[2001:db8::2]:443"), ALPN: "h2", Authority: "www.example.com", Country: "SE", Network: "64500", Denied: "acl", UniqueID: "\x00id"},
		{Client: ap("192.0.2.1:4711"), Server: ap("192.0.2.2:443"), TLS: true, Version: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", Group: "X25519", CommonName: "a client", Verified: true},
		{Client: ap("192.0.2.1:4711"), Server: ap("192.0.2.2:443"), TLS: true, Version: "TLSv1.2"},
		{Client: ap("192.0.2.1:4711"), Server: ap("192.0.2.2:53"), Datagram: true, UniqueID: "1"},
		{Client: ap("[2001:db8::1]:4711"), Server: ap("[2001:db8::2]:53"), Datagram: true},
		{Client: ap("192.0.2.1:4711"), Server: ap("192.0.2.2:443"), TLS: true, Version: "TLSv1.3", CommonName: "a client", Verified: true, Resumed: true},
		{Client: ap("192.0.2.1:4711"), Server: ap("192.0.2.2:443"), TLS: true, Version: "TLSv1.3", CommonName: "a client", Verified: true, Certificate: "0\x00DER\xff"},
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, h := range everyHeader() {
		for version := 1; version <= 2; version++ {
			b, err := Format(version, h)
			if err != nil {
				t.Fatal(err)
			}
			n, err := Length(append(b, "more"...))
			if n != len(b) || err != nil {
				t.Fatalf("%q: %d, %v", b, n, err)
			}
			want := h
			if version == 1 {
				want = Header{Client: h.Client, Server: h.Server}
			}
			if got, err := Parse(b); got != want || err != nil {
				t.Errorf("version %d: %+v, %v; want %+v", version, got, err, want)
			}
		}
	}
	// Two families become one, and are told apart again.
	b, err := Format(2, Header{Client: ap("192.0.2.1:1"), Server: ap("[2001:db8::2]:2")})
	if err != nil {
		t.Fatal(err)
	}
	if h, err := Parse(b); err != nil || h.Client != ap("192.0.2.1:1") || h.Server != ap("[2001:db8::2]:2") {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestCertificatesThatDoNotFit are left out, and nothing else is.
func TestCertificatesThatDoNotFit(t *testing.T) {
	h := Header{Client: ap("192.0.2.1:4711"), Server: ap("192.0.2.2:443"), TLS: true, Version: "TLSv1.3", CommonName: "a client", Verified: true, UniqueID: "an id"}
	bare, err := Format(2, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what                       string
		version, certificate, most int
		cut                        bool
	}{
		{"a small one", 2, 1000, 4096, false},
		{"one that just fits", 2, 4096 - len(bare) - 3, 4096, false},
		{"one too many", 2, 4096 - len(bare) - 2, 4096, true},
		{"the largest of all", 2, 16 + 65535 - len(bare) - 3, 16 + 65535, false},
		{"more than the header can hold", 2, 16 + 65535 - len(bare) - 2, 16 + 65535, true},
		{"more than a field can hold", 2, 70000, 16 + 65535, true},
		{"none is wanted", 2, 1, 0, true},
		{"none is there", 2, 0, 0, false},
		{"version 1 has none", 1, 1000, 10, false},
	} {
		h.Certificate = strings.Repeat("c", c.certificate)
		head, cut, err := Fit(c.version, h, c.most)
		length := len(bare) + 3 + c.certificate
		if c.cut || c.certificate == 0 {
			length = len(bare)
		}
		if err != nil || cut != c.cut || c.version == 2 && len(head) != length || c.version == 1 && !strings.HasPrefix(string(head), "PROXY TCP4 ") {
			t.Errorf("%s: %d bytes, cut %v, %v; want %d", c.what, len(head), cut, err, length)
		}
		if c.version == 2 && c.cut && string(head) != string(bare) {
			t.Errorf("%s: more than the certificate is left out: %q", c.what, head)
		}
	}
}

// TestCertificatesThatNobodyVouchesFor are neither said nor heard.
func TestCertificatesThatNobodyVouchesFor(t *testing.T) {
	ssl := func(client, verify byte) []byte {
		return []byte(string(signature2) + "\x21\x11\x00\x1f\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb\x20\x00\x10" +
			string([]byte{client, 0, 0, 0, verify}) + "\x21\x00\x02v1\x28\x00\x03DER")
	}
	for _, c := range []struct {
		what           string
		client, verify byte
		want           string
	}{
		{"found good", 1 | 2 | 4, 0, "DER"}, {"found good once", 1 | 4, 0, "DER"}, {"found bad", 1 | 2 | 4, 1, ""}, {"not shown", 1, 0, ""}, {"without TLS", 2 | 4, 0, ""},
	} {
		if h, err := Parse(ssl(c.client, c.verify)); err != nil || h.Certificate != c.want {
			t.Errorf("%s: %q, %v", c.what, h.Certificate, err)
		}
	}
	h := Header{Client: ap("192.0.2.1:4711"), Server: ap("192.0.2.2:443"), TLS: true, Version: "TLSv1.3", Certificate: "secret"}
	if b, err := Format(2, h); err != nil || strings.Contains(string(b), "secret") {
		t.Errorf("%q, %v", b, err)
	}
}

func TestRefuse(t *testing.T) {
	for said, want := range map[string]string{
		"": "", "P": "", "PROXY": "", "PROXY ": "must not send", "PROXY TCP4 x": "must not send", "PRI * HTTP/2.0": "no PROXY header", "POST /": "no PROXY header",
		"\r\n": "", string(signature2[:11]): "", string(signature2): "must not send", string(signature2) + "\x21": "must not send",
		"\r\nGET /": "no PROXY header", "\x16\x03\x01": "no PROXY header",
	} {
		n, err := Refuse([]byte(said))
		if n != 0 || want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %d, %v; want %q", said, n, err, want)
		}
	}
}

// TestCertificateOfASession: a client that resumes a session shows no certificate again, and is who it was.
func TestCertificateOfASession(t *testing.T) {
	head := func(client, verify byte) []byte {
		return []byte(string(signature2) + "\x21\x11\x00\x19\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb\x20\x00\x0a" +
			string([]byte{client, 0, 0, 0, verify}) + "\x21\x00\x02v1")
	}
	for _, c := range []struct {
		what           string
		client, verify byte
		want           bool
	}{
		{"none", 1, 0, false}, {"shown now", 1 | 2, 0, true}, {"shown in the session", 1 | 4, 0, true}, {"not found good", 1 | 2 | 4, 1, false}, {"without TLS", 2 | 4, 0, false},
	} {
		if h, err := Parse(head(c.client, c.verify)); err != nil || h.Verified != c.want {
			t.Errorf("%s: verified %v, %v", c.what, h.Verified, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n"))
	f.Add([]byte(string(signature2) + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb"))
	f.Add([]byte(string(signature2) + "\x20\x00\x00\x00"))
	f.Add([]byte(string(signature2) + "\x21\x00\x00\x07\x03\x00\x04\x00\x00\x00\x01"))
	f.Add([]byte(string(signature2) + "\x21\x11\x00\x19\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb\x20\x00\x0a\x07\x00\x00\x00\x00\x21\x00\x02v1"))
	f.Add([]byte(string(signature2) + "\x21\x12\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb"))
	for _, h := range everyHeader() {
		for version := 1; version <= 2; version++ {
			b, err := Format(version, h)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sameAsParse(t, b)
		n, err := Length(b)
		if err != nil || n == 0 {
			if n != 0 || err == nil && len(b) > 16+maxBlock {
				t.Errorf("%d, %v for %d bytes", n, err, len(b))
			}
			return
		}
		h, err := Parse(b[:n])
		if err != nil {
			if errors.Is(err, ErrNone) {
				t.Error("no header after all")
			}
			return
		}
		if h.Client.IsValid() != h.Server.IsValid() {
			t.Errorf("one address without the other: %+v", h)
		}
	})
}
