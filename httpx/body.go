package httpx

import (
	"bytes"
	"math"
)

// MaxLine is the longest chunk-size line and the longest trailer line, in bytes with CRLF. [Body.Feed] never needs more than
// that at once to go on.
const MaxLine = 4096

// maxExcess bounds the chunk extensions that bring no data: bytes beyond an allowance for each chunk.
const maxExcess = 16 << 10

// How a body is delimited.
const (
	noBody = iota
	byLength
	byChunks
	untilClose
)

// Where in a chunked body we are.
const (
	inSize = iota
	inData
	atCR // behind the data
	atLF
	inTrailer
	atEnd
)

// A Body is the state of a message body that passes by (RFC 9112 section 6). The zero value is no body.
type Body struct {
	mode, state uint8
	closed      bool  // of untilClose: the peer has closed
	left        int64 // bytes to come of the whole body or the current chunk
	trailerLeft int   // bytes that trailer lines may still have
	excess      int64
	most        int64 // bytes of data that chunks may still announce; -1 or less: any number
	err         *Error
}

func lengthBody(n int64) Body { return Body{mode: byLength, left: n} }

func chunkedBody(trailerLimit int) Body {
	return Body{mode: byChunks, trailerLeft: trailerLimit, most: -1}
}

// Done tells whether nothing more is to come.
func (b *Body) Done() bool {
	switch b.mode {
	case byLength:
		return b.left == 0
	case byChunks:
		return b.state == atEnd
	case untilClose:
		return b.closed
	}
	return true
}

// Chunked tells whether the body is (or was) in chunks.
func (b *Body) Chunked() bool { return b.mode == byChunks }

// UntilClose tells whether the body ends with the connection.
func (b *Body) UntilClose() bool { return b.mode == untilClose }

// Remaining returns how many bytes are still to come; -1 where nobody knows, in chunks or until the peer closes.
func (b *Body) Remaining() int64 {
	if b.mode == byChunks || b.mode == untilClose {
		return -1
	}
	return b.left
}

// Close tells the body that the peer has closed. It returns nil if that is, or was, the end of the body, otherwise an error: the
// body is truncated (RFC 9112 section 8).
func (b *Body) Close() error {
	if b.mode == untilClose {
		b.closed = true
	}
	if b.Done() {
		return nil
	}
	return bad("connection closed within a message body")
}

// Limit refuses a body of more than most bytes of data with status 413: at once where its length is known, otherwise when a chunk goes beyond. It is to
// be called before the body is fed.
func (b *Body) Limit(most int64) error {
	if b.mode == byLength && b.left > most {
		return &Error{Status: 413, Reason: "the request body is too large"}
	}
	b.most = most
	return nil
}

// Opaque returns how many of the next bytes are data that need not be looked at. They may be forwarded by other means than
// Feed and be reported to Skip.
func (b *Body) Opaque() int64 {
	switch {
	case b.mode == untilClose && !b.closed:
		return math.MaxInt64
	case b.mode == byLength || b.mode == byChunks && b.state == inData:
		return b.left
	}
	return 0
}

// Skip reports that the next n bytes, at most what Opaque says, were forwarded unseen.
func (b *Body) Skip(n int64) {
	if b.mode == untilClose {
		return
	}
	b.left -= min(n, b.Opaque())
	if b.mode == byChunks && b.state == inData && b.left == 0 {
		b.state = atCR
	}
}

// Feed looks at p, which begins with bytes of the body. It takes in bytes, of which p[:out] are to be forwarded: all of them, or
// fewer where something was removed, for which p is compacted. p[in:] was not taken: it belongs to the next message if the body is
// Done, otherwise it is an incomplete line that is to be offered again with more behind it, at most [MaxLine] bytes.
//
// Chunks are forwarded as chunks, without their extensions (RFC 9112 section 7.1.1 lets a recipient ignore them), and trailer
// fields as they are but for those that have a meaning for framing, routing, the connection or a request's
// provenance (RFC 9110 section 6.5.1). Errors are of type [*Error], and final; p[:out] is valid beside them.
func (b *Body) Feed(p []byte) (in, out int, err error) {
	switch b.mode {
	case byLength:
		n := int(min(int64(len(p)), b.left))
		b.left -= int64(n)
		return n, n, nil
	case untilClose:
		if b.closed {
			return 0, 0, nil
		}
		return len(p), len(p), nil
	case byChunks:
		c := cursor{p: p}
		for b.err == nil && b.state != atEnd && b.step(&c) {
		}
		if b.err != nil {
			err = b.err
		}
		return c.in, c.out, err
	}
	return 0, 0, nil
}

// cursor is the place in a slice that is read and, possibly behind, compacted.
type cursor struct {
	p       []byte
	in, out int
}

func (c *cursor) rest() []byte { return c.p[c.in:] }

