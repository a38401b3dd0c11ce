package relay

import (
	"errors"
	"net"
	"syscall"
)

// asking is a request that is written when its answer is waited for. The runtime's poller reports an edge, so that whoever waits has to read once in
// vain before: unless it knows that nothing can have come, and that is so between a read in vain and the write that asks for something. The read is
// the look at a kept connection that is due before each use.
type asking struct {
	p    []byte                // what is to be written; nil: nothing is
	done bool                  // it has been
	err  error                 // why not
	step func(fd uintptr) bool // bound once, so that asking allocates nothing
}

// errStale is what waiting for an answer ends with where nothing was asked, since the peer had closed the socket, or said something unasked.
var errStale = errors.New("the server has closed a connection that was kept, or said something on it that nobody asked")

// canAsk reports whether ready may be used.
func (s *Socket) canAsk() bool { return s.raw != nil && s.ahead == nil }

// ready has p written when next somebody waits. It has to stay as it is until then.
func (s *Socket) ready(p []byte) { s.put.p, s.put.done, s.put.err = p, false, nil }

// ask writes what is ready, and waits for what comes then.
func (s *Socket) ask() error {
	a := &s.put
	err := s.raw.Read(a.step)
	p := a.p
	a.p = nil
	switch {
	case err != nil:
		return err
	case a.err != nil:
		return a.err
	case !a.done: // not all of it: the rest may have to wait
		if _, err := s.Conn.Write(p); err != nil {
			return err
		}
		return s.wait()
	}
	err = s.readErr
	s.readErr = nil
	return err
}

// askAndFill is called by the runtime's poller; false means wait until the descriptor is readable.
func (s *Socket) askAndFill(fd uintptr) bool {
	a := &s.put
	if a.done {
		return s.fillAhead(fd)
	}
	if _, err := readFD(int(fd), s.peeked[:]); err != syscall.EAGAIN {
		a.err = errStale
		return true
	}
	n, err := writeFD(int(fd), a.p)
	if err != nil && err != syscall.EAGAIN {
		a.err = &net.OpError{Op: "write", Net: "socket", Err: err}
		return true
	}
	a.p = a.p[max(n, 0):]
	a.done = len(a.p) == 0
	return !a.done
}

func writeFD(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Write(fd, p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}
