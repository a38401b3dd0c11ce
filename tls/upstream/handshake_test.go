package upstream

import (
	"bytes"
	"context"
	stdtls "crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"edgepen/certs/certtest"
)

// pair is an established connection over TCP.
func pair(t *testing.T, maxVersion uint16, wrap func(net.Conn) net.Conn) (ours *Conn, server *stdtls.Conn) {
	t.Helper()
	near, far := loopback(t)
	p := newPKI(t)
	server = stdtls.Server(far, &stdtls.Config{Certificates: []stdtls.Certificate{p.issue(t, p.root, nil)}, MaxVersion: maxVersion})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	ours, err := client(t, Options{}, p.roots()).Handshake(t.Context(), wrap(near), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return ours, server
}

func plain(c net.Conn) net.Conn { return c }

var versions = []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13}

func TestCloseWrite(t *testing.T) {
	for _, version := range versions {
		ours, server := pair(t, version, plain)
		if _, err := io.WriteString(ours, "request"); err != nil {
			t.Fatal(err)
		}
		if err := ours.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(server); string(got) != "request" || err != nil {
			t.Errorf("the server got %q, %v", got, err)
		}
		if n, err := server.NetConn().Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("the stream below did not end: %d, %v", n, err)
		}
		if _, err := io.WriteString(server, "response"); err != nil {
			t.Fatal(err)
		}
		server.Close()
		if got, err := io.ReadAll(ours); string(got) != "response" || err != nil {
			t.Errorf("after CloseWrite we got %q, %v", got, err)
		}
	}
}

// TestTruncation says how an end without close_notify looks.
func TestTruncation(t *testing.T) {
	for _, version := range versions {
		for _, test := range []struct {
			name, last string
			err        error
		}{
			{"between records", "", io.EOF},
			{"within a header", "\x17\x03", io.ErrUnexpectedEOF},
			{"within a record", "\x17\x03\x03\x00\x20abc", io.ErrUnexpectedEOF},
		} {
			ours, server := pair(t, version, plain)
			if _, err := io.WriteString(server, "half"); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(server.NetConn(), test.last); err != nil {
				t.Fatal(err)
			}
			server.NetConn().Close()
			got := make([]byte, 10)
			n, err := io.ReadFull(ours, got[:4])
			if string(got[:n]) != "half" || err != nil {
				t.Errorf("%s: %q, %v", test.name, got[:n], err)
			}
			if _, err := ours.Read(got); err != test.err {
				t.Errorf("%s: %v, want %v", test.name, err, test.err)
			}
		}
	}
}

// shy answers every other read with an error that passes, as a socket that is
// waited for elsewhere does, and gives few bytes at a time.
type shy struct {
	net.Conn
	yields bool
	turn   int
}

type later struct{}

func (later) Error() string   { return "later" }
func (later) Timeout() bool   { return true }
func (later) Temporary() bool { return true }

func (s *shy) Read(p []byte) (int, error) {
	if s.turn++; s.yields && s.turn%2 == 0 {
		return 0, later{}
	}
	if s.yields {
		p = p[:min(len(p), 7)]
	}
	return s.Conn.Read(p)
}

