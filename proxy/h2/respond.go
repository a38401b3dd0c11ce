package h2

import (
	"bytes"
	"io"
	"net"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"edgepen/proxy/streams"
)

// Write takes what comes next of the response.
func (st *Stream) Write(p []byte) (int, error) {
	err := st.answer.Take((*responder)(st), p)
	st.flush()
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite is the end of a response that has no other.
func (st *Stream) CloseWrite() error {
	err := st.answer.Close((*responder)(st))
	if st.answer.Raw {
		st.mu().Lock()
		st.hung = true
		st.some.Broadcast()
		st.mu().Unlock()
	}
	st.flush()
	return err
}

// flush has what was said written; where the end is held, that is soon to come, and written with it.
func (st *Stream) flush() {
	st.mu().Lock()
	held := st.held
	st.mu().Unlock()
	if !held {
		st.s.drain(1)
	}
}

// Reset cuts the response off: the client sees RST_STREAM.
func (st *Stream) Reset() {
	st.mu().Lock()
	defer st.mu().Unlock()
	if !st.said {
		st.cutOff(http2.ErrCodeInternal)
		st.s.out.wake(st.s)
	}
}

// ResetAs has an answer that is not whole be cut off with a code of RFC 9113 section 7.
func (st *Stream) ResetAs(code uint32) {
	st.mu().Lock()
	defer st.mu().Unlock()
	st.code = http2.ErrCode(code)
}

// responder is a stream as the parts of its response are given to it.
type responder Stream

// Head sends a response's fields.
func (r *responder) Head(a *streams.Answer, text []byte, ended bool) error {
	st := (*Stream)(r)
	st.mu().Lock()
	defer st.mu().Unlock()
	if err := st.awaitRoom(); err != nil {
		return err
	}
	o, status := &st.s.out, a.Status()
	st.begun = st.begun || status >= 200
	if ended && st.bodyEnded {
		st.hold(nil, nil)
		st.lastHead = append(st.lastHead, hpack.HeaderField{Name: ":status", Value: statusText(status)})
		a.EachField(text, func(name, value []byte) {
			st.lastHead = append(st.lastHead, hpack.HeaderField{Name: fieldNameOf(name), Value: string(value)})
		})
		return nil
	}
	o.field(":status", statusText(status))
	a.EachField(text, func(name, value []byte) { o.field(fieldNameOf(name), string(value)) })
	o.sayHead(st.id, ended)
	st.ended(ended)
	return nil
}

// field encodes one.
func (o *outlet) field(name, value string) {
	o.fields.WriteField(hpack.HeaderField{Name: name, Value: value}) //nolint:errcheck // into memory
}

// statusText spares an allocation for what is usual.
func statusText(status int) string {
	if status == 200 {
		return "200"
	}
	return strconv.Itoa(status)
}

// writable says why nothing can be written. s.mu is held.
func (st *Stream) writable() error {
	switch {
	case st.err != nil:
		return st.err
	case st.closed, st.said:
		return net.ErrClosed
	}
	return st.s.out.err
}

// awaitRoom waits until less is to be written than may be, for what needs no window. s.mu is held, and given away meanwhile.
func (st *Stream) awaitRoom() error {
	for {
		if err := st.writable(); err != nil || !st.s.out.full() {
			return err
		}
		st.s.out.wake(st.s)
		if err := st.wait(&st.s.out.room, st.writeBy); err != nil {
			return err
		}
	}
}

// hold keeps the end of a response, the last of its data or the fields behind them, or a head that is all of it, until its exchange has returned, where its request has ended as well. Then
// the exchange is about to return, and gives back first what the client's next request will want: its place in the limits, and the server's connection.
// s.mu is held.
func (st *Stream) hold(data, fields []byte) {
	st.said, st.held = true, true
	st.lastData, st.lastFields = append(st.lastData, data...), append(st.lastFields, fields...)
}

// release says what was held. s.mu is held.
func (st *Stream) release() {
	if !st.held || st.s.open[st.id] != st {
		return
	}
	o := &st.s.out
	switch {
	case len(st.lastHead) > 0:
		for _, f := range st.lastHead {
			o.fields.WriteField(f) //nolint:errcheck // into memory
		}
		o.sayHead(st.id, true)
	case len(st.lastFields) > 0:
		o.fieldsBehind(st.id, st.lastFields)
	default:
		o.frames.WriteData(st.id, true, st.lastData) //nolint:errcheck // into memory
		o.sent++
	}
	st.shut()
}

// ended notes that the response is whole. s.mu is held.
func (st *Stream) ended(ended bool) {
	if !ended {
		return
	}
	st.said = true
	if st.bodyEnded {
		st.shut()
	}
}

// dribble is as much as a client has to let us send at once for that to be of use, where there is more (CVE-2019-9511).
const dribble = 256

// Data sends part of a body, as much at a time as the client takes.
func (r *responder) Data(p []byte, ended bool) error {
	st := (*Stream)(r)
	s := st.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if err := st.writable(); err != nil {
			return err
		}
		n := min(int64(len(p)), max(0, min(st.window, s.window)), frameMax) // a client may have taken back more than there was left
		if len(p) > 0 && (n == 0 || s.out.full()) {
			s.out.wake(s)
			if err := st.wait(&s.out.room, st.writeBy); err != nil {
				return err
			}
			continue
		}
		last := n == int64(len(p))
		if last && ended && st.bodyEnded {
			st.hold(p, nil)
			st.window, s.window = st.window-n, s.window-n
			return nil
		}
		s.out.frames.WriteData(st.id, ended && last, p[:n]) //nolint:errcheck // into memory
		if last || n >= dribble {
			s.out.sent++
		}
		st.window, s.window, p = st.window-n, s.window-n, p[n:]
		if last {
			st.ended(ended)
			return nil
		}
	}
}

// Trailer sends the fields behind a body, which are its end.
func (r *responder) Trailer(fields []byte) error {
	st := (*Stream)(r)
	st.mu().Lock()
	defer st.mu().Unlock()
	if err := st.awaitRoom(); err != nil {
		return err
	}
	if st.bodyEnded {
		st.hold(nil, fields)
		return nil
	}
	st.s.out.fieldsBehind(st.id, fields)
	st.ended(true)
	return nil
}

// fieldsBehind appends the fields behind a body, given in lines.
func (o *outlet) fieldsBehind(id uint32, lines []byte) {
	for line := range bytes.Lines(lines) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		o.field(fieldNameOf(name), string(bytes.TrimSpace(value)))
	}
	o.sayHead(id, true)
}

// fieldNameOf is a field's name as HTTP/2 has it (RFC 9113 section 8.2.1).
func fieldNameOf(name []byte) string {
	lower := make([]byte, 0, 64)
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower = append(lower, c)
	}
	if known, ok := usual[string(lower)]; ok {
		return known
	}
	return string(lower)
}

// usual is names that need not be made anew for each response.
var usual = func() map[string]string {
	names := map[string]string{}
	for _, n := range []string{"content-type", "content-length", "date", "server", "cache-control", "etag", "last-modified", "vary", "set-cookie",
		"location", "content-encoding", "accept-ranges", "expires", "strict-transport-security", "x-content-type-options", "x-frame-options",
		"content-security-policy", "access-control-allow-origin", "age", "via", "x-powered-by", "referrer-policy", "alt-svc", "pragma"} {
		names[n] = n
	}
	return names
}()

var _ io.Writer = (*Stream)(nil)
