package relay

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// bufferSize is what one read asks for: two TLS records. More costs cache and gains nothing.
const bufferSize = 32 << 10

type buffer [bufferSize]byte

// buffers lends out read buffers. A connection with nothing to read holds none.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

func getBuffer() *buffer  { return buffers.Get().(*buffer) }
func putBuffer(b *buffer) { buffers.Put(b) }

// notReady is what a Socket answers to TLS above it where a read would have to wait. It is a temporary
// net.Error, which crypto/tls hands through without ending the connection: the read can be resumed.
type notReady struct{}

func (notReady) Error() string   { return "no bytes there yet" }
func (notReady) Timeout() bool   { return true }
func (notReady) Temporary() bool { return true }

var errNotReady error = notReady{}

// Socket is a stream socket that is waited for without holding a buffer: the bytes that end the wait are read
// into a buffer from the pool, and kept as ahead until they are asked for.
type Socket struct {
	net.Conn
	raw     syscall.RawConn       // nil: without a descriptor, and so waited for with a buffer
	fill    func(fd uintptr) bool // bound once, so that waiting allocates nothing
	look    func(fd uintptr)      // the same for alive
	ahead   *buffer               // bytes read ahead; nil if there are none
	from    int                   // ahead[from:to] are not asked for yet
	to      int
	readErr error
	yields  bool // Read answers errNotReady instead of waiting
	peeked  [1]byte
	put     asking
	silent  bool // what peek found: open, and nothing to read
	spoke   bool // open, and something to read

	readBy  time.Time // the deadlines that are set; the zero time if none
	writeBy time.Time
}

// NewSocket takes over a TCP or Unix stream connection.
func NewSocket(c net.Conn) (*Socket, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.New("relay: a connection without a descriptor")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &Socket{Conn: c, raw: raw}
	s.fill, s.look, s.put.step = s.fillAhead, s.peek, s.askAndFill
	return s, nil
}

// NewPlainSocket takes over what is no connection of the system's: a connection of QUIC.
func NewPlainSocket(c net.Conn) *Socket { return &Socket{Conn: c} }

// NewPlainStream is the stream of what is no connection of the system's: a stream of HTTP/2 or HTTP/3. A server's is for one exchange.
func NewPlainStream(c net.Conn) *Stream {
	both := &struct {
		stream Stream
		socket Socket
	}{}
	both.socket.Conn = c
	both.stream.sock = &both.socket
	return &both.stream
}

// fillAhead is called by the runtime's poller; false means wait until the descriptor is readable.
func (s *Socket) fillAhead(fd uintptr) bool {
	b := getBuffer()
	n, err := readFD(int(fd), b[:])
	if n <= 0 {
		putBuffer(b)
	}
	switch {
	case err == syscall.EAGAIN:
		return false
	case err != nil:
		s.readErr = &net.OpError{Op: "read", Net: "socket", Err: err}
	case n == 0:
		s.readErr = io.EOF
	default:
		s.ahead, s.from, s.to = b, 0, n
	}
	return true
}

