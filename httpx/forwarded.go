package httpx

import (
	"bytes"
	"net/netip"
)

// maxElements bounds the hops that Forwarded may tell of.
const maxElements = 100

// hop is one element of Forwarded (RFC 7239 section 4): who made a connection, and what was asked for on it.
type hop struct {
	client      []byte
	proto, host []byte
	has         uint8 // bit set of the parameters that were there
}

var errForwarded = bad("malformed Forwarded")

// whenceForwarded goes through Forwarded from left to right: each address that is no trusted proxy's takes the place of what stands left of
// it, and so does what is no address. What does not follow the grammar is refused: an open quote on the left, which anybody may send, would
// hide what a proxy has written behind it.
func (r *Request) whenceForwarded(b []byte, trusts func(netip.Addr) bool) (Said, error) {
	var said Said
	count := 0
	for i := range r.fields {
		if r.fields[i].kind != forwarded {
			continue
		}
		for rest := r.fields[i].valueOf(b); len(rest) > 0; {
			var h hop
			var ok bool
			if rest, ok = h.parse(rest); !ok {
				return Said{}, errForwarded
			}
			if h.has == 0 {
				continue // RFC 9110 section 5.6.1.2
			}
			if count++; count > maxElements {
				return Said{}, bad("too many elements in Forwarded")
			}
			addr, ok := parseForwardedNode(h.client)
			if !ok || !said.Client.IsValid() || !trusts(addr) {
				said = h.said(addr)
			}
		}
	}
	return said, nil
}

// said is what a hop says of its client, so far as it can be used.
func (h *hop) said(addr netip.Addr) Said {
	s := Said{Client: addr}
	for _, proto := range []string{"http", "https"} {
		if equalFold(h.proto, proto) {
			s.Proto = proto
		}
	}
	if validAuthority(h.host) {
		s.Host = string(h.host)
	}
	return s
}

// parse takes the first element of a list and the comma behind it. Blanks around a semicolon, which the grammar does not have, can be
// taken for nothing else.
func (h *hop) parse(list []byte) (rest []byte, ok bool) {
	for rest = list; ; rest = rest[1:] {
		if rest = bytes.TrimLeft(rest, " \t"); len(rest) > 0 && rest[0] != ';' && rest[0] != ',' {
			if rest, ok = h.parsePair(rest); !ok {
				return nil, false
			}
			rest = bytes.TrimLeft(rest, " \t")
		}
		switch {
		case len(rest) == 0:
			return nil, true
		case rest[0] == ',':
			return rest[1:], true
		case rest[0] != ';':
			return nil, false
		}
	}
}

// parsePair takes a parameter, of which there may be one of each name.
func (h *hop) parsePair(p []byte) (rest []byte, ok bool) {
	name := p[:tokenLength(p)]
	if rest = p[len(name):]; len(name) == 0 || len(rest) == 0 || rest[0] != '=' {
		return nil, false
	}
	value, rest, ok := cutValue(rest[1:])
	if !ok {
		return nil, false
	}
	const unknown = 1 << 7
	bit := uint8(unknown)
	for i, known := range []string{"for", "proto", "host", "by"} {
		if equalFold(name, known) {
			bit = 1 << i
		}
	}
	if bit != unknown && h.has&bit != 0 {
		return nil, false
	}
	switch h.has |= bit; bit {
	case 1 << 0:
		h.client = value
	case 1 << 1:
		h.proto = value
	case 1 << 2:
		h.host = value
	}
	return rest, true
}

// cutValue takes a token or a quoted string, and returns what it means.
func cutValue(p []byte) (value, rest []byte, ok bool) {
	if len(p) == 0 || p[0] != '"' {
		n := tokenLength(p)
		return p[:n], p[n:], n > 0
	}
	for i := 1; i < len(p); i++ {
		switch p[i] {
		case '"':
			return value, p[i+1:], true
		case '\\':
			if i++; i == len(p) {
				return nil, nil, false
			}
		}
		value = append(value, p[i])
	}
	return nil, nil, false
}