// TestReadLater has reads fail for now in the midst of everything that comes:
// the very error is returned, and nothing is lost.
func TestReadLater(t *testing.T) {
	for _, version := range versions {
		var below *shy
		ours, server := pair(t, version, func(c net.Conn) net.Conn {
			below = &shy{Conn: c}
			return below
		})
		below.yields = true
		want := strings.Repeat("0123456789", 3000)
		go func() {
			io.WriteString(server, want) //nolint:errcheck // what is missing is complained of
			server.Close()
		}()
		var got bytes.Buffer
		put, b := 0, make([]byte, 1000)
		for {
			n, err := ours.Read(b)
			got.Write(b[:n])
			if err == (later{}) {
				put++
				continue
			}
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got.String() != want || put == 0 {
			t.Errorf("%d bytes of %d, put off %d times", got.Len(), len(want), put)
		}
	}
}

// answer is a server that answers a ClientHello with fixed bytes and leaves.
func answer(t *testing.T, bytes string) net.Conn {
	ours, theirs := pipe(t)
	go func() {
		theirs.Read(make([]byte, 4096)) //nolint:errcheck // then the answer fails as well
		io.WriteString(theirs, bytes)   //nolint:errcheck // as above
		theirs.Close()
	}()
	return ours
}

func TestNoTLS(t *testing.T) {
	oldHello := "\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02" + strings.Repeat("r", 32) + "\x00\xc0\x13\x00"
	for _, test := range []struct{ name, answer, want string }{
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", `it speaks no TLS: its answer begins with "HTTP/"`},
		{"SSH", "SSH-2.0-x\r\n", `it speaks no TLS: its answer begins with "SSH-2"`},
		{"nothing", "", "it closed the connection within the handshake; does it speak TLS there? EOF"},
		{"a little", "\x16\x03", "it closed the connection within the handshake; does it speak TLS there? unexpected EOF"},
		{"TLS 1.1", oldHello, "tls: server selected unsupported protocol version 302 (offered: TLS 1.2 and 1.3, with ECDHE and AEAD)"},
	} {
		_, err := client(t, Options{}, Material{}).Handshake(t.Context(), answer(t, test.answer), "a.example")
		if want := "TLS with server a.example: " + test.want; text(err) != want {
			t.Errorf("%s: %v\nwant %s", test.name, err, want)
		}
	}
}

func TestCertificateErrors(t *testing.T) {
	p := newPKI(t)
	past, future := time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	stale := staleIntermediate(t, p, past)
	alone := p.issue(t, p.middle, nil)
	alone.Certificate = alone.Certificate[:1]
	key := certtest.NewKey(t)
	self := (&certtest.Authority{Cert: &x509.Certificate{}, Key: key}).Issue(t, "self", key, nil)
	self = (&certtest.Authority{Cert: self, Key: key}).Issue(t, "self", key, nil)
	for _, test := range []struct {
		name     string
		cert     stdtls.Certificate
		material Material
		want     string
	}{
		{"unknown authority", p.issue(t, p.root, nil), Material{}, "its certificate is signed by an unknown authority (CN=Test Root), and not by a CA of this system; give --backend-ca FILE with the CA that issued it, or have the server send its intermediate certificates"},
		{"with its chain", p.issue(t, p.middle, nil), Material{Roots: pool(certtest.NewRoot(t, "Other").Cert)}, "its certificate is signed by an unknown authority (CN=Test Root), and not by a CA of --backend-ca; give --backend-ca FILE with the CA that issued it"},
		{"without its chain", alone, p.roots(), "its certificate is signed by an unknown authority (CN=Test Intermediate), and not by a CA of --backend-ca; give --backend-ca FILE with the CA that issued it, or have the server send its intermediate certificates"},
		{"self-signed", stdtls.Certificate{Certificate: [][]byte{self.Raw}, PrivateKey: key}, p.roots(), "its certificate (CN=self) is self-signed, and not by a CA of --backend-ca; give --backend-ca FILE with that certificate"},
		{"expired", p.issue(t, p.root, func(c *x509.Certificate) { c.NotAfter = past }), p.roots(), "its certificate expired on " + stamp(past)},
		{"not yet valid", p.issue(t, p.root, func(c *x509.Certificate) { c.NotBefore = future }), p.roots(), "its certificate is not valid before " + stamp(future)},
		{"expired CA", stale, p.roots(), "a certificate in its chain (CN=Stale Intermediate) expired on " + stamp(past)},
		{"for clients", p.issue(t, p.root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), p.roots(), "its certificate is not meant for servers (its extended key usage lacks serverAuth)"},
		{"without names", p.issue(t, p.root, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }), p.roots(), "its certificate is for no name (no subject alternative name); expected localhost"},
		{"many names", p.issue(t, p.root, func(c *x509.Certificate) { c.DNSNames = strings.Fields("a b c d e f g") }), p.roots(), "its certificate is for a, b, c, d, e, 4 more; expected localhost"},
		{"a critical extension", p.issue(t, p.root, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, criticalExtension())
		}), p.roots(), "its certificate is not good: x509: unhandled critical extension"},
	} {
		_, _, err := try(t, client(t, Options{}, test.material), "localhost", &stdtls.Config{Certificates: []stdtls.Certificate{test.cert}})
		if want := "TLS with server localhost: " + test.want; text(err) != want {
			t.Errorf("%s: %v\nwant %s", test.name, err, want)
		}
	}
}

