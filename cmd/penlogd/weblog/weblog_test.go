package weblog

import (
	"strings"
	"testing"
)

func TestAsPen(t *testing.T) {
	for _, c := range []struct{ server, pen string }{
		{"GET / HTTP/1.1", "GET / HTTP/1.1"},
		{`GET /\"a\\b HTTP/1.1`, `GET /"a\b HTTP/1.1`},     // Apache
		{`GET /\x22a\x5Cb HTTP/1.1`, `GET /"a\b HTTP/1.1`}, // nginx
		{`GET /\xc3\xa9`, "GET /.."},
		{"GET /é", "GET /.."},
		{`GET /\x0`, `GET /\x0`},
		{`GET /\xzz\q\`, `GET /\xzz\q\`},
		{`\t\b`, "\t\b"},
	} {
		if got := AsPen(c.server); got != c.pen {
			t.Errorf("%q: %q, want %q", c.server, got, c.pen)
		}
	}
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]int{``: -1, `a"`: 1, `a\"b"`: 4, `\\"`: 2, `\`: -1, `\"`: -1} {
		if got := Quote(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// FuzzAsPen: what comes out has no byte that pen does not write, and is no longer.
func FuzzAsPen(f *testing.F) {
	f.Add(`GET /\"a\\b\x22\xff\x00é\`)
	f.Fuzz(func(t *testing.T, request string) {
		got := AsPen(request)
		if len(got) > len(request) || strings.ContainsFunc(got, func(r rune) bool { return r >= 0x80 }) || strings.HasPrefix(request, `\x00`) && got[0] != '.' {
			t.Errorf("%q became %q", request, got)
		}
	})
}
