package h2

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"edgepen/proxy/streams"
)

// Stream is a stream of HTTP/2 as a connection: what is read is an HTTP/1.1 request, what is written is taken for the response to it. One goroutine may
// read while another writes.
type Stream struct {
	s  *session
	id uint32

	// The reader's own.
	ahead    []byte // what is to be read next: the head, or the end of a chunked body
	withheld bool   // not before the body has ended: it is to be empty
	chunked  bool   // a body whose length is not known is read in chunks
	page     []byte // the answer to what is no request; nil: it is one

	// The writer's own.
	answer streams.Answer

	// Guarded by the session's lock.
	some                 sync.Cond // there may be something to read
	body                 []byte    // what has come of the body, from at on
	at                   int
	length               int64  // what is still to come of it; -1: nobody knows
	bodyEnded            bool   // all of it has come
	behind               []byte // what is read behind it, if it is in chunks
	window               int64  // bytes that the client takes
	used                 int64  // bytes of our window that the client has used
	back                 int64  // of these, what can be used again
	closed               bool   // nobody reads or writes here any more
	begun                bool   // the response has begun to be sent
	said                 bool   // the response is whole
	held                 bool   // all of it but the end, which is these:
	lastData, lastFields []byte
	lastHead             []hpack.HeaderField
	code                 http2.ErrCode // that cuts an answer off; 0 is INTERNAL_ERROR
	hung                 bool          // a tunnel whose server's end is there: what the client still says is of no use
	err                  error         // the client has given the request up, or is gone
	gone                 func()        // is called when that happens
	readBy               time.Time
	writeBy              time.Time
	alarm                *time.Timer // wakes those who wait when a deadline is over
	alarmAt              time.Time
}

var errGone = errors.New("the client has given the request up")

// newStream makes a stream of the fields that have come. s.mu is held.
func newStream(s *session, of opening) *Stream {
	st := &Stream{s: s, id: of.id, answer: streams.NewAnswer(), length: s.block.bodyLength(), bodyEnded: of.ended}
	st.some.L = &s.mu
	st.window = s.firstWindow
	st.answer.IsHead = s.block.method == "HEAD"
	if s.block.large {
		return st
	}
	st.ahead = s.block.appendRequest(make([]byte, 0, 512), of.ended)
	st.withheld = !of.ended && st.length == 0
	st.chunked = !of.ended && st.length < 0 && s.block.protocol == ""
	st.answer.Accept = s.block.accept
	return st
}

// LocalAddr is that of the connection, and RemoteAddr as well.
func (st *Stream) LocalAddr() net.Addr { return st.s.conn.LocalAddr() }

// RemoteAddr is that of the connection.
func (st *Stream) RemoteAddr() net.Addr { return st.s.conn.RemoteAddr() }

func (st *Stream) mu() *sync.Mutex { return &st.s.mu }

// takeBody takes part of the body, n bytes with what is around it. s.mu is held.
func (st *Stream) takeBody(p []byte, n int64) error {
	if st.bodyEnded {
		return http2.StreamError{StreamID: st.id, Code: http2.ErrCodeStreamClosed}
	}
	if st.used += n; st.used > streamWindow {
		return http2.StreamError{StreamID: st.id, Code: http2.ErrCodeFlowControl}
	}
	if st.length >= 0 {
		if int64(len(p)) > st.length { // RFC 9113 section 8.1.1
			return http2.StreamError{StreamID: st.id, Code: http2.ErrCodeProtocol}
		}
		st.length -= int64(len(p))
	}
	st.consumed(n - int64(len(p)))
	if st.closed {
		st.consumed(int64(len(p)))
		return nil
	}
	if st.at >= len(st.body)-st.at && len(st.body)+len(p) > cap(st.body) { // what has been read is more than what is moved for it
		st.body, st.at = st.body[:copy(st.body, st.body[st.at:])], 0
	}
	st.body = append(st.body, p...)
	st.some.Broadcast()
	return nil
}

