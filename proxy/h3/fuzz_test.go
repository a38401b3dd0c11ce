//go:build !nohttp3

package h3

import (
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
	f.Fuzz(func(t *testing.T, method, uri, host, name, value string, length int64, opens bool) {
		r := &http.Request{Method: method, RequestURI: uri, Host: host, Header: http.Header{name: {value}}, ContentLength: length}
		if opens { // as HTTP/3 has it, which also opens WebSockets by CONNECT
			r.ProtoMajor, r.Proto = 3, "websocket"
		}
		if webSocket(r) {
			method = http.MethodGet
		}
		head, _, err := appendHead(nil, r)
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
