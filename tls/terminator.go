package tls

import (
	"context"
	stdtls "crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Terminator does handshakes. It lives as long as the process: it holds the
// keys of the session tickets, so clients resume their sessions whatever
// happens to the Profile in between, unless the new one asks for a client
// certificate that the session lacks.
type Terminator struct {
	base *stdtls.Config
}

// NewTerminator makes a Terminator. Each handshake calls current once, after
// the ClientHello has come, from its own goroutine; the Profile it returns is
// the handshake's to the end.
func NewTerminator(current func() *Profile) *Terminator {
	return &Terminator{&stdtls.Config{
		GetConfigForClient: func(chi *stdtls.ClientHelloInfo) (*stdtls.Config, error) {
			if h, ok := chi.Context().Value(helloKey{}).(*hello); ok {
				h.serverName = chi.ServerName
			}
			p := current()
			if p == nil {
				return nil, errors.New("no certificate is configured")
			}
			return p.config, nil
		},
	}}
}

// hello is what is known of a client before its handshake has succeeded. It
// is the handshake's context, which takes it to GetConfigForClient without an
// allocation of its own.
type hello struct {
	context.Context
	serverName string
}

type helloKey struct{}

// Value implements context.Context.
func (h *hello) Value(key any) any {
	if key == (helloKey{}) {
		return h
	}
	return h.Context.Value(key)
}

// Handshake does the server's side of a handshake on c until deadline (zero:
// no limit) and then clears c's deadlines. On failure c stays open, and the
// error holds crypto/tls's own and the name the client asked for, if it got
// that far.
func (t *Terminator) Handshake(c net.Conn, deadline time.Time) (*Conn, error) {
	if err := c.SetDeadline(deadline); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	conn := &Conn{Conn: stdtls.Server(c, t.base), hello: hello{Context: context.Background()}}
	if err := conn.HandshakeContext(&conn.hello); err != nil {
		if name := conn.hello.serverName; name != "" {
			return nil, fmt.Errorf("TLS handshake for %.255q: %w", name, err)
		}
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return conn, nil
}

// Conn is a connection whose handshake is done.
type Conn struct {
	*stdtls.Conn
	hello hello
}

// CloseWrite says that nothing more will be sent: close_notify (RFC 8446
// section 6.1) for the client, then the end of the stream below, if that can
// be half-closed. Reading goes on. It takes up to 5 s if the client does not
// read. The connection's write deadline has passed afterwards.
func (c *Conn) CloseWrite() error {
	err := c.Conn.CloseWrite()
	if transport, ok := c.NetConn().(interface{ CloseWrite() error }); ok {
		return errors.Join(err, transport.CloseWrite())
	}
	return err
}

// Info is what logs and rules want to know about a connection.
type Info struct {
	ServerName  string // the host name the client asked for (SNI), in lower case; "" if none, or no plain host name
	Version     string // "TLS 1.3"
	CipherSuite string // "TLS_AES_128_GCM_SHA256"
	ALPN        string // the protocol agreed on, "" if none
	Resumed     bool   // the client resumed an earlier session
}

// Info describes the connection. It allocates: call it once.
func (c *Conn) Info() Info {
	state := c.ConnectionState()
	return Info{
		ServerName:  hostName(c.hello.serverName),
		Version:     stdtls.VersionName(state.Version),
		CipherSuite: stdtls.CipherSuiteName(state.CipherSuite),
		ALPN:        state.NegotiatedProtocol,
		Resumed:     state.DidResume,
	}
}

// hostName returns name in lower case if it is made of dot-separated labels
// of letters, digits, '-' and '_', and "" otherwise: what a stranger sends as
// SNI may go into logs and comparisons, so it must be nothing but that.
func hostName(name string) string {
	if len(name) > 253 {
		return ""
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return ""
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return ""
			}
		}
	}
	return strings.ToLower(name)
}

// IsPlainHTTP reports whether err, from Handshake, means that the client
// spoke HTTP without TLS: its first five bytes begin a request.
func IsPlainHTTP(err error) bool {
	record, ok := errors.AsType[stdtls.RecordHeaderError](err)
	if !ok {
		return false
	}
	head := string(record.RecordHeader[:])
	for _, method := range []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PRI "} {
		if strings.HasPrefix(head, method[:min(len(method), len(head))]) {
			return true
		}
	}
	return false
}