// endBody ends the body, with what is to be read behind it. s.mu is held.
func (st *Stream) endBody(trailer []byte) error {
	if st.bodyEnded {
		return http2.StreamError{StreamID: st.id, Code: http2.ErrCodeStreamClosed}
	}
	if st.length > 0 {
		return http2.StreamError{StreamID: st.id, Code: http2.ErrCodeProtocol}
	}
	if st.bodyEnded, st.behind = true, trailer; trailer == nil {
		st.behind = lastChunk
	}
	if st.said {
		st.shut()
	}
	st.some.Broadcast()
	return nil
}

var lastChunk = []byte("0\r\n\r\n")

// consumed lets the client send n bytes again, once enough has come together. s.mu is held.
func (st *Stream) consumed(n int64) {
	st.s.giveBack(n)
	if st.back += n; st.back >= streamWindow/2 && !st.bodyEnded && st.err == nil {
		st.s.out.frames.WriteWindowUpdate(st.id, uint32(st.back)) //nolint:errcheck // into memory
		st.used, st.back = st.used-st.back, 0
		st.s.out.wake(st.s)
	}
}

// give ends what is under way for a client that does not want it any more. s.mu is held.
func (st *Stream) give(err error) {
	if st.err == nil {
		st.err = err
		if st.gone != nil {
			go st.gone()
			st.gone = nil
		}
		st.some.Broadcast()
		st.s.out.room.Broadcast()
	}
}

// cutOff ends the stream with an error. s.mu is held.
func (st *Stream) cutOff(code http2.ErrCode) {
	if st.s.open[st.id] == st {
		st.s.out.frames.WriteRSTStream(st.id, code) //nolint:errcheck // into memory
		st.s.cut.add(st.id)
	}
	st.give(errGone)
	st.shut()
}

// shut forgets the stream, of which nothing more is to come or to be sent. s.mu is held.
func (st *Stream) shut() {
	s := st.s
	if s.open[st.id] != st {
		return
	}
	delete(s.open, st.id)
	s.restedAt = time.Now()
}

// finish settles the stream when its exchange is over: what is not whole is cut off, and what the client still sends is not wanted.
func (st *Stream) finish() {
	s := st.s
	s.mu.Lock()
	st.release()
	switch {
	case s.open[st.id] != st:
	case !st.said && st.code != 0:
		st.cutOff(st.code)
	case !st.said:
		st.cutOff(http2.ErrCodeInternal)
	default: // the answer is there before the request is (RFC 9113 section 8.1)
		st.cutOff(http2.ErrCodeNo)
	}
	st.close()
	if st.alarm != nil {
		st.alarm.Stop()
	}
	if st.err == nil || st.begun {
		s.done++
	}
	if !st.answer.Raw {
		st.answer.Recycle()
	}
	s.running--
	s.restedAt = time.Now()
	s.settle()
	s.mu.Unlock()
	s.drain(1)
}

// Read returns what comes next of the request. After its end there is nothing more, as on a connection whose client has closed its side.
//
// A request whose body is longer than it says is malformed, and must not be forwarded (RFC 9113 section 8.1.1). So that nobody takes one for whole, the
// last byte of as many as were announced is read only once the body has ended; where none were announced, the head.
func (st *Stream) Read(p []byte) (int, error) {
	if st.withheld {
		if err := st.awaitEnd(); err != nil {
			return 0, err
		}
		st.withheld = false
	}
	if n := copy(p, st.ahead); n > 0 {
		st.ahead = st.ahead[n:]
		return n, nil
	}
	if !st.chunked {
		return st.readBody(p)
	}
	if len(p) <= streams.Around {
		return 0, io.ErrShortBuffer
	}
	n, err := st.readBody(streams.Room(p))
	if err == io.EOF {
		st.chunked = false
		st.mu().Lock()
		st.ahead = st.behind
		st.mu().Unlock()
		return st.Read(p)
	}
	if n == 0 {
		return 0, err
	}
	return streams.Chunk(p, n), nil
}

// awaitEnd waits until the body has ended.
func (st *Stream) awaitEnd() error {
	st.mu().Lock()
	defer st.mu().Unlock()
	for !st.bodyEnded {
		if err := st.wait(&st.some, st.readBy); err != nil {
			return err
		}
	}
	return nil
}

