package h2client

import (
	"context"
	"io"
	"net"
	"sync/atomic"
)

// Stream is a stream of HTTP/2 as a connection: what is written is taken for an HTTP/1.1 request, what is read is the response to it.
type Stream struct {
	net.Conn
	below  net.Conn // the connection of all streams
	cancel context.CancelFunc
	cut    atomic.Pointer[error] // why the response is not whole
	// Last has the connection end with this stream.
	last *Conn
}

// Read returns what comes next of the response. One that is not whole ends with an error.
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if cut := s.cut.Load(); err == io.EOF && cut != nil {
		return n, *cut
	}
	return n, err
}

// Close ends the stream; what is under way on it is reset.
func (s *Stream) Close() error {
	s.cancel()
	if s.last != nil {
		defer s.last.Close()
	}
	return s.Conn.Close()
}

// Alone makes the stream the last on its connection, which then ends with it.
func (s *Stream) Alone(c *Conn) { s.last = c }

// RemoteAddr is the server's.
func (s *Stream) RemoteAddr() net.Addr { return s.below.RemoteAddr() }

// LocalAddr is ours.
func (s *Stream) LocalAddr() net.Addr { return s.below.LocalAddr() }
