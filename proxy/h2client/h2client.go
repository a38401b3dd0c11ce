// Package h2client speaks HTTP/2 (RFC 9113) to servers: what proxy/h2 is to clients, seen from the other side. The protocol is net/http's; what
// is here makes a connection of each stream, to which one HTTP/1.1 request is written and from which its response is read, so that whoever
// relays messages of HTTP/1.1 reaches such servers by the same rules.
package h2client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// Protocol is HTTP/2's name in ALPN (RFC 9113 section 3.2).
const Protocol = "h2"

// streamsMax is how many requests a connection carries at once, if the server lets it.
const streamsMax = 100

// The windows are how many bytes of a response may wait to be read: of one stream, and of all together, which is so much that clients who do
// not read hold nobody else up.
const (
	streamWindow     = 256 << 10
	connectionWindow = streamsMax * streamWindow
)

// Conn is a connection to a server, for several requests at once.
type Conn struct {
	client  *http.ClientConn
	conn    net.Conn
	scheme  string
	ended   sync.Once
	headMax int
}

// Begin speaks HTTP/2 on a connection, on which TLS is done if there is any (secure), and returns when the server has said that it does so as well.
// headMax bounds the heads of responses. After an error the connection is closed.
func Begin(ctx context.Context, conn net.Conn, secure bool, headMax int) (*Conn, error) {
	said := make(chan error, 1)
	g := &greeting{Conn: conn, said: said}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true) // TLS, if there is any, is below conn
	transport := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return g, nil },
		Protocols:              protocols,
		DisableCompression:     true,
		MaxResponseHeaderBytes: int64(headMax),
		HTTP2:                  &http.HTTP2Config{MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connectionWindow},
	}
	client, err := transport.NewClientConn(ctx, "http", "server:80")
	if err != nil {
		conn.Close()
		return nil, err
	}
	select {
	case err = <-said:
	case <-ctx.Done():
		err = fmt.Errorf("it said nothing; does it speak HTTP/2 there? %w", ctx.Err())
	}
	c := &Conn{client: client, conn: conn, scheme: "http", headMax: headMax}
	if secure {
		c.scheme = "https"
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// greeting looks at how a server begins: with a SETTINGS frame of the connection, which is not an acknowledgement (RFC 9113 section 3.4).
type greeting struct {
	net.Conn
	head []byte
	said chan error
}

func (g *greeting) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if g.said == nil {
		return n, err
	}
	g.head = append(g.head, p[:min(n, frameHead-len(g.head))]...)
	verdict := err
	switch {
	case len(g.head) == frameHead:
		verdict = checkGreeting(g.head)
	case err == nil:
		return n, nil
	}
	g.said <- verdict
	g.said = nil
	return n, err
}

// frameHead is how many bytes a frame begins with (RFC 9113 section 4.1).
const frameHead = 9

var errNoHTTP2 = errors.New("it does not speak HTTP/2 there")

func checkGreeting(head []byte) error {
	const settings = 4
	if head[0] != 0 || head[3] != settings || head[4] != 0 || [4]byte(head[5:]) != [4]byte{} {
		return fmt.Errorf("%w: its answer begins with %q", errNoHTTP2, head)
	}
	return nil
}

// Alive reports whether requests may still be sent; there may be too many at present.
func (c *Conn) Alive() bool { return c.client.Err() == nil }

// Idle reports whether no request is under way.
func (c *Conn) Idle() bool { return c.client.InFlight() == 0 }

// Close ends the connection with all that is under way.
func (c *Conn) Close() {
	c.ended.Do(func() {
		c.client.Close()
		c.conn.Close()
	})
}

var errFull = errors.New("the connection carries as many requests as it may")

// Reserve takes a place for a stream, which Open then fills.
func (c *Conn) Reserve() error {
	if c.client.InFlight() >= streamsMax {
		return errFull
	}
	return c.client.Reserve()
}

// Open makes a stream, for one request. again is asked for another connection to the same server, with a place reserved, where this one turns out to
// take no requests any more; nil: there is none.
func (c *Conn) Open(again func() (*Conn, error)) *Stream {
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Stream{Conn: near, below: c.conn, cancel: cancel}
	e := &exchange{conn: c, far: far, stream: s, again: again}
	go e.run(ctx)
	return s
}
