package httpx

import (
	"strings"
	"testing"
)

func TestPassed(t *testing.T) {
	for value, want := range map[string]bool{
		"1.1 edge": true, "1.0 a, 1.1 Edge": true, "HTTP/2 edge (pen; 1.0)": true, "1.1 a (x, y), 1.1 edge": true, ",, 1.1\tedge ,": true,
		"": false, "1.1": false, "edge": false, "1.1 edges": false, "1.1 a (1.1 edge)": false, "1.1 a (b, 1.1 edge, c)": false, `1.1 a (\), 1.1 edge)`: false,
		"edge,": false, "1.1 edge:80": false, "1.1 a b edge": false, "1.1 a (": false, "1.1 (edge)": false,
	} {
		var r Request
		b := []byte("GET / HTTP/1.0\r\nVia: 1.1 first\r\nVia: " + value + "\r\n\r\n")
		if n, err := r.Parse(b, testLimit); n != len(b) || err != nil {
			t.Fatal(err)
		}
		if got := r.Passed(b, "edge"); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}

func TestViaOfResponses(t *testing.T) {
	for version, want := range map[string]string{"1.1": "1.1", "1.0": "1.0", "1.2": "1.1"} {
		var r Response
		b := []byte("HTTP/" + version + " 200 OK\r\nVia: 1.1 a\r\nX-Request-ID: 1\r\nContent-Length: 0\r\n\r\n")
		if _, err := r.Parse(b, testLimit, false); err != nil {
			t.Fatal(err)
		}
		r.Apply(b, &ResponsePolicy{Remove: []string{"x-request-id"}, Via: "edge"})
		r.Extra = []byte("X-Request-ID: 7\r\n")
		out := string(r.AppendForward(nil, b, true, 1))
		if out != "HTTP/1.1 200 OK\r\nVia: 1.1 a\r\nContent-Length: 0\r\nX-Request-ID: 7\r\nVia: "+want+" edge\r\n\r\n" {
			t.Errorf("%q", out)
		}
	}
}

func TestID(t *testing.T) {
	for fields, want := range map[string]string{
		"X-Request-ID: abc-1": "abc-1", "x-request-id: A.b_c~d+e/f=g:h@i": "A.b_c~d+e/f=g:h@i", "A: b": "", "X-Request-ID:": "",
		"X-Request-ID: a b": "", "X-Request-ID: a\"": "", "X-Request-ID: a\r\nX-Request-ID: b": "", "X_Request_ID: a": "",
		"X-Request-ID: " + strings.Repeat("a", 128): strings.Repeat("a", 128), "X-Request-ID: " + strings.Repeat("a", 129): "", "X-Request-ID: \xff": "",
	} {
		var r Request
		b := []byte("GET / HTTP/1.0\r\n" + fields + "\r\n\r\n")
		if n, err := r.Parse(b, testLimit); n != len(b) || err != nil {
			t.Fatal(err)
		}
		if got := string(r.ID(b, "X-Request-ID")); got != want {
			t.Errorf("%q: %q", fields, got)
		}
	}
	for name, want := range map[string]bool{"X-Request-ID": true, "host": false, "X-Forwarded-Id": false, "": false, "a b": false, "X_Real_IP": false, "via": false} {
		if IsFreeName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
