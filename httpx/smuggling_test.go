package httpx

import (
	"slices"
	"strings"
	"testing"

	"edgepen/httpx/smugglingtest"
)

// TestCorpus reads every stream of testdata/smuggling as a connection would.
func TestCorpus(t *testing.T) {
	cases := smugglingtest.Load(t, "..")
	if len(cases) < 300 {
		t.Errorf("only %d cases", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			seen, refused := readStream(t, c)
			if refused != c.Refuse || !slices.Equal(seen, c.Forward) {
				t.Errorf("%v: %q: forwards %q and refuses with %d, want %q and %d", c, c.Raw[:min(len(c.Raw), 200)], seen, refused, c.Forward, c.Refuse)
			}
		})
	}
}

// readStream returns the requests of a stream and the status that what follows them is refused with.
func readStream(t *testing.T, c *smugglingtest.Case) (seen []smugglingtest.Seen, refused int) {
	forward := &Forward{Client: "127.0.0.1", Proto: "http", Port: "80"}
	var r Request
	for b := c.Raw; len(b) > 0; r.Reset() {
		n, err := r.Parse(b, testLimit)
		if err != nil || n == 0 {
			return seen, status(t, err)
		}
		out := r.AppendForward(nil, b, forward)
		checkFields(t, c, out)
		body, n2, err := feed(&r.Body, string(b[n:]), func() int { return len(b) })
		if err != nil || !r.Body.Done() {
			return seen, status(t, err)
		}
		if r.Body.Chunked() {
			checkFields(t, c, body)
			if body, err = decode(body); err != nil {
				t.Errorf("%v: %v", c, err)
			}
		}
		target := strings.Fields(string(out))[1]
		seen = append(seen, smugglingtest.Seen{Method: string(r.Method(b)), Target: target, Host: string(r.Host(b)), Body: string(body)})
		if !r.KeepAlive {
			break
		}
		b = b[n+n2:]
	}
	return seen, refused
}

func checkFields(t *testing.T, c *smugglingtest.Case, out []byte) {
	t.Helper()
	for _, text := range c.Without {
		if strings.Contains(strings.ToLower(string(out)), text) {
			t.Errorf("%v: %q is forwarded: %q", c, text, out)
		}
	}
}