// parseForwardedNode reads an address as Forwarded has it (RFC 7239 section 6): IPv6 in brackets, perhaps with a port, which may be secret.
func parseForwardedNode(p []byte) (netip.Addr, bool) {
	name, port := p, []byte(nil)
	bracketed := len(p) > 0 && p[0] == '['
	if bracketed {
		end := bytes.IndexByte(p, ']')
		if end < 0 || !validIPv6(p[1:end]) {
			return netip.Addr{}, false
		}
		name, port = p[1:end], p[end+1:]
	} else if colon := bytes.IndexByte(p, ':'); colon >= 0 {
		name, port = p[:colon], p[colon:]
	}
	if !bracketed && !validIPv4(name) || len(port) > 0 && (port[0] != ':' || !validNodePort(port[1:])) {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(string(name))
	return addr.Unmap(), err == nil
}

// validNodePort tells whether p is a port or, behind an underscore, a name for one.
func validNodePort(p []byte) bool {
	if len(p) < 2 || p[0] != '_' {
		return validPort(p)
	}
	for _, c := range p[1:] {
		if folded[c] == '-' && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return true
}

// portOf is the port that a host is asked at.
func portOf(host, proto string) string {
	for i := len(host) - 1; i >= 0 && host[i] != ']'; i-- {
		if host[i] == ':' && i+1 < len(host) {
			return host[i+1:]
		}
	}
	if proto == "https" {
		return "443"
	}
	return "80"
}

// appendForwarded writes Forwarded: what a trusted proxy has said of its client, in that field or another, and what we know of the peer.
func (r *Request) appendForwarded(dst, b []byte, f *Forward) []byte {
	dst = append(dst, "Forwarded: "...)
	start := len(dst)
	switch {
	case !f.Trusted:
	case f.Field == TrustForwarded:
		for i := range r.fields {
			if e := &r.fields[i]; e.kind == forwarded && e.value < e.valueEnd {
				dst = append(appendComma(dst, start), e.valueOf(b)...)
			}
		}
	case f.Said.Client.IsValid():
		dst = r.appendClient(dst, b, f.Said.Client)
	}
	dst = appendNode(append(appendComma(dst, start), "for="...), f.Client)
	dst = append(append(dst, ";proto="...), f.Proto...)
	dst = appendAuthority(dst, r.Host(b))
	if f.By != "" {
		dst = appendNode(append(dst, ";by="...), f.By)
	}
	return append(dst, "\r\n"...)
}

// appendClient writes the element of the client that a trusted proxy tells in another field, with what its X-Forwarded-Proto and -Host say if they
// say one thing: who reads Forwarded may read nothing else, and take our own proto, which is the proxy's, for the client's.
func (r *Request) appendClient(dst, b []byte, client netip.Addr) []byte {
	dst = append(dst, "for="...)
	if client.Is6() {
		dst = append(client.AppendTo(append(dst, `"[`...)), `]"`...)
	} else {
		dst = client.AppendTo(dst)
	}
	for _, proto := range []string{"http", "https"} {
		if equalFold(r.only(b, forwardedProto), proto) {
			dst = append(append(dst, ";proto="...), proto...)
		}
	}
	if host := r.only(b, forwardedHost); validAuthority(host) {
		dst = appendAuthority(dst, host)
	}
	return dst
}

// only is the value of a field that is there once; nil: it is not there, or more often.
func (r *Request) only(b []byte, k kind) (value []byte) {
	for i := range r.fields {
		switch f := &r.fields[i]; {
		case f.kind != k:
		case value != nil:
			return nil
		default:
			value = f.valueOf(b)
		}
	}
	return value
}

// appendAuthority writes a host that is a valid authority, which has nothing that would have to be escaped.
func appendAuthority(dst, host []byte) []byte {
	switch {
	case len(host) == 0:
		return dst
	case isToken(host):
		return append(append(dst, ";host="...), host...)
	}
	return append(append(append(dst, `;host="`...), host...), '"')
}

// appendNode writes an address as Forwarded has it.
func appendNode(dst []byte, addr string) []byte {
	if addr == "" {
		return append(dst, "unknown"...)
	}
	for i := range len(addr) {
		if addr[i] == ':' {
			return append(append(append(dst, `"[`...), addr...), `]"`...)
		}
	}
	return append(dst, addr...)
}
