package h2

import (
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"edgepen/httpx"
	"edgepen/httpx/smugglingtest"
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

// FuzzHead makes heads, and trailers, of what clients say: one is refused, or is one request to the strict parser of HTTP/1.1, the very one that was
// meant, or the end of a body and nothing behind it.
func FuzzHead(f *testing.F) {
	add := func(bodyless bool, fields ...string) {
		var block []byte
		for i := 0; i < len(fields); i += 2 {
			block = appendLiteral(block, fields[i], fields[i+1])
		}
		f.Add(block, bodyless, []byte(nil))
	}
	add(true, ":method", "GET", ":scheme", "https", ":path", "/", ":authority", "example.com", "x", "y", "cookie", "a=b")
	add(false, ":method", "POST", ":scheme", "https", ":path", "/a?b", ":authority", "[::1]:443", "content-length", "3", "expect", "100-continue")
	for _, c := range smugglingtest.LoadHTTP2(f, "../..") {
		var block, trailer []byte
		for _, one := range c.Fields {
			block = appendLiteral(block, one.Name, one.Value)
		}
		for _, one := range c.Trailer {
			trailer = appendLiteral(trailer, one.Name, one.Value)
		}
		if len(block) < 4096 {
			f.Add(block, len(c.Data) == 0, trailer)
		}
	}
	f.Fuzz(func(t *testing.T, block []byte, bodyless bool, trailer []byte) {
		if h, fields := decoded(block, false); h != nil && h.check(bodyless) == nil {
			compareHead(t, h, fields, bodyless)
		}
		if h, _ := decoded(trailer, true); h != nil && h.malformed == nil {
			compareTrailer(t, h)
		}
	})
}

// appendLiteral appends a field as plain as it can be encoded (RFC 7541 section 6.2.2), so that mutations change what it says.
func appendLiteral(b []byte, name, value string) []byte {
	b = append(b, 0)
	for _, s := range []string{name, value} {
		n := len(s)
		if n < 127 {
			b = append(b, byte(n))
		} else {
			b = append(b, 127)
			for n -= 127; n >= 128; n >>= 7 {
				b = append(b, byte(n)|128)
			}
			b = append(b, byte(n))
		}
		b = append(b, s...)
	}
	return b
}

// decoded is the head that a block makes, and its fields by name; nil: it is not one of HPACK.
func decoded(block []byte, trailer bool) (*head, map[string][]string) {
	h, fields := new(head), map[string][]string{}
	h.reset(1<<20, trailer)
	dec := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		h.field(f)
		fields[f.Name] = append(fields[f.Name], f.Value)
	})
	if _, err := dec.Write(block); err != nil || dec.Close() != nil {
		return nil, nil
	}
	return h, fields
}

// compareHead compares a head with what the parser of HTTP/1.1 makes of it.
func compareHead(t *testing.T, h *head, fields map[string][]string, bodyless bool) {
	var parsed httpx.Request
	b := h.appendRequest(nil, bodyless)
	n, err := parsed.Parse(b, 1<<20)
	if err != nil {
		return
	}
	one := func(names ...string) string { // the only value, of the first name that has any
		for _, name := range names {
			if values := fields[name]; len(values) > 0 {
				return values[0]
			}
		}
		return ""
	}
	method, opens := one(":method"), one(":protocol") != ""
	if opens {
		method = "GET"
	}
	if n != len(b) || string(parsed.Method(b)) != method || string(parsed.Target(b)) != one(":path") || string(parsed.Host(b)) != one(":authority", "host") {
		t.Errorf("%q: a request of %d bytes, %s %s at %s", b, n, parsed.Method(b), parsed.Target(b), parsed.Host(b))
	}
	if opens {
		return
	}
	lines := 4 // the request line, Host, Connection and the end
	for name, values := range fields {
		switch {
		case strings.HasPrefix(name, ":"), name == "host":
		case name == "cookie" && strings.Join(values, "") == "": // it says nothing
		case name == "cookie", name == "content-length":
			lines++
		default:
			lines += len(values)
		}
	}
	length, _ := strconv.ParseInt(one("content-length"), 10, 64)
	chunked := !bodyless && len(fields["content-length"]) == 0
	if chunked {
		lines++
	}
	if strings.Count(string(b), "\n") != lines || strings.Count(string(b), "\r") != lines {
		t.Errorf("%q: expected %d lines", b, lines)
	}
	if parsed.Body.Chunked() != chunked || !chunked && parsed.Body.Remaining() != length || parsed.KeepAlive {
		t.Errorf("%q: chunked %v, %d bytes, kept alive %v", b, parsed.Body.Chunked(), parsed.Body.Remaining(), parsed.KeepAlive)
	}
}

// compareTrailer feeds a trailer to the body of HTTP/1.1 that it ends.
func compareTrailer(t *testing.T, h *head) {
	const chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	var parsed httpx.Request
	if _, err := parsed.Parse([]byte(chunked), 4096); err != nil {
		t.Fatal(err)
	}
	b := h.appendTrailer(nil)
	text := string(b) // Feed changes what it is given
	if n, _, err := parsed.Body.Feed(b); err == nil && (n != len(text) || !parsed.Body.Done()) {
		t.Errorf("%q: %d of %d bytes are the end, which it is: %v", text, n, len(text), parsed.Body.Done())
	}
}
