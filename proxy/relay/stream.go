package relay

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// Layer is what may lie above a socket: TLS.
type Layer interface {
	net.Conn
	CloseWrite() error
}

// Stream is one side of a relayed connection: a socket, or TLS on a socket. One goroutine may read while another writes.
type Stream struct {
	sock   *Socket
	tls    Layer // nil: bytes go through the socket as they are
	served bool  // a server's, which has answered before
}

// NewStream returns the stream of a socket and of the TLS above it (nil for none), whose handshake is done.
func NewStream(s *Socket, tls Layer) *Stream {
	s.yields = tls != nil
	return &Stream{sock: s, tls: tls}
}

// next waits for bytes without holding a buffer and returns them as b[from:to]; the caller puts b back. Where err is
// not nil there is no buffer.
func (s *Stream) next() (b *buffer, from, to int, err error) {
	if s.tls == nil {
		if err := s.sock.wait(); err != nil {
			return nil, 0, 0, err
		}
		b, from, to = s.sock.take()
		return b, from, to, nil
	}
	for {
		b = getBuffer()
		n, err := s.tls.Read(b[:])
		if n > 0 {
			return b, 0, n, nil
		}
		putBuffer(b)
		if err == errNotReady {
			err = s.sock.wait()
		}
		if err != nil {
			return nil, 0, 0, err
		}
	}
}

// read fills p with what comes next, at least one byte.
func (s *Stream) read(p []byte) (int, error) {
	if s.tls == nil {
		return s.sock.Read(p)
	}
	for {
		n, err := s.tls.Read(p)
		if n > 0 || err != errNotReady {
			return n, err
		}
		if err := s.sock.wait(); err != nil {
			return 0, err
		}
	}
}

// alive reports whether the stream is open with nothing to read, as a connection between two exchanges has to be. TLS may have more in its hands than
// it was asked for.
func (s *Stream) alive() bool {
	if !s.sock.alive() {
		return false
	}
	if s.tls == nil {
		return true
	}
	n, err := s.tls.Read(s.sock.peeked[:])
	return n == 0 && err == errNotReady
}

func (s *Stream) write(p []byte) error {
	_, err := s.give(p)
	return err
}

// give is write, and says how much of p was written.
func (s *Stream) give(p []byte) (int, error) {
	if s.tls == nil {
		return s.sock.Write(p)
	}
	return s.tls.Write(p)
}

func (s *Stream) closeWrite() {
	if s.tls != nil {
		s.tls.CloseWrite() //nolint:errcheck // the peer may be gone, which is what is being said
		return
	}
	s.sock.CloseWrite() //nolint:errcheck // as above
}

// Close ends the stream at once, and every read and write that waits on it.
func (s *Stream) Close() error { return s.sock.Close() }

// Farewell writes a last message and ends the stream once the peer has had time to read it. It says how much was written.
func (s *Stream) Farewell(message []byte) int {
	return s.farewell(message, func(int) {})
}

// farewell is Farewell, and calls written before the peer has its time.
func (s *Stream) farewell(message []byte, written func(n int)) int {
	s.sock.expectWrite(time.Now(), lingerTime)
	n, err := s.give(message)
	written(n)
	if err == nil {
		s.linger(lingerTime)
	}
	return n
}

// Conn is the stream as an ordinary connection, for those who read it by other means from now on.
func (s *Stream) Conn() net.Conn {
	if s.tls == nil {
		return s.sock
	}
	s.sock.yields = false
	return s.tls
}

// Socket is the socket that the stream goes through.
func (s *Stream) Socket() *Socket { return s.sock }

// Await waits until the peer has sent something, without taking it.
func (s *Stream) Await() error { return s.sock.wait() }

// reset ends the stream so that the peer sees an error rather than an orderly end.
func (s *Stream) reset() {
	switch c := s.sock.Conn.(type) {
	case *net.TCPConn:
		c.SetLinger(0) //nolint:errcheck // it fails on a closed connection only
	case interface{ Reset() }:
		c.Reset()
	}
	s.Close()
}

// linger ends the stream so that the peer can read what was written last: a socket closed with bytes unread
// answers with a reset, which would throw the last reply away. What still comes within d is thrown away.
func (s *Stream) linger(d time.Duration) {
	s.sock.expectWrite(time.Now(), d)
	s.closeWrite()
	if s.sock.raw == nil { // a stream of HTTP/2, which ends without harm to what was written
		s.Close()
		return
	}
	s.sock.Conn.SetReadDeadline(time.Now().Add(d)) //nolint:errcheck // a closed connection fails the read below
	s.sock.yields = false
	b := getBuffer()
	defer putBuffer(b)
	for err := error(nil); err == nil; {
		_, err = s.sock.Read(b[:])
	}
	s.Close()
}

// isTimeout reports whether a read or write ended because of its deadline.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// isGone reports whether the peer ended the connection, which for a proxy is no error.
func isGone(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}
