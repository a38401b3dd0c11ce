// Package h2 speaks HTTP/2 (RFC 9113) to clients. The protocol is net/http's; what is here turns each stream into a connection
// that carries one HTTP/1.1 request and its response, so that whoever checks, forwards and answers requests of HTTP/1.1 does so for these as well,
// by the same rules and nothing beside them.
package h2

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Protocol is HTTP/2's name in ALPN (RFC 9113 section 3.2).
const Protocol = "h2"

// Config is how one connection is served. A time of 0 means no limit.
type Config struct {
	Streams int           // requests that a client may have under way at once
	HeadMax int           // bytes of a request's head
	Idle    time.Duration // without a request
	Stalled time.Duration // with something to be written, and a client that takes none of it: nothing else could end its streams then
	// Exchange reads one request from client and answers it. It is called for several streams at once, and ctx ends when the client has given
	// its request up or is gone.
	Exchange func(ctx context.Context, client net.Conn)
}

// The windows are how many bytes of a request's body may be on their way: of one stream, and of all of a connection together.
const (
	streamWindow     = 256 << 10
	connectionWindow = 1 << 20
)

// Serve speaks HTTP/2 on a connection until either side ends it, or ctx does, which is told the client with GOAWAY: what is under way is
// then finished. The connection is closed when it returns.
func Serve(ctx context.Context, conn net.Conn, c Config) {
	l := &lone{conn: plain{conn}, over: make(chan struct{})}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true) // TLS, if there is any, is below conn
	server := &http.Server{
		Handler:   &session{Config: c, conn: conn},
		Protocols: protocols,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: c.Streams, MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connectionWindow,
			WriteByteTimeout: c.Stalled},
		MaxHeaderBytes: c.HeadMax,
		IdleTimeout:    c.Idle,
		ErrorLog:       log.New(io.Discard, "", 0),
		ConnState:      l.state,
	}
	stop := context.AfterFunc(ctx, func() { server.Shutdown(context.Background()) }) //nolint:errcheck // its context does not end
	defer stop()
	server.Serve(l) //nolint:errcheck // it ends with the connection
	conn.Close()
}

// lone is a listener with one connection, for net/http serves listeners only. It ends when that connection has.
type lone struct {
	conn  net.Conn // nil once it has been accepted
	over  chan struct{}
	ended sync.Once
}

// plain hides that a connection is TLS: net/http takes what has the methods of one for its own to look after, and would expect HTTP/1.1 on it.
type plain struct{ net.Conn }

// Accept returns the connection, and then waits for its end.
func (l *lone) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.over
	return nil, net.ErrClosed
}

// Close is called when the server is to shut down, which ends no connection.
func (l *lone) Close() error { return nil }

// Addr is for logs, and there are none.
func (l *lone) Addr() net.Addr { return &net.TCPAddr{} }

func (l *lone) state(_ net.Conn, s http.ConnState) {
	if s == http.StateClosed {
		l.ended.Do(func() { close(l.over) })
	}
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
