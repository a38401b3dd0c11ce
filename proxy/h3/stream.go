//go:build !nohttp3

package h3

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"edgepen/proxy/streams"
)

// stream is a stream as a connection: what is read is an HTTP/1.1 request, what is written is taken for the response to it.
// One goroutine may read while another writes.
type stream struct {
	net.Conn // the connection of all streams, for its addresses only
	w        http.ResponseWriter
	r        *http.Request
	control  *http.ResponseController

	ahead   []byte      // what is to be read next: the head, or the end of a chunked body
	chunked bool        // the body's length is not known
	ended   atomic.Bool // nothing is left of the body
	reset   bool        // the response is cut off
	begun   bool        // the final response's head has been passed on to somebody

	answer  streams.Answer
	writeBy time.Time // the deadline of writes, set on the stream only before one that may have to wait
	set     time.Time
}

func newStream(conn net.Conn, w http.ResponseWriter, r *http.Request, head []byte) *stream {
	s := &stream{Conn: conn, w: w, r: r, answer: streams.NewAnswer(), control: http.NewResponseController(w), ahead: head, chunked: r.ContentLength < 0 && !webSocket(r)}
	s.answer.IsHead = r.Method == http.MethodHead
	s.ended.Store(r.ContentLength == 0)
	return s
}

// Read returns what comes next of the request. After its end there is nothing more, as on a connection whose client has closed its side.
func (s *stream) Read(p []byte) (int, error) {
	if n := copy(p, s.ahead); n > 0 {
		s.ahead = s.ahead[n:]
		return n, nil
	}
	if s.ended.Load() {
		return 0, io.EOF
	}
	if s.chunked {
		return s.readChunk(p)
	}
	n, err := s.r.Body.Read(p)
	if err == io.EOF {
		s.ended.Store(true)
	}
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// readChunk reads part of the body and puts the frame of a chunk around it.
func (s *stream) readChunk(p []byte) (int, error) {
	if len(p) <= streams.Around {
		return 0, io.ErrShortBuffer
	}
	n, err := s.r.Body.Read(streams.Room(p))
	if err == io.EOF {
		s.ended.Store(true)
		s.ahead = appendTrailer(s.ahead[:0], s.r.Trailer)
	}
	if n == 0 {
		if s.ended.Load() {
			return s.Read(p)
		}
		return 0, err
	}
	return streams.Chunk(p, n), nil
}

// withoutWait is how much of a response can be written without anybody waiting for the client: the libraries gather 4096 bytes.
const withoutWait = 4000

// Write takes what comes next of the response.
func (s *stream) Write(p []byte) (int, error) {
	if (s.answer.Begun || len(p) > withoutWait) && s.writeBy != s.set {
		if err := s.setWriteDeadline(s.writeBy); err != nil {
			return 0, err
		}
	}
	if err := s.answer.Take((*responder)(s), p); err != nil {
		return 0, err
	}
	if s.answer.Begun && !s.answer.Ended {
		if err := s.control.Flush(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (s *stream) setWriteDeadline(t time.Time) error {
	s.set = t
	return s.control.SetWriteDeadline(t)
}

// Close ends the reading, and of a WebSocket the writing too. The stream itself ends when its Exchange has returned, whole or, where the response is
// not, reset.
func (s *stream) Close() error {
	if s.answer.Raw {
		s.control.SetWriteDeadline(time.Unix(1, 0)) //nolint:errcheck // the stream is gone
	}
	return s.r.Body.Close()
}

// CloseWrite is the end of a response that has no other.
func (s *stream) CloseWrite() error {
	return s.answer.Close((*responder)(s))
}

// Reset cuts the response off: the client sees the stream reset.
func (s *stream) Reset() { s.reset = true }

// SetDeadline sets both deadlines.
func (s *stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline is for the body: the head is there.
func (s *stream) SetReadDeadline(t time.Time) error {
	switch {
	case s.ended.Load():
		return nil
	case !t.IsZero() && time.Until(t) <= 0:
		// Whoever sets such a deadline wants a read to end. One that passes has net/http reset the stream when more of the body comes,
		// before a response that has begun is out.
		return s.r.Body.Close()
	}
	return s.control.SetReadDeadline(t)
}

// SetWriteDeadline is called by the goroutine that writes.
func (s *stream) SetWriteDeadline(t time.Time) error {
	s.writeBy = t
	return nil
}

// end settles the stream when its exchange is over; what is left to be sent of the response may take idle more. http.ErrAbortHandler is how a
// handler resets its stream.
func (s *stream) end(idle time.Duration) {
	var by time.Time
	if idle > 0 {
		by = time.Now().Add(idle)
	}
	if s.reset || !s.answer.Ended && !s.answer.Raw || s.setWriteDeadline(by) != nil {
		panic(http.ErrAbortHandler)
	}
}

// responder is a stream as the parts of its response are given to it.
type responder stream

// Head passes a response's fields on.
func (r *responder) Head(a *streams.Answer, text []byte, _ bool) error {
	if err := r.r.Context().Err(); err != nil { // it would go to nobody
		return err
	}
	r.begun = r.begun || a.Begun
	h := r.w.Header()
	a.EachField(text, func(name, value []byte) {
		if !bytes.EqualFold(name, []byte("Trailer")) { // which the library writes itself
			h.Add(string(name), string(value))
		}
	})
	for _, name := range []string{"Date", "Content-Type"} { // which the library would make up
		if _, ok := h[name]; !ok {
			h[name] = nil
		}
	}
	r.w.WriteHeader(a.Status())
	if !a.Begun {
		clear(h)
	}
	return nil
}

// Data passes part of a body on. That it is the last the library learns when the handler is done.
func (r *responder) Data(p []byte, _ bool) error {
	if len(p) == 0 {
		return nil
	}
	_, err := r.w.Write(p)
	return err
}

// Trailer keeps the fields behind a body for the library to send.
func (r *responder) Trailer(fields []byte) error {
	for line := range bytes.Lines(fields) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		r.w.Header().Add(http.TrailerPrefix+string(name), string(bytes.TrimSpace(value)))
	}
	return nil
}