func readFD(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// wait returns when bytes have been read ahead, or with the error (io.EOF, a passed deadline) that took their place.
func (s *Socket) wait() error {
	if s.ahead != nil {
		return nil
	}
	if s.raw == nil {
		return s.readAhead()
	}
	if s.put.p != nil {
		return s.ask()
	}
	if err := s.raw.Read(s.fill); err != nil {
		return err
	}
	err := s.readErr
	s.readErr = nil
	return err
}

// readAhead does the same without a descriptor.
func (s *Socket) readAhead() error {
	b := getBuffer()
	n, err := s.Conn.Read(b[:])
	if n <= 0 {
		putBuffer(b)
		return err
	}
	s.ahead, s.from, s.to = b, 0, n
	return nil
}

// take hands over the bytes read ahead together with their buffer, which the caller puts back.
func (s *Socket) take() (b *buffer, from, to int) {
	b, from, to = s.ahead, s.from, s.to
	s.ahead, s.from, s.to = nil, 0, 0
	return b, from, to
}

// Read returns bytes read ahead, if there are any, and otherwise reads from the socket: TLS above it reads here.
func (s *Socket) Read(p []byte) (int, error) {
	if s.ahead == nil {
		if s.yields {
			return 0, errNotReady
		}
		return s.Conn.Read(p)
	}
	n := copy(p, s.ahead[s.from:s.to])
	if s.from += n; s.from == s.to {
		putBuffer(s.ahead)
		s.ahead, s.from, s.to = nil, 0, 0
	}
	return n, nil
}

// Unread makes p what is read next, before everything else: what was read to find out what the connection is. It reports
// whether there was room, which is bufferSize for all that is read ahead.
func (s *Socket) Unread(p []byte) bool {
	if len(p) == 0 {
		return true
	}
	if len(p)+s.to-s.from > bufferSize {
		return false
	}
	b := getBuffer()
	n := copy(b[:], p)
	if kept, from, to := s.take(); kept != nil {
		n += copy(b[n:], kept[from:to])
		putBuffer(kept)
	}
	s.ahead, s.from, s.to = b, 0, n
	return true
}

// SpeaksHTTP waits until by (the zero time: for ever) for the peer's first byte, and reports whether it is one that a request begins with
// rather than a TLS handshake: methods are capital letters, and so far apart from the types of TLS records. Where none comes, the next read
// will say why.
func (s *Socket) SpeaksHTTP(by time.Time) bool {
	if s.Conn.SetReadDeadline(by) != nil || s.wait() != nil {
		return false
	}
	first := s.ahead[s.from]
	return 'A' <= first && first <= 'Z'
}

// Beginning is what the peer has sent and nobody has taken yet, as far as it is known here.
func (s *Socket) Beginning() []byte {
	if s.ahead == nil {
		return nil
	}
	return s.ahead[s.from:s.to]
}

// TakeHead waits until by (the zero time: for ever) for what a connection begins with, and takes it. length is shown what has come, and says how much
// of it that is, 0 while more is needed, or an error, which is returned with nothing taken. The deadline ends with the head.
func (s *Socket) TakeHead(by time.Time, length func(b []byte) (int, error)) ([]byte, error) {
	if err := s.Conn.SetReadDeadline(by); err != nil {
		return nil, err
	}
	defer s.Conn.SetReadDeadline(time.Time{}) //nolint:errcheck // it fails on a closed connection only, and then the next read does too
	if err := s.wait(); err != nil {
		return nil, err
	}
	for {
		n, err := length(s.ahead[s.from:s.to])
		if err != nil {
			return nil, err
		}
		if n > 0 {
			head := append([]byte(nil), s.ahead[s.from:s.from+n]...)
			if s.from += n; s.from == s.to {
				putBuffer(s.ahead)
				s.ahead, s.from, s.to = nil, 0, 0
			}
			return head, nil
		}
		if s.to == bufferSize {
			return nil, errors.New("too much at the beginning of a connection")
		}
		n, err = s.Conn.Read(s.ahead[s.to:])
		if n == 0 && err != nil {
			return nil, err
		}
		s.to += n
	}
}

// CloseWrite tells the peer that nothing more will come.
func (s *Socket) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// alive reports whether the socket is open with nothing to read, as a connection between two exchanges has to be.
func (s *Socket) alive() bool {
	if s.ahead != nil || s.raw == nil {
		return false
	}
	return s.raw.Control(s.look) == nil && s.silent
}

// Usable reports whether the peer has kept the socket open. It may have sent something, as servers do that speak first.
func (s *Socket) Usable() bool {
	return s.ahead != nil || s.raw.Control(s.look) == nil && (s.silent || s.spoke)
}

// Silent reports whether the peer has kept the socket open and said nothing: what comes from a server that nobody has asked
// is no answer.
func (s *Socket) Silent() bool { return s.alive() }

// FD is the socket's descriptor, for people; -1 once it is closed, and for a stream.
func (s *Socket) FD() int {
	n := -1
	if s.raw == nil {
		return n
	}
	if s.raw.Control(func(fd uintptr) { n = int(fd) }) != nil {
		return -1
	}
	return n
}

func (s *Socket) peek(fd uintptr) {
	n, _, err := syscall.Recvfrom(int(fd), s.peeked[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	s.silent = err == syscall.EAGAIN
	s.spoke = err == nil && n > 0
}

// expectRead lets reads end d from now at the earliest, d and an eighth at the latest (so that a busy connection does not
// set a timer for each read); 0 means never.
func (s *Socket) expectRead(now time.Time, d time.Duration) {
	if by, set := moved(s.readBy, now, d); set {
		s.readBy = by
		s.Conn.SetReadDeadline(by) //nolint:errcheck // it fails on a closed connection only, and then the read does too
	}
}

// expectWrite does the same for writes.
func (s *Socket) expectWrite(now time.Time, d time.Duration) {
	if by, set := moved(s.writeBy, now, d); set {
		s.writeBy = by
		s.Conn.SetWriteDeadline(by) //nolint:errcheck // as above
	}
}

// moved says which deadline there should be, and whether it differs enough from the present one to be set.
func moved(present, now time.Time, d time.Duration) (by time.Time, set bool) {
	if d <= 0 {
		return time.Time{}, !present.IsZero()
	}
	earliest, latest := now.Add(d), now.Add(d+d/8)
	if !present.Before(earliest) && !present.After(latest) {
		return present, false
	}
	return latest, true
}
