package proxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"edgepen/proxy/backend"
	"edgepen/proxy/h2client"
	"edgepen/proxy/relay"
	"edgepen/tls/upstream"
)

// trunks are the connections to servers that are spoken to in HTTP/2 (backend_http2). Each carries requests of many clients at once, each request on a
// stream, which is the server's connection for whoever relays it.
type trunks struct {
	mu      sync.Mutex
	have    map[*backend.State][]*trunk // the newest last
	opening map[*backend.State]*opening
}

type trunk struct {
	conn     *h2client.Conn
	sock     *relay.Socket
	server   *backend.Server
	upstream *upstream.Client // how TLS was begun; nil: it was not
	source   dialFrom
	used     time.Time // when a stream was last seen on it
}

// opening is a trunk to come, which all wait for who need one.
type opening struct {
	done chan struct{}
	err  error // valid after done
}

// trunkTime is how long a trunk without a request is kept.
const trunkTime = 30 * time.Second

var errNoHTTP2 = errors.New("it does not agree to HTTP/2 (ALPN); without backend_http2 servers are spoken to in HTTP/1.1")

func newTrunks() *trunks {
	return &trunks{have: map[*backend.State][]*trunk{}, opening: map[*backend.State]*opening{}}
}

// http2ToServers reports whether requests go to servers by HTTP/2.
func (c *Config) http2ToServers() bool { return c.HTTP && c.BackendHTTP2 }

// join opens a stream to a server.
func (c *connection) join(srv *backend.Server, snap *snapshot) (*relay.Socket, *relay.Stream, error) {
	if c.shares(snap) {
		again := func() (*h2client.Conn, error) { return c.boardTrunk(srv, snap) }
		conn, err := again()
		if err != nil {
			return nil, nil, err
		}
		return streamOf(conn.Open(again))
	}
	d, err := c.trunk(srv, snap)
	if err != nil {
		return nil, nil, err
	}
	s := d.conn.Open(nil)
	s.Alone(d.conn)
	return streamOf(s)
}

// boardTrunk reserves a place for a stream to a server: on a trunk that is there, on the one that somebody is opening, or on a new one.
func (c *connection) boardTrunk(srv *backend.Server, snap *snapshot) (*h2client.Conn, error) {
	for {
		conn, o, ours := c.p.trunks.board(srv, snap)
		switch {
		case conn != nil:
			return conn, nil
		case ours:
			d, err := c.trunk(srv, snap)
			c.p.trunks.opened(srv, o, d, err)
			if err != nil {
				return nil, err
			}
			return d.conn, nil
		}
		if <-o.done; o.err != nil {
			return nil, o.err
		}
	}
}

func streamOf(s *h2client.Stream) (*relay.Socket, *relay.Stream, error) {
	stream := relay.NewPlainStream(s)
	return stream.Socket(), stream, nil
}

// trunk makes a connection to a server that speaks HTTP/2, and reserves a place on it before anybody else can.
func (c *connection) trunk(srv *backend.Server, snap *snapshot) (*trunk, error) {
	by := time.Now().Add(snap.ConnectTimeout)
	sock, stream, err := c.open(srv, snap, by)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadline(c.p.alive, by)
	defer cancel()
	conn, err := h2client.Begin(ctx, stream.Conn(), snap.upstream != nil, snap.HeadMax)
	if err != nil {
		return nil, err
	}
	if err := conn.Reserve(); err != nil {
		conn.Close()
		return nil, err
	}
	return &trunk{conn, sock, srv, snap.upstream, dialFrom{source: snap.Source}, time.Now()}, nil
}

// board reserves a place on a trunk that is good. Where there is none, it returns the one that is being opened, and whether that is for the caller to do.
func (t *trunks) board(srv *backend.Server, snap *snapshot) (conn *h2client.Conn, o *opening, ours bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.have[srv.State] {
		if d.good(snap) && d.conn.Reserve() == nil {
			return d.conn, nil, false
		}
	}
	if o := t.opening[srv.State]; o != nil {
		return nil, o, false
	}
	o = &opening{done: make(chan struct{})}
	t.opening[srv.State] = o
	return nil, o, true
}

// opened tells those who wait that a trunk is there, or why not.
func (t *trunks) opened(srv *backend.Server, o *opening, d *trunk, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d != nil {
		t.have[srv.State] = append(t.have[srv.State], d)
	}
	delete(t.opening, srv.State)
	o.err = err
	close(o.done)
}

// good reports whether a trunk is what a new one would be under this configuration.
func (d *trunk) good(snap *snapshot) bool {
	return snap.http2ToServers() && snap.Reuse && !snap.Transparent && snap.ProxyOut == 0 && d.upstream == snap.upstream &&
		d.source == dialFrom{source: snap.Source} && d.conn.Alive() && snap.has(idler{d.server, d.sock})
}

// stays reports whether a trunk is kept: what is under way on it may end, whatever is in force.
func (d *trunk) stays(snap *snapshot, now time.Time) bool {
	if snap == nil {
		return false
	}
	if !d.conn.Idle() {
		d.used = now
		return true
	}
	return d.good(snap) && now.Sub(d.used) < trunkTime
}

// tend closes the trunks that nobody may use any more; all of them where snap is nil.
func (t *trunks) tend(snap *snapshot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for state, all := range t.have {
		kept := all[:0]
		for _, d := range all {
			if d.stays(snap, now) {
				kept = append(kept, d)
			} else {
				d.conn.Close()
			}
		}
		clear(all[len(kept):])
		if t.have[state] = kept; len(kept) == 0 {
			delete(t.have, state)
		}
	}
}
