package httpx

import (
	"bytes"
	"net/netip"
	"strconv"
)

// AppendSecure appends a whole response that sends the client to the same thing over HTTPS: 308, which keeps method and body (RFC 9110
// section 15.4.9). b is what Parse was last shown. port is the one that HTTPS is on; "" leaves the port that the client has
// named. The response announces that the connection closes. It is nil for a request that names no host, which HTTP/1.0 allows.
func (r *Request) AppendSecure(dst, b []byte, port string) []byte {
	host := r.Host(b)
	if len(host) == 0 {
		return nil
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

// SaidSecure tells whether a trusted proxy says that the request came to it, or to one before it, over TLS.
func (r *Request) SaidSecure(b []byte, field TrustedField, trusts func(netip.Addr) bool) bool {
	if field == TrustForwarded {
		said, err := r.Whence(b, field, trusts)
		return err == nil && said.Proto == "https"
	}
	for i := range r.fields {
		if r.fields[i].kind != forwardedProto {
			continue
		}
		for rest, more := r.fields[i].valueOf(b), true; more; {
			var proto []byte
			if proto, rest, more = cutComma(rest); equalFold(proto, "https") {
				return true
			}
		}
	}
	return false
}
