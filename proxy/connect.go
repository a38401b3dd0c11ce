package proxy

import (
	"errors"
	"time"

	"edgepen/proxy/backend"
	"edgepen/proxy/relay"
)

var (
	errNotConnected = errors.New("no server could be connected to")
	// errSettled is that a new client was told of a server meanwhile: it asks for several things at once.
	errSettled = errors.New("the client has a server by now")
)

// connect chooses a server and connects to it. A server that fails is blacklisted and the next one tried.
// anew: on a connection that nobody has used before.
func (c *connection) connect(anew bool) (stream *relay.Stream, err error) {
	for {
		if stream, err = c.tryServers(anew); err != errSettled {
			return stream, err
		}
	}
}

func (c *connection) tryServers(anew bool) (*relay.Stream, error) {
	began := c.clock()
	snap := c.p.now.Load() // the servers of today, for a connection of yesterday that needs a new one
	set, last := snap.set, c.known.Last()
	if c.routed != nil {
		set, last = c.routed, -1
	}
	c.asker.now = snap
	request := backend.Request{Client: c.behalf, Port: c.port, Last: last, Lists: &c.asker, Denied: c.denied, Now: time.Now()}
	settles, settled := last < 0 && c.remembered(snap) && !set.RoundRobin, -1
	failed := relay.ErrNoServer
	for srv := range set.Candidates(request) {
		if !srv.Acquire(srv.Index == last && last >= 0) {
			continue
		}
		if settles && settled < 0 && srv.Index >= 0 {
			if !c.known.Settle(srv.Index) {
				srv.Release()
				return nil, errSettled
			}
			settled = srv.Index
		}
		s, stream, err := c.reach(srv, snap, anew)
		if err == nil {
			c.use(srv, s, snap)
			c.journal.connected(began)
			return stream, nil
		}
		srv.Release()
		c.journal.triedInVain()
		failed = errNotConnected
		if ourFault(err) {
			c.p.log.Error("cannot connect to any server", "why", err)
			break
		}
		c.p.shun(srv, snap, err)
	}
	if settled >= 0 {
		c.known.Unsettle(settled)
	}
	return nil, failed
}

// remembered reports whether the server that the connection gets is noted as the client's.
func (c *connection) remembered(snap *snapshot) bool {
	return !snap.Forgetful && c.routed == nil && !(c.denied && c.denial.reason == DeniedByRate)
}
