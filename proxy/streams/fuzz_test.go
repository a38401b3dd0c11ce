package streams

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"

	"edgepen/httpx"
)

// FuzzHead makes heads of what clients say: one is refused, or is one request to the strict parser.
func FuzzHead(f *testing.F) {
	f.Add("GET", "/", "example.com", "x", "y", int64(0), false)
	f.Add("POST", "/a?b", "[::1]:443", "Cookie", "a=b; c=d", int64(-1), true)
	f.Add("GET", "/ HTTP/1.1\r\nX: y", "a", "X", "y", int64(0), false)
	f.Add("GET", "*", "a\r\nb", "Transfer-Encoding", "chunked", int64(3), false)
	f.Add("CONNECT", "/chat", "a", "Sec-Websocket-Key", "x", int64(-1), true)
	f.Add("OPTIONS", "http://a/", "b", "Host", "c", int64(0), false)
	f.Fuzz(func(t *testing.T, method, uri, host, name, value string, length int64, expects bool) {
		r := &http.Request{Method: method, RequestURI: uri, Host: host, Header: http.Header{name: {value}}, ContentLength: length}
		if expects { // as HTTP/3 has it, which also opens WebSockets by CONNECT
			r.ProtoMajor, r.Proto = 3, "websocket"
		}
		if webSocket(r) {
			method = http.MethodGet
		}
		head, err := appendHead(nil, r, expects)
		if err != nil {
			return
		}
		var parsed httpx.Request
		n, err := parsed.Parse(head, 1<<20)
		if err != nil {
			return
		}
		if n != len(head) || string(parsed.Method(head)) != method {
			t.Errorf("%q: one request of %d bytes, method %q", head, n, parsed.Method(head))
		}
	})
}

// sink is a ResponseWriter that remembers.
type sink struct {
	header http.Header
	said   bytes.Buffer
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { fmt.Fprintf(&s.said, "[%d]", status) }
func (s *sink) Write(p []byte) (int, error) { return s.said.Write(p) }

// FuzzAnswer takes a response in pieces of any size: the same comes of it as in one.
func FuzzAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n", 3)
	f.Add("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 1)
	f.Add("HTTP/1.1 200 OK\r\n\r\nabc", 7)
	f.Fuzz(func(t *testing.T, said string, step int) {
		step = max(step, 1)
		whole, pieces := &sink{header: http.Header{}}, &sink{header: http.Header{}}
		var a, b answer
		one := a.take(whole, []byte(said), false)
		var two error
		for rest := []byte(said); len(rest) > 0 && two == nil; {
			n := min(step, len(rest))
			two = b.take(pieces, bytes.Clone(rest[:n]), false)
			rest = rest[n:]
		}
		if (one == nil) != (two == nil) || a.complete() != b.complete() || one == nil && whole.said.String() != pieces.said.String() {
			t.Errorf("%q by %d: %v and %v, %v and %v, %q and %q", said, step, one, two, a.complete(), b.complete(), &whole.said, &pieces.said)
		}
	})
}
