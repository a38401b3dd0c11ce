package relay

import "edgepen/httpx"

// store holds bytes on their way through an exchange: in a pooled buffer, or, where that is too small, in one of its own
// that is left to the garbage collector.
type store struct {
	pooled *buffer
	b      []byte // what is held, from the first byte nobody has taken; nil if nothing is
	head   int    // length of the head at b's beginning, once known
}

// pending reports whether bytes are held.
func (s *store) pending() bool { return len(s.b) > 0 }

// reset empties the store and makes sure that it has a buffer.
func (s *store) reset() {
	if s.pooled == nil {
		s.pooled = getBuffer()
	}
	s.b = s.pooled[:0]
}

// release gives the buffer back. What it held is gone.
func (s *store) release() {
	if s.pooled != nil {
		putBuffer(s.pooled)
		s.pooled = nil
	}
	s.b = nil
}

// drop forgets the first n bytes.
func (s *store) drop(n int) { s.b = s.b[n:] }

// next waits for bytes while holding no buffer, and then holds them.
func (s *store) next(from *Stream) error {
	s.release()
	b, i, j, err := from.next()
	if err != nil {
		return err
	}
	s.pooled, s.b = b, b[i:j]
	return nil
}

// more reads at least one more byte behind those held, moving or growing them where there is no room.
func (s *store) more(from *Stream) error {
	if s.pooled == nil {
		return s.next(from)
	}
	if len(s.b) == cap(s.b) {
		s.makeRoom()
	}
	n, err := from.read(s.b[len(s.b):cap(s.b)])
	s.b = s.b[:len(s.b)+n]
	if n > 0 {
		return nil
	}
	return err
}

// makeRoom moves what is held to the front of the pooled buffer, or to a larger one.
func (s *store) makeRoom() {
	if len(s.b) < bufferSize {
		s.b = s.pooled[:copy(s.pooled[:], s.b)]
		return
	}
	grown := make([]byte, len(s.b), 2*len(s.b))
	copy(grown, s.b)
	s.b = grown
}

// fill appends what of a body has come, as far as there is room without growing.
func (s *store) fill(from *store, body *httpx.Body) error {
	room := min(cap(s.b)-len(s.b), len(from.b))
	if room <= 0 || body.Done() {
		return nil
	}
	taken, out, err := body.Feed(from.b[:room])
	if err != nil {
		return err
	}
	s.b = append(s.b, from.b[:out]...)
	from.drop(taken)
	return nil
}
