package httpx

import "testing"

func TestResponsePolicy(t *testing.T) {
	const before = "HTTP/1.1 200 OK\r\nServer: x/1\r\nA: b\r\nstrict-transport-security: max-age=1\r\nContent-Length: 0\r\n\r\n"
	for _, c := range []struct {
		policy *ResponsePolicy
		want   string
	}{
		{nil, before},
		{&ResponsePolicy{Remove: []string{"server"}}, "HTTP/1.1 200 OK\r\nA: b\r\nstrict-transport-security: max-age=1\r\nContent-Length: 0\r\n\r\n"},
		{&ResponsePolicy{Remove: []string{"Strict-Transport-Security"}, Append: "Strict-Transport-Security: max-age=2\r\n"},
			"HTTP/1.1 200 OK\r\nServer: x/1\r\nA: b\r\nContent-Length: 0\r\nStrict-Transport-Security: max-age=2\r\n\r\n"},
		{&ResponsePolicy{Remove: []string{"content-length"}}, before}, // framing stays
	} {
		var r Response
		if _, err := r.Parse([]byte(before), 8192, false); err != nil {
			t.Fatal(err)
		}
		r.Apply([]byte(before), c.policy)
		if got := string(r.AppendForward(nil, []byte(before), true, 1)); got != c.want {
			t.Errorf("%+v: %q", c.policy, got)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	for _, c := range []struct {
		head, body string
		most       int64
		status     int
	}{
		{"Content-Length: 5", "hello", 5, 0},
		{"Content-Length: 6", "", 5, 413},
		{"Transfer-Encoding: chunked", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 5, 0},
		{"Transfer-Encoding: chunked", "2\r\nhe\r\n4\r\n", 5, 413},
		{"Transfer-Encoding: chunked", "fffffffffffffff\r\n", 5, 413},
		{"A: b", "", 0, 0},
	} {
		head := []byte("POST / HTTP/1.1\r\nHost: a\r\n" + c.head + "\r\n\r\n")
		var r Request
		if _, err := r.Parse(head, 8192); err != nil {
			t.Fatal(err)
		}
		err := r.Body.Limit(c.most)
		if err == nil && c.body != "" {
			_, _, err = r.Body.Feed([]byte(c.body))
		}
		status := 0
		if e, ok := err.(*Error); ok {
			status = e.Status
		}
		if status != c.status || status == 0 && !r.Body.Done() {
			t.Errorf("%s, %q: %v", c.head, c.body, err)
		}
	}
}
