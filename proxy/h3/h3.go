// Package h3 speaks HTTP/3 (RFC 9114) to clients. QUIC and the protocol are quic-go's; package streams makes a connection of each stream. It is
// the only package that imports quic-go: built with the tag nohttp3, it says of everything that it is not there.
package h3

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"edgepen/tls"
)

// Protocol is HTTP/3's name in ALPN (RFC 9114 section 3.1).
const Protocol = tls.ALPNQUIC

// ErrNotBuilt says that the program was built without HTTP/3.
var ErrNotBuilt = errors.New("this pen was built without HTTP/3 (the tag nohttp3)")

// Config is how a socket is served. Its functions are called by quic-go's goroutine that takes datagrams, one at a time, and must not wait.
type Config struct {
	TLS      *tls.Config
	Log      *slog.Logger
	Settings func() Settings // asked for each connection
	// Validate reports whether a client that wants to connect has to show first that its address is its own (Retry, RFC 9000 section 8.1.2).
	// pending: how many handshakes are under way.
	Validate func(client netip.AddrPort, pending int) bool
	// Accept takes over a connection that wants to begin, and has its Handshake or Close called, soon. False: it is refused.
	Accept func(c *Conn) bool
}

// Settings are those of a connection. A time of 0 means no limit.
type Settings struct {
	Handshake time.Duration // all of it
	Streams   int           // requests that a client may have under way at once
}

// Serving is how the requests of a connection are served. A time of 0 means no limit.
type Serving struct {
	Streams  int           // requests that are served at once
	Requests int           // after so many GOAWAY says that no more are taken, and those that were on their way are the last; 0: any number
	HeadMax  int           // bytes of a request's head
	Head     time.Duration // for the first request's head, and for the end of those without a body
	Idle     time.Duration // without a request
	// Exchange reads one request from client and answers it. It is called for several streams at once, and ctx ends when the client has given
	// its request up or is gone.
	Exchange func(ctx context.Context, client net.Conn)
}
