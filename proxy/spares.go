package proxy

import (
	"sync"
	"time"

	"edgepen/proxy/backend"
	"edgepen/proxy/relay"
	"edgepen/tls/upstream"
)

// spares are connections to HTTP servers that have answered a request and wait for the next one, of whichever client. A spare connection has no
// place among its server's connections: it takes one with the next request.
type spares struct {
	mu   sync.Mutex
	have map[*backend.State][]spare // the newest last
}

type spare struct {
	stream   *relay.Stream
	server   *backend.Server
	upstream *upstream.Client // how TLS was begun; nil: it was not
	source   dialFrom
	since    time.Time
}

// A server's spare connections are bounded in number and time: servers close theirs after 5 s and more. The one that was used last is used first, so
// that there are not more than were in use at once a moment ago.
const (
	sparesMax = 256
	spareTime = 4 * time.Second
)

func newSpares() *spares { return &spares{have: map[*backend.State][]spare{}} }

// shares reports whether the connection's servers may be shared with other clients. Not where a server is told about the client by the connection
// itself.
func (c *connection) shares(snap *snapshot) bool {
	return snap.HTTP && snap.Reuse && !snap.Transparent && snap.ProxyOut == 0 && c.routed == nil && !c.denied
}

// put keeps a connection to a server for another request, as long as there is room.
func (s *spares) put(srv *backend.Server, snap *snapshot, stream *relay.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !snap.Reuse || snap.http2ToServers() || snap.Transparent || snap.ProxyOut > 0 || len(s.have[srv.State]) >= sparesMax {
		stream.Close()
		return
	}
	s.have[srv.State] = append(s.have[srv.State], spare{stream, srv, snap.upstream, dialFrom{source: snap.Source}, time.Now()})
}

// take hands out the connection to a server that was used last; nil if none is good.
func (s *spares) take(srv *backend.Server, snap *snapshot) *relay.Stream {
	for {
		last, ok := s.pop(srv.State)
		if !ok {
			return nil
		}
		if last.good(snap) {
			return last.stream
		}
		last.stream.Close()
	}
}

// pop takes the newest out; it is looked at by who has it, since that is a system call.
func (s *spares) pop(of *backend.State) (last spare, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.have[of]
	if len(all) == 0 {
		return spare{}, false
	}
	last = all[len(all)-1]
	all[len(all)-1] = spare{}
	s.have[of] = all[:len(all)-1]
	return last, true
}

// good reports whether a spare connection is what a new one would be under this configuration. Whether it is open, with nothing said, is looked at by
// whoever uses it.
func (d *spare) good(snap *snapshot) bool {
	return snap.Reuse && !snap.http2ToServers() && d.upstream == snap.upstream && d.source == dialFrom{source: snap.Source} &&
		time.Since(d.since) < spareTime && snap.has(idler{d.server, d.stream.Socket()})
}

// tend closes the connections that nobody may use any more; all of them where snap is nil.
func (s *spares) tend(snap *snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for state, all := range s.have {
		kept := all[:0]
		for _, d := range all {
			if snap != nil && d.good(snap) && d.stream.Socket().Silent() {
				kept = append(kept, d)
			} else {
				d.stream.Close()
			}
		}
		clear(all[len(kept):])
		if s.have[state] = kept; len(kept) == 0 {
			delete(s.have, state)
		}
	}
}
