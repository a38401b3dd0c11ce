//go:build !nohttp3

package h3

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// Serve answers requests until either side ends the connection, or ctx does, which is told the client with GOAWAY: what is under way is then
// finished. The connection is closed when it returns.
func (c *Conn) Serve(ctx context.Context, s Serving) {
	q := c.quic.Load()
	h := &session{
		handler: handler{addrs: c, idle: s.Idle, exchange: s.Exchange},
		Serving: s, conn: c, quic: q, room: make(chan struct{}, s.Streams),
	}
	server := &http3.Server{Handler: h, MaxHeaderBytes: s.HeadMax, Logger: slog.New(errorsOnly{c.e.Log.Handler()})}
	h.rest(first(s.Head, s.Idle))
	h.goAway = sync.OnceFunc(func() {
		h.leave()
		server.Shutdown(context.Background()) //nolint:errcheck // its context does not end
	})
	stop := context.AfterFunc(ctx, h.goAway)
	defer stop()
	server.ServeQUICConn(q) //nolint:errcheck // it ends with the connection
	h.end()
	c.Close()
}

// first is how long the first request may take to come.
func first(head, idle time.Duration) time.Duration {
	if head > 0 {
		return head
	}
	return idle
}

// farewell is how long a client has to take the last response, and to close the connection itself, once it has been told GOAWAY and nothing is
// under way.
const farewell = time.Second

// session is a connection with its requests.
type session struct {
	handler
	Serving
	conn *Conn
	quic *quic.Conn
	room chan struct{} // as many as requests are served at once: who gives one up could otherwise have another before we are done
	// goAway tells the client that no more requests are taken. It returns when the connection has ended.
	goAway func()

	mu      sync.Mutex
	active  int
	begun   int // requests, in all
	leaving bool
	over    bool
	timer   *time.Timer // closes the connection while nothing is under way; nil: nothing does
}

// ServeHTTP is the way of a request.
func (s *session) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.enter()
	defer s.exit()
	if !s.stays() {
		panic(http.ErrAbortHandler)
	}
	select {
	case s.room <- struct{}{}:
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
	defer func() { <-s.room }()
	b := &body{ReadCloser: r.Body, control: http.NewResponseController(w)}
	r.Body = b
	if err := b.settle(r, s.Head); err != nil {
		panic(http.ErrAbortHandler)
	}
	s.handler.serve(&watched{w, s}, r)
}

// stays ends the connection of a client that has moved to another address: what was decided about it was decided about the one before.
func (s *session) stays() bool {
	if s.conn.moved(s.quic) {
		s.conn.Close()
		return false
	}
	return true
}

// enter counts a request whose head is there. Until then a stream keeps no connection open.
func (s *session) enter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active++
	if s.begun++; s.begun == s.Requests {
		go s.goAway()
	}
	if s.timer != nil {
		s.timer.Stop()
	}
}

func (s *session) exit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active--; s.active > 0 {
		return
	}
	if s.leaving {
		s.restLocked(farewell)
	} else {
		s.restLocked(s.Serving.Idle)
	}
}

func (s *session) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving = true; s.active == 0 {
		s.restLocked(farewell)
	}
}

func (s *session) rest(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restLocked(d)
}

// restLocked has the connection closed after d in which no request comes.
func (s *session) restLocked(d time.Duration) {
	if s.timer != nil {
		s.timer.Stop()
	}
	if d > 0 && !s.over {
		s.timer = time.AfterFunc(d, func() { s.conn.Close() })
	}
}

func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// watched is a ResponseWriter that does not write to a client that has moved.
type watched struct {
	http.ResponseWriter
	s *session
}

// Write writes.
func (w *watched) Write(p []byte) (int, error) {
	if !w.s.stays() {
		return 0, net.ErrClosed
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// body is a request's body. One that is longer than was announced is malformed, and must not be forwarded (RFC 9114 section 4.1.2). So that nobody takes
// it for whole, the last byte of as many as were announced is read only once the stream has ended.
type body struct {
	io.ReadCloser
	control  *http.ResponseController
	ahead    []byte // read already
	left     int64  // of as many as were announced, if any were
	last     [1]byte
	withheld bool // last is to be read yet
	closed   atomic.Bool
}

// settle finds out whether a request has a body where it does not say so: the end of a stream comes apart from its head, and what has none must not be
// passed on as if it had; nor what has one although it says so. Where a body is to be expected, it is not waited for.
func (b *body) settle(r *http.Request, within time.Duration) error {
	switch b.left = r.ContentLength; {
	case r.ContentLength == 0:
	case r.ContentLength > 0, len(r.Trailer) > 0, slices.Contains([]string{"POST", "PUT", "PATCH", "CONNECT"}, r.Method):
		return nil
	}
	if within > 0 {
		if err := b.control.SetReadDeadline(time.Now().Add(within)); err != nil {
			return err
		}
	}
	b.ahead = make([]byte, 1)
	n, err := io.ReadFull(b.ReadCloser, b.ahead)
	b.ahead = b.ahead[:n]
	switch {
	case err == io.EOF:
		r.ContentLength = 0
	case err != nil:
		return err
	}
	return b.control.SetReadDeadline(time.Time{})
}

// Read implements io.Reader. quic-go's may return nothing and no error.
func (b *body) Read(p []byte) (n int, err error) {
	if n = copy(p, b.ahead); n > 0 {
		b.ahead = b.ahead[n:]
		return n, nil
	}
	if b.withheld && len(p) > 0 {
		return b.readLast(p)
	}
	for n == 0 && err == nil && len(p) > 0 {
		if b.closed.Load() {
			return 0, io.ErrClosedPipe
		}
		n, err = b.ReadCloser.Read(p)
	}
	if b.left <= 0 || n == 0 {
		return n, err
	}
	if b.left -= int64(n); b.left > 0 || err == io.EOF {
		return n, err
	}
	if err != nil {
		return n - 1, err
	}
	b.last[0], b.withheld = p[n-1], true
	if n == 1 {
		return b.readLast(p)
	}
	return n - 1, nil
}

// readLast reads the last byte once nothing has come behind it.
func (b *body) readLast(p []byte) (int, error) {
	var more [1]byte
	for {
		if b.closed.Load() {
			return 0, io.ErrClosedPipe
		}
		_, err := b.ReadCloser.Read(more[:]) // quic-go reads nothing beyond what was announced, but an error if there is more
		if err == io.EOF {
			b.withheld = false
			return copy(p, b.last[:]), nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// Close ends the reading. The client is told when the response is out, and then that nothing is wrong (RFC 9114 section 4.1.1): quic-go's own
// Close would have it give the request up.
func (b *body) Close() error {
	b.closed.Store(true)
	return b.control.SetReadDeadline(time.Unix(1, 0))
}

// errorsOnly leaves out what quic-go says about each request.
type errorsOnly struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h errorsOnly) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelError && h.Handler.Enabled(ctx, l)
}
