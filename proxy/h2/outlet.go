package h2

import (
	"bytes"
	"runtime"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// outlet is what a session has to say and has not written yet. All of it is guarded by the session's lock.
type outlet struct {
	b       []byte         // frames that wait
	frames  *http2.Framer  // appends to b
	fields  *hpack.Encoder // appends to block
	block   bytes.Buffer
	writing bool
	room    sync.Cond // some of b was written, or the client takes more
	err     error     // nothing can be written any more
	sent    int       // frames of data that were of use
	by      time.Time // the deadline that is set
}

// outMax is how much may wait to be written before those who have more to say wait as well.
const outMax = 64 << 10

// outBuffers lends out what frames are gathered in. A session with nothing to say holds none.
var outBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

func (o *outlet) init(mu *sync.Mutex) {
	o.room.L = mu
	o.frames = http2.NewFramer((*gatherer)(o), nil)
	o.fields = hpack.NewEncoder(&o.block)
	o.fields.SetMaxDynamicTableSizeLimit(4096)
}

// gatherer is the outlet as the Framer writes to it.
type gatherer outlet

func (g *gatherer) Write(p []byte) (int, error) {
	if g.b == nil {
		g.b = *outBuffers.Get().(*[]byte)
	}
	g.b = append(g.b, p...)
	return len(p), nil
}

// fail drops what waits, and all that comes.
func (o *outlet) fail(err error) {
	if o.err == nil {
		o.err = err
	}
	o.b = nil
	o.room.Broadcast()
}

// full reports whether enough waits already.
func (o *outlet) full() bool { return len(o.b) >= outMax }

// wake has somebody write, unless somebody does.
func (o *outlet) wake(s *session) {
	if !o.writing && len(o.b) > 0 && o.err == nil {
		o.writing = true
		go s.write(allOfIt)
	}
}

// kick is wake for those who do not hold the lock, and who must not wait for the client: they read what it sends.
func (s *session) kick() {
	s.mu.Lock()
	s.out.wake(s)
	s.mu.Unlock()
}

// allOfIt is more often than anybody has to write.
const allOfIt = 1 << 30

// drain writes what waits, so many times at most, unless somebody else does that.
func (s *session) drain(times int) {
	s.mu.Lock()
	writing := s.out.writing || len(s.out.b) == 0 || s.out.err != nil
	s.out.writing = s.out.writing || !writing
	s.mu.Unlock()
	if !writing {
		s.write(times)
	}
}

// write writes what waits, so many times at most, and leaves the rest to somebody else. Whoever else has something to say at this moment is let say it
// first: one record, and one system call, for all.
func (s *session) write(times int) {
	runtime.Gosched()
	s.mu.Lock()
	o := &s.out
	for ; times > 0 && len(o.b) > 0 && o.err == nil; times-- {
		b := o.b
		o.b = nil
		s.expectWrite()
		s.mu.Unlock()
		_, err := s.conn.Write(b)
		if cap(b) <= 2*outMax {
			b = b[:0]
			outBuffers.Put(&b)
		}
		if err != nil {
			s.conn.Close() // the reading ends, and with it all the rest
		}
		s.mu.Lock()
		if err != nil {
			o.fail(err)
		}
		o.room.Broadcast()
	}
	o.writing = false
	o.wake(s)
	o.room.Broadcast()
	s.mu.Unlock()
}

// expectWrite lets the next write take as long as anything may; a deadline is set again only when an eighth of it has passed.
func (s *session) expectWrite() {
	if s.Stalled <= 0 {
		return
	}
	if now := time.Now(); s.out.by.Sub(now) < s.Stalled-s.Stalled/8 && s.over == nil {
		s.out.by = now.Add(s.Stalled)
		s.conn.SetWriteDeadline(s.out.by) //nolint:errcheck // a connection that is gone fails the write
	}
}

// sayHead appends the fields that were encoded as one HEADERS frame and as many CONTINUATIONs as that takes.
func (o *outlet) sayHead(id uint32, ended bool) {
	block := o.block.Bytes()
	first := true
	for first || len(block) > 0 {
		part := block[:min(len(block), frameMax)]
		block = block[len(part):]
		if first {
			o.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: part, EndStream: ended, EndHeaders: len(block) == 0}) //nolint:errcheck // into memory
		} else {
			o.frames.WriteContinuation(id, len(block) == 0, part) //nolint:errcheck // into memory
		}
		first = false
	}
	o.block.Reset()
}