// readBody waits for part of the body.
func (st *Stream) readBody(p []byte) (int, error) {
	st.mu().Lock()
	defer st.mu().Unlock()
	for st.ready() == 0 && !st.bodyEnded && !st.hung {
		if err := st.wait(&st.some, st.readBy); err != nil {
			return 0, err
		}
	}
	if st.at == len(st.body) || st.hung {
		return 0, io.EOF
	}
	n := copy(p, st.body[st.at:][:st.ready()])
	if st.at += n; st.at == len(st.body) && cap(st.body) > frameMax {
		st.body, st.at = nil, 0
	}
	st.consumed(int64(n))
	return n, nil
}

// ready is how much of the body may be read. s.mu is held.
func (st *Stream) ready() int {
	n := len(st.body) - st.at
	if st.length == 0 && !st.bodyEnded && n > 0 {
		return n - 1
	}
	return n
}

// wait waits until something may have changed, or says why nothing will. s.mu is held, and given away meanwhile.
func (st *Stream) wait(on *sync.Cond, by time.Time) error {
	switch {
	case st.err != nil:
		return st.err
	case st.closed:
		return net.ErrClosed
	case st.s.out.err != nil:
		return st.s.out.err
	case !by.IsZero() && !time.Now().Before(by):
		return os.ErrDeadlineExceeded
	}
	st.setAlarm(by)
	on.Wait()
	return nil
}

// setAlarm has those who wait look again when a deadline is over. s.mu is held.
func (st *Stream) setAlarm(by time.Time) {
	if by.IsZero() || !st.alarmAt.IsZero() && !by.Before(st.alarmAt) && time.Now().Before(st.alarmAt) {
		return
	}
	if st.alarm == nil {
		st.alarm = time.AfterFunc(time.Until(by), func() {
			st.mu().Lock()
			st.alarmAt = time.Time{}
			st.some.Broadcast()
			st.s.out.room.Broadcast()
			st.mu().Unlock()
		})
	} else {
		st.alarm.Reset(time.Until(by))
	}
	st.alarmAt = by
}

// OnGone has f called, in a goroutine of its own, when the client has given the request up or is gone. stop reports whether it will not be called.
func (st *Stream) OnGone(f func()) (stop func() bool) {
	st.mu().Lock()
	defer st.mu().Unlock()
	if st.err != nil {
		go f()
		return func() bool { return false }
	}
	st.gone = f
	return st.forget
}

func (st *Stream) forget() bool {
	st.mu().Lock()
	defer st.mu().Unlock()
	waited := st.gone != nil
	st.gone = nil
	return waited
}

// Close ends the reading, and the writing. The stream itself ends when its Exchange has returned, whole or, where the response is not, with RST_STREAM.
func (st *Stream) Close() error {
	st.mu().Lock()
	defer st.mu().Unlock()
	st.close()
	return nil
}

func (st *Stream) close() {
	if st.closed {
		return
	}
	st.closed = true
	st.consumed(int64(len(st.body) - st.at))
	st.body, st.at = nil, 0
	st.some.Broadcast()
	st.s.out.room.Broadcast()
}

// SetDeadline sets both deadlines.
func (st *Stream) SetDeadline(t time.Time) error {
	st.mu().Lock()
	defer st.mu().Unlock()
	st.readBy, st.writeBy = t, t
	st.some.Broadcast()
	st.s.out.room.Broadcast()
	return nil
}

// SetReadDeadline is for the body: the head is there.
func (st *Stream) SetReadDeadline(t time.Time) error {
	st.mu().Lock()
	defer st.mu().Unlock()
	st.readBy = t
	st.some.Broadcast()
	return nil
}

// SetWriteDeadline is for when the client takes no more.
func (st *Stream) SetWriteDeadline(t time.Time) error {
	st.mu().Lock()
	defer st.mu().Unlock()
	st.writeBy = t
	st.s.out.room.Broadcast()
	return nil
}
