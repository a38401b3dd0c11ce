package streams

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
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

	answer  answer
	writeBy time.Time // the deadline of writes, set on the stream only before one that may have to wait
	set     time.Time
}

func newStream(conn net.Conn, w http.ResponseWriter, r *http.Request, head []byte) *stream {
	s := &stream{Conn: conn, w: w, r: r, control: http.NewResponseController(w), ahead: head, chunked: r.ContentLength < 0 && !webSocket(r)}
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

// The frame around a chunk: its size in at most eight digits, and two line ends.
const (
	sizeLine = 8 + len("\r\n")
	frame    = sizeLine + len("\r\n")
)

// readChunk reads part of the body and puts the frame of a chunk around it.
func (s *stream) readChunk(p []byte) (int, error) {
	if len(p) <= frame {
		return 0, io.ErrShortBuffer
	}
	n, err := s.r.Body.Read(p[sizeLine : len(p)-2])
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
	size := strconv.AppendInt(make([]byte, 0, sizeLine), int64(n), 16)
	size = append(size, "\r\n"...)
	copy(p, size)
	copy(p[len(size):], p[sizeLine:sizeLine+n])
	copy(p[len(size)+n:], "\r\n")
	return len(size) + n + 2, nil
}

// withoutWait is how much of a response can be written without anybody waiting for the client: the libraries gather 4096 bytes.
const withoutWait = 4000

// Write takes what comes next of the response.
func (s *stream) Write(p []byte) (int, error) {
	if (s.answer.begun || len(p) > withoutWait) && s.writeBy != s.set {
		if err := s.setWriteDeadline(s.writeBy); err != nil {
			return 0, err
		}
	}
	if err := s.answer.take(s.w, p, s.r.Method == http.MethodHead); err != nil {
		return 0, err
	}
	if s.answer.through || s.answer.begun && !s.answer.complete() {
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
	if s.answer.through {
		s.control.SetWriteDeadline(time.Unix(1, 0)) //nolint:errcheck // the stream is gone
	}
	return s.r.Body.Close()
}

// CloseWrite is the end of a response that has no other.
func (s *stream) CloseWrite() error {
	s.answer.close()
	return nil
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
	if s.reset || !s.answer.complete() || s.setWriteDeadline(by) != nil {
		panic(http.ErrAbortHandler)
	}
}