// forward takes n bytes that go on.
func (c *cursor) forward(n int) {
	if c.in != c.out {
		copy(c.p[c.out:], c.p[c.in:c.in+n])
	}
	c.in += n
	c.out += n
}

// step takes one element of a chunked body. It returns false when it needs more, and sets b.err when it refuses.
func (b *Body) step(c *cursor) bool {
	if c.in == len(c.p) {
		return false
	}
	switch b.state {
	case inSize:
		return b.stepSize(c)
	case inData:
		n := min(int64(len(c.p)-c.in), b.left)
		c.forward(int(n))
		if b.left -= n; b.left == 0 {
			b.state = atCR
		}
	case atCR:
		return b.stepEnd(c, '\r', atLF)
	case atLF:
		return b.stepEnd(c, '\n', inSize)
	case inTrailer:
		return b.stepTrailer(c)
	}
	return true
}

// stepEnd takes one byte of the CRLF behind a chunk's data.
func (b *Body) stepEnd(c *cursor, want byte, next uint8) bool {
	if c.p[c.in] != want {
		return b.refuse("no CRLF behind the data of a chunk")
	}
	c.forward(1)
	b.state = next
	return true
}

func (b *Body) refuse(reason string) bool {
	b.err = bad(reason)
	return false
}

// maxDigits keeps a chunk's size within 60 bits.
const maxDigits = 15

// stepSize takes a chunk-size line and leaves out its extension.
func (b *Body) stepSize(c *cursor) bool {
	p := c.rest()
	var size int64
	n := 0
	for n < len(p) && classes[p[n]]&hexChar != 0 {
		if n == maxDigits {
			return b.refuse("chunk size too large")
		}
		size = size<<4 | hexValue(p[n])
		n++
	}
	switch {
	case n == len(p):
		return false
	case n == 0:
		return b.refuse("chunk size is not a hexadecimal number")
	case p[n] == '\r' && n+1 == len(p):
		return false
	case p[n] == '\r' && p[n+1] == '\n':
		c.forward(n + 2)
	default:
		end := b.extension(p, n)
		if end == 0 {
			return false
		}
		c.forward(n)
		c.in += end - 2 - n
		c.forward(2)
		b.excess += int64(end - n)
	}
	return b.beginChunk(size)
}

// beginChunk goes on behind the size line.
func (b *Body) beginChunk(size int64) bool {
	if b.most >= 0 {
		if size > b.most {
			b.err = &Error{Status: 413, Reason: "the request body is too large"}
			return false
		}
		b.most -= size
	}
	b.left, b.state = size, inData
	if size == 0 {
		b.state = inTrailer
	}
	// An extension on each chunk is usual where chunks are signed; a body that is hardly anything else is an attack.
	b.excess = max(0, b.excess-16-2*min(size, math.MaxInt32))
	if b.excess > maxExcess {
		return b.refuse("too much chunk extension for the data")
	}
	return true
}

func hexValue(c byte) int64 {
	if c <= '9' {
		return int64(c - '0')
	}
	return int64(c|0x20-'a') + 10
}

// extension checks the chunk extension that begins at p[n] and returns the length of the whole line, 0 if it is
// incomplete or refused.
func (b *Body) extension(p []byte, n int) int {
	lf := bytes.IndexByte(p[n:min(len(p), MaxLine)], '\n')
	if lf < 0 {
		if len(p) >= MaxLine {
			b.refuse("chunk-size line too long")
		}
		return 0
	}
	lf += n
	if p[lf-1] != '\r' {
		b.refuse("chunk-size line that ends in LF without CR")
		return 0
	}
	// The grammar has blanks before the semicolon as something to tolerate; servers differ about them, so that they are refused.
	if p[n] != ';' || !validValue(p[n:lf-1]) {
		b.refuse("malformed chunk extension")
		return 0
	}
	return lf + 1
}

// stepTrailer takes one line of the trailer section, or the empty line that ends it.
func (b *Body) stepTrailer(c *cursor) bool {
	p := c.rest()
	limit := min(MaxLine, b.trailerLeft)
	lf := bytes.IndexByte(p[:min(len(p), limit)], '\n')
	switch {
	case lf < 0 && len(p) >= limit:
		b.err = &Error{Status: 431, Reason: "trailer too large"}
		return false
	case lf < 0:
		return false
	case lf == 0 || p[lf-1] != '\r':
		return b.refuse("trailer line that ends in LF without CR")
	}
	b.trailerLeft -= lf + 1
	if lf == 1 {
		c.forward(2)
		b.state = atEnd
		return true
	}
	var f field
	if b.err = f.parse(p, 0, lf-1); b.err != nil {
		return false
	}
	if f.kind == other {
		c.forward(lf + 1)
	} else {
		c.in += lf + 1
	}
	return true
}
