package httpx

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

const testLimit = 65536

// A headCase is a head and the status it is refused with, 0 if it is accepted.
type headCase struct {
	clause string
	head   string
	want   int
}

func get(fields string) string { return "GET / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n" }

func post(fields string) string { return "POST / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n" }

var requestCases = []headCase{
	{"9112 3 request line", get(""), 0},
	{"9112 2.2 bare LF", "GET / HTTP/1.1\nHost: h\n\n", 400},
	{"9112 2.2 bare LF at a field", "GET / HTTP/1.1\r\nHost: h\n\r\n", 400},
	{"9112 2.2 bare LF behind a value", get("A: bcd\n"), 400},
	{"9112 2.2 bare LF before a smuggled field", get("A: bcd\nContent-Length: 5\r\n"), 400},
	{"9112 2.2 bare LF at the end", "GET / HTTP/1.1\r\nHost: h\r\n\n", 400},
	{"9112 2.2 bare CR in a value", get("A: b\rc\r\n"), 400},
	{"9112 2.2 bare CR before CRLF", get("A: b\r\r\n"), 400},
	{"9112 2.2 bare CR in the request line", "GET /\r HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 2.2 empty lines before", "\r\n\r\n" + get(""), 0},
	{"9112 2.2 many empty lines before", strings.Repeat("\r\n", 6) + get(""), 400},
	{"9112 2.2 LF lines before", "\n" + get(""), 400},
	{"9112 2.2 first header begins with a blank", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
	{"9112 2.3 HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 0},
	{"9112 2.3 HTTP/1.2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", 0},
	{"9112 2.3 HTTP/2.0", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
	{"9112 2.3 HTTP/0.9", "GET / HTTP/0.9\r\n\r\n", 505},
	{"9113 3.4 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
	{"9112 2.3 lower case", "GET / http/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 2.3 two digits", "GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400},
	{"9112 2.3 no minor", "GET / HTTP/1\r\nHost: h\r\n\r\n", 400},
	{"HTTP/0.9 simple request", "GET /\r\n\r\n", 400},
	{"9112 3 two blanks", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3 two blanks before the version", "GET /  HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3 tab", "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3 blank in front", " GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3 blank behind", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400},
	{"9112 3 blank in the target", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.1 any token", "M-SEARCH! / HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"9112 3.1 no token", "G@T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.1 no method", " / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"TLS to the plain port", "\x16\x03\x01\x02", 400},
	{"9112 3.2.1 query", "GET /a?b=%zz|{} HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"9112 3.2.1 percent", "GET /a%2Fb HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"3986 2.1 percent without digits", "GET /a%2 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"3986 2.1 percent with others", "GET /a%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.2 fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.2 fragment in query", "GET /a?#b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.2 control", "GET /a\x01 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.2 NUL", "GET /a\x00 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.2 DEL", "GET /a?\x7f HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.2 not ASCII", "GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.2 relative", "GET a HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.2.2 absolute", "GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"9112 3.2.2 absolute, case", "GET HTTPS://EXAMPLE.com/a HTTP/1.1\r\nHost: example.COM\r\n\r\n", 0},
	{"9112 3.2.2 absolute without a path", "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"9112 3.2.2 absolute with another host", "GET http://g/a HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.2.2 absolute with another port", "GET http://h:81/a HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.2.2 absolute without Host in 1.1", "GET http://h/a HTTP/1.1\r\n\r\n", 400},
	{"9112 3.2.2 absolute without Host in 1.0", "GET http://h/a HTTP/1.0\r\n\r\n", 0},
	{"9110 4.2.4 user information", "GET http://u@h/a HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.2.2 no host", "GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.2.2 other scheme", "GET ftp://h/a HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9112 3.2.3 CONNECT", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 501},
	{"9112 3.2.3 authority without CONNECT", "GET h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 400},
	{"9112 3.2.4 asterisk", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 0},
	{"9112 3.2.4 asterisk without OPTIONS", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400},
	{"9110 7.2 no Host", "GET / HTTP/1.1\r\n\r\n", 400},
	{"9110 7.2 two Hosts", get("Host: h\r\n"), 400},
	{"9110 7.2 two Hosts in 1.0", "GET / HTTP/1.0\r\nHost: h\r\nhost: i\r\n\r\n", 400},
	{"9110 7.2 empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
	{"9110 7.2 user information", "GET / HTTP/1.1\r\nHost: a@h\r\n\r\n", 400},
	{"9110 7.2 list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
	{"9110 7.2 slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
	{"9110 7.2 invalid in 1.0", "GET / HTTP/1.0\r\nHost: a b\r\n\r\n", 400},
	{"9110 7.2 port", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", 0},
	{"9112 5 no colon", get("A\r\n"), 400},
	{"9112 5 empty name", get(": a\r\n"), 400},
	{"9112 5.1 blank before the colon", get("A : b\r\n"), 400},
	{"9112 5.1 tab before the colon", get("Transfer-Encoding\t: chunked\r\n"), 400},
	{"9112 5.1 name is no token", get("A(b): c\r\n"), 400},
	{"9112 5.1 name is not ASCII", get("\xc3\xa4: c\r\n"), 400},
	{"9112 5.2 folding", get("A: b\r\n c\r\n"), 400},
	{"9112 5.2 folding with a tab", get("A: b\r\n\tc\r\n"), 400},
	{"9110 5.5 tab in a value", get("A: b\tc\r\n"), 0},
	{"9110 5.5 obs-text", get("A: \xe4\xff\r\n"), 0},
	{"9110 5.5 empty value", get("A:\r\nB: \r\n"), 0},
	{"9110 5.5 NUL", get("A: b\x00c\r\n"), 400},
	{"9110 5.5 vertical tab", get("A: 12345678\x0b\r\n"), 400},
	{"9110 5.5 DEL", get("A: 1234567\x7f\r\n"), 400},
	{"9110 8.6 Content-Length", post("Content-Length: 5\r\n"), 0},
	{"9110 8.6 zeros", post("Content-Length: 0005\r\n"), 0},
	{"9110 8.6 largest", post("Content-Length: 9223372036854775807\r\n"), 0},
	{"9110 8.6 overflow", post("Content-Length: 9223372036854775808\r\n"), 400},
	{"9110 8.6 much overflow", post("Content-Length: 99999999999999999999\r\n"), 400},
	{"9110 8.6 sign", post("Content-Length: +5\r\n"), 400},
	{"9110 8.6 negative", post("Content-Length: -5\r\n"), 400},
	{"9110 8.6 hexadecimal", post("Content-Length: 0x5\r\n"), 400},
	{"9110 8.6 empty", post("Content-Length:\r\n"), 400},
	{"9110 8.6 blank within", post("Content-Length: 5 5\r\n"), 400},
	{"9112 6.3 same again", post("Content-Length: 5\r\nContent-Length: 5\r\n"), 0},
	{"9112 6.3 other spelling", post("Content-Length: 5\r\nContent-Length: 05\r\n"), 400},
	{"9112 6.3 differing", post("Content-Length: 5\r\nContent-Length: 6\r\n"), 400},
	{"9112 6.3 list", post("Content-Length: 5, 5\r\n"), 400},
	{"9112 6.1 chunked", post("Transfer-Encoding: chunked\r\n"), 0},
	{"9112 6.1 chunked, case", post("transfer-ENCODING:CHUNKED\r\n"), 0},
	{"9112 6.1 CL.TE", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400},
	{"9112 6.1 TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400},
	{"9112 6.1 TE with CL 0", post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), 400},
	{"9112 6.1 in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"9112 6.1 xchunked", post("Transfer-Encoding: xchunked\r\n"), 400},
	{"9112 6.1 vertical tab", post("Transfer-Encoding: \x0bchunked\r\n"), 400},
	{"9112 6.1 list with identity", post("Transfer-Encoding: chunked, identity\r\n"), 400},
	{"9112 6.1 list with gzip", post("Transfer-Encoding: gzip, chunked\r\n"), 400},
	{"9112 6.1 twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
	{"9112 6.1 parameter", post("Transfer-Encoding: chunked;a=b\r\n"), 400},
	{"9112 6.1 quoted", post("Transfer-Encoding: \"chunked\"\r\n"), 400},
	{"9112 6.1 identity", post("Transfer-Encoding: identity\r\n"), 400},
	{"9112 6.1 empty", post("Transfer-Encoding:\r\n"), 400},
	{"9110 7.6.1 named field", get("Connection: x-a\r\nX-A: b\r\n"), 0},
	{"9110 7.6.1 empty elements", get("Connection: , close,,\r\n"), 0},
	{"9110 7.6.1 no token", get("Connection: a b\r\n"), 400},
	{"9110 7.6.1 names Host", get("Connection: close, Host\r\n"), 400},
	{"9110 7.6.1 names Content-Length", post("Content-Length: 5\r\nConnection: content-length\r\n"), 400},
	{"9110 7.6.1 names Transfer-Encoding", post("Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n"), 400},
	{"9110 7.6.1 names Trailer", get("Connection: trailer\r\n"), 400},
	{"9110 7.6.1 too many options", get("Connection: " + strings.Repeat("a,", 65) + "\r\n"), 400},
	{"9110 10.1.1 100-continue", post("Expect: 100-Continue\r\nContent-Length: 1\r\n"), 0},
	{"9110 10.1.1 other", get("Expect: a=b\r\n"), 417},
	{"9110 10.1.1 other in 1.0", "GET / HTTP/1.0\r\nExpect: a=b\r\n\r\n", 0},
	{"6585 5 too many fields", get(strings.Repeat("A: b\r\n", 256)), 431},
	{"6585 5 as many fields as may be", get(strings.Repeat("A: b\r\n", 255)), 0},
	{"6585 5 head too large", get("A: " + strings.Repeat("a", testLimit) + "\r\n"), 431},
	{"9110 15.5.15 request line too long", "GET /" + strings.Repeat("a", testLimit) + " HTTP/1.1\r\nHost: h\r\n\r\n", 414},
}

// status reduces an error to its status.
func status(t testing.TB, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error of type %T", err)
	}
	return e.Status
}

func TestRequestAcceptedOrRefused(t *testing.T) {
	for _, c := range requestCases {
		var r Request
		n, err := r.Parse([]byte(c.head), testLimit)
		if got := status(t, err); got != c.want {
			t.Errorf("%s: %q: status %d (%v), want %d", c.clause, c.head[:min(len(c.head), 99)], got, err, c.want)
		}
		if c.want == 0 && n != len(c.head) {
			t.Errorf("%s: head of %d bytes, want %d", c.clause, n, len(c.head))
		}
		if c.want != 0 && n != 0 {
			t.Errorf("%s: n is %d beside an error", c.clause, n)
		}
	}
}

// pieces shows a growing beginning of s, each in memory of its own, until parse has an answer.
func pieces(s string, step func() int, parse func(b []byte) (int, error)) (b []byte, n int, err error) {
	for end := 0; end < len(s) && n == 0 && err == nil; {
		end = min(end+step(), len(s))
		b = []byte(s[:end])
		n, err = parse(b)
	}
	return b, n, err
}

// TestRequestInPieces: the answer does not depend on how much comes at once.
func TestRequestInPieces(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	steps := map[string]func() int{
		"single bytes": func() int { return 1 },
		"random":       func() int { return 1 + random.IntN(9) },
		"large":        func() int { return 1 + random.IntN(3000) },
	}
	for _, c := range requestCases {
		var whole Request
		b := []byte(c.head)
		n, err := whole.Parse(b, testLimit)
		for name, step := range steps {
			if name == "single bytes" && len(c.head) > 2000 {
				continue
			}
			var r Request
			b2, n2, err2 := pieces(c.head, step, func(b []byte) (int, error) { return r.Parse(b, testLimit) })
			if n2 != n || fmt.Sprint(err2) != fmt.Sprint(err) {
				t.Errorf("%s, %s: %d, %v; at once %d, %v", c.clause, name, n2, err2, n, err)
				continue
			}
			if n == 0 {
				continue
			}
			f := &Forward{Client: "192.0.2.1", Proto: "http", Port: "80"}
			if got, want := r.AppendForward(nil, b2, f), whole.AppendForward(nil, b, f); string(got) != string(want) {
				t.Errorf("%s, %s: forwards %q, at once %q", c.clause, name, got, want)
			}
		}
	}
}

func TestRequestLimits(t *testing.T) {
	head := get("A: b\r\n")
	for limit := range len(head) + 3 {
		var r Request
		n, err := r.Parse([]byte(head+"next"), limit)
		want := 0
		switch {
		case limit <= len("GET / HTTP/1.1\r"):
			want = 414
		case limit < len(head):
			want = 431
		}
		if got := status(t, err); got != want || want == 0 && n != len(head) {
			t.Errorf("limit %d: n %d, status %d, want %d", limit, n, got, want)
		}
	}
}

func TestRequestProperties(t *testing.T) {
	for _, c := range []struct {
		head, want string
	}{
		{get(""), "GET / h 1 keep"},
		{"HEAD /a?b HTTP/1.1\r\nHost: x:80\r\n\r\n", "HEAD /a?b x:80 1 keep head"},
		{get("Connection: Close\r\n"), "GET / h 1"},
		{get("Connection: keep-alive, close\r\n"), "GET / h 1"},
		{"GET / HTTP/1.0\r\n\r\n", "GET /  0"},
		{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET /  0 keep"},
		{"GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", "GET /  0"},
		{"GET / HTTP/1.7\r\nHost: h\r\n\r\n", "GET / h 1 keep"},
		{"GET http://A:1/b HTTP/1.0\r\n\r\n", "GET http://A:1/b A:1 0"},
		{get("Connection: upgrade\r\nUpgrade: websocket\r\n"), "GET / h 1 keep upgrade"},
		{get("Upgrade: websocket\r\n"), "GET / h 1 keep"},
		{get("Connection: upgrade\r\n"), "GET / h 1 keep"},
		{get("Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"), "GET / h 1 keep"},
		{get("Connection: upgrade\r\nUpgrade: websocket, h2c\r\n"), "GET / h 1 keep"},
		{get("Connection: upgrade\r\nUpgrade: TLS/1.3\r\n"), "GET / h 1 keep"},
		{get("Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n"), "GET / h 1 keep"},
		{get("Connection: upgrade\r\nUpgrade: a b\r\n"), "GET / h 1 keep"},
		{post("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n"), "POST / h 1 keep unsafe"},
		{"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "GET /  0"},
		{post("Expect: 100-continue\r\nContent-Length: 1\r\n"), "POST / h 1 keep expect unsafe"},
		{post("Expect: 100-continue\r\n"), "POST / h 1 keep unsafe"},
	} {
		var r Request
		b := []byte(c.head)
		if _, err := r.Parse(b, testLimit); err != nil {
			t.Errorf("%q: %v", c.head, err)
			continue
		}
		got := fmt.Sprintf("%s %s %s %d", r.Method(b), r.Target(b), r.Host(b), r.Minor)
		for _, flag := range []struct {
			on   bool
			name string
		}{{r.KeepAlive, "keep"}, {r.IsHead, "head"}, {r.Upgrade, "upgrade"}, {r.Expect, "expect"}, {!r.Idempotent(), "unsafe"}} {
			if flag.on {
				got += " " + flag.name
			}
		}
		if got != c.want {
			t.Errorf("%q: %s, want %s", c.head, got, c.want)
		}
	}
}

func TestRequestAllocatesNothing(t *testing.T) {
	head := []byte(post("Content-Length: 5\r\nConnection: x-a, keep-alive\r\nX-A: 1\r\nX-Forwarded-For: 1.2.3.4\r\nExpect: 100-continue\r\n"))
	absolute := []byte("GET http://[2001:db8::1]:80?a HTTP/1.1\r\nHost: [2001:DB8::1]:80\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
	out := make([]byte, 0, 1024)
	f := &Forward{Client: "192.0.2.1", Proto: "https", Port: "443"}
	trusted := &Forward{Client: "192.0.2.1", Proto: "https", Port: "443", Trusted: true}
	full := &Forward{Client: "2001:db8::1", Proto: "https", Trusted: true, Field: TrustForwarded, Said: Said{Client: netip.MustParseAddr("2001:db8::2"), Proto: "https", Host: "a"},
		Forwarded: true, RealIP: true, By: "192.0.2.2", Via: "edge", IDName: "X-Request-ID", ID: []byte("0123456789abcdef")}
	var r Request
	allocs := testing.AllocsPerRun(100, func() {
		for _, b := range [][]byte{head, absolute} {
			r.Reset()
			for end := 40; end < len(b); end += 40 {
				_, _ = r.Parse(b[:end], testLimit)
			}
			if n, err := r.Parse(b, testLimit); n == 0 || err != nil {
				t.Fatal(n, err)
			}
			out = r.AppendForward(out[:0], b, f)
			out = r.AppendForward(out[:0], b, trusted)
			out = r.AppendForward(out[:0], b, full)
			if r.Passed(b, "edge") || r.ID(b, "X-Request-ID") != nil {
				t.Fatal("found what is not there")
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
