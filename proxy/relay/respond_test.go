package relay

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"edgepen/httpx"
)

func TestRespond(t *testing.T) {
	for _, kind := range []string{"tcp", "tls", "unix"} {
		for request, want := range map[string]string{
			"GET /x HTTP/1.1\r\nHost: a\r\n\r\n":                              "Location: https://a/x\r\n",
			"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc":     "Location: https://a/x\r\n",
			"GET /x HTTP/1.1\r\nHost : a\r\n\r\n":                             "HTTP/1.1 400 ",
			"GET /" + strings.Repeat("x", 1<<12) + " HTTP/1.1\r\nHost: a\r\n": "HTTP/1.1 4",
		} {
			c, stream := side(t, kind)
			done := make(chan struct{})
			go func() {
				defer close(done)
				Respond(stream, Brief{HeadLimit: 1 << 10, Timeout: patience}, func(r *httpx.Request, head []byte) []byte { return r.AppendSecure(nil, head, "443") })
			}()
			write(t, c, request)
			got, err := io.ReadAll(c)
			if err != nil || !strings.Contains(string(got), want) {
				t.Errorf("%s: %.40q: got %q, %v", kind, request, got, err)
			}
			c.Close()
			closed(t, "the answer to end", done)
		}
	}
}

func TestRespondIsInNoHurryButEnds(t *testing.T) {
	c, stream := side(t, "tcp")
	write(t, c, "GET / HT")
	Respond(stream, Brief{HeadLimit: 1 << 10, Timeout: 10 * time.Millisecond}, func(*httpx.Request, []byte) []byte { t.Error("answered half a request"); return nil })
	if got, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 408 ")) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestRespondWithoutPages(t *testing.T) {
	for _, request := range []string{"nonsense\r\n\r\n", "GET /" + strings.Repeat("x", 1<<12), "GET / HT"} {
		c, stream := side(t, "tcp")
		write(t, c, request)
		Respond(stream, Brief{HeadLimit: 1 << 10, Timeout: 10 * time.Millisecond, Silent: true}, func(*httpx.Request, []byte) []byte { t.Error("answered no request"); return nil })
		if got, _ := io.ReadAll(c); len(got) > 0 {
			t.Errorf("%.20q: got %q", request, got)
		}
	}
}

func TestUnread(t *testing.T) {
	c, stream := side(t, "tcp")
	s := stream.sock
	write(t, c, "defghi")
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
	if !s.Unread([]byte("abc")) || !s.Unread(nil) {
		t.Fatal("no room for three bytes")
	}
	if s.Unread(make([]byte, bufferSize)) {
		t.Error("room for more than a buffer")
	}
	got := make([]byte, 9)
	if _, err := io.ReadFull(s, got); err != nil || string(got) != "abcdefghi" {
		t.Errorf("got %q, %v", got, err)
	}
	if !s.Unread([]byte("again")) {
		t.Error("no room where nothing is")
	}
	if n, err := s.Read(got); err != nil || string(got[:n]) != "again" {
		t.Errorf("got %q, %v", got[:n], err)
	}
}
