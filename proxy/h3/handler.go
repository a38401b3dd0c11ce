//go:build !nohttp3

package h3

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// handler serves the requests of one connection.
type handler struct {
	addrs net.Conn      // that of all streams: it is asked for its addresses, and closed where the client gives up too much
	idle  time.Duration // what is left of a response when its exchange is over may take so long; 0: no limit
	// exchange reads one request from client and answers it. It is called for several streams at once, and ctx ends when the client has given
	// its request up or is gone.
	exchange func(ctx context.Context, client net.Conn)

	done    atomic.Int64 // requests that an answer has begun to
	givenUp atomic.Int64 // requests that the client has given up before
}

// patience is how many more requests a client may give up than it lets us answer. Giving up costs it next to nothing and a server a connection
// (CVE-2023-44487); the library bounds only how many are under way. Who gives up an answer that has begun has waited for it.
const patience = 200

// serve is the way of a stream.
func (h *handler) serve(w http.ResponseWriter, r *http.Request) {
	head, accept, err := appendHead(nil, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s := newStream(h.addrs, w, r, head)
	s.answer.Accept = accept
	h.exchange(r.Context(), s)
	if r.Context().Err() == nil || s.begun {
		h.done.Add(1)
	} else if h.givenUp.Add(1) > patience+h.done.Load() {
		h.addrs.Close()
	}
	s.end(h.idle)
}
