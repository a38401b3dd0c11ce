package proxy

import (
	"context"
	"net"

	"edgepen/proxy/h2"
	"edgepen/proxy/relay"
)

// eachStream calls serve for each request on a connection that speaks HTTP/2, several at once, or for the one connection that it is otherwise. once:
// the first request is the last.
func (c *connection) eachStream(stream *relay.Stream, once bool, serve func(ctx context.Context, client *relay.Stream)) {
	ctx, end := context.WithCancel(c.p.staying)
	defer end()
	if c.protocol != h2.Protocol {
		serve(ctx, stream)
		return
	}
	h2.Serve(ctx, stream.Conn(), h2.Config{
		Streams: c.snap.HTTP2Streams,
		HeadMax: c.snap.HeadMax,
		Idle:    c.snap.Idle(),
		Stalled: c.snap.stalled(),
		Exchange: func(ctx context.Context, client net.Conn) {
			serve(ctx, relay.NewStream(relay.NewPlainSocket(client), nil))
			if once {
				end()
			}
		},
	})
}

// exchange serves one request of HTTP/2: it goes the way of a request of HTTP/1.1, over a connection of its own in all that has to do with servers.
func (c *connection) exchange(ctx context.Context, client *relay.Stream) {
	s := c.branch()
	defer s.leaveLimits()
	stop := context.AfterFunc(ctx, s.leave) // nobody is there any more to be answered
	defer stop()
	config := s.httpConfig()
	config.Rest = nil // GOAWAY has said which requests are still to be answered
	relay.HTTP(client, config)
}

// branch is a connection for one of the requests that c carries at once. What has been found out about the client is c's, and does not change any
// more; the server is the branch's own.
func (c *connection) branch() *connection {
	return &connection{
		p: c.p, listener: c.listener, slot: c.slot, snap: c.snap, client: c.client,
		addr: c.addr, shown: c.shown, port: c.port, asker: c.asker,
		denial: c.denial, noted: c.noted, decided: c.decided, denied: c.denied,
		identity: c.identity, protocol: c.protocol, said: c.said, secured: c.secured,
		proxies: c.proxies, behalf: c.behalf, known: c.known,
	}
}
