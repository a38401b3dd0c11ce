package relay

import (
	"bytes"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestAsk: what is ready is written when its answer is waited for, once, however much it is; a peer that has closed before, or said something, is not asked.
func TestAsk(t *testing.T) {
	big := strings.Repeat("0123456789", 1<<20)
	for _, question := range []string{"short", big} {
		peer, stream := side(t, "tcp")
		s := stream.Socket()
		for round := range 3 {
			answered := make(chan error, 1)
			go func() {
				b := make([]byte, len(question))
				_, err := io.ReadFull(peer, b)
				if err == nil && string(b) != question {
					t.Error("the question is not what it was")
				}
				peer.Write([]byte("answer")) //nolint:errcheck // the wait sees it
				answered <- err
			}()
			s.ready([]byte(question))
			if err := s.wait(); err != nil {
				t.Fatal(err)
			}
			if err := <-answered; err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 10)
			if n, _ := s.Read(b); string(b[:n]) != "answer" {
				t.Errorf("round %d: %q", round, b[:n])
			}
		}
	}
}

func TestAskNobody(t *testing.T) {
	for name, act := range map[string]func(c net.Conn){
		"closed":  func(c net.Conn) { c.Close() },
		"unasked": func(c net.Conn) { write(t, c, "HTTP/1.1 408 Request Timeout\r\n\r\n") },
	} {
		peer, stream := side(t, "tcp")
		s := stream.Socket()
		act(peer)
		until(t, "what was done to arrive", func() bool { return !s.alive() })
		s.ready([]byte("question"))
		if err := s.wait(); err != errStale {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAskIsOverInTime: a deadline ends the wait, and what comes late is still heard by the next one.
func TestAskIsOverInTime(t *testing.T) {
	peer, stream := side(t, "tcp")
	s := stream.Socket()
	s.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) //nolint:errcheck // the wait fails
	s.ready([]byte("question"))
	if err := s.wait(); !isTimeout(err) {
		t.Fatal(err)
	}
	expect(t, peer, "question")
	write(t, peer, "answer")
	s.SetReadDeadline(time.Now().Add(patience)) //nolint:errcheck // the wait fails
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
	b, from, to := s.take()
	if !bytes.Equal(b[from:to], []byte("answer")) {
		t.Errorf("%q", b[from:to])
	}
	putBuffer(b)
	if _, err := s.Conn.Read(nil); err != nil && !os.IsTimeout(err) {
		t.Error(err)
	}
}

// TestKeptConnectionsThatCannotBeAsked: a request goes over another one, also one that must not be sent twice, for it was not sent at all.
func TestKeptConnectionsThatCannotBeAsked(t *testing.T) {
	for name, spoil := range map[string]func(c net.Conn){
		"closed":  func(c net.Conn) { c.Close() },
		"unasked": func(c net.Conn) { write(t, c, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n") },
	} {
		for _, request := range []string{get, post(3) + "abc"} {
			f := newFront(t, "tcp").serve()
			write(t, f.client, get)
			first := f.server()
			head(t, first)
			write(t, first, ok("one"))
			head(t, f.client)
			expect(t, f.client, "one")
			spoil(first)
			time.Sleep(20 * time.Millisecond) // for it to arrive; too short a time finds nothing wrong
			write(t, f.client, request)
			second := f.server()
			if h := head(t, second); !strings.Contains(h, strings.Fields(request)[0]+" ") {
				t.Errorf("%s: the second server was asked %q", name, h)
			}
			if strings.HasPrefix(request, "POST") {
				expect(t, second, "abc")
			}
			write(t, second, ok("two"))
			if h := head(t, f.client); !strings.HasPrefix(h, "HTTP/1.1 200") {
				t.Errorf("%s: %q", name, h)
			}
			expect(t, f.client, "two")
		}
	}
}
