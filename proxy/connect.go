package proxy

import (
	"errors"
	"sync"
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
	choice, ok := c.beginChoice(set, last, snap)
	if !ok {
		return nil, errSettled
	}
	defer choice.over()
	failed := relay.ErrNoServer
	for srv := range set.Candidates(request) {
		if !srv.Acquire(srv.Index == last && last >= 0) {
			continue
		}
		choice.made(srv.Index)
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
	choice.unmade()
	return nil, failed
}

// choice is the first server of a client, which is chosen for all that it asks for at the time; nil where there is nothing to choose.
type choice struct {
	known  *backend.Client
	mu     *sync.Mutex // nil once there is a server
	chosen int
}

// beginChoice makes whoever else asks for the same client wait until a server is chosen. False: it has one by now.
func (c *connection) beginChoice(set *backend.Set, last int, snap *snapshot) (*choice, bool) {
	if last >= 0 || set.RoundRobin || !c.remembered(snap) {
		return nil, true
	}
	ch := &choice{known: c.known, mu: c.p.clients.Choosing(c.known), chosen: -1}
	ch.mu.Lock()
	if c.known.Last() >= 0 {
		ch.over()
		return nil, false
	}
	return ch, true
}

// made notes the first server that is tried; others ask for it from now on.
func (ch *choice) made(index int) {
	if ch == nil || ch.mu == nil {
		return
	}
	if index >= 0 { // the emergency and the abuse server are nobody's
		ch.known.SetLast(index)
		ch.chosen = index
	}
	ch.over()
}

// unmade says that it could not be connected to.
func (ch *choice) unmade() {
	if ch != nil && ch.chosen >= 0 {
		ch.known.Unsettle(ch.chosen)
	}
}

// over lets others choose.
func (ch *choice) over() {
	if ch != nil && ch.mu != nil {
		ch.mu.Unlock()
		ch.mu = nil
	}
}

// remembered reports whether the server that the connection gets is noted as the client's.
func (c *connection) remembered(snap *snapshot) bool {
	return !snap.Forgetful && c.routed == nil && !(c.denied && c.denial.reason == DeniedByRate)
}