func TestAlerts(t *testing.T) {
	p := newPKI(t)
	certs := []stdtls.Certificate{p.issue(t, p.root, nil)}
	for _, test := range []struct {
		name    string
		options Options
		server  *stdtls.Config
		want    string
	}{
		{"TLS 1.1", Options{}, &stdtls.Config{Certificates: certs, MinVersion: stdtls.VersionTLS10, MaxVersion: stdtls.VersionTLS11}, "remote error: tls: protocol version not supported (offered: TLS 1.2 and 1.3, with ECDHE and AEAD)"},
		{"TLS 1.2", Options{MinVersion: "tls1.3"}, &stdtls.Config{Certificates: certs, MaxVersion: stdtls.VersionTLS12}, "remote error: tls: protocol version not supported (offered: TLS 1.3 only)"},
		{"CBC", Options{}, &stdtls.Config{Certificates: certs, MaxVersion: stdtls.VersionTLS12, CipherSuites: []uint16{stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, "remote error: tls: handshake failure (offered: TLS 1.2 and 1.3, with ECDHE and AEAD; no client certificate is configured, if it asks for one)"},
		{"name", Options{}, &stdtls.Config{GetCertificate: func(*stdtls.ClientHelloInfo) (*stdtls.Certificate, error) { return nil, nil }}, "remote error: tls: unrecognized name (it does not know the name it was asked for; give a server name)"},
		{"ALPN", Options{ALPN: "h2, x"}, &stdtls.Config{Certificates: certs, NextProtos: []string{"http/1.1"}}, "remote error: tls: no application protocol (offered ALPN: h2, x)"},
		{"other", Options{}, &stdtls.Config{GetConfigForClient: func(*stdtls.ClientHelloInfo) (*stdtls.Config, error) { return nil, errors.New("no") }}, "remote error: tls: internal error"},
	} {
		_, _, err := try(t, client(t, test.options, p.roots()), "localhost", test.server)
		if want := "TLS with server localhost: " + test.want; text(err) != want {
			t.Errorf("%s: %v\nwant %s", test.name, err, want)
		}
	}
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, Options{}, Material{})
		ours, theirs := net.Pipe()
		go io.Copy(io.Discard, theirs) //nolint:errcheck // a server that listens and says nothing
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := c.Handshake(ctx, ours, "a.example")
		if want := "TLS with server a.example: it took too long; does it speak TLS there? context deadline exceeded"; text(err) != want || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want %s", err, want)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
		if _, err := ours.Write([]byte("x")); err == nil {
			t.Error("the connection is still open")
		}
	})
}

func TestCancelled(t *testing.T) {
	ours, theirs := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		theirs.Read(make([]byte, 1)) //nolint:errcheck // the handshake has begun
		cancel()
	}()
	if _, err := client(t, Options{}, Material{}).Handshake(ctx, ours, "a.example"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// script is a server that sends fixed bytes.
type script struct {
	net.Conn // nil: what is not below must not be called
	in       *strings.Reader
}

func (s *script) Read(p []byte) (int, error)     { return s.in.Read(p) }
func (*script) Write(p []byte) (int, error)      { return len(p), nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }
func (*script) Close() error                     { return nil }
func (*script) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

// FuzzHandshake sends what a server may send: none is taken for the right one
// that has not answered to what we sent, and no error can fake a log line.
func FuzzHandshake(f *testing.F) {
	c := client(f, Options{ALPN: "http/1.1"}, Material{})
	f.Add("HTTP/1.1 400 Bad Request\r\n\r\n")
	f.Add("\x15\x03\x03\x00\x02\x02\x46")
	f.Add("\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03" + strings.Repeat("r", 32) + "\x00\xc0\x2b\x00")
	f.Fuzz(func(t *testing.T, sent string) {
		_, err := c.Handshake(t.Context(), &script{in: strings.NewReader(sent)}, "a.example")
		if err == nil {
			t.Fatal("a handshake with a server that does not listen")
		}
		if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("the error holds control characters: %q", err)
		}
	})
}
