package upstream

import (
	"context"
	stdtls "crypto/tls"
	"errors"
	"fmt"
	"net"
)

// Conn is a connection to a server whose handshake is done.
//
// A Read at the end of the stream returns io.EOF after close_notify, but also,
// as crypto/tls has it, where the connection ended without one between two
// records; io.ErrUnexpectedEOF where it ended within one.
type Conn struct {
	*stdtls.Conn
}

// CloseWrite says that nothing more will be sent: close_notify (RFC 8446
// section 6.1) for the server, then the end of the stream below, if that can
// be half-closed. Reading goes on. It takes up to 5 s if the server does not
// read. The connection's write deadline has passed afterwards.
func (c *Conn) CloseWrite() error {
	err := c.Conn.CloseWrite()
	if transport, ok := c.NetConn().(interface{ CloseWrite() error }); ok {
		return errors.Join(err, transport.CloseWrite())
	}
	return err
}

// Handshake does the client's side of a handshake on conn with the server that
// is configured as host: a host name (sent as SNI), an IP address with or
// without brackets or zone (sent to nobody; the certificate has to have it as a
// subject alternative name), or the path of a Unix socket.
//
// When ctx ends first, conn is closed and the error wraps ctx's. On every other
// failure conn is left open, and of no use. The error names the server and says
// what to do about it, if something is known.
//
// A server of TLS 1.3 judges our certificate after that: its refusal is the
// error of the first Read.
func (c *Client) Handshake(ctx context.Context, conn net.Conn, host string) (*Conn, error) {
	name, err := c.nameFor(host)
	if err != nil {
		return nil, fmt.Errorf("TLS with server %s: %v", host, err)
	}
	config := c.config.Clone()
	config.ServerName = name
	if c.sessions != nil {
		config.ClientSessionCache = sessions{c.sessions, host + " " + conn.RemoteAddr().String() + " "}
	}
	tlsConn := stdtls.Client(conn, config)
	if err := tlsConn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS with server %s: %w", host, c.explain(err, name, tlsConn.ConnectionState().Version))
	}
	return &Conn{tlsConn}, nil
}

// sessions is the part of a cache that belongs to one server's address.
// crypto/tls asks by the server's name alone, under which every server may
// answer where Options.ServerName is set: each would be offered the sessions
// of another, and never resume one.
type sessions struct {
	cache  stdtls.ClientSessionCache
	prefix string
}

// Get implements stdtls.ClientSessionCache.
func (s sessions) Get(key string) (*stdtls.ClientSessionState, bool) {
	return s.cache.Get(s.prefix + key)
}

// Put implements stdtls.ClientSessionCache.
func (s sessions) Put(key string, state *stdtls.ClientSessionState) {
	s.cache.Put(s.prefix+key, state)
}
