package httpx

import (
	"net/netip"
	"strings"
	"testing"
)

// TestForward compares what is sent to the server, line by line, with "|" for CRLF.
func TestForward(t *testing.T) {
	stranger := Forward{Client: "192.0.2.1", Proto: "https", Port: "443"}
	proxy := Forward{Client: "192.0.2.1", Proto: "https", Port: "443", Trusted: true}
	client := netip.MustParseAddr("2001:db8::9")
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
			"GET / HTTP/1.1|Host: h|X-Forwarded-Ssl: on|X-Forwarded-Proto: http|X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.1|X-Forwarded-Host: h|X-Forwarded-Port: 443||"},
		{"trusted with host and port", proxy, "GET / HTTP/1.1|Host: h|X-Forwarded-Host: www|X-Forwarded-Port: 8443||",
			"GET / HTTP/1.1|Host: h|X-Forwarded-Proto: https|X-Forwarded-For: 192.0.2.1|X-Forwarded-Host: www|X-Forwarded-Port: 8443||"},
		{"Connection cannot take away what a trusted proxy said", proxy, "GET / HTTP/1.1|Host: h|X-Forwarded-For: 1.1.1.1|X-Real-IP: 1.1.1.1|Connection: X-Forwarded-For, X-Real-IP||",
			"GET / HTTP/1.1|Host: h|X-Forwarded-Proto: https|X-Forwarded-For: 1.1.1.1, 192.0.2.1|X-Forwarded-Host: h|X-Forwarded-Port: 443||"},
		{"Unix socket", Forward{Proto: "http"}, "GET / HTTP/1.1|Host: h|X-Forwarded-For: 1.1.1.1||", "GET / HTTP/1.1|Host: h|X-Forwarded-Proto: http|X-Forwarded-Host: h||"},
		{"trusted Unix socket", Forward{Proto: "http", Trusted: true}, "GET / HTTP/1.1|Host: h|X-Forwarded-For: 1.1.1.1||",
			"GET / HTTP/1.1|Host: h|X-Forwarded-Proto: http|X-Forwarded-For: 1.1.1.1|X-Forwarded-Host: h||"},
		{"by Forwarded", Forward{Client: "192.0.2.1", Proto: "http", Port: "80", Trusted: true, Field: TrustForwarded, Said: Said{Client: client, Proto: "https", Host: "www"}},
			"GET / HTTP/1.1|Host: h|Forwarded: for=1|X-Forwarded-For: 6.6.6.6|X-Forwarded-Proto: evil|X-Forwarded-Ssl: evil|X-Real-IP: 6.6.6.6||",
			"GET / HTTP/1.1|Host: h|Forwarded: for=1|X-Forwarded-Proto: https|X-Forwarded-For: 2001:db8::9, 192.0.2.1|X-Forwarded-Host: www|X-Forwarded-Port: 443||"},
		{"by Forwarded, of nobody", Forward{Client: "192.0.2.1", Proto: "http", Port: "80", Trusted: true, Field: TrustForwarded},
			"GET / HTTP/1.1|Host: h|X-Forwarded-For: 6.6.6.6||",
			"GET / HTTP/1.1|Host: h|X-Forwarded-Proto: http|X-Forwarded-For: 192.0.2.1|X-Forwarded-Host: h|X-Forwarded-Port: 80||"},
		{"by X-Real-IP", Forward{Client: "192.0.2.1", Proto: "http", Trusted: true, Field: TrustRealIP, Said: Said{Client: client}},
			"GET / HTTP/1.1|Host: h|X-Real-IP: 2001:db8::9|X-Forwarded-For: 6.6.6.6|Forwarded: for=6.6.6.6|X-Forwarded-Proto: https||",
			"GET / HTTP/1.1|Host: h|X-Real-IP: 2001:db8::9|X-Forwarded-Proto: https|X-Forwarded-For: 2001:db8::9, 192.0.2.1|X-Forwarded-Host: h||"},
		{"Forwarded and X-Real-IP", Forward{Client: "2001:db8::1", Proto: "https", Forwarded: true, By: "2001:db8::2", RealIP: true},
			"GET / HTTP/1.1|Host: h:8443|Forwarded: for=6.6.6.6|X-Real-IP: 6.6.6.6||",
			`GET / HTTP/1.1|Host: h:8443|X-Forwarded-Proto: https|X-Forwarded-For: 2001:db8::1|X-Forwarded-Host: h:8443|Forwarded: for="[2001:db8::1]";proto=https;host="h:8443";by="[2001:db8::2]"|X-Real-IP: 2001:db8::1||`},
		{"Forwarded appended", Forward{Client: "192.0.2.1", Proto: "http", Trusted: true, Field: TrustForwarded, Said: Said{Client: client}, Forwarded: true, By: "192.0.2.2", RealIP: true},
			"GET / HTTP/1.0|Forwarded: for=1|Forwarded:|Forwarded: for=2;proto=http||",
			"GET / HTTP/1.0|X-Forwarded-Proto: http|X-Forwarded-For: 2001:db8::9, 192.0.2.1|Forwarded: for=1, for=2;proto=http, for=192.0.2.1;proto=http;by=192.0.2.2|X-Real-IP: 2001:db8::9||"},
		{"Forwarded by X-Forwarded-For", Forward{Client: "192.0.2.1", Proto: "http", Trusted: true, Said: Said{Client: client}, Forwarded: true},
			"GET / HTTP/1.0|Forwarded: for=6.6.6.6|X-Forwarded-For: 2001:db8::9||",
			`GET / HTTP/1.0|X-Forwarded-Proto: http|X-Forwarded-For: 2001:db8::9, 192.0.2.1|Forwarded: for="[2001:db8::9]", for=192.0.2.1;proto=http||`},
		{"Forwarded by X-Forwarded-For, -Proto and -Host", Forward{Client: "192.0.2.1", Proto: "http", Trusted: true, Said: Said{Client: client}, Forwarded: true},
			"GET / HTTP/1.0|X-Forwarded-Proto: HTTPS|X-Forwarded-Host: a:8443||",
			`GET / HTTP/1.0|X-Forwarded-Proto: HTTPS|X-Forwarded-For: 192.0.2.1|X-Forwarded-Host: a:8443|Forwarded: for="[2001:db8::9]";proto=https;host="a:8443", for=192.0.2.1;proto=http||`},
		{"Forwarded by what says two things or nonsense", Forward{Client: "192.0.2.1", Proto: "http", Trusted: true, Said: Said{Client: client}, Forwarded: true},
			`GET / HTTP/1.0|X-Forwarded-Proto: https, http|X-Forwarded-Host: a";by=b||`,
			`GET / HTTP/1.0|X-Forwarded-Proto: https, http|X-Forwarded-For: 192.0.2.1|X-Forwarded-Host: a";by=b|Forwarded: for="[2001:db8::9]", for=192.0.2.1;proto=http||`},
		{"Forwarded of a Unix socket", Forward{Proto: "http", Forwarded: true}, "GET / HTTP/1.0||", "GET / HTTP/1.0|X-Forwarded-Proto: http|Forwarded: for=unknown;proto=http||"},
		{"Via and an id", Forward{Via: "edge", IDName: "X-Request-ID", ID: []byte("7")},
			"GET / HTTP/1.0|Host: h|Via: 1.1 a (b, c)|x-request-id: 6|X_Request_ID: 6||", "GET / HTTP/1.0|Host: h|Via: 1.1 a (b, c)|X-Forwarded-Host: h|X-Request-ID: 7|Via: 1.0 edge||"},
		{"Via of HTTP/2", Forward{Via: "edge:443", Version: "2"}, "GET / HTTP/1.1|Host: h|Connection: Via|Via: 1.1 a||", "GET / HTTP/1.1|Host: h|Via: 1.1 a|X-Forwarded-Host: h|Via: 2 edge:443||"},
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
