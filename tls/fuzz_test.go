package tls

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"edgepen/certs"
	"edgepen/tls/policy"
)

// script is a client that sends fixed bytes and ignores the answers.
type script struct {
	net.Conn // nil: what is not below must not be called
	in       *strings.Reader
	out      strings.Builder
	piece    int  // the most bytes that come at once; 0: as many as are asked for
	late     bool // the write deadline has passed
}

func newScript(bytes string) *script { return &script{in: strings.NewReader(bytes)} }

func (s *script) Read(p []byte) (int, error) {
	if s.piece > 0 && len(p) > s.piece {
		p = p[:s.piece]
	}
	return s.in.Read(p)
}

func (s *script) Write(p []byte) (int, error) {
	if s.late {
		return 0, os.ErrDeadlineExceeded
	}
	return s.out.Write(p)
}

func (s *script) SetWriteDeadline(t time.Time) error {
	s.late = !t.IsZero() && t.Before(time.Now())
	return nil
}

func (*script) SetDeadline(time.Time) error { return nil }

// recorder keeps what a real client sends.
type recorder struct {
	net.Conn
	sent *strings.Builder
}

func (r recorder) Write(p []byte) (int, error) {
	r.sent.Write(p)
	return r.Conn.Write(p)
}

// FuzzHandshake sends what strangers may send, in pieces of any size: nobody
// gets in without having seen the server's answers, what is routed is what was
// sent, and nothing panics.
func FuzzHandshake(f *testing.F) {
	term := fixed(profile(f, certs.Source{SelfSigned: certs.DefaultNames}, Options{ALPN: "http/1.1", Policy: policy.Options{Compat: true}}))
	hello := clientHello(f, term)
	f.Add(hello, uint8(0), false)
	f.Add(hello, uint8(1), true)
	f.Add("GET / HTTP/1.1\r\n\r\n", uint8(3), true)
	f.Add("\x16\x03\x01\xff\xff\x01", uint8(0), true)
	f.Add("\x16\x03\x01\x00\x01\x01\x16\x03\x01\x00\x01\x00", uint8(0), true)
	f.Fuzz(func(t *testing.T, sent string, piece uint8, route bool) {
		client := newScript(sent)
		client.piece = int(piece)
		checks := Checks{Hello: func(h *Hello) error {
			if ja4 := h.JA4(); len(ja4) != 36 {
				t.Errorf("JA4 %q", ja4)
			}
			h.Offered()
			return nil
		}}
		if route {
			checks.Route = func(*Hello) bool { return true }
		}
		conn, err := term.Handshake(client, time.Time{}, checks)
		if err == nil {
			t.Errorf("a handshake with a client that does not listen: %+v", conn.Info())
		}
		if routed, ok := err.(*Routed); ok && (!strings.HasPrefix(sent, string(routed.Read)) || len(routed.Read) == 0) {
			t.Errorf("routed %q", routed.Read)
		}
	})
}
