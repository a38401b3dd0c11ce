// Package streams makes a connection of each request of a protocol that carries several at once, HTTP/2 and HTTP/3: what is read from it is an
// HTTP/1.1 request, what is written to it is taken for the response. So whoever checks, forwards and answers requests of HTTP/1.1 does so for these
// as well, by the same rules and nothing beside them.
package streams

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Handler serves the requests of one connection.
type Handler struct {
	Conn net.Conn      // that of all streams: it is asked for its addresses, and closed where the client gives up too much
	Idle time.Duration // what is left of a response when its exchange is over may take so long; 0: no limit
	// Expect: 100-continue is for the server to answer, as the protocol's library does not by itself.
	Expects bool
	// Exchange reads one request from client and answers it. It is called for several streams at once, and ctx ends when the client has given
	// its request up or is gone.
	Exchange func(ctx context.Context, client net.Conn)

	done    atomic.Int64 // requests that were answered
	givenUp atomic.Int64 // requests that the client has given up
}

// patience is how many more requests a client may give up than it lets us answer. Giving up costs it next to nothing and a server a connection
// (CVE-2023-44487); the protocols' libraries bound only how many are under way.
const patience = 200

// ServeHTTP is the way of a stream.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head, err := appendHead(nil, r, h.Expects)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s := newStream(h.Conn, w, r, head)
	s.answer.continues, s.answer.opens = h.Expects, webSocket(r)
	h.Exchange(r.Context(), s)
	if r.Context().Err() == nil {
		h.done.Add(1)
	} else if h.givenUp.Add(1) > patience+h.done.Load() {
		h.Conn.Close()
	}
	s.end(h.Idle)
}
