package httpx

import (
	"strings"
	"testing"
)

// TestForward compares what is sent to the server, line by line, with "|" for CRLF.
func TestForward(t *testing.T) {
	stranger := Forward{Client: "192.0.2.1", Proto: "https", Port: "443"}
	proxy := Forward{Client: "192.0.2.1", Proto: "https", Port: "443", Trusted: true}
	const ours = "X-Forwarded-Proto: https|X-Forwarded-For: 192.0.2.1|X-Forwarded-Host: h|X-Forwarded-Port: 443||"
	for _, c := range []struct {
		name     string
		from     Forward
		in, want string
	}{
		{"plain", stranger, "GET /a HTTP/1.1|Host: h|A: b||", "GET /a HTTP/1.1|Host: h|A: b|" + ours},
		{"1.0", stranger, "GET /a HTTP/1.0||", "GET /a HTTP/1.0|X-Forwarded-Proto: https|X-Forwarded-For: 192.0.2.1|X-Forwarded-Port: 443||"},
		{"1.0 kept alive", stranger, "GET /a HTTP/1.0|Host: h|Connection: keep-alive||", "GET /a HTTP/1.0|Host: h|Connection: keep-alive|" + ours},
		{"1.2 becomes 1.1", stranger, "GET /a HTTP/1.2|Host: h||", "GET /a HTTP/1.1|Host: h|" + ours},
		{"empty lines vanish", stranger, "||GET /a HTTP/1.1|Host: h||", "GET /a HTTP/1.1|Host: h|" + ours},
		{"unusual blanks vanish", stranger, "GET / HTTP/1.1|Host: \t h |A:  b|C:d||", "GET / HTTP/1.1|Host: h|A: b|C:d|" + ours},
		{"absolute", stranger, "GET http://H/a?b HTTP/1.1|A: b|Host: h||",
			"GET /a?b HTTP/1.1|Host: H|A: b|X-Forwarded-Proto: https|X-Forwarded-For: 192.0.2.1|X-Forwarded-Host: H|X-Forwarded-Port: 443||"},
		{"absolute without path", stranger, "GET http://h HTTP/1.1|Host: h||", "GET / HTTP/1.1|Host: h|" + ours},
		{"absolute with only a query", stranger, "GET http://h?x HTTP/1.1|Host: h||", "GET /?x HTTP/1.1|Host: h|" + ours},
		{"absolute OPTIONS", stranger, "OPTIONS http://h HTTP/1.1|Host: h||", "OPTIONS * HTTP/1.1|Host: h|" + ours},
		{"hop by hop", stranger,
			"GET / HTTP/1.1|Host: h|Connection: close, X-A|X-A: 1|Keep-Alive: 5|A: b|Proxy-Connection: x|TE: trailers|Upgrade: a|x-a: 2|Proxy-Authorization: x|HTTP2-Settings: x||",
			"GET / HTTP/1.1|Host: h|A: b|" + ours},
		{"upgrade", stranger, "GET / HTTP/1.1|Host: h|Connection: keep-alive, Upgrade|Upgrade: websocket|Sec-WebSocket-Version: 13||",
			"GET / HTTP/1.1|Host: h|Upgrade: websocket|Sec-WebSocket-Version: 13|Connection: Upgrade|" + ours},
		{"same length twice", stranger, "PUT / HTTP/1.1|Host: h|Content-Length: 5|A: b|content-length: 5||",
			"PUT / HTTP/1.1|Host: h|Content-Length: 5|A: b|" + ours},
		{"expectation", stranger, "PUT / HTTP/1.1|Host: h|Content-Length: 5|Expect: 100-continue||",
			"PUT / HTTP/1.1|Host: h|Content-Length: 5|Expect: 100-continue|" + ours},
		{"expectation without a body", stranger, "GET / HTTP/1.1|Host: h|Expect: 100-continue||", "GET / HTTP/1.1|Host: h|" + ours},
		{"forged", stranger,
			"GET / HTTP/1.1|X-Forwarded-For: 1.1.1.1|Host: h|x-forwarded-proto: a|X-FORWARDED-HOST: b|X-Forwarded-Port: 1|X-Forwarded-Ssl: on|X-Forwarded: x|Forwarded: for=1|X-Real-IP: 1.1.1.1||",
			"GET / HTTP/1.1|Host: h|" + ours},
		{"forged in other punctuation", stranger,
			"GET / HTTP/1.1|Host: h|X_Forwarded_For: 1|X-Forwarded_Proto: a|X.Forwarded.Host: b|x_real_ip: 1|X_Forwarded_Ssl: 1|Content_Length: 5|Transfer_Encoding: chunked|Keep_Alive: 1|A_B: c||",
			"GET / HTTP/1.1|Host: h|A_B: c|" + ours},
		{"trusted", proxy,
			"GET / HTTP/1.1|X-Forwarded-For: 1.1.1.1|Host: h|X-Forwarded-For:|x-forwarded-for: 2.2.2.2, 3.3.3.3|X-Forwarded-Proto: http|X-Forwarded-Ssl: on|Forwarded: for=1|X-Real-IP: 1.1.1.1|X_Forwarded_For: 9.9.9.9||",
			"GET / HTTP/1.1|Host: h|X-Forwarded-Ssl: on|Forwarded: for=1|X-Real-IP: 1.1.1.1|X-Forwarded-Proto: http|X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.1|X-Forwarded-Host: h|X-Forwarded-Port: 443||"},
		{"trusted with host and port", proxy, "GET / HTTP/1.1|Host: h|X-Forwarded-Host: www|X-Forwarded-Port: 8443||",
			"GET / HTTP/1.1|Host: h|X-Forwarded-Proto: https|X-Forwarded-For: 192.0.2.1|X-Forwarded-Host: www|X-Forwarded-Port: 8443||"},
		{"Connection cannot take away what a trusted proxy said", proxy, "GET / HTTP/1.1|Host: h|X-Forwarded-For: 1.1.1.1|X-Real-IP: 1.1.1.1|Connection: X-Forwarded-For, X-Real-IP||",
			"GET / HTTP/1.1|Host: h|X-Real-IP: 1.1.1.1|X-Forwarded-Proto: https|X-Forwarded-For: 1.1.1.1, 192.0.2.1|X-Forwarded-Host: h|X-Forwarded-Port: 443||"},
		{"Unix socket", Forward{Proto: "http"}, "GET / HTTP/1.1|Host: h|X-Forwarded-For: 1.1.1.1||", "GET / HTTP/1.1|Host: h|X-Forwarded-Proto: http|X-Forwarded-Host: h||"},
		{"trusted Unix socket", Forward{Proto: "http", Trusted: true}, "GET / HTTP/1.1|Host: h|X-Forwarded-For: 1.1.1.1||",
			"GET / HTTP/1.1|Host: h|X-Forwarded-Proto: http|X-Forwarded-For: 1.1.1.1|X-Forwarded-Host: h||"},
	} {
		var r Request
		b := []byte(strings.ReplaceAll(c.in, "|", "\r\n"))
		if _, err := r.Parse(b, testLimit); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := string(r.AppendForward([]byte("before"), b, &c.from))
		if got = strings.ReplaceAll(got, "\r\n", "|"); got != "before"+c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, "before"+c.want)
		}
	}
}
