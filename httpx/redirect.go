package httpx

import (
	"bytes"
	"strconv"
)

// AppendSecure appends a whole response that sends the client to the same thing over HTTPS: 308, which keeps method and body (RFC 9110
// section 15.4.9). b is what Parse was last shown. port is the one that HTTPS is on; "" leaves the port that the client has
// named. A request that names no host, which HTTP/1.0 allows, gets 400. The response announces that the connection closes.
func (r *Request) AppendSecure(dst, b []byte, port string) []byte {
	host := r.Host(b)
	if len(host) == 0 {
		return AppendErrorPage(dst, 400, "this is served over HTTPS only, and the request names no host to go to", r.IsHead)
	}
	dst = append(dst, "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://"...)
	if port != "" {
		host = withoutPort(host)
	}
	dst = append(dst, host...)
	if port != "" && port != "443" {
		dst = append(append(dst, ':'), port...)
	}
	switch path := b[r.path:r.targetEnd]; {
	case len(path) == 0, path[0] == '*':
		dst = append(dst, '/')
	case path[0] == '?':
		dst = append(append(dst, '/'), path...)
	default:
		dst = append(dst, path...)
	}
	return append(dst, "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"...)
}

// Path returns the target's path and query: all of it in origin-form, what follows the authority in absolute-form.
func (r *Request) Path(b []byte) []byte { return b[r.path:r.targetEnd] }

// withoutPort cuts a valid authority's port off.
func withoutPort(host []byte) []byte {
	i := bytes.LastIndexByte(host, ':')
	if i < 0 || host[len(host)-1] == ']' {
		return host
	}
	return host[:i]
}

// AppendText appends a whole response with status 200 and a body of plain text. It announces that the connection closes and is not to be
// cached. For an answer to HEAD the text is left out.
func AppendText(dst []byte, text string, head bool) []byte {
	dst = append(dst, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(text)), 10)
	dst = append(dst, "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"...)
	if head {
		return dst
	}
	return append(dst, text...)
}
