package h2

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"

	"edgepen/proxy/streams"
)

// A head gathers the fields of a HEADERS frame and its CONTINUATIONs, and makes the head of an HTTP/1.1 request, or the trailer of a chunked body, of
// them. What would be something else in HTTP/1.1 than it is here is an error.
type head struct {
	limit   int  // bytes of all fields, as RFC 9113 section 10.5.1 counts them
	trailer bool // fields behind a body

	size      int
	large     bool  // more than limit; what came since is not kept
	malformed error // RFC 9113 section 8.1.1; the first reason

	method, scheme, path, authority, protocol string
	hasAuthority                              bool
	hasField                                  bool   // one that is no pseudo-header has come
	fields                                    []byte // those that are not pseudo-headers, as lines
	cookie                                    []byte // all cookies in one
	host, length                              string
	hasHost                                   bool
	accept                                    string // what Sec-WebSocket-Accept has to be, once the head is that of an upgrade
}

// reset begins anew.
func (h *head) reset(limit int, trailer bool) {
	*h = head{limit: limit, trailer: trailer, fields: h.fields[:0], cookie: h.cookie[:0]}
}

var (
	errPseudo     = errors.New("a pseudo-header that is unknown, there twice, behind another field, or in a trailer")
	errMissing    = errors.New("a pseudo-header is missing")
	errName       = errors.New("a field's name holds what no name does")
	errValue      = errors.New("a field's value holds a control character, or begins or ends with a blank")
	errConnection = errors.New("a field that is about a connection of HTTP/1.1")
	errHost       = errors.New("host and :authority differ")
	errLength     = errors.New("content-length is no length, there twice, or not that of the body")
	errProtocol   = errors.New(":protocol is not websocket")
	errTarget     = errors.New(":path is neither a path nor an asterisk, or holds a blank or a control character")
)

// field takes the next one, in the order in which they come.
func (h *head) field(f hpack.HeaderField) {
	if h.size += len(f.Name) + len(f.Value) + 32; h.size > h.limit {
		h.large = true
	}
	if h.large || h.malformed != nil {
		return
	}
	if strings.HasPrefix(f.Name, ":") {
		h.malformed = h.pseudo(f)
		return
	}
	h.hasField = true
	h.malformed = h.regular(f.Name, f.Value)
}

// pseudo takes a pseudo-header (RFC 9113 section 8.3).
func (h *head) pseudo(f hpack.HeaderField) error {
	if h.trailer || h.hasField {
		return errPseudo
	}
	if !plainWord(f.Value) {
		return errTarget
	}
	var to *string
	switch f.Name {
	case ":method":
		to = &h.method
	case ":scheme":
		to = &h.scheme
	case ":path":
		to = &h.path
	case ":protocol":
		to = &h.protocol
	case ":authority":
		if h.hasAuthority {
			return errPseudo
		}
		h.authority, h.hasAuthority = f.Value, true
		return nil
	default:
		return errPseudo
	}
	if *to != "" {
		return errPseudo
	}
	if f.Value == "" {
		return errMissing
	}
	*to = f.Value
	return nil
}

// plainWord tells whether a pseudo-header's value can stand in a request line or field without ending it.
func plainWord(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// regular takes any other field.
func (h *head) regular(name, value string) error {
	if !fieldName(name) {
		return errName
	}
	if !fieldValue(value) {
		return errValue
	}
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return errConnection
	case "te":
		if value != "trailers" {
			return errConnection
		}
	case "sec-websocket-key":
		if h.protocol != "" { // ours is asked for
			return nil
		}
	case "host", "content-length", "cookie":
		if !h.trailer {
			return h.special(name, value)
		}
	}
	h.fields = append(append(append(append(h.fields, name...), ": "...), value...), "\r\n"...)
	return nil
}

// special takes a field of which HTTP/1.1 has one only.
func (h *head) special(name, value string) error {
	switch name {
	case "host":
		if h.hasHost || !plainWord(value) {
			return errHost
		}
		h.host, h.hasHost = value, true
	case "cookie": // which HTTP/2 takes apart (RFC 9113 section 8.2.3)
		if len(h.cookie) > 0 {
			h.cookie = append(h.cookie, "; "...)
		}
		h.cookie = append(h.cookie, value...)
	case "content-length":
		if _, err := strconv.ParseUint(value, 10, 63); err != nil || h.length != "" && h.length != value {
			return errLength
		}
		h.length = value
	}
	return nil
}

// fieldName tells whether a name is a token in lower case (RFC 9113 section 8.2.1, RFC 9110 section 5.6.2).
func fieldName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && (c == 0 || strings.IndexByte("!#$%&'*+.^_`|~", c) < 0) {
			return false
		}
	}
	return s != ""
}

// fieldValue tells whether a value may stand in a line of HTTP/1.1 (RFC 9113 section 8.2.1).
func fieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return s == "" || !blank(s[0]) && !blank(s[len(s)-1])
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// check says what is wrong with a request's fields now that all are there. bodyless: nothing follows them.
func (h *head) check(bodyless bool) error {
	switch {
	case h.malformed != nil:
		return h.malformed
	case h.hasAuthority && h.hasHost && !strings.EqualFold(h.host, h.authority):
		return errHost
	case h.method == "CONNECT" && h.protocol == "":
		if h.path != "" || h.scheme != "" || !h.hasAuthority {
			return errMissing
		}
		return nil
	case h.method == "" || h.scheme == "" || h.path == "":
		return errMissing
	case h.protocol != "" && h.method != "CONNECT":
		return errPseudo
	case h.protocol != "" && h.protocol != "websocket":
		return errProtocol
	case h.path[0] != '/' && h.path != "*":
		return errTarget
	case bodyless && h.length != "" && strings.Trim(h.length, "0") != "":
		return errLength
	}
	return nil
}

// appendRequest writes the request's head as HTTP/1.1, with Connection: close, since no other follows. What is wrong with it beyond the protocol is for
// the parser of HTTP/1.1 to say.
func (h *head) appendRequest(dst []byte, bodyless bool) []byte {
	method, path := h.method, h.path
	switch {
	case h.protocol != "":
		method = "GET" // RFC 8441 section 5: what an upgrade of HTTP/1.1 begins with
	case method == "CONNECT":
		path = h.authority
	}
	dst = append(append(append(append(dst, method...), ' '), path...), " HTTP/1.1\r\n"...)
	switch {
	case h.hasAuthority:
		dst = append(append(append(dst, "Host: "...), h.authority...), "\r\n"...)
	case h.hasHost:
		dst = append(append(append(dst, "Host: "...), h.host...), "\r\n"...)
	}
	if len(h.cookie) > 0 {
		dst = append(append(append(dst, "Cookie: "...), h.cookie...), "\r\n"...)
	}
	dst = append(dst, h.fields...)
	switch {
	case h.protocol != "":
		dst, h.accept = streams.AppendUpgrade(dst)
		return append(dst, "\r\n"...)
	case h.length != "":
		dst = append(append(append(dst, "Content-Length: "...), h.length...), "\r\n"...)
	case !bodyless:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	return append(dst, "Connection: close\r\n\r\n"...)
}

// appendTrailer writes the end of a chunked body.
func (h *head) appendTrailer(dst []byte) []byte {
	return append(append(append(dst, "0\r\n"...), h.fields...), "\r\n"...)
}

// bodyLength is how many bytes of a body are to come; -1 where that is not said.
func (h *head) bodyLength() int64 {
	if h.length == "" {
		return -1
	}
	n, _ := strconv.ParseInt(h.length, 10, 64) // it was one when it was taken
	return n
}
