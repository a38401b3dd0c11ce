package proxyproto

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestDatagram(t *testing.T) {
	v2 := string(signature2)
	for _, c := range []struct{ name, said, client, err string }{
		{"IPv4", v2 + "\x21\x12\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb", "192.0.2.1:4711", ""},
		{"of a connection", v2 + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb", "192.0.2.1:4711", ""},
		{"IPv6", v2 + "\x21\x22\x00\x24" + strings.Repeat("\x20", 16) + strings.Repeat("\x21", 16) + "\x00\x01\x00\x02", "[2020:2020:2020:2020:2020:2020:2020:2020]:1", ""},
		{"mapped", v2 + "\x21\x22\x00\x24" + strings.Repeat("\x00", 10) + "\xff\xff\xc0\x00\x02\x01" + strings.Repeat("\x21", 16) + "\x00\x01\x00\x02", "192.0.2.1:1", ""},
		{"Unix", v2 + "\x21\x32\x00\xd8" + strings.Repeat("\x00", 216), "", ""},
		{"local", v2 + "\x20\x00\x00\x00", "", ""},
		{"local with addresses", v2 + "\x20\x12\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb", "", ""},
		{"unspecified", v2 + "\x21\x00\x00\x04\x04\x00\x01x", "", ""},
		{"no header", "hello", "", "no PROXY header"},
		{"nothing", "", "", "no PROXY header"},
		{"version 1, which is for connections", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "", "no PROXY header"},
		{"almost", v2[:11], "", "no PROXY header"},
		{"cut", v2 + "\x21\x12\x00\x0c\xc0\x00", "", "ends within"},
		{"cut before its length", v2 + "\x21\x12", "", "ends within"},
		{"too long", v2 + "\x21\x12\xff\xff", "", "at most"},
		{"a command that there is not", v2 + "\x22\x12\x00\x00", "", "that there is not"},
		{"a transport that there is not", v2 + "\x21\x13\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb", "", "that there is not"},
		{"too short for its addresses", v2 + "\x21\x12\x00\x04\xc0\x00\x02\x01", "", "too short"},
		{"a wrong checksum", v2 + "\x21\x12\x00\x13\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb\x03\x00\x04\x00\x00\x00\x01", "", "checksum"},
		{"a field longer than the header", v2 + "\x21\x12\x00\x0f\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x01\xbb\x02\x00\x09", "", "longer"},
	} {
		for _, payload := range []string{"", "payload"} {
			if payload != "" && (strings.HasPrefix(c.err, "no PROXY") || strings.HasPrefix(c.err, "ends")) {
				continue
			}
			n, client, err := Datagram([]byte(c.said + payload))
			switch {
			case c.err != "":
				if err == nil || !strings.Contains(err.Error(), c.err) || n != 0 {
					t.Errorf("%s: %d, %v; want %q", c.name, n, err, c.err)
				}
			case err != nil || n != len(c.said) || client != ap(c.client):
				t.Errorf("%s: %d, %v, %v", c.name, n, client, err)
			}
		}
	}
}

func TestDatagramAllocatesNothing(t *testing.T) {
	b, err := Format(2, Header{Client: ap("192.0.2.1:4711"), Server: ap("192.0.2.2:53"), Datagram: true, UniqueID: "an id", Country: "SE"})
	if err != nil {
		t.Fatal(err)
	}
	b = append(b[:len(b):len(b)], "payload"...)
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := Datagram(b); err != nil {
			t.Error(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// sameAsParse holds Datagram against what the library makes of the same bytes.
func sameAsParse(t *testing.T, b []byte) {
	n, client, err := Datagram(b)
	if errors.Is(err, ErrNone) || err == errCut {
		return
	}
	length, lengthErr := Length(b)
	if lengthErr != nil {
		if err == nil {
			t.Errorf("accepted, where Length says %v", lengthErr)
		}
		return
	}
	h, parseErr := Parse(b[:length])
	if (err == nil) != (parseErr == nil) || err == nil && (n != length || client != h.Client) || err != nil && client != (netip.AddrPort{}) {
		t.Errorf("%d, %v, %v; Parse: %d, %v, %v", n, client, err, length, h.Client, parseErr)
	}
}
