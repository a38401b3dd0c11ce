// Package h2 speaks HTTP/2 (RFC 9113) to clients. Frames and header compression are those of golang.org/x/net; what is ours is the session, which makes
// a connection of each stream: what is read from it is an HTTP/1.1 request, what is written to it is taken for the response. So whoever checks,
// forwards and answers requests of HTTP/1.1 does so for these as well, by the same rules and nothing beside them.
//
// A connection has one goroutine that reads, and each stream has one. What they have to say is gathered, and whoever finds nobody writing writes it, so
// that the responses of many streams leave in one TLS record.
package h2

import (
	"context"
	"net"
	"time"
)

// Protocol is HTTP/2's name in ALPN (RFC 9113 section 3.2).
const Protocol = "h2"

// Config is how one connection is served. A time of 0 means no limit.
type Config struct {
	Streams     int           // requests that a client may have under way at once
	Requests    int           // after so many no more are taken, which the client is told with GOAWAY; 0: any number
	HeadMax     int           // bytes of a request's head
	HeadTimeout time.Duration // for a whole head, from its first frame on, and for what a connection begins with
	Idle        time.Duration // without a request
	Stalled     time.Duration // with something to be written, and a client that takes none of it: nothing else could end its streams then
	WebSockets  bool          // the client is told that a stream may become one (RFC 8441)
	// Exchange reads one request from client and answers it. It is called for several streams at once.
	Exchange func(client *Stream)
	// Refused is told of a request that does not come to an Exchange because of what it is; nil: nobody is.
	Refused func(r *Refusal)
}

// Refusal is a request that is none, as far as its fields were understood.
type Refusal struct {
	Method, Path, Authority string
	Status                  int // that it was answered with; 0: its stream was reset
	Page                    int // bytes of the answer
	Why                     error
}

// The windows are how many bytes of a request's body may be on their way: of one stream, and of all of a connection together.
const (
	streamWindow     = 256 << 10
	connectionWindow = 1 << 20
)

// defaultWindow is what each window is to begin with (RFC 9113 section 6.9.2).
const defaultWindow = 65535

// frameMax is the largest frame that is taken and sent, the protocol's own default: each connection may have to hold one.
const frameMax = 16 << 10

// Serve speaks HTTP/2 on a connection until either side ends it, or ctx does, which is told the client with GOAWAY: what is under way is
// then finished. The connection is closed, and every Exchange over, when it returns.
func Serve(ctx context.Context, conn net.Conn, c Config) {
	s := newSession(conn, c)
	stop := context.AfterFunc(ctx, s.leave)
	defer stop()
	s.serve()
}
