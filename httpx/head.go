package httpx

import (
	"bytes"
	"math"
)

// head is what requests and responses have in common: the place where parsing goes on, the field lines, and what the fields
// that concern framing and the connection said.
type head struct {
	fields []field
	next   int // where the first line starts that is not parsed yet
	seen   int // b[next:seen] holds no LF
	length int // of the complete head with its empty line, 0 before
	err    *Error

	line, lineEnd int    // the start line without its CRLF; lineEnd is 0 before
	has           uint32 // bit set of the kinds that were there
	lengthField   int    // index of the first Content-Length
	bodyLength    int64  // its value

	close, keepAlive, upgradeOption bool // connection options
}

func (h *head) hasKind(k kind) bool { return h.has&(1<<k) != 0 }

// nextLine finds the next line, b[start:end], without its CRLF; end is negative while the line is incomplete.
func (h *head) nextLine(b []byte) (start, end int, err *Error) {
	start = h.next
	i := bytes.IndexByte(b[h.seen:], '\n')
	if i < 0 {
		h.seen = len(b)
		return start, -1, nil
	}
	lf := h.seen + i
	if lf == start || b[lf-1] != '\r' {
		return start, -1, bad("line that ends in LF without CR")
	}
	h.next, h.seen = lf+1, lf+1
	return start, lf - 1, nil
}

// bound keeps a limit within what offsets of 32 bits can tell.
func bound(limit int) int { return min(max(limit, 0), math.MaxInt32-2) }

// view is the part of b that may be parsed under a limit. What lies behind it is not looked at, so that the answer does not depend on
// how much came at once.
func view(b []byte, limit int) []byte { return b[:min(len(b), limit)] }

// addField parses a field line and gives it a place in the table.
func (h *head) addField(b []byte, start, end int) (*field, *Error) {
	if len(h.fields) == MaxFields {
		return nil, &Error{Status: 431, Reason: "too many header fields"}
	}
	if n := len(h.fields); n < cap(h.fields) {
		h.fields = h.fields[:n+1] // parse writes all of it
	} else {
		h.fields = append(h.fields, field{})
	}
	f := &h.fields[len(h.fields)-1]
	return f, f.parse(b, start, end)
}

// addLength takes a Content-Length: digits only, and a repeated line must be the same to the byte (RFC 9112 section 6.3).
func (h *head) addLength(b []byte, f *field) *Error {
	value := f.valueOf(b)
	if h.hasKind(contentLength) {
		if !bytes.Equal(value, h.fields[h.lengthField].valueOf(b)) {
			return bad("differing Content-Lengths")
		}
		f.fate = drop
		return nil
	}
	n, ok := parseLength(value)
	if !ok {
		return bad("invalid Content-Length")
	}
	h.has |= 1 << contentLength
	h.lengthField, h.bodyLength = len(h.fields)-1, n
	return nil
}

func parseLength(p []byte) (n int64, ok bool) {
	for _, c := range p {
		d := int64(c) - '0'
		if d < 0 || d > 9 || n > (math.MaxInt64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(p) > 0
}

// addCoding takes a Transfer-Encoding, of which only chunked, once, is known to everybody.
func (h *head) addCoding(b []byte, f *field) *Error {
	if h.hasKind(transferEncoding) {
		return bad("repeated Transfer-Encoding")
	}
	h.has |= 1 << transferEncoding
	if !equalFold(f.valueOf(b), "chunked") {
		return bad("Transfer-Encoding is not chunked")
	}
	return nil
}

// checkFraming refuses what RFC 9112 section 6.1 calls a sign of request smuggling.
func (h *head) checkFraming(minor int) *Error {
	switch {
	case !h.hasKind(transferEncoding):
		return nil
	case h.hasKind(contentLength):
		return bad("both Content-Length and Transfer-Encoding")
	case minor == 0:
		return bad("Transfer-Encoding in HTTP/1.0")
	}
	return nil
}

// maxOptions bounds the work that the options of Connection can cause.
const maxOptions = 64

// applyOptions reads the Connection fields and marks the fields that they name as dropped (RFC 9110 section 7.6.1).
func (h *head) applyOptions(b []byte) *Error {
	if !h.hasKind(connection) {
		return nil
	}
	count := 0
	for i := range h.fields {
		if h.fields[i].kind != connection {
			continue
		}
		rest := h.fields[i].valueOf(b)
		if equalFold(rest, "keep-alive") { // what most requests say
			h.keepAlive = true
			continue
		}
		for more := true; more; {
			var option []byte
			option, rest, more = cutComma(rest)
			if len(option) == 0 {
				continue // RFC 9110 section 5.6.1.2: empty elements are ignored
			}
			if count++; count > maxOptions {
				return bad("too many options in Connection")
			}
			if err := h.applyOption(b, option); err != nil {
				return err
			}
		}
	}
	return nil
}

// cutComma takes the first element of a list.
func cutComma(list []byte) (element, rest []byte, more bool) {
	i := bytes.IndexByte(list, ',')
	if i < 0 {
		return trimBlanks(list), nil, false
	}
	return trimBlanks(list[:i]), list[i+1:], true
}

func (h *head) applyOption(b, option []byte) *Error {
	if !isToken(option) {
		return bad("option in Connection is not a token")
	}
	switch k := classify(option); k {
	case host, contentLength, transferEncoding, trailer, expect:
		return bad("Connection names a field that is not of the connection")
	case hopByHop:
		h.keepAlive = h.keepAlive || equalFold(option, "keep-alive")
	case upgrade:
		h.upgradeOption = true
	default:
		if equalFold(option, "close") {
			h.close = true
			return nil
		}
		h.dropNamed(b, option)
	}
	return nil
}

// dropNamed drops the fields of a name. Those about a request's provenance have kinds of their own and stay: nobody can make us lose what a
// trusted proxy said by naming it.
func (h *head) dropNamed(b, name []byte) {
	for i := range h.fields {
		if f := &h.fields[i]; f.kind == other && equalFoldBytes(f.nameOf(b), name) {
			f.fate = drop
		}
	}
}

// setFate decides about all fields of a kind.
func (h *head) setFate(k kind, to fate) {
	if !h.hasKind(k) {
		return
	}
	for i := range h.fields {
		if h.fields[i].kind == k {
			h.fields[i].fate = to
		}
	}
}

// wantsKeepAlive is RFC 9112 section 9.3.
func (h *head) wantsKeepAlive(minor int) bool {
	return !h.close && (minor > 0 || h.keepAlive)
}

// appendKept copies b from the offset given to the end of the fields, without the fields that are dropped and with unusual blanks around values made
// usual. Lines that stay and lie together are copied together.
func (h *head) appendKept(dst, b []byte, from int, trusted bool) []byte {
	for i := range h.fields {
		f := &h.fields[i]
		stays := f.fate == keep || f.fate == keepIfTrusted && trusted
		if stays && f.tidy {
			continue
		}
		dst = append(dst, b[from:f.start]...)
		from = int(f.end)
		if stays {
			dst = appendField(dst, f.nameOf(b), f.valueOf(b))
		}
	}
	return append(dst, b[from:h.length-2]...)
}

func appendField(dst, name, value []byte) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// EachField calls f with the name and the value of each field, in their order; b is what Parse was last shown.
func (h *head) EachField(b []byte, f func(name, value []byte)) {
	for i := range h.fields {
		f(h.fields[i].nameOf(b), h.fields[i].valueOf(b))
	}
}
