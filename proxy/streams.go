package proxy

import (
	"context"
	"net"
	"slices"
	"sync"

	"edgepen/httpx"
	"edgepen/proxy/h2"
	"edgepen/proxy/h3"
	"edgepen/proxy/relay"
)

// onGone has f called when the client has given its request up or is gone; stop reports whether it will not be.
type onGone func(f func()) (stop func() bool)

// severalAtOnce reports whether the connection carries several requests at once: HTTP/2 or HTTP/3.
func (c *connection) severalAtOnce() bool { return c.quic != nil || c.protocol == h2.Protocol }

// eachStream calls serve for each request on a connection that speaks HTTP/2 or HTTP/3, several at once, or for the one connection that it is
// otherwise. once: the first request is the last.
func (c *connection) eachStream(stream *relay.Stream, once bool, serve func(gone onGone, client *relay.Stream)) {
	ctx, end := context.WithCancel(c.p.staying)
	defer end()
	one := func(gone onGone, client net.Conn) {
		serve(gone, relay.NewPlainStream(client))
		if once {
			end()
		}
	}
	s := c.snap
	switch {
	case c.quic != nil:
		c.quic.Serve(ctx, h3.Serving{Streams: s.HTTP2Streams, Requests: s.RequestsMax, HeadMax: s.HeadMax, Head: s.HeadTimeout, Idle: s.Idle(),
			Exchange: func(ctx context.Context, client net.Conn) { one(endOf(ctx), client) }})
	case c.protocol == h2.Protocol:
		h2.Serve(ctx, stream.Conn(), h2.Config{Streams: s.HTTP2Streams, Requests: s.RequestsMax, HeadMax: s.HeadMax, HeadTimeout: s.HeadTimeout, Idle: s.Idle(), Stalled: s.stalled(), WebSockets: s.HTTP2WebSocket,
			Refused:  c.refusedStream,
			Exchange: func(client *h2.Stream) { one(client.OnGone, client) }})
	default:
		serve(endOf(ctx), stream)
	}
}

func endOf(ctx context.Context) onGone {
	return func(f func()) func() bool { return context.AfterFunc(ctx, f) }
}

// exchange serves one request of HTTP/2 or HTTP/3: it goes the way of a request of HTTP/1.1, over a connection of its own in all that has to do with servers.
func (c *connection) exchange(gone onGone, client *relay.Stream) {
	b := c.branches.take(c)
	stop := gone(b.leave) // nobody is there any more to be answered
	relay.HTTP(client, b.config)
	b.leaveLimits()
	c.branches.put(b, stop())
}

// branch is a connection for one of the requests that another carries at once.
type branch struct {
	connection
	config *relay.HTTPConfig
	told   httpx.Forward // config's Forward as it is at first
}

// branch is a new one.
func (c *connection) branch() *branch {
	b := new(branch)
	b.begin(c)
	return b
}

// branches are those of a connection. What was made for a request serves the next one when it has been answered.
type branches struct {
	mu   sync.Mutex
	all  []*branch
	free []*branch
}

// branchesMax is how many a connection keeps.
const branchesMax = 16

// put takes back a branch that nobody uses any more. ours: nobody will end what was under way on it either.
func (b *branches) put(one *branch, ours bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ours && !one.aborted.Load() && len(b.free) < branchesMax {
		b.free = append(b.free, one)
		return
	}
	b.all = slices.DeleteFunc(b.all, func(other *branch) bool { return other == one })
}

// each calls f with those that are there, in use or not.
func (b *branches) each(f func(c *connection)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range b.all {
		f(&one.connection)
	}
}

// leave ends what is under way with those servers' ends that which picks, and reports how much that was.
func (b *branches) leave(which func(c *connection) bool) (ended int) {
	b.each(func(one *connection) {
		if which(one) {
			one.leave()
			ended++
		}
	})
	return ended
}

// take is a branch of c.
func (b *branches) take(c *connection) *branch {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := len(b.free) - 1
	if last < 0 {
		one := c.branch()
		one.config = one.httpConfig()
		one.config.Rest = nil // GOAWAY has said which requests are still to be answered
		one.told = one.config.Forward
		b.all = append(b.all, one)
		return one
	}
	one := b.free[last]
	b.free[last], b.free = nil, b.free[:last]
	one.begin(c)
	one.config.Forward, one.forward = one.told, &one.config.Forward
	return one
}

// begin makes a branch as good as new. What has been found out about the client is c's, and does not change any more; the server is the branch's own.
func (b *branch) begin(c *connection) {
	b.connection = connection{
		p: c.p, listener: c.listener, slot: c.slot, snap: c.snap, client: c.client, quic: c.quic,
		addr: c.addr, shown: c.shown, port: c.port, asker: c.asker,
		denial: c.denial, noted: c.noted, decided: c.decided, denied: c.denied,
		identity: c.identity, protocol: c.protocol, said: c.said, secured: c.secured,
		proxies: c.proxies, behalf: c.behalf, known: c.known, journal: c.journal.branch(),
	}
}
