package tls

import (
	"net"
	"strings"
	"testing"
	"time"

	"edgepen/certs"
)

// script is a client that sends fixed bytes and ignores the answers.
type script struct {
	net.Conn // nil: what is not below must not be called
	in       *strings.Reader
}

func newScript(bytes string) *script { return &script{in: strings.NewReader(bytes)} }

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (*script) Write(p []byte) (int, error)        { return len(p), nil }
func (*script) SetDeadline(time.Time) error        { return nil }
func (*script) SetWriteDeadline(t time.Time) error { return nil }

// recorder keeps what a real client sends.
type recorder struct {
	net.Conn
	sent *strings.Builder
}

func (r recorder) Write(p []byte) (int, error) {
	r.sent.Write(p)
	return r.Conn.Write(p)
}

// FuzzHandshake sends what strangers may send: nobody gets in without having
// seen the server's answers, and nothing panics.
func FuzzHandshake(f *testing.F) {
	term := fixed(profile(f, certs.Source{SelfSigned: certs.DefaultNames}, Options{ALPN: "http/1.1", Compat: true}))
	f.Add(clientHello(f, term))
	f.Add("GET / HTTP/1.1\r\n\r\n")
	f.Add("\x16\x03\x01\xff\xff\x01")
	f.Fuzz(func(t *testing.T, sent string) {
		if conn, err := term.Handshake(newScript(sent), time.Time{}); err == nil {
			t.Errorf("a handshake with a client that does not listen: %+v", conn.Info())
		}
	})
}
