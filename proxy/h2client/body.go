package h2client

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"time"

	"edgepen/httpx"
)

// body is a request's body, taken out of the chunks that it may be in.
type body struct {
	far     net.Conn
	body    *httpx.Body
	ahead   []byte      // what has come and is not looked at yet
	buffer  []byte      // what more is read into; nil until there is more
	line    []byte      // the beginning of a chunk's size or of a line of the trailer
	trailer http.Header // which fields there may be; nil: none

	sent   []byte // the data that Read has returned, to be returned again where that is needed
	at     int    // of sent, what is to be returned next
	tooFar bool   // there was more than is kept
}

// keptMax is how much of a body is kept in case it has to be sent again.
const keptMax = 16 << 10

// rewind has the body begin anew, if that is possible still.
func (b *body) rewind() bool {
	b.at = 0
	return !b.tooFar && b.far.SetReadDeadline(time.Time{}) == nil
}

// Read returns data; its end is that of the body. A connection that ends before cuts the request off.
func (b *body) Read(p []byte) (int, error) {
	if b.at < len(b.sent) {
		n := copy(p, b.sent[b.at:])
		b.at += n
		return n, nil
	}
	n, err := b.next(p)
	if b.tooFar = b.tooFar || len(b.sent)+n > keptMax; b.tooFar {
		b.sent, b.at = nil, 0
	} else {
		b.sent = append(b.sent, p[:n]...)
		b.at = len(b.sent)
	}
	return n, err
}

// next returns data that has not been returned before.
func (b *body) next(p []byte) (int, error) {
	for !b.body.Done() {
		if len(b.ahead) == 0 {
			if b.buffer == nil {
				b.buffer = make([]byte, bufferSize)
			}
			n, err := b.far.Read(b.buffer)
			if err != nil {
				return 0, errCutOff
			}
			b.ahead = b.buffer[:n]
		}
		if n := min(b.body.Opaque(), int64(len(b.ahead)), int64(len(p))); n > 0 && len(b.line) == 0 {
			copy(p, b.ahead[:n])
			b.body.Skip(n)
			b.ahead = b.ahead[n:]
			return int(n), nil
		}
		if err := b.takeLine(); err != nil {
			return 0, err
		}
	}
	return 0, io.EOF
}

// takeLine takes a line of the chunks around the data, or what has come of it.
func (b *body) takeLine() error {
	line, rest, whole := bytes.Cut(b.ahead, []byte("\n"))
	b.line, b.ahead = append(b.line, line...), rest
	if !whole {
		return nil
	}
	b.line = append(b.line, '\n')
	if name, value, ok := bytes.Cut(b.line, []byte(":")); ok { // a chunk's size has no colon: its extensions have been removed
		name := http.CanonicalHeaderKey(string(name))
		if _, announced := b.trailer[name]; announced {
			b.trailer.Add(name, string(bytes.TrimSpace(value)))
		}
	}
	_, _, err := b.body.Feed(b.line)
	b.line = b.line[:0]
	return err
}

// Close is called when nobody wants the rest, and ends a Read.
func (b *body) Close() error { return b.far.SetReadDeadline(time.Unix(1, 0)) }
