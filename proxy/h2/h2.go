// Package h2 speaks HTTP/2 (RFC 9113) to clients. The protocol is golang.org/x/net/http2's; what is here turns each stream into a connection
// that carries one HTTP/1.1 request and its response, so that whoever checks, forwards and answers requests of HTTP/1.1 does so for these as well,
// by the same rules and nothing beside them.
package h2

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// Protocol is HTTP/2's name in ALPN (RFC 9113 section 3.2).
const Protocol = "h2"

// Config is how one connection is served. A time of 0 means no limit.
type Config struct {
	Streams uint32        // requests that a client may have under way at once
	HeadMax int           // bytes of a request's head
	Idle    time.Duration // without a request
	// Exchange reads one request from client and answers it. It is called for several streams at once, and ctx ends when the client has given
	// its request up or is gone.
	Exchange func(ctx context.Context, client net.Conn)
}

// windowSize is how many bytes of a request's body may be on their way: of one stream, and of all of a connection together.
const (
	streamWindow     = 256 << 10
	connectionWindow = 1 << 20
)

// Serve speaks HTTP/2 on a connection until either side ends it, or ctx does, which is told the client with GOAWAY: what is under way is
// then finished. The connection is closed when it returns.
func Serve(ctx context.Context, conn net.Conn, c Config) {
	base := &http.Server{MaxHeaderBytes: c.HeadMax, ErrorLog: log.New(io.Discard, "", 0)}
	server := &http2.Server{
		MaxConcurrentStreams:         c.Streams,
		IdleTimeout:                  c.Idle,
		MaxUploadBufferPerStream:     streamWindow,
		MaxUploadBufferPerConnection: connectionWindow,
	}
	if err := http2.ConfigureServer(base, server); err != nil {
		conn.Close()
		return
	}
	stop := context.AfterFunc(ctx, func() { base.Shutdown(context.Background()) }) //nolint:errcheck // it has no listeners to close
	defer stop()
	server.ServeConn(conn, &http2.ServeConnOpts{
		Context:    context.WithoutCancel(ctx),
		BaseConfig: base,
		Handler:    &session{Config: c, conn: conn},
	})
	conn.Close()
}

// session is a connection with its streams.
type session struct {
	Config
	conn    net.Conn
	done    atomic.Int64 // requests that were answered
	givenUp atomic.Int64 // requests that the client has given up
}

// patience is how many more requests a client may give up than it lets us answer. Giving up costs it next to nothing and a server a connection
// (CVE-2023-44487); net/http bounds only how many are under way.
const patience = 200

// ServeHTTP is the way of a stream.
func (c *session) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head, err := appendHead(nil, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s := newStream(c.conn, w, r, head)
	c.Exchange(r.Context(), s)
	if r.Context().Err() == nil {
		c.done.Add(1)
	} else if c.givenUp.Add(1) > patience+c.done.Load() {
		c.conn.Close()
	}
	s.end(c.Idle)
}
