package httpx

import (
	"fmt"
	"strings"
	"testing"
)

func ok(fields string) string { return "HTTP/1.1 200 OK\r\n" + fields + "\r\n" }

var responseCases = []struct {
	headCase
	isHead bool
	body   string // how the body ends
}{
	{headCase{"9112 6.3 length", ok("Content-Length: 5\r\n"), 0}, false, "5 keep"},
	{headCase{"9112 6.3 chunked", ok("Transfer-Encoding: chunked\r\n"), 0}, false, "chunked keep"},
	{headCase{"9112 6.3 until close", ok(""), 0}, false, "close"},
	{headCase{"9112 6.3 HEAD", ok("Content-Length: 5\r\n"), 0}, true, "none keep"},
	{headCase{"9112 6.3 HEAD chunked", ok("Transfer-Encoding: chunked\r\n"), 0}, true, "none keep"},
	{headCase{"9112 6.3 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 0}, false, "none keep"},
	{headCase{"9112 6.3 204", "HTTP/1.1 204 No Content\r\n\r\n", 0}, false, "none keep"},
	{headCase{"9110 8.6 204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 0}, false, "none"},
	{headCase{"9110 8.6 204 with length 0", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 0}, false, "none keep"},
	{headCase{"9112 6.1 204 chunked", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 0}, false, "none"},
	{headCase{"9110 15.2 100", "HTTP/1.1 100 Continue\r\n\r\n", 0}, false, "none keep"},
	{headCase{"9110 15.2.2 101", "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n", 0}, false, "none"},
	{headCase{"9110 15.2.2 101 without Upgrade", "HTTP/1.1 101 Switching\r\n\r\n", 400}, false, ""},
	{headCase{"9110 15.2.2 101 without Connection", "HTTP/1.1 101 Switching\r\nUpgrade: a\r\n\r\n", 400}, false, ""},
	{headCase{"9112 9.3 close", ok("Content-Length: 0\r\nConnection: close\r\n"), 0}, false, "none"},
	{headCase{"9112 9.3 1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", 0}, false, "5"},
	{headCase{"9112 9.3 1.0 kept alive", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", 0}, false, "5 keep"},
	{headCase{"9112 9.3 1.0 until close", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", 0}, false, "close"},
	{headCase{"9112 4 no reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 0}, false, "none keep"},
	{headCase{"9112 4 no blank", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 0}, false, "none keep"},
	{headCase{"9112 4 reason with obs-text", "HTTP/1.1 200 \xe4 b\tc\r\nContent-Length: 0\r\n\r\n", 0}, false, "none keep"},
	{headCase{"9112 4 reason with a control", "HTTP/1.1 200 a\x01\r\n\r\n", 400}, false, ""},
	{headCase{"9112 4 reason with CR", "HTTP/1.1 200 a\rb\r\n\r\n", 400}, false, ""},
	{headCase{"9112 4 status below 100", "HTTP/1.1 099 a\r\n\r\n", 400}, false, ""},
	{headCase{"9110 15 status above 599", "HTTP/1.1 600 a\r\n\r\n", 400}, false, ""},
	{headCase{"9112 4 four digits", "HTTP/1.1 2000 a\r\n\r\n", 400}, false, ""},
	{headCase{"9112 4 sign", "HTTP/1.1 +20 a\r\n\r\n", 400}, false, ""},
	{headCase{"9112 4 two blanks", "HTTP/1.1  200 a\r\n\r\n", 400}, false, ""},
	{headCase{"9112 4 tab", "HTTP/1.1\t200 a\r\n\r\n", 400}, false, ""},
	{headCase{"9112 4 short", "HTTP/1.1\r\n\r\n", 400}, false, ""},
	{headCase{"9112 4 other protocol", "ICY 200 OK and more\r\n\r\n", 400}, false, ""},
	{headCase{"9112 2.3 HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", 505}, false, ""},
	{headCase{"9112 2.2 empty line before", "\r\n" + ok(""), 400}, false, ""},
	{headCase{"9112 2.2 LF", "HTTP/1.1 200 OK\nA: b\n\n", 400}, false, ""},
	{headCase{"9112 2.2 LF behind a value", ok("A: bcd\n"), 400}, false, ""},
	{headCase{"9112 5.2 folding", ok("A: b\r\n c\r\n"), 400}, false, ""},
	{headCase{"9112 5.1 blank before the colon", ok("A : b\r\n"), 400}, false, ""},
	{headCase{"9112 6.1 both", ok("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400}, false, ""},
	{headCase{"9112 6.1 in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 400}, false, ""},
	{headCase{"9112 6.1 gzip", ok("Transfer-Encoding: gzip\r\n"), 400}, false, ""},
	{headCase{"9112 6.1 both in HEAD", ok("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400}, true, ""},
	{headCase{"9112 6.3 same again", ok("Content-Length: 5\r\nContent-Length: 5\r\n"), 0}, false, "5 keep"},
	{headCase{"9112 6.3 differing", ok("Content-Length: 5\r\nContent-Length: 6\r\n"), 400}, false, ""},
	{headCase{"9110 7.6.1 names Content-Length", ok("Content-Length: 5\r\nConnection: content-length\r\n"), 400}, false, ""},
	{headCase{"6585 5 too large", ok("A: " + strings.Repeat("a", testLimit) + "\r\n"), 431}, false, ""},
	{headCase{"6585 5 too many fields", ok(strings.Repeat("A: b\r\n", 257)), 431}, false, ""},
}

// describe says how a response ends.
func (r *Response) describe() string {
	s := fmt.Sprint(r.Body.Remaining())
	switch {
	case r.Body.UntilClose():
		s = "close"
	case r.Body.Chunked():
		s = "chunked"
	case r.Body.Done():
		s = "none"
	}
	if r.KeepAlive {
		s += " keep"
	}
	return s
}

func TestResponseAcceptedOrRefused(t *testing.T) {
	for _, c := range responseCases {
		var r Response
		n, err := r.Parse([]byte(c.head), testLimit, c.isHead)
		if got := status(t, err); got != c.want {
			t.Errorf("%s: status %d (%v), want %d", c.clause, got, err, c.want)
		}
		if c.want == 0 && (n != len(c.head) || r.describe() != c.body) {
			t.Errorf("%s: n %d, %s; want %d, %s", c.clause, n, r.describe(), len(c.head), c.body)
		}
		if len(c.head) > 3000 {
			continue
		}
		var single Response
		_, n2, err2 := pieces(c.head, func() int { return 1 }, func(b []byte) (int, error) { return single.Parse(b, testLimit, c.isHead) })
		if n2 != n || fmt.Sprint(err2) != fmt.Sprint(err) || single.describe() != r.describe() {
			t.Errorf("%s: byte by byte %d, %v", c.clause, n2, err2)
		}
	}
}

func TestResponseForward(t *testing.T) {
	for _, c := range []struct {
		name     string
		keep     bool
		minor    int
		in, want string
	}{
		{"plain", true, 1, "HTTP/1.1 200 OK|Content-Length: 5|A: b||", "HTTP/1.1 200 OK|Content-Length: 5|A: b||"},
		{"closing", false, 1, "HTTP/1.1 200 OK|Content-Length: 5||", "HTTP/1.1 200 OK|Content-Length: 5|Connection: close||"},
		{"kept for 1.0", true, 0, "HTTP/1.0 200 OK|Content-Length: 5||", "HTTP/1.1 200 OK|Content-Length: 5|Connection: keep-alive||"},
		{"until close", true, 1, "HTTP/1.1 200 OK|A: b||", "HTTP/1.1 200 OK|A: b|Connection: close||"},
		{"no reason", true, 1, "HTTP/1.1 200|Content-Length: 5||", "HTTP/1.1 200 |Content-Length: 5||"},
		{"hop by hop", true, 1, "HTTP/1.1 200 OK|Connection: close, X-A|X-A: 1|Keep-Alive: 5|Upgrade: h2|Content-Length: 5|Content-Length: 5|Proxy-Authenticate: x||",
			"HTTP/1.1 200 OK|Content-Length: 5||"},
		{"interim", false, 1, "HTTP/1.1 103 Early Hints|Link: a|Content-Length: 5||", "HTTP/1.1 103 Early Hints|Link: a||"},
		{"204", true, 1, "HTTP/1.1 204 No|Content-Length: 0|A: b|Content-Length: 0||", "HTTP/1.1 204 No|A: b||"},
		{"304", true, 1, "HTTP/1.1 304 No|Content-Length: 7||", "HTTP/1.1 304 No|Content-Length: 7||"},
		{"upgrade", false, 1, "HTTP/1.1 101 Go|Connection: upgrade|Upgrade: websocket||", "HTTP/1.1 101 Go|Upgrade: websocket|Connection: Upgrade||"},
		{"names that mean nothing here", true, 1, "HTTP/1.1 204 No|Content_Length: 0|X-Forwarded-For: b|Host: c||", "HTTP/1.1 204 No|Content_Length: 0|X-Forwarded-For: b|Host: c||"},
	} {
		var r Response
		b := []byte(strings.ReplaceAll(c.in, "|", "\r\n"))
		if _, err := r.Parse(b, testLimit, false); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := strings.ReplaceAll(string(r.AppendForward(nil, b, c.keep, c.minor)), "\r\n", "|")
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestResponseAllocatesNothing(t *testing.T) {
	b, out := []byte(benchResponse), make([]byte, 0, 1024)
	var r Response
	allocs := testing.AllocsPerRun(100, func() {
		r.Reset()
		if n, err := r.Parse(b, testLimit, false); n == 0 || err != nil {
			t.Fatal(n, err)
		}
		out = r.AppendForward(out[:0], b, false, 1)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func TestErrorPage(t *testing.T) {
	got := string(AppendErrorPage(nil, 503, "no <server>", false))
	head, page, _ := strings.Cut(got, "\r\n\r\n")
	var r Response
	n, err := r.Parse([]byte(got), testLimit, false)
	if err != nil || r.Status != 503 || r.KeepAlive || r.Body.Remaining() != int64(len(got)-n) {
		t.Errorf("%v, status %d, length %d of %d: %s", err, r.Status, r.Body.Remaining(), len(got)-n, got)
	}
	if !strings.Contains(page, "no &lt;server&gt;") || !strings.HasPrefix(got, "HTTP/1.1 503 Service Unavailable\r\n") {
		t.Errorf("page: %s", got)
	}
	if headOnly := string(AppendErrorPage(nil, 503, "no <server>", true)); headOnly != head+"\r\n\r\n" {
		t.Errorf("for HEAD: %s", headOnly)
	}
}
