package h2

import (
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"edgepen/httpx"
)

// headOf makes a head of "name: value" words, after the four pseudo-headers of a GET unless others are given.
func headOf(bodyless bool, fields ...[2]string) (string, error) {
	var h head
	h.reset(4096, false)
	for _, f := range fields {
		h.field(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	if err := h.check(bodyless); err != nil {
		return "", err
	}
	return string(h.appendRequest(nil, bodyless)), nil
}

// get is the pseudo-headers of a request with fields behind them.
func get(more ...[2]string) [][2]string {
	return append([][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/x?y"}, {":authority", "a.example"}}, more...)
}

func TestHeads(t *testing.T) {
	const line = "GET /x?y HTTP/1.1\r\nHost: a.example\r\n"
	for _, c := range []struct {
		name     string
		bodyless bool
		fields   [][2]string
		want     string
	}{
		{"plain", true, get([2]string{"accept", "*/*"}), line + "accept: */*\r\nConnection: close\r\n\r\n"},
		{"a body of unknown length", false, get(), line + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"},
		{"a body of known length", false, get([2]string{"content-length", "12"}), line + "Content-Length: 12\r\nConnection: close\r\n\r\n"},
		{"no body, and said so", true, get([2]string{"content-length", "0"}), line + "Content-Length: 0\r\nConnection: close\r\n\r\n"},
		{"cookies apart (RFC 9113 8.2.3)", true, get([2]string{"cookie", "a=b"}, [2]string{"cookie", "c=d"}), line + "Cookie: a=b; c=d\r\nConnection: close\r\n\r\n"},
		{"host as :authority", true, get([2]string{"host", "A.example"}), line + "Connection: close\r\n\r\n"},
		{"host alone", true, [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {"host", "b"}}, "GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n"},
		{"CONNECT is for the parser to refuse", true, [][2]string{{":method", "CONNECT"}, {":authority", "b:1"}}, "CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\nConnection: close\r\n\r\n"},
		{"asterisk", true, [][2]string{{":method", "OPTIONS"}, {":scheme", "https"}, {":path", "*"}, {":authority", "b"}}, "OPTIONS * HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n"},
		{"te", true, get([2]string{"te", "trailers"}), line + "te: trailers\r\nConnection: close\r\n\r\n"},
		{"an empty value", true, get([2]string{"x", ""}), line + "x: \r\nConnection: close\r\n\r\n"},
	} {
		got, err := headOf(c.bodyless, c.fields...)
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v\nwant %q", c.name, got, err, c.want)
		}
	}
}

// TestMalformedHeads: RFC 9113 section 8.1.1, and what would be another request in HTTP/1.1. The downgrades are those of PortSwigger's "HTTP/2: The Sequel
// is Always Worse".
func TestMalformedHeads(t *testing.T) {
	for _, fields := range [][][2]string{
		{},
		{{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}},
		{{":method", "GET"}, {":path", "/"}, {":authority", "a"}},
		{{":scheme", "https"}, {":path", "/"}, {":authority", "a"}},
		{{":method", "GET"}, {":scheme", "https"}, {":path", ""}, {":authority", "a"}},
		{{":method", "GET"}, {":scheme", "https"}, {":path", "x"}, {":authority", "a"}},
		{{":method", "GET"}, {":scheme", "https"}, {":path", "http://b/"}, {":authority", "a"}},
		{{":method", "GET"}, {":scheme", "https"}, {":path", "/ HTTP/1.1\r\nX: y"}, {":authority", "a"}},
		{{":method", "GET / HTTP/1.1\r\nX: y\r\n"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}},
		{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a\r\nX: y"}},
		{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}, {":authority", "a"}},
		{{":method", "GET"}, {":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}},
		{{":method", "CONNECT"}, {":authority", "a:1"}, {":path", "/"}},
		{{":method", "CONNECT"}},
		{{":method", "CONNECT"}, {":protocol", "connect-udp"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}},
		{{":method", "GET"}, {":protocol", "websocket"}, {":scheme", "https"}, {":path", "/"}, {":authority", "a"}},
		get([2]string{":status", "200"}),
		get([2]string{"x", "y"}, [2]string{":path", "/z"}),
		get([2]string{"host", "b"}),
		get([2]string{"host", "a.example"}, [2]string{"host", "a.example"}),
		get([2]string{"", "y"}),
		get([2]string{"X", "y"}),
		get([2]string{"x y", "z"}),
		get([2]string{"x:", "z"}),
		get([2]string{"x\r\ny", "z"}),
		get([2]string{"x", "y\r\nz: a"}),
		get([2]string{"x", "y\nz: a"}),
		get([2]string{"x", "\x00"}),
		get([2]string{"x", " y"}),
		get([2]string{"x", "y\t"}),
		get([2]string{"transfer-encoding", "chunked"}),
		get([2]string{"connection", "close"}),
		get([2]string{"keep-alive", "5"}),
		get([2]string{"proxy-connection", "close"}),
		get([2]string{"upgrade", "websocket"}),
		get([2]string{"te", "trailers, gzip"}),
		get([2]string{"content-length", "+1"}),
		get([2]string{"content-length", "1, 1"}),
		get([2]string{"content-length", "1"}, [2]string{"content-length", "2"}),
		get([2]string{"content-length", "-1"}),
		get([2]string{"content-length", ""}),
	} {
		if got, err := headOf(false, fields...); err == nil {
			t.Errorf("%q became %q", fields, got)
		}
	}
	if got, err := headOf(true, get([2]string{"content-length", "1"})...); err == nil {
		t.Errorf("a length without a body became %q", got)
	}
}

func TestLargeHeads(t *testing.T) {
	var h head
	h.reset(4096, false)
	for range 100 {
		h.field(hpack.HeaderField{Name: "x", Value: strings.Repeat("y", 100)})
	}
	if !h.large || len(h.fields) > 4096 {
		t.Errorf("large %v, %d bytes kept", h.large, len(h.fields))
	}
}

// FuzzHead makes heads of what clients say: one is refused, or is one request to the strict parser of HTTP/1.1, the very one that was meant.
func FuzzHead(f *testing.F) {
	f.Add("GET", "/", "example.com", "x", "y", "cookie", "a=b", true)
	f.Add("POST", "/a?b", "[::1]:443", "content-length", "3", "expect", "100-continue", false)
	f.Add("GET", "/ HTTP/1.1\r\nX: y", "a", "X", "y", "", "", true)
	f.Add("GET", "*", "a\r\nb", "transfer-encoding", "chunked", "x", "y", false)            // CVE-2021-33193 and its like: what a downgrade lets through
	f.Add("GET", "/", "a", "content-length", "0", "content-length", "10", false)            // CVE-2021-21295
	f.Add("GET /x HTTP/1.1\r\nHost: b\r\n\r\nGET", "/", "a", "host", "b", "te", "x", false) // a second request in the method
	f.Add("POST", "/", "a", "content-length", "18446744073709551615", "", "", false)        // CVE-2021-36740: one that is too large
	f.Add("GET", "/", "a", "foo: bar\r\ntransfer-encoding", "chunked", "", "", false)       // names that hold fields
	f.Fuzz(func(t *testing.T, method, path, authority, name, value, name2, value2 string, bodyless bool) {
		text, err := headOf(bodyless, [2]string{":method", method}, [2]string{":scheme", "https"}, [2]string{":path", path},
			[2]string{":authority", authority}, [2]string{name, value}, [2]string{name2, value2})
		if err != nil {
			return
		}
		var parsed httpx.Request
		b := []byte(text)
		n, err := parsed.Parse(b, 1<<20)
		if err != nil {
			return
		}
		if n != len(text) || method != "CONNECT" && (string(parsed.Method(b)) != method || string(parsed.Target(b)) != path) || string(parsed.Host(b)) != authority {
			t.Errorf("%q: a request of %d bytes, %s %s at %s", text, n, parsed.Method(b), parsed.Target(b), parsed.Host(b))
		}
		if chunked := parsed.Body.Chunked(); bodyless && !parsed.Body.Done() || !bodyless && !chunked && parsed.Body.Remaining() == 0 && name != "content-length" && name2 != "content-length" {
			t.Errorf("%q: bodyless %v, but the body is done %v", text, bodyless, parsed.Body.Done())
		}
	})
}
